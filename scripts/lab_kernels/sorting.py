"""Sorting by keys, picking by rank, searching, counting, and groups of equal elements."""

from __future__ import annotations

import numpy as np

from shader_text import SHADERS, Kernel, int64, kernel, register, walk

SLOTS = 512
DTYPES = [np.bool_, np.float16, np.float32, np.uint8, np.int32, np.int64]
KEY_OF = {
    "I64": "fn key_of(v: I64) -> vec2<u32> { return vec2<u32>(v.x, v.y ^ 0x80000000u); }",
    "bool": "fn key_of(v: bool) -> u32 { return select(0u, 1u, v); }",
    "i32": "fn key_of(v: i32) -> u32 { return bitcast<u32>(v) ^ 0x80000000u; }",
}


def body(name: str) -> str:
    return (SHADERS / f"{name}.wgsl").read_text(encoding="utf-8")


def keys_of(x: np.ndarray) -> np.ndarray:
    """Unsigned integers that order as the elements do: NaN above everything, both zeros equal."""
    if x.dtype.kind == "f":
        bits = (x.astype(np.float32) + np.float32(0)).view(np.uint32)
        keys = np.where(bits >> 31 == 1, ~bits, bits ^ np.uint32(1 << 31))
        return np.where(np.isnan(x), np.uint32(0xFFFFFFFF), keys)
    if x.dtype.kind == "b":
        return x.astype(np.uint32)
    if x.itemsize == 8:
        return x.view(np.uint64) ^ np.uint64(1 << 63)
    return x.astype(np.int32).view(np.uint32) ^ np.uint32(1 << 31)


def values(k: Kernel, dtype, *shape: int) -> np.ndarray:
    """Values with ties, both zeros, infinities and NaN."""
    x = k.values(dtype, *shape)
    if x.dtype.kind == "f":
        x = (2 * x).round()
        for special in (np.nan, np.inf, -np.inf):
            x[k.random.random(shape) < 0.1] = special
    return x


def declare_key_of(k: Kernel, dtype: np.dtype) -> None:
    k.line(KEY_OF.get(register(dtype)) or body("sort/key_of_float"))


def words(k: Kernel, x: np.ndarray) -> None:
    """The type of keys."""
    k.line(body(f"sort/keys_{'double' if x.dtype == int64 else 'word'}"))


KEYS = ("sort/key_of_float", "sort/keys_word", "sort/keys_double")


def numbers(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint32)


def declare_pack(k: Kernel, size: int, dtype, descending: bool) -> None:
    x = k.strided(values(k, dtype, 3, size))
    keys = keys_of(np.ascontiguousarray(x)).ravel()
    k.input("x", x)
    k.result("keys", "K", ~keys if descending else keys)
    k.result("positions", "u32", np.tile(numbers(size), 3))
    flip = 0xFFFFFFFF if descending else 0
    k.each(x.size, size, flip, walk(x.shape, x))
    if register(x.dtype) != "f32":
        k.line(KEY_OF[register(x.dtype)])


@kernel("each", "sort/keys_word", "sort/pack", name="sort/pack", dtype=[np.bool_, np.uint8, np.int32])
@kernel("each", "sort/keys_double", "sort/pack", name="sort/pack", dtype=[np.int64])
@kernel("each", "sort/keys_word", "sort/key_of_float", "sort/pack", name="sort/pack", dtype=[np.float16, np.float32])
def pack(k: Kernel, size: int, dtype) -> None:
    declare_pack(k, size, dtype, False)


@kernel("each", "sort/keys_word", "sort/key_of_float", "sort/pack", name="sort/pack descending")
def pack_descending(k: Kernel, size: int) -> None:
    declare_pack(k, size, np.float32, True)


def lines(k: Kernel, lines_: int, n: int, double: bool) -> tuple[np.ndarray, np.ndarray]:
    """Keys with ties, and positions."""
    keys = k.random.integers(0, max(n // 3, 2), (lines_, n)).astype(np.uint64 if double else np.uint32)
    return keys << np.uint64(30) if double else keys, np.tile(numbers(n), (lines_, 1))


def in_order(keys: np.ndarray, positions: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.take_along_axis(keys, order, 1), np.take_along_axis(positions, order, 1)


def passed(k: Kernel, before: tuple, after: tuple) -> None:
    """The buffers of a pass over keys and positions."""
    k.scratch("keys_in", "K", before[0])
    k.scratch("positions_in", "u32", before[1])
    k.result("keys_out", "K", after[0])
    k.result("positions_out", "u32", after[1])


def blocks_sorted(keys: np.ndarray, positions: np.ndarray, run: int) -> tuple[np.ndarray, np.ndarray]:
    cuts = range(0, keys.shape[1], run)
    order = np.concatenate([c + np.argsort(keys[:, c : c + run], 1, kind="stable") for c in cuts], 1)
    return in_order(keys, positions, order)


ORDER = {False: ("sort/keys_word", "sort/order"), True: ("sort/keys_double", "sort/order")}


def sort_blocks(k: Kernel, size: int, double: bool) -> None:
    keys, positions = lines(k, 3, size, double)
    block = min(max(1 << (size - 1).bit_length(), 2), SLOTS)
    per_line = -(-size // block)
    passed(k, (keys, positions), blocks_sorted(keys, positions, block))
    k.words(3 * per_line * block, block, size, per_line, 0, size, SLOTS)
    k.launch(-(-3 * per_line * block // SLOTS))


def sort_best(k: Kernel, size: int, double: bool) -> None:
    """Of sorted blocks the first `keep` elements each are sorted on."""
    keep = 20
    keys, positions = blocks_sorted(*lines(k, 3, size, double), SLOTS)
    cuts = range(0, size, SLOTS)
    kept = [np.concatenate([a[:, c : c + SLOTS][:, :keep] for c in cuts], 1) for a in (keys, positions)]
    n = len(cuts) * keep
    missing = n - kept[0].shape[1]
    fill = np.full((3, missing), -1)
    kept = [np.concatenate([a, fill.astype(a.dtype)], 1) for a in kept]
    block = 1 << (n - 1).bit_length()
    passed(k, (keys, positions), in_order(*kept, np.argsort(kept[0], 1, kind="stable")))
    k.words(3 * block, block, n, 1, keep, size, SLOTS)
    k.launch(-(-3 * block // SLOTS))


def merge_runs(k: Kernel, size: int, double: bool) -> None:
    run = 40
    keys, positions = blocks_sorted(*lines(k, 3, size, double), run)
    # Equal keys keep the order of their positions.
    passed(k, (keys, positions), blocks_sorted_by_position(keys, positions, 2 * run))
    per_line = -(-size // 8)
    k.each(3 * per_line, size, run, per_line)


def blocks_sorted_by_position(keys: np.ndarray, positions: np.ndarray, run: int) -> tuple[np.ndarray, np.ndarray]:
    cuts = range(0, keys.shape[1], run)
    parts = [c + np.lexsort((positions[:, c : c + run], keys[:, c : c + run])) for c in cuts]
    return in_order(keys, positions, np.concatenate(parts, 1))


for double, bodies in ORDER.items():
    for name, fill, extra, least in (
        ("sort/block", sort_blocks, ["sort/block"], 37),
        ("sort/block of many", sort_blocks, ["sort/block"], 1300),
        ("sort/block of the best", sort_best, ["sort/block"], 1030),
        ("sort/merge", merge_runs, ["each", "sort/merge"], 300),
    ):

        def run(k: Kernel, size: int, fill=fill, double=double) -> None:
            fill(k, size, double)

        kernel(*bodies, *extra, name=f"{name} {'double' if double else 'word'}", size=least)(run)


@kernel("sort/rows", "sort/block", name="sort/rows", dtype=[np.float32, np.bool_, np.int64])
def rows(k: Kernel, size: int, dtype) -> None:
    x = k.strided(values(k, dtype, size, 3))
    keys = keys_of(np.ascontiguousarray(x))
    order = np.lexsort(tuple(keys[:, c] for c in reversed(range(3))))
    none = np.zeros(size, np.uint32)
    passed(k, (none, numbers(size)), (none, order.astype(np.uint32)))
    k.input("x", x)
    k.line("alias K = u32;\nfn last() -> u32 { return 0u; }")
    declare_key_of(k, x.dtype)
    key = "vec2<u32>" if x.dtype == int64 else "u32"
    less = "u64_lt(x, y)" if x.dtype == int64 else "x < y"
    k.function(f"key_less(x: {key}, y: {key}) -> bool", less)
    block = 1 << (size - 1).bit_length()
    k.words(block, block, size, 1, 0, size, SLOTS, 0, size, 3, 11, walk((3, size), x.T))
    k.launch(-(-block // SLOTS))


@kernel("each", "sort/emit", wanted=[True, False], dtype=[np.float16, np.int64])
def emit(k: Kernel, size: int, wanted: bool, dtype) -> None:
    x, kept = k.strided(values(k, dtype, 3, size)), 5
    order = np.argsort(x, 1, kind="stable")
    indices = k.strided(order[:, :kept], fill=0)
    sorted_ = k.strided(np.take_along_axis(x, indices, 1), fill=0)
    k.scratch("positions", "u32", order.astype(np.uint32))
    k.output("indices", indices)
    if wanted:
        k.output("values", sorted_)
        k.input("x", x)
    else:
        k.line("fn x_at(i: u32) -> u32 { return i; }\nfn values_put(i: u32, v: u32) {}")
    k.constants(VALUES=wanted)
    to = walk(indices.shape, sorted_, indices)
    k.each(indices.size, kept, size, size, 5 + len(to), to, walk(x.shape, x))


@kernel("each", "sort/keys_word", "sort/pick", name="sort/pick", indices=[True, False], rank=["kth", "median"])
def pick(k: Kernel, size: int, indices: bool, rank: str) -> None:
    x = k.strided(values(k, np.float32, 3, size))
    x[1] = np.abs(np.nan_to_num(x[1]))
    keys = keys_of(np.ascontiguousarray(x))
    order = np.argsort(keys, 1, kind="stable")
    valid = (~np.isnan(x)).sum(1)
    rank_of = np.full(3, 4) if rank == "kth" else np.where(valid < size, valid, (size - 1) // 2)
    places = k.strided(np.take_along_axis(order, rank_of[:, None], 1)[:, 0], fill=0)
    picked = k.strided(np.take_along_axis(x, places[:, None], 1)[:, 0], fill=0)
    k.scratch("keys", "K", np.take_along_axis(keys, order, 1))
    k.scratch("positions", "u32", order.astype(np.uint32))
    k.output("values", picked)
    k.input("x", x)
    if indices:
        k.output("indices", places)
    else:
        k.line("fn indices_put(i: u32, v: vec2<u32>) {}")
    median = "let valid = keys_before(base, n, last()); return select((n - 1u) / 2u, valid, valid < n);"
    k.line(f"fn place(base: u32, n: u32) -> u32 {{ {'return P(2u);' if rank == 'kth' else median} }}")
    k.constants(INDICES=indices)
    to = walk(picked.shape, picked, places)
    k.each(3, size, 4, 4 + len(to), to, walk(x.shape, x))


def declare_mode(k: Kernel, size: int, double: bool) -> None:
    keys = np.sort(lines(k, 3, size, double)[0], 1)
    places = []
    for line in keys:
        found, counts = np.unique(line, return_counts=True)
        places.append(np.searchsorted(line, found[counts.argmax()], "right") - 1)
    k.scratch("keys", "K", keys)
    k.result("places", "u32", np.array(places, np.uint32))
    k.words(3, size)
    k.launch(3)


@kernel("sort/keys_word", "sort/mode", size=300)
def mode(k: Kernel, size: int) -> None:
    declare_mode(k, size, False)


@kernel("sort/keys_double", "sort/mode", name="sort/mode double", size=300)
def mode_double(k: Kernel, size: int) -> None:
    declare_mode(k, size, True)


@kernel("each", "count/search", right=[False, True], dtype=[np.float32, np.int32, np.int64], shared=[False, True])
def search(k: Kernel, size: int, right: bool, dtype, shared: bool) -> None:
    # What lies before a place is no NaN; values that are belong behind all.
    sequences = k.strided(np.sort(np.nan_to_num(values(k, dtype, 1 if shared else 3, size)), axis=1))
    wanted = k.strided(values(k, dtype, 3, 9))
    side = "right" if right else "left"
    found = [np.searchsorted(sequences[0 if shared else i], wanted[i], side) for i in range(3)]
    k.input("sequence", sequences)
    k.input("values", wanted)
    k.output("out", np.stack(found).astype(np.int64))
    kind = register(wanted.dtype)
    prefix = {"f32": "f", "I64": "i64"}.get(kind, "i32")
    k.function(f"passed(s: {kind}, v: {kind}) -> bool", f"!{prefix}_{'gt' if right else 'ge'}(s, v)")
    own = walk(wanted.shape, wanted)
    k.each(27, size, 27 if shared else 9, 4 + len(own), own, walk(sequences.shape, sequences))


@kernel("each", "count/histogram", "count/histogram_bin", name="count/histogram_bin")
def histogram(k: Kernel, size: int) -> None:
    x, bins, low, high = k.strided(values(k, np.float32, 3, size)), 7, -2.0, 3.0
    k.input("x", x)
    k.result("counts", "atomic<u32>", np.histogram(x[~np.isnan(x)], bins, (low, high))[0].astype(np.uint32))
    k.line("const NOWHERE = 0xffffffffu;")
    k.each(x.size, bins, low, high, walk(x.shape, x))


@kernel("each", "count/histogram", name="count/histogram of integers")
def bincount(k: Kernel, size: int) -> None:
    x = k.strided(k.random.integers(0, 9, (3, size)))
    k.input("x", x)
    k.result("counts", "atomic<u32>", np.bincount(x.ravel()).astype(np.uint32))
    k.line("const NOWHERE = 0xffffffffu;")
    k.function("bin(v: I64) -> u32", "v.x")
    k.each(x.size, 9, 0, 0, walk(x.shape, x))


@kernel("each", "count/counts", dtype=[np.float32, np.int64])
def counts(k: Kernel, size: int, dtype) -> None:
    numbers_ = k.random.integers(0, 99, size)
    k.scratch("counts", "u32", numbers_.astype(np.uint32))
    k.output("out", numbers_.astype(dtype))
    k.function(
        f"counted(n: u32) -> {register(np.dtype(dtype))}", "f32(n)" if dtype is np.float32 else "vec2<u32>(n, 0u)"
    )
    k.each(size)


@kernel(
    "each",
    "count/unique_heads",
    "count/unique_same",
    "sort/keys_word",
    name="count/unique_same",
    dtype=[np.float32, np.int32],
)
def unique_heads(k: Kernel, size: int, dtype) -> None:
    x = np.sort(values(k, dtype, size))
    k.scratch("keys", "K", keys_of(x))
    k.scratch("positions", "u32", numbers(size))
    k.result("heads", "u32", np.concatenate([[1], x[1:] != x[:-1]]).astype(np.uint32))
    k.function("key(i: u32, c: u32) -> K", "keys[i]")
    k.function("columns() -> u32", "1u")
    k.constants(FLOAT=x.dtype.kind == "f")
    k.each(size)


HEADS = ("each", "count/unique_heads", "count/unique_same", "sort/keys_double")


@kernel(*HEADS, name="count/unique_same of rows")
def unique_rows(k: Kernel, size: int) -> None:
    x = k.strided(k.random.integers(0, 2, (size, 3)))
    order = np.lexsort(x.T[::-1])
    in_order_ = x[order]
    k.scratch("keys", "u32", numbers(1))
    k.scratch("positions", "u32", order.astype(np.uint32))
    differs = (in_order_[1:] != in_order_[:-1]).any(1)
    k.result("heads", "u32", np.concatenate([[True], differs]).astype(np.uint32))
    k.input("x", x)
    declare_key_of(k, x.dtype)
    k.function("key(i: u32, c: u32) -> K", "key_of(x_at(walk3(c * P(1u) + positions[i], 3u).x))")
    k.function("columns() -> u32", "P(2u)")
    k.constants(FLOAT=False)
    k.each(size, size, 3, walk((3, size), x.T))


@kernel("each", "count/unique_groups")
def unique_groups(k: Kernel, size: int) -> None:
    x = k.random.integers(0, 9, size)
    _, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    order, n = np.argsort(x, kind="stable"), len(first)
    k.scratch("positions", "u32", order.astype(np.uint32))
    k.scratch("groups", "u32", (inverse[order] + 1).astype(np.uint32))
    k.output("first", np.pad(first, (0, size - n)))
    k.output("inverse", inverse)
    k.output("length", np.array([n]))
    starts = np.concatenate([[0], np.cumsum(counts)])
    k.result("starts", "u32", np.pad(starts, (0, size - n)).astype(np.uint32))
    k.each(size)


@kernel("each", "count/unique_counts")
def unique_counts(k: Kernel, size: int) -> None:
    groups = np.sort(k.random.integers(1, 9, size))
    groups[-1] = 9
    groups = np.unique(groups, return_inverse=True)[1] + 1
    counts = np.bincount(groups - 1)
    k.scratch("groups", "u32", groups.astype(np.uint32))
    starts = np.pad(np.concatenate([[0], np.cumsum(counts)]), (0, size - len(counts)))
    k.scratch("starts", "u32", starts.astype(np.uint32))
    k.output("counts", np.pad(counts, (0, size - len(counts))))
    k.each(size)
