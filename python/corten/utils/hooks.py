"""Handles that remove a hook again, and marks of hooks, under the names they have in ``torch.utils.hooks``."""

import warnings

from corten.nn.modules.hooks import RemovableHandle

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


def unserializable_hook(f):
    """Marks a hook that is left out, with a warning, when its tensor is saved; returns it."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor):
    """Warns for each hook of the tensor without the mark, since hooks are not saved."""
    hooks = getattr(tensor, "_backward_hooks", None) or {}
    for hook in hooks.values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized. If this is expected, you can decorate the "
                "function with @corten.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=2,
            )
