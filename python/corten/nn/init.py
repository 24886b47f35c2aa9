"""Initialisers: fill a tensor in place, without gradient, and return it.

Initialisers draw from the generator in storage order, so a seeded model has reproducible weights.
"""

import math
import warnings

import corten

from .._composites._common import everywhere


def _draw(tensor, method, first, second, generator):
    with corten.no_grad():
        if generator is None:
            return getattr(tensor, method)(first, second)
        return getattr(tensor, method)(first, second, generator=generator)


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Draws from the uniform distribution on ``[a, b)``."""
    return _draw(tensor, "uniform_", a, b, generator)


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Draws from the normal distribution with ``mean`` and standard deviation ``std``."""
    return _draw(tensor, "normal_", mean, std, generator)


def _normal_probability(low, high):
    """The probability that a standard normal number lies in ``[low, high]``."""
    return (math.erf(high / math.sqrt(2.0)) - math.erf(low / math.sqrt(2.0))) / 2.0


def _propose_normal(tensor, mean, std, a, b, generator):
    proposal = _draw(corten.empty_like(tensor), "normal_", mean, std, generator)
    return proposal, (proposal >= a) & (proposal <= b)


def _propose_uniform(tensor, mean, std, a, b, generator):
    """A uniform proposal, kept in proportion to the density relative to its greatest value in ``[a, b]``."""
    proposal = _draw(corten.empty_like(tensor), "uniform_", a, b, generator)
    chance = _draw(corten.empty_like(tensor), "uniform_", 0.0, 1.0, generator)
    low, high = (a - mean) / std, (b - mean) / std
    peak = 0.0 if low <= 0 <= high else min(low * low, high * high)
    score = (proposal - mean) / std
    return proposal, chance <= ((peak - score * score) / 2).exp()


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Draws from the normal distribution restricted to ``[a, b]``, by rejection (Robert 1995).

    Proposals are normal where they are often accepted and uniform on ``[a, b]`` elsewhere; every round draws for
    the whole tensor.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
            "incorrect.",
            stacklevel=2,
        )
    often = _normal_probability((a - mean) / std, (b - mean) / std) > 0.3
    propose = _propose_normal if often else _propose_uniform
    with corten.no_grad():
        values, accepted = propose(tensor, mean, std, a, b, generator)
        while not everywhere(accepted):
            fresh, valid = propose(tensor, mean, std, a, b, generator)
            values = corten.where(accepted, values, fresh)
            accepted = accepted | valid
        return tensor.copy_(values)


# What packages call that check their arguments themselves.
_no_grad_trunc_normal_ = trunc_normal_


def constant_(tensor, val):
    """Fills with ``val``."""
    with corten.no_grad():
        return tensor.fill_(val)


def ones_(tensor):
    """Fills with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor):
    """Fills with 0."""
    with corten.no_grad():
        return tensor.zero_()


def eye_(tensor):
    """Makes a 2-d tensor the identity matrix."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with corten.no_grad():
        tensor.zero_()
        tensor.diagonal().fill_(1)
    return tensor


def dirac_(tensor, groups=1):
    """Makes a 3-, 4- or 5-d convolution weight pass its input channels through, in each of ``groups`` groups."""
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out_channels = tensor.shape[0]
    if out_channels % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = out_channels // groups
    centre = [extent // 2 for extent in tensor.shape[2:]]
    with corten.no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(per_group, tensor.shape[1])):
                tensor[(group * per_group + channel, channel, *centre)] = 1
    return tensor


def _calculate_fan_in_and_fan_out(tensor):
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    receptive_field = 1
    for extent in tensor.shape[2:]:
        receptive_field *= extent
    return tensor.shape[1] * receptive_field, tensor.shape[0] * receptive_field


def _calculate_correct_fan(tensor, mode):
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


_LINEAR_LIKE = {
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
}


def calculate_gain(nonlinearity, param=None):
    """Returns the factor by which weights grow to keep the variance through ``nonlinearity``.

    ``param`` is the negative slope of ``"leaky_relu"``, 0.01 by default.
    """
    if nonlinearity in _LINEAR_LIKE:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        # The value that SELU networks have been trained with, found by experiment.
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Draws uniformly in ``±gain sqrt(6 / (fan_in + fan_out))`` (Glorot & Bengio 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    """Draws normally with standard deviation ``gain sqrt(2 / (fan_in + fan_out))`` (Glorot & Bengio 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(tensor, a, mode, nonlinearity):
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _is_empty(tensor):
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Draws uniformly in ``±gain sqrt(3 / fan)`` (He et al. 2015).

    Args:
        a: negative slope of the leaky ReLU that follows.
        mode: ``"fan_in"`` keeps the variance of the forward pass, ``"fan_out"`` that of the backward pass.
        nonlinearity: a name that :func:`calculate_gain` knows.
    """
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Draws normally with standard deviation ``gain / sqrt(fan)``; arguments as in :func:`kaiming_uniform_`."""
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor, gain=1, generator=None):
    """Makes the rows, or columns if fewer, orthonormal times ``gain`` (Saxe et al. 2014).

    Dimensions after the first are flattened.
    """
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    cols = tensor.numel() // rows
    flat = normal_(tensor.new_empty((rows, cols)), 0, 1, generator)
    with corten.no_grad():
        q, r = corten.linalg.qr(flat.t() if rows < cols else flat)
        # Fixing the signs of R's diagonal makes the distribution uniform.
        q = q * r.diagonal().sign()
        tensor.copy_((q.t() if rows < cols else q).reshape(tensor.shape))
        tensor.mul_(gain)
    return tensor


def sparse_(tensor, sparsity, std=0.01, generator=None):
    """Draws a matrix normally and sets the share ``sparsity`` of each column to zero (Martens 2010)."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, cols = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0, std, generator)
    with corten.no_grad():
        for col in range(cols):
            tensor[corten.randperm(rows, device="cpu")[:zeros], col] = 0
    return tensor


def _deprecated(function):
    old, new = function.__name__[:-1], function.__name__

    def alias(*args, **kwargs):
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    alias.__name__ = alias.__qualname__ = old
    alias.__doc__ = f"Old name of :func:`{new}`."
    return alias


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
