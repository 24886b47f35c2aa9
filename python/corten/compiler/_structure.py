"""Taking arguments and results apart into tensors and what is around them."""

from collections import OrderedDict

import corten

from ._guards import exact, is_plain


class Unguardable(Exception):
    """Something in the arguments cannot be compared from call to call; the text says what."""


class Same:
    """An object that must be the very same in every call. Equal only to itself, and hashable whatever it holds."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self):
        return id(self.value)


class Parts:
    """The tensors of a structure, the other objects in it, and the ids of its containers."""

    __slots__ = ("containers", "objects", "tensors")

    def __init__(self):
        self.tensors, self.objects, self.containers = [], [], set()


def flatten(value, parts):
    """A hashable description of ``value``, whose tensors and other objects are added to ``parts``.

    Raises:
        Unguardable: for iterators, whose next item nobody can know, and for arrays of numpy.
    """
    kind = type(value)
    if isinstance(value, corten.Tensor):
        if value.__dict__ and kind is corten.Tensor:
            raise Unguardable("a tensor among the arguments has attributes of its own")
        parts.tensors.append(value)
        return kind
    if is_plain(value):
        return exact(value)
    if kind in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        parts.containers.add(id(value))
        return (kind, "items", *[flatten(item, parts) for item in value])
    if kind in (dict, OrderedDict):
        parts.containers.add(id(value))
        keys = tuple(exact(key) if is_plain(key) else Same(key) for key in value)
        return (kind, "pairs", keys, tuple(map(Same, value)), *[flatten(item, parts) for item in value.values()])
    if hasattr(kind, "__next__"):
        raise Unguardable(f"an argument is an iterator ({kind.__name__})")
    if kind.__module__ == "numpy":
        raise Unguardable(f"an argument is a {kind.__name__} of numpy, whose content may change")
    parts.objects.append(value)
    return Same(value)


def outline(value, parts):
    """As :func:`flatten`, for a result: what :func:`rebuild` makes it from."""
    if isinstance(value, corten.Tensor):
        if value.__dict__ and type(value) is corten.Tensor:
            parts.objects.append(value)
        parts.tensors.append(value)
        return None
    kind = type(value)
    if is_plain(value):
        return Same(value)
    if kind in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        parts.containers.add(id(value))
        make = kind._make if hasattr(kind, "_make") else kind
        return make, [outline(item, parts) for item in value]
    if kind in (dict, OrderedDict):
        parts.containers.add(id(value))
        keys = list(value)
        return lambda items: kind(zip(keys, items)), [outline(item, parts) for item in value.values()]
    parts.objects.append(value)
    return Same(value)


def rebuild(plan, tensors):
    """A result around other tensors, which are taken from an iterator."""
    if plan is None:
        return next(tensors)
    if isinstance(plan, Same):
        return plan.value
    make, items = plan
    return make([rebuild(item, tensors) for item in items])
