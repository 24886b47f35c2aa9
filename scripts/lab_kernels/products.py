"""Matrix products."""

from __future__ import annotations

import numpy as np

from shader_text import Kernel, float32, kernel, offset_of, strides_of

# Rows, columns and steps of a tile, and rows and columns of an invocation.
TILES = {"wide": (32, 64, 8, 8, 4), "small": (32, 32, 32, 4, 4)}
STEPS = """fn multiply_tile(sums: ptr<function, Sums>, across: u32, down: u32) {
    for (var k = 0u; k < DEPTH; k++) { multiply(sums, k, across, down); }
}
"""
# Workgroup memory holds operands as they are computed with.
HELD = f"""{STEPS}alias E = T;
alias Held = V;
fn hold(v: V) -> Held {{ return v; }}
fn value_of(h: Held) -> V {{ return h; }}"""
# It holds them as float16.
HELD_HALVES = f"""{STEPS}alias E = f16;
alias Held = vec4<f16>;
fn hold(v: V) -> Held {{ return Held(v); }}
fn value_of(h: Held) -> V {{ return V(h); }}"""
DTYPES = [np.float16, np.float32, np.int32, np.int64]


def sum_dtype(dtype) -> np.dtype:
    return float32 if np.dtype(dtype).kind == "f" else np.dtype(dtype)


def aligned(a: np.ndarray, transposed: bool) -> np.ndarray:
    """A dense array whose last two dims may lie in reverse order."""
    return np.ascontiguousarray(np.swapaxes(a, -1, -2)).swapaxes(-1, -2) if transposed else np.ascontiguousarray(a)


def operands(k: Kernel, size: int, dtype, turned: bool, wide: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a (2, 3, rows, steps), b (3, steps, columns) and their product."""
    rows, steps, columns = (4 * size, 4 * (size // 2), 4 * (size // 3)) if wide else (size, size - 7, size + 5)
    a, b = k.values(dtype, 2, 3, rows, steps), k.values(dtype, 3, steps, columns)
    with np.errstate(over="ignore"):
        y = (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype) if a.dtype.kind == "f" else a @ b
    a, b = (aligned(x, turned) if wide else k.strided(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in (a, b))
    return (a, b, y) if wide else (a, b, k.room_for(y))


def product_words(k: Kernel, a: np.ndarray, b: np.ndarray, y: np.ndarray, per_split: int = 0) -> int:
    """The parameters of product/matrix.wgsl; the number of splits."""
    rows, columns, steps = *y.shape[-2:], a.shape[-1]
    splits = -(-steps // per_split) if per_split else 1
    k.words(rows, columns, steps, 6, offset_of(a), offset_of(b))
    k.words(strides_of(a)[-2:], strides_of(b)[-2:], strides_of(y)[-2:], splits, per_split or steps, 0, y.size)
    k.words(2, a.shape[:2], strides_of(a)[:2], 0, strides_of(b)[:1], strides_of(y)[:2])
    return splits


def begin(
    k: Kernel, tile: tuple, size: int, dtype, turned: bool, wide: bool, direct: bool = False, names: str = "ab"
) -> None:
    """A product in tiles: constants, accessors, parameters and launch."""
    rows, columns, depth, r, c = tile
    a, b, y = operands(k, size, dtype, turned, wide)
    compute = sum_dtype(dtype)
    k.arithmetic(compute)
    fours = wide and not (direct and turned)
    k.fours(names[0], a, fours, compute)
    k.fours(names[1], b, fours, compute)
    k.stores("y", y, wide, compute, tolerance=2e-3 if y.dtype == np.float16 else 1e-4)
    k.constants(ROWS=rows, COLUMNS=columns, DEPTH=depth, R=r, C=c, A_ALONG=not turned, B_ALONG=not turned)
    k.line(f"const STEPS = {4 if fours else 1}u;")
    product_words(k, a, b, y)
    k.launch(6 * -(-y.shape[-2] // rows) * -(-y.shape[-1] // columns))


MATRIX = ("product/matrix", "product/matrix_staged", "product/edges", "product/staged")


@kernel(*MATRIX, dtype=DTYPES, turned=[False, True], wide=[False, True])
def staged(k: Kernel, size: int, dtype, turned: bool, wide: bool) -> None:
    begin(k, TILES["small" if wide else "wide"], size, dtype, turned, wide)
    k.line(HELD)


@kernel(*MATRIX, name="product/staged in halves", turned=[False, True])
def staged_in_halves(k: Kernel, size: int, turned: bool) -> None:
    k.enables.append("enable f16;\n")
    begin(k, TILES["small"], size, np.float16, turned, True, names="pq")
    k.line(HELD_HALVES)
    for name, full in zip("ab", "pq"):
        k.function(f"{name}_load(at: u32, step: u32, count: u32) -> Held", f"hold({full}_load(at, step, count))")


def in_splits(k: Kernel, size: int) -> None:
    """Partial sums of 32 steps each."""
    a, b, whole = operands(k, size, np.float32, False, False)
    per_split, (rows, columns, depth, r, c) = 32, TILES["small"]
    cuts = range(0, a.shape[-1], per_split)
    parts = np.stack([a[..., i : i + per_split] @ b[..., i : i + per_split, :] for i in cuts])
    k.arithmetic(float32)
    k.fours("a", a, False)
    k.fours("b", b, False)
    k.stores("y", parts, False, tolerance=1e-4)
    k.constants(ROWS=rows, COLUMNS=columns, DEPTH=depth, R=r, C=c, A_ALONG=True, B_ALONG=True)
    splits = product_words(k, a, b, np.ascontiguousarray(whole), per_split)
    k.launch(6 * splits * -(-whole.shape[-2] // rows) * -(-whole.shape[-1] // columns))


@kernel(*MATRIX, name="product/staged in splits", size=50)
def staged_in_splits(k: Kernel, size: int) -> None:
    in_splits(k, size)
    k.line(HELD)


DIRECT = ("product/matrix", "product/matrix_direct", "product/direct")


@kernel(*DIRECT, dtype=DTYPES, turned=[False, True], wide=[False, True])
def direct(k: Kernel, size: int, dtype, turned: bool, wide: bool) -> None:
    begin(k, (16, 32, 4, 4, 4) if wide else (32, 128, 4, 8, 8), size, dtype, turned, wide, direct=True)


@kernel(*DIRECT, name="product/direct in splits", size=50)
def direct_in_splits(k: Kernel, size: int) -> None:
    in_splits(k, size)
    k.line("const STEPS = 1u;")


@kernel("product/matrix", "product/dot", dtype=DTYPES, sharing=[4, 64], along=[False, True])
def dot(k: Kernel, size: int, dtype, sharing: int, along: bool) -> None:
    a, b = k.values(dtype, 2, 3, size, 4 * size), k.values(dtype, 3, 4 * size, 3)
    y = (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype)
    a, b, y = aligned(a, not along), k.strided(b), k.room_for(y)
    compute = sum_dtype(dtype)
    k.arithmetic(compute)
    k.fours("a", a, along, compute)
    k.fours("b", b, False, compute)
    k.stores("y", y, False, compute, tolerance=2e-3 if y.dtype == np.float16 else 1e-4)
    k.constants(ROWS=256 // sharing, COLUMNS=4, KL=sharing, A_ALONG=along, B_ALONG=True)
    product_words(k, a, b, y)
    k.launch(6 * -(-size // (256 // sharing)))
