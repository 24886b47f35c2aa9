"""Tensors in the shape or of the dtype of others, conversions, and writes of whole tensors."""

import corten

from .... import _core
from ..batched import Tensor, ops
from ..dispatch import rule, write


@rule("zeros_like", "ones_like", "full_like", "empty_like")
def like(call):
    return call.level.wrap(call.run_first(call.first.value))


@rule("new_zeros", "new_ones", "new_full", "new_empty")
def new(call):
    # With a batch dim, so that examples can be written into it.
    size = call.get("size")
    size = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    return call.level.wrap(call.run_first(call.first.value, size=(call.level.size, *size)))


@rule("full", "scalar_tensor")
def full(call):
    value = call.given["fill_value" if call.name == "full" else "s"]
    size = call.get("size", ())
    size = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    made = value.to(device=call.get("device") or value.device, dtype=call.get("dtype") or value.dtype)
    return made.expand(size).clone()


@rule("new_empty_strided")
def new_empty_strided(call):
    size, stride = tuple(call.get("size")), tuple(call.get("stride"))
    span = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    whole = {"size": (call.level.size, *size), "stride": (max(span, 1), *stride)}
    return call.level.wrap(call.run_first(call.first.value, **whole))


@rule("new_tensor")
def new_tensor(call):
    return call.run_first(call.first.value)


@rule("to", "type_as")
def to(call):
    other, first = call.given.get("other"), call.first
    if other is not None:
        kept = {k: v for k, v in call.given.items() if k in ("non_blocking", "copy", "memory_format")}
        return first.to(device=other.device, dtype=other.dtype, **kept)
    value = call.run_first(first.value)
    return first if value is first.value else call.level.wrap(value)


@rule("linspace", "logspace")
def spaced(call):
    """Numbers from ``start`` to ``end`` of each example, from whichever end is nearer."""
    level, start, end, steps = call.level, call.given["start"], call.given["end"], call.given["steps"]
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, but got {steps}")
    device = next(t for t in (start, end) if level.holds(t)).device
    dtype = call.given.get("dtype") or corten.get_default_dtype()
    wide = dtype if device.type != "cpu" or dtype.is_complex else _core.float64
    places = ops.arange(steps, device=device)
    # The ends count as numbers of the result's dtype.
    start, end = (t.to(dtype).to(wide) if isinstance(t, Tensor) else t for t in (start, end))
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    backward = end - step * max(steps - 1, 0)
    result = ops.where(places < max(steps, 2) // 2, start + step * places, backward + step * places)
    if call.name == "logspace":
        result = ops.pow(call.get("base"), result)
    return result.to(dtype)


@rule(
    "_to", "cpu", "cuda", "gpu", "double", "float", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool",
    "cfloat", "cdouble", "chalf",
)  # fmt: skip
def convert(call):
    value = call.run_first(call.first.value)
    return call.first if value is call.first.value else call.level.wrap(value)


@rule("copy_")
def copy_(call):
    target, source = call.first, call.given["src"]
    write(call.level, target, source.to(target.dtype), "copy_")
    return target


@rule("fill_")
def fill_(call):
    target, value = call.first, call.given["value"]
    if not call.level.holds(value) and call.level.holds(target):
        target.value.fill_(value)
    else:
        write(call.level, target, value.to(target.dtype), "fill_")
    return target


@rule("zero_")
def zero_(call):
    call.first.value.zero_()
    return call.first


@rule("fill_diagonal_")
def fill_diagonal_(call):
    # The same places for all examples, found on one of them.
    marked = ops.zeros(tuple(call.first.shape), dtype=_core.bool).fill_diagonal_(True, call.get("wrap"))
    call.first.value.masked_fill_(marked.to(call.first.device), call.get("fill_value"))
    return call.first
