"""Transforms, constraints, what is built of them, and the matrices behind multivariate families."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import corten
import numpy as np
import pytest
from corten import distributions as D
from corten.distributions import _matrices, constraints, transforms, utils

NORMAL = D.Normal(corten.tensor([0.5, -1.0, 2.0]), corten.tensor([2.0, 3.0, 0.5]))
LOC, SCALE = corten.tensor([0.5, -1.0, 2.0]), corten.tensor([2.0, -3.0, 0.5])
# By name: the transform, and how a draw of normal numbers (4, 3) comes into its domain.
TRANSFORMS = {
    "affine": (transforms.AffineTransform(LOC, SCALE), None),
    "affine-event": (transforms.AffineTransform(LOC, SCALE, event_dim=1), None),
    "affine-numbers": (transforms.AffineTransform(1.0, -2.0), None),
    "cat": (
        transforms.CatTransform([transforms.ExpTransform(), transforms.AffineTransform(1.0, 2.0)], -1, [1, 2]),
        None,
    ),
    "cdf": (transforms.CumulativeDistributionTransform(NORMAL), lambda x: NORMAL.loc + NORMAL.scale * x),
    "compose": (
        transforms.ComposeTransform([transforms.AffineTransform(LOC, SCALE), transforms.StickBreakingTransform()]),
        None,
    ),
    "corr-cholesky": (transforms.CorrCholeskyTransform(), None),
    "exp": (transforms.ExpTransform(), None),
    "identity": (transforms.identity_transform, None),
    "independent": (transforms.IndependentTransform(transforms.TanhTransform(), 1), None),
    "log": (transforms.ExpTransform().inv, corten.exp),
    "power": (transforms.PowerTransform(corten.tensor([2.0, -1.0, 0.5])), corten.exp),
    "reshape": (transforms.ReshapeTransform((3,), (3, 1)), None),
    "sigmoid": (transforms.SigmoidTransform(), None),
    "softplus": (transforms.SoftplusTransform(), None),
    "stack": (
        transforms.StackTransform(
            [transforms.ExpTransform(), transforms.TanhTransform(), transforms.AffineTransform(0.0, 3.0)], -1
        ),
        None,
    ),
    "stick-breaking": (transforms.StickBreakingTransform(), None),
    "tanh": (transforms.TanhTransform(), None),
}
ONE_WAY = {
    "abs": transforms.AbsTransform(),
    "lower-cholesky": transforms.LowerCholeskyTransform(),
    "positive-definite": transforms.PositiveDefiniteTransform(),
    "softmax": transforms.SoftmaxTransform(),
}


def draw(into=None, *shape):
    x = corten.randn(*(shape or (4, 3)))
    return into(x) if into else x


def free_entries(name, y):
    """As many entries of y as x has, in which the Jacobian is one of them by the other."""
    if name in ("stick-breaking", "compose"):
        return y[..., :-1]
    if name == "corr-cholesky":
        return utils.tril_matrix_to_vec(y, -1)
    return y.reshape(-1)


def close(found, wanted, **tolerance):
    np.testing.assert_allclose(
        found.detach().cpu().numpy(), wanted.detach().cpu().numpy(), **{"rtol": 1e-4, "atol": 1e-5} | tolerance
    )


def test_every_transform_has_a_case():
    classes = {type(t).__name__ for t, _ in TRANSFORMS.values()} | {type(t).__name__ for t in ONE_WAY.values()}
    wanted = {name for name in transforms.__all__ if isinstance(getattr(transforms, name), type)}
    assert wanted - {"Transform"} <= classes


@pytest.mark.parametrize("name", TRANSFORMS)
def test_inverses_and_shapes_fit(name):
    t, into = TRANSFORMS[name]
    x = draw(into)
    y = t(x)
    assert t.bijective and t.inv.inv is t and t.inv.bijective
    assert y.shape == t.forward_shape(x.shape) and x.shape == t.inverse_shape(y.shape)
    assert y.shape == t.inv.inverse_shape(x.shape) and x.shape == t.inv.forward_shape(y.shape)
    close(t.inv(y), x)
    close(t(t.inv(y)), y)
    assert t.codomain.check(y).all()
    assert repr(t.domain) == repr(t.inv.codomain) and repr(t.codomain) == repr(t.inv.domain)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_jacobians_are_those_of_autograd(name):
    t, into = TRANSFORMS[name]
    x = draw(into, 3)
    jacobian = corten.autograd.functional.jacobian(lambda x: free_entries(name, t(x)), x)
    wanted = corten.tensor(np.linalg.slogdet(jacobian.reshape(3, 3).cpu().numpy())[1])
    found = t.log_abs_det_jacobian(x, t(x))
    # A stack of numbers along the last dim has a Jacobian for each.
    assert found.shape == x.shape[: x.dim() - (0 if name == "stack" else t.domain.event_dim)]
    close(found.sum(), wanted, rtol=1e-3)
    close(t.inv.log_abs_det_jacobian(t(x), x), -found)


@pytest.mark.parametrize("name", ["affine", "affine-numbers", "exp", "independent", "log", "power", "sigmoid", "tanh"])
def test_signs_tell_which_way_functions_go(name):
    t, into = TRANSFORMS[name]
    x = draw(into)
    slope = t(x + 0.01) - t(x)
    assert (slope.sign() == t.sign).all()


@pytest.mark.parametrize("name", ONE_WAY)
def test_transforms_that_lose_something_are_stable_under_their_inverse(name):
    t = ONE_WAY[name]
    y = t(corten.randn(2, 3, 3))
    assert not t.bijective and t.codomain.check(y).all()
    close(t(t.inv(y)), y)
    with pytest.raises(NotImplementedError):
        t.log_abs_det_jacobian(y, y)


@pytest.mark.parametrize("name", sorted(TRANSFORMS.keys() - {"identity", "log"}))
def test_a_cache_gives_back_the_very_tensors(name):
    t, into = TRANSFORMS[name]
    cached = t.with_cache()
    assert cached.with_cache() is cached and type(cached) is type(t)
    x = draw(into)
    y = cached(x)
    assert t(x) is not t(x)
    if name != "compose":
        assert cached(x) is y and cached.inv(y) is x
    close(y, t(x))
    again = pickle.loads(pickle.dumps(cached))
    close(again(x), y)


def test_a_cached_inverse_survives_rounding():
    x = corten.tensor([12.0])
    assert transforms.TanhTransform().inv(transforms.TanhTransform()(x)).isinf().all()
    t = transforms.TanhTransform(cache_size=1)
    assert t.inv(t(x)) is x
    with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
        transforms.ExpTransform(cache_size=2)


def test_equal_transforms_are_equal():
    T = transforms
    assert T.ExpTransform() == T.ExpTransform() and T.ExpTransform() != T.SigmoidTransform()
    assert T.AffineTransform(1.0, LOC) == T.AffineTransform(1.0, LOC.clone())
    assert T.AffineTransform(1.0, 2.0) != T.AffineTransform(1.0, 3.0)
    assert T.PowerTransform(2.0) == T.PowerTransform(2.0) != T.PowerTransform(3.0)
    assert T.ExpTransform().inv == T.ExpTransform().inv != T.ExpTransform()
    assert T.ComposeTransform([T.ExpTransform()]) == T.ComposeTransform([T.ExpTransform()])
    assert copy.deepcopy(T.AffineTransform(1.0, LOC)) == T.AffineTransform(1.0, LOC)


def test_shapes_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="different numbers of elements"):
        transforms.ReshapeTransform((2,), (3,))
    with pytest.raises(ValueError, match="Shape mismatch"):
        transforms.ReshapeTransform((4,), (2, 2)).forward_shape((3,))
    with pytest.raises(ValueError, match="Too few dimensions"):
        transforms.StickBreakingTransform().forward_shape(())
    with pytest.raises(ValueError, match="not a flattened lower-diagonal number"):
        transforms.CorrCholeskyTransform().forward_shape((4,))
    with pytest.raises(AssertionError, match="out of range"):
        transforms.StackTransform([transforms.ExpTransform()], dim=2)(corten.ones(1))
    with pytest.raises(AssertionError, match="must equal length 2"):
        transforms.CatTransform([transforms.ExpTransform()] * 2)(corten.ones(3))
    with pytest.raises(AssertionError, match="must match transforms"):
        transforms.CatTransform([transforms.ExpTransform()], lengths=[1, 2])


REGIONS = [
    constraints.real,
    constraints.real_vector,
    constraints.positive,
    constraints.nonnegative,
    constraints.unit_interval,
    constraints.simplex,
    constraints.corr_cholesky,
    constraints.greater_than(2.0),
    constraints.greater_than_eq(LOC),
    constraints.less_than(3.0),
    constraints.interval(-2.0, 5.0),
    constraints.interval(LOC, LOC + 2),
    constraints.half_open_interval(0.0, 1.0),
    constraints.independent(constraints.positive, 1),
    constraints.cat([constraints.positive, constraints.real], -1, [1, 2]),
    constraints.stack([constraints.positive, constraints.real, constraints.unit_interval], -1),
    constraints.lower_cholesky,
    constraints.positive_definite,
    constraints.positive_semidefinite,
]


@pytest.mark.parametrize("constraint", REGIONS, ids=lambda c: type(c).__name__)
def test_registered_transforms_lead_into_their_regions(constraint):
    x = corten.randn(2, 3, 3)
    for registry in (D.biject_to, D.transform_to):
        if registry is D.biject_to and constraint in REGIONS[-3:]:
            with pytest.raises(NotImplementedError, match="Cannot transform"):
                registry(constraint)
            continue
        t = registry(constraint)
        y = t(x)
        assert constraint.check(y).all()
        assert t.bijective or registry is D.transform_to
        close(t(t.inv(y)), y)


def test_a_registry_learns_new_constraints():
    class Even(constraints.Constraint):
        pass

    registry = D.constraint_registry.ConstraintRegistry()
    with pytest.raises(NotImplementedError, match="Cannot transform Even"):
        registry(Even())

    @registry.register(Even)
    def even(constraint):
        return transforms.AffineTransform(0.0, 2.0)

    assert registry(Even()) == transforms.AffineTransform(0.0, 2.0)
    registry.register(constraints.real, even)
    assert registry(constraints.real) == registry(Even())
    with pytest.raises(TypeError, match="Expected constraint"):
        registry.register(int, even)


nan, inf = math.nan, math.inf
# Constraint, values that lie inside, values that do not.
CHECKS = [
    (constraints.boolean, [0.0, 1.0], [0.5, 2.0, nan]),
    (constraints.real, [0.0, inf], [nan]),
    (constraints.positive, [1.0, inf], [0.0, -1.0, nan]),
    (constraints.nonnegative, [0.0, 1.0], [-1.0, nan]),
    (constraints.less_than(1.0), [0.0, -inf], [1.0, nan]),
    (constraints.unit_interval, [0.0, 0.5, 1.0], [-0.1, 1.1, nan]),
    (constraints.half_open_interval(0.0, 1.0), [0.0, 0.5], [1.0, nan]),
    (constraints.nonnegative_integer, [0.0, 3.0], [-1.0, 0.5, nan]),
    (constraints.positive_integer, [1.0, 3.0], [0.0, 1.5]),
    (constraints.integer_interval(1, 3), [1.0, 3.0], [0.0, 4.0, 1.5]),
    (constraints.one_hot, [[0.0, 1.0]], [[1.0, 1.0], [0.0, 0.0], [0.5, 0.5]]),
    (constraints.simplex, [[0.5, 0.5], [0.0, 1.0]], [[0.5, 0.6], [1.5, -0.5]]),
    (constraints.multinomial(3), [[1.0, 2.0], [0.0, 0.0]], [[2.0, 2.0], [-1.0, 2.0]]),
    (constraints.real_vector, [[0.0, 1.0]], [[0.0, nan]]),
    (constraints.lower_triangular, [[[-1.0, 0.0], [2.0, 3.0]]], [[[1.0, 1.0], [2.0, 3.0]]]),
    (constraints.lower_cholesky, [[[1.0, 0.0], [2.0, 3.0]]], [[[-1.0, 0.0], [2.0, 3.0]], [[1.0, 1.0], [2.0, 3.0]]]),
    (constraints.corr_cholesky, [[[1.0, 0.0], [0.6, 0.8]]], [[[1.0, 0.0], [0.6, 0.7]]]),
    (constraints.symmetric, [[[1.0, 2.0], [2.0, 3.0]]], [[[1.0, 2.0], [1.0, 3.0]]]),
    (
        constraints.positive_definite,
        [[[2.0, 1.0], [1.0, 2.0]], [[1e-8, 0.0], [0.0, 1e8]]],
        [
            *([[1.0, 2.0], [2.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]]),
            *([[0.0, 1.0], [1.0, 0.0]], [[nan, 0.0], [0.0, 1.0]], [[2.0, 1.0], [0.0, 2.0]]),
        ],
    ),
    (
        constraints.positive_semidefinite,
        [[[2.0, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]],
        [[[1.0, 2.0], [2.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]],
    ),
    (constraints.cat([constraints.positive, constraints.boolean], 0, [2, 1]), [1.0, 2.0, 0.0], []),
    (constraints.stack([constraints.positive, constraints.boolean], 0), [1.0, 0.0], []),
]


@pytest.mark.parametrize(("constraint", "inside", "outside"), CHECKS, ids=lambda c: type(c).__name__)
def test_constraints_tell_inside_from_outside(constraint, inside, outside):
    assert constraint.check(corten.tensor(inside)).all()
    for value in outside:
        assert not constraint.check(corten.tensor([value])).any()


def test_dependent_constraints_know_what_they_were_told():
    with pytest.raises(ValueError, match="Cannot determine validity"):
        constraints.dependent.check(LOC)
    with pytest.raises(NotImplementedError):
        _ = constraints.dependent.event_dim
    told = constraints.dependent(is_discrete=True, event_dim=1)
    assert (told.is_discrete, told.event_dim) == (True, 1) and constraints.is_dependent(told)
    assert constraints.is_dependent(D.Uniform.support) and D.Uniform.support.event_dim == 0
    assert not constraints.is_dependent(D.Normal.support)
    with pytest.raises(ValueError, match=r"value.dim\(\) >= 2"):
        constraints.independent(constraints.simplex, 1).check(LOC)


def test_bad_parameters_name_what_is_wrong():
    with pytest.raises(ValueError, match=r"parameter scale \(Tensor of shape \(2,\)\).*Normal.*lower_bound=0.0"):
        D.Normal(corten.zeros(2), corten.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="Either `probs` or `logits`"):
        D.Bernoulli()
    with pytest.raises(ValueError, match="at least one-dimensional"):
        D.Categorical(corten.tensor(0.5))
    with pytest.raises(ValueError, match="must all be instances of Number"):
        D.Normal("0", 1.0)
    with pytest.raises(NotImplementedError, match="inhomogeneous total_count"):
        D.Multinomial(corten.tensor([1, 2]), corten.ones(3))
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        D.Independent(NORMAL, 2)
    with pytest.raises(ValueError, match="size at least 1"):
        D.TransformedDistribution(D.Normal(0.0, 1.0), transforms.StickBreakingTransform())
    with pytest.raises(ValueError, match="Incompatible batch shapes"):
        D.LowRankMultivariateNormal(corten.zeros(2, 3), corten.ones(4, 3, 1), corten.ones(3))
    with pytest.raises(ValueError, match="does not equal"):
        D.MixtureSameFamily(D.Categorical(corten.ones(2)), NORMAL)
    with pytest.raises(NotImplementedError, match="Inhomogeneous total count"):
        D.Binomial(corten.tensor([1.0, 2.0]), corten.tensor(0.5)).entropy()


def test_values_that_no_sample_can_have_are_refused():
    with pytest.raises(ValueError, match="within the support"):
        D.Exponential(1.0).log_prob(corten.tensor(-1.0))
    with pytest.raises(ValueError, match="must be a Tensor"):
        NORMAL.log_prob(1.0)
    with pytest.raises(ValueError, match="not broadcastable"):
        NORMAL.log_prob(corten.zeros(2))
    with pytest.raises(ValueError, match="right-most size"):
        D.Dirichlet(corten.ones(3)).log_prob(corten.ones(2) / 2)


def test_validation_can_be_turned_off(monkeypatch):
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    monkeypatch.setattr(D.Distribution, "_validate_args", True)
    D.Distribution.set_default_validate_args(False)
    assert D.Normal(0.0, -1.0).scale.item() == -1
    with pytest.raises(ValueError, match="scale"):
        D.Normal(0.0, -1.0, validate_args=True)
    with pytest.raises(ValueError, match="expected a bool"):
        D.Distribution.set_default_validate_args(3)


def test_families_of_programs_need_little():
    class Twice(D.Distribution):
        arg_constraints = {}

        def rsample(self, sample_shape=()):
            return corten.full(self._extended_shape(sample_shape), 2.0)

    twice = Twice((3,))
    assert twice.sample((2,)).tolist() == [[2.0] * 3] * 2
    for missing in ("mean", "variance", "mode"):
        with pytest.raises(NotImplementedError):
            getattr(twice, missing)
    for missing in (twice.entropy, twice.enumerate_support, lambda: twice.expand((2, 3)), lambda: twice.cdf(LOC)):
        with pytest.raises(NotImplementedError):
            missing()
    with pytest.warns(UserWarning, match="does not define `support`"):
        twice._validate_sample(LOC)
    with pytest.warns(FutureWarning, match="sample_n"):
        assert twice.sample_n(2).shape == (2, 3)

    class Own(D.Normal):
        def __init__(self):
            super().__init__(0.0, 1.0)

    with pytest.raises(NotImplementedError, match="must also define a custom"):
        Own().expand((2,))


def test_parameters_that_follow_are_computed_once():
    bernoulli = D.Bernoulli(corten.tensor([0.2, 0.7]).requires_grad_())
    assert "logits" not in bernoulli.__dict__
    with corten.no_grad():
        logits = bernoulli.logits
    assert logits is bernoulli.logits and logits.requires_grad
    assert isinstance(D.Bernoulli.logits, property)
    assert repr(bernoulli) == "Bernoulli(probs: corten.Size([2]), logits: corten.Size([2]))"
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"


def test_numbers_and_tensors_broadcast():
    a, b = utils.broadcast_all(1, corten.zeros(2, 1, dtype=corten.float16))
    assert a.shape == b.shape == (2, 1) and a.dtype == corten.float16
    assert utils.broadcast_all(1, 2)[0].dtype == corten.get_default_dtype()
    with pytest.raises(ValueError, match="Number"):
        utils.broadcast_all([1], 2)


@pytest.mark.parametrize("diag", [-2, -1, 0, 1])
def test_triangles_become_vectors_and_back(diag):
    triangle = corten.randn(2, 4, 4).tril(diag)
    vector = utils.tril_matrix_to_vec(triangle, diag)
    assert vector[0].tolist() == triangle[0].cpu().numpy()[np.tril_indices(4, diag)].tolist()
    assert corten.equal(utils.vec_to_tril_matrix(vector, diag), triangle)


def test_vectors_that_fill_no_triangle_raise():
    with pytest.raises(ValueError, match="lower triangular part"):
        utils.vec_to_tril_matrix(corten.ones(4))
    with pytest.raises(ValueError, match="outside"):
        utils.tril_matrix_to_vec(corten.ones(3, 3), diag=3)


def definite(*shape):
    x = corten.randn(*shape, dtype=corten.float64)
    return x @ x.mT + corten.eye(shape[-1], dtype=corten.float64)


@pytest.mark.cpu
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 2, 4, 4), (40, 40), (0, 3, 3), (2, 0, 0)])
def test_cholesky_factors_are_numpys(shape):
    A = definite(*shape)
    L = _matrices.cholesky(A)
    np.testing.assert_allclose(L.cpu().numpy(), np.linalg.cholesky(A.cpu().numpy()), rtol=1e-9, atol=1e-11)
    assert _matrices.is_positive_definite(A).all()


@pytest.mark.cpu
def test_cholesky_factors_of_badly_scaled_matrices_keep_their_digits():
    d = corten.tensor([1e-9, 1e-3, 1.0, 1e7], dtype=corten.float64)
    A = definite(4, 4) * d * d.unsqueeze(-1)
    np.testing.assert_allclose(
        _matrices.cholesky(A).cpu().numpy(), np.linalg.cholesky(A.cpu().numpy()), rtol=1e-9, atol=0
    )


@pytest.mark.cpu
def test_cholesky_reads_the_lower_triangle_and_has_gradients_of_both_orders():
    x = corten.randn(2, 3, 3, dtype=corten.float64).requires_grad_()

    def factor(x):
        return _matrices.cholesky(x @ x.mT + corten.eye(3, dtype=corten.float64))

    assert corten.autograd.gradcheck(factor, (x,))
    assert corten.autograd.gradgradcheck(factor, (x,))
    A = definite(3, 3)
    assert corten.equal(_matrices.cholesky(A.tril()), _matrices.cholesky(A))


def test_matrices_without_a_factor_raise():
    for entries in ([[1.0, 2.0], [2.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]):
        with pytest.raises(RuntimeError, match="not positive-definite"):
            _matrices.cholesky(corten.tensor(entries))


@pytest.mark.cpu
def test_the_forms_of_a_covariance_agree():
    A, loc = definite(2, 3, 3), corten.randn(3, dtype=corten.float64)
    forms = [
        D.MultivariateNormal(loc, A),
        D.MultivariateNormal(loc, precision_matrix=corten.tensor(np.linalg.inv(A.cpu().numpy()))),
        D.MultivariateNormal(loc, scale_tril=corten.tensor(np.linalg.cholesky(A.cpu().numpy()))),
    ]
    value = corten.randn(5, 2, 3, dtype=corten.float64)
    for form in forms:
        close(form.covariance_matrix, A, rtol=1e-9)
        close(form.precision_matrix @ A, corten.eye(3, dtype=corten.float64).expand(2, 3, 3), atol=1e-9)
        close(form.log_prob(value), forms[0].log_prob(value), rtol=1e-9)
    # Draws that share a factor, that do not, and a batch of factors that broadcasts.
    for shape in ((5, 2, 3), (2, 3), (3,), (4, 1, 3)):
        value = corten.randn(*shape, dtype=corten.float64)
        difference = (value - loc).expand(corten.broadcast_shapes(shape, (2, 3)))
        wanted = (difference.unsqueeze(-2) @ forms[0].precision_matrix @ difference.unsqueeze(-1)).squeeze((-2, -1))
        found = _matrices.squared_distance(forms[0]._unbroadcasted_scale_tril, value - loc)
        close(found, wanted, rtol=1e-9)


@pytest.mark.cpu
def test_low_rank_and_full_covariances_agree():
    factor, diagonal = corten.randn(2, 4, 2, dtype=corten.float64), corten.rand(4, dtype=corten.float64) + 0.5
    loc = corten.randn(4, dtype=corten.float64)
    low = D.LowRankMultivariateNormal(loc, factor, diagonal)
    full = D.MultivariateNormal(loc, low.covariance_matrix)
    value = corten.randn(5, 2, 4, dtype=corten.float64)
    for found, wanted in (
        (low.log_prob(value), full.log_prob(value)),
        (low.entropy(), full.entropy()),
        (low.variance, full.variance),
        (low.scale_tril, full.scale_tril),
        (low.precision_matrix, full.precision_matrix),
    ):
        close(found, wanted, rtol=1e-9, atol=1e-11)
    zero = corten.zeros(2, dtype=corten.float64)
    for pair in ((low, full), (full, low), (low, low), (full, full)):
        close(D.kl_divergence(*pair), zero, atol=1e-9)


def test_wishart_draws_that_are_singular_are_drawn_again():
    with pytest.warns(UserWarning, match="Low df values"):
        wishart = D.Wishart(corten.tensor([1.01, 1.01]), corten.eye(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn_once = wishart._bartlett_sampling((200,))
        first, again = (wishart.support.check(x).float().mean() for x in (drawn_once, wishart.sample((200,))))
        assert first < 0.9 and again > first + 0.1
    with pytest.raises(ValueError, match="greater than ndim - 1"):
        D.Wishart(1.0, corten.eye(2))


def test_transformed_distributions_follow_their_transforms():
    log_normal = D.TransformedDistribution(NORMAL, [transforms.ExpTransform()])
    known = D.LogNormal(NORMAL.loc, NORMAL.scale)
    value = known.sample((5,))
    close(log_normal.log_prob(value), known.log_prob(value))
    close(log_normal.cdf(value), NORMAL.cdf(value.log()))
    falling = D.TransformedDistribution(NORMAL, [transforms.AffineTransform(0.0, -1.0)])
    close(falling.cdf(value), 1 - NORMAL.cdf(-value))
    middle = -NORMAL.loc + 0.5 * NORMAL.scale
    close(falling.icdf(falling.cdf(middle)), middle)
    # A transform with a batch of its own, and one that makes an event of the batch.
    wide = D.TransformedDistribution(D.Normal(0.0, 1.0), transforms.AffineTransform(LOC, SCALE))
    assert wide.batch_shape == (3,) and wide.sample((2,)).shape == (2, 3)
    simplex = D.TransformedDistribution(NORMAL, transforms.StickBreakingTransform())
    assert simplex.batch_shape == () and simplex.event_shape == (4,)
    assert isinstance(simplex.base_dist, D.Independent)


def test_independent_sums_over_its_dims():
    base = D.Normal(corten.zeros(2, 3), 1.0)
    for dims in range(3):
        independent = D.Independent(base, dims)
        value = independent.sample((4,))
        assert independent.batch_shape == (2, 3)[: 2 - dims] and independent.event_shape == (2, 3)[2 - dims :]
        wanted = base.log_prob(value)
        close(independent.log_prob(value), wanted.sum(tuple(range(-dims, 0))) if dims else wanted)
    with pytest.raises(NotImplementedError, match="cartesian product"):
        D.Independent(D.Bernoulli(corten.ones(2) / 2), 1).enumerate_support()
    assert D.Independent(D.Bernoulli(corten.ones(2) / 2), 0).has_enumerate_support


def test_mixtures_weigh_their_components():
    weights = D.Categorical(corten.tensor([0.25, 0.75]))
    mixture = D.MixtureSameFamily(weights, D.Normal(corten.tensor([[0.0, 4.0]] * 3), corten.tensor([1.0, 2.0])))
    value = mixture.sample((5,))
    one, two = D.Normal(0.0, 1.0), D.Normal(4.0, 2.0)
    close(mixture.log_prob(value).exp(), 0.25 * one.log_prob(value).exp() + 0.75 * two.log_prob(value).exp())
    close(mixture.cdf(value), 0.25 * one.cdf(value) + 0.75 * two.cdf(value))
    # Weights without a batch choose for every element of it anew.
    assert mixture.batch_shape == (3,) and value.shape == (5, 3)
    vectors = D.MixtureSameFamily(weights, D.Dirichlet(corten.ones(3, 2, 4)))
    assert vectors.sample((5,)).shape == (5, 3, 4) and vectors.mean.shape == (3, 4)
    with pytest.raises(ValueError, match="Categorical"):
        D.MixtureSameFamily(NORMAL, NORMAL)
