"""Where PyTorch has the parts of its loaders: how samples are collated, what workers know."""

from ..worker import CHECK_INTERVAL as MP_STATUS_CHECK_INTERVAL
from . import collate, pin_memory, worker

__all__ = ["MP_STATUS_CHECK_INTERVAL", "collate", "pin_memory", "worker"]
