"""Utilities: data loading, checkpointing, hook handles, and the parts of the file format."""

import importlib

_SUBMODULES = ("checkpoint", "data", "hooks", "serialization")

__all__ = list(_SUBMODULES)


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    from .._missing import missing

    raise missing(__name__, name)
