"""`autocast` for the CPU; `corten.amp` has them for every kind of device."""

import corten

from ...amp import autocast_mode
from ...amp._deprecated import warn_deprecated

__all__ = ["autocast"]


class autocast(autocast_mode.autocast):
    """`corten.amp.autocast` for the CPU. Deprecated, as in PyTorch.

    Args:
        enabled: whether the block does anything.
        dtype: float16 or bfloat16.
        cache_enabled: whether converted weights are kept until the outermost block ends.
    """

    def __init__(self, enabled=True, dtype=corten.bfloat16, cache_enabled=True):
        warn_deprecated("cpu", "autocast")
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)
