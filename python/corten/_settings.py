"""Settings of the process that PyTorch's programs make: determinism, precision of products, warnings, threads."""

import warnings

from . import _core, _spoken

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "init_num_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_warn_always_enabled",
    "set_anomaly_enabled",
    "set_default_tensor_type",
    "set_deterministic_debug_mode",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_num_interop_threads",
    "set_warn_always",
    "use_deterministic_algorithms",
]

_state = {"deterministic": 0, "precision": "highest", "warn_always": False, "interop": 1}
# What `warn_once` has said.
_told: set = set()
_MODES = ("default", "warn", "error")
_PRECISIONS = ("highest", "high", "medium")


def _flag(name, argument, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name}(): argument '{argument}' (position 1) must be bool, not {type(value).__name__}")
    return value


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Notes that the program wants the same results from the same numbers.

    On the CPU results never depend on the number of threads. On a GPU sums into places that indices choose are added in
    no fixed order, whatever this says.

    Raises:
        TypeError: ``mode`` is not a bool.
    """
    _flag("use_deterministic_algorithms", "mode", mode)
    _state["deterministic"] = (1 if warn_only else 2) if mode else 0


def are_deterministic_algorithms_enabled():
    """Whether :func:`use_deterministic_algorithms` was asked for."""
    return _state["deterministic"] > 0


def is_deterministic_algorithms_warn_only_enabled():
    """Whether it was asked for with ``warn_only``."""
    return _state["deterministic"] == 1


def get_deterministic_debug_mode():
    """0 where determinism was not asked for, 1 with ``warn_only``, else 2."""
    return _state["deterministic"]


def set_deterministic_debug_mode(debug_mode):
    """As :func:`use_deterministic_algorithms`, by number or name: ``"default"``, ``"warn"`` or ``"error"``."""
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _MODES:
            raise RuntimeError(
                f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
            )
        debug_mode = _MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    _state["deterministic"] = int(debug_mode)


def set_float32_matmul_precision(precision):
    """Notes how precise float32 products must be. They are computed in float32 whatever is chosen.

    Args:
        precision: ``"highest"``, ``"high"`` or ``"medium"``; others are ignored with a warning.
    """
    if precision not in _PRECISIONS:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current setFloat32MatmulPrecision call has "
            "no effect.",
            stacklevel=2,
        )
        return
    _state["precision"] = precision


def get_float32_matmul_precision():
    """What :func:`set_float32_matmul_precision` was told, ``"highest"`` at first."""
    return _state["precision"]


def warn_once(text, stacklevel=2):
    """A `UserWarning` that comes once in a process, and every time where `set_warn_always` asks for it.

    Args:
        stacklevel: as for `warnings.warn`, counted from the caller.
    """
    if text in _told and not _state["warn_always"]:
        return
    warnings.warn(text, stacklevel=stacklevel + 1)
    _told.add(text)


def set_warn_always(mode, /):
    """Sets whether warnings that come once in a process come every time. Many come every time whatever this says;
    Python's own filters decide then."""
    _state["warn_always"] = _flag("set_warn_always", "mode", mode)


def is_warn_always_enabled():
    """What :func:`set_warn_always` was told, False at first."""
    return _state["warn_always"]


def set_flush_denormal(mode):
    """Whether it is as asked: numbers below the normal range are kept, and there is no way to flush them to zero."""
    return not _flag("set_flush_denormal", "mode", mode)


def get_num_interop_threads():
    """What :func:`set_num_interop_threads` was told, 1 at first."""
    return _state["interop"]


def set_num_interop_threads(num, /):
    """Notes the number: operators run one after the other, each on :func:`get_num_threads` threads.

    Raises:
        RuntimeError: for 0 and below.
    """
    if num <= 0:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    _state["interop"] = int(num)


def init_num_threads():
    """Does nothing: the pool of threads starts with its first work."""


def set_default_tensor_type(t, /):
    """Sets the default dtype, and the default device where the type is one of a GPU; warns once that it is deprecated.

    Args:
        t: a class such as ``corten.DoubleTensor``, or its name.

    Raises:
        TypeError: the type is not one of floating-point tensors.
    """
    from ._typed_tensors import find

    warn_once(
        f"{_spoken.name}.set_default_tensor_type() is deprecated, please use {_spoken.name}.set_default_dtype() and "
        f"{_spoken.name}.set_default_device() as alternatives."
    )
    kind = find(t)
    if not kind.dtype.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, not {kind.__name__}")
    _core.set_default_dtype(kind.dtype)
    _core.set_default_device("cuda" if kind.is_cuda else "cpu")


def set_anomaly_enabled(mode, check_nan=True):
    """Turns the detection of anomalies on or off, as ``autograd.set_detect_anomaly``."""
    _core.set_anomaly_mode(mode, check_nan)
