"""Solutions, inverses, determinants and decompositions of matrices: values beside numpy's, gradients, errors."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from corten.autograd import gradcheck, gradgradcheck

from matrices import close, layouts

LA = corten.linalg
pytestmark = pytest.mark.cpu


def noise(*shape: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaf(array: np.ndarray) -> corten.Tensor:
    return corten.tensor(array, requires_grad=True)


SQUARES = ((1, 1), (3, 3), (2, 5, 5), (2, 1, 4, 4), (70, 70), (0, 3, 3), (2, 0, 0))
SHAPES = ((3, 5), (5, 3), (2, 4, 4), (40, 37), (37, 75), (2, 0, 3), (3, 0))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lu_makes_the_matrix(shape: tuple[int, ...]) -> None:
    a = noise(*shape)
    for x in layouts(a):
        P, L, U = LA.lu(x)
        close(P @ L @ U, a)
        assert (L.tril() == L).all() and (U.triu() == U).all() and (L.abs() <= 1).all()
        LU, pivots = LA.lu_factor(x)
        assert pivots.dtype == corten.int32 and pivots.shape == (*shape[:-2], min(shape[-2:]))
        for part, other in zip(corten.lu_unpack(LU, pivots), (P, L, U), strict=True):
            assert corten.equal(part, other)


@pytest.mark.parametrize("shape", SQUARES, ids=str)
def test_solutions_inverses_and_determinants_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    a, b = noise(*shape), noise(*shape[:-1], 2, seed=1)
    for x in layouts(a):
        close(LA.solve(x, corten.tensor(b)), np.linalg.solve(a, b), 1e-8)
        close(LA.inv(x), np.linalg.inv(a), 1e-8)
        sign, value = np.linalg.slogdet(a)
        close(LA.slogdet(x)[0], sign)
        close(LA.slogdet(x)[1], value, 1e-9)
        close(LA.det(x) / math.exp(np.max(value, initial=0)), sign * np.exp(value - np.max(value, initial=0)), 1e-8)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_lu_solve_takes_either_side_and_the_transpose(left: bool, adjoint: bool) -> None:
    a, b = noise(3, 4, 4), noise(2, 1, 4, 4, seed=1)
    x = LA.lu_solve(*LA.lu_factor(corten.tensor(a)), corten.tensor(b), left=left, adjoint=adjoint).numpy()
    turned = a.swapaxes(-1, -2) if adjoint else a
    np.testing.assert_allclose(turned @ x if left else x @ turned, np.broadcast_to(b, x.shape), atol=1e-10)


def test_vectors_are_solved_where_their_dims_are_the_matrices() -> None:
    a, b = corten.tensor(noise(3, 2, 2)), corten.tensor(noise(3, 2, seed=1))
    close(LA.solve(a, b), np.linalg.solve(a.numpy(), b.numpy()[..., None])[..., 0])
    assert LA.solve(a, corten.ones(2, dtype=corten.float64)).shape == (3, 2)


def test_eigenvalues_ascend_and_vectors_make_the_matrix() -> None:
    for shape in SQUARES:
        a = noise(*shape)
        for uplo, triangle in (("L", np.tril), ("U", np.triu)):
            half = triangle(a)
            whole = half + half.swapaxes(-1, -2) - a * np.eye(shape[-1])
            for x in layouts(a):
                w, V = LA.eigh(x, uplo)
                close(w, np.linalg.eigvalsh(whole), 1e-9)
                close(V @ w.diag_embed() @ V.mT, whole, 1e-9)
                close(LA.eigvalsh(x, UPLO=uplo), np.linalg.eigvalsh(whole), 1e-9)


def test_ldl_solves_systems_with_symmetric_matrices() -> None:
    for n in (1, 2, 3, 8, 33):
        a = noise(2, n, n)
        a = a + a.swapaxes(-1, -2)
        a[:, range(n), range(n)] *= 0.01  # pivots of two rows
        b = noise(3, 2, n, 2, seed=1)
        LD, pivots = LA.ldl_factor(corten.tensor(a))
        assert n < 3 or (pivots < 0).any()
        close(LA.ldl_solve(LD, pivots, corten.tensor(b)), np.linalg.solve(np.broadcast_to(a, (3, 2, n, n)), b), 1e-7)


def spread(n: int, *batch: int) -> np.ndarray:
    """Symmetric matrices with distinct eigenvalues."""
    q = np.linalg.qr(noise(*batch, n, n))[0]
    return q * np.arange(1.0, n + 1) @ q.swapaxes(-1, -2)


GRADIENTS = {
    "inv": (lambda a: LA.inv(a), (2, 3, 3)),
    "solve": (lambda a, b: LA.solve(a, b), (2, 3, 3), (3, 2)),
    "solve from the right": (lambda a, b: LA.solve(a, b, left=False), (3, 3), (2, 2, 3)),
    "det": (lambda a: LA.det(a), (2, 3, 3)),
    "slogdet": (lambda a: LA.slogdet(a)[1], (2, 3, 3)),
    "lu": (lambda a: LA.lu(a)[1:], (2, 3, 3)),
    "wide lu": (lambda a: LA.lu_factor(a)[0], (2, 3, 5)),
    "tall lu": (lambda a: LA.lu_factor(a)[0], (5, 3)),
    "lu_solve": (lambda a, b: LA.lu_solve(*LA.lu_factor(a), b, adjoint=True), (3, 3), (2, 3, 2)),
    "pinv": (lambda a: LA.pinv(a), (2, 4, 3)),
    "lstsq": (lambda a, b: LA.lstsq(a, b)[0], (4, 3), (4, 2)),
    "cond": (lambda a: LA.cond(a, 1), (2, 3, 3)),
    "tensorinv": (lambda a: LA.tensorinv(a, 1), (6, 2, 3)),
    "matrix_power": (lambda a: LA.matrix_power(a, -2), (3, 3)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_both_orders(name: str) -> None:
    f, *shapes = GRADIENTS[name]
    inputs = [leaf(noise(*shape, seed=i)) for i, shape in enumerate(shapes)]
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


@pytest.mark.parametrize("upper", [True, False])
def test_gradients_of_symmetric_matrices(upper: bool) -> None:
    inputs = [leaf(spread(3, 2))]
    for f in (
        lambda a: LA.cholesky((a + a.mT) / 2, upper=upper),
        lambda a: LA.eigvalsh((a + a.mT) / 2, "U" if upper else "L"),
        # Signs are arbitrary: products of a vector with itself have none.
        lambda a: (lambda w, V: V @ (w.exp().unsqueeze(-1) * V.mT))(*LA.eigh((a + a.mT) / 2, "U" if upper else "L")),
        lambda a: LA.eigh((a + a.mT) / 2)[1].square(),
    ):
        assert gradcheck(f, inputs)
        assert gradgradcheck(f, inputs)


def test_determinants_of_singular_matrices_have_gradients() -> None:
    for a in (np.array([[1.0, 2.0], [2.0, 4.0]]), np.array([[0.0, 1.0], [0.0, 3.0]]), np.zeros((1, 1))):
        x = leaf(a)
        LA.det(x).backward()
        cofactors = np.array([[a[1, 1], -a[1, 0]], [-a[0, 1], a[0, 0]]]) if len(a) == 2 else np.ones((1, 1))
        close(x.grad, cofactors)
    x = leaf(np.zeros((3, 3)))
    LA.det(x).backward()
    close(x.grad, np.zeros((3, 3)))


def test_logdet_of_a_negative_determinant_is_nan() -> None:
    assert corten.logdet(-corten.eye(3)).isnan() and corten.logdet(corten.zeros(2, 2)) == -math.inf


SINGULAR = [
    (lambda a: LA.inv(a), "linalg.inv: (Batch element 1): The diagonal element 2 is zero"),
    (lambda a: LA.inv_ex(a, check_errors=True), "linalg.inv_ex: (Batch element 1)"),
    (lambda a: LA.solve(a, corten.ones(2, 1)), "solve: (Batch element 1): The solver failed"),
    (lambda a: LA.matrix_power(a, -1), "(Batch element 1)"),
    (lambda a: LA.cholesky(a), "linalg.cholesky: (Batch element 1): The factorization"),
    (lambda a: LA.cholesky(a), "order 2 is not positive-definite"),
    (lambda a: corten.cholesky_inverse(a.tril()), "(Batch element 1): The diagonal element 2"),
]


@pytest.mark.parametrize("case", SINGULAR, ids=[text for _, text in SINGULAR])
def test_matrices_that_have_none_raise_with_their_place(case: tuple) -> None:
    f, text = case
    singular = corten.tensor([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 0.0], [1.0, 0.0]]])
    with pytest.raises(LA.LinAlgError) as error:
        f(singular)
    assert text in str(error.value)


def test_infos_name_the_first_failure_and_nothing_raises() -> None:
    a = corten.stack([corten.eye(3), corten.zeros(3, 3), corten.diag(corten.tensor([1.0, -1.0, 1.0]))])
    assert LA.cholesky_ex(a).info.tolist() == [0, 1, 2] and LA.cholesky_ex(a).info.dtype == corten.int32
    assert LA.inv_ex(a).info.tolist() == [0, 1, 0] == LA.lu_factor_ex(a).info.tolist()
    assert LA.solve_ex(a, corten.ones(3, 1)).info.tolist() == [0, 1, 0]
    assert LA.ldl_factor_ex(a).info.tolist() == [0, 1, 0]


def test_nan_is_not_positive_definite_and_has_eigenvalues_of_nan() -> None:
    nan = corten.full((40, 40), math.nan)
    assert LA.cholesky_ex(nan).info == 1 and LA.lu_factor_ex(nan).info == 0
    assert LA.eigvalsh(nan).isnan().all() and LA.eigh(nan)[1].isnan().all()
    assert LA.det(nan).isnan()
    with pytest.raises(LA.LinAlgError, match="non-finite"):
        LA.svd(nan)


MISTAKES = [
    (lambda: LA.inv(corten.ones(2, 3)), RuntimeError, "linalg.inv: A must be batches of square matrices"),
    (lambda: LA.cholesky(corten.ones(2)), RuntimeError, "at least 2 dimensions"),
    (lambda: LA.cholesky(corten.ones(2, 2).half()), NotImplementedError, "Half"),
    (lambda: LA.det(corten.ones(2, 2).long()), RuntimeError, "linalg.det: Expected a floating point"),
    (lambda: LA.solve(corten.eye(2), corten.ones(3, 1)), RuntimeError, "AX = B (2x2 and 3x1)"),
    (lambda: LA.solve(corten.eye(2), corten.ones(2, 1).double()), RuntimeError, "Float and B of type Double"),
    (lambda: LA.eigh(corten.eye(2), "x"), RuntimeError, "'L' or 'U', but got x"),
    (lambda: LA.lu_factor(corten.zeros(2, 2)), RuntimeError, "U[1,1] is zero"),
    (lambda: LA.lu(corten.eye(2), pivot=False), RuntimeError, "without pivoting"),
    (lambda: LA.cond(corten.ones(2, 3), "fro"), RuntimeError, "ord=fro"),
    (lambda: LA.cond(corten.ones(2, 3), 3), RuntimeError, "invalid norm type: 3"),
    (lambda: LA.lstsq(corten.ones(3, 2), corten.ones(3, 1), driver="x"), RuntimeError, "gels"),
    (lambda: LA.tensorsolve(corten.ones(2, 3), corten.ones(2)), RuntimeError, "3 != 2"),
    (lambda: LA.tensorinv(corten.ones(2, 2), ind=0), RuntimeError, "strictly positive"),
    (lambda: corten.cholesky_solve(corten.ones(2, 1), corten.eye(3)), RuntimeError, "3 by 3"),
    (
        lambda: corten.lu_unpack(corten.eye(2), corten.tensor([5, 2], dtype=corten.int32)),
        RuntimeError,
        "between 1 and LU.size(-2)",
    ),
    (lambda: LA.lu_solve(corten.eye(2), corten.tensor([1, 2]), corten.eye(2)), RuntimeError, "int32"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=[text for _, _, text in MISTAKES])
def test_mistakes_raise_what_pytorch_raises(case: tuple) -> None:
    f, kind, text = case
    with pytest.raises(kind) as error:
        f()
    assert text in str(error.value)


def test_ranks_and_pseudoinverses_follow_the_tolerance() -> None:
    a = noise(2, 5, 2) @ noise(2, 2, 4, seed=1)
    x = corten.tensor(a)
    assert LA.matrix_rank(x).tolist() == [2, 2] and LA.matrix_rank(x, atol=1e6).tolist() == [0, 0]
    close(LA.pinv(x), np.linalg.pinv(a))
    symmetric = a @ a.swapaxes(-1, -2)
    assert LA.matrix_rank(corten.tensor(symmetric), hermitian=True, rtol=1e-10).tolist() == [2, 2]
    close(LA.pinv(corten.tensor(symmetric), hermitian=True, rtol=1e-10), np.linalg.pinv(symmetric, rcond=1e-10), 1e-8)
    assert LA.pinv(corten.ones(0, 3)).shape == (3, 0)


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
def test_least_squares_are_those_of_numpy(driver: str | None) -> None:
    a, b = noise(6, 3), noise(6, 2, seed=1)
    found = LA.lstsq(corten.tensor(a), corten.tensor(b), driver=driver)
    x, residuals, rank, values = np.linalg.lstsq(a, b, rcond=None)
    close(found.solution, x)
    if driver in ("gels", "gelsd", "gelss"):
        close(found.residuals, residuals)
    if driver != "gels":
        assert found.rank == rank
    if driver in ("gelsd", "gelss"):
        close(found.singular_values, values)


def test_condition_numbers_are_those_of_numpy() -> None:
    a = noise(2, 4, 4)
    for p in (None, 2, -2, 1, -1, math.inf, -math.inf, "fro", "nuc"):
        close(LA.cond(corten.tensor(a), p), np.array([np.linalg.cond(x, p) for x in a]), 1e-8)
    assert LA.cond(corten.stack([corten.eye(2), corten.zeros(2, 2)]), "nuc").tolist() == [4, math.inf]


def test_tensors_are_solved_as_matrices() -> None:
    a, b = noise(2, 3, 6), noise(2, 3, seed=1)
    close(LA.tensorsolve(corten.tensor(a), corten.tensor(b)), np.linalg.tensorsolve(a, b), 1e-9)
    turned = np.moveaxis(a, 2, 0)
    close(LA.tensorsolve(corten.tensor(turned), corten.tensor(b), dims=(0,)), np.linalg.tensorsolve(a, b), 1e-9)
    close(LA.tensorinv(corten.tensor(noise(4, 6, 8, 3)), ind=2), np.linalg.tensorinv(noise(4, 6, 8, 3)), 1e-8)


def test_results_are_written_into_out() -> None:
    a = corten.tensor(noise(2, 3, 3))
    out = corten.empty(0, dtype=corten.float64)
    assert LA.inv(a, out=out) is out and corten.equal(out, LA.inv(a))
    outs = (corten.empty(2, 3, 3, dtype=corten.float64), corten.empty(2, 3, dtype=corten.int32))
    LA.lu_factor(a, out=outs)
    assert corten.equal(outs[0], LA.lu_factor(a).LU) and corten.equal(outs[1], LA.lu_factor(a).pivots)


def test_products_of_reflections_have_an_older_name() -> None:
    a, tau = corten.tensor(noise(4, 3)), corten.tensor(noise(3, seed=1))
    assert corten.equal(corten.orgqr(a, tau), LA.householder_product(a, tau))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_reflections_multiply_from_either_side(left: bool, transpose: bool) -> None:
    v, tau = corten.tensor(noise(2, 5, 3)), corten.tensor(noise(2, 3, seed=1))
    C = corten.tensor(noise(2, 5, 4, seed=2) if left else noise(2, 4, 5, seed=2))
    # Reflections after the last whole column do nothing: they complete Q to a square.
    Q = LA.householder_product(corten.cat([v, corten.zeros(2, 5, 2, dtype=v.dtype)], -1), tau)
    Q = Q.mT if transpose else Q
    close(corten.ormqr(v, tau, C, left, transpose), (Q @ C if left else C @ Q).numpy())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reflections_of_a_decomposition_multiply_to_its_factors(shape: tuple[int, ...]) -> None:
    a = noise(*shape)
    for x in layouts(a):
        packed, tau = corten.geqrf(x)
        assert packed.shape == shape and tau.shape == (*shape[:-2], min(shape[-2:]))
        R = packed.triu()[..., : min(shape[-2:]), :]
        Q = LA.householder_product(packed[..., : min(shape[-2:])], tau)
        close(Q @ R, a)
        close(R, np.linalg.qr(a).R)


def test_reflections_of_columns_that_need_none_have_factors_of_zero() -> None:
    packed, tau = corten.geqrf(corten.eye(3, 2))
    assert tau.tolist() == [0, 0] and corten.equal(packed, corten.eye(3, 2))
    with pytest.raises(NotImplementedError, match="the derivative for 'geqrf'"):
        corten.geqrf(corten.eye(2).requires_grad_()).a.sum().backward()
    with pytest.raises(NotImplementedError, match="\"geqrf_cpu\" not implemented for 'Half'"):
        corten.geqrf(corten.eye(2).half())


def test_an_exponential_does_not_depend_on_the_rest_of_its_batch() -> None:
    small, large = noise(4, 4, seed=1) / 100, 30 * noise(4, 4, seed=2)
    batch = np.stack([small, large, np.zeros((4, 4))]).astype(np.float32)
    found = LA.matrix_exp(corten.tensor(batch))
    for one, matrix in zip(found, batch, strict=True):
        assert corten.equal(one, LA.matrix_exp(corten.tensor(matrix)))
    values, vectors = np.linalg.eig(batch.astype(np.float64))
    exact = (vectors * np.exp(values)[:, None, :] @ np.linalg.inv(vectors)).real
    assert np.abs(found.numpy() - exact).max(axis=(1, 2)).tolist() < (1e-5 * np.abs(exact).max(axis=(1, 2))).tolist()


def test_an_exponential_of_half_types_is_rounded_once() -> None:
    a = corten.tensor(noise(3, 3)).bfloat16()
    assert corten.equal(LA.matrix_exp(a), LA.matrix_exp(a.float()).bfloat16())


@pytest.mark.parametrize("left", [True, False])
def test_solutions_lie_column_after_column(left: bool) -> None:
    A, B = corten.tensor(noise(2, 3, 3)), corten.tensor(noise(2, 3, 4) if left else noise(2, 4, 3))
    x = LA.solve(A, B, left=left)
    assert x.stride() == ((12, 1, 3) if left else (12, 1, 4))
    tau = corten.tensor(noise(2, 3))
    assert LA.householder_product(A, tau).stride() == (9, 1, 3)
    assert LA.lstsq(A, corten.tensor(noise(2, 3, 4))).solution.stride() == (12, 1, 3)


def definite(n: int, seed: int) -> np.ndarray:
    x = noise(2, n, n, seed=seed)
    return x @ x.swapaxes(-1, -2) + np.eye(n)


@pytest.mark.parametrize("largest", [True, False, None])
@pytest.mark.parametrize("general", [False, True])
def test_extreme_eigenvalues_are_those_of_the_whole_decomposition(largest: bool | None, general: bool) -> None:
    corten.manual_seed(0)
    a, b = definite(30, 1), definite(30, 2)
    B = corten.tensor(b) if general else None
    values, vectors = corten.lobpcg(corten.tensor(a), 3, B, largest=largest, niter=-1, tol=1e-10)
    whole = np.sort(np.linalg.eigvals(np.linalg.solve(b, a) if general else a).real)
    close(values, whole[:, :3] if largest is False else whole[:, :-4:-1], 1e-8)
    right = (b @ vectors.numpy() if general else vectors.numpy()) * values.numpy()[:, None, :]
    close(corten.tensor(a) @ vectors, right, 1e-5)


def test_extreme_eigenvalues_start_from_a_guess_and_take_a_preconditioner() -> None:
    a = np.diag(np.arange(1.0, 41.0)) + 0.01
    guess = corten.tensor(np.linalg.eigh(a)[1][:, :4])
    values, vectors = corten.lobpcg(corten.tensor(a), 2, X=guess, largest=False, niter=0)
    close(values, np.linalg.eigvalsh(a)[:2])
    assert vectors.shape == (40, 2)
    corten.manual_seed(0)
    found = [
        corten.lobpcg(corten.tensor(a), 2, iK=iK, largest=False, niter=4)[0].sum().item()
        for iK in (None, corten.tensor(np.linalg.inv(a)))
    ]
    # The preconditioner is the exact inverse: fewer steps come nearer.
    assert abs(found[1] - 3.02) < 1e-2 < abs(found[0] - 3.02)


def test_extreme_eigenvalues_have_the_gradient_of_the_whole_decomposition() -> None:
    a = leaf(definite(9, 3)[0])
    assert gradcheck(lambda x: corten.lobpcg((x + x.mT) / 2, 2)[0], (a,))
    with pytest.raises(NotImplementedError, match="lobpcg: no gradient where B is given"):
        corten.lobpcg(a, B=corten.eye(9, dtype=corten.float64))


def test_searches_for_eigenvalues_refuse_what_does_not_fit() -> None:
    eye = corten.eye(9)
    with pytest.raises(ValueError, match=r"A rows \(=9\) is smaller than 3 x .* \(=4\)"):
        corten.lobpcg(eye, 4)
    with pytest.raises(ValueError, match="method must be"):
        corten.lobpcg(eye, method="other")
    with pytest.raises(ValueError, match="k must be between 1 and the number of vectors, 2"):
        corten.lobpcg(eye, 3, X=corten.ones(9, 2))
    with pytest.raises(ValueError, match=r"\[8, 1\] does not fit A, which is \[9, 9\]"):
        corten.lobpcg(eye, X=corten.ones(8, 1))
    with pytest.raises(RuntimeError, match="must be batches of square"):
        corten.lobpcg(corten.ones(3, 4))
