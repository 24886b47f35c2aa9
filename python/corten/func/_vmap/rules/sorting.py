"""Sorting and searching in sorted sequences. What depends on the data's values in its shape has no rule."""

import corten

from .... import _core
from ..batched import Tensor, innermost, ops
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


@rule("unique", "unique_consecutive", "unique_dim", "_unique2", "nonzero", "argwhere", "masked_select")
def depends_on_data(call):
    level = call.level
    if level.copies:
        # Examples that are equal have results of one shape.
        first = {n: v.value[0] for n, v in call.given.items() if n != "self" and level.holds(v)}
        if call.name == "masked_select":
            x, mask = corten.broadcast_tensors(call.first, first.get("mask", call.given["mask"]))
            return x[mask]
        return call.run_first(call.first.value[0], **first)
    if call.name == "masked_select" and not level.holds(call.given["mask"]):
        x, mask = corten.broadcast_tensors(call.first, call.given["mask"])
        return x[mask]
    raise RuntimeError(
        f"vmap: It looks like you're attempting to use {call.name}(), the shape of whose result depends on the data. "
        "vmap does not support such operators: the examples would have results of different shapes."
    )


@rule("bincount")
def bincount(call):
    """Counts of each number; the largest number must leave all examples with as many."""
    level, x, weights = call.level, call.first, call.given.get("weights")
    rows = level.physical(x)
    if rows.shape[-1] == 0:
        return level.wrap(ops.stack([call.run(self=rows[0], weights=None)] * level.size))
    sizes = (rows.amax(-1) + 1).clamp_min(call.get("minlength") or 0)
    size = int(innermost(sizes).max())
    if bool((innermost(sizes) != size).any()):
        return depends_on_data(call)
    if bool((innermost(rows) < 0).any()):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    ones = ops.ones_like(rows, dtype=_core.int64) if weights is None else level.physical(weights)
    if not ones.is_floating_point():
        ones = ones.to(_core.int64 if weights is None else _core.float64)
    return level.wrap(
        ops.zeros((*rows.shape[:-1], size), dtype=ones.dtype, device=x.device).scatter_add(-1, rows.long(), ones)
    )


@rule("histc")
def histc(call):
    """Counts of the numbers in bins of one width, whose range is each example's own where none is given."""
    level, x, bins = call.level, call.first, call.get("bins")
    if not x.is_floating_point() or bins <= 0:
        return level.wrap(call.run_first(x.value))
    rows = x.value.detach().reshape(level.size, -1)
    low, high = float(call.get("min")), float(call.get("max"))
    if low == high and rows.shape[-1]:
        lows, highs = rows.amin(-1, True), rows.amax(-1, True)
        same = lows == highs
        lows, highs = ops.where(same, lows - 1, lows), ops.where(same, highs + 1, highs)
        if not bool(innermost(lows.isfinite() & highs.isfinite()).all()):
            raise RuntimeError("torch.histc: the range of an example is not finite")
    else:
        low, high = (low - 1, high + 1) if low == high else (low, high)
        if not low < high:
            raise RuntimeError("torch.histc: max must be larger than min")
        lows, highs = (ops.full((), v, dtype=x.dtype, device=x.device) for v in (low, high))
    places = ((rows - lows) * (bins / (highs - lows))).long().clamp(0, bins - 1)
    counted = ((rows >= lows) & (rows <= highs)).to(x.dtype)
    return level.wrap(ops.zeros((level.size, bins), dtype=x.dtype, device=x.device).scatter_add(-1, places, counted))
