"""Rows of the special functions that are written in other operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from .elementwise_unary import drawn
from .row import LOOSE, Maker, Row, Sample

DTYPES = ("float32", "float64", "int32")
TOLERANCE = {**LOOSE, "float32": (1e-5, 1e-5)}


def row(name: str, ref: Callable, samples: Any, **options: Any) -> Row:
    defaults: dict[str, Any] = dict(dtypes=DTYPES, result="float", tolerance=TOLERANCE, out=True)
    return Row(f"special.{name}", ref, samples, **{**defaults, **options})


def plain(name: str, ref: Callable, low: float = -12.0, high: float = 12.0, **options: Any) -> Row:
    return row(name, ref, drawn(low, high), **options)


def with_degrees(low: float, high: float, most: int) -> Callable[[Maker], Iterator[Sample]]:
    """Arguments on both sides of 1, and degrees as numbers and tensors."""

    def samples(make: Maker) -> Iterator[Sample]:
        for shape in ((5,), (3, 4)):
            yield Sample(make.real(*shape, low=low, high=high), 3)
            degrees = np.random.default_rng(most).integers(-1, most, shape)
            x = make.real(*shape, low=low, high=high)
            yield Sample(x, make.wrap(degrees.astype(x.array.dtype), differentiable=False))
        yield Sample(
            make.wrap(np.array([1, -1, 1, -1, 0]), differentiable=False),
            make.wrap(np.array([4, 5, 11, 12, 0]), differentiable=False),
        )

    return samples


def none_below_zero(ref: Callable) -> Callable:
    """A polynomial whose negative degrees are 0."""
    return lambda x, n: np.where(n < 0, 0.0, ref(np.asarray(np.maximum(n, 0), np.int64), x))


def third_kind(n: Any, x: Any) -> Any:
    """Vₙ by the recurrence of numbers: Uₙ − Uₙ₋₁."""
    return special.eval_chebyu(n, x) - np.where(n > 0, special.eval_chebyu(np.maximum(n - 1, 0), x), 0.0)


def fourth_kind(n: Any, x: Any) -> Any:
    """Wₙ = Uₙ + Uₙ₋₁."""
    return special.eval_chebyu(n, x) + np.where(n > 0, special.eval_chebyu(np.maximum(n - 1, 0), x), 0.0)


CHEBYSHEV = {"t": special.eval_chebyt, "u": special.eval_chebyu, "v": third_kind, "w": fourth_kind}


def polynomial(name: str, ref: Callable, low: float, high: float, most: int) -> Row:
    wide = {**TOLERANCE, "float32": (2e-4, 2e-4), "float64": (1e-9, 1e-9)}
    return row(name, none_below_zero(ref), with_degrees(low, high, most), tolerance=wide)


def xlog1py_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((7,), (3, 4)):
        yield Sample(make.real(*shape), make.real(*shape, low=0, high=4))
    yield Sample(make.real(3, 1), make.real(4, low=0, high=4))
    yield Sample(
        make.wrap(np.array([0, 2, 0]), differentiable=False), make.wrap(np.array([-1, 1, 5]), differentiable=False)
    )


def zeta_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((7,), (3, 4)):
        x = make.real(*shape, low=2, high=9)
        yield Sample(x, make.real(*shape, low=1, high=6))
        yield Sample(
            make.wrap(np.array([2, 3, 1]), differentiable=False), make.wrap(np.array([1, 15, 2]), differentiable=False)
        )


ROWS = [
    plain("airy_ai", lambda x: special.airy(x)[0]),
    plain("bessel_j0", special.j0),
    plain("bessel_j1", special.j1),
    plain("bessel_y0", special.y0, 0.1, 30),
    plain("bessel_y1", special.y1, 0.1, 30),
    plain("i0e", special.i0e, -20, 20, grad=2),
    plain("i1e", special.i1e, -20, 20, grad=2),
    plain("modified_bessel_i0", special.i0, -5, 5),
    plain("modified_bessel_i1", special.i1, -5, 5),
    plain("modified_bessel_k0", special.k0, 0.1, 9),
    plain("modified_bessel_k1", special.k1, 0.1, 9),
    plain("scaled_modified_bessel_k0", special.k0e, 0.1, 30),
    plain("scaled_modified_bessel_k1", special.k1e, 0.1, 30),
    plain("spherical_bessel_j0", lambda x: special.spherical_jn(0, x)),
    plain("entr", special.entr, 0.1, 4, grad=2),
    plain("erfcx", special.erfcx, -2, 9, grad=2),
    plain("log_ndtr", special.log_ndtr, grad=2),
    plain("ndtr", special.ndtr, -4, 4, grad=2),
    plain("ndtri", special.ndtri, 0.02, 0.98, grad=2, dtypes=("float32", "float64")),
    row("xlog1py", special.xlog1py, xlog1py_samples, grad=2),
    row("zeta", special.zeta, zeta_samples),
    *(polynomial(f"chebyshev_polynomial_{kind}", ref, -2, 2, 13) for kind, ref in CHEBYSHEV.items()),
    *(
        polynomial(f"shifted_chebyshev_polynomial_{kind}", lambda n, x, ref=ref: ref(n, 2 * x - 1), -1, 2, 13)
        for kind, ref in CHEBYSHEV.items()
    ),
    polynomial("hermite_polynomial_h", special.eval_hermite, -2, 2, 7),
    polynomial("hermite_polynomial_he", special.eval_hermitenorm, -2, 2, 7),
    polynomial("laguerre_polynomial_l", special.eval_laguerre, -2, 4, 9),
    polynomial("legendre_polynomial_p", special.eval_legendre, -2, 2, 9),
]
