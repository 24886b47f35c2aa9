"""Every program of examples/ in two steps at toy size, on the CPU and on a GPU, and in a minute with the slow tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import corten
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
RESULT = re.compile(r"RESULT (\w+) \w+=(-?\d+\.\d{4}|nan|-?inf) target=-?\d+(\.\d+)?")


def run(name: str, folder: Path, *options: str) -> list[str]:
    """What a program prints; its last lines are results, and it draws something."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--out", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 1 and "make data" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert RESULT.fullmatch(lines[-1]), lines[-1]
    assert all(RESULT.fullmatch(line) for line in lines if line.startswith("RESULT"))
    pictures = sorted(folder.glob("*.png"))
    assert pictures and all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in pictures)
    return lines


@pytest.mark.parametrize("name", PROGRAMS)
def test_smoke(name, tmp_path):
    run(name, tmp_path, "--smoke")


@pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")
@pytest.mark.parametrize("name", PROGRAMS)
def test_smoke_on_a_gpu(name, tmp_path):
    run(name, tmp_path, "--smoke", "--device", "gpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_quick(name, tmp_path):
    run(name, tmp_path, "--quick")


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_names_the_common_options(name):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in ("--device", "--seed", "--epochs", "--quick", "--smoke", "--out"):
        assert option in shown
