"""`autocast` and the decorators of custom functions for GPUs; `corten.amp` has them for every kind of device."""

import functools
import warnings

import corten

from ...amp import autocast_mode

__all__ = ["autocast", "custom_bwd", "custom_fwd"]


def _deprecated(name):
    warnings.warn(
        f"`torch.cuda.amp.{name}(args...)` is deprecated. "
        f"Please use `torch.amp.{name}({'device_type=' if name.startswith('custom') else ''}'cuda', args...)` instead.",
        FutureWarning,
        stacklevel=3,
    )


class autocast(autocast_mode.autocast):
    """`corten.amp.autocast` for GPUs. Deprecated, as in PyTorch.

    Args:
        enabled: whether the block does anything.
        dtype: float16 or bfloat16.
        cache_enabled: whether converted weights are kept until the outermost block ends.
    """

    def __init__(self, enabled=True, dtype=corten.float16, cache_enabled=True):
        _deprecated("autocast")
        super().__init__("cuda", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


def custom_fwd(fwd=None, *, cast_inputs=None):
    """`corten.amp.custom_fwd` for GPUs. Deprecated, as in PyTorch."""
    _deprecated("custom_fwd")
    return functools.partial(autocast_mode.custom_fwd, device_type="cuda")(fwd=fwd, cast_inputs=cast_inputs)


def custom_bwd(bwd):
    """`corten.amp.custom_bwd` for GPUs. Deprecated, as in PyTorch."""
    _deprecated("custom_bwd")
    return autocast_mode.custom_bwd(bwd, device_type="cuda")
