"""Convolutions, pooling, padding and resampling: the batch joins N, or the groups where weights have a batch too."""

from ..dispatch import rule

_SPATIAL = {
    **{f"{kind}{n}d": n for n in (1, 2, 3) for kind in ("conv", "conv_transpose", "max_pool", "avg_pool")},
    **{f"{kind}{n}d": n for n in (1, 2, 3) for kind in ("adaptive_avg_pool", "adaptive_max_pool")},
    **{f"max_pool{n}d_with_indices": n for n in (1, 2, 3)},
}
_POOLS = [name for name in _SPATIAL if "pool" in name]


def folded(call, rank, **changes):
    """The operator with batch and N as one dim, of an example that has ``rank`` dims with N and one less without."""
    x, level = call.first, call.level
    if x.dim() < rank:
        return level.wrap(call.run_first(x.value, **changes))
    result = call.run_first(x.value.flatten(0, 1), **changes)
    sizes = (level.size, x.shape[0])
    if isinstance(result, tuple):
        return level.wrap(type(result)([part.unflatten(0, sizes) for part in result]))
    return level.wrap(result.unflatten(0, sizes))


@rule(*_POOLS)
def pool(call):
    return folded(call, _SPATIAL[call.name] + 2)


@rule("im2col", "col2im")
def columns(call):
    return folded(call, 4 if call.name == "im2col" else 3)


@rule("interpolate_nd")
def interpolate(call):
    return folded(call, call.first.dim())


@rule("constant_pad_nd", "pad")
def pad(call):
    x, level = call.first, call.level
    count = len(call.get("pad")) // 2
    if call.name == "constant_pad_nd" or call.get("mode") == "constant":
        if count > x.dim():
            call.run_first(x.value[:0].flatten())  # raises what an example raises
        return level.wrap(call.run_first(x.value))
    return folded(call, count + 2)


@rule(*[name for name in _SPATIAL if name.startswith("conv")])
def convolution(call):
    level, spatial = call.level, _SPATIAL[call.name]
    x, weight, bias = call.given["input"], call.given["weight"], call.given.get("bias")
    single = x.dim() == spatial + 1
    x = x.unsqueeze(0) if single else x
    if not level.holds(weight):
        outside = bias if level.holds(bias) else None
        call.given = {**call.given, "input": x, "bias": None if outside is not None else bias}
        result = folded(call, spatial + 2) if level.holds(x) else call.run()
    else:
        outside, result = bias, _by_groups(call, x, weight)
    if outside is not None:
        result = result + outside.reshape(-1, *([1] * spatial))
    return result.squeeze(0) if single else result


def _by_groups(call, x, weight):
    """A convolution with weights of each example: the examples' channels side by side, in groups of their own."""
    level, groups = call.level, call.get("groups")
    side_by_side = level.physical(x).movedim(0, 1).flatten(1, 2)
    result = call.run(input=side_by_side, weight=weight.value.flatten(0, 1), bias=None, groups=groups * level.size)
    return level.wrap(result.unflatten(1, (level.size, -1)).movedim(1, 0))
