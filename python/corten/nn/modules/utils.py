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


def _ntuple(n, name="parse"):
    """The function that makes tuples of ``n`` of numbers, named ``name``."""

    def parse(value):
        return ntuple(value, n)

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = map(_ntuple, range(1, 5), ("_single", "_pair", "_triple", "_quadruple"))
_reverse_repeat_tuple = reverse_repeat


def _list_with_default(out_size, defaults):
    """``out_size`` as a list in which the last sizes of ``defaults`` stand for None; a number as it is.

    Raises:
        ValueError: ``defaults`` has fewer sizes than ``out_size`` has, or as many.
    """
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    last = defaults[-len(out_size) :]
    return [default if size is None else size for size, default in zip(out_size, last, strict=True)]


def consume_prefix_in_state_dict_if_present(state_dict, prefix):
    """Takes ``prefix`` off the names of a ``state_dict`` that begin with it, in place: ``"module."`` of DataParallel.

    Its ``_metadata`` follows, and so does the order of the names.
    """
    for name in list(state_dict):
        state_dict[name.removeprefix(prefix)] = state_dict.pop(name)
    metadata = getattr(state_dict, "_metadata", None)
    for name in list(metadata or ()):
        # The wrapper itself has the prefix without its dot.
        short = "" if name == prefix.rstrip(".") else name.removeprefix(prefix)
        if name:
            metadata[short] = metadata.pop(name)


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
