"""Automatic mixed precision: `autocast` computes products in a lower dtype, `GradScaler` keeps gradients in range."""

from . import autocast_mode, grad_scaler
from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
