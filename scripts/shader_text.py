"""Writes what the bodies of shaders/ need in front of them: accessors of buffers by dtype, arithmetic, parameters.

A `Kernel` gathers the text together with the arrays that it runs on and what its results are to be. `kernel` registers
a function that fills one; tables of such functions stand in lab_kernels/. In a shader a float travels as `f32`, an
integer of up to 32 bits as `i32`, int64 as `I64` (two words, the low one first) and bool as `bool`; in memory every
buffer is words.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SHADERS = Path(__file__).resolve().parent.parent / "shaders"
PARAMETERS = """\
@group(0) @binding(0) var<uniform> parameters: array<vec4<u32>, 256>;
fn P(i: u32) -> u32 { return parameters[i >> 2u][i & 3u]; }
"""
WORKGROUP = 256
LANES = "xyzw"
ALL = slice(None)
float16, float32 = np.dtype(np.float16), np.dtype(np.float32)
boolean, int32, int64 = np.dtype(np.bool_), np.dtype(np.int32), np.dtype(np.int64)


def register(dtype: np.dtype) -> str:
    """The type in which values of a dtype travel."""
    if dtype.kind == "f":
        return "f32"
    if dtype.kind == "b":
        return "bool"
    return "I64" if dtype.itemsize == 8 else "i32"


def decode(dtype: np.dtype, word: str, high: str, shift: str) -> str:
    """The value in the low bits of a word shifted down, or for int64 in two words."""
    match dtype.kind, dtype.itemsize:
        case "b", _:
            return f"((({word}) >> ({shift})) & 0xffu) != 0u"
        case "f", 2:
            return f"f16_to_f32((({word}) >> ({shift})) & 0xffffu)"
        case "f", _:
            return f"bitcast<f32>({word})"
        case "u", 1:
            return f"i32((({word}) >> ({shift})) & 0xffu)"
        case "i", 8:
            return f"vec2<u32>({word}, {high})"
        case "i", 4:
            return f"bitcast<i32>({word})"
        case _, size:
            return f"extractBits(bitcast<i32>(({word}) >> ({shift})), 0u, {8 * size}u)"


def encode(dtype: np.dtype, value: str) -> str:
    """The low bits of a value as a word; for int64 the pair."""
    match dtype.kind, dtype.itemsize:
        case "b", _:
            return f"select(0u, 1u, {value})"
        case "f", 2:
            return f"f32_to_f16({value})"
        case _, 8:
            return value
        case _, 4:
            return f"bitcast<u32>({value})"
        case _, size:
            return f"(bitcast<u32>({value}) & {(1 << 8 * size) - 1}u)"


CONVERSIONS = {
    ("bool", "i32"): "select(0, 1, {})",
    ("bool", "f32"): "bool_to_f32({})",
    ("bool", "I64"): "bool_to_i64({})",
    ("i32", "bool"): "(({}) != 0)",
    ("i32", "f32"): "f32({})",
    ("i32", "I64"): "i32_to_i64({})",
    ("I64", "i32"): "i64_to_i32({})",
    ("I64", "bool"): "i64_to_bool({})",
    ("f32", "bool"): "f32_to_bool({})",
    ("f32", "i32"): "f32_to_i32({})",
}


def convert(source: np.dtype, target: np.dtype, value: str) -> str:
    pair = register(source), register(target)
    return value if pair[0] == pair[1] else CONVERSIONS[pair].format(value)


def load(name: str, dtype: np.dtype, words: str = "{name}[{at}]") -> str:
    """The expression that reads element `i` of a buffer of words."""
    at = {1: "i >> 2u", 2: "i >> 1u", 4: "i", 8: "2u * i"}[dtype.itemsize]
    shift = {1: "(i & 3u) * 8u", 2: "(i & 1u) * 16u"}.get(dtype.itemsize, "")
    word, high = (words.format(name=name, at=place) for place in (at, f"{at} + 1u"))
    return decode(dtype, word, high, shift)


def element_of(dtype: np.dtype, lane: int) -> str:
    """Element `lane` of four in the vector `w`, or of eight bytes in `w` and `x`."""
    if dtype.itemsize == 1:
        return decode(dtype, "w", "", f"{8 * lane}u")
    if dtype.itemsize == 2:
        return decode(dtype, f"w.{LANES[lane // 2]}", "", f"{16 * (lane % 2)}u")
    if dtype.itemsize == 4:
        return decode(dtype, f"w.{LANES[lane]}", "", "")
    vector, first = "wx"[lane // 2], 2 * (lane % 2)
    return decode(dtype, f"{vector}.{LANES[first]}", f"{vector}.{LANES[first + 1]}", "")


def store_vector(name: str, dtype: np.dtype, values: list[str]) -> str:
    """The statement that writes four values as vectors of words, at element `at`."""
    e = [encode(dtype, value) for value in values]
    if dtype.itemsize == 1:
        return f"{name}[at >> 2u] = {e[0]} | {e[1]} << 8u | {e[2]} << 16u | {e[3]} << 24u;"
    if dtype.itemsize == 2:
        return f"{name}[at >> 2u] = vec2<u32>({e[0]} | {e[1]} << 16u, {e[2]} | {e[3]} << 16u);"
    if dtype.itemsize == 4:
        return f"{name}[at >> 2u] = vec4<u32>({', '.join(e)});"
    halves = [f"vec4<u32>({a}.x, {a}.y, {b}.x, {b}.y)" for a, b in (e[:2], e[2:])]
    return f"{name}[at >> 1u] = {halves[0]};\n    {name}[(at >> 1u) + 1u] = {halves[1]};"


VECTORS = {1: "u32", 2: "vec2<u32>"}

FLOATS = """\
fn vadd(a: V, b: V) -> V { return a + b; }
fn vstep(c: V, a: T, b: V) -> V { return fma(V(a), b, c); }
fn vzero() -> V { return V(0.0); }
fn step(c: T, a: T, b: T) -> T { return fma(a, b, c); }
"""
INTEGERS = """\
fn vadd(a: V, b: V) -> V { return a + b; }
fn vstep(c: V, a: T, b: V) -> V { return c + a * b; }
fn vzero() -> V { return V(0); }
fn step(c: T, a: T, b: T) -> T { return c + a * b; }
"""
LONGS = """\
struct V { x: T, y: T, z: T, w: T }
fn vadd(a: V, b: V) -> V { return V(add(a.x, b.x), add(a.y, b.y), add(a.z, b.z), add(a.w, b.w)); }
fn vstep(c: V, a: T, b: V) -> V { return vadd(c, V(mul(a, b.x), mul(a, b.y), mul(a, b.z), mul(a, b.w))); }
fn vzero() -> V { return V(zero(), zero(), zero(), zero()); }
fn step(c: T, a: T, b: T) -> T { return add(c, mul(a, b)); }
"""
# Type, zero, one, sum, product, comparison, whether a value is NaN, and vectors of four values.
ARITHMETIC = {
    "f32": ("0.0", "1.0", "a + b", "a * b", "a < b", "f_isnan(a)", "alias V = vec4<f32>;\n" + FLOATS),
    "i32": ("0", "1", "a + b", "a * b", "a < b", "false", "alias V = vec4<i32>;\n" + INTEGERS),
    "I64": ("i64_zero()", "vec2<u32>(1u, 0u)", "i64_add(a, b)", "i64_mul(a, b)", "i64_lt(a, b)", "false", LONGS),
}


def arithmetic(dtype: np.dtype) -> str:
    """`T`, `zero`, `one`, `add`, `mul`, `less`, `is_nan`, `step`; `V`, `vzero`, `vadd`, `vstep`."""
    zero, one, add, mul, less, is_nan, vectors = ARITHMETIC[register(dtype)]
    return f"""\
alias T = {register(dtype)};
fn zero() -> T {{ return {zero}; }}
fn one() -> T {{ return {one}; }}
fn add(a: T, b: T) -> T {{ return {add}; }}
fn mul(a: T, b: T) -> T {{ return {mul}; }}
fn less(a: T, b: T) -> bool {{ return {less}; }}
fn is_nan(a: T) -> bool {{ return {is_nan}; }}
{vectors}"""


def extremes(dtype: np.dtype) -> tuple[str, str]:
    """The lowest and the highest value of a dtype, as expressions."""
    if dtype.kind == "f":
        return "-f_inf()", "f_inf()"
    if dtype.itemsize == 8:
        return "vec2<u32>(0u, 0x80000000u)", "vec2<u32>(0xffffffffu, 0x7fffffffu)"
    return "(-2147483647 - 1)", "2147483647"


def literal(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value}u" if isinstance(value, int) else repr(float(value))


def root_of(a: np.ndarray) -> np.ndarray:
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


def offset_of(a: np.ndarray) -> int:
    """How many elements of its memory lie before an array's first."""
    return (a.__array_interface__["data"][0] - root_of(a).__array_interface__["data"][0]) // a.itemsize


def strides_of(a: np.ndarray) -> list[int]:
    return [stride // a.itemsize for stride in a.strides]


def window(a: np.ndarray, fill: int, before: int, behind: int) -> np.ndarray:
    """The array in a larger memory whose dims lie in reverse order, amid other elements."""
    root = np.full([before + n + behind for n in reversed(a.shape)], fill, a.dtype)
    inside = root.T[tuple(slice(before, before + n) for n in a.shape)]
    inside[...] = a
    return inside


def alike(a: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values in a memory like that of an array, with the same around them."""
    root = root_of(a).copy()
    inside = np.ndarray(a.shape, a.dtype, root, offset_of(a) * a.itemsize, a.strides)
    inside[...] = values
    return inside


def walk(shape: Iterable[int], *windows: np.ndarray | tuple[int, Iterable[int]]) -> list[int]:
    """The words of `walk3` for up to three windows over common dims: arrays, or their offset and strides."""
    places = [w if isinstance(w, tuple) else (offset_of(w), strides_of(w)) for w in windows]
    places += [(0, [0] * len(list(shape)))] * (3 - len(places))
    words = [len(list(shape)), *(offset for offset, _ in places)]
    for size, *strides in zip(shape, *(strides for _, strides in places)):
        words += [size, *strides]
    return words


def words_of(values: Iterable) -> list[int]:
    """Numbers as u32: floats by their bits, negative integers modulo 2^32, nested sequences flattened."""
    words: list[int] = []
    for value in values:
        if isinstance(value, (list, tuple, np.ndarray)):
            words += words_of(value)
        elif isinstance(value, (float, np.floating)):
            words.append(struct.unpack("<I", struct.pack("<f", value))[0])
        else:
            words.append(int(value) & 0xFFFFFFFF)
    return words


@dataclass
class Buffer:
    """A binding: its type in the text, what it holds at first, and what it is to hold in the end."""

    name: str
    element: str
    write: bool
    start: np.ndarray
    want: np.ndarray | None = None
    tolerance: float = 0.0

    @property
    def access(self) -> str:
        return "read_write" if self.write else "read"


@dataclass
class Kernel:
    """A kernel's text while it is put together; buffers are bound in the order in which they are declared."""

    random: np.random.Generator
    buffers: list[Buffer] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    enables: list[str] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    workgroups: int = 1
    windows: int = 0

    def values(self, dtype, *shape: int) -> np.ndarray:
        """Random values: floats around 0, small integers, bools."""
        dtype = np.dtype(dtype)
        if dtype.kind == "f":
            return self.random.standard_normal(shape, np.float32).astype(dtype)
        low = 0 if dtype.kind in "bu" else -9
        return self.random.integers(low, 2 if dtype.kind == "b" else 10, shape).astype(dtype)

    def strided(self, a: np.ndarray, fill: int = 77) -> np.ndarray:
        """The array as a window of a larger memory, each time with other strides."""
        self.windows += 1
        return window(np.asarray(a), fill, 1, self.windows)

    def room_for(self, a: np.ndarray) -> np.ndarray:
        """The same, with zeros around and none of them before the first element."""
        self.windows += 1
        return window(np.asarray(a), 0, 0, self.windows)

    def line(self, *lines: str) -> None:
        self.lines += [line.rstrip("\n") + "\n" for line in lines]

    def constants(self, **values: bool | int | float) -> None:
        self.line(*(f"const {name} = {literal(value)};" for name, value in values.items()))

    def arithmetic(self, dtype) -> None:
        self.line(arithmetic(np.dtype(dtype)))

    def function(self, signature: str, value: str) -> None:
        self.line(f"fn {signature} {{ return {value}; }}")

    def words(self, *values) -> None:
        """Adds to the parameters."""
        self.parameters += words_of(values)

    def each(self, n: int, *values) -> None:
        """Parameters of a kernel that does the same for every one of n elements, and its launch."""
        self.words(n, *values)
        self.launch(-(-n // WORKGROUP))

    def launch(self, workgroups: int) -> None:
        self.workgroups = int(workgroups)

    def set(self, slot: int, value) -> None:
        """Changes a word of the parameters."""
        self.parameters[slot : slot + 1] = words_of([value])

    def place(self, slot: int, a: np.ndarray | None, dims: slice | list[int] = ALL, offset: int | None = None) -> None:
        """The functions of a window: some dims of an array, from its first element or an offset on.

        Its number is that of a word which the parameters have already, for the offset.
        `placeN(i)` is where element i of window N lies. `enterN(i)` splits i into the run of the innermost axis and the
        position in it, `moveN(at, by)` goes on by as much as `by` was split from, `foundN(at)` is where that lies.
        """
        axes = [] if a is None else list(zip(*(np.array(x)[dims].tolist() for x in (a.shape, strides_of(a)))))
        begin = 0 if a is None else offset_of(a)
        self.axes(slot, axes, begin if offset is None else offset)

    def axes(self, slot: int, axes: list[tuple[int, int]], offset: int = 0) -> None:
        """As `place`, for sizes and strides."""
        self.set(slot, offset)
        words = [f"P({len(self.parameters) + k}u)" for k in range(2 * len(axes))]
        self.words(axes)
        pairs = list(zip(words[::2], words[1::2]))

        def steps(rest: str, pairs: list) -> list[str]:
            lines = [f"    var rest = {rest};", f"    var place = P({slot}u);"]
            for size, stride in reversed(pairs[1:]):
                lines += [f"    place += rest % {size} * {stride};", f"    rest = rest / {size};"]
            return lines + [f"    place += rest * {stride};" for _, stride in pairs[:1]]

        self.line(f"fn place{slot}(i: u32) -> u32 {{", *steps("i", pairs), "    return place;\n}")
        inner = f" + at.y * {pairs[-1][1]}" if pairs else ""
        self.line(
            f"fn found{slot}(at: vec2<u32>) -> u32 {{", *steps("at.x", pairs[:-1]), f"    return place{inner};\n}}"
        )
        size = pairs[-1][0] if len(pairs) > 1 else "0xffffffffu"
        self.function(f"enter{slot}(i: u32) -> vec2<u32>", f"vec2<u32>(i / {size}, i % {size})")
        carried = f"at.x + by.x + (at.y + by.y) / {size}, (at.y + by.y) % {size}"
        self.function(f"move{slot}(at: vec2<u32>, by: vec2<u32>) -> vec2<u32>", f"vec2<u32>({carried})")

    def scratch(self, name: str, element: str, start: np.ndarray) -> None:
        """A buffer that is read, of values of a type that the text or WGSL defines."""
        self.buffers.append(Buffer(name, element, False, start))

    def result(
        self, name: str, element: str, want: np.ndarray, start: np.ndarray | None = None, tolerance: float = 0.0
    ) -> None:
        """A buffer that is written, of values of such a type; it may begin as something else than zeros."""
        memory = root_of(want)
        begin = np.zeros_like(memory) if start is None else root_of(start)
        self.buffers.append(Buffer(name, element, True, begin, memory, tolerance))

    def input(self, name: str, a: np.ndarray, as_=None) -> None:
        """A buffer that is read as `NAME_at(i)`."""
        as_ = np.dtype(as_ or a.dtype)
        self.scratch(name, "u32", root_of(a))
        value = convert(a.dtype, as_, f"({load(name, a.dtype)})")
        self.line(f"fn {name}_at(i: u32) -> {register(as_)} {{ return {value}; }}")

    def output(
        self, name: str, want: np.ndarray, as_=None, start: np.ndarray | None = None, tolerance: float = 0.0
    ) -> None:
        """A buffer that is written by `NAME_put(i, v)`."""
        dtype, as_ = want.dtype, np.dtype(as_ or want.dtype)
        bits = 8 * dtype.itemsize
        self.result(name, "atomic<u32>" if bits < 32 else "u32", want, start, tolerance)
        word = encode(dtype, convert(as_, dtype, "v"))
        if bits == 32:
            body = f"{name}[i] = {word};"
        elif bits == 64:
            body = f"let w = {word};\n    {name}[2u * i] = w.x;\n    {name}[2u * i + 1u] = w.y;"
        else:
            body = (
                f"let shift = (i * {bits}u) & 31u;\n    let at = (i * {bits}u) >> 5u;\n"
                f"    atomicAnd(&{name}[at], ~({(1 << bits) - 1}u << shift));\n"
                f"    atomicOr(&{name}[at], ({word}) << shift);"
            )
        self.line(f"fn {name}_put(i: u32, v: {register(as_)}) {{\n    {body}\n}}")

    def state(self, name: str, start: np.ndarray, want: np.ndarray, as_=None, tolerance: float = 0.0) -> None:
        """A buffer that is read as `NAME_at(i)` and written by `NAME_put(i, v)`."""
        dtype, as_ = want.dtype, np.dtype(as_ or want.dtype)
        self.output(name, want, as_, start, tolerance)
        words = "atomicLoad(&{name}[{at}])" if dtype.itemsize < 4 else "{name}[{at}]"
        value = convert(dtype, as_, f"({load(name, dtype, words)})")
        self.line(f"fn {name}_at(i: u32) -> {register(as_)} {{ return {value}; }}")

    def fours(self, name: str, a: np.ndarray, wide: bool, as_=None) -> None:
        """A buffer that is read as `NAME_load(at, step, count)`, four at a time; if not `wide`, as `NAME_at(i)` too."""
        as_ = np.dtype(as_ or a.dtype)
        head = f"fn {name}_load(at: u32, step: u32, count: u32) -> V {{"
        if not wide:
            self.input(name, a, as_)
            self.line(head, "    var v = vzero();")
            for j, lane in enumerate(LANES):
                self.line(f"    if (count > {j}u) {{ v.{lane} = {name}_at(at + {j}u * step); }}")
            return self.line("    return v;\n}")
        self.scratch(name, VECTORS.get(a.itemsize, "vec4<u32>"), root_of(a))
        words = "at >> 2u" if a.itemsize < 8 else "at >> 1u"
        values = [convert(a.dtype, as_, f"({element_of(a.dtype, j)})") for j in range(4)]
        self.line(head, "    if (count == 0u) { return vzero(); }", f"    let w = {name}[{words}];")
        if a.itemsize == 8:
            self.line(f"    let x = {name}[({words}) + 1u];")
        return self.line(f"    return V({', '.join(values)});\n}}")

    def stores(self, name: str, want: np.ndarray, wide: bool, as_=None, tolerance: float = 0.0) -> None:
        """A buffer that is written by `NAME_store(at, step, count, v)`, four at a time."""
        as_ = np.dtype(as_ or want.dtype)
        head = f"fn {name}_store(at: u32, step: u32, count: u32, v: V) {{"
        if not wide:
            self.output(name, want, as_, None, tolerance)
            self.line(head)
            for j, lane in enumerate(LANES):
                self.line(f"    if (count > {j}u) {{ {name}_put(at + {j}u * step, v.{lane}); }}")
            return self.line("}")
        self.result(name, VECTORS.get(want.itemsize, "vec4<u32>"), want, None, tolerance)
        values = [convert(as_, want.dtype, f"v.{lane}") for lane in LANES]
        self.line(head, "    if (count == 0u) { return; }")
        return self.line(f"    {store_vector(name, want.dtype, values)}\n}}")

    def text(self, bodies: Iterable[str]) -> str:
        """The kernel without what it needs of the library."""
        declared = (
            f"@group(1) @binding({k}) var<storage, {b.access}> {b.name}: array<{b.element}>;\n"
            for k, b in enumerate(self.buffers)
        )
        files = ((SHADERS / f"{body}.wgsl").read_text(encoding="utf-8") for body in bodies)
        return "".join([*self.enables, PARAMETERS, *declared, *self.lines, *files])


@dataclass(frozen=True)
class Entry:
    """A kernel of the table in one of its variants: the bodies that it is made of, and what fills it."""

    name: str
    bodies: tuple[str, ...]
    fill: Callable[..., None]
    size: int
    variant: dict

    def __str__(self) -> str:
        options = (f"{key}={getattr(value, '__name__', value)}" for key, value in self.variant.items())
        return ",".join([self.name, *options])

    def build(self, size: int | None = None, seed: int = 0) -> Kernel:
        kernel = Kernel(np.random.default_rng(seed))
        self.fill(kernel, size or self.size, **self.variant)
        return kernel


TABLE: list[Entry] = []


def kernel(*bodies: str, name: str = "", size: int = 37, **variants: Iterable) -> Callable:
    """Registers a function that fills a `Kernel` for a size, in every combination of the variants' values.

    The bodies are files of shaders/ without their ending; the last one gives the name.
    """

    def add(fill: Callable[..., None]) -> Callable[..., None]:
        for values in itertools.product(*variants.values()):
            TABLE.append(Entry(name or bodies[-1], bodies, fill, size, dict(zip(variants, values))))
        return fill

    return add
