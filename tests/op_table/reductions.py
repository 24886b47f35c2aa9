"""Rows of the reductions over any dimensions and of the cumulative operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from .row import ALL, FLOATS, INTS, NUMBERS, STEPS, ULP, WIDE_FLOATS, Dtype, Maker, Operand, Row, Sample, tolerances

# Sums of at most a few hundred terms of order one.
SUMS = tolerances(float16=(4e-3, 8e-3), bfloat16=(2e-2, 6e-2), float32=(2e-6, 4e-6))


def over_dims(
    low: float = -3.0, high: float = 3.0, empty: bool = True, many: bool = True, distinct: bool = False
) -> Callable[[Maker], Iterator[Sample]]:
    """Samples that reduce everything, one dimension, several, with and without keepdim."""

    def samples(make: Maker) -> Iterator[Sample]:
        def draw(*shape: int):
            return make.distinct(*shape) if distinct else make.real(*shape, low=low, high=high)

        yield Sample(draw())
        yield Sample(draw(257))
        yield Sample(draw(2, 3, 4))
        yield Sample(draw(2, 3, 4), dim=1)
        yield Sample(draw(2, 3, 4), dim=-1, keepdim=True)
        yield Sample(draw(2, 3, 4), dim=0, keepdim=True)
        yield Sample(draw(33, 7), dim=0)
        yield Sample(draw(7, 33), dim=1)
        yield Sample(draw(3, 1, 5), dim=1)
        yield Sample(draw(17), dim=0)
        yield Sample(draw(), dim=0)
        if many:
            yield Sample(draw(2, 3, 4), dim=(0, 2))
            yield Sample(draw(2, 3, 4), dim=(1, -1), keepdim=True)
            yield Sample(draw(2, 3, 4), dim=(0, 1, 2))
        if empty:
            yield Sample(draw(0, 3), dim=0)
            yield Sample(draw(0, 3), dim=1)
            yield Sample(draw(0))

    return samples


def one_dim(
    low: float = -3.0, high: float = 3.0, distinct: bool = False, empty: bool = True, keepdim: bool = True
) -> Callable[[Maker], Iterator[Sample]]:
    """Samples whose dimension must be given."""

    def samples(make: Maker) -> Iterator[Sample]:
        for shape, dim in (((7,), 0), ((257,), -1), ((2, 3, 4), 1), ((2, 3, 4), 0), ((33, 5), 0), ((3, 1, 5), 1)):
            yield Sample(make.distinct(*shape) if distinct else make.real(*shape, low=low, high=high), dim)
        if keepdim:
            operand = make.distinct(2, 3, 4) if distinct else make.real(2, 3, 4, low=low, high=high)
            yield Sample(operand, -1, True)
        if empty:
            yield Sample(make.real(0, 3, low=low, high=high), 1)

    return samples


def reducing(name: str, function: Callable, samples: Callable | None = None, **options: Any) -> Row:
    """`function(x, axis=, keepdims=)` of numpy under PyTorch's names of its arguments."""

    def ref(x: np.ndarray, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> np.ndarray:
        # A dimension of a 0-d tensor is accepted: 0 and -1 name nothing.
        if x.ndim == 0 and dim is not None:
            return function(x[None], axis=0, keepdims=False, **kwargs)
        return function(x, axis=dim, keepdims=keepdim, **kwargs)

    defaults: dict[str, Any] = dict(dtypes=FLOATS, tolerance=SUMS, grad=2, method=True, out=True)
    return Row(name, ref, samples or over_dims(), **{**defaults, **options})


def has_dim(sample: Sample) -> bool:
    return "dim" in sample.kwargs


def spread(function: Callable) -> Callable:
    """numpy's var or std with PyTorch's correction, NaN where nothing is left to divide by."""

    def ref(x: np.ndarray, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> np.ndarray:
        return function(x, axis=dim, ddof=correction, keepdims=keepdim)

    return ref


def spread_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(257))
    yield Sample(make.real(2, 3, 4))
    yield Sample(make.real(2, 3, 4), 1)
    yield Sample(make.real(2, 3, 4), (0, 2), correction=0)
    yield Sample(make.real(5, 7), -1, correction=2, keepdim=True)
    yield Sample(make.real(33, 3, low=100, high=101), 0, correction=1)


def with_mean(function: Callable) -> Callable:
    def ref(x: np.ndarray, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> tuple:
        return (
            spread(function)(x, dim, correction=correction, keepdim=keepdim),
            np.mean(x, axis=dim, keepdims=keepdim),
        )

    return ref


def picked(choose: Callable, take_last: bool = False) -> Callable:
    """Values and positions along a dimension."""

    def ref(x: np.ndarray, dim: int, keepdim: bool = False) -> tuple[np.ndarray, np.ndarray]:
        index = np.expand_dims(choose(x, axis=dim), dim)
        values = np.take_along_axis(x, index, dim)
        return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))

    return ref


def lower_median(x: np.ndarray, axis: int) -> np.ndarray:
    """The position of the lower of the two middle values."""
    return np.take(np.argsort(x, axis=axis, kind="stable"), (x.shape[axis] - 1) // 2, axis=axis)


def median_all(x: np.ndarray) -> np.ndarray:
    return np.sort(x.reshape(-1))[(x.size - 1) // 2]


def nanmedian_all(x: np.ndarray) -> np.ndarray:
    return median_all(x[~np.isnan(x)])


def distinct_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((), (1,), (7,), (33,), (2, 3, 4), (5, 7)):
        yield Sample(make.distinct(*shape))


def nan_samples(dims: bool = True) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        for kwargs in ({}, {"dim": 1}, {"dim": 0, "keepdim": True}, {"dim": (0, 2)}) if dims else ({},):
            operand = make.distinct(2, 3, 4)
            if operand.array.dtype == np.float64:
                operand.array[0, 1, :3] = np.nan
                operand.array[1, 2, 0] = np.nan
            yield Sample(operand, **kwargs)

    return samples


def mode(x: np.ndarray, dim: int, keepdim: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The smallest of the most frequent values and the last place where it stands."""
    moved = np.moveaxis(x, dim, -1)
    values, places = np.empty(moved.shape[:-1], x.dtype), np.empty(moved.shape[:-1], np.int64)
    for row in np.ndindex(moved.shape[:-1]):
        found, counts = np.unique(moved[row], return_counts=True)
        values[row] = found[np.argmax(counts)]
        places[row] = np.flatnonzero(moved[row] == values[row])[-1]
    return (np.expand_dims(values, dim), np.expand_dims(places, dim)) if keepdim else (values, places)


def mode_samples(make: Maker) -> Iterator[Sample]:
    for shape, dim in (((7,), 0), ((3, 13), -1), ((5, 4), 0)):
        yield Sample(make.wrap(make.rng.integers(0, 4, shape)), dim)
    yield Sample(make.wrap(make.rng.integers(0, 3, (5, 4))), 1, True)


def aminmax(x: np.ndarray, *, dim: int | None = None, keepdim: bool = False) -> tuple:
    return np.min(x, axis=dim, keepdims=keepdim), np.max(x, axis=dim, keepdims=keepdim)


def arg_samples(make: Maker) -> Iterator[Sample]:
    yield from distinct_samples(make)
    yield Sample(make.distinct(2, 3, 4), dim=1)
    yield Sample(make.distinct(2, 3, 4), dim=-1, keepdim=True)
    yield Sample(make.distinct(33, 7), dim=0)


def arg_of(function: Callable) -> Callable:
    def ref(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> np.ndarray:
        return function(x, axis=dim, keepdims=keepdim)

    return ref


def norm(x: np.ndarray, p: Any = "fro", dim: Any = None, keepdim: bool = False) -> np.ndarray:
    order = 2 if p == "fro" else p
    if dim is None:
        flat = np.linalg.norm(x.reshape(-1), order)
        return np.asarray(flat).reshape((1,) * x.ndim) if keepdim else flat
    axes = (dim,) if isinstance(dim, int) else dim
    size = np.abs(x)
    if order in (np.inf, -np.inf):
        return (np.max if order > 0 else np.min)(size, axis=axes, keepdims=keepdim)
    if order == 0:
        return np.sum(x != 0, axis=axes, keepdims=keepdim).astype(np.float64)
    return np.sum(size**order, axis=axes, keepdims=keepdim) ** (1 / order)


def unequal(make: Maker, *shape: int) -> Operand:
    """No zero and no two equal magnitudes, where norms have no derivative."""
    return make.wrap(make.distinct(*shape, step=0.3).array + 0.1)


def norm_samples(make: Maker) -> Iterator[Sample]:
    for p in ("fro", 2, 1, 3, np.inf, -np.inf):
        yield Sample(unequal(make, 3, 4), p)
        yield Sample(unequal(make, 2, 3, 4), p, 1)
        yield Sample(unequal(make, 2, 3, 4), p, (0, 2), True)
    yield Sample(make.real(257))


def vector_norm(x: np.ndarray, ord: float = 2, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    return norm(x, ord, dim, keepdim)


def vector_norm_samples(make: Maker) -> Iterator[Sample]:
    for order in (2, 1, 0.5, 3, np.inf, -np.inf):
        yield Sample(unequal(make, 3, 4), order)
        yield Sample(unequal(make, 2, 3, 4), order, 1)
        yield Sample(unequal(make, 2, 3, 4), order, (0, 2), True)


def quantile_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.distinct(17), 0.3)
    yield Sample(make.distinct(3, 7), make.wrap([0.0, 0.25, 0.8, 1.0], differentiable=False), dim=1)
    yield Sample(make.distinct(3, 7), 0.6, dim=0, keepdim=True)
    for interpolation in ("lower", "higher", "nearest", "midpoint"):
        yield Sample(make.distinct(3, 7), 0.6, dim=1, interpolation=interpolation)


def quantile_of(function: Callable) -> Callable:
    def ref(x: Any, q: Any, dim: int | None = None, keepdim: bool = False, interpolation: str = "linear") -> Any:
        return function(x, q, axis=dim, keepdims=keepdim, method=interpolation)

    return ref


def running(name: str, function: Callable, low: float = -3.0, high: float = 3.0, **options: Any) -> Row:
    """A cumulative operator along one dimension."""

    def ref(x: np.ndarray, dim: int, **kwargs: Any) -> np.ndarray:
        return function(x, axis=dim) if x.ndim else x

    def samples(make: Maker) -> Iterator[Sample]:
        yield from one_dim(low, high, keepdim=False)(make)
        yield Sample(make.real(low=low, high=high), 0)

    defaults: dict[str, Any] = dict(dtypes=NUMBERS, result="sum", tolerance=SUMS, grad=2, method=True, out=True)
    return Row(name, ref, samples, **{**defaults, **options})


def running_pick(better: Callable) -> Callable:
    """Running extreme and the last position that reached it."""

    def ref(x: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
        moved = np.moveaxis(x, dim, 0)
        values, places = moved.copy(), np.zeros(moved.shape, np.int64)
        for i in range(1, len(moved)):
            newer = better(moved[i], values[i - 1])
            values[i] = np.where(newer, moved[i], values[i - 1])
            places[i] = np.where(newer, i, places[i - 1])
        return np.moveaxis(values, 0, dim), np.moveaxis(places, 0, dim)

    return ref


def in_double(x: np.ndarray, dim: int, *, dtype: str) -> np.ndarray:
    return np.sum(x, axis=dim, dtype=np.float64)


def in_double_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2, 3, 4), 1, dtype=Dtype("float64"))
    yield Sample(make.real(33, 7), 0, dtype=Dtype("float64"))


def diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    extra = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n, axis=dim, **extra)


def diff_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(17))
    yield Sample(make.real(3, 5), dim=0)
    yield Sample(make.real(3, 5), n=2)
    yield Sample(make.real(3, 5), prepend=make.real(3, 1), append=make.real(3, 2))


def trapezoid_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(17))
    yield Sample(make.real(3, 5), dx=0.5, dim=0)
    yield Sample(make.real(3, 5), make.wrap(np.sort(make.rng.uniform(0, 3, 5))))


def trapezoid(y: np.ndarray, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> np.ndarray:
    return np.take(cumulative_trapezoid(y, x, dx=dx, dim=dim), -1, axis=dim)


def cumulative_trapezoid(y: np.ndarray, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> np.ndarray:
    y = np.moveaxis(y, dim, -1)
    steps = dx if x is None else np.diff(x)
    return np.moveaxis(np.cumsum((y[..., 1:] + y[..., :-1]) / 2 * steps, axis=-1), -1, dim)


def bincount_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.index(33, 7, dtype=make.dtype))
    yield Sample(make.index(33, 7, dtype=make.dtype), minlength=12)
    yield Sample(make.index(0, 7, dtype=make.dtype))


def weighted_bincount_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.index(33, 7), make.real(33, differentiable=False))
    yield Sample(make.index(33, 7), weights=make.real(33, differentiable=False), minlength=12)


def bincount(x: np.ndarray, weights: Any = None, minlength: int = 0) -> np.ndarray:
    return np.bincount(x.astype(np.int64), weights, minlength)


def histc(x: np.ndarray, bins: int = 100, min: float = 0, max: float = 0) -> np.ndarray:
    limits = (min, max) if min != max else (x.min(), x.max())
    return np.histogram(x, bins, limits)[0].astype(np.float64)


def truth(dtype: str) -> str:
    """any and all of uint8 stay uint8."""
    return "uint8" if dtype == "uint8" else "bool"


INDEXED = ("same", "int64")

ROWS = [
    reducing("sum", np.sum, dtypes=ALL, result="sum", out=has_dim),
    Row(
        "sum.dtype",
        in_double,
        in_double_samples,
        call="sum",
        dtypes=ALL,
        result="float64",
        grad=2,
        method=True,
        out=False,
    ),
    reducing(
        "prod",
        np.prod,
        over_dims(0.6, 1.5, many=False),
        dtypes=NUMBERS,
        result="sum",
        out=has_dim,
        tolerance=tolerances(float16=(1e-2, 1e-3), bfloat16=(5e-2, 1e-2), float32=(2e-5, 1e-6)),
    ),
    reducing("mean", np.mean, over_dims(empty=False)),
    reducing("nansum", np.nansum, nan_samples(), dtypes=NUMBERS, result="sum"),
    reducing("nanmean", np.nanmean, nan_samples(), repeats=False),
    reducing("amax", np.max, over_dims(empty=False, distinct=True), dtypes=ALL, tolerance=ULP),
    reducing("amin", np.min, over_dims(empty=False, distinct=True), dtypes=ALL, tolerance=ULP),
    reducing("any", np.any, over_dims(-1, 1), dtypes=ALL, result=truth, grad=0),
    reducing("all", np.all, over_dims(0, 3), dtypes=ALL, result=truth, grad=0),
    reducing(
        "count_nonzero",
        lambda x, axis, keepdims: np.count_nonzero(x, axis=axis),
        lambda make: (s for s in over_dims(-1, 1)(make) if "keepdim" not in s.kwargs and s.operands()[0].array.ndim),
        dtypes=ALL,
        result="int64",
        grad=0,
        out=False,
    ),
    reducing(
        "logsumexp",
        lambda x, axis, keepdims: special.logsumexp(x, axis=axis, keepdims=keepdims),
        lambda make: (s for s in over_dims(empty=False)(make) if "dim" in s.kwargs),
        tolerance=STEPS,
    ),
    Row("var", spread(np.var), spread_samples, tolerance=SUMS, grad=2, method=True, out=True),
    Row("std", spread(np.std), spread_samples, tolerance=SUMS, grad=2, method=True, out=True),
    Row("var_mean", with_mean(np.var), spread_samples, tolerance=SUMS, grad=2),
    Row("std_mean", with_mean(np.std), spread_samples, tolerance=SUMS, grad=2),
    Row("max", np.max, distinct_samples, dtypes=ALL, tolerance=ULP, grad=2, method=True),
    Row("min", np.min, distinct_samples, dtypes=ALL, tolerance=ULP, grad=2, method=True),
    Row(
        "max.dim",
        picked(np.argmax),
        one_dim(distinct=True),
        call="max",
        dtypes=NUMBERS,
        result=INDEXED,
        tolerance=ULP,
        grad=2,
        method=True,
        repeats=False,
    ),
    Row(
        "min.dim",
        picked(np.argmin),
        one_dim(distinct=True),
        call="min",
        dtypes=NUMBERS,
        result=INDEXED,
        tolerance=ULP,
        grad=2,
        method=True,
        repeats=False,
    ),
    Row("argmax", arg_of(np.argmax), arg_samples, dtypes=NUMBERS, result="int64", method=True, out=True),
    Row("argmin", arg_of(np.argmin), arg_samples, dtypes=NUMBERS, result="int64", method=True, out=True),
    Row(
        "aminmax",
        aminmax,
        lambda make: (Sample(make.distinct(*s)) for s in ((), (7,), (2, 3, 4))),
        dtypes=ALL,
        tolerance=ULP,
        grad=2,
        method=True,
    ),
    Row(
        "aminmax.dim",
        aminmax,
        lambda make: (Sample(make.distinct(3, 7), dim=d, keepdim=d == 1) for d in (0, 1)),
        call="aminmax",
        dtypes=ALL,
        tolerance=ULP,
        grad=2,
        method=True,
    ),
    Row("median", median_all, distinct_samples, dtypes=NUMBERS, tolerance=ULP, grad=2, method=True),
    Row(
        "median.dim",
        picked(lower_median),
        one_dim(distinct=True, empty=False),
        call="median",
        dtypes=NUMBERS,
        result=INDEXED,
        tolerance=ULP,
        grad=2,
        method=True,
        repeats=False,
    ),
    Row("nanmedian", nanmedian_all, nan_samples(dims=False), tolerance=ULP, grad=2, method=True),
    Row("mode", mode, mode_samples, dtypes=NUMBERS, result=INDEXED, tolerance=ULP, method=True, repeats=False),
    Row("norm", norm, norm_samples, tolerance=SUMS, grad=2, method=True),
    Row("linalg.vector_norm", vector_norm, vector_norm_samples, tolerance=SUMS, grad=2, out=True),
    Row(
        "quantile", quantile_of(np.quantile), quantile_samples, dtypes=WIDE_FLOATS, tolerance=STEPS, grad=2, method=True
    ),
    Row(
        "nanquantile",
        quantile_of(np.nanquantile),
        quantile_samples,
        dtypes=WIDE_FLOATS,
        tolerance=STEPS,
        grad=2,
        method=True,
    ),
    running("cumsum", np.cumsum, inplace=True),
    running("cumsum.bool", np.cumsum, call="cumsum", dtypes=("bool",), grad=0),
    running(
        "cumprod",
        np.cumprod,
        0.8,
        1.25,
        inplace=True,
        tolerance=tolerances(float16=(2e-2, 1e-3), bfloat16=(1e-1, 1e-2), float32=(3e-5, 1e-6)),
    ),
    running("logcumsumexp", np.logaddexp.accumulate, dtypes=FLOATS, tolerance=SUMS),
    Row(
        "cummax",
        running_pick(np.greater_equal),
        one_dim(keepdim=False, empty=False),
        dtypes=ALL,
        result=INDEXED,
        tolerance=ULP,
        grad=2,
        method=True,
    ),
    Row(
        "cummin",
        running_pick(np.less_equal),
        one_dim(keepdim=False, empty=False),
        dtypes=ALL,
        result=INDEXED,
        tolerance=ULP,
        grad=2,
        method=True,
    ),
    Row("diff", diff, diff_samples, dtypes=NUMBERS, tolerance=STEPS, grad=2, method=True, out=True),
    Row("trapezoid", trapezoid, trapezoid_samples, tolerance=SUMS, grad=2, aliases=("trapz",)),
    Row("cumulative_trapezoid", cumulative_trapezoid, trapezoid_samples, tolerance=SUMS, grad=2),
    Row("bincount", bincount, bincount_samples, dtypes=INTS, result="int64", method=True),
    Row("bincount.weights", bincount, weighted_bincount_samples, call="bincount", dtypes=WIDE_FLOATS, tolerance=SUMS),
    Row(
        "histc",
        histc,
        lambda make: (Sample(make.real(257), **k) for k in ({"bins": 7}, {"bins": 5, "min": -1, "max": 2})),
        dtypes=WIDE_FLOATS,
        method=True,
        out=True,
    ),
]
