"""`autocast` and the decorators of custom functions for GPUs; `corten.amp` has them for every kind of device."""

import functools

import corten

from ...amp import autocast_mode
from ...amp._deprecated import warn_deprecated

__all__ = ["autocast", "custom_bwd", "custom_fwd"]


class autocast(autocast_mode.autocast):
    """`corten.amp.autocast` for GPUs. Deprecated, as in PyTorch.

    Args:
        enabled: whether the block does anything.
        dtype: float16 or bfloat16.
        cache_enabled: whether converted weights are kept until the outermost block ends.
    """

    def __init__(self, enabled=True, dtype=corten.float16, cache_enabled=True):
        warn_deprecated("cuda", "autocast")
        super().__init__("cuda", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


def custom_fwd(fwd=None, *, cast_inputs=None):
    """`corten.amp.custom_fwd` for GPUs. Deprecated, as in PyTorch."""
    warn_deprecated("cuda", "custom_fwd")
    return functools.partial(autocast_mode.custom_fwd, device_type="cuda")(fwd=fwd, cast_inputs=cast_inputs)


def custom_bwd(bwd):
    """`corten.amp.custom_bwd` for GPUs. Deprecated, as in PyTorch."""
    warn_deprecated("cuda", "custom_bwd")
    return autocast_mode.custom_bwd(bwd, device_type="cuda")
