"""Runs PyTorch's own sample inputs on PyTorch and corten: operators, modules and optimizers for which both agree.

What has run is kept in out/parity and not run again, so a run that was cut off goes on; --again repeats what was wrong.
PyTorch has to be installed, with expecttest, hypothesis and scipy, which its testing modules import.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from oracle import pool, worker

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"), help="where corten computes")
    parser.add_argument("--suite", action="append", choices=worker.SUITES, help="this suite only; may be repeated")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="items of this name, or pattern such as 'linalg.*'"
    )
    parser.add_argument("--dtypes", help="these dtypes only, with commas; all that an item supports otherwise")
    parser.add_argument("--again", action="store_true", help="repeat what was wrong")
    parser.add_argument("--fresh", action="store_true", help="repeat everything that is chosen")
    parser.add_argument("--list", action="store_true", help="show what is known and run nothing")
    parser.add_argument("--seconds", type=float, default=120, help="time limit of an item in one dtype")
    parser.add_argument("--minutes", type=float, default=0, help="start nothing after this time")
    parser.add_argument("--results", type=Path, default=ROOT / "out" / "parity", help="where results are kept")
    parser.add_argument("--page", action="store_true", help="write the summary into docs/coverage.md")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Suite, key and dtype of what is to be looked at."""
    dtypes = options.dtypes.split(",") if options.dtypes else (["float32"] if options.device == "gpu" else None)
    found = []
    for name in options.suite or worker.SUITES:
        suite = worker.suite(name)
        for key in suite.entries():
            plain = key.split(".")[-1]
            if options.only and not any(fnmatch.fnmatch(n, p) for n in (key, plain) for p in options.only):
                continue
            found += [(name, key, dtype) for dtype in suite.dtypes_of(key) if dtypes is None or dtype in dtypes]
    return found


def run(options: argparse.Namespace, results: pool.Results, items: list[tuple[str, str, str]]) -> None:
    """Runs what is not known, one item after the other."""
    process, start = pool.Worker(options.seconds), time.monotonic()
    for position, (suite, key, dtype) in enumerate(items, 1):
        known = results.of(suite, key).get(dtype)
        if known and not options.fresh and not (options.again and known["status"] == "wrong"):
            continue
        if options.minutes and time.monotonic() - start > 60 * options.minutes:
            print(f"stopped after {options.minutes:g} minutes; call again to go on")
            break
        outcome = process.run([suite, key, dtype, options.device])
        results.put(suite, key, dtype, outcome)
        print(
            f"{position}/{len(items)} {suite} {key} {dtype}: {outcome['status']} {outcome.get('error', '')}", flush=True
        )
    process.stop()


def main() -> None:
    options = arguments()
    if options.serve:
        worker.serve()
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    results = pool.Results(options.results, options.device)
    worker.suite("operators")  # says what is not installed
    from oracle import report

    items = chosen(options)
    if not options.list:
        run(options, results, items)
    print(report.text(results, options.device, tuple(options.dtypes.split(",")) if options.dtypes else None))
    if options.page:
        import coverage

        coverage.PAGE.write_text(coverage.page(report.page(options.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
