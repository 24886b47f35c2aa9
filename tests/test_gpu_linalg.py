"""Factors of matrices on a GPU: beside the CPU's in float64 where they are unique, by their definition where not."""

from __future__ import annotations

import math
import os

import corten
import numpy as np
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")
LA = corten.linalg
SQUARES = ((1, 1), (3, 3), (2, 5, 5), (2, 1, 4, 4), (70, 70), (2, 0, 0))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def there(array: np.ndarray) -> list[corten.Tensor]:
    """The matrices on the GPU, by rows and by columns."""
    turned = corten.tensor(array.swapaxes(-1, -2).copy(), dtype=corten.float32, device="gpu").mT
    return [corten.tensor(array, dtype=corten.float32, device="gpu"), turned]


def close(actual: corten.Tensor, wanted: np.ndarray, tolerance: float = 1e-3) -> None:
    assert actual.device.type == "gpu" and actual.shape == wanted.shape
    np.testing.assert_allclose(actual.detach().cpu().numpy(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", SQUARES, ids=str)
def test_solutions_inverses_and_determinants_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    a = noise(*shape) / math.sqrt(max(shape[-1], 1)) + 2 * np.eye(shape[-1])
    b = noise(*shape[:-1], 3, seed=1)
    for x in there(a):
        close(LA.solve(x, there(b)[0]), np.linalg.solve(a, b))
        close(LA.inv(x), np.linalg.inv(a))
        for found, wanted in zip(LA.slogdet(x), np.linalg.slogdet(a), strict=True):
            close(found, wanted)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 5), (40, 37), (3, 0)], ids=str)
def test_lu_makes_the_matrix_with_the_pivots_of_the_cpu(shape: tuple[int, ...]) -> None:
    a = noise(*shape)
    for x in there(a):
        P, L, U = LA.lu(x)
        close(P @ L @ U, a)
        assert LA.lu_factor(x).pivots.tolist() == LA.lu_factor(x.cpu()).pivots.tolist()


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("shape", SQUARES, ids=str)
def test_cholesky_factors_are_those_of_the_cpu(shape: tuple[int, ...], upper: bool) -> None:
    a = noise(*shape)
    a = a @ a.swapaxes(-1, -2) / max(shape[-1], 1) + np.eye(shape[-1])
    wanted = np.linalg.cholesky(a)
    # The triangle that is not read holds no numbers.
    hidden = np.where((np.triu if upper else np.tril)(np.ones_like(a)) == 1, a, np.nan)
    for x in there(hidden):
        close(LA.cholesky(x, upper=upper), wanted.swapaxes(-1, -2) if upper else wanted)


@pytest.mark.parametrize("shape", SQUARES, ids=str)
def test_eigenvalues_ascend_and_vectors_make_the_matrix(shape: tuple[int, ...]) -> None:
    a = noise(*shape)
    a = a + a.swapaxes(-1, -2)
    for x in there(a):
        w, V = LA.eigh(x)
        close(w, np.linalg.eigvalsh(a))
        close(V @ w.diag_embed() @ V.mT, a)


def test_infos_and_errors_name_the_matrix() -> None:
    a = corten.stack([corten.eye(3), corten.zeros(3, 3), corten.diag(corten.tensor([1.0, -1.0, 1.0]))]).to("gpu")
    assert LA.cholesky_ex(a).info.tolist() == [0, 1, 2] and LA.inv_ex(a).info.tolist() == [0, 1, 0]
    with pytest.raises(LA.LinAlgError, match=r"Batch element 1\): The diagonal element 1"):
        LA.inv(a)
    with pytest.raises(NotImplementedError, match=r"ldl_factor.*not available on the GPU.*cholesky"):
        LA.ldl_factor(a)
    nan = corten.full((40, 40), math.nan, device="gpu")
    assert LA.cholesky_ex(nan).info.item() == 1 and LA.lu_factor_ex(nan).info.item() == 0


@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "eigvalsh"])
def test_gradients_are_those_of_the_cpu(name: str) -> None:
    a = noise(2, 4, 4)
    a = a @ a.swapaxes(-1, -2) + np.eye(4)
    grads = []
    for device in ("cpu", "gpu"):
        x = corten.tensor(a, dtype=corten.float32, device=device, requires_grad=True)
        getattr(LA, name)(x).sum().backward()
        grads.append(x.grad)
    close(grads[1] / grads[0].abs().max().item(), (grads[0] / grads[0].abs().max()).numpy())


COMPLEX = {
    "linalg_qr": lambda z: LA.qr(z),
    "linalg_svd": lambda z: LA.svdvals(z),
    "linalg_cholesky": lambda z: LA.cholesky(z),
    "linalg_lu_factor": lambda z: LA.inv(z),
    "linalg_solve_triangular": lambda z: LA.solve_triangular(z, z, upper=True),
    "linalg.eigh": lambda z: LA.eigh(z),
    "linalg.eig": lambda z: LA.eig(z),
    "geqrf": lambda z: corten.geqrf(z),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_matrices_are_refused_with_a_way_out(name: str) -> None:
    z = corten.eye(2, dtype=corten.complex64).to("gpu")
    with pytest.raises(NotImplementedError) as error:
        COMPLEX[name](z)
    assert name in str(error.value) and ".cpu()" in str(error.value)
    with pytest.raises(NotImplementedError, match=r"linalg.eig.*\.cpu\(\)"):
        LA.eigvals(corten.eye(2).to("gpu"))
