"""Rows of the operators that make tensors without random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .row import ALL, FLOATS, NUMBERS, ULP, WIDE_FLOATS, Dtype, Maker, Row, Sample

# Steps of a range are multiplied and added in the result's precision.
RANGES = {"float64": (1e-14, 1e-14), "float32": (1e-6, 1e-6), "float16": (2e-3, 2e-3), "bfloat16": (1.6e-2, 1.6e-2)}


def made(name: str, ref: Callable, samples: Callable, **options: Any) -> Row:
    return Row(name, ref, samples, **{"dtypes": ALL, "tolerance": ULP, "creates": True, "out": False, **options})


def sized(value: float) -> Callable:
    def ref(*size: Any, dtype: str) -> np.ndarray:
        return np.full(size[0] if size and isinstance(size[0], tuple) else size, value)

    return ref


def sized_samples(make: Maker) -> Iterator[Sample]:
    dtype = Dtype(make.dtype)
    yield Sample(3, 4, dtype=dtype)
    yield Sample((2, 3, 4), dtype=dtype)
    yield Sample((), dtype=dtype)
    yield Sample(0, dtype=dtype)
    yield Sample(257, dtype=dtype)


def full_samples(make: Maker) -> Iterator[Sample]:
    for size, value in (((3, 4), 2), ((), 1), ((257,), 3), ((0, 2), 1)):
        yield Sample(size, make.scalar(value), dtype=Dtype(make.dtype))


def arange_samples(make: Maker) -> Iterator[Sample]:
    dtype = Dtype(make.dtype)
    yield Sample(7, dtype=dtype)
    yield Sample(2, 9, dtype=dtype)
    yield Sample(1, 100, 3, dtype=dtype)
    yield Sample(5, 5, dtype=dtype)
    if make.dtype in FLOATS:
        yield Sample(0.5, 4.0, 0.25, dtype=dtype)
        yield Sample(3, -2, -0.5, dtype=dtype)
    elif make.dtype != "uint8":
        yield Sample(9, -5, -2, dtype=dtype)


def arange(*limits: float, dtype: str) -> np.ndarray:
    return np.arange(*limits)


def linspace_samples(make: Maker) -> Iterator[Sample]:
    for start, end, steps in ((-1, 2, 7), (0, 1, 1), (5, -3, 33), (0, 1, 0)):
        yield Sample(start, end, steps, dtype=Dtype(make.dtype))


def eye_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(4, dtype=Dtype(make.dtype))
    yield Sample(3, 5, dtype=Dtype(make.dtype))
    yield Sample(0, dtype=Dtype(make.dtype))


def like_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((3, 4), (), (0, 2)):
        yield Sample(make.real(*shape))


def full_like_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.scalar(2))


def new_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2), (3, 4))


def new_full_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2), (3, 4), make.scalar(2))


def empty_zeroed(module: Any, *args: Any, **kwargs: Any) -> Any:
    """empty has no values to compare: what is checked is that they can be written."""
    return module.empty(*args, **kwargs).zero_()


def zeroed(name: str) -> Callable:
    return lambda module, x, *args: (
        getattr(module, name)(x, *args) if hasattr(module, name) else getattr(x, name)(*args)
    ).zero_()


def fill_samples(make: Maker) -> Iterator[Sample]:
    for shape in ((3, 4), (), (257,)):
        yield Sample(make.real(*shape), make.scalar(2))
    yield Sample(make.real(3, 4), make.real())


def scalar_tensor_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.scalar(2), dtype=Dtype(make.dtype))


def tensor_samples(make: Maker) -> Iterator[Sample]:
    for data in (3, [1, 0, 2], [[1, 2], [3, 0]], [], [[]], (1, 2), [[[1]], [[2]]]):
        yield Sample(data, dtype=Dtype(make.dtype))


def copied(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.broadcast_to(y, x.shape).astype(x.dtype)


def copy_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.real(3, 4))
    yield Sample(make.real(3, 4), make.real(4))
    yield Sample(make.real(3, 4), make.real())


ROWS = [
    made("zeros", sized(0), sized_samples),
    made("ones", sized(1), sized_samples),
    made("empty", sized(0), sized_samples, invoke=empty_zeroed),
    made("full", lambda size, value, *, dtype: np.full(size, value), full_samples),
    made("arange", arange, arange_samples, dtypes=NUMBERS, tolerance=RANGES),
    made("linspace", lambda a, b, n, *, dtype: np.linspace(a, b, n), linspace_samples, dtypes=FLOATS, tolerance=RANGES),
    made(
        "logspace",
        lambda a, b, n, *, dtype: np.logspace(a, b, n),
        linspace_samples,
        dtypes=WIDE_FLOATS,
        tolerance={"float64": (1e-13, 1e-14), "float32": (1e-5, 1e-6)},
    ),
    made("eye", lambda n, m=None, *, dtype: np.eye(n, m), eye_samples),
    made("tensor", lambda data, *, dtype: np.array(data), tensor_samples),
    made("scalar_tensor", lambda value, *, dtype: np.array(value), scalar_tensor_samples),
    Row("zeros_like", np.zeros_like, like_samples, dtypes=ALL, tolerance=ULP),
    Row("ones_like", np.ones_like, like_samples, dtypes=ALL, tolerance=ULP),
    Row("empty_like", np.zeros_like, like_samples, dtypes=ALL, tolerance=ULP, invoke=zeroed("empty_like")),
    Row("full_like", np.full_like, full_like_samples, dtypes=ALL, tolerance=ULP),
    Row("Tensor.new_zeros", lambda x, size: np.zeros(size), new_samples, dtypes=ALL, tolerance=ULP),
    Row("Tensor.new_ones", lambda x, size: np.ones(size), new_samples, dtypes=ALL, tolerance=ULP),
    Row(
        "Tensor.new_empty",
        lambda x, size: np.zeros(size),
        new_samples,
        dtypes=ALL,
        tolerance=ULP,
        invoke=zeroed("new_empty"),
    ),
    Row("Tensor.new_full", lambda x, size, value: np.full(size, value), new_full_samples, dtypes=ALL, tolerance=ULP),
    Row("fill", np.full_like, fill_samples, dtypes=ALL, tolerance=ULP, inplace=True, grad=2, elementwise=True),
    Row("Tensor.copy_", copied, copy_samples, dtypes=ALL, tolerance=ULP, repeats=False),
    Row("Tensor.zero_", np.zeros_like, like_samples, dtypes=ALL, tolerance=ULP),
]
