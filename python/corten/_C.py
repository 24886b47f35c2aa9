"""The few names of PyTorch's compiled module that packages in Python call, with what is true of corten."""

from . import _core
from ._core import Generator, Tensor, device, dtype, layout, memory_format
from .overrides import DisableTorchFunction, DisableTorchFunctionSubclass, _disabled_torch_function_impl

__all__ = [
    "DisableTorchFunction",
    "DisableTorchFunctionSubclass",
    "Generator",
    "Tensor",
    "TensorBase",
    "_disabled_torch_function_impl",
    "device",
    "dtype",
    "layout",
    "memory_format",
]

# Where names live that PyTorch's module has and the package too.
_HOMES = ("_control", "_counters", "_library.", "nn._views", "utils.")
TensorBase = _TensorBase = Tensor
_TensorMeta = type(Tensor)
has_mkl = has_cuda = has_mps = has_xpu = _has_cuda = _has_mps = False


def _log_api_usage_once(event):
    """Nothing: usage is not counted."""


def _get_tracing_state():
    """None: no code is traced."""


def _is_tracing():
    """False: no code is traced."""
    return False


def _get_default_device():
    """The kind of device that tensors are made on."""
    return _core.get_default_device().type


def _jit_try_infer_type(obj):
    """The type that scripts give a value, as an `InferredType`."""
    from ._library.classes import infer_type

    return infer_type(obj)


def _are_functorch_transforms_active():
    """Whether a function runs for `vmap`, whose tensors have no values of their own."""
    from .func._vmap.batched import active

    return bool(active.levels)


def _get_privateuse1_backend_name():
    """The name of the device that others may give PyTorch, which nobody has."""
    return "privateuseone"


def _cuda_getDeviceCount():
    """The number of GPUs."""
    return _core.gpu_count()


def _logging_set_logger(logger):
    """Makes a logger the one that values are added to; returns the one before."""
    from ._counters import set_logger

    return set_logger(logger)


class _Part:
    """A part of the compiled module, with functions that the code of graphs names: ``_linalg.linalg_norm``."""

    def __init__(self, name):
        self.__name__ = f"corten._C.{name}"
        self._family = name[1:]

    def __getattr__(self, name):
        if name == "_parse_to":
            from .nn.modules.module import parse_to

            # `Module.to`, which packages write anew, takes its arguments apart with it.
            return lambda *args, **kwargs: parse_to(args, kwargs)
        import importlib

        if self._family == "nn":
            home, name = "corten.nn.functional", {"log_sigmoid": "logsigmoid"}.get(name, name)
        else:
            home, name = f"corten.{self._family}", name.removeprefix(f"{self._family}_")
        return getattr(importlib.import_module(home), name)


def __getattr__(name):
    if name == "LoggerBase":
        from ._counters import LoggerBase

        return LoggerBase
    if name in ("_nn", "_fft", "_linalg", "_special"):
        found = globals()[name] = _Part(name)
        return found
    if name == "_LinAlgError":
        from ._composites.factors import _LinAlgError

        return _LinAlgError
    if name == "Size":
        from . import Size

        return Size
    from . import _LAZY

    if _LAZY.get(name, "").startswith(_HOMES):
        import importlib

        found = globals()[name] = getattr(importlib.import_module(f"corten.{_LAZY[name]}"), name)
        return found
    from ._missing import missing

    raise missing(__name__, name)
