"""Normalisations over batches, instances, layers, groups and neighbouring channels."""

import corten

from ... import _ops
from ...overrides import hand_over, taken, takes_over


def _check_batch_is_not_single(size):
    # Statistics of one value per channel would make every output zero.
    count = size[0]
    for extent in size[2:]:
        count *= extent
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Normalises every channel of ``(N, C, *)`` with the batch's or the running statistics (Ioffe & Szegedy 2015).

    In training the running statistics move towards the batch's by ``momentum``, with the unbiased variance.

    Raises:
        ValueError: training with a single value per channel.
    """
    if taken.over and takes_over(input, running_mean, running_var, weight, bias):
        return hand_over(batch_norm, locals(), input, running_mean, running_var, weight, bias)
    if training:
        _check_batch_is_not_single(input.shape)
    if input.dim() == 1 and not input.numel():
        return input.clone()  # nothing to normalise, and no channels to count
    return _ops.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    """Normalises every channel of every sample of ``(N, C, *)`` (Ulyanov et al. 2016)."""
    if taken.over and takes_over(input, running_mean, running_var, weight, bias):
        return hand_over(instance_norm, locals(), input, running_mean, running_var, weight, bias)
    if use_input_stats:
        spatial = 1
        for extent in input.shape[2:]:
            spatial *= extent
        if spatial == 1:
            raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    return _ops.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalises over the last dimensions, whose sizes are ``normalized_shape`` (Ba et al. 2016)."""
    if taken.over and takes_over(input, weight, bias):
        return hand_over(layer_norm, locals(), input, weight, bias)
    return _ops.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """Divides by the root mean square over the last dimensions (Zhang & Sennrich 2019).

    ``eps`` defaults to the machine epsilon of the dtype.
    """
    if taken.over and takes_over(input, weight):
        return hand_over(rms_norm, locals(), input, weight)
    return _ops.rms_norm(input, normalized_shape, weight, eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalises groups of channels of every sample of ``(N, C, *)`` (Wu & He 2018)."""
    if taken.over and takes_over(input, weight, bias):
        return hand_over(group_norm, locals(), input, weight, bias)
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    if input.shape[1] % num_groups == 0:
        _check_batch_is_not_single([input.shape[0] * input.shape[1] // num_groups, num_groups, *input.shape[2:]])
    return _ops.group_norm(input, num_groups, weight, bias, eps)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """Divides by ``(k + alpha/size * sum of squares over size neighbouring channels)^beta``; ``(N, C, *)``."""
    if taken.over and takes_over(input):
        return hand_over(local_response_norm, locals(), input)
    ndim = input.dim()
    if ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {ndim} dimensions)")
    if input.numel() == 0:
        return input
    squares = input.mul(input)
    # Channels as the pooled dimension; the window reaches size // 2 back and (size - 1) // 2 ahead.
    rows = squares.flatten(2).transpose(1, 2).reshape(-1, 1, squares.shape[1])
    padded = _ops.pad(rows, (size // 2, (size - 1) // 2), "constant", 0.0)
    mean = _ops.avg_pool1d(padded, size, 1)
    mean = mean.reshape(squares.shape[0], -1, squares.shape[1]).transpose(1, 2).reshape(squares.shape)
    return input / mean.mul(alpha).add(k).pow(beta)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """Divides by the ``p``-norm along ``dim``, which counts as at least ``eps``."""
    if taken.over and takes_over(input):
        return hand_over(normalize, locals(), input)
    norm = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    if out is None:
        return input / norm
    return corten.div(input, norm, out=out)
