"""Divergences between different families: ``KL(p ‖ q)`` is minus p's entropy minus the mean under p of ``log q(x)``.

The logarithm of q's density is a sum of few functions of x, so what p has to give are their means: of x, of x², of
``log x``, of ``log(1 - x)`` and of ``exp(t x)``.
"""

import math

import corten

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .continuous_bernoulli import ContinuousBernoulli
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .kl import infinite_where, register_kl
from .laplace import Laplace
from .normal import Normal
from .pareto import Pareto
from .poisson import Poisson
from .uniform import Uniform
from .utils import euler_constant


def _register(kinds, q):
    """Registers one function for several families p."""

    def decorator(function):
        for p in kinds:
            register_kl(p, q)(function)
        return function

    return decorator


def _mean_log(p):
    """The mean of ``log x``."""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return _mean_log_between(p.low, p.high)


def _mean_log_between(low, high):
    return (corten.xlogy(high, high) - corten.xlogy(low, low)) / (high - low) - 1


def _mean_exp(p, t):
    """The mean of ``exp(-t x)`` for positive t."""
    if isinstance(p, Exponential):
        return p.rate / (p.rate + t)
    if isinstance(p, Gamma):
        return (p.rate / (p.rate + t)).pow(p.concentration)
    if isinstance(p, Normal):
        return (0.5 * (t * p.scale).square() - t * p.loc).exp()
    return ((-t * p.low).exp() - (-t * p.high).exp()) / (t * (p.high - p.low))


@_register([Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform], Normal)
def _to_normal(p, q):
    spread = (p.variance + (p.mean - q.loc).square()) / (2 * q.scale.square())
    value = spread + q.scale.log() + 0.5 * math.log(2 * math.pi) - p.entropy()
    return infinite_where(p.alpha <= 2, value) if isinstance(p, Pareto) else value


@_register([Beta, ContinuousBernoulli, Gamma, Pareto, Uniform], Exponential)
def _to_exponential(p, q):
    value = q.rate * p.mean - q.rate.log() - p.entropy()
    return infinite_where(p.low < 0, value) if isinstance(p, Uniform) else value


@_register([Beta, Exponential, Pareto, Uniform], Gamma)
def _to_gamma(p, q):
    a, rate = q.concentration, q.rate
    value = a.lgamma() - a * rate.log() + rate * p.mean - (a - 1) * _mean_log(p) - p.entropy()
    return infinite_where(p.low < 0, value) if isinstance(p, Uniform) else value


@_register([Exponential, Gamma, Normal, Uniform], Gumbel)
def _to_gumbel(p, q):
    decay = (q.loc / q.scale).exp() * _mean_exp(p, q.scale.reciprocal())
    return (p.mean - q.loc) / q.scale + decay + q.scale.log() - p.entropy()


@register_kl(Normal, Laplace)
def _normal_to_laplace(p, q):
    # The mean distance of a normal number from a point.
    shift = (p.loc - q.loc) / (math.sqrt(2) * p.scale)
    distance = math.sqrt(2 / math.pi) * p.scale * (-shift.square()).exp() + (p.loc - q.loc) * shift.erf()
    return distance / q.scale + (2 * q.scale).log() - p.entropy()


@_register([Beta, Uniform], ContinuousBernoulli)
def _to_continuous_bernoulli(p, q):
    value = -p.mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm() - p.entropy()
    return infinite_where((p.low < 0) | (p.high > 1), value) if isinstance(p, Uniform) else value


@_register([Beta, ContinuousBernoulli], Uniform)
def _to_uniform(p, q):
    return infinite_where((q.low > 0) | (q.high < 1), (q.high - q.low).log() - p.entropy())


@register_kl(Uniform, Beta)
def _uniform_to_beta(p, q):
    a, b = q.concentration1, q.concentration0
    below, above = _mean_log_between(p.low, p.high), _mean_log_between(1 - p.high, 1 - p.low)
    value = q._log_normalizer(a, b) - (a - 1) * below - (b - 1) * above - p.entropy()
    return infinite_where((p.high > 1) | (p.low < 0), value)


@register_kl(Uniform, Pareto)
def _uniform_to_pareto(p, q):
    value = (q.alpha + 1) * _mean_log_between(p.low, p.high) - q.alpha.log() - q.alpha * q.scale.log() - p.entropy()
    return infinite_where(p.low < q.scale, value)


@register_kl(Bernoulli, Poisson)
def _bernoulli_to_poisson(p, q):
    # The factorials of 0 and 1 are 1.
    return q.rate - p.probs * q.rate.log() - p.entropy()


_BOUNDED: list[type] = [Beta, ContinuousBernoulli, Uniform]
# For each family the others that give some of its draws the density 0.
_INFINITE: dict[type, list[type]] = {
    Beta: [Pareto],
    ContinuousBernoulli: [Pareto],
    Exponential: [*_BOUNDED, Pareto],
    Gamma: [*_BOUNDED, Pareto],
    Gumbel: [*_BOUNDED, Exponential, Gamma, Pareto],
    Laplace: [*_BOUNDED, Exponential, Gamma, Pareto],
    Normal: [*_BOUNDED, Exponential, Gamma, Pareto],
    Pareto: _BOUNDED,
    Poisson: [Bernoulli, Binomial],
}


def _infinite(p, q):
    return corten.full_like(p.mean, corten.inf)


for _p, _others in _INFINITE.items():
    for _q in _others:
        register_kl(_p, _q)(_infinite)
