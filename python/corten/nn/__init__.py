"""corten.nn: the parts of networks, their parameters, losses and initialisers."""

import importlib

from . import attention, functional, init, modules, parallel, parameter, utils
from .modules import *  # noqa: F403  (modules/__init__.py lists the names)
from .modules import __all__ as _module_names
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    *_module_names,
    "Buffer",
    "DataParallel",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "attention",
    "functional",
    "init",
    "modules",
    "parallel",
    "parameter",
    "utils",
]


def __getattr__(name):
    if name in ("common_types", "grad"):
        return importlib.import_module(f"{__name__}.{name}")
    from .._missing import missing

    raise missing(__name__, name)
