"""corten beside other packages on the CPU: the same program on each, one process each, in turn, several rounds.

    compare.py [SIDE ...]    corten, torch, torch.compile, jax, mlx or tinygrad; the last is compared with the others

A call ends when its results are there; a round's time is the median of its calls, and the time that is shown is the
median of the rounds. Ratios are the other's time over corten's: above 1, corten is faster. Each round measures what the
machine reaches as well, by a program in Rust.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import statistics
import subprocess
from types import ModuleType

import cpu_cases
import network_cases
from comparison import Comparison, load, missing, peak_request, report
from cpu_cases import SCALES, Case
from harness import (
    ROOT,
    ROUNDS,
    children,
    conditions,
    refuse_busy_machine,
    refuse_debug_build,
    rounds,
    seconds_within,
    write_between_markers,
)
from memory import peak_bytes
from sides import KNOWN, builder, title
from sides import load as load_side

BUSY = 0.2  # load above which figures are not written down
# The first call makes plans and an optimizer's state, with which what is compiled may be compiled anew.
WARM_UP = 2
CHART = ROOT / "docs" / "benchmarks_cpu.svg"
PEAKS = ["--release", "--quiet", "--manifest-path", str(ROOT / "Cargo.toml"), "-p", "corten-core", "--example", "peaks"]


def cases(scale: str = "full") -> list[Case]:
    return [*cpu_cases.cases(scale), *network_cases.cases(scale)]


def chosen(options: argparse.Namespace) -> list[Case]:
    wanted = [text for text in options.cases.split(",") if text]
    return [c for c in cases(options.scale) if not wanted or any(text in f"{c.group} {c.name}" for text in wanted)]


def run_cases(side: str, options: argparse.Namespace) -> None:
    """One round of a side: a line of JSON for each case that it has."""
    module = load_side(side, options.threads)
    for case in chosen(options):
        build = builder(side, case, options.scale)
        if build is None:
            continue
        line: dict = {"case": case.key}
        try:
            line |= measured(module, case, build, options.seconds)
        except NotImplementedError as error:
            if not case.compiled:
                raise
            line["skipped"] = str(error)
        print(json.dumps(line), flush=True)


def measured(module: ModuleType, case: Case, build, budget: float) -> dict[str, float]:
    if hasattr(module, "manual_seed"):
        module.manual_seed(0)
    call = build(module)
    if case.unit == "bytes":
        return {"value": call()}
    for _ in range(WARM_UP):
        call()
    found = {"value": statistics.median(seconds_within(call, budget)) / case.operators}
    if case.group == "training step":
        del call
        found["peak_bytes"] = peak_bytes(module, build)
    return found


def about(options: argparse.Namespace) -> list[str]:
    """Versions, threads and the machine; ends the program where a side's package is not there."""
    versions = []
    for side, (line,) in rounds(commands(options, "--version"), 1):
        versions.append(f"{title(side)} {line['version']}")
    lines = [
        f"{', '.join(versions)}, with {options.threads} threads each.",
        f"{conditions()}; medians of {options.rounds} rounds.",
    ]
    return [*lines, "Tiny sizes: the numbers mean nothing."] if options.scale == "tiny" else lines


def tell_version(side: str, options: argparse.Namespace) -> None:
    module = load_side(side, options.threads)
    version = getattr(module, "__version__", None) or importlib.metadata.version(module.__name__)
    print(json.dumps({"version": version}))


def commands(options: argparse.Namespace, *more: str) -> dict[str, list[str]]:
    same = [f"--{name}={getattr(options, name)}" for name in ("cases", "seconds", "scale", "threads")]
    found = children(__file__, options.sides, *same, *more)
    return {side: [options.interpreters.get(side, command[0]), *command[1:]] for side, command in found.items()}


def measure(options: argparse.Namespace, listed: list[Case]) -> Comparison:
    found = Comparison(options.sides, options.threads, about(options), options.scale, options.dry_run)
    print("\n".join(found.about))
    programs = commands(options)
    requests = [] if options.scale == "tiny" else [peak_request(case, options.threads) for case in listed]
    wanted = [request for request in dict.fromkeys(requests) if request]
    if wanted:
        subprocess.run(["cargo", "build", *PEAKS], check=True)
        programs["peaks"] = ["cargo", "run", *PEAKS, "--", *wanted]
    for side, lines in rounds(programs, options.rounds):
        found.add(side, lines)
        if options.save:
            found.save(options.save)
    for side, reasons in found.skipped.items():
        for key, reason in reasons.items():
            print(f"skipped on {title(side)}: {key}: {reason}")
    return found


def write(found: Comparison, listed: list[Case]) -> None:
    from chart import draw

    if found.dry or found.scale != "full":
        raise SystemExit("only runs at full scale on a machine at rest are written down")
    lacking = missing(found, listed)
    if lacking:
        raise SystemExit(f"nothing was measured of {lacking}")
    draw(found, listed, CHART)
    picture = f"![Ratios of time, a bar for each case]({CHART.name})"
    write_between_markers("cpu", "\n\n".join(["\n".join(found.about), picture, report(found, listed)]))


def parse_arguments(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("sides", nargs="*", metavar="SIDE", help="of " + ", ".join(KNOWN) + " (torch corten)")
    add("--cases", default="", help="only cases with one of these comma-separated texts in group or name")
    add("--rounds", type=int, default=ROUNDS, help="processes of each side (%(default)s)")
    add("--seconds", type=float, default=0.3, help="of a case in a round, at least three calls (%(default)s)")
    add("--scale", choices=SCALES, default="full", help="tiny sizes show that all runs (%(default)s)")
    add("--threads", type=int, default=0, help="of each side (as many as corten takes)")
    add("--python", action="append", default=[], metavar="SIDE=PROGRAM", help="the interpreter that has the package")
    add("--list", action="store_true", help="name the cases and stop")
    add("--dry-run", action="store_true", help="measure on a busy machine too")
    add("--save", metavar="FILE", help="write every measured time there, after each process")
    add("--from", dest="files", default="", help="tables of these comma-separated files of --save, without measuring")
    add("--write", action="store_true", help="write the tables and the chart into docs/")
    add("--version", action="store_true", help=argparse.SUPPRESS)
    add("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.sides = options.sides or ["torch", "corten"]
    unknown = [side for side in options.sides if side not in KNOWN]
    if unknown:
        parser.error(f"no side is called {', '.join(unknown)}: there are {', '.join(KNOWN)}")
    options.interpreters = dict(text.partition("=")[::2] for text in options.python)
    if options.write and (options.dry_run or options.scale != "full" or options.cases):
        parser.error("only complete runs at full scale on a machine at rest are written down")
    return options


def main() -> None:
    options = parse_arguments()
    if options.child:
        (tell_version if options.version else run_cases)(options.child, options)
        return
    listed = chosen(options)
    if options.list:
        print("\n".join(case.key for case in listed))
        return
    if options.write:
        # Before hours of measuring: the chart needs matplotlib.
        importlib.import_module("chart")
    if options.files:
        found = load(options.files.split(","))
        options.scale = found.scale
        listed = chosen(options)
    else:
        refuse_debug_build()
        if not options.dry_run:
            refuse_busy_machine(BUSY)
        options.threads = options.threads or importlib.import_module("corten").get_num_threads()
        found = measure(options, listed)
    text = report(found, listed)
    print(f"\n{text}")
    found.check_peaks(listed)
    if options.write:
        write(found, listed)


if __name__ == "__main__":
    main()
