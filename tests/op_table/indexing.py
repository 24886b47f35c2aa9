"""Rows of the operators that read and write by index or mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .row import ALL, FLOATS, NUMBERS, STEPS, ULP, WIDE_FLOATS, Dtype, Maker, Operand, Row, Sample


def indexed(name: str, ref: Callable, samples: Callable, **options: Any) -> Row:
    defaults: dict[str, Any] = dict(dtypes=ALL, tolerance=ULP, grad=2, method=True, inplace=True)
    return Row(name, ref, samples, **{**defaults, **options})


def places(make: Maker, shape: tuple[int, ...], dim: int, high: int) -> Operand:
    """Indices that do not repeat along `dim`, so that writes do not race."""
    moved = np.moveaxis(np.empty(shape), dim, -1)
    chosen = np.argsort(make.rng.random((*moved.shape[:-1], high)), axis=-1)[..., : moved.shape[-1]]
    return make.wrap(np.moveaxis(chosen, -1, dim), "int64")


def gather_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), 1, make.index((3, 7), 4))
    yield Sample(make.real(3, 4), 0, make.index((2, 3), 3))
    yield Sample(make.real(2, 3, 5), -2, make.index((2, 4, 5), 3))
    yield Sample(make.real(17), 0, make.index(33, 17))
    yield Sample(make.real(3, 4), 1, make.index((3, 0), 4))
    yield Sample(make.real(), 0, make.index((), 1))


def gather(x: np.ndarray, dim: int, index: np.ndarray) -> np.ndarray:
    if x.ndim == 0:
        return x
    cut = tuple(slice(None) if d == dim % x.ndim else slice(n) for d, n in enumerate(index.shape))
    return np.take_along_axis(x[cut], index, dim)


def scatter_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 5), 1, places(make, (3, 4), 1, 5), make.real(3, 4))
    yield Sample(make.real(5, 4), 0, places(make, (3, 4), 0, 5), make.real(4, 6, differentiable=False))
    yield Sample(make.real(2, 5, 3), 1, places(make, (2, 2, 3), 1, 5), make.real(2, 2, 3))
    yield Sample(make.real(3, 5), 1, places(make, (3, 0), 1, 5), make.real(3, 4, differentiable=False))


def scatter_value_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 5), 1, make.index((3, 4), 5), make.scalar(2))
    yield Sample(make.real(17), 0, make.index(7, 17), make.scalar(1))


def write_each(x: np.ndarray, dim: int, index: np.ndarray, src: Any, combine: Callable) -> np.ndarray:
    """Visits the index in order and combines what stands at its place with the source."""
    result = x.copy()
    for place in np.ndindex(index.shape):
        target = list(place)
        target[dim] = index[place]
        value = src[place] if isinstance(src, np.ndarray) else src
        result[tuple(target)] = combine(result[tuple(target)], value)
    return result


def scatter(x: np.ndarray, dim: int, index: np.ndarray, src: Any) -> np.ndarray:
    return write_each(x, dim, index, src, lambda old, new: new)


def scatter_add(x: np.ndarray, dim: int, index: np.ndarray, src: Any) -> np.ndarray:
    return write_each(x, dim, index, src, lambda old, new: old + new)


def scatter_add_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 5), 1, make.index((3, 7), 5), make.real(3, 7))
    yield Sample(make.real(5, 4), 0, make.index((3, 4), 5), make.real(4, 6, differentiable=False))
    yield Sample(make.real(7), 0, make.index(33, 7), make.real(33))


FOLDS = {"sum": np.add, "prod": np.multiply, "mean": np.add, "amax": np.maximum, "amin": np.minimum}


def scatter_reduce(x: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> np.ndarray:
    combine = FOLDS[reduce]
    seen = np.zeros(x.shape, bool)
    counts = np.full(x.shape, int(include_self))
    result = x.copy()
    for place in np.ndindex(index.shape):
        target = list(place)
        target[dim] = index[place]
        key = tuple(target)
        fresh = not include_self and not seen[key]
        result[key] = src[place] if fresh else combine(result[key], src[place])
        seen[key] = True
        counts[key] += 1
    if reduce == "mean":
        counts = np.maximum(counts, 1)
        result = result / counts if x.dtype == np.float64 else np.floor_divide(result, counts).astype(x.dtype)
    return result


def scatter_reduce_samples(make: Maker) -> Iterator[Sample]:
    for reduce in FOLDS:
        for include_self in (True, False):
            yield Sample(
                make.real(3, 5, low=0.5, high=2), 1, make.index((3, 6), 5), make.real(3, 6, low=0.5, high=2), reduce,
                include_self=include_self,
            )  # fmt: skip


def index_select_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), 1, make.index(7, 4))
    yield Sample(make.real(5, 4), 0, make.index(3, 5, dtype="int32"))
    yield Sample(make.real(2, 3, 4), -1, make.index(0, 4))
    yield Sample(make.real(17), 0, make.index(33, 17))


def index_add_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(5, 4), 0, make.index(7, 5), make.real(7, 4))
    yield Sample(make.real(3, 5), 1, make.index(4, 5), make.real(3, 4), alpha=make.scalar(2))
    yield Sample(make.real(17), 0, make.index(7, 17), make.real(7))


def index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> np.ndarray:
    result = x.copy()
    at = (slice(None),) * dim + (index,)
    if x.dtype == bool:
        np.logical_or.at(result, at, source)
    else:
        np.add.at(result, at, source * alpha if alpha != 1 else source)
    return result


def index_copy_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(5, 4), 0, make.wrap([3, 0, 4], "int64"), make.real(3, 4))
    yield Sample(make.real(2, 5, 3), 1, make.wrap([1, 0], "int64"), make.real(2, 2, 3))


def index_copy(x: Any, dim: int, index: Any, source: Any) -> np.ndarray:
    result = x.copy()
    result[(slice(None),) * dim + (index,)] = source
    return result


def index_fill_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(5, 4), 0, make.wrap([3, 0], "int64"), make.scalar(2))
    yield Sample(make.real(2, 5, 3), 1, make.wrap([1, 1], "int64"), make.scalar(1))


def index_put_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(5, 4), (make.wrap([0, 2, 4], "int64"), make.wrap([1, 1, 3], "int64")), make.real(3))
    yield Sample(make.real(5, 4), (make.wrap([0, 2, 4], "int64"),), make.real(3, 4))
    yield Sample(make.real(5, 4), (make.wrap([0, 2, -1], "int64"),), make.real(4))
    yield Sample(make.real(5, 4), (make.index(7, 5), make.index(7, 4)), make.real(7), accumulate=True)
    yield Sample(make.real(5, 4), (make.wrap(np.arange(20).reshape(5, 4) % 3 == 0, "bool"),), make.real())


def index_put(x: Any, indices: tuple, values: Any, accumulate: bool = False) -> np.ndarray:
    result = x.copy()
    if not accumulate:
        result[indices] = values
    elif x.dtype == bool:
        np.logical_or.at(result, indices, values)
    else:
        np.add.at(result, indices, values)
    return result


def take_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.index((2, 5), 12))
    yield Sample(make.real(3, 4), make.index(7, 12, low=-12))
    yield Sample(make.real(3, 4), make.index((), 12))


def put_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.wrap([1, 7, 3], "int64"), make.real(3))
    yield Sample(make.real(3, 4), make.wrap([1, 7, 1], "int64"), make.real(3), accumulate=True)


def put(x: Any, index: Any, source: Any, accumulate: bool = False) -> np.ndarray:
    return index_put(x.reshape(-1), (index,), source, accumulate).reshape(x.shape)


def along_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.index((3, 2), 4), 1)
    yield Sample(make.real(3, 4), make.index((1, 4), 3), dim=0)
    yield Sample(make.real(12), make.index(5, 12))
    yield Sample(make.real(3, 4), make.wrap([[-1], [-4], [3]], "int64"), 1)


def take_along_dim(x: Any, index: Any, dim: int | None = None) -> np.ndarray:
    return np.take_along_axis(x, index, dim) if dim is not None else x.reshape(-1)[index]


def masked_fill_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.mask(3, 4), make.scalar(2))
    yield Sample(make.real(2, 3, 4), make.mask(4), make.scalar(1))
    yield Sample(make.real(2, 3, 4), make.mask(3, 1), make.real())
    yield Sample(make.real(257), make.mask(257), make.scalar(0))
    yield Sample(make.real(), make.mask(), make.scalar(2))


def masked_fill(x: Any, mask: Any, value: Any) -> np.ndarray:
    return np.where(mask, np.asarray(value).astype(x.dtype), x)


def masked_select_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.mask(3, 4))
    yield Sample(make.real(3, 4), make.mask(4))
    yield Sample(make.real(257), make.mask(257))
    yield Sample(make.real(3, 4), make.wrap(np.zeros((3, 4)), "bool"))


def masked_select(x: Any, mask: Any) -> np.ndarray:
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


def masked_scatter_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(3, 4), make.mask(3, 4), make.real(12))
    yield Sample(make.real(3, 4), make.mask(4), make.real(3, 4))


def masked_scatter(x: Any, mask: Any, source: Any) -> np.ndarray:
    result, mask = x.copy(), np.broadcast_to(mask, x.shape)
    result[mask] = source.reshape(-1)[: mask.sum()]
    return result


def getitem_samples(make: Maker) -> Iterator[Sample]:
    index, mask = make.wrap([2, 0, -1], "int64"), make.wrap([True, False, True, True], "bool")
    for key in (
        1, -1, slice(1, 3), slice(None, None, 2), None, ..., (0, 1), (slice(None), 2), (..., 1), (..., None, slice(1)),
        index, (index, index), (slice(None), index), (index, slice(None), index), (0, index), (..., index),
        (index, None),
        (make.index((2, 3), 3), slice(1, 3)), (slice(None), mask), make.mask(3, 4), make.mask(3, 4, 5),
        (make.mask(3), 0),
        (index, slice(0, 2), 1), (None, index, 1), [0, 2], (slice(None), [1, 0]), slice(3, 1),
        (index, slice(None, None, 3)),
        True, False, (slice(None), True),
    ):  # fmt: skip
        yield Sample(make.real(3, 4, 5), key)
    yield Sample(make.real(33), make.index(257, 33))
    yield Sample(make.real(), ...)
    yield Sample(make.real(), None)


def setitem(module: Any, x: Any, key: Any, value: Any) -> Any:
    result = x.clone()
    result[key] = value
    return result


def setitem_ref(x: np.ndarray, key: Any, value: Any) -> np.ndarray:
    result = x.copy()
    result[key] = value
    return result


def setitem_samples(make: Maker) -> Iterator[Sample]:
    index, mask = make.wrap([2, 0], "int64"), make.wrap([True, False, True, True], "bool")
    for key, shape in (
        (1, (4, 5)), (slice(1, 3), (5,)), ((slice(None), 2), (3, 5)), (..., (3, 4, 5)),
        ((..., slice(None, None, 2)), (4, 3)),
        (index, (2, 4, 5)), ((index, index), (2, 5)), ((slice(None), index), (3, 2, 1)),
        ((index, slice(None), index), (2, 4)),
        ((slice(None), mask), (3, 3, 5)), ((0, index, 1), ()), ((slice(0, 2), None, index), ()),
    ):  # fmt: skip
        yield Sample(make.real(3, 4, 5), key, make.real(*shape))
    yield Sample(make.real(3, 4, 5), make.mask(3, 4, 5), make.scalar(2))
    yield Sample(make.real(3, 4, 5), (slice(None), 1), make.scalar(1))
    yield Sample(make.real(17), slice(2, 9), make.real(7))


def select_scatter(x: Any, src: Any, dim: int, index: int) -> np.ndarray:
    return setitem_ref(x, (slice(None),) * dim + (index,), src)


def slice_scatter(x: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> np.ndarray:
    return setitem_ref(x, (slice(None),) * dim + (slice(start, end, step),), src)


def as_strided_scatter(x: Any, src: Any, size: tuple, stride: tuple, storage_offset: int = 0) -> np.ndarray:
    result = x.reshape(-1).copy()
    for place in np.ndindex(*size):
        result[storage_offset + sum(i * s for i, s in zip(place, stride, strict=True))] = src[place]
    return result.reshape(x.shape)


def as_strided_scatter_samples(make: Maker) -> Iterator[Sample]:
    # PyTorch's own gradient of the first operand is that of the overwritten elements instead of the kept ones.
    yield Sample(make.real(4, 5, differentiable=False), make.real(2, 3), (2, 3), (5, 1))
    yield Sample(make.real(4, 5, differentiable=False), make.real(3), (3,), (6,), 1)


def fill_diagonal(x: Any, value: float, wrap: bool = False) -> np.ndarray:
    result = x.copy()
    np.fill_diagonal(result, value, wrap)
    return result


def fill_diagonal_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(4, 4), 2)
    yield Sample(make.real(7, 3), 1)
    yield Sample(make.real(7, 3), 1, True)
    yield Sample(make.real(3, 3, 3), 2)


def index_reduce(x: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> np.ndarray:
    shape = [1] * x.ndim
    shape[dim] = -1
    along = np.broadcast_to(index.reshape(shape), source.shape)
    return scatter_reduce(x, dim, along, source, reduce, include_self=include_self)


def index_reduce_samples(make: Maker) -> Iterator[Sample]:
    for reduce in ("prod", "mean", "amax", "amin"):
        for include_self in (True, False):
            yield Sample(
                make.real(3, 5, low=0.5, high=2), 1, make.index(6, 5), make.real(3, 6, low=0.5, high=2), reduce,
                include_self=include_self,
            )  # fmt: skip


def slice_scatter_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(5, 4), make.real(2, 4), 0, 1, 3)
    yield Sample(make.real(5, 4), make.real(5, 2), dim=1, step=2)


def diagonal_scatter(x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> np.ndarray:
    result = x.copy()
    np.einsum("ii->i", result)[...] = src
    return result


def embedding_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.index((3, 5), 7), make.real(7, 4))
    yield Sample(make.index((), 7), make.real(7, 4))
    yield Sample(make.index(0, 7), make.real(7, 4))
    yield Sample(make.index(33, 7, dtype="int32"), make.real(7, 1))


def one_hot(x: np.ndarray, num_classes: int = -1) -> np.ndarray:
    return np.eye(x.max() + 1 if num_classes < 0 else num_classes, dtype=np.int64)[x]


def one_hot_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.index((3, 4), 5), 7)
    yield Sample(make.index(17, 5))


def tri_indices(keep: Callable) -> Callable:
    def ref(row: int, col: int, offset: int = 0, dtype: str = "int64") -> np.ndarray:
        return np.stack(np.nonzero(keep(np.ones((row, col)), offset))).astype(dtype)

    return ref


def tri_samples(make: Maker) -> Iterator[Sample]:
    for row, col, offset in ((3, 4, 0), (5, 3, 1), (3, 3, -1), (0, 3, 0)):
        yield Sample(row, col, offset)
    yield Sample(3, 4, 0, dtype=Dtype("int64"))


ROWS = [
    indexed("gather", gather, gather_samples, inplace=False, out=True),
    indexed("scatter", scatter, scatter_samples, out=True, repeats=False),
    indexed("scatter.value", scatter, scatter_value_samples, call="scatter", out=True),
    indexed("scatter_add", scatter_add, scatter_add_samples, dtypes=NUMBERS, out=True, tolerance=STEPS),
    indexed(
        "scatter_reduce",
        scatter_reduce,
        scatter_reduce_samples,
        dtypes=WIDE_FLOATS,
        out=True,
        tolerance=STEPS,
        grad=1,
        repeats=False,
    ),
    indexed(
        "index_reduce",
        index_reduce,
        index_reduce_samples,
        dtypes=WIDE_FLOATS,
        out=True,
        tolerance=STEPS,
        grad=1,
        repeats=False,
    ),
    indexed(
        "index_select", lambda x, dim, index: np.take(x, index, dim), index_select_samples, inplace=False, out=True
    ),
    indexed("index_add", index_add, index_add_samples, out=True, tolerance=STEPS, dtypes=NUMBERS),
    indexed("index_copy", index_copy, index_copy_samples, out=True, repeats=False),
    indexed("index_fill", index_copy, index_fill_samples),
    indexed("index_put", index_put, index_put_samples, tolerance=STEPS, repeats=False),
    indexed("take", lambda x, index: x.reshape(-1)[index], take_samples, inplace=False, out=True),
    indexed("put", put, put_samples, repeats=False, tolerance=STEPS, dtypes=NUMBERS),
    indexed("take_along_dim", take_along_dim, along_samples, inplace=False, out=True),
    indexed("masked_fill", masked_fill, masked_fill_samples, elementwise=True),
    indexed("masked_select", masked_select, masked_select_samples, inplace=False, out=True),
    indexed("masked_scatter", masked_scatter, masked_scatter_samples),
    indexed("Tensor.__getitem__", lambda x, key: x[key], getitem_samples, method=False, inplace=False),
    indexed(
        "Tensor.__setitem__", setitem_ref, setitem_samples, invoke=setitem, method=False, inplace=False, repeats=False
    ),
    indexed(
        "select_scatter",
        select_scatter,
        lambda make: iter([Sample(make.real(5, 4), make.real(4), 0, 2)]),
        inplace=False,
    ),
    indexed("slice_scatter", slice_scatter, slice_scatter_samples, inplace=False),
    indexed(
        "diagonal_scatter", diagonal_scatter, lambda make: iter([Sample(make.real(4, 4), make.real(4))]), inplace=False
    ),
    indexed("as_strided_scatter", as_strided_scatter, as_strided_scatter_samples, inplace=False, dense=True),
    Row("Tensor.fill_diagonal_", fill_diagonal, fill_diagonal_samples, dtypes=NUMBERS, tolerance=ULP, dense=True),
    Row(
        "nn.functional.embedding",
        lambda index, weight: weight[index],
        embedding_samples,
        dtypes=FLOATS,
        tolerance=ULP,
        grad=2,
    ),
    Row("nn.functional.one_hot", one_hot, one_hot_samples, dtypes=("int64",)),
    Row("tril_indices", tri_indices(np.tril), tri_samples, dtypes=("int64",), creates=True),
    Row("triu_indices", tri_indices(np.triu), tri_samples, dtypes=("int64",), creates=True),
]
