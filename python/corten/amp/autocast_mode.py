"""`autocast`, and the decorators of custom functions that work with it."""

import functools
import warnings

import corten

from .. import _autocast
from .._autocast import DEFAULT_DTYPES, kind, state
from .._autocast.operators import cast

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]

_SUPPORTED = (corten.bfloat16, corten.float16)


def is_autocast_available(device_type):
    """Whether there is autocast for a kind of device.

    Raises:
        RuntimeError: for what is no kind of device.
    """
    try:
        return kind(device_type) in DEFAULT_DTYPES
    except RuntimeError as error:
        if "there is no autocast" in str(error):
            return False
        raise


def autocast_decorator(autocast_instance, func):
    """``func`` run inside an autocast block."""

    @functools.wraps(func)
    def decorate_autocast(*args, **kwargs):
        with autocast_instance:
            return func(*args, **kwargs)

    return decorate_autocast


class autocast:
    """A block, or a decorator, in which operators choose their dtype: mixed precision (Micikevicius et al. 2018).

    Products, convolutions and attention convert their arguments to ``dtype``; losses and what needs range or accuracy
    convert to float32; what joins tensors takes the widest dtype; all others compute in what they are given. float64
    stays as it is, and neither in-place forms nor calls with ``out=`` convert. A weight is converted once for a block.
    Results leave the block in the dtype they have. The backward pass belongs outside: it uses the dtypes of forward.

    Args:
        device_type: ``"cpu"``, or ``"cuda"`` (or ``"gpu"``) for a GPU, whoever made it.
        dtype: float16 or bfloat16; by default bfloat16 on the CPU and float16 on a GPU.
        enabled: whether the block does anything.
        cache_enabled: whether converted weights are kept until the outermost block ends.

    Raises:
        ValueError: where ``device_type`` is no string.
        RuntimeError: where it is no kind of device with autocast.

    Example:
        >>> import corten
        >>> with corten.autocast("cpu"):
        ...     print((corten.ones(2, 2) @ corten.ones(2, 2)).dtype)
        corten.bfloat16
    """

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = device_type.partition(":")[0]
        self._kind = kind(self.device)
        self.fast_dtype = _autocast.get_autocast_dtype(self._kind) if dtype is None else dtype
        self._cache_enabled = _autocast.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled) and self._is_possible()
        self._outside = []

    def _is_possible(self):
        """Whether there is such a device and it computes in the dtype; warns where not."""
        if self._kind == "cuda" and not corten.gpu.is_available():
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=4)
            return False
        if self.fast_dtype not in _SUPPORTED:
            name = self._kind.upper()
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{name} Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=4,
            )
            return False
        return True

    def __enter__(self):
        self._outside.append((state.casts, state.dtypes[self._kind], state.cache_enabled))
        _autocast.set_autocast_enabled(self._kind, False)
        _autocast.set_autocast_dtype(self._kind, self.fast_dtype)
        _autocast.set_autocast_enabled(self._kind, self._enabled)
        _autocast.set_autocast_cache_enabled(self._cache_enabled)
        _autocast.autocast_increment_nesting()
        return self

    def __exit__(self, *error):
        if _autocast.autocast_decrement_nesting() == 0:
            _autocast.clear_autocast_cache()
        state.casts, state.dtypes[self._kind], state.cache_enabled = self._outside.pop()
        return False

    def __call__(self, func):
        return autocast_decorator(self, func)


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """A decorator of `autograd.Function.forward` that settles what autocast does inside.

    Args:
        device_type: the kind of device, as for `autocast`.
        cast_inputs: where autocast is on, floating point tensors (but float64) on the device are converted to this
            dtype and the body runs with autocast off; None leaves autocast as it is outside.

    Raises:
        ValueError: where ``device_type`` is no string.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(*args, **kwargs):
        context = args[0]
        context._dtype = _autocast.get_autocast_dtype(device_type)
        context._fwd_used_autocast = _autocast.is_autocast_enabled(device_type)
        if cast_inputs is None or not context._fwd_used_autocast:
            return fwd(*args, **kwargs)
        context._fwd_used_autocast = False
        with autocast(device_type, enabled=False):
            name = kind(device_type)
            return fwd(*cast(args, cast_inputs, name), **cast(kwargs, cast_inputs, name))

    return decorate_fwd


def custom_bwd(bwd=None, *, device_type):
    """A decorator of `autograd.Function.backward`: autocast is there what it was in forward.

    Args:
        device_type: the kind of device, as for `autocast`.

    Raises:
        ValueError: where ``device_type`` is no string.
    """
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(*args, **kwargs):
        context = args[0]
        with autocast(device_type, enabled=context._fwd_used_autocast, dtype=context._dtype):
            return bwd(*args, **kwargs)

    return decorate_bwd
