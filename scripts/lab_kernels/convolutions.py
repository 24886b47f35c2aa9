"""Convolutions and their gradients, in the terms of conv/terms.wgsl."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from shader_text import WORKGROUP, Kernel, kernel, offset_of, strides_of

from .products import HELD, TILES, sum_dtype

AXES = range(3)


@dataclass(frozen=True)
class Case:
    """The sizes of a convolution; all arrays are (samples or rows, channels, depth, height, width)."""

    samples: int = 2
    groups: int = 1
    channels: int = 3
    rows: int = 5
    kernel: tuple = (1, 3, 2)
    stride: tuple = (1, 1, 1)
    padding: tuple = (0, 1, 1)
    dilation: tuple = (1, 1, 1)
    size: tuple = (1, 6, 7)

    @property
    def out(self) -> tuple:
        reach = (self.dilation[i] * (self.kernel[i] - 1) for i in AXES)
        return tuple((self.size[i] + 2 * self.padding[i] - r - 1) // self.stride[i] + 1 for i, r in zip(AXES, reach))

    @property
    def shapes(self) -> tuple[tuple, tuple, tuple]:
        """Those of the input, the weight and the output."""
        return (
            (self.samples, self.groups * self.channels, *self.size),
            (self.groups * self.rows, self.channels, *self.kernel),
            (self.samples, self.groups * self.rows, *self.out),
        )


PLAIN = Case()
DEEP = Case(groups=2, kernel=(2, 3, 2), stride=(2, 1, 3), padding=(1, 2, 0), dilation=(1, 2, 2), size=(4, 7, 9))
BROAD = Case(channels=4, rows=33, kernel=(1, 3, 3), stride=(1, 2, 2), size=(1, 9, 8))
UNPADDED = Case(channels=2, rows=12, kernel=(1, 2, 2), padding=(0, 0, 0), size=(1, 9, 9))
HALVES = Case(channels=8, rows=12, kernel=(1, 2, 2), padding=(0, 0, 0), size=(1, 9, 9))
CASES = {"halves": HALVES, "plain": PLAIN, "deep": DEEP, "broad": BROAD, "unpadded": UNPADDED}


def reference(c: Case, x: np.ndarray, w: np.ndarray, y: np.ndarray, wanted: str) -> np.ndarray:
    """The array of the three that is wanted, from the two others; in float64 or the integers' own dtype."""
    wide = np.float64 if x.dtype.kind == "f" else x.dtype
    pad = [(0, 0), (0, 0), *((p, p) for p in c.padding)]
    padded = np.pad(x.astype(wide) * (wanted != "x"), pad)
    padded = padded.reshape(c.samples, c.groups, c.channels, *padded.shape[2:])
    w5 = w.astype(wide).reshape(c.groups, c.rows, c.channels, *c.kernel) * (wanted != "w")
    y5 = y.astype(wide).reshape(c.samples, c.groups, c.rows, *c.out) * (wanted != "y")
    for element in np.ndindex(*c.kernel):
        first = [e * d for e, d in zip(element, c.dilation)]
        seen = [slice(f, f + (n - 1) * s + 1, s) for f, n, s in zip(first, c.out, c.stride)]
        window, weight = padded[(..., *seen)], w5[(..., *element)]
        if wanted == "y":
            y5 += np.einsum("gmc,ngcdhw->ngmdhw", weight, window)
        elif wanted == "x":
            window += np.einsum("gmc,ngmdhw->ngcdhw", weight, y5)
        else:
            weight += np.einsum("ngmdhw,ngcdhw->gmc", y5, window)
    inside = padded[(..., *(slice(p, p + n) for p, n in zip(c.padding, c.size)))]
    return {"y": y5, "x": inside, "w": w5}[wanted].reshape({"y": y, "x": x, "w": w}[wanted].shape).astype(x.dtype)


@dataclass
class Problem:
    """A product as conv/terms.wgsl describes it."""

    a: np.ndarray
    b: np.ndarray
    y: np.ndarray
    rows: int
    groups: int
    by_row: list
    by_group: list
    steps: list
    columns: list
    a_by_step: list
    b_by_step: list
    b_by_column: list
    y_by_column: list
    start: list = field(default_factory=lambda: [0, 0, 0])
    over_points: bool = False
    phases: list | None = None

    @property
    def phase_count(self) -> int:
        return math.prod(self.phases[0]) if self.phases else 1

    @property
    def flags(self) -> int:
        channels = strides_of(self.b)[1] == 1
        a_along = self.by_row[0] != 1 if self.over_points else True
        b_along = channels if self.over_points else not channels
        outer = [channels and not self.over_points, channels and self.over_points]
        return a_along | b_along << 1 | outer[0] << 2 | outer[1] << 3

    @property
    def checked(self) -> bool:
        def last(i: int) -> int:
            pairs = ((self.steps, self.b_by_step), (self.columns, self.b_by_column))
            return sum((sizes[i + 1] - 1) * by[i + 1] for sizes, by in pairs)

        return bool(self.phases) or any(self.start[i] != 0 or last(i) >= self.b.shape[i + 2] for i in AXES)

    @property
    def planar(self) -> bool:
        return [self.steps[1], self.columns[1], self.b.shape[2]] == [1, 1, 1] and self.start[0] == 0

    def parameters(self, k: Kernel, bias: np.ndarray | None, splits: int, per_split: int) -> None:
        k.words(self.rows, math.prod(self.columns), self.groups, splits)
        k.words(per_split, offset_of(self.a), offset_of(self.b), self.flags)
        k.words(self.by_row, [0, 0] if bias is None else [offset_of(bias), strides_of(bias)[0]])
        k.words(self.by_group, self.phase_count, self.steps, self.columns, self.a_by_step)
        k.words(self.b_by_step, self.b_by_column, self.y.size, self.start)
        k.words(0, self.b.shape[2:], 0, strides_of(self.b)[2:], self.y_by_column)
        for axes in self.phases or []:
            k.words(0, axes)


def problem_of(c: Case, wanted: str, x: np.ndarray, w: np.ndarray, y: np.ndarray) -> Problem:
    """The product that computes one of the three arrays from the others."""
    bx, bw, by = map(strides_of, (x, w, y))
    start = [-p for p in c.padding]
    weights = [c.rows * bw[0], c.channels * bx[1], c.rows * by[1]]
    if wanted == "y":
        steps, columns = [c.channels, *c.kernel], [c.samples, *c.out]
        step, column = [bx[1], *c.dilation], [bx[0], *c.stride]
        by_y = [by[0], *by[2:]]
        return Problem(
            w, x, y, c.rows, c.groups, [bw[0], by[1]], weights, steps, columns, bw[1:], step, column, by_y, start
        )
    if wanted == "w":
        by_group = [c.rows * by[1], c.channels * bx[1], c.rows * bw[0]]
        steps, columns = [c.samples, *c.out], [c.channels, *c.kernel]
        step, column = [bx[0], *c.stride], [bx[1], *c.dilation]
        by_a = [by[0], *by[2:]]
        return Problem(
            y, x, w, c.rows, c.groups, [by[1], bw[0]], by_group, steps, columns, by_a, step, column, bw[1:], start, True
        )
    divisor = [math.gcd(c.stride[i], c.dilation[i]) for i in AXES]
    step = [c.stride[i] // divisor[i] for i in AXES]
    reach = [c.dilation[i] // divisor[i] for i in AXES]
    inverse = [next((v for v in range(s) if v * r % s == 1), 0) for s, r in zip(step, reach)]
    count = [min(s, n) for s, n in zip(c.stride, c.size)]
    phases = [count, divisor, inverse, step, c.padding, c.dilation, c.kernel, bw[2:], bx[2:], c.size, c.stride]
    return Problem(
        w,
        y,
        x,
        rows=c.channels,
        groups=c.groups,
        by_row=[bw[1], bx[1]],
        by_group=[c.rows * bw[0], c.rows * by[1], c.channels * bx[1]],
        steps=[c.rows, *(-(-c.kernel[i] // step[i]) for i in AXES)],
        columns=[c.samples, *(-(-c.size[i] // c.stride[i]) for i in AXES)],
        a_by_step=[bw[0], *(step[i] * bw[2 + i] for i in AXES)],
        b_by_step=[by[1], *(-r for r in reach)],
        b_by_column=[by[0], 1, 1, 1],
        y_by_column=[bx[0], *(c.stride[i] * bx[2 + i] for i in AXES)],
        phases=phases,
    )


def channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def begin(k: Kernel, size: int, case: str, wanted: str, dtype, layout: str, wide: list[bool] | None = None) -> Problem:
    """The operands, the result and the constants of a convolution with its bias, where the output is wanted."""
    c = CASES[case]
    c = replace(c, size=(*c.size[:2], size)) if size else c
    arrays = [k.values(dtype, *shape) for shape in c.shapes]
    result = reference(c, *arrays, wanted)
    bias = k.strided(k.values(dtype, c.groups * c.rows)) if wanted == "y" else None
    if bias is not None:
        result = (result + bias[:, None, None, None].astype(np.float64)).astype(dtype)
    place = {"x": 0, "w": 1, "y": 2}[wanted]
    layouts = {"dense": np.ascontiguousarray, "last": channels_last, "strided": k.strided}
    arrays = [layouts[layout](a) for a in arrays]
    arrays[place] = layouts["last" if layout == "last" else "dense"](result)
    problem = problem_of(c, wanted, *arrays)
    compute, (a_wide, y_wide) = sum_dtype(dtype), wide or [False, False]
    k.arithmetic(compute)
    k.fours("a", problem.a, a_wide, compute)
    k.input("b", problem.b, compute)
    if bias is not None:
        k.input("bias", bias, compute)
    k.function(
        "bias_of(row: u32) -> T", "zero()" if bias is None else "bias_at(parameters[2].z + row * parameters[2].w)"
    )
    k.stores("y", problem.y, y_wide, compute, tolerance=4e-3 if problem.y.dtype == np.float16 else 1e-4)
    k.constants(PHASES=problem.phases is not None, CHECKED=problem.checked, PLANAR=problem.planar)
    problem.parameters(k, bias, 1, math.prod(problem.steps))
    return problem


def tiled(k: Kernel, problem: Problem, tile: tuple, wide: list[bool]) -> None:
    rows, columns, depth, r, c = tile
    flags = problem.flags
    k.constants(
        ROWS=rows, COLUMNS=columns, DEPTH=depth, R=r, C=c, STEPS=4 if wide[0] else 1, A_WIDE=wide[0], Y_WIDE=wide[1]
    )
    k.constants(A_ALONG=bool(flags & 1), B_ALONG=bool(flags & 2))
    tiles = -(-problem.rows // rows) * -(-math.prod(problem.columns) // columns)
    k.launch(tiles * problem.groups * problem.phase_count)


STAGED = ("conv/terms", "conv/job", "conv/staged", "product/edges", "product/staged")
WANTED = ["y", "x", "w"]


@kernel(
    *STAGED,
    name="conv/staged",
    case=["plain", "deep", "broad"],
    wanted=WANTED,
    layout=["dense", "last", "strided"],
    size=0,
)
def staged(k: Kernel, size: int, case: str, wanted: str, layout: str) -> None:
    problem = begin(k, size, case, wanted, np.float32, layout)
    k.line(HELD)
    tiled(k, problem, TILES["small"], [False, False])


@kernel(*STAGED, name="conv/staged in fours", dtype=[np.float16, np.float32, np.int64], size=0)
def staged_in_fours(k: Kernel, size: int, dtype) -> None:
    problem = begin(k, size, "unpadded", "y", dtype, "dense", [True, True])
    k.line(HELD)
    tiled(k, problem, TILES["small"], [True, True])


@kernel(*STAGED, name="conv/staged in splits", size=0)
def staged_in_splits(k: Kernel, size: int) -> None:
    """The channels of the input in two halves, whose results are to be added; the bias belongs to the first."""
    problem = begin(k, size, "halves", "y", np.float32, "dense")
    steps = math.prod(problem.steps)
    k.set(3, 2)
    k.set(4, steps // 2)
    whole = k.buffers[-1]
    x, w = problem.b, problem.a
    c = CASES["halves"]
    c = replace(c, size=(*c.size[:2], size)) if size else c
    half = c.channels // 2
    halves = replace(c, channels=half)
    zeros = np.zeros(problem.y.shape, np.float32)
    parts = [reference(halves, x[:, s], w[:, s], zeros, "y") for s in (slice(half), slice(half, None))]
    parts[0] += problem.y - reference(c, x, w, zeros, "y")
    whole.want = np.stack(parts)
    whole.start = np.zeros_like(whole.want)
    k.line(HELD)
    tiled(k, problem, TILES["small"], [False, False])
    k.launch(2 * k.workgroups)


STEPPED = ("conv/terms", "conv/job", "conv/stepped", "product/direct")


@kernel(
    *STEPPED, name="conv/stepped", case=["plain", "deep"], wanted=WANTED, layout=["dense", "last", "strided"], size=0
)
def stepped(k: Kernel, size: int, case: str, wanted: str, layout: str) -> None:
    tiled(k, begin(k, size, case, wanted, np.float32, layout), (16, 32, 4, 4, 4), [False, False])


@kernel(*STEPPED, name="conv/stepped by dtype", dtype=[np.float16, np.int32, np.int64], size=0)
def stepped_by_dtype(k: Kernel, size: int, dtype) -> None:
    tiled(k, begin(k, size, "broad", "y", dtype, "dense"), (32, 128, 4, 8, 8), [False, False])


@kernel(*STEPPED, name="conv/stepped in fours", dtype=[np.float32, np.float16, np.int64], size=0)
def stepped_in_fours(k: Kernel, size: int, dtype) -> None:
    problem = begin(k, size, "unpadded", "y", dtype, "dense", [True, True])
    tiled(k, problem, (16, 32, 4, 4, 4), [True, True])


@kernel("conv/terms", "conv/each", shared=[False, True], wanted=WANTED, layout=["dense", "last"], size=0)
def each(k: Kernel, size: int, shared: bool, wanted: str, layout: str) -> None:
    problem = begin(k, size, "deep", wanted, np.float32, layout)
    k.constants(SHARED=shared)
    elements = problem.rows * math.prod(problem.columns) * problem.groups * problem.phase_count
    k.launch(elements if shared else -(-elements // WORKGROUP))
