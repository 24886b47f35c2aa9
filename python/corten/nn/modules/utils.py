"""Helpers of modules: numbers as tuples, indented text, the arguments of ``to``."""

import corten


def ntuple(value, dims):
    """Returns ``value`` as a tuple: an iterable is kept, a number is repeated ``dims`` times."""
    if hasattr(value, "__iter__"):
        return tuple(value)
    return (value,) * dims


def reverse_repeat(values, times):
    """Repeats each entry ``times`` times, last first: the order that ``pad`` takes."""
    return tuple(value for value in reversed(values) for _ in range(times))


def _single(value):
    return ntuple(value, 1)


def _pair(value):
    return ntuple(value, 2)


def _triple(value):
    return ntuple(value, 3)


def _quadruple(value):
    return ntuple(value, 4)


def add_indent(text, spaces):
    """Indents all lines of ``text`` but the first."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


def parse_to(args, kwargs):
    """Returns the arguments of ``to`` as (device, dtype, non_blocking, memory_format); None where not given."""
    kwargs = dict(kwargs)
    memory_format = kwargs.pop("memory_format", None)
    other = kwargs.pop("tensor", None) if not args else None
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    non_blocking = kwargs.pop("non_blocking", None)
    kwargs.pop("copy", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    rest = list(args)
    if rest and isinstance(rest[0], corten.Tensor):
        other = rest.pop(0)
    elif rest and isinstance(rest[0], corten.dtype):
        dtype = rest.pop(0)
    else:
        if rest:
            device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], corten.dtype)):
            dtype = rest.pop(0)
    if other is not None:
        device, dtype = other.device, other.dtype
    if rest and isinstance(rest[0], bool):
        non_blocking = rest.pop(0)
        if rest and isinstance(rest[0], bool):
            # A second boolean is ``copy``, which has no meaning for a module.
            rest.pop(0)
    if rest:
        raise TypeError(f"to() received an invalid combination of arguments - got {args!r}")
    if device is not None and not isinstance(device, corten.device):
        device = corten.device(device)
    return device, dtype, bool(non_blocking), memory_format
