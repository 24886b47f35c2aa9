"""corten beside PyTorch on the CPU: the same program on both, one process each, in turn, several rounds.

A call ends when its results are there; a round's time is the median of its calls, and the time that is shown is the
median of the rounds. Ratios are PyTorch's time over corten's: above 1, corten is faster.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import sys
from pathlib import Path
from types import ModuleType

from cpu_cases import PRODUCTS, SCALES, Case, cases
from harness import (
    ROUNDS,
    conditions,
    medians,
    refuse_busy_machine,
    refuse_debug_build,
    rounds,
    seconds_within,
    shown,
    tables,
    write_between_markers,
)

BUSY = 0.2  # load above which figures are not written down
HEAD = ["case", "corten", "PyTorch", "PyTorch's time / corten's"]


def finished(module: ModuleType, step):
    """A call of the case that ends when its results are computed."""
    if module.__name__ != "corten":
        return step

    def call():
        result = step()
        module._core.flush()
        return result

    return call


def run_cases(module: ModuleType, options: argparse.Namespace) -> None:
    """One round of a side: a line of JSON for each case."""
    module.manual_seed(0)
    for case in chosen(options):
        call = finished(module, case.build(module))
        call()
        times = seconds_within(call, options.seconds)
        print(json.dumps({"group": case.group, "case": case.name, "seconds": statistics.median(times)}), flush=True)


def chosen(options: argparse.Namespace) -> list[Case]:
    wanted = [text for text in options.cases.split(",") if text]
    return [c for c in cases(options.scale) if not wanted or any(text in f"{c.group} {c.name}" for text in wanted)]


def report(ours: dict[str, float], theirs: dict[str, float], listed: list[Case]) -> str:
    rows, ratios, products = [], [], []
    for case in listed:
        key = f"{case.group}: {case.name}"
        ratio = theirs[key] / ours[key]
        rows.append((case.group, [case.name, shown(ours[key]), shown(theirs[key]), f"{ratio:.2f}"]))
        ratios.append(ratio)
        if case.group in PRODUCTS:
            products.append(ratio)
    means = f"Geometric mean of {len(ratios)} cases: {statistics.geometric_mean(ratios):.2f}"
    if products:
        means += f"; of products, convolutions and attention: {statistics.geometric_mean(products):.2f}"
    return f"{tables(HEAD, rows)}\n\n{means}."


def about(options: argparse.Namespace) -> str:
    import corten

    torch = importlib.import_module("torch")
    threads = f"{torch.get_num_threads()} threads in PyTorch"
    return (
        f"corten {corten.__version__} and PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}; "
        f"{conditions()}, {threads}; medians of {options.rounds} rounds."
    )


def parse_arguments(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cases", default="", help="only cases with one of these comma-separated texts in group or name")
    add("--rounds", type=int, default=ROUNDS, help="processes of each side (%(default)s)")
    add("--seconds", type=float, default=0.3, help="of a case in a round, at least three calls (%(default)s)")
    add("--scale", choices=SCALES, default="full", help="tiny sizes show that all runs (%(default)s)")
    add("--list", action="store_true", help="name the cases and stop")
    add("--dry-run", action="store_true", help="measure on a busy machine too")
    add("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    add("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write and (options.dry_run or options.scale != "full" or options.cases):
        parser.error("only complete runs at full scale on a machine at rest are written down")
    return options


def main() -> None:
    options = parse_arguments()
    if options.child:
        run_cases(importlib.import_module(options.child), options)
        return
    listed = chosen(options)
    if options.list:
        print("\n".join(f"{case.group}: {case.name}" for case in listed))
        return
    refuse_debug_build()
    if not options.dry_run:
        refuse_busy_machine(BUSY)
    if importlib.util.find_spec("torch") is None:
        raise SystemExit("PyTorch is not installed: there is nothing to compare with")
    head = about(options)
    print(head)
    same = ["--cases", options.cases, "--seconds", str(options.seconds), "--scale", options.scale]
    program = [sys.executable, str(Path(__file__).resolve())]
    commands = {module: [*program, "--child", module, *same] for module in ("torch", "corten")}
    results: dict[str, list[dict[str, float]]] = {module: [] for module in commands}
    for module, lines in rounds(commands, options.rounds):
        results[module].append({f"{line['group']}: {line['case']}": line["seconds"] for line in lines})
    text = report(medians(results["corten"]), medians(results["torch"]), listed)
    print(f"\n{text}")
    if options.write:
        write_between_markers("cpu", f"{head}\n\n{text}")


if __name__ == "__main__":
    main()
