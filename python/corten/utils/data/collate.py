"""Turning samples into batches: lists of samples become tensors with a leading batch dimension."""

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence

import corten

__all__ = ["collate", "default_collate", "default_convert", "default_collate_fn_map"]

_UNSUPPORTED = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def _is_text_or_object(dtype):
    """Whether numpy values of ``dtype`` are strings, bytes or objects, which no tensor can hold."""
    return dtype.kind in "SUO"


def _rebuild_mapping(mapping, items):
    """A mapping like ``mapping`` with the values ``items``, or a dict where its type cannot be made that way."""
    try:
        if isinstance(mapping, MutableMapping):
            # The copy keeps attributes of subclasses, such as default factories.
            result = copy.copy(mapping)
            result.update(items)
            return result
        return type(mapping)(items)
    except TypeError:
        return items


def _rebuild_sequence(sequence, items):
    """A sequence like ``sequence`` with the members ``items``, or a list where its type cannot be made that way."""
    try:
        if isinstance(sequence, MutableSequence):
            result = copy.copy(sequence)
            for index, item in enumerate(items):
                result[index] = item
            return result
        return type(sequence)(items)
    except TypeError:
        return items


def default_convert(data):
    """Turns numpy arrays and scalars inside one sample into tensors, and keeps everything else.

    Mappings, sequences and named tuples keep their type where it can be made again; tuples become lists.
    """
    if isinstance(data, corten.Tensor):
        return data
    kind = type(data)
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "bytes_"):
        if kind.__name__ == "ndarray" and _is_text_or_object(data.dtype):
            return data
        return corten.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return kind(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuild_sequence(data, [default_convert(item) for item in data])
    return data


def pinned(data):
    """The batch with everything in it that has a method ``pin_memory`` replaced by what that returns.

    Tensors are what they were, marked as pinned: a batch is new, and transfers need nothing of its memory. Containers
    are made anew as by `default_convert`.
    """
    if isinstance(data, corten.Tensor):
        if not data.is_cuda:
            corten._core.lock_pages(data)
        return data
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: pinned(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(pinned(item) for item in data))
    if isinstance(data, tuple):
        return [pinned(item) for item in data]
    if isinstance(data, Sequence):
        return _rebuild_sequence(data, [pinned(item) for item in data])
    return data.pin_memory() if hasattr(data, "pin_memory") else data


def collate(batch, *, collate_fn_map=None):
    """Collates ``batch`` by the functions of ``collate_fn_map``, going into mappings and sequences.

    Args:
        batch: samples of equal structure.
        collate_fn_map: from types, or tuples of types, to functions ``fn(batch, *, collate_fn_map)``.

    Raises:
        TypeError: for samples of a type without a function.
        RuntimeError: for sequences of different lengths.
    """
    element = batch[0]
    kind = type(element)
    functions = collate_fn_map or {}
    if kind in functions:
        return functions[kind](batch, collate_fn_map=collate_fn_map)
    for types, function in functions.items():
        if isinstance(element, types):
            return function(batch, collate_fn_map=collate_fn_map)
    if kind.__module__ == "numpy" and collate_fn_map is default_collate_fn_map:
        return _collate_numpy(batch, collate_fn_map)

    def inner(samples):
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(element, Mapping):
        return _rebuild_mapping(element, {key: inner([sample[key] for sample in batch]) for key in element})
    if isinstance(element, tuple) and hasattr(element, "_fields"):
        return kind(*(inner(samples) for samples in zip(*batch)))
    if isinstance(element, Sequence):
        if any(len(sample) != len(element) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [inner(samples) for samples in zip(*batch)]
        return columns if isinstance(element, tuple) else _rebuild_sequence(element, columns)
    raise TypeError(_UNSUPPORTED.format(kind))


def collate_tensor_fn(batch, *, collate_fn_map=None):
    """Stacks tensors of equal shape."""
    return corten.stack(batch, 0)


def _collate_numpy(batch, collate_fn_map):
    element = batch[0]
    if type(element).__name__ != "ndarray":
        return corten.as_tensor(batch)
    if _is_text_or_object(element.dtype):
        raise TypeError(_UNSUPPORTED.format(element.dtype))
    return collate([corten.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_float_fn(batch, *, collate_fn_map=None):
    """Floats become one float64 tensor."""
    return corten.tensor(batch, dtype=corten.float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    """Ints become one int64 tensor, bools one bool tensor."""
    return corten.tensor(batch)


def collate_str_fn(batch, *, collate_fn_map=None):
    """Strings and bytes stay a list."""
    return batch


# Order matters where a sample's type is a subclass of several keys. Numpy is handled apart, to import it only if used.
default_collate_fn_map = {
    corten.Tensor: collate_tensor_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch):
    """Collates a list of samples into tensors with a leading batch dimension.

    Tensors and numpy arrays are stacked, floats become float64 and ints int64 tensors, strings stay lists; mappings
    and sequences are collated member by member.

    Raises:
        TypeError: for samples that none of this fits.
        RuntimeError: for sequences of different lengths.
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
