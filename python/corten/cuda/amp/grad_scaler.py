"""`GradScaler` for GPUs; `corten.amp` has it for every kind of device."""

from ...amp import grad_scaler
from ...amp._deprecated import warn_deprecated
from ...amp.grad_scaler import OptState

__all__ = ["GradScaler", "OptState"]


class GradScaler(grad_scaler.GradScaler):
    """`corten.amp.GradScaler` for GPUs. Deprecated, as in PyTorch.

    Args: those of `corten.amp.GradScaler` but ``device``.
    """

    def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
        warn_deprecated("cuda", "GradScaler")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
