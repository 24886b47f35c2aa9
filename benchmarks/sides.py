"""The packages that `compare.py` compares: which cases each has, how it builds one, and how many threads it gets."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType

import other_packages
from cpu_cases import Case

TITLES = {"torch": "PyTorch"}
KNOWN = ("corten", "torch", "torch.compile", *other_packages.PACKAGES)
# The groups of which torch.compile is given the whole call; steps of training call `compile` themselves.
WHOLE_CALLS = ("rows", "elementwise", "inference")
# What keeps packages to the CPU and to themselves: PyTorch's profiler tells of its start and end on the terminal.
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "DEV": "CPU", "KINETO_LOG_LEVEL": "99"}


def title(side: str) -> str:
    return TITLES.get(side, side)


def load(side: str, threads: int) -> ModuleType:
    """The side's module, which computes with so many threads."""
    if side in other_packages.PACKAGES and hasattr(os, "sched_setaffinity"):
        # These start a thread for each processor that the process may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ.update(ENVIRONMENT)
    name = side.removesuffix(".compile")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise SystemExit(f"{name} is not installed: `pip install {name}`, or --python {side}=PROGRAM") from None
    if hasattr(module, "set_num_threads"):
        module.set_num_threads(threads)
    return module


def builder(side: str, case: Case, scale: str) -> Callable[[ModuleType], Callable[[], object]] | None:
    """What builds a call that ends when its results are computed; None where the side does not have the case."""
    if side in other_packages.PACKAGES:
        return case.build if case.key == "process: import" else other_packages.cases(side, scale).get(case.key)
    if side == "torch":
        return None if case.compiled else case.build
    if side == "torch.compile":
        if case.compiled:
            return case.build
        return (lambda m: m.compile(case.build(m))) if case.group in WHOLE_CALLS else None
    return lambda m: finished(m, case.build(m))


def finished(m: ModuleType, step: Callable[[], object]) -> Callable[[], object]:
    def call():
        result = step()
        m.cpu.synchronize()
        return result

    return call
