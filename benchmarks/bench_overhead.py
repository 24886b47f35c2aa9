"""What a program pays per operator, apart from arithmetic: recording, reading, small writes."""

from __future__ import annotations

import subprocess
import sys
import time

from harness import main, seconds

OPERATORS = 1000
ROWS = 10_000


def per_operator(run, loop) -> float:
    """Seconds of one operator in a loop of OPERATORS, without the loop itself."""
    return max(seconds(run, 50) - seconds(loop, 50), 0.0) / OPERATORS


def import_time(name: str) -> float:
    """Seconds to import the module in a fresh interpreter, over a bare one; the best of several."""

    def best(code: str) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    return best(f"import {name}") - best("pass")


FIRST_RESULT = "import {0} as m; x = m.randn(64, 64, device='{1}'); (x @ x).sum().item()"


def first_result(m) -> float:
    """Seconds of a process that computes a number, on the GPU where there is one; the best of several."""
    code = FIRST_RESULT.format(m.__name__, "cuda" if m.cuda.is_available() else "cpu")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def cases(m) -> dict[str, float]:
    settle = (lambda: m._core.flush()) if hasattr(m, "_core") else (lambda: None)
    x, y = m.ones(8), m.ones(8)
    tracked = m.ones(8).requires_grad_()
    many = range(OPERATORS)

    def loop():
        for _ in many:
            pass

    def recorded(operator):
        """Times the recording alone: what was recorded is computed, or found dead, between the repetitions."""
        times = []
        for _ in range(50):
            start = time.perf_counter()
            operator()
            times.append(time.perf_counter() - start)
            settle()
        times.sort()
        return max(times[len(times) // 2] - seconds(loop, 50), 0.0) / OPERATORS

    def add():
        for _ in many:
            x + y

    def add_number():
        for _ in many:
            x + 1.5

    def add_tracked():
        for _ in many:
            tracked + y

    def function():
        f = m.sigmoid
        for _ in many:
            f(x)

    def views():
        for _ in many:
            x[2:4]

    def read():
        for _ in many:
            x.sum().item()

    def dependent():
        z = x
        for _ in range(200):
            z = z + y
        z.tolist()

    table, row = m.zeros(ROWS, 1000), m.ones(1000)

    def write_rows():
        for i in range(ROWS):
            table[i] = row
        table[-1, -1].item()

    return {
        "record x + y": recorded(add),
        "record x + 1.5": recorded(add_number),
        "record x + y with gradient": recorded(add_tracked),
        "record sigmoid(x)": recorded(function),
        "view x[2:4]": recorded(views),
        "x.sum().item()": per_operator(read, loop),
        "200 dependent additions, read": seconds(dependent, 200),
        "10,000 rows written one by one": seconds(write_rows, 5),
        "import": import_time(m.__name__),
        "first result of a process": first_result(m),
    }


TARGETS = {
    "record x + y": (0.35e-6, "seconds"),
    "200 dependent additions, read": (0.15e-3, "seconds"),
    "10,000 rows written one by one": (2.0, "ratio"),
    "import": (60e-3, "seconds"),
    "first result of a process": (1.0, "seconds"),
}

if __name__ == "__main__":
    main(cases, __file__, TARGETS)
