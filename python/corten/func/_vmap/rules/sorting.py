"""Sorting and searching in sorted sequences. What depends on the data's values in its shape has no rule."""

from .... import _core
from ..batched import Tensor
from ..dispatch import rule


@rule("msort")
def msort(call):
    return call.first.sort(0)[0]


@rule("searchsorted")
def searchsorted(call):
    sequence, level = call.first, call.level
    values = call.given["input"]
    if not isinstance(values, Tensor):
        values = _core.tensor(values, dtype=sequence.dtype, device=sequence.device)
        return searchsorted_tensors(call, level, sequence, values)
    return searchsorted_tensors(call, level, sequence, values)


def searchsorted_tensors(call, level, sequence, values, **options):
    """Places of values ``(..., m)`` in sequences ``(..., n)``, or of any values in one sequence ``(n,)``."""
    options = options or {k: v for k, v in call.given.items() if k in ("out_int32", "right", "side")}
    sorter = call.given.get("sorter")
    if sorter is not None:
        options["sorter"] = level.physical(sorter)
    rows = level.physical(values)
    if sequence.dim() == 1:
        rows = rows.reshape(level.size, -1)
    found = _core.ops.searchsorted(level.physical(sequence).contiguous(), rows.contiguous(), **options)
    return level.wrap(found.reshape(level.size, *values.shape))


@rule("bucketize")
def bucketize(call):
    level, boundaries = call.level, call.given["boundaries"]
    values = call.first
    if not level.holds(boundaries):
        return level.wrap(call.run_first(values.value))
    if not isinstance(values, Tensor):
        values = _core.tensor(values, dtype=boundaries.dtype, device=boundaries.device)
    options = {"right": call.get("right", False), "out_int32": call.get("out_int32", False)}
    return searchsorted_tensors(call, level, boundaries, values, **options)


@rule("unique", "unique_consecutive", "unique_dim", "_unique2", "nonzero", "argwhere", "masked_select", "bincount")
def depends_on_data(call):
    raise RuntimeError(
        f"vmap: It looks like you're attempting to use {call.name}(), the shape of whose result depends on the data. "
        "vmap does not support such operators: the examples would have results of different shapes."
    )
