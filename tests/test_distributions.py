"""Distributions: densities and entropies beside scipy's, moments and divergences beside draws, gradients beside
differences."""

from __future__ import annotations

import math
import pickle

import corten
import numpy as np
import pytest
import scipy.special
import scipy.stats
from corten import distributions as D
from corten.distributions.kl import _KL_REGISTRY

LOC, SCALE = [-0.5, 1.0, 3.0], [0.5, 1.0, 2.0]
TRIL = [[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [-0.3, 0.4, 0.7]]


def tensor(values, dtype=corten.float32):
    return corten.tensor(values, dtype=dtype)


# By name: a distribution of a batch of three, in the default dtype, with two finite moments.
FAMILIES = {
    "Bernoulli": lambda t: D.Bernoulli(t([0.1, 0.5, 0.8])),
    "Beta": lambda t: D.Beta(t([0.5, 2.0, 5.0]), t([0.7, 3.0, 1.0])),
    "Binomial": lambda t: D.Binomial(9, t([0.1, 0.5, 0.8])),
    "Chi2": lambda t: D.Chi2(t([0.8, 2.0, 7.0])),
    "ContinuousBernoulli": lambda t: D.ContinuousBernoulli(t([0.1, 0.4999, 0.8])),
    "Exponential": lambda t: D.Exponential(t(SCALE)),
    "FisherSnedecor": lambda t: D.FisherSnedecor(t([2.0, 5.0, 9.0]), t([10.0, 12.0, 20.0])),
    "Gamma": lambda t: D.Gamma(t([0.3, 1.0, 12.0]), t(SCALE)),
    "GeneralizedPareto": lambda t: D.GeneralizedPareto(t(LOC), t(SCALE), t([-0.5, 0.0, 0.1])),
    "Geometric": lambda t: D.Geometric(t([0.1, 0.5, 0.8])),
    "Gumbel": lambda t: D.Gumbel(t(LOC), t(SCALE)),
    "HalfNormal": lambda t: D.HalfNormal(t(SCALE)),
    "InverseGamma": lambda t: D.InverseGamma(t([5.0, 6.0, 9.0]), t(SCALE)),
    "Kumaraswamy": lambda t: D.Kumaraswamy(t([0.5, 2.0, 5.0]), t([0.7, 3.0, 1.0])),
    "Laplace": lambda t: D.Laplace(t(LOC), t(SCALE)),
    "LogNormal": lambda t: D.LogNormal(t(LOC), t([0.1, 0.3, 0.5])),
    "NegativeBinomial": lambda t: D.NegativeBinomial(t([1.0, 3.5, 9.0]), t([0.1, 0.5, 0.8])),
    "Normal": lambda t: D.Normal(t(LOC), t(SCALE)),
    "Pareto": lambda t: D.Pareto(t(SCALE), t([5.0, 6.0, 9.0])),
    "Poisson": lambda t: D.Poisson(t([0.3, 4.0, 30.0])),
    "StudentT": lambda t: D.StudentT(t([5.0, 6.0, 9.0]), t(LOC), t(SCALE)),
    "Uniform": lambda t: D.Uniform(t(LOC), t([0.0, 1.5, 9.0])),
    "Weibull": lambda t: D.Weibull(t(SCALE), t([0.8, 1.0, 3.0])),
    "Dirichlet": lambda t: D.Dirichlet(t([[0.5, 1.0, 3.0], [2.0, 2.0, 9.0], [1.0, 1.0, 0.3]])),
    "LowRankMultivariateNormal": lambda t: D.LowRankMultivariateNormal(
        t([LOC] * 3), t([[[1.0], [2.0], [-1.0]]] * 3), t([SCALE] * 3)
    ),
    "Multinomial": lambda t: D.Multinomial(7, t([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])),
    "MultivariateNormal": lambda t: D.MultivariateNormal(t([LOC] * 3), scale_tril=t([TRIL] * 3)),
    "OneHotCategorical": lambda t: D.OneHotCategorical(t([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])),
    "Wishart": lambda t: D.Wishart(t([4.0, 6.0, 9.0]), scale_tril=t([TRIL] * 3)),
    "Mixture": lambda t: D.MixtureSameFamily(
        D.Categorical(t([0.2, 0.8])), D.Normal(t([[0.0, 5.0], [1.0, 1.0], [2.0, -2.0]]), t([1.0, 2.0]))
    ),
    "Independent": lambda t: D.Independent(D.Normal(t([LOC] * 3), t(SCALE)), 1),
}
# Families without moments, or with circular ones.
OTHERS = {
    "Categorical": lambda t: D.Categorical(t([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])),
    "Cauchy": lambda t: D.Cauchy(t(LOC), t(SCALE)),
    "HalfCauchy": lambda t: D.HalfCauchy(t(SCALE)),
    "LKJCholesky": lambda t: D.LKJCholesky(3, t([0.7, 1.0, 3.0])),
    "LogisticNormal": lambda t: D.LogisticNormal(t([LOC] * 3), t(SCALE)),
    "OneHotCategoricalStraightThrough": lambda t: D.OneHotCategoricalStraightThrough(t([[0.2, 0.3, 0.5]] * 3)),
    "RelaxedBernoulli": lambda t: D.RelaxedBernoulli(t(0.7), t([0.1, 0.5, 0.8])),
    "RelaxedOneHotCategorical": lambda t: D.RelaxedOneHotCategorical(t(0.7), t([[0.2, 0.3, 0.5]] * 3)),
    "VonMises": lambda t: D.VonMises(t([-0.5, 1.0, 3.0]), t([0.1, 2.0, 40.0])),
}
ALL = {**FAMILIES, **OTHERS}
DRAWS = 20_000
# Decompositions of as many matrices would take a software GPU minutes.
FEWER = {"Wishart": 1000, "ExponentialFamily": 1000}
# Standard errors that the mean of so many draws may be off: one in two million is further.
FAR = 5


def wide(values):
    return tensor(values, corten.float64)


def assert_mean(draws, wanted, what):
    """The mean over the first dim is the one wanted, up to the error of so many draws."""
    draws = np.asarray(draws, np.float64)
    error = draws.std(0) / math.sqrt(len(draws))
    off = np.abs(draws.mean(0) - np.asarray(wanted, np.float64))
    # float32 rounds too.
    assert (off <= FAR * error + 1e-4 * (1 + np.abs(wanted))).all(), (what, off / error)


def test_every_distribution_has_a_case():
    classes = {name for name in D.__all__ if isinstance(getattr(D, name), type)}
    families = {name for name in classes if issubclass(getattr(D, name), D.Distribution)}
    bases = {"Distribution", "ExponentialFamily", "MixtureSameFamily", "TransformedDistribution"}
    assert families - bases == set(ALL) - {"Mixture"}


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_have_the_mean_and_variance_that_are_told(family):
    distribution = FAMILIES[family](tensor)
    draws = distribution.sample((FEWER.get(family, DRAWS),)).cpu().numpy().astype(np.float64)
    mean, variance = distribution.mean.cpu().numpy(), distribution.variance.cpu().numpy()
    assert_mean(draws, mean, "mean")
    assert_mean((draws - mean) ** 2, variance, "variance")
    np.testing.assert_allclose(distribution.stddev.cpu().numpy() ** 2, variance, rtol=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_draws_lie_in_the_support_and_have_a_density(family):
    distribution = ALL[family](tensor)
    for sample_shape in ((), (7,), (2, 3)):
        draws = distribution.sample(sample_shape)
        assert draws.shape == (*sample_shape, *distribution.batch_shape, *distribution.event_shape)
        assert not draws.requires_grad
        density = distribution.log_prob(draws)
        assert density.shape == (*sample_shape, *distribution.batch_shape)
        assert density.isfinite().all()


@pytest.mark.parametrize("family", ALL)
def test_the_same_seed_gives_the_same_draws(family):
    distribution = ALL[family](tensor)
    corten.manual_seed(7)
    first = distribution.sample((5,))
    corten.manual_seed(7)
    assert corten.equal(first, distribution.sample((5,)))


# Those whose entropy has no closed form, or none in PyTorch.
WITHOUT_ENTROPY = {
    *("FisherSnedecor", "LKJCholesky", "LogisticNormal", "Mixture", "NegativeBinomial", "Poisson"),
    *("RelaxedBernoulli", "RelaxedOneHotCategorical", "VonMises"),
}


@pytest.mark.parametrize("family", sorted(WITHOUT_ENTROPY))
def test_an_entropy_that_is_not_there_says_so(family):
    with pytest.raises(NotImplementedError):
        ALL[family](tensor).entropy()


@pytest.mark.parametrize("family", sorted(ALL.keys() - WITHOUT_ENTROPY))
def test_the_entropy_is_the_mean_of_minus_the_log_density(family):
    distribution = ALL[family](tensor)
    entropy = distribution.entropy()
    draws = distribution.sample((FEWER.get(family, DRAWS),))
    assert_mean(-distribution.log_prob(draws).cpu().numpy(), entropy.cpu().numpy(), "entropy")
    np.testing.assert_allclose(distribution.perplexity().cpu().numpy(), np.exp(entropy.cpu().numpy()), rtol=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_densities_of_discrete_families_sum_to_one(family):
    distribution = ALL[family](tensor)
    if distribution.has_enumerate_support:
        values = distribution.enumerate_support()
        assert values.shape[1:] == distribution.batch_shape + distribution.event_shape
        np.testing.assert_allclose(distribution.log_prob(values).exp().sum(0).cpu().numpy(), 1, rtol=1e-5)
        small = distribution.enumerate_support(expand=False)
        assert corten.equal(small.expand(values.shape), values)


@pytest.mark.parametrize("family", ALL)
def test_expanded_distributions_have_the_same_density_everywhere(family):
    distribution = ALL[family](tensor)
    value = distribution.sample()
    expanded = distribution.expand((4, *distribution.batch_shape))
    assert type(expanded) is type(distribution)
    assert expanded.batch_shape == (4, *distribution.batch_shape)
    assert expanded.event_shape == distribution.event_shape
    assert expanded.sample((2,)).shape == (2, 4, *distribution.batch_shape, *distribution.event_shape)
    wanted = distribution.log_prob(value).expand(4, *distribution.batch_shape)
    np.testing.assert_allclose(expanded.log_prob(value).cpu().numpy(), wanted.cpu().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ALL)
def test_distributions_can_be_pickled_and_shown(family):
    distribution = ALL[family](tensor)
    value = distribution.sample((2,))
    again = pickle.loads(pickle.dumps(distribution))
    assert corten.equal(again.log_prob(value), distribution.log_prob(value))
    assert repr(distribution).startswith(type(distribution).__name__ + "(")


@pytest.mark.parametrize(
    "family", sorted(ALL.keys() - {"VonMises"})
)  # The last of more angles is accepted in a later round.
def test_more_elements_are_not_more_operators(family):
    """Nothing loops over elements in Python: a batch a hundred times larger records as many operators."""

    def work(batch):
        distribution = ALL[family](tensor).expand((batch, 3))
        corten.manual_seed(0)
        before = corten._core.counters()["nodes"]
        draws = distribution.sample()
        distribution.log_prob(draws).sum().item()
        return corten._core.counters()["nodes"] - before

    assert work(200) == work(2)


# The same in scipy, for the whole batch at once.
SCIPY = {
    "Bernoulli": lambda s: s.bernoulli([0.1, 0.5, 0.8]),
    "Beta": lambda s: s.beta([0.5, 2, 5], [0.7, 3, 1]),
    "Binomial": lambda s: s.binom(9, [0.1, 0.5, 0.8]),
    "Cauchy": lambda s: s.cauchy(LOC, SCALE),
    "Chi2": lambda s: s.chi2([0.8, 2, 7]),
    "Exponential": lambda s: s.expon(scale=1 / np.array(SCALE)),
    "FisherSnedecor": lambda s: s.f([2, 5, 9], [10, 12, 20]),
    "Gamma": lambda s: s.gamma([0.3, 1, 12], scale=1 / np.array(SCALE)),
    "GeneralizedPareto": lambda s: s.genpareto([-0.5, 0, 0.1], LOC, SCALE),
    "Geometric": lambda s: s.geom([0.1, 0.5, 0.8], loc=-1),
    "Gumbel": lambda s: s.gumbel_r(LOC, SCALE),
    "HalfCauchy": lambda s: s.halfcauchy(scale=SCALE),
    "HalfNormal": lambda s: s.halfnorm(scale=SCALE),
    "InverseGamma": lambda s: s.invgamma([5, 6, 9], scale=SCALE),
    "Laplace": lambda s: s.laplace(LOC, SCALE),
    "LogNormal": lambda s: s.lognorm([0.1, 0.3, 0.5], scale=np.exp(LOC)),
    "NegativeBinomial": lambda s: s.nbinom([1, 3.5, 9], [0.9, 0.5, 0.2]),
    "Normal": lambda s: s.norm(LOC, SCALE),
    "Pareto": lambda s: s.pareto([5, 6, 9], scale=SCALE),
    "Poisson": lambda s: s.poisson([0.3, 4, 30]),
    "StudentT": lambda s: s.t([5, 6, 9], LOC, SCALE),
    "Uniform": lambda s: s.uniform(LOC, np.array([0, 1.5, 9]) - LOC),
    "VonMises": lambda s: s.vonmises([0.1, 2, 40], loc=[-0.5, 1, 3]),
    "Weibull": lambda s: s.weibull_min([0.8, 1, 3], scale=SCALE),
}


@pytest.mark.cpu
@pytest.mark.parametrize("family", SCIPY)
def test_densities_and_distribution_functions_are_scipys(family):
    own, other = ALL[family](wide), SCIPY[family](scipy.stats)
    value = own.sample((20,))
    log_density = other.logpdf if hasattr(other.dist, "logpdf") else other.logpmf
    np.testing.assert_allclose(
        own.log_prob(value).cpu().numpy(), log_density(value.cpu().numpy()), rtol=1e-9, atol=1e-11
    )
    level = np.linspace(0.02, 0.98, 9)[:, None]
    for function, argument, wanted in (("cdf", value, other.cdf), ("icdf", wide(level), other.ppf)):
        try:
            found = getattr(own, function)(argument)
        except NotImplementedError:
            continue
        np.testing.assert_allclose(found.cpu().numpy(), wanted(argument.cpu().numpy()), rtol=1e-8, atol=1e-10)


@pytest.mark.cpu
def test_densities_of_vectors_are_scipys():
    family = FAMILIES["MultivariateNormal"](wide)
    value = family.sample((5,))
    other = scipy.stats.multivariate_normal(LOC, np.array(TRIL) @ np.array(TRIL).T)
    np.testing.assert_allclose(family.log_prob(value).cpu().numpy(), other.logpdf(value.cpu().numpy()), rtol=1e-10)
    wishart = FAMILIES["Wishart"](wide)
    value = wishart.sample()
    for i, df in enumerate([4, 6, 9]):
        other = scipy.stats.wishart(df, np.array(TRIL) @ np.array(TRIL).T)
        np.testing.assert_allclose(wishart.log_prob(value)[i].item(), other.logpdf(value[i].cpu().numpy()), rtol=1e-9)
        np.testing.assert_allclose(wishart.entropy()[i].item(), other.entropy(), rtol=1e-9)
    dirichlet = FAMILIES["Dirichlet"](wide)
    value = dirichlet.sample()
    for i, concentration in enumerate(dirichlet.concentration.cpu().numpy()):
        wanted = scipy.stats.dirichlet(concentration).logpdf(value[i].cpu().numpy())
        np.testing.assert_allclose(dirichlet.log_prob(value)[i].item(), wanted, rtol=1e-9)


@pytest.mark.cpu
@pytest.mark.parametrize("dim", [2, 3, 5])
def test_the_lkj_density_integrates_to_one(dim):
    """The mean of the density's ratio to that of another concentration is 1."""
    p, q = D.LKJCholesky(dim, wide(2.0)), D.LKJCholesky(dim, wide(1.5))
    draws = p.sample((DRAWS,))
    assert_mean((q.log_prob(draws) - p.log_prob(draws)).exp().cpu().numpy(), 1.0, "ratio")
    correlation = draws @ draws.mT
    np.testing.assert_allclose(correlation.diagonal(dim1=-2, dim2=-1).cpu().numpy(), 1, rtol=1e-12)
    # A correlation's marginal is a beta number on [-1, 1] of both concentrations concentration + dim / 2 - 1.
    wanted = 1 / (2 * (2.0 + dim / 2 - 1) + 1)
    assert_mean(correlation[:, 1, 0].square().cpu().numpy(), wanted, "variance of a correlation")


@pytest.mark.cpu
@pytest.mark.parametrize("concentration", [1e-3, 0.01, 0.3, 1.0, 7.0, 300.0, 1e5])
def test_gamma_draws_have_the_derivative_of_the_quantile(concentration):
    level = np.linspace(0.01, 0.99, 33)
    h = concentration * 1e-4
    quantiles = [scipy.special.gammaincinv(concentration + k * h, level) for k in (-2, -1, 0, 1, 2)]
    wanted = (quantiles[0] - 8 * quantiles[1] + 8 * quantiles[3] - quantiles[4]) / (12 * h)
    seen = quantiles[2] > 1e-280
    found = D._special.gamma_draw_derivative(wide(concentration), wide(quantiles[2]))
    np.testing.assert_allclose(found.cpu().numpy()[seen], wanted[seen], rtol=1e-6)


@pytest.mark.cpu
@pytest.mark.parametrize(("a", "b"), [(0.1, 0.1), (0.05, 3.0), (3.0, 0.2), (1.0, 1.0), (2.0, 5.0), (400.0, 30.0)])
def test_beta_draws_have_the_derivative_of_the_quantile(a, b):
    level = np.linspace(0.05, 0.95, 31)
    h = a * 1e-3
    quantiles = [scipy.special.betaincinv(a + k * h, b, level) for k in (-2, -1, 0, 1, 2)]
    wanted = (quantiles[0] - 8 * quantiles[1] + 8 * quantiles[3] - quantiles[4]) / (12 * h)
    x = quantiles[2]
    seen = (x > 1e-200) & (1 - x > 1e-6)
    found = D._special.dirichlet_draw_derivative(wide(a), wide(a + b), wide(x)).cpu().numpy() * (1 - x)
    np.testing.assert_allclose(found[seen], wanted[seen], rtol=1e-6)


def test_derivatives_of_draws_that_rounded_to_the_ends_are_zero():
    assert D._special.gamma_draw_derivative(tensor(0.001), tensor(0.0)).item() == 0
    assert D._special.dirichlet_draw_derivative(tensor([1.0, 2.0]), tensor(3.0), tensor([0.0, 1.0])).tolist() == [0, 0]


@pytest.mark.cpu
def test_the_gamma_distribution_function_is_scipys_with_its_gradients():
    a = wide([[0.01], [0.5], [1.0], [4.0], [90.0], [1e4]])
    x = a * wide([0.0, 1e-6, 0.3, 0.99, 1.0, 1.2, 3.0, 1e3, math.inf])
    found = D._special.gamma_cdf(a, x)
    np.testing.assert_allclose(
        found.cpu().numpy(), scipy.special.gammainc(a.cpu().numpy(), x.cpu().numpy()), rtol=1e-8, atol=1e-300
    )
    a, x = wide([0.5, 2.0, 9.0]).requires_grad_(), wide([0.7, 1.5, 11.0]).requires_grad_()
    assert corten.autograd.gradcheck(D._special.gamma_cdf, (a, x))


@pytest.mark.cpu
def test_logarithms_of_bessel_functions_are_scipys_at_every_size():
    x = np.array([1e-3, 0.5, 3.0, 29.9, 30.1, 100, 1e4])
    np.testing.assert_allclose(
        D._special.log_i0(wide(x)).cpu().numpy(), np.log(scipy.special.i0e(x)) + x, rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(D._special.log_i1(wide(x)).cpu().numpy(), np.log(scipy.special.i1e(x)) + x, rtol=1e-12)
    assert corten.autograd.gradcheck(D._special.log_i0, (wide([0.5, 29.0, 31.0]).requires_grad_(),))


# Families with gradients through draws: parameters, and what the mean of a function of the draws is.
PATHWISE = {
    "Gamma": (D.Gamma, [[1.7], [0.8]], lambda x: x.square(), lambda a, r: a * (a + 1) / r**2),
    "Beta": (D.Beta, [[1.7], [0.8]], lambda x: x, lambda a, b: a / (a + b)),
    "Chi2": (D.Chi2, [[3.0]], lambda x: x.log(), lambda df: (df / 2).digamma() + math.log(2)),
    "Exponential": (D.Exponential, [[1.7]], lambda x: x, lambda r: 1 / r),
    "FisherSnedecor": (D.FisherSnedecor, [[5.0], [12.0]], lambda x: x, lambda a, b: b / (b - 2) + 0 * a),
    "InverseGamma": (D.InverseGamma, [[7.0], [2.0]], lambda x: x, lambda a, r: r / (a - 1)),
    "Laplace": (D.Laplace, [[1.0], [2.0]], lambda x: x.square(), lambda m, s: m**2 + 2 * s**2),
    "Normal": (D.Normal, [[1.0], [2.0]], lambda x: x.square(), lambda m, s: m**2 + s**2),
    "StudentT": (
        D.StudentT,
        [[9.0], [1.0], [2.0]],
        lambda x: x.square(),
        lambda df, m, s: m**2 + s**2 * df / (df - 2),
    ),
    "Weibull": (D.Weibull, [[2.0], [3.0]], lambda x: x, lambda s, k: s * (1 + 1 / k).lgamma().exp()),
}


@pytest.mark.parametrize("family", PATHWISE)
def test_gradients_through_draws_are_those_of_the_mean(family):
    make, values, function, mean = PATHWISE[family]
    parameters = [tensor(value).expand(DRAWS).requires_grad_() for value in values]
    function(make(*parameters).rsample()).sum().backward()
    exact = [tensor(value).requires_grad_() for value in values]
    mean(*exact).sum().backward()
    for parameter, one in zip(parameters, exact, strict=True):
        assert_mean(parameter.grad.cpu().numpy()[:, None], one.grad.cpu().numpy(), family)


def test_gradients_through_dirichlet_draws_are_those_of_the_mean():
    concentration = tensor([0.7, 2.0, 3.0]).expand(DRAWS, 3).requires_grad_()
    weight = tensor([1.0, -2.0, 0.5])
    (D.Dirichlet(concentration).rsample() * weight).sum().backward()
    exact = tensor([0.7, 2.0, 3.0]).requires_grad_()
    (exact / exact.sum() * weight).sum().backward()
    assert_mean(concentration.grad.cpu().numpy(), exact.grad.cpu().numpy(), "Dirichlet")


@pytest.mark.parametrize("family", ["Gamma", "Beta", "Dirichlet"])
def test_second_derivatives_through_draws_say_that_they_are_not_there(family):
    parameters = [tensor([1.7, 0.8]).requires_grad_() for _ in range(1 if family == "Dirichlet" else 2)]
    draw = getattr(D, family)(*parameters).rsample().square().sum()
    (gradient,) = corten.autograd.grad(draw, parameters[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives"):
        gradient.sum().backward()


@pytest.mark.parametrize("family", ["Beta", "Categorical", "Dirichlet", "MultivariateNormal", "Normal", "VonMises"])
def test_empty_batches_have_empty_draws(family):
    distribution = ALL[family](tensor).expand((0, 3))
    draws = distribution.sample((2,))
    assert draws.shape == (2, 0, 3, *distribution.event_shape)
    assert distribution.log_prob(draws).shape == (2, 0, 3)


def test_straight_through_draws_have_the_gradient_of_the_probabilities():
    logits = tensor([0.3, -1.0, 2.0]).requires_grad_()
    weight = tensor([1.0, -2.0, 0.5])
    draw = D.OneHotCategoricalStraightThrough(logits=logits).rsample()
    np.testing.assert_allclose(draw.detach().sum().item(), 1, rtol=1e-6)
    (draw * weight).sum().backward()
    exact = logits.detach().requires_grad_()
    (exact.softmax(-1) * weight).sum().backward()
    np.testing.assert_allclose(logits.grad.cpu().numpy(), exact.grad.cpu().numpy(), rtol=1e-5)


def test_draws_without_gradients_say_so():
    for family in ("Bernoulli", "Poisson", "Binomial", "Categorical", "VonMises", "LKJCholesky", "Mixture"):
        distribution = ALL[family](tensor)
        assert not distribution.has_rsample
        with pytest.raises(NotImplementedError):
            distribution.rsample()


PARAMETERS = {
    "Beta": (D.Beta, [[0.5, 3.0], [2.0, 0.7]]),
    "ContinuousBernoulli": (D.ContinuousBernoulli, [[0.2, 0.9]]),
    "Dirichlet": (D.Dirichlet, [[0.5, 3.0]]),
    "GeneralizedPareto": (D.GeneralizedPareto, [[0.0, 0.0], [2.0, 0.7], [0.3, -0.2]]),
    "Kumaraswamy": (D.Kumaraswamy, [[0.5, 3.0], [2.0, 0.7]]),
    "MultivariateNormal": (
        lambda loc, x, **more: D.MultivariateNormal(loc, x @ x.mT, **more),
        [[0.5, 3.0], [[2.0, 0.3], [0.3, 0.7]]],
    ),
    "NegativeBinomial": (D.NegativeBinomial, [[1.5, 3.0], [0.2, 0.7]]),
    "StudentT": (D.StudentT, [[1.5, 3.0], [0.2, 0.7], [2.0, 0.7]]),
    "VonMises": (D.VonMises, [[1.5, 3.0], [0.2, 50.0]]),
    "Weibull": (D.Weibull, [[1.5, 3.0], [0.8, 2.0]]),
}


@pytest.mark.cpu
@pytest.mark.parametrize("family", PARAMETERS)
def test_gradients_of_densities_are_differences(family):
    make, values = PARAMETERS[family]
    value = make(*map(wide, values)).sample((3,))
    parameters = [wide(v).requires_grad_() for v in values]
    assert corten.autograd.gradcheck(lambda *p: make(*p, validate_args=False).log_prob(value), parameters)


def normal_pairs():
    """Parameters for both sides of every registered divergence, such that it is finite where it can be."""
    t = tensor
    p = {
        "Bernoulli": D.Bernoulli(t([0.2, 0.7])),
        "Beta": D.Beta(t([1.5, 3.0]), t([2.0, 0.9])),
        "Binomial": D.Binomial(5, t([0.2, 0.7])),
        "Categorical": D.Categorical(t([[0.2, 0.8], [0.5, 0.5]])),
        "Cauchy": D.Cauchy(t([0.0, 1.0]), t([1.0, 2.0])),
        "ContinuousBernoulli": D.ContinuousBernoulli(t([0.2, 0.7])),
        "Dirichlet": D.Dirichlet(t([[0.7, 2.0], [3.0, 1.0]])),
        "Exponential": D.Exponential(t([0.7, 2.0])),
        "ExponentialFamily": D.Wishart(t([3.0, 5.0]), t([[2.0, 0.3], [0.3, 1.0]])),
        "Gamma": D.Gamma(t([1.7, 2.0]), t([1.0, 3.0])),
        "Geometric": D.Geometric(t([0.2, 0.7])),
        "Gumbel": D.Gumbel(t([0.0, 1.0]), t([1.0, 0.5])),
        "HalfNormal": D.HalfNormal(t([0.7, 2.0])),
        "Independent": D.Independent(D.Normal(t([[0.0, 1.0], [2.0, 3.0]]), 1.0), 1),
        "Laplace": D.Laplace(t([0.0, 1.0]), t([1.0, 0.5])),
        "LowRankMultivariateNormal": D.LowRankMultivariateNormal(t([[0.0, 1.0]] * 2), t([[1.0], [2.0]]), t([1.0, 0.5])),
        "MultivariateNormal": D.MultivariateNormal(t([[0.0, 1.0]] * 2), t([[2.0, 0.3], [0.3, 1.0]])),
        "Normal": D.Normal(t([0.0, 1.0]), t([1.0, 0.5])),
        "OneHotCategorical": D.OneHotCategorical(t([[0.2, 0.8], [0.5, 0.5]])),
        "Pareto": D.Pareto(t([1.0, 2.0]), t([6.0, 9.0])),
        "Poisson": D.Poisson(t([3.0, 9.0])),
        "TransformedDistribution": D.LogNormal(t([0.0, 1.0]), t([1.0, 0.5])),
        "Uniform": D.Uniform(t([0.2, 0.0]), t([0.5, 1.0])),
    }
    q = {
        **p,
        "Bernoulli": D.Bernoulli(t([0.4, 0.3])),
        "Beta": D.Beta(t([0.9, 2.0]), t([3.0, 0.8])),
        "Binomial": D.Binomial(5, t([0.4, 0.3])),
        "Categorical": D.Categorical(t([[0.4, 0.6], [0.1, 0.9]])),
        "Cauchy": D.Cauchy(t([1.0, 1.5]), t([2.0, 2.5])),
        "ContinuousBernoulli": D.ContinuousBernoulli(t([0.4, 0.5])),
        "Dirichlet": D.Dirichlet(t([[1.0, 1.0], [2.0, 3.0]])),
        "Exponential": D.Exponential(t([1.0, 1.5])),
        "ExponentialFamily": D.Wishart(t([4.0, 4.5]), t([[1.0, 0.1], [0.1, 1.5]])),
        "Gamma": D.Gamma(t([1.2, 3.0]), t([2.0, 2.0])),
        "Geometric": D.Geometric(t([0.4, 0.5])),
        "Gumbel": D.Gumbel(t([0.5, 0.0]), t([2.0, 1.5])),
        "HalfNormal": D.HalfNormal(t([1.0, 1.5])),
        "Independent": D.Independent(D.Normal(t([[1.0, 1.0], [2.0, 2.0]]), 2.0), 1),
        "Laplace": D.Laplace(t([0.5, 0.0]), t([2.0, 1.5])),
        "LowRankMultivariateNormal": D.LowRankMultivariateNormal(t([[1.0, 1.0]] * 2), t([[2.0], [1.0]]), t([2.0, 0.7])),
        "MultivariateNormal": D.MultivariateNormal(t([[1.0, 1.0]] * 2), t([[3.0, 0.5], [0.5, 2.0]])),
        "Normal": D.Normal(t([0.5, 0.0]), t([2.0, 1.5])),
        "OneHotCategorical": D.OneHotCategorical(t([[0.4, 0.6], [0.1, 0.9]])),
        "Pareto": D.Pareto(t([0.1, 0.05]), t([4.0, 7.0])),
        "Poisson": D.Poisson(t([1.5, 8.0])),
        "TransformedDistribution": D.LogNormal(t([0.5, 0.0]), t([2.0, 1.5])),
        "Uniform": D.Uniform(t([-1.0, 0.0]), t([2.0, 1.0])),
    }
    return p, q


@pytest.mark.parametrize(("p", "q"), sorted((p.__name__, q.__name__) for p, q in _KL_REGISTRY))
def test_divergences_are_means_over_draws(p, q, monkeypatch):
    monkeypatch.setattr(D.Distribution, "_validate_args", False)
    own, other = (side[name] for side, name in zip(normal_pairs(), (p, q)))
    found = D.kl_divergence(own, other).cpu().numpy()
    draws = own.sample((FEWER.get(p, DRAWS),))
    infinite = ~other.support.check(draws).all(0).cpu().numpy()
    np.testing.assert_array_equal(np.isinf(found), infinite)
    ratio = (own.log_prob(draws) - other.log_prob(draws)).cpu().numpy()
    assert_mean(np.where(infinite, 0, ratio), np.where(infinite, 0, found), "divergence")


def test_divergences_of_a_distribution_from_itself_are_zero():
    for name, p in normal_pairs()[0].items():
        np.testing.assert_allclose(D.kl_divergence(p, p).cpu().numpy(), 0, atol=2e-6, err_msg=name)


def test_divergences_without_a_formula_say_so():
    with pytest.raises(NotImplementedError, match="p type Laplace and q type Cauchy"):
        D.kl_divergence(D.Laplace(0.0, 1.0), D.Cauchy(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="different exponential families"):
        D.kl_divergence(D.Poisson(1.0), D.Dirichlet(tensor([1.0, 2.0])))
    with pytest.raises(TypeError, match="type_p"):
        D.register_kl(1, D.Normal)
    with pytest.raises(ValueError, match="different event shapes"):
        D.kl_divergence(*(D.MultivariateNormal(corten.zeros(n), corten.eye(n)) for n in (2, 3)))


def test_the_most_specific_divergence_wins_and_ambiguity_warns():
    class Left(D.Normal):
        pass

    class Right(D.Normal):
        pass

    known = dict(_KL_REGISTRY)
    try:
        D.register_kl(Left, D.Normal)(lambda p, q: "left")
        assert D.kl_divergence(Left(0.0, 1.0), D.Normal(0.0, 1.0)) == "left"
        assert D.kl_divergence(Left(0.0, 1.0), Right(0.0, 1.0)) == "left"
        assert D.kl_divergence(D.Normal(0.0, 1.0), Left(0.0, 1.0)).item() == 0
        D.register_kl(D.Normal, Right)(lambda p, q: "right")
        with pytest.warns(RuntimeWarning, match=r"register_kl\(Left, Right\)"):
            assert D.kl_divergence(Left(0.0, 1.0), Right(0.0, 1.0)) == "left"
        D.register_kl(Left, Right)(lambda p, q: "both")
        assert D.kl_divergence(Left(0.0, 1.0), Right(0.0, 1.0)) == "both"
    finally:
        _KL_REGISTRY.clear()
        _KL_REGISTRY.update(known)
        D.kl._KL_MEMOIZE.clear()


def test_divergences_and_entropies_by_the_log_normalizer_have_gradients_of_both_sides():
    own, other = (tensor(value).requires_grad_() for value in (3.0, 2.0))
    # The formula of Poisson by way of the base class.
    D.kl._exponential_family(D.Poisson(own), D.Poisson(other)).backward()
    np.testing.assert_allclose(own.grad.item(), math.log(3 / 2), rtol=1e-5)
    np.testing.assert_allclose(other.grad.item(), 1 - 3 / 2, rtol=1e-5)
    rate = tensor(3.0).requires_grad_()
    D.ExponentialFamily.entropy(D.Exponential(rate)).backward()
    np.testing.assert_allclose(rate.grad.item(), -1 / 3, rtol=1e-5)
    assert not D.ExponentialFamily.entropy(D.Exponential(2.0)).requires_grad


@pytest.mark.parametrize("kind", [D.Transform, D.Distribution])
def test_classes_of_two_parents_reach_the_second_one(kind):
    class Both(kind, corten.nn.Module):
        arg_constraints = {}
        __hash__ = corten.nn.Module.__hash__

        def __init__(self):
            super().__init__()
            self.weight = corten.nn.Parameter(corten.ones(2))

    assert [name for name, _ in Both().named_parameters()] == ["weight"]
