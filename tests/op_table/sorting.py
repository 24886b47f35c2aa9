"""Rows of sorting, searching and the operators whose result's shape depends on values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .row import ALL, INTS, NUMBERS, ULP, WIDE_FLOATS, Maker, Row, Sample

INDEXED = ("same", "int64")


def order(x: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    """Stable order, equal values as they stand in either direction."""
    key = x.astype(np.int64) if x.dtype.kind in "bui" else x
    return np.argsort(-key if descending else key, axis=dim, kind="stable")


def sort(x: np.ndarray, dim: int = -1, descending: bool = False, *, stable: bool = False) -> tuple:
    index = order(x, dim, descending) if x.ndim else np.zeros((), np.int64)
    return (np.take_along_axis(x, index, dim) if x.ndim else x), index


def sort_samples(make: Maker) -> Iterator[Sample]:
    # Eight bits hold no more than 256 distinct values.
    longest = 251 if make.dtype.endswith("int8") else 257
    for shape in ((1,), (7,), (33,), (longest,), (0,), (3, 5), (2, 3, 4)):
        yield Sample(make.distinct(*shape))
    yield Sample(make.distinct(5, 7), 0)
    yield Sample(make.distinct(5, 7), dim=0, descending=True)
    yield Sample(make.distinct())


def stable_samples(make: Maker) -> Iterator[Sample]:
    for descending in (False, True):
        yield Sample(make.wrap(make.rng.integers(0, 4, 33)), stable=True, descending=descending)
        yield Sample(make.wrap(make.rng.integers(0, 2, (5, 17))), dim=0, stable=True, descending=descending)


def topk(x: np.ndarray, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple:
    index = np.take(order(x, dim, largest), np.arange(k), axis=dim)
    return np.take_along_axis(x, index, dim), index


def topk_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.distinct(17), 5)
    yield Sample(make.distinct(257), 3)
    yield Sample(make.distinct(5, 7), 7)
    yield Sample(make.distinct(5, 7), 2, 0)
    yield Sample(make.distinct(5, 7), 3, dim=1, largest=False)
    yield Sample(make.distinct(5, 7), 0)


def kthvalue(x: np.ndarray, k: int, dim: int = -1, keepdim: bool = False) -> tuple:
    index = np.take(order(x, dim, False), [k - 1], axis=dim)
    values = np.take_along_axis(x, index, dim)
    return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))


def kth_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.distinct(17), 5)
    yield Sample(make.distinct(5, 7), 2, 0)
    yield Sample(make.distinct(5, 7), 3, dim=1, keepdim=True)


def argsort(x: np.ndarray, dim: int = -1, descending: bool = False) -> np.ndarray:
    return sort(x, dim, descending)[1]


def ascending(make: Maker, *shape: int) -> Any:
    return make.wrap(np.sort(make.distinct(*shape).array, axis=-1), differentiable=False)


def searchsorted_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(ascending(make, 17), make.real(33))
    yield Sample(ascending(make, 17), make.real(3, 4), right=True)
    yield Sample(ascending(make, 3, 7), make.real(3, 5))
    yield Sample(ascending(make, 17), make.scalar(1))
    yield Sample(make.wrap([1, 2, 2, 3]), make.wrap([2, 2, 3]), side="right")
    unsorted = make.distinct(7)
    yield Sample(unsorted, make.real(5), sorter=make.wrap(np.argsort(unsorted.array), "int64"))


def searchsorted(edges: Any, values: Any, *, right: bool = False, side: str = "left", sorter: Any = None) -> np.ndarray:
    side = "right" if right else side
    edges = edges if sorter is None else edges[sorter]
    if edges.ndim == 1:
        return np.searchsorted(edges, values, side)
    return np.stack([np.searchsorted(e, v, side) for e, v in zip(edges, values)])


def bucketize_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), ascending(make, 5))
    yield Sample(make.wrap([1, 2, 3]), make.wrap([1, 2, 3]), right=True)
    yield Sample(make.scalar(2), ascending(make, 5))


def bucketize(values: Any, edges: Any, *, right: bool = False) -> np.ndarray:
    return np.searchsorted(edges, values, "right" if right else "left")


def few(make: Maker, *shape: int) -> Any:
    """Values that repeat."""
    return make.wrap(make.rng.integers(0, 4, shape), differentiable=False)


def unique(
    x: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    found, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
    inverse = inverse.reshape(x.shape if dim is None else x.shape[dim])
    parts = [found] + [inverse] * return_inverse + [counts] * return_counts
    return tuple(parts) if len(parts) > 1 else found


def unique_samples(*more: dict) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        for options in more:
            yield Sample(few(make, 17), **options)
            yield Sample(few(make, 5, 3), **options)
        yield Sample(few(make, 0), **more[0])

    return samples


def unique_dim_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.wrap([[1, 0, 1], [1, 0, 1], [0, 0, 1]]), dim=0)
    yield Sample(make.wrap([[1, 0, 1], [1, 0, 1], [0, 0, 0]]), dim=1)


def unique_consecutive(x: Any, return_inverse: bool = False, return_counts: bool = False) -> Any:
    flat = x.reshape(-1)
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]])) if flat.size else np.zeros(0, np.int64)
    inverse = np.repeat(np.arange(len(starts)), np.diff([*starts, flat.size])).reshape(x.shape)
    parts = [flat[starts]] + [inverse] * return_inverse + [np.diff([*starts, flat.size])] * return_counts
    return tuple(parts) if len(parts) > 1 else parts[0]


def nonzero_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((7,), (257,), (3, 4), (2, 3, 4), (0,), ()):
        yield Sample(make.wrap(make.rng.integers(0, 2, shape)))


def nonzero(x: np.ndarray) -> np.ndarray:
    return np.argwhere(x)


def isin_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(few(make, 3, 4), few(make, 2))
    yield Sample(few(make, 17), few(make, 2), invert=True)
    yield Sample(few(make, 17), make.scalar(2))


def isin(x: Any, tests: Any, *, invert: bool = False) -> np.ndarray:
    return np.isin(x, tests, invert=invert)


def sorted_row(name: str, ref: Callable, samples: Callable, **options: Any) -> Row:
    defaults: dict[str, Any] = dict(
        dtypes=NUMBERS, result=INDEXED, tolerance=ULP, grad=2, method=True, out=True, repeats=False
    )
    return Row(name, ref, samples, **{**defaults, **options})


ROWS = [
    sorted_row("sort", sort, sort_samples),
    sorted_row("sort.stable", sort, stable_samples, call="sort", dtypes=ALL, grad=0),
    sorted_row("topk", topk, topk_samples),
    sorted_row("kthvalue", kthvalue, kth_samples),
    sorted_row("argsort", argsort, sort_samples, result="int64", grad=0, out=False),
    sorted_row(
        "msort",
        lambda x: np.sort(x, axis=0),
        lambda make: (Sample(make.distinct(*s)) for s in ((7,), (5, 3))),
        result="same",
    ),
    sorted_row("searchsorted", searchsorted, searchsorted_samples, result="int64", grad=0, method=False),
    sorted_row(
        "bucketize",
        bucketize,
        bucketize_samples,
        result="int64",
        grad=0,
        method=False,
        out=lambda sample: len(sample.operands()) == 2,
    ),
    sorted_row("unique", unique, unique_samples({}), dtypes=ALL, result="same", grad=0, out=False),
    sorted_row(
        "unique.inverse", unique, unique_samples({"return_inverse": True}), call="unique", dtypes=ALL, grad=0, out=False
    ),
    sorted_row(
        "unique.counts",
        unique,
        unique_samples({"return_inverse": True, "return_counts": True}),
        call="unique",
        dtypes=ALL,
        result=("same", "int64", "int64"),
        grad=0,
        out=False,
    ),
    sorted_row("unique.dim", unique, unique_dim_samples, call="unique", result="same", grad=0, out=False),
    sorted_row(
        "unique_consecutive", unique_consecutive, unique_samples({}), dtypes=ALL, result="same", grad=0, out=False
    ),
    sorted_row(
        "unique_consecutive.counts",
        unique_consecutive,
        unique_samples({"return_inverse": True, "return_counts": True}),
        call="unique_consecutive",
        dtypes=ALL,
        result=("same", "int64", "int64"),
        grad=0,
        out=False,
    ),
    sorted_row("nonzero", nonzero, nonzero_samples, dtypes=ALL, result="int64", grad=0),
    sorted_row("argwhere", nonzero, nonzero_samples, dtypes=ALL, result="int64", grad=0, out=False),
    sorted_row("isin", isin, isin_samples, dtypes=(*WIDE_FLOATS, *INTS), result="bool", grad=0, method=False),
]
