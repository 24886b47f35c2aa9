"""What the benchmarks share: refusals, timing, rounds that alternate between programs, medians and tables.

A program that compares runs each side in a fresh process, which prints lines of JSON, and the sides take turns, so that
neither disturbs the other's threads or memory and both see the machine in the same state.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
ROUNDS = 5


def refuse_debug_build() -> None:
    import corten

    profile = corten._core.build_profile()
    if profile == "debug":
        raise SystemExit("benchmarks measure release builds; this is a debug build: `make dev` makes the other")


def gpu_properties():
    """What corten knows of the GPU that it uses."""
    import corten

    if not corten.gpu.is_available():
        raise SystemExit("there is no GPU; CORTEN_GPU_SOFTWARE=1 admits one in software")
    return corten.gpu.get_device_properties()


def refuse_busy_machine(bound: float) -> None:
    load = os.getloadavg()[0]
    if load > bound:
        raise SystemExit(
            f"the machine is busy: its load is {load:.2f}, above {bound:g}; --dry-run measures all the same"
        )


def conditions() -> str:
    """The machine and its state now, in a line."""
    load, version = os.getloadavg()[0], platform.python_version()
    return f"{processor()}, {os.cpu_count()} processors, load {load:.2f}, Python {version}"


def processor() -> str:
    """Its architecture, and its name where the system tells it."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()} {names[0]}" if names else platform.machine()


def seconds(function: Callable[[], object], repeat: int = 20) -> float:
    """The median time of a call, after one that warms up."""
    function()
    return statistics.median(timed(function) for _ in range(repeat))


def seconds_within(function: Callable[[], object], budget: float, least: int = 3) -> list[float]:
    """The times of as many calls as fit the budget, and of `least` at least."""
    end = time.perf_counter() + budget
    times: list[float] = []
    while len(times) < least or time.perf_counter() < end:
        times.append(timed(function))
    return times


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rounds(commands: dict[str, list[str]], count: int) -> Iterator[tuple[str, list[dict]]]:
    """Runs the programs in turn, `count` times each; yields a name and the lines of JSON that its program printed."""
    for _ in range(count):
        for name, command in commands.items():
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(f"{name}: `{' '.join(command)}` ended with {done.returncode}")
            yield name, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def children(file: str, sides: Sequence[str], *arguments: str) -> dict[str, list[str]]:
    """The commands that run a program of Python once for each side, which it is told by `--child`."""
    return {side: [sys.executable, str(Path(file).resolve()), "--child", side, *arguments] for side in sides}


def medians(measured: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median by case of several rounds' seconds by case."""
    return {case: statistics.median(one[case] for one in measured) for case in measured[0]}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned to be read as plain text too: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (head, rule, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tables(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table for each group of rows, which come as pairs of their group and their cells."""
    groups = dict.fromkeys(group for group, _ in rows)
    return "\n\n".join(f"**{g}**\n\n{table(head, [cells for group, cells in rows if group == g])}" for g in groups)


def write_between_markers(name: str, text: str, page: Path = PAGE) -> None:
    """Replaces what stands in `page` between the comments `<!-- name -->` and `<!-- /name -->`."""
    before, start, rest = page.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not start or not end:
        raise SystemExit(f"{page} has no place marked {name}")
    page.write_text(f"{before}{start}\n{text.strip()}\n\n{end}{after}")


def shown(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def measured_in_turn(cases: Callable[[ModuleType], dict[str, float]], file: str) -> dict[str, dict[str, float]]:
    """Medians by package, corten's and PyTorch's where it is installed, of what `cases(module)` returns by case.

    Reads the program's arguments. In a child it prints what that measured, and ends the process.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="processes per framework (%(default)s)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(cases(importlib.import_module(options.child))))
        raise SystemExit
    refuse_debug_build()
    modules = ["corten"] + (["torch"] if importlib.util.find_spec("torch") else [])
    print(conditions())
    results: dict[str, list[dict[str, float]]] = {m: [] for m in modules}
    for module, (measured,) in rounds(children(file, modules), options.rounds):
        results[module].append(measured)
    return {m: medians(measured) for m, measured in results.items()}


def main(cases: Callable[[ModuleType], dict[str, float]], file: str, targets: dict[str, tuple[float, str]]) -> None:
    """Runs `cases(module)`, which returns seconds by case, on corten and PyTorch in turn; prints medians and ratios.

    `targets` holds, for some cases, the bound and what it bounds: "seconds" or the "ratio" to PyTorch.
    """
    report(measured_in_turn(cases, file), targets)


def report(results: dict[str, dict[str, float]], targets: dict[str, tuple[float, str]]) -> None:
    rows = []
    for case, mine in results["corten"].items():
        other = results["torch"][case] if "torch" in results else None
        ratio = None if other is None else mine / other
        cells = ["-", "-"] if other is None else [shown(other), f"{ratio:.2f}"]
        rows.append([case, shown(mine), *cells, verdict(targets.get(case), mine, ratio)])
    print(table(["case", "corten", "torch", "corten/torch", "target"], rows))


def verdict(target: tuple[float, str] | None, value: float, ratio: float | None) -> str:
    if target is None:
        return ""
    bound, kind = target
    measured = value if kind == "seconds" else ratio
    text = f"at most {shown(bound) if kind == 'seconds' else bound}"
    if measured is None:
        return text
    return f"{text}: {'met' if measured <= bound else 'MISSED'}"
