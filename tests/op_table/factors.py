"""Rows of factors of matrices that every device has: Cholesky's, and what is solved with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .row import WIDE_FLOATS, Maker, Operand, Row, Sample

TOLERANCE = {"float64": (1e-10, 1e-11), "float32": (2e-4, 2e-5)}


def positive(make: Maker, *shape: int) -> Operand:
    """Symmetric matrices whose eigenvalues are at least 1."""
    x = make.real(*shape, low=-1.0, high=1.0).array
    return make.wrap(x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1]))


def symmetric(module: Any, x: Any) -> Any:
    """A function of all elements that sees equal ones across the diagonal, as the factor's gradient takes them."""
    return module.linalg.cholesky((x + x.mT) / 2)


def positive_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((3, 3), (2, 1, 4, 4), (1, 1), (0, 3, 3), (2, 0, 0), (2, 33, 33)):
        yield Sample(positive(make, *shape))


def lower(make: Maker, *shape: int) -> Operand:
    return make.wrap(np.tril(make.real(*shape, low=-1.0, high=1.0).array) + 2 * np.eye(shape[-1]))


def solve_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 2), lower(make, 3, 3))
    yield Sample(make.real(2, 4, 1), lower(make, 4, 4))
    yield Sample(make.real(4, 3), lower(make, 2, 1, 4, 4))
    yield Sample(make.real(0, 2), lower(make, 0, 0))


def product(factor: Any, upper: bool) -> Any:
    factor = np.triu(factor).swapaxes(-1, -2) if upper else np.tril(factor)
    return factor @ factor.swapaxes(-1, -2)


def solved(b: Any, factor: Any, upper: bool = False) -> Any:
    return np.linalg.solve(product(factor, upper), b)


def inverse_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(lower(make, 3, 3))
    yield Sample(lower(make, 2, 4, 4))
    yield Sample(make.wrap(lower(make, 3, 3).array.T), True)


ROWS = [
    Row(
        "linalg.cholesky",
        lambda x: np.linalg.cholesky((x + x.swapaxes(-1, -2)) / 2),
        positive_samples,
        dtypes=WIDE_FLOATS,
        grad=2,
        invoke=symmetric,
        tolerance=TOLERANCE,
        repeats=False,
    ),
    Row(
        "cholesky_solve",
        solved,
        solve_samples,
        dtypes=WIDE_FLOATS,
        method=True,
        out=True,
        tolerance=TOLERANCE,
        repeats=False,
    ),
    Row(
        "cholesky_inverse",
        lambda x, upper=False: np.linalg.inv(product(x, upper)),
        inverse_samples,
        dtypes=WIDE_FLOATS,
        method=True,
        out=True,
        tolerance=TOLERANCE,
        repeats=False,
    ),
    # The gradient of a factor is that of its product in all elements, of which only a triangle is read.
    Row(
        "cholesky_solve.gradient",
        solved,
        solve_samples,
        "cholesky_solve",
        dtypes=WIDE_FLOATS,
        grad=2,
        invoke=lambda module, b, factor: module.cholesky_solve(b, factor.tril()),
        tolerance=TOLERANCE,
        repeats=False,
    ),
    Row(
        "cholesky_inverse.gradient",
        lambda x: np.linalg.inv(product(x, False)),
        lambda make: iter([Sample(lower(make, 3, 3)), Sample(lower(make, 2, 4, 4))]),
        "cholesky_inverse",
        dtypes=WIDE_FLOATS,
        grad=2,
        invoke=lambda module, factor: module.cholesky_inverse(factor.tril()),
        tolerance=TOLERANCE,
        repeats=False,
    ),
]
