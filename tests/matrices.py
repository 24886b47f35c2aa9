"""What the suites of linear algebra share: comparisons with numpy, and matrices that lie otherwise in memory."""

from __future__ import annotations

import corten
import numpy as np


def close(actual: corten.Tensor, wanted: np.ndarray, tolerance: float = 1e-10) -> None:
    assert actual.shape == np.shape(wanted)
    np.testing.assert_allclose(actual.detach().numpy(), wanted, rtol=tolerance, atol=tolerance)


def layouts(a: np.ndarray) -> list[corten.Tensor]:
    """The same matrices by rows, by columns, and among other numbers."""
    dtype = corten.complex128 if np.iscomplexobj(a) else corten.float64
    spread = corten.zeros(*a.shape[:-1], 2 * a.shape[-1], dtype=dtype)
    spread[..., ::2] = corten.tensor(a)
    return [corten.tensor(a), corten.tensor(a.swapaxes(-1, -2).copy()).mT, spread[..., ::2]]
