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
}


def failure(f: Callable[[Any], Any], module: Any) -> tuple[str, str]:
    with pytest.raises(RuntimeError) as error:
        f(module)
    return type(error.value).__name__.lstrip("_"), str(error.value)


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


def test_pivots_of_symmetric_matrices_are_those_of_lapack() -> None:
    a = torch.randn(3, 20, 20, dtype=torch.float64)
    a = a + a.mT
    a.diagonal(dim1=-2, dim2=-1).mul_(0.1)
    LD, pivots = torch.linalg.ldl_factor(a)
    found = corten.linalg.ldl_factor(corten.tensor(a.numpy()))
    assert found.pivots.tolist() == pivots.tolist()
    assert abs(found.LD.numpy() - LD.numpy()).max() < 1e-9
