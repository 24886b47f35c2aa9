"""Kernels that move elements: copies, number lines, blocks of images, reading by index tensors and masks."""

from __future__ import annotations

import numpy as np

from shader_text import (
    WORKGROUP,
    Kernel,
    boolean,
    int32,
    kernel,
    offset_of,
    register,
    root_of,
    strides_of,
    walk,
    words_of,
)

MOVED = [np.bool_, np.float16, np.float32, np.int64]


@kernel("copy", dtype=[np.float32, np.int64], number=[False, True])
def copy(k: Kernel, size: int, dtype, number: bool) -> None:
    x = k.strided(k.values(dtype, 31, size))
    want = k.strided(np.full_like(x, 7) if number else x, fill=0)
    long = want.itemsize == 8
    k.scratch("x", "u32", root_of(x))
    k.result("y", "u32", want)
    read = "vec2<u32>(x[2u * i], x[2u * i + 1u])" if long else "vec2<u32>(x[i], 0u)"
    write = "y[2u * i] = v.x; y[2u * i + 1u] = v.y;" if long else "y[i] = v.x;"
    k.function("fetch(i: u32) -> vec2<u32>", "vec2<u32>(P(1u), P(2u))" if number else read)
    k.line(f"fn store(i: u32, v: vec2<u32>) {{ {write} }}")
    k.function("places(i: u32) -> vec2<u32>", "walk3(i, 3u).xy")
    k.each(x.size, 7 if long else want.dtype.type(7), 0, walk(x.shape, want, x))


@kernel("each", "arange", dtype=[np.int64, np.float32])
def arange(k: Kernel, size: int, dtype) -> None:
    start, step, scale = -5 << 33, (1 << 33) + 3, -40.0
    numbers = np.array([start + step * i for i in range(size)])
    want = numbers if dtype is np.int64 else np.ldexp(numbers.astype(np.float64), -40).astype(np.float32)
    k.output("y", want)
    value = "v" if dtype is np.int64 else "f_ldexp(i64_to_f32(v), bitcast<f32>(P(5u)))"
    k.function(f"result(v: I64) -> {register(want.dtype)}", value)
    k.each(size, start, start >> 32, step, step >> 32, scale)


def blocks_of(image: np.ndarray, kernel, stride, padding, dilation) -> tuple[np.ndarray, list[int]]:
    """Columns (N, C · kh · kw, blocks), each element of which is an element of the image; and the blocks each way."""
    n, _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    counts = [
        (s + 2 * p - d * (q - 1) - 1) // t + 1
        for s, q, t, p, d in zip((height, width), kernel, stride, padding, dilation)
    ]
    parts = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dilation[0], i * dilation[0] + (counts[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(j * dilation[1], j * dilation[1] + (counts[1] - 1) * stride[1] + 1, stride[1])
            parts.append(padded[:, :, rows, columns])
    return np.stack(parts, 2).reshape(n, -1, counts[0] * counts[1]), counts


@kernel("blocks", dtype=[np.float32, np.int64], fold=[False, True], size=9)
def blocks(k: Kernel, size: int, dtype, fold: bool) -> None:
    shape, sizes = (2, 3, size, size + 2), ([3, 2], [2, 1], [1, 2], [1, 3])
    places, counts = blocks_of(np.arange(1, np.prod(shape) + 1).reshape(shape), *sizes)
    if fold:
        x = k.strided(k.values(dtype, *places.shape))
        image = np.zeros(np.prod(shape) + 1, dtype)
        np.add.at(image, places, x)
        want = image[1:].reshape(shape)
        image, columns = want, x
    else:
        x = k.strided(k.values(dtype, *shape))
        want = np.concatenate([np.zeros(1, dtype), x.ravel()])[places]
        image, columns = x, want
    want = np.ascontiguousarray(want).copy()
    k.input("x", x)
    k.output("y", want, tolerance=1e-5)
    k.arithmetic(dtype)
    k.constants(FOLD=fold)
    image_strides, column_strides = (strides_of(a if a is x else want) for a in (image, columns))
    k.words(
        want.size,
        offset_of(x),
        0,
        0,
        image_strides,
        column_strides,
        0,
        shape,
        sizes[0],
        sizes[1],
        sizes[2],
        sizes[3],
        counts,
    )
    k.launch(-(-want.size // WORKGROUP))


def indices(k: Kernel, size: int, *shape: int) -> np.ndarray:
    return k.random.integers(-size, size, shape)


@kernel("each", "index/gather", dtype=MOVED)
def gather(k: Kernel, size: int, dtype) -> None:
    x, index = k.strided(k.values(dtype, 5, 9, 3)), k.strided(indices(k, 9, 5, size, 3))
    want = k.strided(np.take_along_axis(x, index, 1), fill=0)
    k.input("x", x)
    k.input("index", index, int32)
    k.output("out", want)
    by = strides_of(x)
    k.each(want.size, by[1], 9, walk(want.shape, (offset_of(x), [by[0], 0, by[2]]), index, want))


@kernel("each", "index/bag", dtype=[np.float32, np.float16], weighted=[True, False])
def bag(k: Kernel, size: int, dtype, weighted: bool) -> None:
    x, index = k.strided(k.values(dtype, 9, 5)), k.strided(indices(k, 9, size, 3))
    factor = k.strided(k.values(dtype, size, 3)) if weighted else index
    rows = x[index].astype(np.float64)
    want = (rows * factor[..., None] if weighted else rows).sum(1).astype(dtype)
    k.input("x", x, np.float32)
    k.input("index", index, int32)
    if weighted:
        k.input("factor", factor, np.float32)
    else:
        k.line("fn factor_at(i: u32) -> f32 { return 1.0; }")
    k.output("out", want, np.float32, tolerance=2e-3 if want.itemsize == 2 else 1e-6)
    (row, column), by_index, by_factor = strides_of(x), strides_of(index), strides_of(factor)
    walked = walk(
        want.shape,
        (offset_of(x), [0, column]),
        (offset_of(index), [by_index[0], 0]),
        (offset_of(factor), [by_factor[0], 0]),
    )
    k.each(want.size, 3, by_index[1], by_factor[1], row, 9, 0, walked)


@kernel("each", "index/offsets", first=[True, False])
def add_offsets(k: Kernel, size: int, first: bool) -> None:
    index = k.strided(indices(k, 5, 4, size))
    before = k.random.integers(0, 100, index.size).astype(np.uint32)
    k.input("index", index, int32)
    k.result("offsets", "u32", (index.ravel() % 5 * 7 + (0 if first else before)).astype(np.uint32), before)
    k.each(index.size, 7, 5, first, walk(index.shape, index))


@kernel("each", "index/index", dtype=MOVED)
def read_at_offsets(k: Kernel, size: int, dtype) -> None:
    x, places = k.strided(k.values(dtype, 6, 5)), k.random.integers(0, 5, size)
    want = np.ascontiguousarray(x[:, places].T)
    k.input("x", x)
    k.scratch("offsets", "u32", (places * strides_of(x)[1]).astype(np.uint32))
    k.output("out", want)
    k.each(want.size, walk(want.shape, (offset_of(x), [0, strides_of(x)[0]]), (0, [1, 0]), want))


@kernel("each", "index/take", dtype=[np.float16, np.int64])
def take(k: Kernel, size: int, dtype) -> None:
    x, index = k.strided(k.values(dtype, 6, 5)), k.strided(indices(k, 30, 3, size))
    want = k.strided(x.ravel()[index], fill=0)
    k.input("x", x)
    k.input("index", index, int32)
    k.output("out", want)
    to = walk(want.shape, index, want)
    k.each(want.size, x.size, 3 + len(to), to, walk(x.shape, x))


@kernel("each", "index/guard", broken=[None, 5, -6])
def guard(k: Kernel, size: int, broken: int | None) -> None:
    index = k.random.integers(-5, 5, (3, size))
    index[1, 4] = -100
    index[2, 2] = 4 if broken is None else broken
    index = k.strided(index)
    k.input("index", index)
    want = np.zeros(9, np.uint32)
    want[3:6] = 0 if broken is None else words_of([1, broken, -(broken < 0)])
    k.result("flags", "atomic<u32>", want)
    k.each(index.size, -5, -1, 5, 0, -100, -1, 1, 0, walk(index.shape, index))


@kernel("each", "index/flags", dtype=[np.float32, np.bool_, np.int64])
def flags(k: Kernel, size: int, dtype) -> None:
    x = k.strided(k.values(dtype, 4, size).round())
    k.input("x", x, boolean)
    k.function("count(i: u32) -> u32", "select(0u, 1u, x_at(i))")
    k.result("counts", "u32", (x != 0).ravel().astype(np.uint32))
    k.each(x.size, walk(x.shape, x))


def ends_of(chosen: np.ndarray) -> np.ndarray:
    return np.cumsum(chosen.ravel(), dtype=np.uint32)


@kernel("each", "index/masked", dtype=MOVED)
def masked(k: Kernel, size: int, dtype) -> None:
    x, mask = k.strided(k.values(dtype, 5, size)), k.values(bool, 5, size)
    k.input("x", x)
    k.output("out", np.ascontiguousarray(x)[mask])
    k.scratch("ends", "u32", ends_of(mask))
    k.line("fn move_to(i: u32, rank: u32) { out_put(rank, x_at(walk3(i, 1u).x)); }")
    k.each(x.size, walk(x.shape, x))


@kernel("each", "index/masked", "index/nonzero")
def nonzero(k: Kernel, size: int) -> None:
    mask = k.values(bool, 3, 4, size)
    want = np.argwhere(mask)
    k.output("out", want.astype(np.int64))
    k.scratch("ends", "u32", ends_of(mask))
    k.each(mask.size, 3, 3, 1, mask.shape)


@kernel("each", "index/repeat")
def repeat(k: Kernel, size: int) -> None:
    counts = k.random.integers(0, 4, size)
    k.output("out", np.repeat(np.arange(size), counts))
    k.scratch("ends", "u32", np.cumsum(counts).astype(np.uint32))
    k.each(counts.sum(), size)


@kernel("each", "index/roll", dtype=MOVED)
def roll(k: Kernel, size: int, dtype) -> None:
    x, shifts = k.strided(k.values(dtype, 5, size)), (2, size - 1)
    want = np.roll(x, shifts, (0, 1)).copy()
    k.input("x", x)
    k.output("out", want)
    k.each(x.size, 2, offset_of(x), list(zip(x.shape, strides_of(x), strides_of(want), shifts)))


@kernel("each", "index/triangle", dtype=[np.float32, np.int64], upper=[False, True])
def triangle(k: Kernel, size: int, dtype, upper: bool) -> None:
    x = k.strided(k.values(dtype, 3, size, 7))
    want = k.strided(np.triu(x, -2) if upper else np.tril(x, -2), fill=0)
    k.input("x", x)
    k.output("out", want)
    k.arithmetic(dtype)
    k.function("empty() -> T", "zero()")
    k.constants(UPPER=upper)
    k.each(x.size, size, 7, -2, walk(x.shape, x, want))


@kernel("halves", size=1 << 16)
def halves(k: Kernel, size: int) -> None:
    """No float16 is converted otherwise than by the library: on software Vulkan the processor does it."""
    k.result("wrong", "atomic<u32>", np.zeros(1, np.uint32))
    k.launch((1 << 16) // 256)
