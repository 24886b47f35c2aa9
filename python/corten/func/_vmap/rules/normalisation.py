"""Normalisations: statistics of each example; weights with a batch dim are applied afterwards."""

import math

import corten

from ..dispatch import rule


def _affine(x, weight, bias):
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


@rule("layer_norm", "rms_norm")
def over_last(call):
    level, x = call.level, call.first
    weight, bias = call.given.get("weight"), call.given.get("bias")
    if not (level.holds(weight) or level.holds(bias)):
        return level.wrap(call.run_first(x.value))
    plain = {"weight": None} | ({"bias": None} if call.name == "layer_norm" else {})
    if level.holds(x):
        normalised = level.wrap(call.run_first(x.value, **plain))
    else:
        normalised = call.run(**plain)
    return _affine(normalised, weight, bias)


def by_channel(x, values):
    """Values ``(C,)`` in the place of the channels of ``(N, C, ...)``."""
    return None if values is None else values.reshape(-1, *([1] * (x.dim() - 2)))


@rule("group_norm")
def group_norm(call):
    level, x = call.level, call.first
    weight, bias = call.given.get("weight"), call.given.get("bias")
    outside = level.holds(weight) or level.holds(bias)
    changes = {"weight": None, "bias": None} if outside else {}
    if level.holds(x):
        result = level.wrap(call.run_first(x.value.flatten(0, 1), **changes).unflatten(0, (level.size, x.shape[0])))
    else:
        result = call.run(**changes)
    return _affine(result, by_channel(x, weight), by_channel(x, bias)) if outside else result


@rule("batch_norm")
def batch_norm(call):
    dims = [d for d in range(call.first.dim()) if d != 1]
    return _with_statistics(call, dims, call.get("training"))


@rule("instance_norm")
def instance_norm(call):
    return _with_statistics(call, list(range(2, call.first.dim())), call.get("use_input_stats"))


def _with_statistics(call, dims, own):
    """``(N, C, ...)`` normalised by its own statistics over ``dims``, or by the running ones."""
    x, eps, momentum = call.first, call.get("eps"), call.get("momentum")
    means, variances = call.given.get("running_mean"), call.given.get("running_var")
    if own or means is None:
        mean, variance = x.mean(dims, keepdim=True), x.var(dims, correction=0, keepdim=True)
        if means is not None:
            count = math.prod(x.shape[d] for d in dims)
            # Those of the instances of an example count as their mean.
            others = [d for d in range(x.dim()) if d != 1]
            with corten.no_grad():
                means.mul_(1 - momentum).add_(mean.detach().mean(others) * momentum)
                unbiased = variance.detach().mean(others) * (count / max(count - 1, 1))
                variances.mul_(1 - momentum).add_(unbiased * momentum)
    else:
        mean, variance = by_channel(x, means), by_channel(x, variances)
    weight, bias = call.given.get("weight"), call.given.get("bias")
    return _affine((x - mean) * (variance + eps).rsqrt(), by_channel(x, weight), by_channel(x, bias))
