"""Linear algebra of complex matrices beside numpy's, eigenvalues without symmetry, gradients, and what has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import corten
import numpy as np
import pytest
from corten.autograd import gradcheck, gradgradcheck

from matrices import close, layouts

LA = corten.linalg
pytestmark = pytest.mark.cpu
SQUARES = ((1, 1), (3, 3), (2, 5, 5), (2, 1, 4, 4), (70, 70), (0, 3, 3), (2, 0, 0))
SHAPES = ((3, 5), (5, 3), (2, 4, 4), (40, 37), (37, 75), (2, 0, 3), (3, 0))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    parts = np.random.default_rng(seed).standard_normal((2, *shape))
    return parts[0] + 1j * parts[1]


def adjoint(a: np.ndarray) -> np.ndarray:
    return a.conj().swapaxes(-1, -2)


def hermitian(n: int, *batch: int) -> np.ndarray:
    """Hermitian matrices with eigenvalues 1 to n."""
    q = np.linalg.qr(noise(*batch, n, n))[0]
    return q * np.arange(1.0, n + 1) @ adjoint(q)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_factors_make_the_matrix(shape: tuple[int, ...]) -> None:
    a = noise(*shape)
    for x in layouts(a):
        P, L, U = LA.lu(x)
        close(P @ L @ U, a)
        LU, pivots = LA.lu_factor(x)
        for part, other in zip(corten.lu_unpack(LU, pivots), (P, L, U), strict=True):
            assert corten.equal(part, other)
        for mode in ("reduced", "complete"):
            Q, R = LA.qr(x, mode)
            close(Q @ R, a)
            close(Q.mH @ Q, np.broadcast_to(np.eye(Q.shape[-1]), (*shape[:-2], Q.shape[-1], Q.shape[-1])))
            # LAPACK's reflections leave a real diagonal.
            assert (R.diagonal(dim1=-2, dim2=-1).imag == 0).all() and (R.triu() == R).all()
        for full in (True, False):
            U, S, Vh = LA.svd(x, full)
            k = min(shape[-2:])
            close((U[..., :k] * S.unsqueeze(-2)) @ Vh[..., :k, :], a)
            assert S.dtype == corten.float64
            close(S, np.linalg.svd(a, compute_uv=False))
            close(U.mH @ U, np.broadcast_to(np.eye(U.shape[-1]), (*shape[:-2], U.shape[-1], U.shape[-1])))
        close(LA.svdvals(x), np.linalg.svd(a, compute_uv=False))


@pytest.mark.parametrize("shape", SQUARES, ids=str)
def test_solutions_inverses_and_determinants_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    a, b = noise(*shape), noise(*shape[:-1], 2, seed=1)
    for x in layouts(a):
        close(LA.solve(x, corten.tensor(b)), np.linalg.solve(a, b), 1e-8)
        close(LA.inv(x), np.linalg.inv(a), 1e-8)
        sign, value = np.linalg.slogdet(a)
        found = LA.slogdet(x)
        assert found.logabsdet.dtype == corten.float64
        close(found.sign, sign)
        close(found.logabsdet, value, 1e-9)
        close((corten.logdet(x) - found.logabsdet).exp(), sign, 1e-9)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjointly", [True, False])
def test_lu_solve_takes_either_side_and_the_adjoint(left: bool, adjointly: bool) -> None:
    a, b = noise(3, 4, 4), noise(2, 1, 4, 4, seed=1)
    x = LA.lu_solve(*LA.lu_factor(corten.tensor(a)), corten.tensor(b), left=left, adjoint=adjointly).numpy()
    turned = adjoint(a) if adjointly else a
    np.testing.assert_allclose(turned @ x if left else x @ turned, np.broadcast_to(b, x.shape), atol=1e-10)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_triangles_are_solved_from_either_side(upper: bool, left: bool, unit: bool) -> None:
    a, b = noise(3, 4, 4) + 3 * np.eye(4), noise(2, 1, 4, 4, seed=1)
    x = LA.solve_triangular(corten.tensor(a), corten.tensor(b), upper=upper, left=left, unitriangular=unit).numpy()
    half = np.triu(a, 1) if upper else np.tril(a, -1)
    half = half + (np.eye(4) if unit else a * np.eye(4))
    np.testing.assert_allclose(half @ x if left else x @ half, np.broadcast_to(b, x.shape), atol=1e-9)


@pytest.mark.parametrize("uplo", ["L", "U"])
@pytest.mark.parametrize("shape", SQUARES, ids=str)
def test_hermitian_matrices_are_read_by_one_triangle(shape: tuple[int, ...], uplo: str) -> None:
    a = noise(*shape)
    half = np.tril(a, -1) if uplo == "L" else np.triu(a, 1)
    # The imaginary parts of the diagonal are not read either.
    whole = half + adjoint(half) + a.real * np.eye(shape[-1])
    positive = whole + 40 * np.eye(shape[-1])
    for x in layouts(a):
        w, V = LA.eigh(x, uplo)
        assert w.dtype == corten.float64
        close(w, np.linalg.eigvalsh(whole), 1e-9)
        close((V * w.unsqueeze(-2)) @ V.mH, whole, 1e-9)
        close(LA.eigvalsh(x, UPLO=uplo), np.linalg.eigvalsh(whole), 1e-9)
        L = LA.cholesky(x + 40 * corten.eye(shape[-1], dtype=x.dtype), upper=uplo == "U")
        close(L.mH @ L if uplo == "U" else L @ L.mH, positive, 1e-9)
        assert (L.diagonal(dim1=-2, dim2=-1).imag == 0).all()
        b = noise(*shape[:-1], 2, seed=1)
        close(corten.cholesky_solve(corten.tensor(b), L, upper=uplo == "U"), np.linalg.solve(positive, b), 1e-9)
        close(corten.cholesky_inverse(L, upper=uplo == "U"), np.linalg.inv(positive), 1e-9)


@pytest.mark.parametrize("is_hermitian", [True, False])
def test_ldl_solves_symmetric_and_hermitian_systems(is_hermitian: bool) -> None:
    for n in (1, 2, 3, 8, 33):
        a = noise(2, n, n)
        a = a + (adjoint(a) if is_hermitian else a.swapaxes(-1, -2))
        a[:, range(n), range(n)] *= 0.01  # pivots of two rows
        b = noise(3, 2, n, 2, seed=1)
        LD, pivots = LA.ldl_factor(corten.tensor(a), hermitian=is_hermitian)
        assert n < 3 or (pivots < 0).any()
        found = LA.ldl_solve(LD, pivots, corten.tensor(b), hermitian=is_hermitian)
        close(found, np.linalg.solve(np.broadcast_to(a, (3, 2, n, n)), b), 1e-7)


def paired(found: np.ndarray, wanted: np.ndarray) -> None:
    """Every eigenvalue has one of the others beside it."""
    for place in np.ndindex(found.shape[:-1]):
        mine, theirs = found[place], wanted[place]
        assert mine.shape == theirs.shape
        left = list(theirs)
        for value in mine:
            nearest = min(range(len(left)), key=lambda i: abs(left[i] - value))
            assert abs(left.pop(nearest) - value) < 1e-8


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("shape", SQUARES, ids=str)
def test_vectors_of_matrices_without_symmetry_are_stretched_by_eigenvalues(shape: tuple[int, ...], real: bool) -> None:
    a = noise(*shape)
    a = a.real if real else a
    for x in [corten.tensor(a), corten.tensor(a.swapaxes(-1, -2).copy()).mT]:
        w, V = LA.eig(x)
        assert w.dtype == V.dtype == corten.complex128
        close(x.to(w.dtype) @ V, (V * w.unsqueeze(-2)).numpy(), 1e-8)
        close(V.abs().square().sum(-2), np.ones(shape[:-1]))
        paired(w.numpy(), np.linalg.eigvals(a))
        paired(LA.eigvals(x).numpy(), np.linalg.eigvals(a))


@pytest.mark.parametrize("real", [True, False])
def test_eigenvalues_of_badly_scaled_and_defective_matrices(real: bool) -> None:
    scales = 10.0 ** np.arange(-4, 4)
    a = noise(8, 8, seed=3)
    a = a.real if real else a
    scaled = corten.tensor(scales[:, None] * a / scales)
    w, V = LA.eig(scaled)
    paired(w.numpy() * 1e-2, np.linalg.eigvals(a) * 1e-2)
    close((scaled.to(V.dtype) @ V) * 1e-3, (V * w.unsqueeze(-2)).numpy() * 1e-3, 1e-8)
    jordan = np.diag(np.ones(4)) + np.diag(np.ones(3), 1)
    close(LA.eigvals(corten.tensor(jordan.astype(a.dtype))), np.ones(4))
    rotation = corten.tensor([[0.0, -1.0], [1.0, 0.0]])
    assert sorted(LA.eigvals(rotation).imag.tolist()) == [-1, 1]
    assert LA.eigvals(corten.eye(3)).tolist() == [1, 1, 1]


def test_float32_and_complex64_have_complex64_eigenvalues() -> None:
    for x in (corten.randn(4, 4), corten.randn(4, 4, dtype=corten.complex64)):
        w, V = LA.eig(x)
        assert w.dtype == V.dtype == corten.complex64
        assert ((x.to(V.dtype) @ V) - V * w.unsqueeze(-2)).abs().max() < 1e-4


def through_parts(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function of real and imaginary parts in a last dim of two."""

    def of_parts(*inputs: corten.Tensor) -> Any:
        found = f(*map(corten.view_as_complex, inputs))
        found = found if isinstance(found, tuple) else (found,)
        return tuple(corten.view_as_real(x) if x.is_complex() else x for x in found)

    return of_parts


def leaf(a: np.ndarray) -> corten.Tensor:
    return corten.tensor(np.stack([a.real, a.imag], -1), requires_grad=True)


def symmetrised(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a: f((a + a.mH) / 2)


def rebuilt(found: Any) -> Any:
    """A function of the eigenvectors that does not depend on their phases."""
    w, V = found
    return (V * w.exp().unsqueeze(-2)) @ V.mH, V.abs()


def polar(found: Any) -> Any:
    U, S, Vh = found
    k = S.shape[-1]
    return U[..., :k] @ Vh[..., :k, :], S, U[..., :k].abs()


GRADIENTS = {
    "inv": (lambda a: LA.inv(a), (2, 3, 3)),
    "solve": (lambda a, b: LA.solve(a, b), (2, 3, 3), (3, 2)),
    "solve from the right": (lambda a, b: LA.solve(a, b, left=False), (3, 3), (2, 2, 3)),
    "triangular": (lambda a, b: LA.solve_triangular(a, b, upper=True), (2, 3, 3), (3, 2)),
    "det": (lambda a: LA.det(a), (2, 3, 3)),
    "slogdet": (lambda a: LA.slogdet(a), (2, 3, 3)),
    "logdet": (lambda a: corten.logdet(a), (2, 3, 3)),
    "lu": (lambda a: LA.lu(a)[1:], (2, 3, 3)),
    "wide lu": (lambda a: LA.lu_factor(a)[0], (2, 3, 5)),
    "tall lu": (lambda a: LA.lu_factor(a)[0], (5, 3)),
    "lu_solve": (lambda a, b: LA.lu_solve(*LA.lu_factor(a), b, adjoint=True), (3, 3), (2, 3, 2)),
    "pinv": (lambda a: LA.pinv(a), (2, 4, 3)),
    "lstsq": (lambda a, b: LA.lstsq(a, b)[0], (4, 3), (4, 2)),
    "cond": (lambda a: LA.cond(a, 1), (2, 3, 3)),
    "nuclear norm": (lambda a: LA.matrix_norm(a, "nuc"), (2, 3, 4)),
    "matrix_power": (lambda a: LA.matrix_power(a, -2), (3, 3)),
    "matrix_exp": (lambda a: LA.matrix_exp(a), (3, 3)),
    "qr": (lambda a: tuple(LA.qr(a)), (2, 4, 3)),
    "wide qr": (lambda a: tuple(LA.qr(a)), (2, 3, 4)),
    "svdvals": (lambda a: LA.svdvals(a), (2, 3, 4)),
    "svd": (lambda a: polar(LA.svd(a, False)), (2, 3, 3)),
    "tall svd": (lambda a: polar(LA.svd(a, False)), (4, 3)),
    "wide svd": (lambda a: polar(LA.svd(a, False)), (3, 4)),
    "householder_product": (lambda a, tau: LA.householder_product(a, tau), (2, 4, 3), (2, 3)),
    "ormqr": (lambda a, tau, c: corten.ormqr(a, tau, c, True, True), (4, 3), (3,), (4, 2)),
    "cholesky_solve": (lambda b, l: corten.cholesky_solve(b, l.tril()), (3, 2), (3, 3)),
    "vander": (lambda x: LA.vander(x, N=4), (2, 3)),
    "vecdot": (lambda x, y: LA.vecdot(x, y), (2, 3), (2, 3)),
    "eigvals": (lambda a: LA.eigvals(a), (2, 3, 3)),
    "eig": (lambda a: LA.eig(a)[1].abs(), (2, 3, 3)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_both_orders(name: str) -> None:
    f, *shapes = GRADIENTS[name]
    inputs = [leaf(noise(*shape, seed=i)) for i, shape in enumerate(shapes)]
    assert gradcheck(through_parts(f), inputs)
    assert gradgradcheck(through_parts(f), inputs)


@pytest.mark.parametrize("name", ["eigvals", "eig"])
def test_real_matrices_without_symmetry_have_real_gradients(name: str) -> None:
    inputs = [corten.tensor(noise(2, 4, 4).real, requires_grad=True)]

    def f(a: corten.Tensor) -> corten.Tensor:
        return corten.view_as_real(LA.eigvals(a)) if name == "eigvals" else LA.eig(a)[1].abs()

    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


@pytest.mark.parametrize("upper", [True, False])
def test_gradients_of_hermitian_matrices(upper: bool) -> None:
    inputs = [leaf(hermitian(3, 2))]
    uplo = "U" if upper else "L"
    for f in (
        lambda a: LA.cholesky(a, upper=upper),
        lambda a: LA.eigvalsh(a, uplo),
        lambda a: rebuilt(LA.eigh(a, uplo)),
        lambda a: LA.pinv(a, hermitian=True),
    ):
        assert gradcheck(through_parts(symmetrised(f)), inputs)
        assert gradgradcheck(through_parts(symmetrised(f)), inputs)


def test_determinants_of_singular_matrices_have_gradients() -> None:
    for a in (np.array([[1 + 1j, 2.0], [2 + 2j, 4.0]]), np.array([[0, 1j], [0, 3.0]]), np.zeros((1, 1), complex)):
        x = corten.tensor(a, requires_grad=True)
        LA.det(x).backward(corten.tensor(1 + 2j, dtype=x.dtype))
        cofactors = np.array([[a[1, 1], -a[1, 0]], [-a[0, 1], a[0, 0]]]) if len(a) == 2 else np.ones((1, 1))
        close(x.grad, (1 + 2j) * cofactors.conj())


ILL_DEFINED = [
    (lambda a: LA.svd(a)[0].sum().abs(), "svd_backward: The singular vectors in the complex case"),
    (lambda a: LA.svd(a)[2].sum().abs(), "this phase term, making it ill-defined"),
    (lambda a: LA.eigh(a)[1].sum().abs(), "linalg_eigh_backward: The eigenvectors in the complex case"),
    (lambda a: LA.eig(a)[1].sum().abs(), "linalg_eig_backward: The eigenvectors in the complex case"),
]


@pytest.mark.parametrize("case", ILL_DEFINED, ids=[text for _, text in ILL_DEFINED])
def test_losses_that_depend_on_phases_have_no_gradient(case: tuple) -> None:
    f, text = case
    loss = f(corten.tensor(noise(3, 3), requires_grad=True))
    with pytest.raises(RuntimeError) as error:
        loss.backward()
    assert text in str(error.value)


MISTAKES = [
    (lambda: LA.eig(corten.ones(2, 3)), RuntimeError, "linalg.eig: A must be batches of square matrices"),
    (lambda: LA.eigvals(corten.ones(2, 3)), RuntimeError, "linalg.eigvals: A must be batches of square matrices"),
    (lambda: LA.eig(corten.ones(2)), RuntimeError, "linalg.eig: The input tensor A must have at least 2 dimensions."),
    (lambda: LA.eig(corten.ones(2, 2).long()), RuntimeError, "Unknown Complex ScalarType for Long"),
    (lambda: LA.eig(corten.ones(2, 2).half()), NotImplementedError, "Half"),
    (lambda: LA.eig(corten.full((2, 2), math.nan)), RuntimeError, "input tensor should not contain infs or NaNs"),
    (lambda: LA.eigvals(corten.ones(2, 2), out=corten.ones(2)), RuntimeError, "safely castable from ComplexFloat"),
    (lambda: corten.geqrf(corten.ones(2)), RuntimeError, "torch.geqrf: input must have at least 2 dimensions."),
    (lambda: corten.geqrf(corten.ones(2, 2).long()), NotImplementedError, "\"geqrf_cpu\" not implemented for 'Long'"),
    (
        lambda: LA.solve(corten.eye(2, dtype=corten.complex64), corten.ones(2, 1)),
        RuntimeError,
        "A of type ComplexFloat and B of type Float",
    ),
    (
        lambda: LA.vector_norm(corten.ones(2, dtype=corten.complex64), dtype=corten.float32),
        RuntimeError,
        "dtype should be complex for complex inputs, but got Float",
    ),
    (
        lambda: LA.matrix_norm(corten.ones(2, 2), dtype=corten.complex64),
        RuntimeError,
        "dtype should be real for real inputs, but got ComplexFloat",
    ),
    (
        lambda: LA.householder_product(corten.eye(2, dtype=corten.complex64), corten.ones(2)),
        RuntimeError,
        "tau dtype Float does not match input dtype ComplexFloat",
    ),
]


@pytest.mark.parametrize("case", MISTAKES, ids=[text for _, _, text in MISTAKES])
def test_mistakes_raise_what_pytorch_raises(case: tuple) -> None:
    f, kind, text = case
    with pytest.raises(kind) as error:
        f()
    assert text in str(error.value)


def test_geqrf_holds_the_reflections_of_qr() -> None:
    for a in (noise(2, 5, 3), noise(40, 40).real, noise(3, 5)):
        x = corten.tensor(a)
        w, tau = corten.geqrf(x)
        m, n = a.shape[-2:]
        assert w.shape == a.shape and tau.shape == (*a.shape[:-2], min(m, n))
        Q = LA.householder_product(w[..., : min(m, n)], tau)
        close(Q @ w[..., : min(m, n), :].triu(), a)
        close(corten.ormqr(w, tau, x, True, True), w.triu().numpy())
    x = corten.ones(2, 2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="the derivative for 'geqrf' is not implemented"):
        corten.geqrf(x).a.sum().backward()


def test_norms_ranks_and_pseudoinverses_are_those_of_numpy() -> None:
    a = noise(2, 4, 4)
    x = corten.tensor(a)
    for p in (1, -1, 2, -2, math.inf, -math.inf, "fro", "nuc"):
        wanted = np.array([np.linalg.norm(m, p) for m in a])
        assert LA.matrix_norm(x, p).dtype == corten.float64
        close(LA.matrix_norm(x, p), wanted)
        close(LA.cond(x, p), np.array([np.linalg.cond(m, p) for m in a]), 1e-8)
    for p in (0, 1, 2, 3, math.inf, -math.inf):
        close(LA.vector_norm(x, p, dim=-1), np.linalg.norm(a, p, axis=-1))
    low = noise(2, 5, 2) @ noise(2, 2, 4, seed=1)
    assert LA.matrix_rank(corten.tensor(low)).tolist() == [2, 2]
    close(LA.pinv(corten.tensor(low)), np.linalg.pinv(low))
    square = low @ adjoint(low)
    assert LA.matrix_rank(corten.tensor(square), hermitian=True, rtol=1e-10).tolist() == [2, 2]
    close(LA.pinv(corten.tensor(square), hermitian=True, rtol=1e-10), np.linalg.pinv(square, rcond=1e-10), 1e-8)


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
def test_least_squares_are_those_of_numpy(driver: str | None) -> None:
    a, b = noise(6, 3), noise(6, 2, seed=1)
    found = LA.lstsq(corten.tensor(a), corten.tensor(b), driver=driver)
    x, residuals, rank, values = np.linalg.lstsq(a, b, rcond=None)
    close(found.solution, x)
    assert found.residuals.dtype == found.singular_values.dtype == corten.float64
    if driver in ("gels", "gelsd", "gelss"):
        close(found.residuals, residuals)
    if driver != "gels":
        assert found.rank == rank
    if driver in ("gelsd", "gelss"):
        close(found.singular_values, values)


def test_low_ranks_are_found_by_random_projections() -> None:
    a = noise(2, 9, 3) @ noise(2, 3, 7, seed=1)
    U, S, V = corten.svd_lowrank(corten.tensor(a), 4)
    close((U * S.unsqueeze(-2)) @ V.mH, a)
    U, S, V = corten.svd(corten.tensor(a))
    close((U * S.unsqueeze(-2)) @ V.mH, a)


def test_eigenvalues_are_written_into_out_and_mapped_over_batches() -> None:
    a = corten.tensor(noise(2, 3, 3))
    out = corten.empty(0, dtype=corten.complex128)
    assert LA.eigvals(a, out=out) is out and corten.equal(out, LA.eigvals(a))
    outs = (corten.empty(2, 3, dtype=a.dtype), corten.empty(2, 3, 3, dtype=a.dtype))
    LA.eig(a, out=outs)
    assert corten.equal(outs[0], LA.eig(a).eigenvalues) and corten.equal(outs[1], LA.eig(a).eigenvectors)
    real = corten.tensor(noise(2, 3, 3).real)
    assert corten.equal(corten.vmap(LA.eigvals)(real), LA.eigvals(real))
