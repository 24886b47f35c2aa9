"""Writing by indices, and running sums, products and extrema along lines."""

from __future__ import annotations

from functools import reduce

import numpy as np

from shader_text import Kernel, alike, extremes, int32, kernel, offset_of, register, strides_of, walk

from .products import sum_dtype

MODES = ["add", "mean", "prod", "amax", "amin"]
DTYPES = [np.float16, np.float32, np.int8, np.int64]


@kernel("each", "scatter/count_up")
def count_up(k: Kernel, size: int) -> None:
    k.result("positions", "u32", np.arange(size, dtype=np.uint32))
    k.each(size)


def wrapped(k: Kernel, n: int, *shape: int) -> np.ndarray:
    """Indices from -n to n - 1."""
    return k.strided(k.random.integers(-n, n, shape))


@kernel("each", "scatter/targets")
def targets(k: Kernel, size: int) -> None:
    out, index = k.strided(np.zeros((3, 7, size))), wrapped(k, 7, 3, 5, size)
    first, by, last = strides_of(out)
    rows, _, columns = np.indices(index.shape)
    k.input("index", index, int32)
    k.result(
        "targets", "u32", (offset_of(out) + first * rows + last * columns + index % 7 * by).astype(np.uint32).ravel()
    )
    k.each(index.size, by, 7, walk(index.shape, (offset_of(out), [first, 0, last]), index))


@kernel("each", "scatter/flat_targets")
def flat_targets(k: Kernel, size: int) -> None:
    out, index = k.strided(np.zeros((3, 7))), wrapped(k, 21, 4, size)
    row, column = np.divmod(index % 21, 7)
    k.input("index", index, int32)
    want = offset_of(out) + row * strides_of(out)[0] + column * strides_of(out)[1]
    k.result("targets", "u32", want.astype(np.uint32).ravel())
    own = walk(index.shape, index)
    k.each(index.size, out.size, 3 + len(own), own, walk(out.shape, out))


@kernel("each", "scatter/last")
def last(k: Kernel, size: int) -> None:
    targets = k.random.integers(0, 9, size).astype(np.uint32)
    want = np.zeros(9, np.uint32)
    want[targets] = np.arange(1, size + 1)
    k.scratch("targets", "u32", targets)
    k.result("last_index", "atomic<u32>", want)
    k.each(size)


def source(k: Kernel, a: np.ndarray | None, number, at: int) -> None:
    """What is written: an array, or a number at a word of the parameters."""
    if a is not None:
        return k.input("source", a)
    dtype = np.dtype(type(number))
    value = {"f32": f"bitcast<f32>(P({at}u))", "I64": f"vec2<u32>(P({at}u), P({at + 1}u))"}[register(dtype)]
    return k.function(f"source_at(i: u32) -> {register(dtype)}", value)


@kernel("each", "scatter/set", dtype=[np.float16, np.float32, np.int64], number=[False, True])
def set_(k: Kernel, size: int, dtype, number: bool) -> None:
    if number and dtype is np.float16:
        dtype = np.float32
    out, index = k.strided(np.zeros((7, 5), dtype), fill=0), k.random.integers(0, 7, size)
    values = k.strided(np.full((size, 5), 3, dtype) if number else k.values(dtype, size, 5))
    last_index = np.zeros(out.base.size, np.uint32)
    places = (offset_of(out) + index * strides_of(out)[0]).astype(np.uint32)
    for i, (row, place) in enumerate(zip(index, places)):
        out[row], last_index[place] = values[i], i + 1
    k.scratch("targets", "u32", places)
    k.scratch("last_index", "u32", last_index)
    source(k, None if number else values, dtype(3), 3)
    # The offset of the output is in the targets.
    k.output("out", out)
    by = strides_of(values)
    own = walk([size], (offset_of(values), by[:1]))
    k.each(size * 5, 5, 5 + len(own), dtype(3), *([] if dtype is np.int64 else [0]))
    if dtype is np.int64:
        k.words(0)
    k.words(own, walk([5], (0, by[1:]), (0, strides_of(out)[1:])))


def meeting(k: Kernel, mode: str, dtype, include: bool, scaled: str) -> None:
    """How values that meet are combined: `meet`, `start`, `finish`, `scaled`."""
    compute = sum_dtype(dtype)
    if compute.itemsize < 4:
        compute = int32
    kind, float_ = register(compute), compute.kind == "f"
    least, most = ("-128", "127") if dtype is np.int8 else extremes(compute)
    wrap = "wrap_i8({})" if dtype is np.int8 else "{}"
    meet = {
        "prod": wrap.format("mul(a, b)"),
        "amax": "select(b, a, f_gt(a, b) || f_isnan(a))" if float_ else "select(b, a, less(b, a))",
        "amin": "select(b, a, f_lt(a, b) || f_isnan(a))" if float_ else "select(b, a, less(a, b))",
    }.get(mode, wrap.format("add(a, b)"))
    mean = {"f32": "f_div(a, f32(n))", "i32": "i32_floor_divide(a, i32(n))"}
    divided = mean.get(kind, "i64_floor_divide(a, vec2<u32>(n, 0u))")
    k.arithmetic(compute)
    k.constants(INCLUDE=include)
    k.function(f"meet(a: {kind}, b: {kind}) -> {kind}", meet)
    k.function(f"start() -> {kind}", {"prod": "one()", "amax": least, "amin": most}.get(mode, "zero()"))
    k.function(f"finish(a: {kind}, n: u32) -> {kind}", divided if mode == "mean" else "a")
    k.function(f"scaled(v: {kind}) -> {kind}", wrap.format(scaled))


def combine(mode: str, values: list, dtype) -> np.generic:
    """Values that meet, in the order in which the kernel combines them."""
    ufunc = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}.get(mode, np.add)
    wide = np.float32 if np.dtype(dtype).kind == "f" else dtype
    with np.errstate(over="ignore"):
        result = reduce(ufunc, [wide(v) for v in values])
    if mode == "mean":
        result = result / len(values) if np.dtype(dtype).kind == "f" else result // len(values)
    return np.dtype(dtype).type(result)


def compute_of(dtype) -> np.dtype:
    return int32 if dtype is np.int8 else sum_dtype(dtype)


@kernel("each", "scatter/line", mode=MODES, include=[False, True], dtype=DTYPES)
def line(k: Kernel, size: int, mode: str, include: bool, dtype) -> None:
    out, index = k.strided(k.values(dtype, 4, 7)), wrapped(k, 7, 4, size)
    values, want = k.strided(k.values(dtype, 4, size)), alike(out, np.zeros((4, 7)))
    for row in range(4):
        for column in range(7):
            met = [v for v, i in zip(values[row], index[row]) if i % 7 == column]
            before = out[row, column]
            want[row, column] = combine(mode, [before] * include + met, dtype) if met else before
    k.input("index", index, int32)
    k.input("source", values, compute_of(dtype))
    k.state("out", out, want, compute_of(dtype), tolerance=1e-3 if want.dtype == np.float16 else 1e-5)
    k.constants(SET=False)
    meeting(k, mode, dtype, include, "v")
    along = [strides_of(a)[1] for a in (out, index, values)]
    k.each(
        index.size, size, 7, along, 0, 0, walk([4], *((offset_of(a), strides_of(a)[:1]) for a in (out, index, values)))
    )


@kernel("each", "scatter/line", name="scatter/line set", dtype=[np.float32, np.int64], number=[False, True])
def line_set(k: Kernel, size: int, dtype, number: bool) -> None:
    index, want = wrapped(k, 7, 4, size), k.strided(np.zeros((4, 7), dtype), fill=0)
    values = k.strided(np.full((4, size), 3, dtype) if number else k.values(dtype, 4, size))
    for row in range(4):
        want[row, index[row] % 7] = values[row]
    k.input("index", index, int32)
    source(k, None if number else values, dtype(3), 6)
    k.output("out", want)
    k.constants(SET=True)
    k.function(f"out_at(i: u32) -> {register(want.dtype)}", "start()")
    meeting(k, "add", dtype, False, "v")
    along = [strides_of(a)[1] for a in (want, index, values)]
    number_words = [3, 0] if dtype is np.int64 else [dtype(3), 0]
    places = ((offset_of(a), strides_of(a)[:1]) for a in (want, index, values))
    k.each(index.size, size, 7, along, number_words, walk([4], *places))


@kernel("each", "scatter/runs", mode=MODES, include=[False, True], dtype=DTYPES)
def runs(k: Kernel, size: int, mode: str, include: bool, dtype) -> None:
    targets = k.random.integers(0, 9, size)
    positions = np.argsort(targets, kind="stable")
    out, values = k.values(dtype, 9, 3), k.strided(k.values(dtype, size, 3))
    want, factor, skipped = out.copy(), dtype(2), 4
    for row in range(9):
        for slice_ in range(3):
            met = [values[i, slice_] * factor for i in range(size) if targets[i] == row]
            if met and row != skipped:
                want[row, slice_] = combine(mode, [out[row, slice_]] * include + met, dtype)
    k.scratch("targets", "u32", (3 * targets[positions]).astype(np.uint32))
    k.scratch("positions", "u32", positions.astype(np.uint32))
    k.input("source", values, compute_of(dtype))
    k.state("out", out, want, compute_of(dtype), tolerance=2e-3 if want.dtype == np.float16 else 1e-5)
    number = {"f32": "bitcast<f32>(P(4u))", "i32": "bitcast<i32>(P(4u))", "I64": "vec2<u32>(P(4u), P(5u))"}
    meeting(k, mode, dtype, include, f"mul(v, {number[register(compute_of(dtype))]})")
    by = strides_of(values)
    own = walk([size], (offset_of(values), by[:1]))
    k.each(size * 3, 3, size, 7 + len(own), factor, 0, 3 * skipped, own, walk([3], (0, by[1:]), (0, [1])))


@kernel("prefix", size=2500)
def prefix(k: Kernel, size: int) -> None:
    x = k.random.integers(0, 9, size).astype(np.uint32)
    blocks = [x[i : i + 1024] for i in range(0, size, 1024)]
    k.result("values", "u32", np.concatenate([np.cumsum(b, dtype=np.uint32) for b in blocks]), x)
    k.result("sums", "u32", np.array([b.sum() for b in blocks], np.uint32))
    k.words(size)
    k.launch(len(blocks))


@kernel("each", "prefix_carry", size=2500)
def prefix_carry(k: Kernel, size: int) -> None:
    x = k.random.integers(0, 9, size).astype(np.uint32)
    sums = np.cumsum([x[i : i + 1024].sum() for i in range(0, size, 1024)], dtype=np.uint32)
    before = np.concatenate([[0], sums]).astype(np.uint32)[np.arange(size) // 1024]
    k.result("values", "u32", x + before, x)
    k.scratch("sums", "u32", sums)
    k.each(size)


# A scan's accumulator: identity and combination, or the body that has them, and what numpy accumulates by.
SCANS = {
    "sum": ("zero()", "add(a, b)", np.add),
    "prod": ("one()", "mul(a, b)", np.multiply),
    "log_add": ("", "", np.logaddexp),
    "max": ("", "", np.maximum),
    "min": ("", "", np.minimum),
}


def running(kind: str, x: np.ndarray) -> np.ndarray:
    wide = np.float64 if x.dtype.kind == "f" else x.dtype
    with np.errstate(over="ignore"):
        return SCANS[kind][2].accumulate(x.astype(wide), axis=-1, dtype=wide).astype(x.dtype)


def latest(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The place of the latest element so far that equals the running extremum; NaN equals itself."""
    equal = (x == values) | ((x != x) & (values != values))
    return np.maximum.accumulate(np.where(equal, np.arange(x.shape[-1]), 0), axis=-1)


def combination(k: Kernel, kind: str, compute) -> None:
    k.arithmetic(compute)
    if kind in ("max", "min"):
        k.function("worse(a: T, b: T) -> bool", "less(a, b)" if kind == "max" else "less(b, a)")
    elif kind != "log_add":
        k.line("alias Acc = T;")
        k.function("identity() -> T", SCANS[kind][0])
        k.function("combine(a: T, b: T) -> T", SCANS[kind][1])


def scanned(k: Kernel, kind: str, x: np.ndarray, totals: bool = False, reverse: bool = False) -> None:
    """Elements, `take`, results, `emit`, and the parameters."""
    compute = sum_dtype(x.dtype)
    n, extremum = x.shape[1], kind in ("max", "min")
    values = running(kind, x[:, ::-1])[:, ::-1] if reverse else running(kind, x)
    places = latest(x, values) if extremum else None
    values, places = (a if a is None else k.strided(a, fill=0) for a in (values, places))
    k.input("x", x, compute)
    place = "P(1u) - 1u - j" if reverse else "j"
    value = f"x_at(base.x + ({place}) * P(3u))"
    k.function("base_of(line: u32) -> vec3<u32>", "walk3(line, 6u)")
    k.function("take(base: vec3<u32>, j: u32) -> Acc", f"Acc({value}, j)" if extremum else value)
    second = values if places is None else places
    if totals:
        k.line("fn emit(base: vec3<u32>, j: u32, a: Acc) {}")
    elif extremum:
        k.output("values", values, compute)
        k.output("indices", places)
        put = "values_put(base.y + j * P(4u), a.v); indices_put(base.z + j * P(5u), vec2<u32>(a.i, 0u));"
        k.line(f"fn emit(base: vec3<u32>, j: u32, a: Acc) {{ {put} }}")
    else:
        k.output("y", values, compute, tolerance=2e-3 if values.itemsize == 2 else 1e-4)
        k.line(f"fn emit(base: vec3<u32>, j: u32, a: Acc) {{ y_put(base.y + ({place}) * P(4u), a); }}")
    combination(k, kind, compute)
    windows = x, values, second
    k.words(x.shape[0], n, -(-n // 1024), [strides_of(a)[1] for a in windows])
    k.words(walk(x.shape[:1], *((offset_of(a), strides_of(a)[:1]) for a in windows)))


def lines(k: Kernel, kind: str, dtype, size: int) -> np.ndarray:
    x = k.values(dtype, 5, size)
    if kind == "prod":
        x = (1 + x / 20 if x.dtype.kind == "f" else x * 2 + 1).astype(dtype)
    if kind in ("max", "min"):
        x = x.round()
        if x.dtype.kind == "f":
            x[1, size // 2] = np.nan
    return k.strided(x)


BODIES = {"log_add": ["scan/log_add"], "max": ["scan/extremum"], "min": ["scan/extremum"]}
for kind in SCANS:
    dtypes = [np.float32] if kind == "log_add" else [np.float16, np.float32, np.int32, np.int64]
    extra = BODIES.get(kind, [])

    @kernel("each", *extra, "scan/serial", name=f"scan/serial {kind}", dtype=dtypes, reverse=[False, True])
    def serial(k: Kernel, size: int, dtype, reverse: bool, kind=kind) -> None:
        scanned(k, kind, lines(k, kind, dtype, size), reverse=reverse and kind not in ("max", "min"))
        k.launch(1)

    @kernel(*extra, "scan/block", name=f"scan/block {kind}", dtype=dtypes, size=1000)
    def block(k: Kernel, size: int, dtype, kind=kind) -> None:
        scanned(k, kind, lines(k, kind, dtype, min(size, 1024)))
        k.function("carry(block: u32) -> Acc", "identity()")
        k.line("fn emit_total(block: u32, a: Acc) {}")
        k.constants(TOTALS=False)
        k.launch(5)


def totals_of(x: np.ndarray) -> np.ndarray:
    """The totals of every line's blocks."""
    return np.stack([x[:, i : i + 1024].sum(1, dtype=x.dtype) for i in range(0, x.shape[1], 1024)], 1)


@kernel("scan/block", name="scan/block totals", dtype=[np.float32, np.int64], size=2500)
def block_totals(k: Kernel, size: int, dtype) -> None:
    x = k.strided(k.values(dtype, 5, size).round())
    scanned(k, "sum", x, totals=True)
    k.result("block_totals", "Acc", totals_of(x).ravel())
    k.function("carry(block: u32) -> Acc", "identity()")
    k.line("fn emit_total(block: u32, a: Acc) { block_totals[block] = a; }")
    k.constants(TOTALS=True)
    k.launch(5 * -(-size // 1024))


@kernel("scan/block", name="scan/block carried", dtype=[np.float32, np.int64], size=2500)
def block_carried(k: Kernel, size: int, dtype) -> None:
    x = k.strided(k.values(dtype, 5, size).round())
    scanned(k, "sum", x)
    k.scratch("before_blocks", "Acc", np.cumsum(totals_of(x), 1, dtype=dtype).ravel())
    k.function("carry(block: u32) -> Acc", "before_blocks[block - 1u]")
    k.line("fn emit_total(block: u32, a: Acc) {}")
    k.constants(TOTALS=False)
    k.launch(5 * -(-size // 1024))
