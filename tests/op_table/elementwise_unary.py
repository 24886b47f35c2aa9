"""Rows of the elementwise operators of one tensor, clamp, nan_to_num and casts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from .row import ALL, FLOATS, INTS, NUMBERS, STEPS, ULP, WIDE_FLOATS, Maker, Row, Sample

# Odd sizes around the widths of SIMD registers, empty and 0-d tensors.
SHAPES = ((), (1,), (7,), (17,), (33,), (257,), (0,), (3, 0, 2), (2, 3, 4), (5, 1, 3))


def drawn(low: float, high: float) -> Callable[[Maker], Iterator[Sample]]:
    """One sample for each shape, values in [low, high]."""

    def samples(make: Maker) -> Iterator[Sample]:
        for shape in SHAPES:
            yield Sample(make.real(*shape, low=low, high=high))

    return samples


def unary(name: str, ref: Callable, low: float = -3.0, high: float = 3.0, **options: Any) -> Row:
    """A differentiable function of one tensor, integers giving floats."""
    defaults: dict[str, Any] = dict(
        dtypes=ALL, result="float", tolerance=ULP, grad=2, method=True, inplace=True, out=True, elementwise=True
    )
    return Row(name, ref, drawn(low, high), **{**defaults, **options})


def keeping(name: str, ref: Callable, low: float = -3.0, high: float = 3.0, **options: Any) -> Row:
    """A function whose result has its operand's dtype."""
    return unary(name, ref, low, high, **{"result": "same", "dtypes": NUMBERS, **options})


def stepped(name: str, ref: Callable, **options: Any) -> Row:
    """A piecewise constant function: its derivative is zero."""
    return keeping(name, ref, **{"zero_grad": True, **options})


def test_of(name: str, ref: Callable, **options: Any) -> Row:
    """A predicate: bool for every dtype."""
    return unary(name, ref, **{"result": "bool", "grad": 0, "inplace": False, "out": False, **options})


def with_specials(make: Maker) -> Iterator[Sample]:
    """Ordinary values with NaN, infinities and zeros among them."""
    for shape in ((7,), (33,), (2, 3, 4)):
        operand = make.real(*shape)
        if operand.array.dtype == np.float64:
            operand.array.reshape(-1)[:5] = [np.nan, np.inf, -np.inf, 0.0, -0.0]
        yield Sample(operand)


def rounded(x: np.ndarray, *, decimals: int = 0) -> np.ndarray:
    return np.round(x, decimals) if decimals else np.rint(x)


def round_samples(make: Maker) -> Iterator[Sample]:
    for shape in SHAPES:
        yield Sample(make.real(*shape))
    halves = np.arange(-7, 8) / 2 if make.dtype in FLOATS else np.arange(0, 8)
    yield Sample(make.wrap(halves, differentiable=False))


def round_decimals_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(17), decimals=2)
    yield Sample(make.real(2, 3, 4, low=-300, high=300), decimals=-1)


def clamp(x: np.ndarray, min: Any = None, max: Any = None) -> np.ndarray:
    if min is not None:
        x = np.maximum(x, min)
    return x if max is None else np.minimum(x, max)


def clamp_samples(make: Maker) -> Iterator[Sample]:
    low, high = make.scalar(1), make.scalar(2)
    for shape in SHAPES:
        yield Sample(make.real(*shape), low, high)
    yield Sample(make.real(17), min=low)
    yield Sample(make.real(17), max=high)
    yield Sample(make.real(7), high, low)
    yield Sample(make.real(5, 7), make.real(7, low=-3, high=0), make.real(5, 1, low=0))
    yield Sample(make.real(5, 7), min=make.real(7))
    yield Sample(make.real(5, 7), max=make.real(5, 1))


def bound_samples(make: Maker) -> Iterator[Sample]:
    for shape in SHAPES:
        yield Sample(make.real(*shape), make.scalar(1))
    yield Sample(make.real(5, 7), make.real(7))


def nan_to_num_samples(make: Maker) -> Iterator[Sample]:
    special_values = [np.nan, np.inf, -np.inf, 1.5, -2.0] if make.dtype in FLOATS else [0, 1, 2, 3, 4]
    yield Sample(make.wrap(special_values), nan=1.0, posinf=2.0, neginf=-3.0)
    yield Sample(make.wrap(special_values), 0.5, 2.0, -2.0)
    yield Sample(make.real(2, 3, 4), nan=1.0, posinf=2.0, neginf=-3.0)


def nan_to_num(x: np.ndarray, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> np.ndarray:
    return x if x.dtype != np.float64 else np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


def frac(x: np.ndarray) -> np.ndarray:
    return x - np.trunc(x)


def logit(x: np.ndarray, eps: float | None = None) -> np.ndarray:
    return special.logit(x if eps is None else np.clip(x, eps, 1 - eps))


def logit_samples(make: Maker) -> Iterator[Sample]:
    yield from drawn(0.05, 0.95)(make)
    yield Sample(make.wrap([0.0, 0.3, 0.5, 1.0], differentiable=False), eps=0.125)


def polygamma_samples(make: Maker) -> Iterator[Sample]:
    for order in (0, 1, 2, 3):
        yield Sample(order, make.real(7, low=0.5, high=4.0))


def mvlgamma(x: np.ndarray, p: int) -> np.ndarray:
    return special.multigammaln(x, p) if x.size else x


def mvlgamma_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(7, low=2.0, high=5.0), 3)
    yield Sample(make.real(2, 3, low=2.0, high=5.0), 1)


def not_of(x: np.ndarray) -> np.ndarray:
    return ~x


def cast_samples(make: Maker) -> Iterator[Sample]:
    for shape in SHAPES:
        yield Sample(make.real(*shape, low=0, high=100))


def cast(name: str, dtype: str) -> Row:
    """The method that converts to `dtype`; floats are truncated towards zero."""
    differentiable = 2 if dtype == "float64" else 0

    def convert(x: np.ndarray) -> np.ndarray:
        return x != 0 if dtype == "bool" else x.astype(np.float64 if "float" in dtype else dtype)

    return Row(
        f"Tensor.{name}", convert, cast_samples, dtypes=ALL, result=dtype, tolerance=ULP,
        grad=differentiable, elementwise=True,
    )  # fmt: skip


# Their series, or the reference's, lose a few places near the zeros of the function.
GAMMA = {"float64": (1e-12, 1e-12), "float32": (2e-6, 5e-7), "float16": (2e-3, 1e-3), "bfloat16": (1e-2, 1e-2)}
# Arguments are multiplied by a rounded constant first.
TWO_STEPS = {**ULP, "float64": (2e-15, 1e-300), "float32": (6e-7, 1e-37), "float16": (2e-3, 1e-6)}

ROWS = [
    keeping("abs", np.abs, aliases=("absolute",)),
    keeping("neg", np.negative, aliases=("negative",)),
    keeping("positive", np.positive, inplace=False, out=False),
    keeping("square", np.square, dtypes=NUMBERS),
    stepped("sign", np.sign),
    stepped("sgn", np.sign),
    stepped("floor", np.floor),
    stepped("ceil", np.ceil),
    stepped("trunc", np.trunc, aliases=("fix",)),
    keeping("frac", frac, dtypes=FLOATS),
    Row(
        "round",
        rounded,
        round_samples,
        dtypes=NUMBERS,
        tolerance=ULP,
        grad=2,
        zero_grad=True,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    Row(
        "round.decimals",
        rounded,
        round_decimals_samples,
        call="round",
        dtypes=WIDE_FLOATS,
        tolerance=TWO_STEPS,
        grad=2,
        zero_grad=True,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    unary("exp", np.exp),
    unary("exp2", np.exp2),
    unary("expm1", np.expm1),
    unary("log", np.log, 0.1, 5.0),
    unary("log2", np.log2, 0.1, 5.0),
    unary("log10", np.log10, 0.1, 5.0),
    unary("log1p", np.log1p, -0.9, 5.0),
    unary("sqrt", np.sqrt, 0.1, 5.0),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), 0.1, 5.0),
    unary("reciprocal", lambda x: 1 / x, 0.2, 5.0),
    unary("sin", np.sin, -6.0, 6.0),
    unary("cos", np.cos, -6.0, 6.0),
    unary("tan", np.tan, -1.4, 1.4),
    unary("asin", np.arcsin, -0.95, 0.95, aliases=("arcsin",)),
    unary("acos", np.arccos, -0.95, 0.95, aliases=("arccos",)),
    unary("atan", np.arctan, aliases=("arctan",)),
    unary("sinh", np.sinh),
    unary("cosh", np.cosh),
    unary("tanh", np.tanh),
    unary("asinh", np.arcsinh, aliases=("arcsinh",)),
    unary("acosh", np.arccosh, 1.1, 5.0, aliases=("arccosh",)),
    unary("atanh", np.arctanh, -0.9, 0.9, aliases=("arctanh",)),
    unary("erf", special.erf),
    unary("erfc", special.erfc),
    unary("erfinv", special.erfinv, -0.95, 0.95),
    unary("lgamma", special.gammaln, 0.3, 6.0, tolerance=GAMMA),
    unary("digamma", special.digamma, 0.3, 6.0, tolerance=GAMMA),
    Row(
        "polygamma",
        lambda n, x: special.polygamma(n, x),
        polygamma_samples,
        dtypes=WIDE_FLOATS,
        tolerance={**GAMMA, "float64": (1e-9, 1e-9)},
        grad=2,
        out=True,
    ),
    Row(
        "mvlgamma",
        mvlgamma,
        mvlgamma_samples,
        dtypes=WIDE_FLOATS,
        tolerance=GAMMA,
        grad=2,
        method=True,
        inplace=True,
        out=True,
    ),
    unary("sigmoid", special.expit),
    Row(
        "logit",
        logit,
        logit_samples,
        tolerance=STEPS,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    unary("sinc", np.sinc, tolerance=STEPS),
    unary("i0", special.i0, tolerance=TWO_STEPS),
    unary("special.i1", special.i1, tolerance=TWO_STEPS, method=False, inplace=False),
    unary("deg2rad", np.deg2rad, -180, 180, tolerance=TWO_STEPS),
    unary("rad2deg", np.rad2deg, tolerance=TWO_STEPS),
    test_of("isnan", np.isnan),
    test_of("isinf", np.isinf),
    test_of("isfinite", np.isfinite),
    test_of("isreal", np.isreal),
    test_of("isposinf", np.isposinf, out=True, dtypes=NUMBERS),
    test_of("isneginf", np.isneginf, out=True, dtypes=NUMBERS),
    test_of("signbit", lambda x: np.signbit(x) if x.dtype == np.float64 else x < 0, out=True),
    test_of("logical_not", np.logical_not, inplace=True, out=True),
    unary("bitwise_not", not_of, dtypes=(*INTS, "bool"), result="same", grad=0),
    Row(
        "nan_to_num",
        nan_to_num,
        nan_to_num_samples,
        dtypes=NUMBERS,
        tolerance=ULP,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    Row(
        "clamp",
        clamp,
        clamp_samples,
        dtypes=NUMBERS,
        tolerance=ULP,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
        aliases=("clip",),
    ),
    Row(
        "clamp_min",
        np.maximum,
        bound_samples,
        dtypes=NUMBERS,
        tolerance=ULP,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    Row(
        "clamp_max",
        np.minimum,
        bound_samples,
        dtypes=NUMBERS,
        tolerance=ULP,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    cast("float", "float32"),
    cast("double", "float64"),
    cast("half", "float16"),
    cast("bfloat16", "bfloat16"),
    cast("char", "int8"),
    cast("short", "int16"),
    cast("int", "int32"),
    cast("long", "int64"),
    cast("byte", "uint8"),
    cast("bool", "bool"),
]

for _name, _ref in (("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite)):
    ROWS.append(
        Row(f"{_name}.specials", _ref, with_specials, call=_name, result="bool", tolerance=ULP, elementwise=True)
    )
