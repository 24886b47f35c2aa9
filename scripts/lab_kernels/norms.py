"""Normalisations: of rows, of channels, and sums over channels for their statistics and gradients."""

from __future__ import annotations

from functools import partial

import numpy as np

from shader_text import WORKGROUP, Kernel, float32, kernel, offset_of, strides_of

from .frames import PIECES, launch_rows, read_pieces, row_kernel, row_passes, write_pieces
from .rows import rounding

EPS = 1e-3
FLOATS = [np.float32, np.float16]


def given(k: Kernel, name: str, a: np.ndarray | None, signature: str, with_: str, without: str) -> None:
    """An optional input, and a function that is `with_` if it is there and `without` if not."""
    if a is not None:
        k.input(name, a, float32)
    k.function(f"{signature} -> f32", without if a is None else with_)


class Rows:
    """What layer, RMS and group normalisation see as rows of x (5, 6, 4, size): planes, or pairs of channels."""

    def __init__(self, k: Kernel, size: int, kind: str, dtype, by: str) -> None:
        self.k, self.kind, self.dtype, self.by = k, kind, dtype, by
        piece, wide = PIECES[by]
        size = size if piece == "single" else 4 * size
        place = np.ascontiguousarray if wide else k.strided
        self.x = place(k.values(dtype, 5, 6, 4, size) * dtype(2) + dtype(3))
        self.g = place(k.values(dtype, *self.x.shape))
        group = kind == "group"
        self.count, self.n = (15, 2 * 4 * size) if group else (30, 4 * size)
        self.period, self.channels, self.spatial = (3, 2, 4 * size) if group else (1, self.n, 1)
        of_weight = (6,) if group else (4, size)
        self.weight, self.bias = (place(k.values(dtype, *of_weight)) for _ in range(2))
        x = self.of_rows(self.x)
        self.mean = x.mean(1) if kind != "rms" else np.zeros(self.count)
        self.rstd = 1 / np.sqrt(((x - self.mean[:, None]) ** 2).mean(1) + EPS)

    def of_rows(self, a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a, np.float64).reshape(self.count, self.n)

    def by_element(self, w: np.ndarray) -> np.ndarray:
        """A weight's element for each element of the rows."""
        w = w.astype(np.float64)
        w = w[:, None, None] if self.kind == "group" else w
        return self.of_rows(np.broadcast_to(w, self.x.shape))

    @property
    def normal(self) -> np.ndarray:
        return (self.of_rows(self.x) - self.mean[:, None]) * self.rstd[:, None]

    def begin(self, header: list) -> None:
        k = self.k
        k.constants(RMS=self.kind == "rms")
        k.words(self.count, self.n, self.period, self.channels, self.spatial, header)

    def place(self, rows: int, elements: int, a: np.ndarray) -> None:
        """The windows of the rows of an array, and of the elements of a row."""
        k, (by_n, by_c, *inner) = self.k, strides_of(a)
        if self.kind == "group":
            k.axes(rows, [(5, by_n), (3, 2 * by_c)], offset_of(a))
            k.axes(elements, [(2, by_c), *zip(a.shape[2:], inner)])
        else:
            k.place(rows, a, slice(2))
            k.place(elements, a, slice(2, 4), offset=0)

    def apply(self, name: str, slot: int, a: np.ndarray | None, function: str, operator: str) -> None:
        """The function that applies a weight to a piece."""
        k, (piece, wide) = self.k, PIECES[self.by]
        signature = f"{function}(v: V, channel: u32, i: u32) -> V"
        if a is None:
            return k.function(signature, "v")
        k.place(slot, a)
        if wide and self.spatial == 1:
            k.fours(name, a, True, float32)
            return k.function(signature, f"v {operator} {name}_load(place{slot}(channel + i), 1u, RUN)")
        k.input(name, a, float32)
        each = piece == "fours" and self.spatial == 1
        channels = [f"i + {j}u" for j in range(4)] if each else ["i" if self.spatial == 1 else "i / P(4u)"]
        values = (f"{name}_at(place{slot}(channel + {c}))" for c in channels)
        return k.function(signature, f"v {operator} V({', '.join(values)})")


KINDS = dict(kind=["layer", "rms", "group"], dtype=FLOATS)


def norm(k: Kernel, size: int, lanes: int, affine: bool, kind: str, dtype, by: str) -> None:
    rows = Rows(k, size, kind, dtype, by)
    rows.begin([EPS, 0, 0, 0, 0, strides_of(rows.x)[-1]])
    rows.place(6, 7, rows.x)
    want = rows.normal
    if affine:
        want = want * rows.by_element(rows.weight) + rows.by_element(rows.bias)
    read_pieces(k, "x", rows.x, by)
    write_pieces(k, "y", want.astype(dtype), by, rounding(dtype))
    if kind != "rms":
        k.output("mean", rows.mean.astype(np.float32), tolerance=1e-5)
    k.output("rstd", rows.rstd.astype(np.float32), tolerance=1e-5)
    saved = "" if kind == "rms" else "mean_put(row, mean); "
    k.line(f"fn save(row: u32, mean: f32, rstd: f32) {{ {saved}rstd_put(row, rstd); }}")
    weight, bias = (rows.weight, rows.bias) if affine else (None, None)
    rows.apply("weight", 8, weight, "weighted", "*")
    rows.apply("bias", 9, bias, "shifted", "+")
    launch_rows(k, rows.count, lanes, pieces=rows.n if by == "elements" else rows.n // 4)


def norm_grad(k: Kernel, size: int, lanes: int, affine: bool, kind: str, dtype, by: str) -> None:
    rows = Rows(k, size, kind, dtype, by)
    rows.begin([0] * 7 + [strides_of(a)[-1] for a in (rows.g, rows.x)])
    rows.place(5, 7, rows.g)
    rows.place(6, 8, rows.x)
    weight = rows.weight if affine else None
    h = rows.of_rows(rows.g) * (rows.by_element(weight) if affine else 1)
    shift = 0 if kind == "rms" else h.mean(1, keepdims=True)
    slope = (h * rows.normal).mean(1, keepdims=True)
    want = rows.rstd[:, None] * (h - shift - rows.normal * slope)
    mean, rstd = (a.astype(np.float32) for a in (rows.mean, rows.rstd))
    k.place(9, mean)
    k.place(10, rstd)
    read_pieces(k, "g", rows.g, by)
    read_pieces(k, "x", rows.x, by)
    write_pieces(k, "dx", want.astype(dtype), by, rounding(dtype))
    given(k, "mean", None if kind == "rms" else mean, "mean_of(row: u32)", "mean_at(place9(row))", "0.0")
    given(k, "rstd", rstd, "rstd_of(row: u32)", "rstd_at(place10(row))", "1.0")
    rows.apply("weight", 11, weight, "weighted", "*")
    launch_rows(k, rows.count, lanes)


for body, fill, register in (("norm", norm, row_passes), ("norm_grad", norm_grad, row_kernel)):
    for way in ("elements", "fours", "vectors"):
        bodies = (f"rows/{PIECES[way][0]}", body)
        register(*bodies, name=f"{body} by {way}", affine=[False, True], **KINDS)(partial(fill, by=way))


class Planes:
    """x and g (4, 6, 3, size) with channels in dim 1, and statistics of channels or of samples and pairs of them."""

    def __init__(self, k: Kernel, size: int, dtype, grouped: bool = False) -> None:
        self.k, self.count, self.grouped = k, 4 * 3 * size, grouped
        self.x = k.strided(k.values(dtype, 4, 6, 3, size) * dtype(2) + dtype(3))
        self.g = k.strided(k.values(dtype, *self.x.shape))
        shape = (4, 3) if grouped else (6,)
        self.mean = k.strided(k.values(np.float32, *shape) + np.float32(3))
        self.rstd = k.strided(k.random.random(shape, np.float32) + np.float32(0.5))

    def spread(self, a: np.ndarray) -> np.ndarray:
        """A statistic's element for each element of x."""
        a = a.astype(np.float64)
        return a.repeat(2, 1)[:, :, None, None] if self.grouped else a[:, None, None]

    def header(self, parts: int) -> int:
        """The parameters of sums over channels; the elements of a part."""
        part, size = -(-self.count // parts), self.x.shape[3]
        statistics = (3 * size, 3, 2) if self.grouped else (1, 0, 1)
        self.k.words(6, self.count, parts, part, statistics, [0] * 6, 0.0, EPS)
        for slot, a in ((7, self.g), (8, self.x)):
            self.k.place(slot, a, [1])
            self.k.place(slot + 2, a, [0, 2, 3], offset=0)
        return part

    def split(self, a: np.ndarray, part: int) -> list[np.ndarray]:
        """The elements of channels, part by part."""
        lines = np.moveaxis(np.asarray(a, np.float64), 1, 0).reshape(6, -1)
        return [lines[:, i : i + part] for i in range(0, self.count, part)]


def saved(k: Kernel, sums: list[np.ndarray], tolerance: float) -> None:
    """The results of sums over channels, part by part."""
    want = np.stack(sums).astype(np.float32)
    k.result("partial", "vec4<f32>", np.pad(want, ((0, 0), (0, 0), (0, 4 - want.shape[-1]))), tolerance=tolerance)
    k.line("fn save(row: u32, channel: u32, total: vec3<f32>) { partial[row] = vec4<f32>(total, 0.0); }")


def moments(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Count, mean and squared deviations of every channel in each part."""
    return [np.stack([np.full(len(p), p.shape[1]), p.mean(1), p.var(1) * p.shape[1]], 1) for p in parts]


@row_kernel("channel_sums", name="channel_sums of moments", parts=[1, 3], dtype=FLOATS)
def channel_moments(k: Kernel, size: int, lanes: int, parts: int, dtype) -> None:
    planes = Planes(k, size, dtype)
    part = planes.header(parts)
    k.constants(MOMENTS=True, STEADY=True)
    k.input("x", planes.x, float32)
    k.function("g_at(i: u32) -> f32", "0.0")
    k.function("mean_of(i: u32) -> f32", "0.0")
    k.function("rstd_of(i: u32) -> f32", "1.0")
    k.function("stat_of(i: u32, channel: u32) -> u32", "0u")
    saved(k, moments(planes.split(planes.x, part)), 1e-5)
    launch_rows(k, 6 * parts, lanes)


@row_kernel("channel_sums", grouped=[False, True], parts=[1, 3], dtype=FLOATS)
def channel_sums(k: Kernel, size: int, lanes: int, grouped: bool, parts: int, dtype) -> None:
    planes = Planes(k, size, dtype, grouped)
    part = planes.header(parts)
    k.constants(MOMENTS=False, STEADY=not grouped)
    k.input("g", planes.g, float32)
    k.input("x", planes.x, float32)
    k.input("mean", planes.mean)
    k.input("rstd", planes.rstd)
    k.place(11, planes.mean)
    k.place(12, planes.rstd)
    k.function("mean_of(stat: u32) -> f32", "mean_at(place11(stat))")
    k.function("rstd_of(stat: u32) -> f32", "rstd_at(place12(stat))")
    stat = "(i / P(4u)) * P(5u) + channel / P(6u)" if grouped else "channel / P(6u)"
    k.function("stat_of(i: u32, channel: u32) -> u32", stat)
    h = (planes.x.astype(np.float64) - planes.spread(planes.mean)) * planes.spread(planes.rstd)
    sums = zip(planes.split(planes.g, part), planes.split(planes.g.astype(np.float64) * h, part))
    saved(k, [np.stack([g.sum(1), gh.sum(1)], 1) for g, gh in sums], 1e-4)
    launch_rows(k, 6 * parts, lanes)


@kernel("channel_merge", of_moments=[False, True])
def channel_merge(k: Kernel, size: int, of_moments: bool) -> None:
    channels = 10 * size
    x = k.values(np.float32, channels, 25).astype(np.float64) + 3
    split = [x[:, i : i + 6] for i in range(0, 25, 6)]
    of = moments if of_moments else lambda parts: [np.stack([p.sum(1), p.sum(1), -p.sum(1)], 1) for p in parts]
    k.words(channels, 25, len(split), [0] * 11, EPS)
    k.scratch("partial", "vec4<f32>", np.pad(np.stack(of(split)), ((0, 0), (0, 0), (0, 1))).astype(np.float32))
    k.constants(MOMENTS=of_moments)
    k.output("total", of([x])[0].astype(np.float32), tolerance=1e-5)
    puts = (f"total_put(3u * channel + {i}u, total.{lane});" for i, lane in enumerate("xyz"))
    k.line(f"fn emit(channel: u32, total: vec3<f32>) {{ {' '.join(puts)} }}")
    k.launch(-(-channels // WORKGROUP))


class Batch:
    """Batch normalisation of x (4, 6, 4, size), by fours of neighbours or single elements."""

    def __init__(self, k: Kernel, size: int, dtype, run: int, wide: bool, running: bool) -> None:
        size = 4 * size if run == 4 else size
        self.k, self.run, self.wide, self.dtype = k, run, wide, dtype
        place = np.ascontiguousarray if wide else k.strided
        self.x = place(k.values(dtype, 4, 6, 4, size) * dtype(2) + dtype(3))
        self.g = place(k.values(dtype, *self.x.shape))
        self.mean = k.strided(k.values(np.float32, 6) + np.float32(3))
        rstd = k.random.random(6, np.float32) + np.float32(0.5)
        self.scale = 1 / np.sqrt(rstd.astype(np.float64) + EPS) if running else rstd.astype(np.float64)
        self.rstd, self.running = k.strided(rstd), running
        self.weight, self.bias = (k.strided(k.values(dtype, 6)) for _ in range(2))
        self.normal = (self.x.astype(np.float64) - spread(self.mean)) * spread(self.scale)

    def statistics(self, slot: int, want: np.ndarray) -> None:
        """Where channels, and after x and g mean, rstd and weight are found."""
        k = self.k
        k.axes(2, [(4, 0), (6, 1), (want[0, 0].size, 0)])
        for number, (name, a) in enumerate((("mean", self.mean), ("rstd", self.rstd), ("weight", self.weight)), slot):
            k.input(name, a, float32)
            k.place(number, a)
        rstd = f"rstd_at(place{slot + 1}(c))"
        k.function("mean_of(c: u32) -> f32", f"mean_at(place{slot}(c))")
        k.function("rstd_of(c: u32) -> f32", f"f_rsqrt({rstd} + bitcast<f32>(P(1u)))" if self.running else rstd)
        k.function("scaled(rstd: f32, c: u32) -> f32", f"rstd * weight_at(place{slot + 2}(c))")

    def begin(self, header: list) -> None:
        self.k.arithmetic(np.float32)
        self.k.line(f"const RUN = {self.run}u;")
        self.k.words(self.x.size, EPS, [0] * 6, header)

    def finish(self, name: str, want: np.ndarray) -> None:
        want = np.ascontiguousarray(want.astype(self.dtype))
        self.k.stores(name, want, self.run == 4, float32, rounding(self.dtype))
        self.k.launch(-(-want.size // self.run // WORKGROUP))


def spread(a: np.ndarray) -> np.ndarray:
    return a.astype(np.float64)[:, None, None]


RUNS = dict(dtype=FLOATS, running=[False, True])


def batch_norm(k: Kernel, size: int, dtype, running: bool, run: int, wide: bool) -> None:
    batch = Batch(k, size, dtype, run, wide, running)
    batch.begin([strides_of(batch.x)[-1]])
    k.fours("x", batch.x, wide, float32)
    k.place(3, batch.x)
    want = batch.normal * spread(batch.weight) + spread(batch.bias)
    batch.statistics(4, want)
    k.input("bias", batch.bias, float32)
    k.place(7, batch.bias)
    k.function("bias_of(c: u32) -> f32", "bias_at(place7(c))")
    batch.finish("y", want)


def batch_norm_grad(k: Kernel, size: int, dtype, running: bool, run: int, wide: bool) -> None:
    batch = Batch(k, size, dtype, run, wide, running)
    g, count = batch.g.astype(np.float64), batch.x.size // 6
    batch.begin([count, strides_of(batch.x)[-1], strides_of(batch.g)[-1]])
    k.constants(TRAINING=not running)
    k.fours("g", batch.g, wide, float32)
    k.fours("x", batch.x, wide, float32)
    k.place(3, batch.x)
    k.place(4, batch.g)
    totals = np.stack([g.sum((0, 2, 3)), (g * batch.normal).sum((0, 2, 3))], 1).astype(np.float32)
    corrected = g
    if not running:
        corrected = g - spread(totals[:, 0]) / count - batch.normal * spread(totals[:, 1]) / count
        k.scratch("totals", "vec2<f32>", totals)
    want = corrected * spread(batch.scale) * spread(batch.weight)
    batch.statistics(5, want)
    k.function("total_of(c: u32) -> vec2<f32>", "vec2<f32>(0.0, 0.0)" if running else "totals[c]")
    batch.finish("dx", want)


for body, fill in (("batch_norm", batch_norm), ("batch_norm_grad", batch_norm_grad)):
    for way, (run, wide) in {"each": (1, False), "runs": (4, False), "vectors": (4, True)}.items():
        kernel(body, name=f"{body} by {way}", **RUNS)(partial(fill, run=run, wide=wide))
