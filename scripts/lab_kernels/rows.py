"""Kernels over rows: softmax, losses, what gradients of attention need, and reductions."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import special

from shader_text import WORKGROUP, Kernel, float32, kernel, strides_of

from .frames import PIECES, launch_rows, neighbours, read_pieces, row_kernel, row_passes, write_pieces

FLOATS = [np.float32, np.float16]
WHOLE = slice(None)


def rounding(dtype) -> float:
    return 2e-3 if np.dtype(dtype).itemsize == 2 else 2e-5


class Lines:
    """Arrays (5, size, 3), or 4 for columns, of rows along the middle dim."""

    def __init__(self, k: Kernel, size: int, by: str) -> None:
        self.k, self.by, self.columns = k, by, by == "columns"
        self.shape = (5, size if by in ("elements", "columns") else 4 * size, 4 if self.columns else 3)

    def place(self, a: np.ndarray) -> np.ndarray:
        """An input where its pieces can be read."""
        return neighbours(a, 2 if self.columns else 1) if PIECES[self.by][1] else self.k.strided(a)

    def room(self, want: np.ndarray) -> np.ndarray:
        if self.by == "elements":
            return self.k.strided(want, fill=0)
        return neighbours(want, 2 if self.columns else 1, fill=0)

    def finish(self, lanes: int, log: bool, *arrays: np.ndarray) -> None:
        """The words of all arrays' strides, then their places; the launch."""
        k, rows = self.k, 5 if self.columns else 15
        k.constants(LOG=log)
        k.words(rows, self.shape[1], [strides_of(a)[1] for a in arrays], [0] * len(arrays))
        for slot, a in enumerate(arrays, 2 + len(arrays)):
            k.place(slot, a, [0, 2])
        pieces = self.shape[1] if self.by in ("elements", "columns") else self.shape[1] // 4
        launch_rows(k, rows, lanes, across=self.columns, pieces=pieces)


def softmax(k: Kernel, size: int, lanes: int, log: bool, dtype, by: str) -> None:
    lines = Lines(k, size, by)
    x = lines.place(k.values(dtype, *lines.shape) * dtype(4))
    x[0, 3, 1] = -np.inf
    x[1, 4, 0] = np.nan
    x[2, :6, 1] = -np.inf
    x[3, 5, 2], x[4, :, 1] = np.inf, -np.inf
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        want = special.log_softmax(wide, 1) if log else special.softmax(wide, 1)
    # As PyTorch, which scipy's log_softmax is not, where the maximum is infinite.
    want[3, :, 2] = want[4, :, 1] = np.nan
    want = lines.room(want.astype(dtype))
    read_pieces(k, "x", x, by)
    write_pieces(k, "y", want, by, rounding(dtype))
    lines.finish(lanes, log, x, want)


def softmax_grad(k: Kernel, size: int, lanes: int, log: bool, dtype, by: str) -> None:
    lines = Lines(k, size, by)
    g, x = lines.place(k.values(dtype, *lines.shape)), k.values(np.float32, *lines.shape)
    y = lines.place((special.log_softmax(x, 1) if log else special.softmax(x, 1)).astype(dtype))
    g_, y_ = g.astype(np.float64), y.astype(np.float64)
    want = g_ - np.exp(y_) * g_.sum(1, keepdims=True) if log else y_ * (g_ - (g_ * y_).sum(1, keepdims=True))
    want = lines.room(want.astype(dtype))
    read_pieces(k, "g", g, by)
    read_pieces(k, "y", y, by)
    write_pieces(k, "dx", want, by, rounding(dtype))
    lines.finish(lanes, log, g, y, want)


for way, (piece, _) in PIECES.items():
    sums = [f"softmax/{piece}", *(["softmax/sums"] if piece != "columns" else [])]
    options = dict(size=300 if piece == "single" else 75, log=[False, True], dtype=FLOATS)
    bodies = (f"rows/{piece}", *sums, "softmax")
    row_passes(*bodies, name=f"softmax by {way}", fields=["top", "sum"], **options)(partial(softmax, by=way))
    bodies = (f"rows/{piece}", "softmax_grad")
    row_kernel(*bodies, name=f"softmax_grad by {way}", **options)(partial(softmax_grad, by=way))


@row_kernel("attention_dot", size=70, dtype=FLOATS)
def attention_dot(k: Kernel, size: int, lanes: int, dtype) -> None:
    dout, out = (k.strided(k.values(dtype, 2, 3, 7, size)) for _ in range(2))
    lse = k.strided(k.values(np.float32, 2, 3, 7))
    dots = (dout.astype(np.float64) * out.astype(np.float64)).sum(-1).astype(np.float32)
    k.input("dout", dout, float32)
    k.input("out", out, float32)
    k.input("lse", lse)
    k.result("stats", "vec2<f32>", np.stack([lse, dots], -1), tolerance=1e-4)
    k.words(lse.size, size, strides_of(dout)[3], strides_of(out)[3], 0, 0, 0)
    k.place(4, dout, slice(3))
    k.place(5, out, slice(3))
    k.place(6, lse)
    launch_rows(k, lse.size, lanes)


IGNORED, SMOOTHING = -100, 0.2
COUNTS = "label.y == 0u && label.x < P(1u) && any(label != vec2<u32>(P(3u), P(4u)))"


class Loss:
    """Scores (samples, classes, points) and their targets, some of which are to be ignored; the first nine words."""

    def __init__(self, k: Kernel, size: int, dtype, weighted: bool, smooth: bool = False, samples: int = 5) -> None:
        self.k, self.smooth, self.samples = k, smooth, samples
        self.x = k.strided(k.values(dtype, samples, size, 3))
        self.labels = k.strided(k.random.integers(0, size, (samples, 3)))
        self.labels[2, 1] = IGNORED
        self.counts = self.labels != IGNORED
        self.weight = k.strided(k.random.random(size, np.float32) + np.float32(0.5)) if weighted else None
        self.by_class = np.ones(size) if self.weight is None else self.weight.astype(np.float64)
        self.place = np.where(self.counts, self.labels, 0)[:, None]
        self.of_sample = np.where(self.counts, self.by_class[self.place[:, 0]], 0)

    def at_target(self, a: np.ndarray) -> np.ndarray:
        return np.take_along_axis(a, self.place, 1)[:, 0]

    def begin(self, scores: np.ndarray) -> None:
        k = self.k
        k.input("labels", self.labels)
        k.function("counts(label: I64) -> bool", COUNTS)
        k.constants(SMOOTH=self.smooth)
        head = [
            3 * self.samples,
            scores.shape[1],
            strides_of(scores)[1],
            IGNORED,
            -1,
            SMOOTHING if self.smooth else 0.0,
        ]
        k.words(head, [0] * 9)
        k.place(6, scores, [0, 2])
        k.place(7, self.labels)
        if self.weight is not None:
            k.input("weight", self.weight)
            k.place(8, self.weight)
        k.function("weight_of(c: u32) -> f32", "1.0" if self.weight is None else "weight_at(place8(c))")

    def log_sum(self) -> tuple[np.ndarray, np.ndarray]:
        x = self.x.astype(np.float64)
        return x.max(1), special.logsumexp(x - x.max(1, keepdims=True), axis=1)

    def written(self, loss: np.ndarray) -> None:
        self.k.output("loss", loss.astype(self.x.dtype), float32, tolerance=rounding(self.x.dtype))
        self.k.result("counted", "f32", self.of_sample.astype(np.float32))


LOSSES = dict(weighted=[False, True], dtype=FLOATS)


@kernel("nll", **LOSSES)
def nll(k: Kernel, size: int, weighted: bool, dtype) -> None:
    loss = Loss(k, size, dtype, weighted, samples=101)
    loss.begin(loss.x)
    k.input("x", loss.x, float32)
    loss.written(-loss.at_target(loss.x).astype(np.float64) * loss.of_sample)
    k.launch(2)


@kernel("nll_grad", shared=[False, True], **LOSSES)
def nll_grad(k: Kernel, size: int, weighted: bool, dtype, shared: bool) -> None:
    loss = Loss(k, size, dtype, weighted)
    g = k.strided(k.values(dtype, 5, 3))
    if shared:
        g[...] = g[0, 0]
    want = np.zeros((5, size, 3))
    np.put_along_axis(want, loss.place, (-g.astype(np.float64) * loss.of_sample)[:, None], 1)
    loss.begin(np.ascontiguousarray(want))
    k.input("g", g, float32)
    k.output("dx", want.astype(dtype), float32, tolerance=rounding(dtype))
    k.set(13, want.size)
    k.set(14, 3)
    if shared:
        k.place(9, g, slice(0))
    else:
        k.place(9, g)
    k.launch(-(-want.size // WORKGROUP))


@row_kernel("cross_entropy", fields=["top", "sum"], size=130, smooth=[False, True], **LOSSES)
def cross_entropy(k: Kernel, size: int, lanes: int, smooth: bool, weighted: bool, dtype) -> None:
    loss = Loss(k, size, dtype, weighted, smooth)
    top, log_sum = loss.log_sum()
    logs = loss.x.astype(np.float64) - (top + log_sum)[:, None]
    want = -loss.at_target(logs) * loss.of_sample
    if smooth:
        even = (-logs * loss.by_class[:, None]).sum(1)
        want = (1 - SMOOTHING) * want + SMOOTHING / size * even
    loss.begin(loss.x)
    k.input("x", loss.x, float32)
    loss.written(np.where(loss.counts, want, 0))
    stats = np.stack([np.where(loss.counts, a, 0) for a in (top, log_sum)])
    k.output("stats", stats.astype(np.float32), tolerance=1e-5)
    launch_rows(k, 15, lanes)


@row_kernel("cross_entropy_grad", size=130, smooth=[False, True], **LOSSES)
def cross_entropy_grad(k: Kernel, size: int, lanes: int, smooth: bool, weighted: bool, dtype) -> None:
    loss = Loss(k, size, dtype, weighted, smooth)
    g = k.strided(k.values(dtype, 5, 3))
    top, log_sum = loss.log_sum()
    p = np.exp(loss.x.astype(np.float64) - (top + log_sum)[:, None])
    target = np.zeros(p.shape)
    np.put_along_axis(target, loss.place, 1, 1)
    smoothing = SMOOTHING if smooth else 0
    w = loss.by_class[:, None]
    even = smoothing / size * (w.sum() * p - w)
    want = g.astype(np.float64)[:, None] * ((1 - smoothing) * loss.of_sample[:, None] * (p - target) + even)
    want = k.strided((want * loss.counts[:, None]).astype(dtype), fill=0)
    stats = k.strided(np.stack([top, log_sum]).astype(np.float32))
    loss.begin(loss.x)
    k.input("x", loss.x, float32)
    k.input("g", g, float32)
    k.input("stats", stats)
    k.output("dx", want, float32, tolerance=rounding(dtype))
    k.set(11, strides_of(want)[1])
    k.place(9, g)
    k.place(10, stats)
    k.place(12, want, [0, 2])
    launch_rows(k, 15, lanes)
