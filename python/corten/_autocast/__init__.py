"""What autocast is set to, per thread and kind of device; `operators` looks here, `corten.amp` sets it.

The functions are those of ``torch``: `is_autocast_enabled`, `set_autocast_dtype` and their like.
"""

import threading as _threading

from .. import _core

# Kinds of devices that PyTorch's programs may name, with the dtype that autocast takes where none is given.
DEFAULT_DTYPES = {
    "cpu": _core.bfloat16,
    "cuda": _core.float16,
    "mps": _core.float16,
    "xpu": _core.float16,
    "ipu": _core.float16,
    "xla": _core.bfloat16,
    "hpu": _core.bfloat16,
    "mtia": _core.float16,
    "maia": _core.bfloat16,
}
# Kinds of devices that exist without autocast.
_OTHERS = ("meta", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "lazy", "vulkan", "privateuseone")


class State(_threading.local):
    """One thread's settings. `casts` is what operators look at: the dtype per kind of device that is switched on."""

    cache_enabled = True
    nesting = 0

    def __init__(self):
        self.casts = {}
        self.dtypes = dict(DEFAULT_DTYPES)
        self.weights = {}


state = State()


def kind(device_type):
    """The key of a kind of device: a GPU is ``cuda``, whoever made it.

    Raises:
        RuntimeError: for what is no kind of device, or one without autocast.
    """
    name = "cuda" if device_type == "gpu" else device_type
    if name in DEFAULT_DTYPES:
        return name
    if name in _OTHERS:
        raise RuntimeError(f"unsupported scalarType: there is no autocast for device type {device_type!r}")
    known = ", ".join(("cpu", "gpu", *[other for other in DEFAULT_DTYPES if other != "cpu"], *_OTHERS))
    raise RuntimeError(f"Expected one of {known} device type at start of device string: {device_type}")


def is_autocast_enabled(device_type="cuda"):
    """Whether autocast is on in this thread for a kind of device."""
    return kind(device_type) in state.casts


def set_autocast_enabled(device_type, enabled=None):
    """Switches autocast; with one argument, a flag, that of GPUs."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    name = kind(device_type)
    # A new dictionary: operators that are under way have put theirs aside.
    casts = {other: dtype for other, dtype in state.casts.items() if other != name}
    if enabled:
        from .operators import install

        install()
        casts[name] = state.dtypes[name]
    state.casts = casts


def get_autocast_dtype(device_type):
    """The dtype that autocast computes in on a kind of device."""
    return state.dtypes[kind(device_type)]


def set_autocast_dtype(device_type, dtype):
    """Sets what `get_autocast_dtype` tells."""
    name = kind(device_type)
    state.dtypes[name] = dtype
    if name in state.casts:
        state.casts = {**state.casts, name: dtype}


def is_autocast_cache_enabled():
    """Whether a weight is converted once in an autocast block, not at each use."""
    return state.cache_enabled


def set_autocast_cache_enabled(enabled):
    """Sets what `is_autocast_cache_enabled` tells."""
    state.cache_enabled = bool(enabled)


def clear_autocast_cache():
    """Forgets the converted weights."""
    state.weights.clear()


def autocast_increment_nesting():
    """Counts a block that begins; returns how many are open."""
    state.nesting += 1
    return state.nesting


def autocast_decrement_nesting():
    """Counts a block that ends; returns how many are open."""
    state.nesting -= 1
    return state.nesting


def _deprecated(name, instead):
    import warnings

    warnings.warn(f"torch.{name} is deprecated. Please use torch.{instead} instead.", DeprecationWarning, stacklevel=3)


def _of_one_kind(short, device_type):
    """The four older functions of one kind of device."""

    def is_enabled():
        _deprecated(f"is_autocast_{short}_enabled()", f"is_autocast_enabled({device_type!r})")
        return is_autocast_enabled(device_type)

    def set_enabled(enabled):
        _deprecated(f"set_autocast_{short}_enabled(enabled)", f"set_autocast_enabled({device_type!r}, enabled)")
        set_autocast_enabled(device_type, enabled)

    def get_dtype():
        _deprecated(f"get_autocast_{short}_dtype()", f"get_autocast_dtype({device_type!r})")
        return get_autocast_dtype(device_type)

    def set_dtype(dtype):
        _deprecated(f"set_autocast_{short}_dtype(dtype)", f"set_autocast_dtype({device_type!r}, dtype)")
        set_autocast_dtype(device_type, dtype)

    functions = {
        f"is_autocast_{short}_enabled": (is_enabled, "is_autocast_enabled"),
        f"set_autocast_{short}_enabled": (set_enabled, "set_autocast_enabled"),
        f"get_autocast_{short}_dtype": (get_dtype, "get_autocast_dtype"),
        f"set_autocast_{short}_dtype": (set_dtype, "set_autocast_dtype"),
    }
    for name, (function, newer) in functions.items():
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"Older name of `{newer}` for {device_type!r}."
        globals()[name] = function


for _short, _type in (("cpu", "cpu"), ("gpu", "cuda"), ("ipu", "ipu"), ("xla", "xla")):
    _of_one_kind(_short, _type)
del _short, _type
# PyTorch has no such names: a GPU's are `is_autocast_enabled` and `set_autocast_enabled`.
del globals()["is_autocast_gpu_enabled"], globals()["set_autocast_gpu_enabled"]

__all__ = [name for name, value in globals().items() if "autocast" in name and not name.startswith("_")]
