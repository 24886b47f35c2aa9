"""Operators that programs define inside ``vmap``: by their registered rule, or once for each example."""

import warnings

from ..func._vmap.dispatch import level_of
from ..func._vmap.functions import VmapInfo
from .schema import Tensor


def _dims(level, value):
    if isinstance(value, list):
        return [0 if level.holds(v) else None for v in value]
    return 0 if level.holds(value) else None


def _plain(level, value):
    if isinstance(value, list):
        return [v.value if level.holds(v) else v for v in value]
    return value.value if level.holds(value) else value


def _rewrapped(level, value, dim):
    if isinstance(value, (list, tuple)):
        dims = dim if isinstance(dim, (list, tuple)) else [dim] * len(value)
        parts = [_rewrapped(level, v, d) for v, d in zip(value, dims, strict=True)]
        return type(value)(parts)
    if dim is None or not isinstance(value, Tensor):
        return value
    return level.wrap(value.movedim(dim, 0))


def batched(op, args, by_name):
    """The results of an operator on tensors that stand for examples."""
    level = level_of(args, by_name)
    dims = tuple(_dims(level, v) for v in args)
    plain = tuple(_plain(level, v) for v in args)
    named = {k: _plain(level, v) for k, v in by_name.items()}
    if op.vmap_rule is not None:
        outputs = op.vmap_rule(VmapInfo(level.size, level.randomness), dims, *plain, **named)
        if not isinstance(outputs, tuple) or len(outputs) != 2:
            raise RuntimeError(f"{op}: the function of register_vmap must return the results and their batch dims")
        return _rewrapped(level, *outputs)
    return _example_by_example(op, level, (dims, plain), {k: (_dims(level, v), named[k]) for k, v in by_name.items()})


def _at(value, dims, i):
    if isinstance(value, list):
        return [_at(v, d, i) for v, d in zip(value, dims, strict=True)]
    return value if dims is None else value[i]


def _example_by_example(op, level, positional, named):
    """What PyTorch does where an operator has no rule: the operator runs for each example, with a warning."""
    if op._schema.is_mutable:
        raise RuntimeError(
            f"vmap: {op} writes to its arguments and has no rule; give it one with corten.library.register_vmap"
        )
    warnings.warn(
        f"There is a performance drop because there is no batching rule for {op}: it runs for one example after the "
        "other. corten.library.register_vmap gives it one.",
        stacklevel=2,
    )
    dims, plain = positional
    rows = []
    for i in range(level.size):
        here = tuple(_at(v, d, i) for v, d in zip(plain, dims, strict=True))
        rows.append(op.call(here, {k: _at(v, d, i) for k, (d, v) in named.items()}))
    if not rows:
        raise RuntimeError(f"vmap: {op} has no rule, and there is no example to run it for")
    return _joined(op, level, rows)


def _joined(op, level, rows):
    import corten

    first = rows[0]
    if isinstance(first, Tensor):
        return level.wrap(corten.stack(rows))
    if isinstance(first, (tuple, list)):
        return type(first)(_joined(op, level, list(column)) for column in zip(*rows, strict=True))
    raise RuntimeError(f"vmap: {op} has no rule and a result that is no tensor, {type(first).__name__}")
