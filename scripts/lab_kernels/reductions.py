"""Reductions of some dims: whole ones, in splits, from windows, and of partial results."""

from __future__ import annotations

import numpy as np
from scipy import special

from shader_text import Kernel, boolean, extremes, float32, int32, int64

from .frames import launch_rows, row_kernel
from .rows import rounding

KEPT, REDUCED = [0, 2], [1, 3]
NONZERO = ("any", "all", "count_nonzero")
# Under reductions that fold alike: how an accumulator becomes a result.
EMIT = {
    "sum": "a.v",
    "mean": "f_div(a.v, f32(P(8u)))",
    "any": "a.v != 0",
    "all": "u32(a.v) == P(8u)",
    "count_nonzero": "a.v",
    "prod": "a.v",
    "var": "f_div(a.m2, max(0.0, f32(P(8u)) - bitcast<f32>(P(7u))))",
    "logsumexp": "select(f_log(a.sum) + a.top, a.top, f_isinf(a.top))",
    "norm": "root_of(a.v)",
}


def compute_of(kind: str, dtype) -> np.dtype:
    """The dtype in which elements are folded."""
    dtype = np.dtype(dtype)
    if kind in NONZERO:
        return int32
    if kind in ("max", "min"):
        return float32 if dtype.kind == "f" else int64 if dtype.itemsize == 8 else int32
    return float32 if dtype.kind == "f" else int64


def values(k: Kernel, kind: str, size: int, dtype) -> np.ndarray:
    x = k.values(dtype, 5, size, 3, 4)
    if kind in ("max", "min", "norm") or kind in NONZERO:
        x = (2 * x).round() if x.dtype.kind == "f" else x
    if kind in NONZERO:
        x[0], x[:, :, 0] = 0, 1
    if kind == "prod":
        x = (1 + x / 20 if x.dtype.kind == "f" else 2 * x + 1).astype(dtype)
    if kind in ("max", "min", "logsumexp") and x.dtype.kind == "f":
        x[1, size // 2, 1, 2] = np.nan
        x[2, :, 0] = np.inf if kind == "logsumexp" else 3
    return k.strided(x)


def lines(x: np.ndarray) -> np.ndarray:
    """The elements of every output, in the order in which they are counted."""
    return np.moveaxis(x, 2, 1).reshape(5, 3, -1)


def reference(kind: str, x: np.ndarray, number: float) -> np.ndarray:
    v = lines(x)
    v = v.astype(np.float64) if v.dtype.kind == "f" else v
    with np.errstate(over="ignore"):
        match kind:
            case "sum":
                return v.sum(-1, dtype=v.dtype if v.dtype.kind == "f" else np.int64)
            case "prod":
                return v.prod(-1, dtype=v.dtype if v.dtype.kind == "f" else np.int64)
            case "mean":
                return v.mean(-1)
            case "any":
                return v.any(-1)
            case "all":
                return v.all(-1)
            case "count_nonzero":
                return np.count_nonzero(v, -1).astype(np.int32)
            case "var":
                return v.var(-1, ddof=int(number))
            case "logsumexp":
                return special.logsumexp(v, -1)
            case _:
                return np.linalg.norm(v, number, -1)


def header(k: Kernel, count: int, splits: int, chunk: int, number: float) -> None:
    k.words(15, count, splits, chunk, 0, 0, 0, float(number), count, 0, 0, 0)


def read(k: Kernel, kind: str, x: np.ndarray, index: str = "i") -> None:
    """Elements, where they lie, and how they are folded."""
    compute = compute_of(kind, x.dtype)
    k.input("x", x, boolean if kind in NONZERO else compute)
    value = "x_at(at + place5(i))"
    value = f"select(0, 1, {value})" if kind in NONZERO else value
    k.place(4, x, KEPT)
    k.place(5, x, REDUCED, offset=0)
    k.function("begin(o: u32) -> u32", "place4(o)")
    k.function("take(a: Acc, at: u32, i: u32) -> Acc", f"fold(a, {value}, {index})")
    k.arithmetic(compute)


def ordered(k: Kernel, kind: str, dtype) -> None:
    """What extrema need."""
    low, high = extremes(compute_of(kind, dtype))
    k.function("worst() -> T", low if kind == "max" else high)
    k.function("before(x: T, y: T) -> bool", "less(y, x)" if kind == "max" else "less(x, y)")


def whole(k: Kernel, size: int, lanes: int, kind: str, dtype, number: float = 1.0) -> None:
    x = values(k, kind, size, dtype)
    count = size * 4
    want = reference(kind, x, number)
    out = x.dtype if x.dtype.kind == "f" and kind not in NONZERO else want.dtype
    header(k, count, 1, count, number)
    read(k, kind, x)
    compute = boolean if out == boolean else compute_of(kind, dtype)
    k.output("y", want.astype(out), compute, tolerance=rounding(dtype) if out.kind == "f" else 0)
    k.line(f"fn emit(o: u32, job: u32, a: Acc) {{ y_put(o, {EMIT[kind]}); }}")
    launch_rows(k, 15, lanes)


SMALL = {"tree": [1, 64], "subgroups": [16, 256]}
ANY = [np.float32, np.int64, np.bool_]


@row_kernel(
    "reduce/sum",
    "reduce",
    name="reduce/sum",
    fields=["v"],
    kind=["sum"],
    dtype=[np.float16, np.float32, np.int8, np.int64],
)
@row_kernel("reduce/sum", "reduce", name="reduce/sum", fields=["v"], lanes=SMALL, kind=NONZERO, dtype=ANY)
@row_kernel("reduce/sum", "reduce", name="reduce/sum", fields=["v"], lanes=SMALL, kind=["mean"], dtype=[np.float32])
@row_kernel("reduce/prod", "reduce", name="reduce/prod", fields=["v"], kind=["prod"], dtype=[np.float32, np.int64])
@row_kernel(
    "reduce/variance",
    "reduce",
    name="reduce/variance",
    fields=["n", "mean", "m2"],
    kind=["var"],
    dtype=[np.float16, np.float32],
)
@row_kernel(
    "reduce/logsumexp", "reduce", name="reduce/logsumexp", fields=["top", "sum"], kind=["logsumexp"], dtype=[np.float32]
)
def reduction(k: Kernel, size: int, lanes: int, kind: str, dtype) -> None:
    whole(k, size, lanes, kind, dtype)


@row_kernel(
    "reduce/norm", "reduce", name="reduce/norm", fields=["v"], order=[0.0, 1.0, 2.0, 3.0, np.inf, -np.inf], lanes=SMALL
)
def norm(k: Kernel, size: int, lanes: int, order: float) -> None:
    whole(k, size, lanes, "norm", np.float32, order)


EXTREMUM = dict(name="reduce/extremum", fields=["v", "i"], kind=["max", "min"])


def best_of(kind: str, v: np.ndarray) -> np.ndarray:
    """The first place of the extremum of every line; NaN is more extreme than anything."""
    return v.argmax(-1) if kind == "max" else v.argmin(-1)


@row_kernel("reduce/extremum", "reduce", **EXTREMUM, dtype=[np.float16, np.float32, np.bool_, np.int32, np.int64])
def extremum(k: Kernel, size: int, lanes: int, kind: str, dtype) -> None:
    x = values(k, kind, size, dtype)
    v = lines(x)
    places = best_of(kind, v)
    header(k, size * 4, 1, size * 4, 0.0)
    read(k, kind, x)
    ordered(k, kind, dtype)
    k.output("values", np.take_along_axis(v, places[..., None], -1)[..., 0], compute_of(kind, dtype))
    k.output("indices", places)
    k.line("fn emit(o: u32, job: u32, a: Acc) { values_put(o, a.v); indices_put(o, vec2<u32>(a.i, 0u)); }")
    launch_rows(k, 15, lanes)


def parts(v: np.ndarray, chunk: int) -> list[np.ndarray]:
    return [v[..., i : i + chunk] for i in range(0, v.shape[-1], chunk)]


def moments(v: np.ndarray, chunk: int) -> np.ndarray:
    """Count, mean and squared deviations of every split of every output, split after split."""
    wide = [p.astype(np.float64) for p in parts(v, chunk)]
    of_parts = [np.stack([np.full((5, 3), p.shape[-1]), p.mean(-1), p.var(-1) * p.shape[-1]], -1) for p in wide]
    return np.stack(of_parts).astype(np.float32)


@row_kernel("reduce/variance", "reduce", name="reduce/variance split", fields=["n", "mean", "m2"], lanes=SMALL)
def variance_split(k: Kernel, size: int, lanes: int) -> None:
    x, chunk = values(k, "var", size, np.float32), 60
    partial = moments(lines(x), chunk)
    header(k, size * 4, len(partial), chunk, 0.0)
    read(k, "var", x)
    k.result("partial_out", "Acc", partial, tolerance=1e-5)
    k.line("fn emit(o: u32, job: u32, a: Acc) { partial_out[job] = a; }")
    launch_rows(k, 15 * len(partial), lanes)


@row_kernel("reduce/variance", "reduce", name="reduce/variance merged", fields=["n", "mean", "m2"], lanes=SMALL)
def variance_merged(k: Kernel, size: int, lanes: int) -> None:
    x = values(k, "var", size, np.float32)
    partial = moments(lines(x), 20)
    k.words(15, len(partial), 1, len(partial), 0, 0, 0, 1.0, size * 4)
    k.arithmetic(np.float32)
    k.scratch("partial_in", "Acc", partial)
    k.function("begin(o: u32) -> u32", "o")
    k.function("take(a: Acc, at: u32, i: u32) -> Acc", "merge(a, partial_in[at + i * P(0u)])")
    k.output("y", reference("var", x, 1).astype(np.float32), tolerance=1e-5)
    k.line(f"fn emit(o: u32, job: u32, a: Acc) {{ y_put(o, {EMIT['var']}); }}")
    launch_rows(k, 15, lanes)


@row_kernel(
    "reduce/extremum", "reduce", name="reduce/extremum of a window", fields=["v", "i"], lanes=SMALL, kind=["max", "min"]
)
def extremum_of_window(k: Kernel, size: int, lanes: int, kind: str) -> None:
    x, chunk, first, apart, number = values(k, kind, size, np.float32), 60, 7, 17, 1000
    v = lines(x)
    want = np.zeros((first + apart * -(-size * 4 // chunk), 2), np.uint32)
    for split, part in enumerate(parts(v, chunk)):
        places = best_of(kind, part)
        best = np.take_along_axis(part, places[..., None], -1).astype(np.float32).view(np.uint32)
        at = first + apart * split
        want[at : at + 15, 0], want[at : at + 15, 1] = best.ravel(), (places + split * chunk + number).ravel()
    header(k, size * 4, -(-size * 4 // chunk), chunk, 0.0)
    k.set(9, first)
    k.set(10, apart)
    k.set(11, number)
    read(k, kind, x, "i + P(11u)")
    ordered(k, kind, np.float32)
    k.result("partial_out", "Acc", want)
    k.line("fn emit(o: u32, job: u32, a: Acc) { partial_out[P(9u) + o + (job / P(0u)) * P(10u)] = a; }")
    launch_rows(k, 15 * -(-size * 4 // chunk), lanes)
