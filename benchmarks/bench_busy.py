"""What is left of the speed beside another process that keeps one processor busy; at least half of it should be."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

from harness import measured_in_turn, seconds_within, shown, table
from sides import finished

LEAST = 0.5  # of the speed without the other process
TURNS = 3
SPINS = "print('ready', flush=True)\nwhile True: pass"
SMALL = 1000


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """Another process computes on one processor meanwhile."""
    with subprocess.Popen([sys.executable, "-c", SPINS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def calls(m: ModuleType) -> dict[str, Callable[[], object]]:
    """Work of every kind: one that all threads share for long, one for a moment each, and one for a single thread."""
    a, b = m.randn(1024, 1024), m.randn(1024, 1024)
    x, y = m.randn(1 << 21), m.randn(1 << 21)
    small = m.randn(64)

    def chain():
        return ((x * 2 + y).tanh() * x - y).sum()

    def many():
        z = small
        for _ in range(SMALL):
            z = z * 0.5 + small
        return z

    work = {"product of 1024 x 1024": lambda: a @ b, "elementwise chain": chain, "1,000 small operators": many}
    return {name: finished(m, call) for name, call in work.items()}


def cases(m: ModuleType, budget: float = 0.3) -> dict[str, float]:
    """The share of its speed that each kind of work keeps, and its seconds alone. Both are measured in turn."""
    found: dict[str, float] = {}
    for name, call in calls(m).items():
        call()
        alone, beside = [], []
        for _ in range(TURNS):
            alone += seconds_within(call, budget)
            with busy_process():
                beside += seconds_within(call, budget)
        found[f"{name}, alone"] = statistics.median(alone)
        found[name] = statistics.median(alone) / statistics.median(beside)
    return found


def report(results: dict[str, dict[str, float]]) -> str:
    names = [name for name in results["corten"] if not name.endswith(", alone")]
    head = ["work"]
    for module in results:
        head += [f"{module} alone", f"{module} keeps"]
    rows = []
    for name in names:
        cells = [cell for kept in results.values() for cell in (shown(kept[f"{name}, alone"]), f"{kept[name]:.2f}")]
        verdict = "met" if results["corten"][name] >= LEAST else "MISSED"
        rows.append([name, *cells, f"at least {LEAST}: {verdict}"])
    return table([*head, "target"], rows)


def main() -> None:
    print(report(measured_in_turn(cases, __file__)))


if __name__ == "__main__":
    main()
