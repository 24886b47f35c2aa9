"""Checks a wheel: its size, its tag, and that it installs into an empty environment with numpy alone and runs.

On Linux auditwheel reads the symbols that the wheel binds to, since a tag can promise more than the file keeps.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZE_MAX = 20_000_000  # bytes
GLIBC_MAX = (2, 28)

# Trains a line for a few steps: recording, gradients, an update and a read.
PROGRAM = """
import corten, sys
assert not corten.__file__.startswith(sys.argv[1]), "the checkout's package was imported, not the wheel's"
corten.manual_seed(0)
x = corten.linspace(-1, 1, 32).unsqueeze(1)
model = corten.nn.Linear(1, 1)
optimizer = corten.optim.SGD(model.parameters(), lr=0.5)
for _ in range(100):
    optimizer.zero_grad()
    loss = ((model(x) - (3 * x + 1)) ** 2).mean()
    loss.backward()
    optimizer.step()
assert loss.item() < 1e-6, loss
print("corten", corten.__version__, "runs from", corten.__file__)
"""


def check_size(wheel: Path) -> None:
    size = wheel.stat().st_size
    if size > SIZE_MAX:
        raise SystemExit(f"{wheel.name} takes {size:,} bytes, more than {SIZE_MAX:,}")
    print(f"{wheel.name}: {size:,} bytes")


def check_tag(wheel: Path) -> None:
    """The name promises the stable interface and an old enough glibc, and the symbols inside keep the promise."""
    if "-cp311-abi3-" not in wheel.name:
        raise SystemExit(f"{wheel.name} is not tagged cp311-abi3")
    if sys.platform != "linux":
        return
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    verdict = re.search(r'platform tag: "([^"]*)"', " ".join(report.split()))
    for source, text in (("its name", wheel.name), ("auditwheel", verdict[1] if verdict else "")):
        found = re.search(r"manylinux_(\d+)_(\d+)", text)
        if not found:
            raise SystemExit(f"{wheel.name}: {source} gives no manylinux tag\n{report}")
        if (int(found[1]), int(found[2])) > GLIBC_MAX:
            raise SystemExit(f"{wheel.name}: {source} says {found[0]}, 2_28 or older is wanted\n{report}")
        print(f"{wheel.name}: {source} says {found[0]}")


def install(wheel: Path, environment: Path, extras: list[str]) -> Path:
    """Installs the wheel into a new environment and returns that environment's Python."""
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = f"{wheel.resolve()}[{','.join(extras)}]" if extras else str(wheel.resolve())
    pip(python, wanted)
    return python


def pip(python: Path, *wanted: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], check=True)


def check_runs(wheel: Path, folder: Path) -> None:
    """With numpy alone, from a folder that is not the checkout."""
    python = install(wheel, folder / "bare", [])
    subprocess.run([python, "-c", PROGRAM, str(ROOT)], cwd=folder, check=True)


def run_suites(wheel: Path, folder: Path) -> None:
    python = install(wheel, folder / "suites", ["examples", "test", "vision"])
    if torch := os.environ.get("CORTEN_TORCH_WHEEL"):
        pip(python, torch)
    subprocess.run([python, "-m", "pytest"], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--suites", action="store_true", help="run the test suites against the wheel as well")
    args = parser.parse_args()
    check_size(args.wheel)
    check_tag(args.wheel)
    with tempfile.TemporaryDirectory() as folder:
        check_runs(args.wheel, Path(folder))
        if args.suites:
            run_suites(args.wheel, Path(folder))


if __name__ == "__main__":
    main()
