"""corten.nn: the parts of networks, their parameters, losses and initialisers."""

from . import functional, init, modules, parameter, utils
from .modules import *  # noqa: F403  (modules/__init__.py lists the names)
from .modules import __all__ as _module_names
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    *_module_names,
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "modules",
    "parameter",
    "utils",
]


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
