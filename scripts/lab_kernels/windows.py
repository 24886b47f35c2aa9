"""Operators over planes: pooling, padding, resizing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from shader_text import WORKGROUP, Kernel, extremes, float32, int64, kernel, strides_of

from .frames import launch_rows, row_kernel
from .products import sum_dtype

SPATIAL = 3
EACH = ("window", "window/each")
# Adds up what the bodies of gradients find.
SUM = "window/readers_sum"


@dataclass
class Windows:
    """Which inputs each output of an axis reads, and what says so to a kernel."""

    taps: list[list[list[int]]]
    padded: list[list[int]]
    own: list
    constants: dict

    @property
    def out(self) -> tuple:
        return tuple(map(len, self.taps))

    def outputs(self):
        """Every output with the window that it reads."""
        for at in np.ndindex(*self.out):
            yield at, (..., *np.ix_(*(taps[o] for taps, o in zip(self.taps, at))))


# Sliding windows by kernel, stride, padding and dilation; adaptive ones by their number.
SLIDING = {
    "dilated": ((2, 3, 2), (1, 2, 3), (1, 1, 0), (1, 2, 1)),
    "overlapping": ((2, 3, 3), (1, 2, 2), (1, 1, 0), (1, 1, 1)),
    "tiling": ((2, 2, 3), (2, 2, 3), (0, 0, 0), (1, 1, 1)),
    "flat": ((1, 3, 2), (1, 2, 3), (0, 1, 0), (1, 1, 1)),
}
ADAPTIVE = {"adaptive": (3, 4, 5), "adaptive flat": (1, 4, 5)}
WAYS = [*SLIDING, *ADAPTIVE]


def finder(way: str) -> str:
    return "window/sliding" if way in SLIDING else "window/adaptive"


def windows_of(way: str, size: int) -> tuple[tuple, Windows]:
    """The sizes of planes, and the windows over them."""
    sizes = (1 if "flat" in way else 4, 7, size)
    if way in ADAPTIVE:
        axes = zip(sizes, ADAPTIVE[way])
        taps = [[list(range(o * n // m, -(-(o + 1) * n // m))) for o in range(m)] for n, m in axes]
        return sizes, Windows(taps, [], [], dict(WIDE="flat" in way, TILING=False))
    kernel_, stride, padding, dilation = SLIDING[way]
    taps, padded = [], []
    for n, q, s, p, d in zip(sizes, kernel_, stride, padding, dilation):
        # Overlapping windows may hang over the far edge.
        starts = range(0, n + p if way == "overlapping" else n + 2 * p - d * (q - 1), s)
        taps.append([[i - p for i in range(f, f + q * d, d) if 0 <= i - p < n] for f in starts])
        padded.append([min(f + q, n + 2 * p) - f for f in starts])
    constants = dict(DILATED=way == "dilated", TILING=way == "tiling")
    return sizes, Windows(taps, padded, [0, kernel_, 0, stride, 0, padding, 0, dilation], constants)


def over_windows(*bodies: str, ways: list[str] = WAYS, **variants: Iterable) -> Callable:
    """Registers a kernel for several kinds of windows."""

    def add(fill: Callable[..., None]) -> Callable[..., None]:
        for way in ways:
            own = [body for body in bodies if body != SUM]
            kernel(finder(way), *bodies, *EACH, name=f"{own[-1]} {way}", **variants)(partial(fill, way=way))
        return fill

    return add


def plane_words(k: Kernel, x: np.ndarray, z: np.ndarray | None, y: np.ndarray, sizes: tuple, own: list) -> None:
    """The parameters; `sizes` are those of the operator's input and of its output."""
    leading = y.ndim - SPATIAL
    k.words(y.size, [0] * 3)
    for a in (x, z, y):
        k.words(0, [0] * 3 if a is None else strides_of(a)[leading:])
    k.words(0, sizes[0], 0, sizes[1], own)
    k.words([0] * (60 - len(k.parameters)), 0, y.shape[leading:])
    for slot, a in ((4, x), (8, z), (12, y)):
        k.place(slot, a, slice(leading))
    k.line(f"const FIRST = {1 if sizes[0][0] == sizes[1][0] == 1 else 0}u;")


def each(k: Kernel, x: np.ndarray, y: np.ndarray, sizes: tuple, own: list, z: np.ndarray | None = None) -> None:
    plane_words(k, x, z, y, sizes, own)
    k.launch(-(-y.size // WORKGROUP))


def sums(dtype) -> np.dtype:
    """The dtype of sums."""
    return float32 if np.dtype(dtype).kind == "f" else int64


def planes(k: Kernel, size: int, dtype) -> np.ndarray:
    return k.strided(k.values(dtype, 2, 3, 4, 7, size))


def greatest(x: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """The maximum under every window and its place in its plane: the first of equal ones, the last NaN."""
    flat = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    values, places = np.zeros((*x.shape[:2], *windows.out), x.dtype), np.zeros((*x.shape[:2], *windows.out), np.int64)
    for at, window in windows.outputs():
        seen, where = x[window].reshape(*x.shape[:2], -1), flat[window].ravel()
        best = seen.argmax(-1)
        if x.dtype.kind == "f":
            last = seen.shape[-1] - 1 - np.isnan(seen)[..., ::-1].argmax(-1)
            best = np.where(np.isnan(seen).any(-1), last, best)
        values[(..., *at)] = np.take_along_axis(seen, best[..., None], -1)[..., 0]
        places[(..., *at)] = where[best]
    return values, places


def maxima(k: Kernel, size: int, dtype, way: str) -> tuple:
    """What maxima need; the arrays and the sizes."""
    sizes, windows = windows_of(way, size)
    x = k.strided(k.values(dtype, 2, 3, *sizes))
    if x.dtype.kind == "f":
        x[0, 1, 0, 3:5, 4:6] = np.nan
        x[1, 1], x[1, 2] = 0.5, -np.inf
    values, places = (k.room_for(a) for a in greatest(x, windows))
    compute = sum_dtype(x.dtype)
    k.input("x", x, compute)
    k.output("z", places, int64)
    k.output("y", values, compute)
    k.arithmetic(compute)
    k.constants(**windows.constants)
    k.function("exceeds(a: T, b: T) -> bool", "f_gt(a, b)" if compute == float32 else "less(b, a)")
    k.function("lowest() -> T", extremes(x.dtype)[0])
    return x, values, (sizes, windows.out), windows.own, places


@over_windows("window/max", dtype=[np.float16, np.float32, np.int32, np.int64])
def max_(k: Kernel, size: int, dtype, way: str) -> None:
    each(k, *maxima(k, size, dtype, way))


@over_windows("window/spread", SUM)
def spread(k: Kernel, size: int, way: str) -> None:
    sizes, windows = windows_of(way, size)
    places = k.strided(greatest(k.values(np.float32, 2, 3, *sizes), windows)[1])
    g = k.strided(k.values(np.float32, *places.shape))
    want = np.zeros((2, 3, math.prod(sizes)), np.float32)
    for leading in np.ndindex(2, 3):
        np.add.at(want[leading], places[leading].ravel(), g[leading].ravel())
    want = k.room_for(want.reshape(2, 3, *sizes))
    k.input("x", g)
    k.input("z", places)
    k.output("y", want, tolerance=1e-5)
    k.arithmetic(np.float32)
    k.constants(**windows.constants)
    each(k, g, want, (sizes, windows.out), windows.own, places)


@kernel("window/take", *EACH, name="window/take", dtype=[np.float16, np.int64])
def take(k: Kernel, size: int, dtype) -> None:
    x = planes(k, size, dtype)
    z = k.strided(k.random.integers(0, math.prod(x.shape[2:]), (2, 3, 2, 3, 4)))
    want = np.take_along_axis(x.reshape(2, 3, -1), z.reshape(2, 3, -1), -1).reshape(z.shape)
    k.input("x", x)
    k.input("z", z)
    k.output("y", want)
    each(k, x, want, (x.shape[2:], z.shape[2:]), [], z)


KINDS = {"inputs": 0, "padding": 1, "fixed": 2}
FIXED = 7


def divisors(windows: Windows, kind: str) -> np.ndarray:
    if kind == "fixed":
        return np.full(windows.out, FIXED)
    counts = windows.padded if kind == "padding" else [[len(t) for t in taps] for taps in windows.taps]
    return np.multiply.outer(np.multiply.outer(counts[0], counts[1]), counts[2])


def over(sum_: np.ndarray, divisor) -> np.ndarray:
    return sum_ / divisor if sum_.dtype.kind == "f" else (np.sign(sum_) * (abs(sum_) // divisor)).astype(sum_.dtype)


def averages(k: Kernel, dtype, kind: str, windows: Windows) -> list:
    """What averages need, and their vectors."""
    compute = sums(dtype)
    k.arithmetic(compute)
    k.constants(**windows.constants)
    float_ = compute == float32
    k.function("of_count(n: u32) -> T", "f32(n)" if float_ else "vec2<u32>(n, 0u)")
    k.function("fixed_divisor() -> T", "bitcast<f32>(parameters[10].y)" if float_ else "parameters[10].zw")
    k.function("over(a: T, b: T) -> T", "f_div(a, b)" if float_ else "i64_trunc_divide(a, b)")
    return [*windows.own, KINDS[kind], float(FIXED), FIXED, 0] if windows.own else []


def means(k: Kernel, size: int, dtype, kind: str, way: str) -> tuple:
    """The arrays, sizes and vectors of averages."""
    sizes, windows = windows_of(way, size)
    x, wide = k.strided(k.values(dtype, 2, 3, *sizes)), sums(dtype)
    want, by = np.zeros((2, 3, *windows.out), wide), divisors(windows, kind)
    for at, window in windows.outputs():
        want[(..., *at)] = over(x[window].astype(wide).sum((-3, -2, -1)), by[at])
    want = k.room_for(want.astype(dtype))
    k.input("x", x, wide)
    k.output("y", want, wide, tolerance=1e-3 if want.itemsize == 2 else 1e-5)
    return x, want, (sizes, windows.out), averages(k, dtype, kind, windows)


def average(k: Kernel, size: int, dtype, kind: str, way: str) -> None:
    each(k, *means(k, size, dtype, kind, way))


def average_grad(k: Kernel, size: int, dtype, kind: str, way: str) -> None:
    sizes, windows = windows_of(way, size)
    g, wide = k.strided(k.values(dtype, 2, 3, *windows.out) * 5), sums(dtype)
    want, by = np.zeros((2, 3, *sizes), wide), divisors(windows, kind)
    for at, window in windows.outputs():
        want[window] += over(g[(..., *at)].astype(wide), by[at])[..., None, None, None]
    want = k.room_for(want.astype(dtype))
    k.input("x", g, wide)
    k.output("y", want, wide, tolerance=1e-3 if want.itemsize == 2 else 1e-5)
    each(k, g, want, (sizes, windows.out), averages(k, dtype, kind, windows))


DTYPES = [np.float16, np.float32, np.int64]
for bodies, fill in ((("window/average",), average), (("window/average_grad", SUM), average_grad)):
    over_windows("window/divisor", *bodies, ways=["overlapping", "tiling", "flat"], dtype=DTYPES, kind=list(KINDS))(
        fill
    )
    over_windows("window/divisor", *bodies, ways=list(ADAPTIVE), dtype=DTYPES, kind=["inputs"])(fill)

SHARED = {"tree": [256], "subgroups": [256]}


def shared(*bodies: str, fields: list[str], **variants: Iterable) -> Callable:
    """Registers a kernel whose windows are a workgroup's work each."""

    def add(fill: Callable[..., None]) -> Callable[..., None]:
        for way in ("dilated" if "max" in bodies[-1] else "overlapping", "adaptive"):
            own = finder(way), *bodies, "window", "window/shared"
            name = f"{bodies[-1]} {way}"
            row_kernel(*own, name=name, fields=fields, lanes=SHARED, **variants)(partial(fill, way=way))
        return fill

    return add


@shared("window/max_shared", fields=["v", "i"], dtype=[np.float32, np.int64])
def max_shared(k: Kernel, size: int, lanes: int, dtype, way: str) -> None:
    x, y, sizes, own, z = maxima(k, size, dtype, way)
    plane_words(k, x, z, y, sizes, own)
    launch_rows(k, y.size, lanes)


@shared("window/divisor", "window/average_shared", fields=["v"], dtype=[np.float32, np.int64])
def average_shared(k: Kernel, size: int, lanes: int, dtype, way: str) -> None:
    x, y, sizes, own = means(k, size, dtype, "inputs", way)
    plane_words(k, x, None, y, sizes, own)
    launch_rows(k, y.size, lanes)


def padded_places(size: tuple, mode: str, left: tuple, right: tuple) -> np.ndarray:
    """Where in the plane each element of the padded one comes from."""
    places = np.arange(math.prod(size)).reshape(size)
    crops = tuple(slice(max(-l, 0), n - max(-r, 0)) for n, l, r in zip(size, left, right))
    if mode == "wrap":
        places = places[crops]
    places = np.pad(places, [(max(l, 0), max(r, 0)) for l, r in zip(left, right)], mode=mode)
    if mode == "wrap":
        return places
    return places[tuple(slice(max(-l, 0), n - max(-r, 0)) for n, l, r in zip(places.shape, left, right))]


@kernel(
    "window/pad",
    *EACH,
    name="window/pad",
    mode=["reflect", "edge", "wrap"],
    grad=[False, True],
    dtype=[np.float32, np.int64],
)
def pad(k: Kernel, size: int, mode: str, grad: bool, dtype) -> None:
    shape, left, right = (4, 7, size), (2, 0, -3), (1, 3, 2)
    places = padded_places(shape, mode, left, right)
    if grad:
        x = k.strided(k.values(dtype, 2, 3, *places.shape))
        want = np.zeros((2, 3, math.prod(shape)), dtype)
        np.add.at(want, (slice(None), slice(None), places), x)
        want = want.reshape(2, 3, *shape)
    else:
        x = k.strided(k.values(dtype, 2, 3, *shape))
        want = x.reshape(2, 3, -1)[:, :, places]
    want = k.room_for(want)
    k.input("x", x)
    k.output("y", want, tolerance=1e-5)
    k.arithmetic(dtype)
    k.line(f"const MODE = {['reflect', 'edge', 'wrap'].index(mode)}u;")
    k.constants(GRAD=grad)
    crop = [max(-l, 0) for l in left]
    kept = [n - c - max(-r, 0) for n, c, r in zip(shape, crop, right)]
    each(k, x, want, (shape, places.shape), [0, left, 0, crop, 0, kept])


def cubic(x: float, a: float) -> float:
    """Cubic convolution (Keys, 1981)."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


@dataclass
class Axis:
    """Resizing along an axis: what the kernel is told of it, and the weights of inputs in outputs."""

    mode: str
    inputs: int
    outputs: int
    corners: bool = False

    @property
    def kind(self) -> int:
        return ["nearest", "centres", "linear", "cubic", "smooth", "smooth cubic"].index(self.mode)

    @property
    def scale(self) -> float:
        return (self.inputs - 1) / (self.outputs - 1) if self.corners else self.inputs / self.outputs

    @property
    def stretch(self) -> float:
        return max(self.scale, 1.0)

    @property
    def support(self) -> float:
        return self.stretch * (2 if self.kind == 5 else 1)

    def weights(self) -> np.ndarray:
        """(outputs, inputs)."""
        w, last = np.zeros((self.outputs, self.inputs)), self.inputs - 1
        for o in range(self.outputs):
            centre = self.scale * (o + 0.5)
            at = self.scale * o if self.corners else centre - 0.5
            if self.kind < 2:
                w[o, min(int(self.scale * o if self.kind == 0 else centre), last)] = 1
            elif self.kind == 2:
                at = max(at, 0)
                base = min(int(at), last)
                w[o, base] += 1 - (at - base)
                w[o, min(base + 1, last)] += at - base
            elif self.kind == 3:
                for i in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
                    w[o, np.clip(i, 0, last)] += cubic(at - i, -0.75)
            else:
                reached = range(
                    max(int(centre - self.support + 0.5), 0), min(int(centre + self.support + 0.5), last + 1)
                )
                for i in reached:
                    x = (i - centre + 0.5) / self.stretch
                    w[o, i] = cubic(x, -0.5) if self.kind == 5 else max(1 - abs(x), 0)
                w[o] /= w[o].sum()
        return w


def resizing(mode: str, size: tuple, corners: bool = False) -> tuple[list[Axis], list]:
    """Depth and height grow and the width shrinks."""
    axes = [
        Axis(mode, size[0], 2 * size[0], corners),
        Axis(mode, size[1], size[1] * 2 - 3, corners),
        Axis(mode, size[2], size[2] // 3 * 2, corners),
    ]
    own = [corners, [a.kind for a in axes], 0, [float(a.scale) for a in axes]]
    return axes, [*own, 0, [float(a.support) for a in axes], 0, [1 / a.stretch for a in axes]]


SMOOTH = ["linear", "cubic", "smooth", "smooth cubic"]


@kernel(
    "window/resize",
    "window/resize_nearest",
    *EACH,
    name="window/resize_nearest",
    mode=["nearest", "centres"],
    dtype=[np.float16, np.int64],
)
def resize_nearest(k: Kernel, size: int, mode: str, dtype) -> None:
    x = planes(k, size, dtype)
    axes, own = resizing(mode, x.shape[2:])
    want = k.room_for(x[(..., *np.ix_(*(a.weights().argmax(1) for a in axes)))])
    k.input("x", x)
    k.output("y", want)
    each(k, x, want, (x.shape[2:], want.shape[2:]), own)


@kernel("window/resize", "window/resize_weighted", *EACH, name="window/resize_weighted", mode=SMOOTH)
def resize_weighted(k: Kernel, size: int, mode: str) -> None:
    x = planes(k, size, np.float32)
    axes, own = resizing(mode, x.shape[2:])
    want = np.einsum("ncdhw,Dd,Hh,Ww->ncDHW", x.astype(np.float64), *(a.weights() for a in axes))
    want = k.room_for(want.astype(np.float32))
    k.input("x", x)
    k.output("y", want, tolerance=1e-4)
    each(k, x, want, (x.shape[2:], want.shape[2:]), own)


# Axes of three taps each, the first one left as it is; the weights are multiples of 2^-bits.
@kernel("window/resize_bytes", *EACH, name="window/resize_bytes", bits=[0, 9])
def resize_bytes(k: Kernel, size: int, bits: int) -> None:
    x = planes(k, size, np.uint8)
    want, table, taps = x.astype(np.int64), [], 3
    for axis, outputs in ((4, 2 * size - 3), (3, 5)):
        inputs = want.shape[axis]
        sources = k.values(np.uint8, outputs, taps).astype(np.int32) % inputs
        weights = k.values(np.uint8, outputs, taps).astype(np.int32) * (2**bits // 64 + 1) - 2
        sums = sum(np.take(want, sources[:, t], axis) * expand(weights[:, t], axis) for t in range(taps))
        want = np.clip((sums + (1 << bits >> 1)) >> bits, 0, 255)
        table.insert(0, np.stack([sources, weights], -1).ravel())
    want = k.room_for(want.astype(np.uint8))
    k.input("x", x, np.int32)
    k.input("z", np.concatenate(table))
    k.output("y", want, np.int32)
    own = [0, [0, taps, taps], 0, [0, bits, bits], 0, [0, 0, table[0].size]]
    each(k, x, want, (x.shape[2:], want.shape[2:]), own)


def expand(weights: np.ndarray, axis: int) -> np.ndarray:
    """The weights of outputs along an axis of five."""
    return weights.reshape([-1 if a == axis else 1 for a in range(5)])


@kernel("window/resize", "window/resize_grad", *EACH, name="window/resize_grad", mode=["nearest", *SMOOTH])
def resize_grad(k: Kernel, size: int, mode: str) -> None:
    corners = mode == "linear"
    axes, own = resizing(mode, (4, 7, size), corners)
    g = k.strided(k.values(np.float32, 2, 3, *(a.outputs for a in axes)))
    want = np.einsum("ncDHW,Dd,Hh,Ww->ncdhw", g.astype(np.float64), *(a.weights() for a in axes))
    want = k.room_for(want.astype(np.float32))
    k.input("x", g)
    k.output("y", want, tolerance=1e-4)
    each(k, g, want, (want.shape[2:], g.shape[2:]), own)
