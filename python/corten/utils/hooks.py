"""Handles that remove a hook again, under the name they have in ``torch.utils.hooks``."""

from corten.nn.modules.hooks import RemovableHandle

__all__ = ["RemovableHandle"]
