"""Runs WGSL kernels that use the library of shaders/include on numpy arrays, through wgpu-py, and times them.

A kernel's text declares its parameters as `@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 256>` and its
arrays as storage buffers `@group(1) @binding(k)`, first the inputs, then the outputs; its entry point is `main`. Items
of the library that the text mentions are put behind it. From the command line:

    python scripts/shader_lab.py list                           the library's items
    python scripts/shader_lab.py show KERNEL.wgsl               the text with what it needs of the library
    python scripts/shader_lab.py call f_exp 1.0 2.5             a function of the library on numbers
    python scripts/shader_lab.py time 'f_exp(x)' --size 1000000 elementwise, beside a plain copy
    python scripts/shader_lab.py kernel softmax --size 1000     bodies of shaders/, compared with numpy and timed
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import struct
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lab_kernels import TABLE
from shader_text import Entry

INCLUDE = Path(__file__).resolve().parent.parent / "shaders" / "include"
ITEM = re.compile(r"^(fn|const|struct|alias)\s+(\w+)", re.MULTILINE)
WORD = re.compile(r"[A-Za-z_]\w*")
PARAMETER_BYTES = 4096
# What stands behind arrays that are read, NaN as floats, and behind those that may be written.
GUARD_BYTES = 1024
READ_GUARD, WRITE_GUARD = b"\xff", b"\xa5"
MOST_ACROSS = 32768
# The element types of storage buffers; int64 travels as two words.
ELEMENT = {"f4": "f32", "i4": "i32", "u4": "u32", "i8": "I64", "u8": "I64"}
WORKGROUP = 64
# What some kernels need beyond WebGPU's defaults.
FEATURES = ("shader-f16", "subgroup")
STORAGE = re.compile(r"@group\(1\)\s*@binding\((\d+)\)\s*var<storage(?:,\s*(\w+))?>")
UNIFORM = "@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 256>;\n"


class NoAdapterError(RuntimeError):
    """wgpu-py is not installed, or it finds no adapter."""


@dataclass(frozen=True)
class Item:
    """A function, constant, struct or alias of the library."""

    name: str
    kind: str
    text: str
    file: str

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """A function's parameters as (name, type)."""
        inside = self.text[self.text.index("(") + 1 : self.text.index(")")]
        return [tuple(part.strip() for part in piece.split(":")) for piece in inside.split(",") if piece.strip()]

    @property
    def result(self) -> str:
        found = re.search(r"\)\s*->\s*([\w<>]+)", self.text)
        return found[1] if found else ""


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def parse_items(text: str, file: str = "") -> list[Item]:
    """The items of one file: they begin in column 0; a function or struct ends with a line that is exactly `}`."""
    items, lines, at = [], text.splitlines(), 0
    while at < len(lines):
        head = ITEM.match(lines[at])
        if head is None:
            if without_comments(lines[at]).strip():
                raise ValueError(f"{file}:{at + 1}: neither an item nor a comment: {lines[at]}")
            at += 1
            continue
        start = at
        closes = (
            (lambda line: line == "}") if head[1] in ("fn", "struct") else (lambda line: line.rstrip().endswith(";"))
        )
        while not closes(lines[at]):
            at += 1
            if at == len(lines):
                raise ValueError(f"{file}:{start + 1}: {head[2]} does not end")
        at += 1
        items.append(Item(head[2], head[1], "\n".join(lines[start:at]) + "\n", file))
    return items


@cache
def library(folder: Path = INCLUDE) -> dict[str, Item]:
    """Every item of the library by name; a name may stand only once."""
    found: dict[str, Item] = {}
    for path in sorted(folder.glob("*.wgsl")):
        for item in parse_items(path.read_text(encoding="utf-8"), path.name):
            if item.name in found:
                raise ValueError(f"{item.name} stands in {found[item.name].file} and in {path.name}")
            found[item.name] = item
    return found


def assemble(text: str) -> str:
    """The kernel's text, and behind it the library's items that it mentions, and those that these mention."""
    items = library()
    wanted: dict[str, None] = {}
    pending = [text]
    while pending:
        for word in WORD.findall(without_comments(pending.pop())):
            if word in items and word not in wanted:
                wanted[word] = None
                pending.append(items[word].text)
    return text.rstrip() + "\n\n" + "\n".join(items[name].text for name in wanted)


@dataclass
class Result:
    """The outputs of a run, and the seconds of its best repetition, waiting included."""

    outputs: list[np.ndarray]
    seconds: float


@dataclass
class Outcome:
    """By result of a kernel its worst error and what is allowed; and the seconds of a run."""

    errors: dict[str, tuple[float, float]]
    seconds: float

    @property
    def right(self) -> bool:
        return all(error <= allowed for error, allowed in self.errors.values())


def accesses(text: str) -> list[str]:
    """How a kernel's storage buffers are accessed, in the order of their bindings."""
    found = {int(k): access or "read" for k, access in STORAGE.findall(without_comments(text))}
    return [found[k] for k in sorted(found)]


def in_words(a: np.ndarray, guard: bytes) -> bytes:
    """An array's bytes, filled up to whole vectors of words, and some of a guard."""
    whole = -(-max(a.nbytes, 1) // 16) * 16
    return a.tobytes().ljust(whole + GUARD_BYTES, guard) if guard else a.tobytes().ljust(whole, b"\0")


def grid(workgroups: int) -> tuple[int, int]:
    """A grid for so many workgroups, a line if that is possible."""
    across = max(min(workgroups, MOST_ACROSS), 1)
    return across, -(-workgroups // across)


def spread(workgroups: int) -> tuple[int, int]:
    """A grid of two dims for so many workgroups, in which some are left over."""
    across = math.isqrt(workgroups) + 2
    return across, workgroups // across + 1


def worst_error(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference: of floats relative to what is wanted, or where that is small to its root mean square.

    NaN equals NaN.
    """
    if want.dtype.kind != "f":
        wrong = got != want
        return float(max((abs(int(a) - int(b)) for a, b in zip(got[wrong], want[wrong])), default=0))
    a, b = (x.astype(np.float64) for x in (got, want))
    finite = b[np.isfinite(b)]
    typical = float(np.sqrt((finite**2).mean())) if finite.any() else 1.0
    with np.errstate(invalid="ignore"):
        differ = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b) / np.maximum(typical, np.abs(b)))
    return float(np.where(np.isnan(differ), np.inf, differ).max(initial=0))


class Lab:
    """A device on which kernels run one at a time."""

    def __init__(self) -> None:
        try:
            import wgpu
        except ImportError as error:
            raise NoAdapterError("wgpu-py is not installed") from error
        try:
            self.adapter = wgpu.gpu.request_adapter_sync()
        except RuntimeError as error:
            raise NoAdapterError(f"no GPU adapter: {error}") from error
        if self.adapter is None:
            raise NoAdapterError("no GPU adapter")
        limits = ("max-buffer-size", "max-storage-buffer-binding-size")
        self.device = self.adapter.request_device_sync(
            required_features=[f for f in FEATURES if f in self.adapter.features],
            required_limits={k: self.adapter.limits[k] for k in limits},
        )
        self.usage, self.stage = wgpu.BufferUsage, wgpu.ShaderStage.COMPUTE
        self._pipelines: dict[str, tuple] = {}

    @property
    def name(self) -> str:
        return f"{self.adapter.info['device']}, {self.adapter.info['description']}"

    def pipeline(self, text: str):
        """The compiled kernel and the layouts of its two groups; the same text compiles once."""
        if text not in self._pipelines:
            module = self.device.create_shader_module(code=assemble(text))
            storage = ["storage" if access == "read_write" else "read-only-storage" for access in accesses(text)]
            layouts = [self._layout(kinds) for kinds in (["uniform"], storage)]
            whole = self.device.create_pipeline_layout(bind_group_layouts=layouts)
            compute = {"module": module, "entry_point": "main"}
            self._pipelines[text] = self.device.create_compute_pipeline(layout=whole, compute=compute), layouts
        return self._pipelines[text]

    def _layout(self, kinds: list[str]):
        entries = [{"binding": k, "visibility": self.stage, "buffer": {"type": kind}} for k, kind in enumerate(kinds)]
        return self.device.create_bind_group_layout(entries=entries)

    def _group(self, layout, buffers: list):
        entries = [
            {"binding": k, "resource": {"buffer": b, "offset": 0, "size": b.size}} for k, b in enumerate(buffers)
        ]
        return self.device.create_bind_group(layout=layout, entries=entries)

    def dispatch(
        self, text: str, arrays: list[np.ndarray], workgroups, parameters=(), repeat: int = 1, guard: bool = False
    ) -> Result:
        """Runs a kernel on buffers that begin as these arrays; the outputs are those of buffers that it may write.

        With a guard there is more behind each array; a kernel that writes there raises `RuntimeError`.
        """
        pipeline, layouts = self.pipeline(text)
        words = struct.pack(f"<{len(parameters)}I", *parameters).ljust(PARAMETER_BYTES, b"\0")
        usage = self.usage.STORAGE | self.usage.COPY_SRC | self.usage.COPY_DST
        writes = [access == "read_write" for access in accesses(text)]
        guards = [(WRITE_GUARD if write else READ_GUARD) if guard else b"" for write in writes]
        data = (in_words(a, g) for a, g in zip(arrays, guards))
        buffers = [self.device.create_buffer_with_data(data=d, usage=usage) for d in data]
        uniform = self.device.create_buffer_with_data(data=words, usage=self.usage.UNIFORM)
        groups = [self._group(layout, held) for layout, held in zip(layouts, ([uniform], buffers))]
        counts = (workgroups,) if isinstance(workgroups, int) else tuple(workgroups)
        best = float("inf")
        for _ in range(repeat):
            start = time.perf_counter()
            encoder = self.device.create_command_encoder()
            work = encoder.begin_compute_pass()
            work.set_pipeline(pipeline)
            for index, group in enumerate(groups):
                work.set_bind_group(index, group)
            work.dispatch_workgroups(*counts)
            work.end()
            self.device.queue.submit([encoder.finish()])
            # wgpu-py's own wait for submitted work fails on this version's C header; a small read waits as well.
            self.device.queue.read_buffer(buffers[-1], size=4)
            best = min(best, time.perf_counter() - start)
        results = []
        for array, buffer in itertools.compress(zip(arrays, buffers), writes):
            held = bytes(self.device.queue.read_buffer(buffer))
            if guard and held[array.nbytes :].strip(WRITE_GUARD):
                raise RuntimeError(f"output {len(results)} is written behind its end")
            results.append(np.frombuffer(held[: array.nbytes], dtype=array.dtype).reshape(array.shape))
        return Result(results, best)

    def run(self, text: str, inputs, outputs, workgroups, parameters=(), repeat: int = 1) -> Result:
        """Runs a kernel: `outputs` are (shape, dtype) pairs, `workgroups` one to three numbers, `parameters` u32 words.

        The outputs start as zeros and are not reset between repetitions.
        """
        arrays = [*map(np.ascontiguousarray, inputs), *(np.zeros(shape, dtype) for shape, dtype in outputs)]
        return self.dispatch(text, arrays, workgroups, parameters, repeat)

    def kernel(self, entry: Entry, size: int | None = None, repeat: int = 0) -> Outcome:
        """Runs a kernel of the table once and compares; with `repeat`, the time is the best of further runs."""
        built = entry.build(size)
        text, arrays = built.text(entry.bodies), [b.start for b in built.buffers]
        run = self.dispatch(text, arrays, spread(built.workgroups), built.parameters, guard=True)
        written = [b for b in built.buffers if b.write]
        errors = {b.name: (worst_error(got, b.want), b.tolerance) for b, got in zip(written, run.outputs)}
        if repeat:
            run = self.dispatch(text, arrays, grid(built.workgroups), built.parameters, repeat)
        return Outcome(errors, run.seconds)

    def map(
        self, expressions: list[str], arrays: dict[str, np.ndarray], results: str | list[str], repeat: int = 1
    ) -> Result:
        """Evaluates each expression for every element of the named arrays, in one dispatch.

        `results` are the WGSL types of the expressions; outputs come back as float32, int32, uint32 or int64.
        """
        kinds = [results] * len(expressions) if isinstance(results, str) else results
        arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
        n = len(next(iter(arrays.values())))
        text = elementwise_kernel(expressions, kinds, {name: wgsl_type(a.dtype) for name, a in arrays.items()})
        words = np.dtype(np.uint32)
        sizes = [((len(expressions), n, 2) if "I64" in kinds else (len(expressions), n), words)]
        run = self.run(text, list(arrays.values()), sizes, grid(-(-n // WORKGROUP)), [n], repeat)
        run.outputs = [decode(block, kind) for block, kind in zip(run.outputs[0], kinds)]
        return run


def wgsl_type(dtype: np.dtype) -> str:
    return ELEMENT[f"{dtype.kind}{dtype.itemsize}"]


def decode(words: np.ndarray, kind: str) -> np.ndarray:
    if kind == "I64":
        return np.ascontiguousarray(words).view(np.int64).reshape(-1)
    plain = words[:, 0] if words.ndim == 2 else words
    plain = np.ascontiguousarray(plain)
    return plain.astype(bool) if kind == "bool" else plain.view({"f32": "f4", "i32": "i4", "u32": "u4"}[kind])


def elementwise_kernel(expressions: list[str], kinds: list[str], inputs: dict[str, str]) -> str:
    """A kernel that writes the words of every expression's value, one expression after the other."""
    wide = "I64" in kinds
    out = "vec2<u32>" if wide else "u32"
    words = {
        "f32": "bitcast<u32>({})",
        "i32": "bitcast<u32>({})",
        "u32": "{}",
        "bool": "select(0u, 1u, {})",
        "I64": "{}",
    }
    lines = [UNIFORM]
    for k, (name, kind) in enumerate(inputs.items()):
        lines.append(f"@group(1) @binding({k}) var<storage, read> in_{name}: array<{kind}>;\n")
    lines.append(f"@group(1) @binding({len(inputs)}) var<storage, read_write> out: array<{out}>;\n")
    lines.append(f"@compute @workgroup_size({WORKGROUP})\n")
    lines.append("fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {\n")
    lines.append(f"    let element = id.x + id.y * grid.x * {WORKGROUP}u;\n    let length = params[0].x;\n")
    lines.append("    if element >= length {\n        return;\n    }\n")
    lines += [f"    let {name} = in_{name}[element];\n" for name in inputs]
    for k, (expression, kind) in enumerate(zip(expressions, kinds)):
        word = words[kind].format(expression)
        if wide and kind != "I64":
            word = f"vec2<u32>({word}, 0u)"
        lines.append(f"    out[{k}u * length + element] = {word};\n")
    return "".join(lines) + "}\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("show").add_argument("file", type=Path)
    call = commands.add_parser("call")
    call.add_argument("function")
    call.add_argument("numbers", nargs="*")
    timed = commands.add_parser("time")
    timed.add_argument("expression")
    timed.add_argument("--size", type=int, default=1 << 20)
    kernel = commands.add_parser("kernel")
    kernel.add_argument("name", nargs="?", default="", help="a part of the name; without, all are listed")
    kernel.add_argument("--size", type=int)
    chosen = parser.parse_args(arguments)
    run = {"list": list_items, "show": show, "call": call_function, "time": time_expression, "kernel": run_kernels}
    return run[chosen.command](chosen) or 0


def run_kernels(chosen: argparse.Namespace) -> int:
    if not chosen.name:
        print("\n".join(map(str, TABLE)))
        return 0
    lab, wrong = Lab(), 0
    print(lab.name)
    for entry in TABLE:
        if chosen.name in str(entry):
            outcome = lab.kernel(entry, chosen.size, repeat=5)
            errors = ", ".join(f"{name} {error:.2g}" for name, (error, _) in outcome.errors.items())
            wrong += not outcome.right
            print(f"{'ok   ' if outcome.right else 'WRONG'} {entry}: {outcome.seconds * 1e3:.3f} ms, error of {errors}")
    return 1 if wrong else 0


def list_items(chosen: argparse.Namespace) -> None:
    for item in library().values():
        print(f"{item.file:14} {item.text.splitlines()[0].removesuffix(' {')}")


def show(chosen: argparse.Namespace) -> None:
    print(assemble(chosen.file.read_text(encoding="utf-8")), end="")


def call_function(chosen: argparse.Namespace) -> None:
    item = library()[chosen.function]
    if len(chosen.numbers) != len(item.parameters):
        raise SystemExit(f"{item.name} takes {len(item.parameters)} numbers")
    types = {"f32": np.float32, "i32": np.int32, "u32": np.uint32, "I64": np.int64, "bool": np.uint32}
    arrays, arguments = {}, []
    for (name, kind), text in zip(item.parameters, chosen.numbers):
        number = float(text) if kind == "f32" else int(text, 0)
        arrays[f"{name}_"] = np.array([number], dtype=types[kind])
        arguments.append(f"({name}_ != 0u)" if kind == "bool" else f"{name}_")
    arrays = arrays or {"unused": np.zeros(1, np.float32)}
    print(Lab().map([f"{item.name}({', '.join(arguments)})"], arrays, item.result).outputs[0][0])


def time_expression(chosen: argparse.Namespace) -> None:
    lab = Lab()
    x = np.linspace(-10, 10, chosen.size, dtype=np.float32)
    y = np.linspace(1, 5, chosen.size, dtype=np.float32)
    arrays = {name: a for name, a in (("x", x), ("y", y)) if re.search(rf"\b{name}\b", chosen.expression)}
    plain, wanted = (lab.map([e], arrays, "f32", repeat=7).seconds for e in ("x", chosen.expression))
    print(
        f"{lab.name}\n{chosen.expression}: {wanted * 1e3:.3f} ms, "
        f"{wanted / plain:.2f} times a copy ({plain * 1e3:.3f} ms)"
    )


if __name__ == "__main__":
    sys.exit(main())
