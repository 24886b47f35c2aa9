"""Switches of a whole process that PyTorch's programs set: kept, and honest about what they change."""

import warnings

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_warn_always_enabled",
    "set_deterministic_debug_mode",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_num_interop_threads",
    "set_warn_always",
    "use_deterministic_algorithms",
]

_settings = {"deterministic": False, "warn_only": False, "precision": "highest", "interop": 1, "warn_always": False}
_MODES = ("default", "warn", "error")
_PRECISIONS = ("highest", "high", "medium")


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Keeps the switch: results are the same from run to run and for any number of threads, with it and without."""
    _settings.update(deterministic=bool(mode), warn_only=bool(warn_only))


def are_deterministic_algorithms_enabled():
    """What `use_deterministic_algorithms` set."""
    return _settings["deterministic"]


def is_deterministic_algorithms_warn_only_enabled():
    """What `use_deterministic_algorithms` set as ``warn_only``."""
    return _settings["warn_only"]


def set_deterministic_debug_mode(debug_mode):
    """As `use_deterministic_algorithms`, by ``"default"``, ``"warn"`` or ``"error"``, or 0, 1 or 2.

    Raises:
        TypeError, RuntimeError: for anything else.
    """
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    mode = _MODES.index(debug_mode) if debug_mode in _MODES else debug_mode
    if mode not in (0, 1, 2):
        raise RuntimeError(
            f"invalid value of debug_mode, expected one of 0, 1, 2 or {', '.join(_MODES)}, got {debug_mode}"
        )
    use_deterministic_algorithms(mode > 0, warn_only=mode == 1)


def get_deterministic_debug_mode():
    """0, 1 or 2, as `set_deterministic_debug_mode` takes it."""
    if not _settings["deterministic"]:
        return 0
    return 1 if _settings["warn_only"] else 2


def set_float32_matmul_precision(precision):
    """Keeps what is permitted: ``"highest"``, ``"high"`` or ``"medium"``. Products of float32 keep all their bits.

    Raises:
        RuntimeError: for anything else.
    """
    if precision not in _PRECISIONS:
        raise RuntimeError(f"precision must be one of {', '.join(_PRECISIONS)}, but got {precision!r}")
    _settings["precision"] = precision


def get_float32_matmul_precision():
    """What `set_float32_matmul_precision` set."""
    return _settings["precision"]


def set_num_interop_threads(n):
    """Keeps the number: operators do not run beside each other.

    Raises:
        RuntimeError: for numbers below 1.
    """
    if n < 1:
        raise RuntimeError("Expected positive number of threads")
    _settings["interop"] = int(n)


def get_num_interop_threads():
    """What `set_num_interop_threads` set."""
    return _settings["interop"]


def set_flush_denormal(mode):
    """Whether tiny numbers can be taken for zero as asked: False is what holds, True is refused with a False."""
    return not mode


def set_warn_always(b):
    """Whether warnings are told each time; those of corten follow Python's filters."""
    if bool(b) and not _settings["warn_always"]:
        warnings.simplefilter("always")
    _settings["warn_always"] = bool(b)


def is_warn_always_enabled():
    """What `set_warn_always` set."""
    return _settings["warn_always"]
