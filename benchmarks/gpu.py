"""corten on a GPU, beside what the device was measured to reach, and beside PyTorch where it has CUDA and the same GPU.

A case is built for both packages in one process and timed in turn, several rounds; the medians are shown. A time is
that of one call in a row of calls, with the device synchronised before the clock stops.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

from gpu_cases import SCALES, Case, cases, peak_cases
from harness import ROUNDS, conditions, gpu_properties, refuse_debug_build, shown, tables, write_between_markers

SLICE = 0.1  # seconds of one row of calls, at most
MOST_CALLS = 10_000  # of a row
HELD = 512 << 20  # bytes of results that wait for the end of a row of calls, at most
HEAD = ["case", "corten", "rate", "of peak", "PyTorch", "PyTorch TF32", "PyTorch's time / corten's"]
UNITS = {"flop": (1e12, "TFLOP/s"), "byte": (1e9, "GB/s"), "step": (1.0, "steps/s")}


@dataclass
class Side:
    """A package, set up in one way."""

    name: str
    module: ModuleType
    tf32: bool = False

    def enter(self) -> None:
        if self.name.startswith("PyTorch"):
            self.module.backends.cuda.matmul.allow_tf32 = self.tf32
            self.module.backends.cudnn.allow_tf32 = self.tf32

    def settle(self) -> None:
        """Makes corten compute what it has recorded: it leaves out what nobody holds any more."""
        if self.name == "corten":
            self.module._core.flush()

    def row(self, step: Callable[[], object], count: int) -> float:
        """Seconds of one of `count` calls."""
        held: list[object] = []
        free = HELD
        start = time.perf_counter()
        for _ in range(count):
            held.append(step())
            free -= size_of(held[-1])
            if free < 0:
                self.settle()
                held.clear()
                free = HELD
        self.module.cuda.synchronize()
        return (time.perf_counter() - start) / count


@dataclass
class Result:
    case: Case
    times: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def errors_of(self, side: Side) -> Iterator[None]:
        """Keeps the first error of a side, and lets the run go on."""
        try:
            yield
        except Exception as error:
            self.errors.setdefault(side.name, f"{type(error).__name__}: {error}")

    def median(self, side: str) -> float | None:
        return statistics.median(self.times[side]) if self.times.get(side) else None

    def rate(self) -> float | None:
        seconds = self.median("corten")
        return None if seconds is None else self.case.work / seconds


def size_of(result: object) -> int:
    if isinstance(result, (tuple, list)):
        return sum(map(size_of, result))
    return result.numel() * result.element_size()


class Clock:
    """Divides the seconds that are left among the rows of calls that are left."""

    def __init__(self, seconds: float, rows: int):
        self.end = time.perf_counter() + seconds
        self.rows = rows

    def over(self) -> bool:
        return time.perf_counter() > self.end

    def slice(self) -> float:
        # Half of the time goes into building, compiling and warming up.
        left = 0.5 * max(self.end - time.perf_counter(), 0.0)
        return min(SLICE, left / max(self.rows, 1))


def measure(case: Case, sides: list[Side], count: int, clock: Clock) -> Result:
    """Builds the case for every side and times them in turn; a side that fails leaves its error."""
    result = Result(case)
    ready = []
    budget = clock.slice()
    clock.rows -= count * len(sides)
    for side in sides:
        if side.tf32 and (case.dtype != "float32" or not case.multiplies):
            continue
        with result.errors_of(side):
            side.enter()
            step = case.build(side.module)
            ready.append((side, step, repetitions(side, step, budget)))
    for _ in range(1 if clock.over() else count):
        for side, step, calls in ready:
            with result.errors_of(side):
                side.enter()
                result.times.setdefault(side.name, []).append(side.row(step, calls))
    for name, error in result.errors.items():
        print(f"{case.group}: {case.name}: {name}: {error}", file=sys.stderr)
    return result


def repetitions(side: Side, step: Callable[[], object], budget: float) -> int:
    """How many calls fill the budget. Finding out warms up: kernels are compiled, plans are made, memory is there."""
    side.row(step, 1)
    count = 3
    while True:
        spent = count * side.row(step, count)
        if spent > budget / 2 or count == MOST_CALLS:
            return max(1, min(MOST_CALLS, round(count * budget / spent)))
        count = min(MOST_CALLS, count * 4)


def peaks(sides: list[Side], options, clock: Clock) -> tuple[dict[str, float], list[Result], list[str]]:
    """The best measured rates by unit, how they were measured, and the same in words."""
    largest = gpu_properties().max_storage_buffer_binding_size
    results = [
        measure(case, sides[:1] if "WGSL" in case.name else sides, options.rounds, clock)
        for case in peak_cases(options.scale, largest)
    ]
    best: dict[str, float] = {}
    lines = []
    for result in results:
        for side, times in result.times.items():
            rate = result.case.work / min(times)
            best[result.case.unit] = max(best.get(result.case.unit, 0.0), rate)
            lines.append(f"- {result.case.name}, {side}: {rated(rate, result.case.unit)}")
    lines.append(
        "- f16 multiply-add: not measured, since kernels of `corten.gpu.kernel` compute in f32; no share of float16"
    )
    return best, results, lines


def rated(rate: float, unit: str) -> str:
    scale, text = UNITS[unit]
    return f"{rate / scale:.3g} {text}"


def row_of(result: Result, best: dict[str, float]) -> list[str]:
    """The cells of `HEAD`."""
    case, rate = result.case, result.rate()
    bound = best.get(case.unit) if case.unit == "byte" or case.dtype == "float32" else None
    ours, theirs = result.median("corten"), result.median("PyTorch")

    def time_of(side: str) -> str:
        seconds = result.median(side)
        return "error" if side in result.errors else "" if seconds is None else shown(seconds)

    return [
        case.name,
        time_of("corten"),
        rated(rate, case.unit) if rate else "",
        f"{100 * rate / bound:.0f} %" if rate and bound else "",
        time_of("PyTorch"),
        time_of("PyTorch TF32"),
        f"{theirs / ours:.2f}" if ours and theirs else "",
    ]


def report(results: list[Result], best: dict[str, float]) -> str:
    return tables(HEAD, [(result.case.group, row_of(result, best)) for result in results])


def find_sides() -> tuple[list[Side], str]:
    """corten, and PyTorch where it can use the same GPU; and a sentence about PyTorch."""
    import corten

    sides = [Side("corten", corten)]
    if importlib.util.find_spec("torch") is None:
        return sides, "PyTorch is not installed: its columns are empty."
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return sides, f"PyTorch {torch.__version__} finds no CUDA: its columns are empty."
    ours, theirs = corten.gpu.get_device_name(), torch.cuda.get_device_name()
    if theirs not in ours and ours not in theirs:
        return sides, f"PyTorch would use another GPU, {theirs}: its columns are empty."
    sides += [Side("PyTorch", torch), Side("PyTorch TF32", torch, tf32=True)]
    return sides, f"PyTorch {torch.__version__} with CUDA {torch.version.cuda}."


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cases", default="", help="only cases with one of these comma-separated texts in group or name")
    add("--rounds", type=int, default=ROUNDS, help="rows of calls of each side and case (%(default)s)")
    add("--seconds", type=float, default=300.0, help="for all cases; late ones get a single round (%(default)s)")
    add("--scale", choices=SCALES, default="full", help="tiny sizes show that all runs, in software too (%(default)s)")
    add("--list", action="store_true", help="name the cases and stop")
    add("--json", metavar="FILE", help="write every measured time there")
    add("--from", dest="files", default="", help="tables of these comma-separated files of --json, without measuring")
    add("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    wanted = [text for text in options.cases.split(",") if text]
    options.chosen = [
        case for case in cases(options.scale) if not wanted or any(t in f"{case.group} {case.name}" for t in wanted)
    ]
    if options.write and (options.scale != "full" or wanted):
        parser.error("only complete runs at full scale are written down")
    return options


def save(path: str, results: list[Result], about: list[str], best: dict[str, float]) -> None:
    found = [
        {"group": r.case.group, "case": r.case.name, "work": r.case.work, "unit": r.case.unit, "seconds": r.times}
        | {"errors": r.errors}
        for r in results
    ]
    with open(path, "w") as file:
        json.dump({"about": about, "peaks": best, "cases": found}, file, indent=1)


def saved(files: list[str]) -> tuple[list[Result], dict[str, float], list[str]]:
    """What `save` wrote to some files; a case that several have is that of the last."""
    found: dict[tuple[str, str], Result] = {}
    known = {(case.group, case.name): case for case in cases()}
    best: dict[str, float] = {}
    about: list[str] = []
    for path in files:
        with open(path) as file:
            content = json.load(file)
        about += [line for line in content["about"] if line not in about]
        best = {unit: max(rate, best.get(unit, 0.0)) for unit, rate in content["peaks"].items()}
        for row in content["cases"]:
            name = row["group"], row["case"]
            if name in known:
                found[name] = Result(known[name], row["seconds"], row["errors"])
    missing = [name for name in known if name not in found]
    if missing:
        raise SystemExit(f"no file has {missing}")
    return [found[name] for name in known], best, about


def main() -> None:
    options = parse_arguments()
    if options.list:
        print("\n".join(f"{case.group}: {case.name}" for case in options.chosen))
        return
    if options.files:
        results, best, about = saved(options.files.split(","))
        text = "\n".join([*about, "", report(results, best)])
        print(text)
        if options.write:
            write_between_markers("gpu", text)
        return
    refuse_debug_build()
    gpu = gpu_properties()
    if gpu.type == "Cpu" and options.scale == "full":
        raise SystemExit(f"{gpu.name} computes on the CPU, full sizes would take hours: --scale tiny")
    sides, about_torch = find_sides()
    about = [
        f"corten {sides[0].module.__version__} on {gpu.name}, {gpu.backend}, {gpu.driver}. {about_torch}",
        conditions() + ".",
    ]
    print("\n".join(about))
    if options.scale == "tiny":
        print("Tiny sizes: the numbers mean nothing.")
    clock = Clock(options.seconds, options.rounds * len(sides) * (len(options.chosen) + 3))
    best, results, lines = peaks(sides, options, clock)
    print("\n".join(lines))
    for case in options.chosen:
        results.append(measure(case, sides, options.rounds, clock))
        print("  ".join(cell for cell in row_of(results[-1], best) if cell), file=sys.stderr)
    text = report([result for result in results if result.case.group != "peak"], best)
    print(f"\n{text}")
    if options.json:
        save(options.json, results, about + lines, best)
    failed = sum(bool(result.errors) for result in results)
    if failed:
        raise SystemExit(f"{failed} of {len(results)} cases failed")
    if options.write:
        write_between_markers("gpu", "\n".join([*about, "", *lines, "", text]))


if __name__ == "__main__":
    main()
