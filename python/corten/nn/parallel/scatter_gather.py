"""Batches that are cut up for several places and put together again."""

import corten

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _places(target_gpus):
    return [corten.device("cuda", place) if isinstance(place, int) else corten.device(place) for place in target_gpus]


def _shares(value, places, dim):
    """The share of a value for each place; fewer where a tensor has too few rows."""
    if isinstance(value, corten.Tensor):
        return tuple(share.to(place) for share, place in zip(value.chunk(len(places), dim), places))
    if isinstance(value, (tuple, list)) and value:
        kind = type(value)
        make = (lambda row: kind(*row)) if hasattr(value, "_fields") else kind
        return [make(row) for row in zip(*(_shares(part, places, dim) for part in value))]
    if isinstance(value, dict) and value:
        return [type(value)(zip(value, row)) for row in zip(*(_shares(part, places, dim) for part in value.values()))]
    return [value] * len(places)


def scatter(inputs, target_gpus, dim=0):
    """What each place gets of ``inputs``: on its device, chunks along ``dim`` of the tensors in lists, tuples, dicts.

    Args:
        target_gpus: devices, or numbers of GPUs. Other objects than tensors go to all of them.
    """
    return _shares(inputs, _places(target_gpus), dim)


def scatter_kwargs(inputs, kwargs, target_gpus, dim=0):
    """Arguments and keyword arguments for each place, as `scatter` cuts them; both of one length."""
    inputs = list(scatter(inputs, target_gpus, dim)) if inputs else []
    kwargs = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    count = max(len(inputs), len(kwargs))
    inputs += [()] * (count - len(inputs))
    kwargs += [{}] * (count - len(kwargs))
    return tuple(inputs), tuple(kwargs)


def gather(outputs, target_device, dim=0):
    """The results of several places as one, on a device: tensors concatenated along ``dim``, 0-d ones stacked.

    Args:
        outputs: for each place a tensor, or a list, tuple or dict of such.
        target_device: a device, or the number of a GPU; -1 is the CPU.

    Raises:
        ValueError: dicts have different keys.
    """
    place = corten.device("cpu") if target_device in (-1, "cpu") else _places([target_device])[0]
    first = outputs[0]
    if isinstance(first, corten.Tensor):
        moved = [output.to(place) for output in outputs]
        return corten.stack(moved) if first.dim() == 0 else corten.cat(moved, dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(output.keys() != first.keys() for output in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([output[key] for output in outputs], target_device, dim)) for key in first)
    rows = [gather(row, target_device, dim) for row in zip(*outputs, strict=True)]
    return type(first)(*rows) if hasattr(first, "_fields") else type(first)(rows)
