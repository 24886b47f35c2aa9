"""A few eigenpairs by iteration beside those of the whole decomposition."""

from __future__ import annotations

from typing import Any

import corten
import numpy as np
import pytest
from corten.autograd import gradcheck

pytestmark = pytest.mark.cpu


def symmetric(n: int, *batch: int, seed: int = 0) -> corten.Tensor:
    """Positive definite matrices with distinct eigenvalues."""
    x = np.random.default_rng(seed).standard_normal((*batch, n, n))
    return corten.tensor(x @ x.swapaxes(-1, -2) / n + np.eye(n))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("batch", [(), (3,), (2, 1)], ids=str)
def test_pairs_are_those_of_eigh(batch: tuple[int, ...], largest: bool) -> None:
    corten.manual_seed(0)
    A = symmetric(30, *batch)
    E, X = corten.lobpcg(A, 3, n=4, largest=largest, tol=1e-10)
    w = corten.linalg.eigvalsh(A)
    wanted = w.flip(-1)[..., :3] if largest else w[..., :3]
    assert E.shape == (*batch, 3) and X.shape == (*batch, 30, 3)
    np.testing.assert_allclose(E.numpy(), wanted.numpy(), rtol=1e-7)
    np.testing.assert_allclose((A @ X).numpy(), (X * E.unsqueeze(-2)).numpy(), atol=1e-7)


def test_generalized_problems_have_vectors_that_b_makes_orthonormal() -> None:
    corten.manual_seed(0)
    A, B = symmetric(20), symmetric(20, seed=1)
    E, X = corten.lobpcg(A, 2, B=B, tol=1e-10)
    wanted = np.sort(np.linalg.eigvals(np.linalg.solve(B.numpy(), A.numpy())).real)[::-1][:2]
    np.testing.assert_allclose(E.numpy(), wanted, rtol=1e-7)
    np.testing.assert_allclose((X.mT @ B @ X).numpy(), np.eye(2), atol=1e-8)
    np.testing.assert_allclose((A @ X).numpy(), (B @ X * E).numpy(), atol=1e-6)


def test_a_good_preconditioner_saves_steps() -> None:
    A = corten.arange(1.0, 201.0, dtype=corten.float64).square().diag()
    start = corten.randn(200, 2, dtype=corten.float64, generator=corten.Generator().manual_seed(0))
    steps = {}
    for name, iK in (("without", None), ("with", A.inverse())):
        states: list[Any] = []
        E, _ = corten.lobpcg(A, X=start, iK=iK, largest=False, tol=1e-9, tracker=states.append)
        np.testing.assert_allclose(E.numpy(), [1, 4], rtol=1e-4)
        steps[name] = states[-1].ivars["istep"]
    assert steps["with"] < steps["without"] / 2


def test_a_tracker_sees_residuals_and_can_stop() -> None:
    def stop(state: Any) -> None:
        assert state.R.shape == (30, 2) and state.tvars["rerr"].shape == (2,)
        state.bvars["force_stop"] = state.ivars["istep"] == 2

    seen: list[int] = []
    corten.lobpcg(symmetric(30), 2, tol=0.0, tracker=lambda s: (seen.append(s.ivars["istep"]), stop(s)))
    assert seen == [0, 1, 2]
    seen.clear()
    corten.lobpcg(symmetric(30), 2, tol=0.0, niter=4, tracker=lambda s: seen.append(s.ivars["istep"]))
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("largest", [True, False])
def test_gradients_are_those_of_the_pairs(largest: bool) -> None:
    def f(a: corten.Tensor) -> tuple[corten.Tensor, corten.Tensor]:
        corten.manual_seed(0)
        E, X = corten.lobpcg(a, 2, largest=largest, tol=1e-13, niter=200)
        return E, X @ (E.unsqueeze(-1) * X.mT)

    assert gradcheck(f, [symmetric(8, 2).requires_grad_()], atol=1e-5, rtol=1e-4)


def test_what_cannot_be_iterated_raises() -> None:
    with pytest.raises(ValueError, match="smaller than 3 x the number of requested eigenpairs"):
        corten.lobpcg(corten.eye(5), 2)
    with pytest.raises(NotImplementedError, match="ComplexFloat"):
        corten.lobpcg(corten.eye(5, dtype=corten.complex64))
    with pytest.raises(RuntimeError, match="square"):
        corten.lobpcg(corten.ones(5, 4))
    with pytest.raises(ValueError, match="method must be"):
        corten.lobpcg(corten.eye(5), method="x")
