"""The names of ``torch.jit`` as PyTorch itself has them with scripting switched off (``PYTORCH_JIT=0``).

Programs are fused while they run, so nothing has to be compiled: what is scripted or traced is returned as it is. What
would need the code apart from Python, such as saving it, raises NotImplementedError.
"""

import warnings
from typing import Final

from .._control import Future, TracerWarning, fork, wait
from .._control import JITException as Error

__all__ = [
    "Error",
    "Final",
    "Future",
    "TracerWarning",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "trace",
    "trace_module",
    "unused",
    "wait",
]

_isinstance = isinstance
_told: set = set()


def _tell(name):
    if name not in _told:
        _told.add(name)
        warnings.warn(
            f"torch.jit.{name} returns what it is given: programs are fused while they run, without being compiled",
            stacklevel=3,
        )


def script(obj, optimize=None, _frames_up=0, _rcb=None, example_inputs=None):
    """Returns ``obj``, and warns once; of a list or dict, a `ScriptList` or `ScriptDict` with its elements.

    Raises:
        Error: the elements of a list or dict have no type in common.
    """
    if type(obj) in (list, dict):
        from .._library.containers import ScriptDict, ScriptList

        return (ScriptList if _isinstance(obj, list) else ScriptDict)(obj)
    _tell("script")
    if _isinstance(obj, type):
        from .._library.classes import register

        register(obj, is_interface=False)
    return obj


def trace(func, example_inputs=None, *args, **kwargs):
    """Returns ``func``; warns once."""
    _tell("trace")
    return func


def trace_module(mod, inputs, *args, **kwargs):
    """Returns ``mod``; warns once."""
    _tell("trace_module")
    return mod


def freeze(mod, preserved_attrs=None, optimize_numerics=True):
    """Returns ``mod``."""
    return mod


def optimize_for_inference(mod, other_methods=None):
    """Returns ``mod``."""
    return mod


def script_if_tracing(fn):
    """Returns ``fn``."""
    return fn


def script_method(fn):
    """Returns ``fn``."""
    return fn


def ignore(drop=False, **kwargs):
    """A decorator that returns its function; also ``@ignore`` without parentheses."""
    return drop if callable(drop) else lambda fn: fn


def unused(fn):
    """Returns ``fn``."""
    return fn


def export(fn):
    """Returns ``fn``."""
    return fn


def _overload(func):
    """Returns the declaration of types: Python calls the function that is defined after it."""
    return func


_overload_method = _overload


def interface(obj):
    """Returns the class, of which `InterfaceType` then makes types."""
    from .._library.classes import register

    register(obj, is_interface=True)
    return obj


def annotate(the_type, the_value):
    """Returns ``the_value``."""
    return the_value


def isinstance(obj, target_type):
    """Python's `isinstance`, of what stands behind a generic type such as ``list[int]``."""
    from typing import get_origin

    return _isinstance(obj, get_origin(target_type) or target_type)


def is_scripting():
    """False: no code is compiled."""
    return False


def is_tracing():
    """False: no code is traced."""
    return False


def enable_onednn_fusion(enabled):
    """Nothing: there is one way to fuse."""


def onednn_fusion_enabled():
    """False."""
    return False


def save(m, f, _extra_files=None):
    """Raises NotImplementedError: `corten.save` keeps weights."""
    raise NotImplementedError("torch.jit.save is not there: corten.save keeps weights; the class stays in Python")


def load(f, map_location=None, _extra_files=None, _restore_shapes=False):
    """Raises NotImplementedError: a TorchScript archive holds code for another interpreter."""
    raise NotImplementedError("torch.jit.load is not there: corten.load reads weights; the class stays in Python")


class ScriptFunction:
    """The class of scripted functions, of which there are none."""


def __getattr__(name):
    if name in ("ScriptModule", "RecursiveScriptModule"):
        from ..nn import Module

        # As in PyTorch with scripting switched off: a module like any other.
        attributes = {"__module__": __name__, "__doc__": "A module whose class was written for TorchScript."}
        found = globals()[name] = type(name, (Module,), attributes)
        return found
    if name == "_logging":
        from .. import _counters

        return _counters
    from .._missing import missing

    raise missing(__name__, name)
