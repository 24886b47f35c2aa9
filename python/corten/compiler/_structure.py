"""Taking arguments and results apart into tensors and what is around them."""

from collections import OrderedDict

import corten

from ._guards import is_plain


class Unguardable(Exception):
    """Something in the arguments cannot be compared from call to call; the text says what."""


class _Leaf:
    __slots__ = ()

    def __repr__(self):
        return "*"


LEAF = _Leaf()


class Same:
    """An object that must be the very same in every call. Equal only to itself, and hashable whatever it holds."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self):
        return id(self.value)


def flatten(value, tensors, objects):
    """A hashable description of ``value``; its tensors are appended to ``tensors``, other objects to ``objects``.

    Raises:
        Unguardable: for iterators, whose next item nobody can know.
    """
    if isinstance(value, corten.Tensor):
        tensors.append(value)
        return LEAF
    kind = type(value)
    if kind in (tuple, list):
        return (kind, *[flatten(item, tensors, objects) for item in value])
    if kind in (dict, OrderedDict):
        return (kind, tuple(value), *[flatten(item, tensors, objects) for item in value.values()])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return (kind, *[flatten(item, tensors, objects) for item in value])
    if is_plain(value):
        # 1, 1.0 and True are equal, and they are different arguments.
        return (kind, value)
    if hasattr(value, "__next__"):
        raise Unguardable(f"an argument is an iterator ({kind.__name__})")
    if kind.__module__ == "numpy":
        raise Unguardable(f"an argument is a {kind.__name__} of numpy, whose content may change")
    objects.append(value)
    return Same(value)


def rebuild(description, tensors):
    """What :func:`flatten` took apart, around other tensors, which are taken from an iterator."""
    if description is LEAF:
        return next(tensors)
    if isinstance(description, Same):
        return description.value
    kind = description[0]
    if kind in (tuple, list):
        return kind(rebuild(item, tensors) for item in description[1:])
    if kind in (dict, OrderedDict):
        return kind(zip(description[1], [rebuild(item, tensors) for item in description[2:]]))
    if hasattr(kind, "_fields"):
        return kind(*[rebuild(item, tensors) for item in description[1:]])
    return description[1]
