"""What decompositions and solvers say of bad matrices, and which results they leave out, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import corten
import pytest

torch = pytest.importorskip("torch")

BATCH = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]
CASES: dict[str, Callable[[Any], Any]] = {
    "cholesky": lambda m: m.linalg.cholesky(m.tensor(BATCH)),
    "cholesky of one": lambda m: m.linalg.cholesky(m.zeros(2, 2)),
    "old cholesky": lambda m: m.cholesky(m.tensor(BATCH)),
    "cholesky_ex": lambda m: m.linalg.cholesky_ex(m.tensor(BATCH), check_errors=True),
    "cholesky of integers": lambda m: m.linalg.cholesky(m.ones(2, 2).long()),
    "cholesky not square": lambda m: m.linalg.cholesky(m.ones(2, 3)),
    "inv": lambda m: m.linalg.inv(m.tensor(BATCH)),
    "inv_ex": lambda m: m.linalg.inv_ex(m.tensor(BATCH), check_errors=True),
    "inverse": lambda m: m.inverse(m.ones(2, 3)),
    "solve": lambda m: m.linalg.solve(m.tensor(BATCH), m.ones(2, 2)),
    "solve_ex": lambda m: m.linalg.solve_ex(m.zeros(2, 2), m.ones(2, 2), check_errors=True),
    "solve sizes": lambda m: m.linalg.solve(m.eye(2), m.ones(3)),
    "solve right": lambda m: m.linalg.solve(m.eye(2), m.ones(2), left=False),
    "solve dtypes": lambda m: m.linalg.solve(m.eye(2), m.ones(2, 1).double()),
    "lu_factor": lambda m: m.linalg.lu_factor(m.tensor(BATCH)),
    "lu_factor vector": lambda m: m.linalg.lu_factor(m.ones(2).reshape(2)).LU,
    "lu_solve": lambda m: m.linalg.lu_solve(m.eye(2), m.tensor([1, 2]), m.eye(2)),
    "det": lambda m: m.linalg.det(m.ones(2, 3)),
    "logdet": lambda m: m.logdet(m.ones(2, 3)),
    "eigh": lambda m: m.linalg.eigh(m.ones(2, 3)),
    "eigh of integers": lambda m: m.linalg.eigh(m.ones(2, 2).long()),
    "eigh triangle": lambda m: m.linalg.eigh(m.eye(2), UPLO="x"),
    "pinv": lambda m: m.linalg.pinv(m.ones(2)),
    "cond": lambda m: m.linalg.cond(m.ones(2, 3), "fro"),
    "cond norm": lambda m: m.linalg.cond(m.ones(2, 3), 3),
    "lstsq vector": lambda m: m.linalg.lstsq(m.ones(3), m.ones(3)),
    "lstsq driver": lambda m: m.linalg.lstsq(m.ones(3, 2), m.ones(3, 1), driver="x"),
    "tensorinv": lambda m: m.linalg.tensorinv(m.ones(2, 3), ind=0),
    "tensorsolve": lambda m: m.linalg.tensorsolve(m.ones(2, 3), m.ones(2)),
    "cholesky_solve": lambda m: m.cholesky_solve(m.ones(2, 1), m.ones(3, 3)),
    "cholesky_inverse": lambda m: m.cholesky_inverse(m.zeros(2, 2)),
    "eig": lambda m: m.linalg.eig(m.ones(2, 3)),
    "eig vector": lambda m: m.linalg.eig(m.ones(2)),
    "eig of integers": lambda m: m.linalg.eig(m.ones(2, 2).long()),
    "eig of half": lambda m: m.linalg.eig(m.ones(2, 2).half()),
    "eig of nan": lambda m: m.linalg.eig(m.full((2, 2), float("nan"))),
    "eig out": lambda m: m.linalg.eig(m.ones(2, 2), out=(m.ones(2), m.ones(2, 2))),
    "eigvals": lambda m: m.linalg.eigvals(m.ones(2, 3)),
    "eigvals of integers": lambda m: m.linalg.eigvals(m.ones(2, 2).long()),
    "eigvals out": lambda m: m.linalg.eigvals(m.ones(2, 2), out=m.ones(2)),
    "geqrf": lambda m: m.geqrf(m.ones(2)),
    "geqrf of integers": lambda m: m.geqrf(m.ones(2, 2).long()),
    "geqrf gradient": lambda m: m.geqrf(m.ones(2, 2, requires_grad=True))[0].sum().backward(),
    "phases of svd": lambda m: m.linalg.svd(complex_leaf(m))[0].sum().abs().backward(),
    "phases of eigh": lambda m: m.linalg.eigh(complex_leaf(m))[1].sum().abs().backward(),
    "phases of eig": lambda m: m.linalg.eig(complex_leaf(m))[1].sum().abs().backward(),
    "complex cholesky": lambda m: m.linalg.cholesky(m.zeros(2, 2, dtype=m.complex64)),
    "complex inv": lambda m: m.linalg.inv(m.zeros(2, 2, dtype=m.complex64)),
    "complex solve": lambda m: m.linalg.solve(m.eye(2, dtype=m.complex64), m.ones(2, 1)),
    "complex norm": lambda m: m.linalg.vector_norm(m.ones(2, dtype=m.complex64), dtype=m.float32),
    "real norm": lambda m: m.linalg.matrix_norm(m.ones(2, 2), dtype=m.complex64),
    "complex tau": lambda m: m.linalg.householder_product(m.eye(2, dtype=m.complex64), m.ones(2)),
    "lobpcg": lambda m: m.lobpcg(m.eye(5), 2),
}


def complex_leaf(m: Any) -> Any:
    x = m.tensor([[1 + 1j, 2.0, 0.5j], [0.25, 3 - 1j, 1j], [2j, 1.0, 1 + 2j]], dtype=m.complex64)
    return x.requires_grad_()


def failure(f: Callable[[Any], Any], module: Any) -> tuple[str, str]:
    with pytest.raises((RuntimeError, ValueError)) as error:
        f(module)
    return type(error.value).__name__.lstrip("_"), str(error.value)


@pytest.mark.filterwarnings("ignore:.*is deprecated in favor of")
@pytest.mark.parametrize("name", CASES)
def test_errors_are_those_of_pytorch(name: str) -> None:
    if name == "lu_factor vector":
        assert failure(CASES[name], corten)[0] == failure(CASES[name], torch)[0]
    else:
        assert failure(CASES[name], corten) == failure(CASES[name], torch)


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2, 3, 3)], ids=str)
def test_least_squares_leave_out_what_pytorch_leaves_out(shape: tuple[int, ...], driver: str | None) -> None:
    a, b = torch.randn(*shape), torch.randn(*shape[:-1], 2)
    wanted = torch.linalg.lstsq(a, b, driver=driver)
    found = corten.linalg.lstsq(corten.tensor(a.numpy()), corten.tensor(b.numpy()), driver=driver)
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.shape == tuple(theirs.shape) and str(mine.dtype)[7:] == str(theirs.dtype)[6:]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("hermitian", [True, False])
def test_pivots_of_symmetric_matrices_are_those_of_lapack(dtype: str, hermitian: bool) -> None:
    a = torch.randn(3, 20, 20, dtype=getattr(torch, dtype))
    a = a + (a.mH if hermitian else a.mT)
    a.diagonal(dim1=-2, dim2=-1).mul_(0.1)
    LD, pivots = torch.linalg.ldl_factor(a, hermitian=hermitian)
    found = corten.linalg.ldl_factor(corten.tensor(a.numpy()), hermitian=hermitian)
    assert found.pivots.tolist() == pivots.tolist()
    assert abs(found.LD.numpy() - LD.numpy()).max() < 1e-9


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 70, 70), (4, 0)], ids=str)
def test_reflections_are_those_of_lapack(shape: tuple[int, ...], dtype: str) -> None:
    a = torch.randn(shape, dtype=getattr(torch, dtype))
    a[..., 1:, :1] = 0  # a column that needs no reflection, but for its phase
    x = corten.tensor(a.numpy())
    pairs = [*zip(corten.geqrf(x), torch.geqrf(a), strict=True)]
    for mode in ("reduced", "complete"):
        pairs += zip(corten.linalg.qr(x, mode), torch.linalg.qr(a, mode), strict=True)
    for mine, theirs in pairs:
        assert mine.shape == tuple(theirs.shape)
        assert abs(mine.numpy() - theirs.numpy()).max(initial=0) < 1e-9


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_vectors_of_matrices_without_symmetry_have_the_phases_of_lapack(dtype: str) -> None:
    a = torch.randn(2, 12, 12, dtype=getattr(torch, dtype))
    w, V = (x.numpy() for x in torch.linalg.eig(a))
    mine = corten.linalg.eig(corten.tensor(a.numpy()))
    for values, vectors, found, rows in zip(w, V, mine.eigenvalues.numpy(), mine.eigenvectors.numpy(), strict=True):
        places = [abs(found - value).argmin() for value in values]
        assert sorted(places) == list(range(12)) and abs(found[places] - values).max() < 1e-9
        for theirs, ours in zip(vectors.T, rows.T[places], strict=True):
            # Real vectors keep a sign that is arbitrary.
            assert min(abs(ours - theirs).max(), abs(ours + theirs).max()) < 1e-8


def test_lobpcg_and_its_gradient_are_those_of_pytorch() -> None:
    x = torch.randn(2, 20, 20, dtype=torch.float64)
    a, start = x @ x.mT / 20 + torch.eye(20), torch.randn(2, 20, 3, dtype=torch.float64)
    found = []
    for module, A, X in ((torch, a, start), (corten, corten.tensor(a.numpy()), corten.tensor(start.numpy()))):
        A.requires_grad_()
        values, vectors = module.lobpcg(A, 2, X=X, tol=1e-11)
        (values.exp().sum() + vectors.abs().pow(3).sum()).backward()
        found.append([t.detach().numpy() for t in (values, vectors.abs(), A.grad)])
    for theirs, mine in zip(*found, strict=True):
        assert abs(theirs - mine).max() < 1e-7
