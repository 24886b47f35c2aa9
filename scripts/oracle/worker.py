"""The process in which items run: one request a line on its input, one result a line on its output."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

SUITES = ("operators", "modules", "optimizers")
# What PyTorch's testing modules import beside PyTorch.
NEEDED = ("torch", "expecttest", "hypothesis", "scipy")


def suite(name: str) -> Any:
    """The module that runs a suite.

    Raises:
        SystemExit: where PyTorch or what its testing modules import is not installed.
    """
    try:
        module = importlib.import_module(f"oracle.{name}")
        module.entries()
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error}: parity needs pip install {' '.join(NEEDED)}") from None
    return module


def serve() -> None:
    """Answers requests `[suite, key, dtype, device]` until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what operators print must not look like an answer
    import corten
    import torch

    torch.set_num_threads(1)
    corten.set_num_threads(1)
    for line in sys.stdin:
        name, key, dtype, device = json.loads(line)
        result = suite(name).run(key, dtype, device)
        answers.write(json.dumps(result) + "\n")
