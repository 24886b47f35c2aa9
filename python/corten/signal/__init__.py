"""Signal processing, with the names of `torch.signal`."""

from . import windows

__all__ = ["windows"]
