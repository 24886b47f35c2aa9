"""What the benchmarks share: one program on corten and on PyTorch, in turn, several rounds, medians and their ratio.

A program is a Python file that imports no framework. Each round runs it in a fresh process per framework, with the
framework's module as its argument, so that neither disturbs the other's threads or memory.
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
from collections.abc import Callable
from pathlib import Path

ROUNDS = 5


def refuse_debug_build() -> None:
    import corten

    profile = corten._core.build_profile()
    if profile == "debug":
        raise SystemExit("benchmarks measure release builds; this is a debug build: `make dev` makes the other")


def seconds(function: Callable[[], object], repeat: int = 20) -> float:
    """The median time of a call, after one that warms up."""
    function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(cases: Callable[[object], dict[str, float]], file: str, targets: dict[str, tuple[float, str]]) -> None:
    """Runs `cases(module)`, which returns seconds by case, for both frameworks and prints medians and ratios.

    `targets` holds, for some cases, the bound and what it bounds: "seconds" or the "ratio" to PyTorch.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="processes per framework (%(default)s)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(cases(importlib.import_module(options.child))))
        return
    refuse_debug_build()
    modules = ["corten"] + (["torch"] if importlib.util.find_spec("torch") else [])
    load, version = os.getloadavg()[0], platform.python_version()
    print(f"{platform.machine()}, {os.cpu_count()} processors, load {load:.2f}, Python {version}")
    results: dict[str, list[dict[str, float]]] = {m: [] for m in modules}
    for _ in range(options.rounds):
        for module in modules:
            command = [sys.executable, str(Path(file).resolve()), "--child", module]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[module].append(json.loads(printed.splitlines()[-1]))
    report(results, targets)


def report(results: dict[str, list[dict[str, float]]], targets: dict[str, tuple[float, str]]) -> None:
    ours = results["corten"]
    theirs = results.get("torch", [])
    width = max(map(len, ours[0]))
    print(f"{'case':{width}}  {'corten':>11}  {'torch':>11}  {'corten/torch':>12}  target")
    for case in ours[0]:
        mine = statistics.median(r[case] for r in ours)
        line = f"{case:{width}}  {shown(mine):>11}"
        ratio = None
        if theirs:
            other = statistics.median(r[case] for r in theirs)
            ratio = mine / other
            line += f"  {shown(other):>11}  {ratio:12.2f}"
        else:
            line += f"  {'-':>11}  {'-':>12}"
        print(line + "  " + verdict(targets.get(case), mine, ratio))


def verdict(target: tuple[float, str] | None, value: float, ratio: float | None) -> str:
    if target is None:
        return ""
    bound, kind = target
    measured = value if kind == "seconds" else ratio
    text = f"at most {shown(bound) if kind == 'seconds' else bound}"
    if measured is None:
        return text
    return f"{text}: {'met' if measured <= bound else 'MISSED'}"


def shown(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
