"""What kind of thing an object or a tensor is."""

from . import _core

__all__ = ["is_complex", "is_floating_point", "is_signed", "is_storage", "is_tensor", "numel"]


def is_tensor(obj):
    """Whether an object is a tensor."""
    return isinstance(obj, _core.Tensor)


def is_storage(obj):
    """Whether an object is a storage."""
    return type(obj).__module__ == "corten.storage" and hasattr(obj, "nbytes")


def _of_tensor(name, input):
    if not isinstance(input, _core.Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input


def is_floating_point(input):
    """Whether a tensor's dtype is a floating point one."""
    return _of_tensor("is_floating_point", input).dtype.is_floating_point


def is_complex(input):
    """Whether a tensor's dtype is complex."""
    return _of_tensor("is_complex", input).dtype.is_complex


def is_signed(input):
    """Whether a tensor's dtype has negative numbers."""
    return _of_tensor("is_signed", input).dtype.is_signed


def numel(input):
    """The number of elements of a tensor."""
    return _of_tensor("numel", input).numel()
