"""Distributions beside PyTorch's: seeded draws, densities, moments, gradients, divergences, transforms and errors."""

from __future__ import annotations

import warnings

import corten
import numpy as np
import pytest
import torch
from corten.distributions import kl as own_kl
from torch.distributions import kl as torch_kl

RNG = np.random.default_rng(0)


def between(low, high, *shape):
    return RNG.uniform(low, high, shape)


def simplex(*shape):
    x = RNG.uniform(0.1, 1, shape)
    return x / x.sum(-1, keepdims=True)


def definite(*shape):
    x = RNG.standard_normal(shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


LOC, SCALE = between(-2, 2, 3), between(0.5, 2, 3)
PROBS, LOGITS = between(0.1, 0.9, 2, 3), between(-2, 2, 2, 3)
COVARIANCE = definite(2, 3, 3)
TRIL = np.linalg.cholesky(COVARIANCE)

# Family, parameters; an id follows for those that occur again.
CASES = {
    "Bernoulli": ("Bernoulli", {"probs": PROBS}),
    "Bernoulli-logits": ("Bernoulli", {"logits": LOGITS}),
    "Beta": ("Beta", {"concentration1": between(0.3, 4, 2, 3), "concentration0": between(0.3, 4, 3)}),
    "Binomial": ("Binomial", {"total_count": np.full(3, 7.0), "probs": PROBS}),
    "Binomial-logits": ("Binomial", {"total_count": np.full(3, 7.0), "logits": LOGITS}),
    "Categorical": ("Categorical", {"probs": simplex(2, 3)}),
    "Categorical-logits": ("Categorical", {"logits": LOGITS}),
    "Cauchy": ("Cauchy", {"loc": LOC, "scale": SCALE}),
    "Chi2": ("Chi2", {"df": between(0.5, 9, 3)}),
    "ContinuousBernoulli": ("ContinuousBernoulli", {"probs": np.array([0.01, 0.4995, 0.7])}),
    "ContinuousBernoulli-logits": ("ContinuousBernoulli", {"logits": LOGITS}),
    "Dirichlet": ("Dirichlet", {"concentration": between(0.3, 4, 2, 4)}),
    "Exponential": ("Exponential", {"rate": SCALE}),
    "FisherSnedecor": ("FisherSnedecor", {"df1": between(1, 9, 3), "df2": between(5, 9, 3)}),
    "Gamma": ("Gamma", {"concentration": between(0.3, 9, 2, 3), "rate": SCALE}),
    "GeneralizedPareto": (
        "GeneralizedPareto",
        {"loc": LOC, "scale": SCALE, "concentration": np.array([-0.4, 0.0, 0.3])},
    ),
    "Geometric": ("Geometric", {"probs": PROBS}),
    "Geometric-logits": ("Geometric", {"logits": LOGITS}),
    "Gumbel": ("Gumbel", {"loc": LOC, "scale": SCALE}),
    "HalfCauchy": ("HalfCauchy", {"scale": SCALE}),
    "HalfNormal": ("HalfNormal", {"scale": SCALE}),
    "InverseGamma": ("InverseGamma", {"concentration": between(0.5, 5, 3), "rate": SCALE}),
    "Kumaraswamy": ("Kumaraswamy", {"concentration1": between(1, 4, 3), "concentration0": between(1, 4, 3)}),
    "LKJCholesky": ("LKJCholesky", {"dim": 2, "concentration": between(0.5, 3, 2)}),
    "LKJCholesky-3": ("LKJCholesky", {"dim": 3, "concentration": between(0.5, 3, 2)}),
    "Laplace": ("Laplace", {"loc": LOC, "scale": SCALE}),
    "LogNormal": ("LogNormal", {"loc": LOC, "scale": SCALE}),
    "LogisticNormal": ("LogisticNormal", {"loc": LOC, "scale": SCALE}),
    "LowRankMultivariateNormal": (
        "LowRankMultivariateNormal",
        {"loc": LOC, "cov_factor": RNG.standard_normal((2, 3, 2)), "cov_diag": between(0.5, 2, 3)},
    ),
    "Multinomial": ("Multinomial", {"total_count": 5, "probs": simplex(2, 3)}),
    "Multinomial-logits": ("Multinomial", {"total_count": 5, "logits": LOGITS}),
    "MultivariateNormal": ("MultivariateNormal", {"loc": LOC, "covariance_matrix": COVARIANCE}),
    "MultivariateNormal-precision": ("MultivariateNormal", {"loc": LOC, "precision_matrix": COVARIANCE}),
    "MultivariateNormal-scale": ("MultivariateNormal", {"loc": LOC, "scale_tril": TRIL}),
    "NegativeBinomial": ("NegativeBinomial", {"total_count": between(1, 6, 3), "probs": PROBS}),
    "NegativeBinomial-logits": ("NegativeBinomial", {"total_count": between(1, 6, 3), "logits": LOGITS}),
    "Normal": ("Normal", {"loc": LOC, "scale": between(0.5, 2, 2, 1)}),
    "OneHotCategorical": ("OneHotCategorical", {"probs": simplex(2, 3)}),
    "OneHotCategoricalStraightThrough": ("OneHotCategoricalStraightThrough", {"logits": LOGITS}),
    "Pareto": ("Pareto", {"scale": SCALE, "alpha": np.array([0.7, 1.5, 3.0])}),
    "Poisson": ("Poisson", {"rate": between(0.5, 20, 3)}),
    "RelaxedBernoulli": ("RelaxedBernoulli", {"temperature": np.array(0.7), "probs": PROBS}),
    "RelaxedBernoulli-logits": ("RelaxedBernoulli", {"temperature": np.array(0.7), "logits": LOGITS}),
    "RelaxedOneHotCategorical": ("RelaxedOneHotCategorical", {"temperature": np.array(0.7), "probs": simplex(2, 3)}),
    "StudentT": ("StudentT", {"df": np.array([0.8, 1.7, 5.0]), "loc": LOC, "scale": SCALE}),
    "Uniform": ("Uniform", {"low": LOC, "high": LOC + SCALE}),
    "VonMises": ("VonMises", {"loc": LOC, "concentration": np.array([0.01, 2.0, 40.0])}),
    "Weibull": ("Weibull", {"scale": SCALE, "concentration": between(1, 3, 3)}),
    "Wishart": ("Wishart", {"df": between(3.5, 9, 2), "covariance_matrix": COVARIANCE}),
}
DTYPES = ("float32", "float64")
# PyTorch's generalized Pareto compares with a float32 zero.
NARROW = {"GeneralizedPareto"}
TYPED = [(case, dtype) for case in CASES for dtype in DTYPES if case not in NARROW or dtype == "float32"]


def widest(case):
    return "float32" if case in NARROW else "float64"


def tolerance(case, dtype=None):
    """How close values are: PyTorch's Bessel functions have seven digits."""
    if case == "VonMises" or (dtype or widest(case)) == "float32":
        return {"rtol": 3e-4, "atol": 3e-5}
    return {"rtol": 1e-6, "atol": 1e-8}


def convert(lib, parameters, dtype, requires_grad=False):
    kind = getattr(lib, dtype)
    return {
        name: value if isinstance(value, int) else lib.tensor(value, dtype=kind, requires_grad=requires_grad)
        for name, value in parameters.items()
    }


def make(lib, case, dtype=None):
    family, parameters = CASES[case]
    return getattr(lib.distributions, family)(**convert(lib, parameters, dtype or widest(case)))


def number(x):
    return x.detach().numpy() if isinstance(x, (corten.Tensor, torch.Tensor)) else x


def assert_same(found, wanted, **kwargs):
    assert tuple(found.shape) == tuple(wanted.shape)
    assert str(found.dtype).rpartition(".")[2] == str(wanted.dtype).rpartition(".")[2]
    np.testing.assert_allclose(number(found), number(wanted), **kwargs)


def draws(case, dtype=None, sample_shape=(5,)):
    """Values in the support, from PyTorch, for both packages."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = make(torch, case, dtype).sample(sample_shape)
    return corten.tensor(value.numpy()), value


def attempt(function):
    """The result, or the class of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function()
        except (NotImplementedError, AttributeError) as error:
            return type(error)


def test_the_names_are_pytorchs():
    assert sorted(corten.distributions.__all__) == sorted(torch.distributions.__all__)
    for module in ("constraints", "transforms"):
        found, wanted = (getattr(lib.distributions, module).__all__ for lib in (corten, torch))
        assert sorted(found) == sorted(wanted)


def test_every_family_has_a_case():
    families = {
        name
        for name in torch.distributions.__all__
        if isinstance(getattr(torch.distributions, name), type)
        and issubclass(getattr(torch.distributions, name), torch.distributions.Distribution)
    }
    others = {"Distribution", "ExponentialFamily", "Independent", "MixtureSameFamily", "TransformedDistribution"}
    assert families - others == {family for family, _ in CASES.values()}


# PyTorch draws Wishart matrices twice, since it takes those in the support for singular ones, and LKJ factors of three
# and more rows from another distribution than that of its density.
UNSEEDED = {"Wishart", "LKJCholesky-3"}
SEEDED = [case for case in CASES if case not in UNSEEDED]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SEEDED)
def test_seeded_draws_are_pytorchs(case, dtype):
    own, other = make(corten, case, dtype), make(torch, case, dtype)
    for sample_shape in ((), (4,), (3, 2)):
        for lib in (corten, torch):
            lib.manual_seed(3)
        assert_same(own.sample(sample_shape), other.sample(sample_shape), **tolerance(case, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_seeded_wishart_draws_are_pytorchs_decomposition(dtype):
    own, other = make(corten, "Wishart", dtype), make(torch, "Wishart", dtype)
    for lib in (corten, torch):
        lib.manual_seed(3)
    assert_same(own.sample((4,)), other._bartlett_sampling((4,)), **tolerance("Wishart", dtype))


REPARAMETERISED = [case for case in SEEDED if make(torch, case).has_rsample]


@pytest.mark.parametrize("case", REPARAMETERISED)
def test_gradients_of_draws_are_pytorchs(case):
    assert make(corten, case).has_rsample
    results = []
    for lib in (corten, torch):
        lib.manual_seed(5)
        parameters = convert(lib, CASES[case][1], "float64", requires_grad=True)
        draw = getattr(lib.distributions, CASES[case][0])(**parameters).rsample((50,))
        weight = lib.tensor(np.random.default_rng(2).standard_normal(draw.shape))
        (draw * weight).sum().backward()
        results.append((draw, {k: v.grad for k, v in parameters.items() if not isinstance(v, int)}))
    (own_draw, own), (other_draw, other) = results
    assert_same(own_draw, other_draw, rtol=1e-6, atol=1e-8)
    for name, wanted in other.items():
        if wanted is not None:
            # PyTorch approximates the derivatives of gamma and beta draws to about 1e-3.
            assert_same(own[name], wanted, rtol=2e-3, atol=2e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize(("case", "dtype"), TYPED)
def test_densities_and_their_gradients_are_pytorchs(case, dtype):
    results = []
    for lib, value in zip((corten, torch), draws(case, dtype)):
        parameters = convert(lib, CASES[case][1], dtype, requires_grad=True)
        distribution = getattr(lib.distributions, CASES[case][0])(**parameters, validate_args=False)
        density = distribution.log_prob(value)
        density.sum().backward()
        results.append((density, {k: v.grad for k, v in parameters.items() if not isinstance(v, int)}))
    (own_density, own), (other_density, other) = results
    assert_same(own_density, other_density, **tolerance(case, dtype))
    scale = 1e-3 if dtype == "float32" else 1e-6
    for name, wanted in other.items():
        if wanted is None:
            assert own[name] is None or not own[name].any()
        else:
            assert_same(own[name], wanted, rtol=scale, atol=scale * float(wanted.abs().max()))


FACTS = ["mean", "mode", "variance", "stddev", "scale_tril", "covariance_matrix", "precision_matrix", "probs", "logits"]


@pytest.mark.parametrize(("case", "dtype"), TYPED)
def test_moments_and_parameters_are_pytorchs(case, dtype):
    own, other = make(corten, case, dtype), make(torch, case, dtype)
    for fact in FACTS:
        found, wanted = (attempt(lambda d=d: getattr(d, fact)) for d in (own, other))
        if isinstance(wanted, type):
            assert found is wanted, fact
        else:
            assert_same(found, wanted, **tolerance(case, dtype), err_msg=fact)


@pytest.mark.parametrize(("case", "dtype"), TYPED)
def test_entropy_and_perplexity_are_pytorchs(case, dtype):
    own, other = make(corten, case, dtype), make(torch, case, dtype)
    for name in ("entropy", "perplexity"):
        found, wanted = (attempt(getattr(d, name)) for d in (own, other))
        if isinstance(wanted, type):
            assert found is wanted, name
        else:
            assert_same(found, wanted, **tolerance(case, dtype))


@pytest.mark.parametrize("case", CASES)
def test_distribution_functions_are_pytorchs(case):
    own, other = make(corten, case), make(torch, case)
    own_value, other_value = draws(case)
    found, wanted = attempt(lambda: own.cdf(own_value)), attempt(lambda: other.cdf(other_value))
    if isinstance(wanted, type):
        assert found is wanted
    else:
        assert_same(found, wanted, **tolerance(case))
    level = np.linspace(0.05, 0.95, 5).reshape(5, *(1,) * len(other.batch_shape))
    found, wanted = (
        attempt(lambda d=d, lib=lib: d.icdf(lib.tensor(level, dtype=getattr(lib, widest(case)))))
        for d, lib in ((own, corten), (other, torch))
    )
    if isinstance(wanted, type):
        assert found is wanted
    else:
        assert_same(found, wanted, **tolerance(case))


@pytest.mark.parametrize("case", CASES)
def test_supports_shapes_and_representations_are_pytorchs(case):
    own, other = make(corten, case), make(torch, case)
    assert tuple(own.batch_shape) == tuple(other.batch_shape)
    assert tuple(own.event_shape) == tuple(other.event_shape)
    assert repr(own) == repr(other).replace("torch.", "corten.")
    assert repr(own.support) == repr(other.support).replace("torch.", "corten.")
    assert own.has_enumerate_support == other.has_enumerate_support and own.has_rsample == other.has_rsample
    assert repr(own.arg_constraints) == repr(other.arg_constraints).replace("torch.", "corten.")
    if other.has_enumerate_support:
        for expand in (False, True):
            assert_same(own.enumerate_support(expand), other.enumerate_support(expand))


@pytest.mark.parametrize("case", CASES)
def test_expanded_distributions_are_pytorchs(case):
    own, other = (make(lib, case).expand((4, *make(lib, case).batch_shape)) for lib in (corten, torch))
    assert tuple(own.batch_shape) == tuple(other.batch_shape) and type(own).__name__ == type(other).__name__
    for lib in (corten, torch):
        lib.manual_seed(3)
    if case not in UNSEEDED:
        assert_same(own.sample((2,)), other.sample((2,)), **tolerance(case))
    own_value, other_value = draws(case, sample_shape=())
    assert_same(own.log_prob(own_value), other.log_prob(other_value), **tolerance(case))
    for fact in ("mean", "variance"):
        found, wanted = (attempt(lambda d=d: getattr(d, fact)) for d in (own, other))
        if not isinstance(wanted, type):
            assert_same(found, wanted, **tolerance(case))


# Beside those of CASES, to meet every branch of the divergences.
PAIRS = {
    "Uniform-unit": ("Uniform", {"low": np.array([0.1, 0.2, 0.05]), "high": np.array([0.4, 0.9, 0.95])}),
    "Uniform-positive": ("Uniform", {"low": np.array([2.0, 2.5, 3.0]), "high": np.array([3.0, 4.0, 5.0])}),
    "Uniform-wide": ("Uniform", {"low": np.array([-5.0, 0.2, -9.0]), "high": np.array([5.0, 0.9, 9.0])}),
    "Bernoulli-certain": ("Bernoulli", {"probs": np.array([0.0, 1.0, 0.5])}),
    "Categorical-certain": ("Categorical", {"probs": np.array([0.0, 1.0, 0.0])}),
    "Binomial-fewer": ("Binomial", {"total_count": np.full(3, 4.0), "probs": PROBS}),
}
CASES.update(PAIRS)


def pairs():
    by_family = {}
    for case, (family, _) in CASES.items():
        by_family.setdefault(family, []).append(case)
    by_family["ExponentialFamily"] = ["Poisson", "Chi2", "Wishart"]
    by_family["TransformedDistribution"] = ["LogNormal", "LogisticNormal"]
    for p, q in torch_kl._KL_REGISTRY:
        for own in by_family.get(p.__name__, []):
            for other in by_family.get(q.__name__, []):
                yield own, other


def test_the_pairs_of_divergences_are_pytorchs():
    found, wanted = ({(p.__name__, q.__name__) for p, q in kl._KL_REGISTRY} for kl in (own_kl, torch_kl))
    assert found == wanted


@pytest.mark.parametrize(("p", "q"), sorted(set(pairs())))
def test_divergences_and_their_gradients_are_pytorchs(p, q):
    results = []
    for lib in (corten, torch):
        first, second = (convert(lib, CASES[case][1], "float64", requires_grad=True) for case in (p, q))
        distributions = [
            getattr(lib.distributions, CASES[case][0])(**parameters) for case, parameters in ((p, first), (q, second))
        ]
        # PyTorch finds what is infinite by masks, which do not broadcast.
        shapes = {d.batch_shape for d in distributions}
        if all(shape in ((3,), (2, 3)) for shape in shapes):
            distributions = [d.expand(max(shapes, key=len)) for d in distributions]
        value = attempt(lambda: lib.distributions.kl_divergence(*distributions))
        gradients = []
        if not isinstance(value, type) and value.requires_grad and bool(value.isfinite().all()):
            value.sum().backward()
            gradients = [v.grad for v in (*first.values(), *second.values()) if not isinstance(v, int)]
        results.append((value, gradients))
    (found, own), (wanted, other) = results
    if isinstance(wanted, type):
        assert found is wanted
        return
    assert_same(found, wanted, rtol=1e-6, atol=1e-8)
    if p in ("Wishart", "Chi2", "Poisson") and p == q:
        return  # PyTorch sums the term of Wishart's `df` over the batch, and gives p no gradient.
    for a, b in zip(own, other, strict=True):
        if a is not None and b is not None and bool(b.isfinite().all()):
            assert_same(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_independent_is_pytorchs(dims):
    own, other = (lib.distributions.Independent(make(lib, "Normal"), dims) for lib in (corten, torch))
    assert repr(own) == repr(other).replace("torch.", "corten.")
    own_value, other_value = draws("Normal")
    for found, wanted in (
        (own.log_prob(own_value), other.log_prob(other_value)),
        (own.entropy(), other.entropy()),
        (own.mean, other.mean),
        (own.expand((3, *own.batch_shape)).entropy(), other.expand((3, *other.batch_shape)).entropy()),
    ):
        assert_same(found, wanted, rtol=1e-12)
    kl = [lib.distributions.kl_divergence(d, d.expand(d.batch_shape)) for lib, d in ((corten, own), (torch, other))]
    assert_same(*kl, atol=1e-12)


def mixture(lib, family, weights):
    like = {"dtype": lib.float64}
    if family == "Normal":
        component = lib.distributions.Normal(
            lib.tensor([[0.0, 1, 5], [2, 3, 4]], **like), lib.tensor([1.0, 2, 3], **like)
        )
    else:
        component = lib.distributions.MultivariateNormal(
            lib.tensor(np.arange(12.0).reshape(2, 3, 2)), lib.eye(2, **like)
        )
    chosen = lib.distributions.Categorical(lib.tensor(weights, **like))
    return lib.distributions.MixtureSameFamily(chosen, component)


@pytest.mark.parametrize("weights", [[0.2, 0.3, 0.5], [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]])
@pytest.mark.parametrize("family", ["Normal", "MultivariateNormal"])
def test_mixtures_are_pytorchs(family, weights):
    own, other = (mixture(lib, family, weights) for lib in (corten, torch))
    for lib in (corten, torch):
        lib.manual_seed(0)
    if np.ndim(weights) == 2:
        assert_same(own.sample((5,)), other.sample((5,)), rtol=1e-12)
    # PyTorch draws from no mixture whose weights lack the components' batch.
    found = own.sample((5,))
    wanted = torch.tensor(found.numpy())
    assert_same(own.log_prob(found), other.log_prob(wanted), rtol=1e-10)
    assert_same(own.mean, other.mean, rtol=1e-12)
    assert_same(own.variance, other.variance, rtol=1e-12)
    assert repr(own.support) == repr(other.support)
    if family == "Normal":
        assert_same(own.cdf(found), other.cdf(wanted), rtol=1e-12)


def transform_of(lib, name):
    T, like = lib.distributions.transforms, {"dtype": lib.float64}
    loc, scale = lib.tensor([0.5, -1, 2], **like), lib.tensor([2.0, -3, 0.5], **like)
    return {
        "abs": lambda: T.AbsTransform(),
        "affine": lambda: T.AffineTransform(loc, scale),
        "affine-numbers": lambda: T.AffineTransform(1.0, -2.0, event_dim=1),
        "affine-event": lambda: T.AffineTransform(loc, scale, event_dim=1),
        "cat": lambda: T.CatTransform([T.ExpTransform(), T.AffineTransform(1.0, 2.0)], dim=-1, lengths=[1, 2]),
        "compose": lambda: T.ComposeTransform(
            [T.AffineTransform(loc, scale), T.SigmoidTransform(), T.SoftmaxTransform()]
        ),
        "corr-cholesky": lambda: T.CorrCholeskyTransform(),
        "cdf": lambda: T.CumulativeDistributionTransform(lib.distributions.Normal(loc, scale.abs())),
        "exp": lambda: T.ExpTransform(),
        "independent": lambda: T.IndependentTransform(T.ExpTransform(), 1),
        "power": lambda: T.ComposeTransform([T.ExpTransform(), T.PowerTransform(scale)]),
        "reshape": lambda: T.ReshapeTransform((3,), (3, 1)),
        "sigmoid": lambda: T.SigmoidTransform(),
        "softplus": lambda: T.SoftplusTransform(),
        "softmax": lambda: T.SoftmaxTransform(),
        "stack": lambda: T.StackTransform([T.ExpTransform(), T.TanhTransform(), T.AffineTransform(0.0, 3.0)], dim=-1),
        "stick-breaking": lambda: T.StickBreakingTransform(),
        "tanh": lambda: T.TanhTransform(),
        "inverse": lambda: T.ComposeTransform([T.SigmoidTransform(), T.ExpTransform().inv]),
    }[name]()


TRANSFORMS = [
    *("abs", "affine", "affine-numbers", "affine-event", "cat", "compose"),
    *("corr-cholesky", "cdf", "exp", "independent", "power", "reshape"),
    *("sigmoid", "softplus", "softmax", "stack", "stick-breaking", "tanh"),
    "inverse",
]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_are_pytorchs(name):
    values = np.random.default_rng(1).standard_normal((4, 3))
    results = []
    for lib in (corten, torch):
        t = transform_of(lib, name)
        x = lib.tensor(values)
        y = t(x)
        results.append(
            {
                "y": y,
                "x": t.inv(y),
                "log_det": attempt(lambda: t.log_abs_det_jacobian(x, y)),
                "shapes": (tuple(t.forward_shape(x.shape)), tuple(t.inverse_shape(y.shape))),
                "text": (repr(t), repr(t.domain), repr(t.codomain), t.bijective),
                "sign": number(attempt(lambda: t.sign)),
            }
        )
    found, wanted = results
    for key, value in wanted.items():
        if isinstance(value, torch.Tensor):
            assert_same(found[key], value, rtol=1e-9, atol=1e-11, err_msg=key)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] == value, key


REGIONS = [
    ("real",),
    ("real_vector",),
    ("positive",),
    ("nonnegative",),
    ("unit_interval",),
    ("simplex",),
    ("lower_cholesky",),
    ("positive_definite",),
    ("positive_semidefinite",),
    ("corr_cholesky",),
    ("greater_than", 2.0),
    ("greater_than_eq", -1.0),
    ("less_than", 3.0),
    ("interval", -2.0, 5.0),
    ("half_open_interval", 0.0, 1.0),
]


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
@pytest.mark.parametrize("region", REGIONS, ids=lambda r: r[0])
def test_transforms_into_regions_are_pytorchs(region, registry):
    name, *bounds = region
    results = []
    for lib in (corten, torch):
        constraint = getattr(lib.distributions.constraints, name)
        constraint = constraint(*bounds) if bounds else constraint
        t = attempt(lambda: getattr(lib.distributions, registry)(constraint))
        if isinstance(t, type):
            results.append(t)
            continue
        x = lib.tensor(np.random.default_rng(1).standard_normal((2, 3, 3)))
        y = t(x)
        results.append((y, t.inv(y), bool(constraint.check(y).all())))
    found, wanted = results
    if isinstance(wanted, type):
        assert found is wanted
        return
    assert_same(found[0], wanted[0], rtol=1e-10)
    assert_same(found[1], wanted[1], rtol=1e-8, atol=1e-10)
    assert found[2] and wanted[2]


CHECKED = {
    "boolean": [0.0, 1, 0.5, np.nan],
    "nonnegative_integer": [0.0, 3, -1, 0.5],
    "positive_integer": [0.0, 3, 1, 1.5],
    "real": [0.0, np.inf, np.nan],
    "positive": [0.0, 1, -1, np.nan],
    "nonnegative": [0.0, 1, -1, np.nan],
    "unit_interval": [0.0, 1, 0.5, -0.1, 1.1],
    "simplex": [[0.5, 0.5], [0.5, 0.6], [1.5, -0.5]],
    "one_hot": [[0.0, 1], [1, 1], [0, 0], [0.5, 0.5]],
    "real_vector": [[0.0, 1], [np.nan, 1]],
    "lower_triangular": [[[1.0, 0], [2, 3]], [[1, 1], [2, 3]], [[-1, 0], [2, 3]]],
    "lower_cholesky": [[[1.0, 0], [2, 3]], [[1, 1], [2, 3]], [[-1, 0], [2, 3]]],
    "corr_cholesky": [[[1.0, 0], [0.6, 0.8]], [[1, 0], [0.6, 0.7]], [[1, 0.1], [0.6, 0.8]]],
    "square": [[[1.0, 0], [2, 3]]],
    "symmetric": [[[1.0, 2], [2, 3]], [[1, 1], [2, 3]]],
    "positive_definite": [[[2.0, 1], [1, 2]], [[1, 2], [2, 1]], [[1, 1], [1, 1]], [[-1, 0], [0, -1]], [[0, 1], [1, 0]]],
    "positive_semidefinite": [
        [[2.0, 1], [1, 2]],
        [[1, 2], [2, 1]],
        [[-1, 0], [0, -1]],
        [[0, 0], [0, 0]],
        [[0, 1], [1, 0]],
    ],
}


@pytest.mark.parametrize("name", CHECKED)
def test_constraints_accept_what_pytorchs_accept(name):
    found, wanted = (
        getattr(lib.distributions.constraints, name).check(lib.tensor(CHECKED[name])) for lib in (corten, torch)
    )
    assert found.tolist() == wanted.tolist()


BAD = [
    ("Normal", {"loc": 0.0, "scale": -1.0}),
    ("Normal", {"loc": [0.0, float("nan")], "scale": 1.0}),
    ("Bernoulli", {"probs": 1.5}),
    ("Bernoulli", {}),
    ("Bernoulli", {"probs": 0.5, "logits": 0.0}),
    ("Categorical", {"probs": [-0.1, 1.1]}),
    ("Dirichlet", {"concentration": 1.0}),
    ("Uniform", {"low": 1.0, "high": 0.0}),
    ("Geometric", {"probs": 0.0}),
    ("ContinuousBernoulli", {"probs": 2.0, "validate_args": True}),
    ("LKJCholesky", {"dim": 1}),
    ("MultivariateNormal", {"loc": [0.0, 0.0]}),
    ("MultivariateNormal", {"loc": [0.0, 0.0], "covariance_matrix": [1.0, 2.0]}),
    ("MultivariateNormal", {"loc": [0.0, 0.0], "covariance_matrix": [[1.0, 2.0], [2.0, 1.0]]}),
    ("Wishart", {"df": 0.5, "covariance_matrix": [[1.0, 0.0], [0.0, 1.0]]}),
    ("Wishart", {"df": 5.0}),
    ("LowRankMultivariateNormal", {"loc": [0.0, 0.0], "cov_factor": [[1.0]], "cov_diag": [1.0, 1.0]}),
]


@pytest.mark.parametrize(("family", "parameters"), BAD)
def test_bad_parameters_raise_pytorchs_errors(family, parameters):
    texts = []
    for lib in (corten, torch):
        given = {k: lib.tensor(v) if isinstance(v, (list, float)) and k != "df" else v for k, v in parameters.items()}
        with pytest.raises((ValueError, AssertionError)) as caught:
            getattr(lib.distributions, family)(**given)
        texts.append((caught.type, str(caught.value).split(" of distribution")[0].split("\n")[0][:60]))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("case", "value"), [("Gamma", -1.0), ("Bernoulli", 0.5), ("Uniform", 99.0), ("Normal", float("nan"))]
)
def test_values_outside_the_support_raise_pytorchs_errors(case, value):
    texts = []
    for lib in (corten, torch):
        with pytest.raises(ValueError, match="to be within the support") as caught:
            make(lib, case, "float32").log_prob(lib.tensor(value))
        texts.append(str(caught.value).replace("torch.", "corten."))
    assert texts[0] == texts[1]


def test_values_of_wrong_shapes_raise_pytorchs_errors():
    for case, shape in (("Normal", (4,)), ("Dirichlet", (3,))):
        texts = []
        for lib in (corten, torch):
            with pytest.raises(ValueError) as caught:
                make(lib, case).log_prob(lib.ones(shape, dtype=lib.float64))
            texts.append(str(caught.value).replace("torch.", "corten."))
        assert texts[0] == texts[1]
