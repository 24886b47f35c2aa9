"""Rows of the elementwise operators of two and three tensors: arithmetic, comparison, logic, bits, selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from .row import ALL, FLOATS, INTS, NUMBERS, STEPS, ULP, WIDE_FLOATS, Maker, Row, Sample

# Pairs of shapes: equal, broadcast on either side, empty and 0-d.
PAIRS = (
    ((), ()), ((7,), (7,)), ((257,), (257,)), ((33,), (1,)), ((3, 4), (4,)), ((3, 1), (1, 5)), ((2, 3, 4), ()),
    ((), (17,)), ((0,), (1,)), ((5, 1), (0,)), ((2, 3, 4), (2, 3, 4)), ((2, 1, 4), (3, 1)),
)  # fmt: skip


def pairs(
    low: float = -3.0, high: float = 3.0, low2: float | None = None, high2: float | None = None, scalar: Any = None
) -> Callable[[Maker], Iterator[Sample]]:
    """One sample for each pair of shapes; with `scalar`, one whose second argument is a Python number."""
    low2 = low if low2 is None else low2
    high2 = high if high2 is None else high2

    def samples(make: Maker) -> Iterator[Sample]:
        for left, right in PAIRS:
            yield Sample(make.real(*left, low=low, high=high), make.real(*right, low=low2, high=high2))
        if scalar is not None and make.dtype != "bool":
            yield Sample(make.real(17, low=low, high=high), make.scalar(scalar))

    return samples


def binary(name: str, ref: Callable, samples: Callable | None = None, **options: Any) -> Row:
    """An arithmetic operator of two tensors with PyTorch's promotion."""
    defaults: dict[str, Any] = dict(
        dtypes=NUMBERS, tolerance=ULP, grad=2, method=True, inplace=True, out=True, elementwise=True, promotes=True
    )
    return Row(name, ref, samples or pairs(scalar=2), **{**defaults, **options})


def comparison(name: str, ref: Callable, *aliases: str) -> Row:
    def samples(make: Maker) -> Iterator[Sample]:
        yield from pairs(-1, 1, scalar=1)(make)
        same = make.real(17)
        yield Sample(same, same.replaced(same.array.copy()))

    return binary(name, ref, samples, dtypes=ALL, result="bool", grad=0, aliases=aliases)


def logical(name: str, ref: Callable) -> Row:
    return binary(name, ref, pairs(-1.4, 1.4), dtypes=ALL, result="bool", grad=0)


def bitwise(name: str, ref: Callable) -> Row:
    return binary(name, ref, pairs(-100, 100, scalar=5), dtypes=(*INTS, "bool"), grad=0)


def shift(name: str, ref: Callable) -> Row:
    return binary(name, ref, pairs(-100, 100, 0, 6, scalar=3), dtypes=INTS, grad=0)


def scaled_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.real(4), alpha=make.scalar(3))
    yield Sample(make.real(17), make.real(17), alpha=make.scalar(2))
    yield Sample(make.real(17), make.scalar(2), alpha=make.scalar(3))


def add(x: Any, y: Any, *, alpha: Any = 1) -> Any:
    return x + y * alpha


def sub(x: Any, y: Any, *, alpha: Any = 1) -> Any:
    return x - y * alpha


def divide_samples(make: Maker) -> Iterator[Sample]:
    yield from pairs(-3, 3, 0.5, 3, scalar=2)(make)


def rounding_samples(make: Maker) -> Iterator[Sample]:
    for mode in ("trunc", "floor"):
        for left, right in PAIRS:
            divisor = make.real(*right, low=1, high=3)
            if make.dtype != "uint8":
                divisor.array[...] *= make.rng.choice([-1, 1], divisor.array.shape).astype(divisor.array.dtype)
            yield Sample(make.real(*left, low=-30, high=30), divisor, rounding_mode=mode)
    yield Sample(make.real(17, low=-30, high=30), make.scalar(3), rounding_mode="floor")


def divide_rounding(x: np.ndarray, y: Any, *, rounding_mode: str) -> np.ndarray:
    quotient = np.floor_divide(x, y)
    if rounding_mode == "floor":
        return quotient
    if x.dtype == np.float64:
        return np.trunc(x / y)
    # Truncation is one more than the floor where the signs differ and something is left over.
    uneven = (quotient * y != x) & ((x < 0) != (y < 0))
    return (quotient + uneven).astype(x.dtype)


def modulo_samples(make: Maker) -> Iterator[Sample]:
    for left, right in PAIRS:
        divisor = make.real(*right, low=1, high=4)
        if make.dtype != "uint8":
            divisor.array[...] *= make.rng.choice([-1, 1], divisor.array.shape).astype(divisor.array.dtype)
        yield Sample(make.real(*left, low=-30, high=30), divisor)
    yield Sample(make.real(17, low=-30, high=30), make.scalar(3))


def power_samples(make: Maker) -> Iterator[Sample]:
    yield from pairs(0.3, 3, 0, 3, scalar=3)(make)
    for exponent in (0, 1, 2):
        yield Sample(make.real(7), make.scalar(exponent))
    if make.dtype in FLOATS:
        for exponent in (0.5, -0.5, -1.0, -2.0, 2.5):
            yield Sample(make.real(7, low=0.3, high=3), exponent)
    yield Sample(make.scalar(2), make.real(7, low=0, high=4))


def float_power_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4, low=0.3, high=3), make.real(4, low=-2, high=2))
    yield Sample(make.real(7, low=1, high=3), 2)


def float_power(x: Any, y: Any) -> Any:
    return np.float_power(x, y)


def ldexp_samples(make: Maker) -> Iterator[Sample]:
    for left, right in PAIRS:
        yield Sample(make.real(*left), make.index(right, 5, dtype="int32"))
    # PyTorch's own gradient takes 2 to a negative power in integers: zero.
    yield Sample(make.real(17, differentiable=False), make.index(17, 5, low=-4, dtype="int32"))


def heaviside_samples(make: Maker) -> Iterator[Sample]:
    for left, right in PAIRS:
        yield Sample(make.real(*left, low=-1, high=1), make.real(*right))
    yield Sample(make.wrap([-1.0, 0.0, 2.0] if make.dtype != "uint8" else [0, 1, 2]), make.real(3))


def heaviside(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(x == 0, values, (x > 0).astype(x.dtype))


def isclose_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.real(4))
    yield Sample(make.wrap([1, 2, 3]), make.wrap([1, 2, 4]))
    yield Sample(make.wrap([1, 2, 3]), make.wrap([1, 2, 4]), rtol=0.5)
    if make.dtype in FLOATS:
        yield Sample(make.wrap([np.nan, np.inf, 1.0]), make.wrap([np.nan, np.inf, 1.0]), equal_nan=True)


def isclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    return np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)


def where_samples(make: Maker) -> Iterator[Sample]:
    for left, right in PAIRS:
        yield Sample(make.mask(*left), make.real(*left), make.real(*right))
    yield Sample(make.mask(3, 1), make.real(4), make.real(2, 1, 4))
    if make.dtype != "bool":
        yield Sample(make.mask(7), make.real(7), make.scalar(2))
        yield Sample(make.mask(7), make.scalar(2), make.real(7))


def lerp_samples(make: Maker) -> Iterator[Sample]:
    for left, right in PAIRS:
        yield Sample(make.real(*left), make.real(*right), make.real(*left, low=0, high=1))
    yield Sample(make.real(17), make.real(17), 0.3)
    yield Sample(make.real(17), make.real(17), 0.75)


def lerp(x: Any, end: Any, weight: Any) -> Any:
    return x + weight * (end - x)


def three_samples(make: Maker) -> Iterator[Sample]:
    for left, right in PAIRS:
        yield Sample(make.real(*left), make.real(*right, low=-2, high=2), make.real(*right, low=1, high=2))
    yield Sample(make.real(3, 4), make.real(4), make.real(3, 1, low=1, high=3), value=make.scalar(2))
    yield Sample(make.real(5), make.real(5), make.real(5, low=1, high=3), value=make.scalar(3))


def addcmul(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + value * a * b


def addcdiv(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + value * a / b


def reversed_sub(x: Any, y: Any, *, alpha: Any = 1) -> Any:
    return y - alpha * x


def xlogy_samples(make: Maker) -> Iterator[Sample]:
    yield from pairs(-3, 3, 0.2, 4, scalar=2)(make)
    if make.dtype in FLOATS:
        zeros, limits = (
            make.wrap([0.0, 0.0, 1.0], differentiable=False),
            make.wrap([0.0, np.inf, 2.0], differentiable=False),
        )
        yield Sample(zeros, limits)


def incomplete_gamma_samples(make: Maker) -> Iterator[Sample]:
    """Shapes, which have no derivative, and arguments below, at and above them."""
    for shape in ((257,), (3, 4)):
        a = make.real(*shape, low=0.2, high=9, differentiable=False)
        yield Sample(a, make.real(*shape, low=0.1, high=12))
    yield Sample(make.real(3, 1, low=150, high=400, differentiable=False), make.real(4, low=140, high=400))


ROWS = [
    binary("add", np.add),
    binary("add.alpha", add, scaled_samples, call="add", tolerance=STEPS, promotes=False),
    binary("add.bool", np.logical_or, pairs(), call="add", dtypes=("bool",), promotes=False),
    binary("sub", np.subtract, aliases=("subtract",)),
    binary("sub.alpha", sub, scaled_samples, call="sub", tolerance=STEPS, promotes=False),
    binary("rsub", reversed_sub, method=False, inplace=False, out=False),
    binary(
        "rsub.alpha", reversed_sub, scaled_samples, call="rsub", tolerance=STEPS, method=False, inplace=False, out=False
    ),
    binary("mul", np.multiply, aliases=("multiply",)),
    binary("mul.bool", np.logical_and, pairs(), call="mul", dtypes=("bool",), promotes=False),
    binary("div", np.true_divide, divide_samples, result="float", aliases=("divide", "true_divide")),
    binary(
        "div.rounding",
        divide_rounding,
        rounding_samples,
        call="div",
        dtypes=(*WIDE_FLOATS, *INTS),
        zero_grad=True,
        promotes=False,
    ),
    binary("floor_divide", np.floor_divide, modulo_samples, grad=0),
    binary("remainder", np.remainder, modulo_samples),
    binary("fmod", np.fmod, modulo_samples),
    binary("pow", np.power, power_samples),
    binary(
        "float_power",
        float_power,
        float_power_samples,
        result="float64",
        tolerance=dict.fromkeys(ULP, (1e-14, 1e-14)),
        inplace=False,
    ),
    binary("maximum", np.maximum, inplace=False, samples=pairs()),
    binary("minimum", np.minimum, inplace=False, samples=pairs()),
    binary("fmax", np.fmax, inplace=False, samples=pairs()),
    binary("fmin", np.fmin, inplace=False, samples=pairs()),
    binary("atan2", np.arctan2, pairs(0.2, 3), result="float", aliases=("arctan2",)),
    binary("hypot", np.hypot, pairs(0.2, 3), dtypes=FLOATS),
    binary("copysign", np.copysign, pairs(0.2, 3, -3, 3, scalar=-2), result="float"),
    binary("logaddexp", np.logaddexp, pairs(), dtypes=FLOATS, inplace=False, tolerance=STEPS),
    binary("logaddexp2", np.logaddexp2, pairs(), dtypes=FLOATS, inplace=False, tolerance=STEPS),
    binary("xlogy", special.xlogy, xlogy_samples, result="float"),
    binary("igamma", special.gammainc, incomplete_gamma_samples, dtypes=FLOATS, tolerance=STEPS, promotes=False),
    binary("igammac", special.gammaincc, incomplete_gamma_samples, dtypes=FLOATS, tolerance=STEPS, promotes=False),
    comparison("eq", np.equal),
    comparison("ne", np.not_equal, "not_equal"),
    comparison("lt", np.less, "less"),
    comparison("le", np.less_equal, "less_equal"),
    comparison("gt", np.greater, "greater"),
    comparison("ge", np.greater_equal, "greater_equal"),
    logical("logical_and", np.logical_and),
    logical("logical_or", np.logical_or),
    logical("logical_xor", np.logical_xor),
    bitwise("bitwise_and", np.bitwise_and),
    bitwise("bitwise_or", np.bitwise_or),
    bitwise("bitwise_xor", np.bitwise_xor),
    shift("bitwise_left_shift", np.left_shift),
    shift("bitwise_right_shift", np.right_shift),
    binary("gcd", np.gcd, pairs(-60, 60), dtypes=INTS, grad=0),
    binary("lcm", np.lcm, pairs(-10, 10), dtypes=INTS, grad=0),
    binary("heaviside", heaviside, heaviside_samples, grad=0, promotes=False),
    binary("nextafter", np.nextafter, pairs(), dtypes=("float64",), grad=0, promotes=False),
    binary(
        "nextafter.float32",
        lambda x, y: np.nextafter(x.astype(np.float32), y.astype(np.float32)),
        pairs(),
        call="nextafter",
        dtypes=("float32",),
        grad=0,
        promotes=False,
        tolerance={"float32": (0, 0)},
    ),
    binary("ldexp", lambda x, y: x * np.exp2(y), ldexp_samples, dtypes=FLOATS, promotes=False),
    Row("isclose", isclose, isclose_samples, dtypes=NUMBERS, result="bool", method=True),
    Row(
        "where",
        np.where,
        where_samples,
        dtypes=ALL,
        tolerance=ULP,
        grad=2,
        elementwise=True,
        out=lambda sample: len(sample.operands()) == 3,
    ),
    Row(
        "lerp",
        lerp,
        lerp_samples,
        dtypes=FLOATS,
        tolerance=STEPS,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    Row(
        "addcmul",
        addcmul,
        three_samples,
        dtypes=NUMBERS,
        tolerance=STEPS,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
    Row(
        "addcdiv",
        addcdiv,
        three_samples,
        dtypes=FLOATS,
        tolerance=STEPS,
        grad=2,
        method=True,
        inplace=True,
        out=True,
        elementwise=True,
    ),
]
