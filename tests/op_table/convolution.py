"""Rows of the convolutions, their transposes, unfold and fold, and every kind of pooling."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .row import FLOATS, ULP, WIDE_FLOATS, Maker, Row, Sample, tolerances

# Sums of up to a hundred products of numbers below 3.
CONVOLVED = tolerances(
    float64=(1e-13, 1e-12), float32=(2e-6, 1e-5), float16=(4e-3, 2e-2), bfloat16=(1.6e-2, 1e-1)
)  # fmt: skip


def spread(value: Any, rank: int) -> tuple[int, ...]:
    """An option given once for all dimensions, or for each."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def pad_space(x: np.ndarray, pads: Any, value: float = 0.0) -> np.ndarray:
    return np.pad(x, [(0, 0), (0, 0), *pads], constant_values=value)


def conv(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1):
    """Cross-correlation by a loop over the kernel's places."""
    if x.ndim < weight.ndim:
        return conv(x[None], weight, bias, stride, padding, dilation, groups)[0]
    rank = weight.ndim - 2
    stride, dilation = spread(stride, rank), spread(dilation, rank)
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if padding == "same":
        pads = [((e - 1) // 2, e - 1 - (e - 1) // 2) for e in extent]
    else:
        pads = [(p, p) for p in spread(0 if padding == "valid" else padding, rank)]
    x = pad_space(x, pads)
    size = [(n - e) // s + 1 for n, e, s in zip(x.shape[2:], extent, stride, strict=True)]
    batch, out_channels, per_group = x.shape[0], weight.shape[0], weight.shape[0] // groups
    result = np.zeros((batch, out_channels, *size))
    for place in itertools.product(*(range(k) for k in weight.shape[2:])):
        window = tuple(
            slice(p * d, p * d + s * (n - 1) + 1, s) for p, d, s, n in zip(place, dilation, stride, size, strict=True)
        )
        patch = x[(slice(None), slice(None), *window)].reshape(batch, groups, weight.shape[1], *size)
        taps = weight[(slice(None), slice(None), *place)].reshape(groups, per_group, weight.shape[1])
        result += np.einsum("bgi...,goi->bgo...", patch, taps).reshape(result.shape)
    return result if bias is None else result + bias.reshape(-1, *(1,) * rank)


def conv_transpose(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> np.ndarray:  # fmt: skip
    """The transpose of conv: every input element adds a scaled kernel to the output."""
    if x.ndim < weight.ndim:
        return conv_transpose(x[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    rank = weight.ndim - 2
    stride, dilation, padding = spread(stride, rank), spread(dilation, rank), spread(padding, rank)
    extra, kernel, space = spread(output_padding, rank), weight.shape[2:], x.shape[2:]
    batch, channels = x.shape[0], weight.shape[1] * groups
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(space, stride, dilation, kernel, extra, strict=True)
    ]
    result = np.zeros((batch, channels, *full))
    patch = x.reshape(batch, groups, -1, *space)
    for place in itertools.product(*(range(k) for k in kernel)):
        taps = weight[(slice(None), slice(None), *place)].reshape(groups, -1, weight.shape[1])
        window = tuple(
            slice(p * d, p * d + s * (n - 1) + 1, s) for p, d, s, n in zip(place, dilation, stride, space, strict=True)
        )
        added = np.einsum("bgi...,gio->bgo...", patch, taps).reshape(batch, channels, *space)
        result[(slice(None), slice(None), *window)] += added
    result = result[(slice(None), slice(None), *(slice(p, f - p) for p, f in zip(padding, full, strict=True)))]
    return result if bias is None else result + bias.reshape(-1, *(1,) * rank)


OPTIONS = (
    {}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"stride": 2, "padding": 2, "dilation": 2}, {"groups": 2},
    {"padding": "same"}, {"padding": "valid"},
)  # fmt: skip
TRANSPOSED_OPTIONS = (
    {}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"groups": 2},
    {"stride": 2, "padding": 1, "output_padding": 1}, {"stride": 3, "padding": 1, "dilation": 2, "output_padding": 2},
)  # fmt: skip
SPACES = {1: (9,), 2: (6, 7), 3: (5, 4, 5)}


def conv_samples(rank: int) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        space, kernel = SPACES[rank], (3, 2, 2)[:rank]
        for options in OPTIONS:
            groups = options.get("groups", 1)
            yield Sample(make.real(2, 4, *space), make.real(6, 4 // groups, *kernel), make.real(6), **options)
        yield Sample(make.real(1, 1, *space), make.real(1, 1, *kernel))
        yield Sample(make.real(3, *space), make.real(2, 3, *(1,) * rank))
        yield Sample(make.real(2, 4, *space), make.real(8, 1, *(3,) * rank), None, 1, 1, 1, 4)
        yield Sample(make.real(0, 2, *space), make.real(3, 2, *kernel), make.real(3))
        strides = tuple(range(1, rank + 1))
        yield Sample(
            make.real(1, 2, *space), make.real(3, 2, *kernel), stride=strides, padding=strides, dilation=(1,) * rank
        )

    return samples


def transposed_samples(rank: int) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        space, kernel = SPACES[rank], (3, 2, 2)[:rank]
        for options in TRANSPOSED_OPTIONS:
            groups = options.get("groups", 1)
            yield Sample(make.real(2, 4, *space), make.real(4, 6 // groups, *kernel), make.real(6), **options)
        yield Sample(make.real(1, 1, *space), make.real(1, 1, *kernel))
        yield Sample(make.real(3, *space), make.real(3, 2, *kernel))

    return samples


def windows(x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, fill: float):
    """Yields (output place, padded array's window slices, count of places inside the padded input) of each window."""
    rank = x.ndim - 2
    kernel, padding, dilation = spread(kernel, rank), spread(padding, rank), spread(dilation, rank)
    stride = kernel if stride is None else spread(stride, rank)
    size, pads = [], []
    for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        # A window that would start in the right padding is dropped.
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        size.append(count)
        pads.append((p, p + max(0, (count - 1) * s + d * (k - 1) + 1 - n - 2 * p)))
    padded = pad_space(x, pads, fill)
    places = []
    for place in itertools.product(*(range(n) for n in size)):
        starts = [i * s for i, s in zip(place, stride, strict=True)]
        cut = tuple(slice(a, a + d * (k - 1) + 1, d) for a, d, k in zip(starts, dilation, kernel, strict=True))
        inside = [min(a + k, n + 2 * p) - a for a, k, n, p in zip(starts, kernel, x.shape[2:], padding, strict=True)]
        places.append((place, cut, int(np.prod(inside))))
    return padded, size, pads, places


def max_pool(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    padded, size, pads, places = windows(x, kernel_size, stride, padding, dilation, ceil_mode, -np.inf)
    result = np.empty((*x.shape[:2], *size))
    numbers = pad_space(np.broadcast_to(np.arange(np.prod(x.shape[2:])).reshape(x.shape[2:]), x.shape), pads)
    index = np.empty(result.shape, np.int64)
    for place, cut, _ in places:
        patch = padded[(..., *cut)].reshape(*x.shape[:2], -1)
        best = patch.argmax(-1)[..., None]
        result[(..., *place)] = np.take_along_axis(patch, best, -1)[..., 0]
        index[(..., *place)] = np.take_along_axis(numbers[(..., *cut)].reshape(patch.shape), best, -1)[..., 0]
    return (result, index) if return_indices else result


def avg_pool(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:  # fmt: skip
    padded, size, pads, places = windows(x, kernel_size, stride, padding, 1, ceil_mode, 0.0)
    real = pad_space(np.ones_like(x), pads)
    result = np.empty((*x.shape[:2], *size))
    for place, cut, inside in places:
        count = inside if count_include_pad else real[(0, 0, *cut)].sum()
        axes = tuple(range(2, x.ndim))
        result[(..., *place)] = padded[(..., *cut)].sum(axes) / (divisor_override or count)
    return result


POOLED = (
    {"kernel_size": 2}, {"kernel_size": 3, "stride": 2}, {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
)  # fmt: skip
POOL_SPACES = {1: (9,), 2: (7, 6), 3: (5, 4, 5)}


def pool_samples(rank: int, *more: dict) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        for options in (*POOLED, *more):
            yield Sample(make.distinct(2, 2, *POOL_SPACES[rank], step=1 / 16), **options)

    return samples


def adaptive(reduce: Callable) -> Callable:
    """Windows from floor(i n / m) to ceil((i + 1) n / m)."""

    def ref(x: np.ndarray, output_size: Any) -> np.ndarray:
        rank = x.ndim - 2
        space = x.shape[2:]
        size = [n if m is None else m for n, m in zip(space, spread(output_size, rank), strict=True)]
        result = np.empty((*x.shape[:2], *size))
        for place in itertools.product(*(range(m) for m in size)):
            cut = tuple(slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(place, space, size, strict=True))
            result[(..., *place)] = reduce(x[(..., *cut)], axis=tuple(range(2, x.ndim)))
        return result

    return ref


def adaptive_samples(rank: int) -> Callable[[Maker], Iterator[Sample]]:
    def samples(make: Maker) -> Iterator[Sample]:
        for size in (1, 3, (2, 3, 4)[:rank]):
            yield Sample(make.distinct(2, 2, *POOL_SPACES[rank], step=1 / 16), size)
        if rank > 1:
            yield Sample(make.distinct(2, 2, *POOL_SPACES[rank], step=1 / 16), (None, 2, 2)[:rank])

    return samples


def lp_pool(x: np.ndarray, norm_type: float, kernel_size: Any, stride: Any = None) -> np.ndarray:
    count = np.prod(spread(kernel_size, x.ndim - 2))
    return (avg_pool(x**norm_type, kernel_size, stride) * count) ** (1 / norm_type)


def lp_pool_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2, 2, 6, 7, low=0.2, high=2), 2.0, 3)
    yield Sample(make.real(2, 2, 6, 7, low=0.2, high=2), 3.0, 2, 2)


def max_unpool(
    x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    result = np.zeros((*x.shape[:2], int(np.prod(output_size))))
    np.put_along_axis(result, indices.reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1), -1)
    return result.reshape(*x.shape[:2], *output_size)


def unpool_samples(make: Maker) -> Iterator[Sample]:
    whole = make.distinct(2, 2, 6, 6, step=1 / 16)
    values, index = max_pool(whole.array, 2, return_indices=True)
    yield Sample(make.wrap(values), make.wrap(index, "int64"), 2, output_size=(6, 6))


def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> np.ndarray:
    padded, _, _, places = windows(x, kernel_size, spread(stride, 2), padding, dilation, False, 0.0)
    columns = [padded[(..., *cut)].reshape(x.shape[0], -1) for _, cut, _ in places]
    return np.stack(columns, -1)


def fold(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> np.ndarray:
    """The transpose of unfold: columns are added where unfold had read them."""
    channels = x.shape[1] // int(np.prod(spread(kernel_size, 2)))
    empty = np.zeros((x.shape[0], channels, *output_size))
    padded, _, pads, places = windows(empty, kernel_size, spread(stride, 2), padding, dilation, False, 0.0)
    for column, (_, cut, _) in enumerate(places):
        part = padded[(..., *cut)]
        part += x[..., column].reshape(part.shape)
    (top, _), (left, _) = pads
    return padded[..., top : top + output_size[0], left : left + output_size[1]]


def unfold_samples(make: Maker) -> Iterator[Sample]:
    for options in ({}, {"padding": 1}, {"stride": 2}, {"dilation": 2}, {"padding": 1, "stride": (2, 1)}):
        yield Sample(make.real(2, 2, 5, 6), (2, 3), **options)


def fold_samples(make: Maker) -> Iterator[Sample]:
    yield Sample(make.real(2, 12, 16), (5, 6), (2, 3))
    yield Sample(make.real(1, 4, 6), (4, 3), 2)
    yield Sample(make.real(1, 8, 9), (4, 5), 2, padding=1, stride=2)


def family(prefix: str, ref: Callable, samples: Callable, **options: Any) -> list[Row]:
    defaults: dict[str, Any] = dict(dtypes=FLOATS, tolerance=CONVOLVED, grad=2)
    return [
        Row(f"nn.functional.{prefix}{rank}d", ref, samples(rank), **{**defaults, **options}) for rank in (1, 2, 3)
    ]  # fmt: skip


def with_indices(name: str, rank: int) -> Row:
    options = ({"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True},)
    return Row(
        f"nn.functional.{name}.indices", max_pool, lambda make: (s for s in pool_samples(rank, *options)(make) if
        "return_indices" in s.kwargs), call=f"nn.functional.{name}", dtypes=WIDE_FLOATS, result=("same", "int64"),
        tolerance=ULP, grad=2, repeats=False,
    )  # fmt: skip


DILATED = {"kernel_size": 2, "stride": 1, "dilation": 2}
UNPADDED = {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}
CEILED = {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True}
DIVIDED = {"kernel_size": 2, "divisor_override": 3}
AVERAGED = tolerances(float16=(2e-3, 2e-3), bfloat16=(1.6e-2, 1.6e-2))

ROWS = [
    *family("conv", conv, conv_samples),
    *family("conv_transpose", conv_transpose, transposed_samples),
    *family("max_pool", max_pool, lambda rank: pool_samples(rank, DILATED), tolerance=ULP),
    with_indices("max_pool1d", 1),
    with_indices("max_pool2d", 2),
    with_indices("max_pool3d", 3),
    *family(
        "avg_pool",
        avg_pool,
        lambda rank: pool_samples(rank, UNPADDED, CEILED, *([DIVIDED] if rank > 1 else [])),
        tolerance=AVERAGED,
        dtypes=WIDE_FLOATS,
    ),
    *family("adaptive_avg_pool", adaptive(np.mean), adaptive_samples, tolerance=AVERAGED),
    *family("adaptive_max_pool", adaptive(np.max), adaptive_samples, dtypes=WIDE_FLOATS, tolerance=ULP),
    Row("nn.functional.lp_pool2d", lp_pool, lp_pool_samples, dtypes=WIDE_FLOATS, tolerance=CONVOLVED, grad=2),
    Row(
        "nn.functional.max_unpool2d",
        max_unpool,
        unpool_samples,
        dtypes=WIDE_FLOATS,
        tolerance=ULP,
        grad=2,
        repeats=False,
        dense=True,
    ),
    Row("nn.functional.unfold", unfold, unfold_samples, tolerance=ULP, grad=2),
    Row("nn.functional.fold", fold, fold_samples, tolerance=CONVOLVED, grad=2),
]
