"""The Kullback-Leibler divergence, by pairs of families; this file has those of a family with itself."""

import warnings
from collections.abc import Callable

import corten
from corten.nn.functional import softplus

from . import _matrices
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import _sum_rightmost, euler_constant

__all__ = ["kl_divergence", "register_kl"]

# Functions by pairs of classes: those that were registered, and what was found for pairs of subclasses.
_KL_REGISTRY: dict[tuple[type, type], Callable] = {}
_KL_MEMOIZE: dict[tuple[type, type], Callable | None] = {}


def register_kl(type_p, type_q):
    """Decorates the function ``f(p, q)`` that :func:`kl_divergence` calls for two classes and their subclasses.

    The most specific pair wins. Where the first classes say otherwise than the second ones a `RuntimeWarning` asks
    for the pair that decides.

    Raises:
        TypeError: for what is no class. Classes with :class:`Distribution`'s interface that do not inherit from it are
            welcome, as they are in PyTorch.
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def decorator(function):
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return decorator


def _find(type_p, type_q):
    """The registered function of the classes nearest to two classes, or None."""
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return None
    up_p, up_q = type_p.__mro__.index, type_q.__mro__.index
    by_p = min(matches, key=lambda pair: (up_p(pair[0]), up_q(pair[1])))
    by_q = min(matches, key=lambda pair: (up_q(pair[1]), up_p(pair[0])))
    function = _KL_REGISTRY[by_p]
    if function is not _KL_REGISTRY[by_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
            f"Please register_kl({by_p[0].__name__}, {by_q[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return function


def kl_divergence(p, q):
    """The divergence ``KL(p ‖ q)``, the mean under p of ``log p(x) - log q(x)``, of the shape of the batch.

    Raises:
        NotImplementedError: where no function is registered for the two families.
    """
    pair = type(p), type(q)
    if pair not in _KL_MEMOIZE:
        _KL_MEMOIZE[pair] = _find(*pair)
    function = _KL_MEMOIZE[pair]
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        )
    return function(p, q)


def infinite_where(condition, value):
    """The value, infinite where p has draws that q has not."""
    return corten.where(condition, corten.inf, value)


def _weighted(probs, difference, q_probs):
    """``probs · difference``, 0 where p never draws the event, infinite where q alone does not."""
    terms = infinite_where(q_probs == 0, probs * difference)
    return corten.where(probs == 0, 0.0, terms)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    ones = _weighted(p.probs, softplus(-q.logits) - softplus(-p.logits), q.probs)
    return ones + _weighted(1 - p.probs, softplus(q.logits) - softplus(p.logits), 1 - q.probs)


@register_kl(Beta, Beta)
def _beta(p, q):
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    trial = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return infinite_where(p.total_count > q.total_count, p.total_count * trial)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    return _weighted(p.probs, p.logits - q.logits, q.probs).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_categorical(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    # Chyzak and Nielsen, "A closed-form formula for the Kullback-Leibler divergence between Cauchy distributions".
    return ((p.scale + q.scale).square() + (p.loc - q.loc).square()).log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    own = p._cont_bern_log_norm() + (-p.probs).log1p()
    return p.mean * (p.logits - q.logits) + own - q._cont_bern_log_norm() - (-q.probs).log1p()


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    scores = a.digamma() - a.sum(-1, keepdim=True).digamma()
    return q._log_normalizer(b) - p._log_normalizer(a) + ((a - b) * scores).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p, q):
    # The Bregman divergence of the log normaliser.
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed using Bregman "
            "divergences"
        )
    params, normalizer, moments = p._normalizer_and_moments()
    result = q._log_normalizer(*q._natural_params) - normalizer
    for own, other, moment in zip(params, q._natural_params, moments):
        term = (other - own) * moment
        result = result - _sum_rightmost(term, own.dim() - len(p.batch_shape))
    return result


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    scale = b * (p.rate / q.rate).log() + (q.rate - p.rate) * (a / p.rate)
    return scale + b.lgamma() - a.lgamma() + (a - b) * a.digamma()


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio = p.scale / q.scale
    shift = (p.loc - q.loc) / q.scale
    return shift - ratio.log() + (ratio - 1) * euler_constant + ((1 + ratio).lgamma() - shift).exp() - 1


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"KL between Independent distributions of {p.reinterpreted_batch_ndims} and "
            f"{q.reinterpreted_batch_ndims} reinterpreted dims is not implemented"
        )
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return distance / q.scale + ratio * (-distance / p.scale).exp() - ratio.log() - 1


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())


def _check_events(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes cannot be "
            f"computed: {p.event_shape} and {q.event_shape}"
        )


def _sum_of_squares(matrix):
    return matrix.square().sum((-2, -1))


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _to_multivariate_normal(p, q):
    _check_events(p, q)
    L = q._unbroadcasted_scale_tril
    if isinstance(p, MultivariateNormal):
        own = 2 * _matrices.half_log_det(p._unbroadcasted_scale_tril)
        trace = _sum_of_squares(_matrices.solve(L, p._unbroadcasted_scale_tril))
    else:
        own = p._log_det()
        trace = _sum_of_squares(_matrices.solve(L, p._unbroadcasted_cov_factor))
        trace = trace + _sum_of_squares(_matrices.solve(L, p._unbroadcasted_cov_diag.sqrt().diag_embed()))
    distance = _matrices.squared_distance(L, q.loc - p.loc)
    return 0.5 * (2 * _matrices.half_log_det(L) - own + trace + distance - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _to_lowrank_multivariate_normal(p, q):
    _check_events(p, q)
    # The trace of C_q⁻¹ C_p, with C_q⁻¹ = D⁻¹ - Aᵀ A by the Woodbury identity, for every part of C_p.
    diagonal, A = q._unbroadcasted_cov_diag, q._whitened()
    if isinstance(p, MultivariateNormal):
        own, factor = 2 * _matrices.half_log_det(p._unbroadcasted_scale_tril), p._unbroadcasted_scale_tril
        trace = 0.0
    else:
        own, factor = p._log_det(), p._unbroadcasted_cov_factor
        trace = (p._unbroadcasted_cov_diag / diagonal).sum(-1)
        trace = trace - _sum_of_squares(A * p._unbroadcasted_cov_diag.sqrt().unsqueeze(-2))
    trace = trace + _sum_of_squares(factor * diagonal.rsqrt().unsqueeze(-1)) - _sum_of_squares(A @ factor)
    distance = q._squared_distance(q.loc - p.loc)
    return 0.5 * (q._log_det() - own + trace + distance - p.event_shape[0])


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    value = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return infinite_where(p.scale < q.scale, value)


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    # xlogy: no events under p leave q's rate.
    return corten.xlogy(p.rate, p.rate / q.rate) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            f"KL between TransformedDistributions is implemented for equal transforms and event shapes, not for "
            f"{p.transforms} with {p.event_shape} and {q.transforms} with {q.event_shape}"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    value = ((q.high - q.low) / (p.high - p.low)).log()
    return infinite_where((q.low > p.low) | (q.high < p.high), value)
