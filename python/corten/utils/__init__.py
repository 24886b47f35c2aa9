"""Utilities: data loading, checkpointing, hook handles, and the parts of the file format."""

import importlib

_SUBMODULES = (
    "_pytree",
    "benchmark",
    "checkpoint",
    "collect_env",
    "data",
    "deterministic",
    "dlpack",
    "flop_counter",
    "hooks",
    "model_zoo",
    "serialization",
    "tensorboard",
    "throughput_benchmark",
    "weak",
)

__all__ = [name for name in _SUBMODULES if not name.startswith("_")]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "ThroughputBenchmark":
        from .throughput_benchmark import ThroughputBenchmark

        return ThroughputBenchmark
    from .._missing import missing

    raise missing(__name__, name)
