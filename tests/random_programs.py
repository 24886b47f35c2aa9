"""Runs random programs flushed after every operator, lazily, without fusion and in another framework, and compares.

    python tests/random_programs.py --count 1000 --seed 0 --against torch --budget-seconds 60

A program is a list of steps made by program_generator.py.  Each run leaves a trace: what every step recorded or which
exception it raised, then every tensor and array that is still alive.  Traces of the same engine must agree bit for bit;
another framework must raise the same exceptions and agree within the tolerance that the generator's model allows.
A program that differs is shrunk and printed as a Python file that can be run alone.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from op_table.row import only_on, to_numpy
from program_generator import Program, Step, generate

Tolerance = tuple[float, float] | None


# Gradients of half types round at every step, in an order that is each framework's own.
GRADIENT_TOLERANCE = {"float16": (4e-3, 4e-3), "bfloat16": (2.4e-2, 2.4e-2)}


@dataclass(frozen=True)
class Mode:
    """Options of the engine for one run."""

    name: str
    flush_every: int = 0  # 0 is the engine's own budget
    fusion: bool = True


EVERY_OPERATOR = Mode("flushed after every operator", flush_every=1)
UNFUSED = Mode("without fusion", fusion=False)


def modes_of(program: Program) -> list[Mode]:
    """The lazy runs that must agree with the run flushed after every operator."""
    draw = random.Random(program.seed)
    budgets = [draw.randint(2, 6), draw.randint(7, 60)]
    return [Mode("lazy"), *(Mode(f"flushed after {n} operators", flush_every=n) for n in budgets), UNFUSED]


@dataclass
class Outcome:
    """What a step recorded, or the class of what it raised."""

    label: str
    values: list[Any]
    error: str = ""
    tolerance: Tolerance = (0.0, 0.0)


def error_class(error: BaseException) -> str:
    """The first class of the exception that Python itself knows."""
    return next(c.__name__ for c in type(error).__mro__ if getattr(builtins, c.__name__, None) is c)


def snapshot(value: Any) -> Any:
    """A value copied out of the engine so that later steps cannot change it."""
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), value.shape, value.copy())
    if hasattr(value, "requires_grad"):
        dtype = str(value.dtype).rsplit(".", 1)[-1]
        data = to_numpy(value.clone())
        layout = tuple(s for s, n in zip(value.stride(), value.shape, strict=True) if n > 1) if value.numel() else ()
        return (
            "tensor",
            dtype,
            tuple(value.shape),
            data.copy(),
            layout,
            value.storage_offset() if value.numel() else 0,
            value.requires_grad,
            value.is_leaf,
        )
    if isinstance(value, (list, tuple)):
        return tuple(snapshot(v) for v in value)
    return value


class Interpreter:
    """Executes a program against a module."""

    def __init__(self, module: Any, program: Program, mode: Mode | None = None):
        self.module, self.program, self.mode = module, program, mode
        self.recorded: list[Any] = []

    def run(self) -> list[Outcome]:
        # Whatever draws before the program's own seed: a program that lost that step while shrinking still repeats.
        self.module.manual_seed(self.program.seed)
        space: dict[str, Any] = {"m": self.module, "np": np, "record": lambda v: self.recorded.append(snapshot(v))}
        if self.mode:
            self.module._core.set_option("flush_every", self.mode.flush_every)
            self.module._core.set_option("fusion", self.mode.fusion)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trace = [self.step(step, space) for step in self.program.steps]
                return trace + list(self.survivors(space))
        finally:
            if self.mode:
                self.module._core.set_option("flush_every", 0)
                self.module._core.set_option("fusion", True)

    def step(self, step: Step, space: dict[str, Any]) -> Outcome:
        self.recorded = []
        error = ""
        try:
            exec(compiled(step.text), space)
        except Exception as raised:
            error = error_class(raised)
        return Outcome(step.text, self.recorded, error, step.tolerance)

    def survivors(self, space: dict[str, Any]) -> Iterator[Outcome]:
        """Every tensor and array that is still alive, and the gradients of leaves."""
        for name in sorted(n for n in space if n[0] in "tgn" and n[1:].isdigit()):
            value, tolerance = space[name], self.program.tolerances.get(name, (0.0, 0.0))
            yield self.look(name, lambda value=value: value, tolerance)
            if hasattr(value, "requires_grad"):
                rounding = GRADIENT_TOLERANCE.get(str(value.dtype).rsplit(".", 1)[-1], (2e-3, 1e-3))
                yield self.look(f"{name}.grad", lambda value=value: value.grad if value.is_leaf else None, rounding)

    @staticmethod
    def look(label: str, read: Callable[[], Any], tolerance: Tolerance) -> Outcome:
        try:
            return Outcome(label, [snapshot(read())], tolerance=tolerance)
        except Exception as raised:
            return Outcome(label, [], error_class(raised), tolerance)


_CODE: dict[str, Any] = {}


def compiled(text: str) -> Any:
    if len(_CODE) > 5000:
        _CODE.clear()
    if text not in _CODE:
        _CODE[text] = compile(text, "<program>", "exec")
    return _CODE[text]


def same_bits(a: Any, b: Any) -> bool:
    """Equal to the last bit; any NaN equals any other, zeros keep their sign."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same_bits(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        if a.dtype.kind == "f":
            return bool(
                np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a)[a == 0], np.signbit(b)[b == 0])
            )
        return bool(np.array_equal(a, b))
    return a == b or (a != a and b != b)


def near(a: Any, b: Any, tolerance: tuple[float, float]) -> bool:
    """Equal structure, dtypes, shapes and strides; numbers within the tolerance."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(near(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.dtype.kind != "f":
            return bool(np.array_equal(a, b))
        rtol, atol = tolerance
        # Gradients are compared on the scale of the largest one.
        scale = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)) if atol >= 1e-3 else 0.0
        return bool(np.allclose(a, b, rtol=rtol, atol=atol + rtol * scale, equal_nan=True))
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, rtol=tolerance[0], atol=tolerance[1], equal_nan=True))
    return a == b


def difference(left: list[Outcome], right: list[Outcome], exact: bool) -> str:
    """The first place where two traces differ, or nothing."""
    for a, b in zip(left, right, strict=False):
        if a.label != b.label:
            return f"{a.label} against {b.label}: one is missing"
        if a.error != b.error:
            return f"{a.label}: {a.error or 'no error'} against {b.error or 'no error'}"
        if a.tolerance is None:
            if len(a.values) != len(b.values):
                return f"{a.label}: {len(a.values)} values against {len(b.values)}"
            continue
        equal = same_bits if exact else lambda x, y, tolerance=a.tolerance: near(x, y, tolerance)
        if not equal(tuple(a.values), tuple(b.values)):
            return f"{a.label}:\n  {a.values}\nagainst\n  {b.values}"
    return "" if len(left) == len(right) else f"{len(left)} outcomes against {len(right)}"


def check(program: Program, module: Any, other: Any = None) -> str:
    """Runs a program in every way and describes the first difference, or returns nothing."""
    engine = hasattr(module, "_core")
    base = Interpreter(module, program, EVERY_OPERATOR if engine else None).run()
    for mode in modes_of(program) if engine else ():
        if found := difference(Interpreter(module, program, mode).run(), base, exact=True):
            return f"{mode.name} differs from {EVERY_OPERATOR.name}: {found}"
    if other is not None and program.comparable:
        theirs = Interpreter(other, program).run()
        if found := difference(base, theirs, exact=False):
            return f"{module.__name__} differs from {other.__name__}: {found}"
    return ""


def check_device(program: Program, module: Any, device: str) -> str:
    """Compares a plain program on a device, lazily and flushed after some operators, with the CPU."""
    here = Interpreter(module, program, EVERY_OPERATOR).run()
    for mode in modes_of(program)[:2]:
        module.set_default_device(device)
        try:
            with only_on(device):
                there = Interpreter(module, program, mode).run()
        finally:
            module.set_default_device("cpu")
        if found := difference(there, here, exact=False):
            return f"{device}, {mode.name}, differs from the CPU: {found}"
    return ""


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """Removes steps, in halves and then one by one, while the program keeps failing."""
    steps = list(program.steps)
    size = len(steps) // 2
    while size >= 1:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            if fails(replace(program, steps=fewer)):
                steps = fewer
            else:
                start += size
        size //= 2
    return replace(program, steps=steps)


def source(program: Program, module: str) -> str:
    """A Python file that does what the program does; steps that raise say so."""
    head = [f"import numpy as np\n\nimport {module} as m\n", "def record(value):\n    print(value)\n"]
    errors = [o.error for o in Interpreter(importlib.import_module(module), program).run()]
    body = []
    for step, error in zip(program.steps, errors, strict=False):
        if error:
            body.append(f"try:\n    {step.text}\nexcept Exception as error:\n    print(type(error).__name__, error)")
        else:
            body.append(step.text)
    defined = [
        s.text.split(" = ")[0]
        for s in program.steps
        if s.text[0] in "tgn" and " = " in s.text and s.text.split(" = ")[0][1:].isdigit()
    ]
    tail = [f"print('{name}', {name})" for name in dict.fromkeys(defined) if f"del {name}" not in body]
    return "\n".join(["\n\n".join(head), *body, *tail, ""])


def report(program: Program, module: Any, differs: Callable[[Program], str]) -> str:
    """The shrunk program, how it fails, and its reproducer."""
    small = shrink(program, lambda p: bool(differs(p)))
    found = differs(small)
    return f"program {program.seed}: {found}\n\n--- reproducer ---\n{source(small, module.__name__)}--- end ---"


def run_many(
    programs: Iterator[Program],
    module: Any,
    differs: Callable[[Program], str],
    budget: float,
    say: Callable[[str], None],
) -> tuple[int, int]:
    """Checks programs; returns how many ran and how many differed."""
    start, ran, differing, told = time.monotonic(), 0, 0, time.monotonic()
    for program in programs:
        if budget and time.monotonic() - start > budget:
            break
        ran += 1
        if differs(program):
            differing += 1
            say(report(program, module, differs))
        if time.monotonic() - told > 10:
            told = time.monotonic()
            pace = ran / (told - start)
            say(f"{ran} programs, next seed {program.seed + 1}, {differing} differing, {pace:.0f} a second")
    return ran, differing


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first program; the next one has the next seed")
    parser.add_argument("--module", default="corten", help="the framework under test")
    parser.add_argument("--against", default="", help="a second framework to compare with, such as torch")
    parser.add_argument("--device", default="", help="compare plain programs on this device with the CPU instead")
    parser.add_argument("--budget-seconds", type=float, default=0, help="stop after this time")
    parser.add_argument("--show", action="store_true", help="print the program of --seed and stop")
    options = parser.parse_args(arguments)
    if options.show:
        print(source(generate(options.seed, bool(options.device)), options.module))
        return 0
    module = importlib.import_module(options.module)
    other = importlib.import_module(options.against) if options.against else None
    start = time.monotonic()
    programs = (generate(options.seed + number, bool(options.device)) for number in range(options.count))

    def differs(program: Program) -> str:
        if options.device:
            return check_device(program, module, options.device)
        return check(program, module, other)

    ran, differing = run_many(programs, module, differs, options.budget_seconds, lambda s: print(s, flush=True))
    seconds = time.monotonic() - start
    against = "the CPU" if options.device else options.against or "itself"
    print(f"RESULT random_programs count={ran} differing={differing} against={against} seconds={seconds:.1f}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
