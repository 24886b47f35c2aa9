"""Runs the programs of `tests/programs` in processes of their own, on corten or on PyTorch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import corten

FOLDER = Path(__file__).parent / "programs"
# By name: what the metric has to reach, from above where it is an accuracy, a ratio in decibels or a length of balance,
# and the packages that it needs.
UP, DOWN = "at least", "at most"
PROGRAMS = {
    "actor_critic": (UP, 60, ["gymnasium"]),
    "dcgan": (DOWN, 0.42, ["sklearn"]),
    "deep_q_network": (UP, 60, ["gymnasium"]),
    "digits_cnn": (UP, 0.95, ["sklearn"]),
    "lstm_language_model": (DOWN, 11, []),
    "proximal_policy": (UP, 100, ["gymnasium"]),
    "residual_network": (UP, 0.94, ["sklearn"]),
    "siamese_network": (UP, 0.9, ["sklearn"]),
    "super_resolution": (UP, 21, ["sklearn", "PIL"]),
    "time_series_lstm": (DOWN, 0.25, []),
    "transformer_language_model": (DOWN, 23, []),
    "variational_autoencoder": (DOWN, 27, ["sklearn"]),
    "vision_transformer": (UP, 0.9, ["sklearn"]),
}


def lacking(name: str) -> list[str]:
    """The packages that a program needs and that are not installed."""
    return [package for package in PROGRAMS[name][2] if importlib.util.find_spec(package) is None]


def learned(name: str, metric: float) -> bool:
    direction, limit, _ = PROGRAMS[name]
    return metric >= limit if direction == UP else metric <= limit


def run(name: str, *options: str, package: str = "corten") -> dict:
    """What a program tells; empty for one that only writes its file."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    packages = str(Path(corten.__file__).resolve().parent.parent)
    if package == "corten":
        rest = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([packages, *([rest] if rest else [])])
    prefix = ["-m", "corten", "run"] if package == "corten" else []
    command = [sys.executable, *prefix, str(FOLDER / f"{name}.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout) if done.stdout else {}
