"""Pooling: maximum with optional indices, unpooling, power average and fractional maximum."""

import math

import corten

from ... import _ops
from ..._composites._arguments import handed_over
from ..._composites._common import whole
from ...overrides import hand_over, taken, takes_over


def _max_pool(dims):
    with_indices = f"max_pool{dims}d_with_indices"
    without = f"max_pool{dims}d"

    def max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        if taken.over and takes_over(input):
            return hand_over(max_pool_with_indices if return_indices else max_pool, locals(), input)
        if stride is None or (isinstance(stride, (tuple, list)) and not stride):
            stride = kernel_size
        function = getattr(_ops, with_indices if return_indices else without)
        return function(input, kernel_size, stride, padding, dilation, ceil_mode)

    def max_pool_with_indices(
        input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
    ):
        if taken.over and takes_over(input):
            return hand_over(max_pool_with_indices, locals(), input)
        if stride is None:
            stride = kernel_size
        return getattr(_ops, with_indices)(input, kernel_size, stride, padding, dilation, ceil_mode)

    spatial = ", ".join("DHW"[3 - dims :]) if dims > 1 else "L"
    max_pool.__name__ = max_pool.__qualname__ = without
    max_pool.__doc__ = f"""Takes the maximum over windows of ``(N, C, {spatial})``.

    Returns the maxima, and with ``return_indices`` also their flat positions in each channel (int64).
    """
    max_pool_with_indices.__name__ = max_pool_with_indices.__qualname__ = with_indices
    max_pool_with_indices.__doc__ = f"As :func:`{without}`, always returning ``(values, indices)``."
    return max_pool, max_pool_with_indices


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)


def _fill_output_size(output_size, input, dims):
    """Replaces None entries by the input's extent, as a list of ``dims`` sizes."""
    # One number needs no extents: the operator itself checks the input's dims.
    single = not isinstance(output_size, (tuple, list))
    sizes = (output_size,) * dims if single else output_size
    if not single and input.dim() <= len(sizes):
        raise ValueError(f"Input dimension should be at least {len(sizes) + 1}")
    if not single and len(sizes) != dims:
        raise RuntimeError(f"adaptive pooling: output_size must be {dims} numbers, got {list(sizes)}")
    if any(size is not None and size < 0 for size in sizes):
        raise RuntimeError(
            f"adaptive pooling: elements of output_size must be greater than or equal to 0 but received {list(sizes)}"
        )
    if None not in sizes:
        return list(sizes)
    extents = input.shape[max(input.dim() - dims, 0) :]
    return [extent if size is None else size for size, extent in zip(sizes, extents, strict=True)]


def _positions(name, output_size):
    """The size of a 1-d output: a number or a sequence of one."""
    sizes = list(output_size) if isinstance(output_size, (tuple, list)) else [output_size]
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            kind = type(size).__name__
            raise TypeError(f"{name}(): argument 'output_size' (position 2) must be tuple of ints, not {kind}")
    if len(sizes) != 1:
        raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(sizes)})")
    if sizes[0] < 0:
        raise RuntimeError(f"{name}: output_size must be greater than or equal to 0 but received {sizes[0]}")
    return sizes


@handed_over
def adaptive_avg_pool1d(input, output_size):
    """Averages ``(N, C, L)`` over windows that give ``output_size`` positions."""
    return _ops.adaptive_avg_pool1d(input, _positions("adaptive_avg_pool1d", output_size))


def adaptive_avg_pool2d(input, output_size):
    """Averages ``(N, C, H, W)`` over windows that give ``output_size``; None keeps an extent."""
    if taken.over and takes_over(input):
        return hand_over(adaptive_avg_pool2d, locals(), input)
    return _ops.adaptive_avg_pool2d(input, _fill_output_size(output_size, input, 2))


def adaptive_avg_pool3d(input, output_size):
    """Averages ``(N, C, D, H, W)`` over windows that give ``output_size``; None keeps an extent."""
    if taken.over and takes_over(input):
        return hand_over(adaptive_avg_pool3d, locals(), input)
    return _ops.adaptive_avg_pool3d(input, _fill_output_size(output_size, input, 3))


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """Takes the maximum of ``(N, C, L)`` over windows that give ``output_size`` positions."""
    if taken.over and takes_over(input):
        function = adaptive_max_pool1d_with_indices if return_indices else adaptive_max_pool1d
        return hand_over(function, locals(), input)
    result = _ops.adaptive_max_pool1d(input, _positions("adaptive_max_pool1d", output_size))
    return tuple(result) if return_indices else result[0]


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """Takes the maximum of ``(N, C, H, W)`` over windows that give ``output_size``; None keeps an extent."""
    if taken.over and takes_over(input):
        function = adaptive_max_pool2d_with_indices if return_indices else adaptive_max_pool2d
        return hand_over(function, locals(), input)
    result = _ops.adaptive_max_pool2d(input, _fill_output_size(output_size, input, 2))
    return tuple(result) if return_indices else result[0]


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """Takes the maximum of ``(N, C, D, H, W)`` over windows that give ``output_size``; None keeps an extent."""
    if taken.over and takes_over(input):
        function = adaptive_max_pool3d_with_indices if return_indices else adaptive_max_pool3d
        return hand_over(function, locals(), input)
    result = _ops.adaptive_max_pool3d(input, _fill_output_size(output_size, input, 3))
    return tuple(result) if return_indices else result[0]


def adaptive_max_pool1d_with_indices(input, output_size, return_indices=False):
    """As :func:`adaptive_max_pool1d`, always returning ``(values, indices)``."""
    if taken.over and takes_over(input):
        return hand_over(adaptive_max_pool1d_with_indices, locals(), input)
    return adaptive_max_pool1d(input, output_size, return_indices=True)


def adaptive_max_pool2d_with_indices(input, output_size, return_indices=False):
    """As :func:`adaptive_max_pool2d`, always returning ``(values, indices)``."""
    if taken.over and takes_over(input):
        return hand_over(adaptive_max_pool2d_with_indices, locals(), input)
    return adaptive_max_pool2d(input, output_size, return_indices=True)


def adaptive_max_pool3d_with_indices(input, output_size, return_indices=False):
    """As :func:`adaptive_max_pool3d`, always returning ``(values, indices)``."""
    if taken.over and takes_over(input):
        return hand_over(adaptive_max_pool3d_with_indices, locals(), input)
    return adaptive_max_pool3d(input, output_size, return_indices=True)


def _ntuple(value, dims):
    if isinstance(value, (tuple, list)):
        return tuple(value) * dims if len(value) == 1 else tuple(value)
    return (value,) * dims


def _unpool_output_size(input, kernel_size, stride, padding, output_size, dims):
    extents = input.shape[input.dim() - dims :]
    default = [(extents[d] - 1) * stride[d] + kernel_size[d] - 2 * padding[d] for d in range(dims)]
    if output_size is None:
        return default
    if len(output_size) == dims + 2:
        output_size = output_size[2:]
    if len(output_size) != dims:
        raise ValueError(
            f"output_size should be a sequence containing {dims} or {dims + 2} elements, but it has a length of "
            f"'{len(output_size)}'"
        )
    for d in range(dims):
        low, high = default[d] - stride[d], default[d] + stride[d]
        if not low < output_size[d] < high:
            raise ValueError(f'invalid output_size "{output_size}" (dim {d} must be between {low} and {high})')
    return output_size


def _max_unpool(input, indices, kernel_size, stride, padding, output_size, dims):
    kernel_size, padding = _ntuple(kernel_size, dims), _ntuple(padding, dims)
    stride = kernel_size if stride is None else _ntuple(stride, dims)
    size = _unpool_output_size(input, kernel_size, stride, padding, output_size, dims)
    if input.dim() not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"Input to max_unpooling{dims}d should be a {dims + 1}d or {dims + 2}d Tensor, "
            f"but got a tensor with {input.dim()} dimensions."
        )
    if indices.shape != input.shape:
        raise RuntimeError(
            "Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    if indices.dtype != corten.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    leading = input.shape[: input.dim() - dims]
    cells = 1
    for extent in size:
        cells *= extent
    if indices.numel() and not indices.is_meta:
        low, high = int(whole(indices).min()), int(whole(indices).max())
        if low < 0 or high >= cells:
            volume = "x".join(str(extent) for extent in size)
            raise RuntimeError(
                f"Found an invalid max index: {low if low < 0 else high} (output volumes are of size {volume})"
            )
    flat = input.new_zeros((*leading, cells))
    result = flat.scatter(-1, indices.flatten(-dims), input.flatten(-dims))
    result = result.reshape((*leading, *size))
    last = dims == 2 and input.dim() == 4 and not input.is_contiguous()
    if last and input.is_contiguous(memory_format=corten.channels_last):
        return result.contiguous(memory_format=corten.channels_last)
    return result


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts the maxima of :func:`max_pool1d` back at their positions among zeros; ``(N, C, L)``."""
    if taken.over and takes_over(input, indices):
        return hand_over(max_unpool1d, locals(), input, indices)
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts the maxima of :func:`max_pool2d` back at their positions among zeros; ``(N, C, H, W)``."""
    if taken.over and takes_over(input, indices):
        return hand_over(max_unpool2d, locals(), input, indices)
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts the maxima of :func:`max_pool3d` back at their positions among zeros; ``(N, C, D, H, W)``."""
    if taken.over and takes_over(input, indices):
        return hand_over(max_unpool3d, locals(), input, indices)
    return _max_unpool(input, indices, kernel_size, stride, padding, output_size, 3)


def _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, dims):
    kernel = _ntuple(kernel_size, dims)
    stride = kernel if stride is None else _ntuple(stride, dims)
    if norm_type in (math.inf, -math.inf):
        sign = 1 if norm_type > 0 else -1
        maximum = getattr(_ops, f"max_pool{dims}d")
        return sign * maximum(sign * input.abs(), kernel, stride, 0, 1, ceil_mode)
    average = getattr(_ops, f"avg_pool{dims}d")
    mean_power = average(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    # The product is the mean itself, without a gradient at 0; windows cut off by ceil_mode count as full ones.
    return (corten.sign(mean_power) * corten.abs(mean_power)).mul(math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """Computes ``(sum x^p)^(1/p)`` over windows of ``(N, C, L)``; p may be infinite."""
    if taken.over and takes_over(input):
        return hand_over(lp_pool1d, locals(), input)
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """Computes ``(sum x^p)^(1/p)`` over windows of ``(N, C, H, W)``; p may be infinite."""
    if taken.over and takes_over(input):
        return hand_over(lp_pool2d, locals(), input)
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """Computes ``(sum x^p)^(1/p)`` over windows of ``(N, C, D, H, W)``; p may be infinite."""
    if taken.over and takes_over(input):
        return hand_over(lp_pool3d, locals(), input)
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


def _fractional_starts(samples, extent, out, kernel):
    """First index of each window along one dimension: ``(N, C, out)`` for samples ``(N, C)`` in [0, 1)."""
    if out == 1:
        return corten.full((*samples.shape, 1), extent - kernel, dtype=corten.int64, device=samples.device)
    alpha = (extent - kernel) / (out - 1)
    steps = corten.arange(out, dtype=samples.dtype, device=samples.device)
    offset = samples.unsqueeze(-1)
    starts = ((steps + offset) * alpha).to(corten.int64) - (offset * alpha).to(corten.int64)
    # The last window always ends at the edge.
    last = (steps == out - 1).expand(starts.shape)
    return corten.where(last, extent - kernel, starts)


def _checked_samples(samples, batch, channels, dims):
    """The first ``batch`` samples of ``(N, C, dims)``."""
    if samples.size(0) < batch:
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.size(1) != channels:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.size(2) != dims:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {dims}; got {samples.size(2)}.")
    return samples[:batch]


def _fractional_max_pool(input, kernel_size, output_size, output_ratio, samples, dims):
    name = f"fractional_max_pool{dims}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    kernel = _ntuple(kernel_size, dims)
    extents = list(input.shape[input.dim() - dims :])
    if output_size is None:
        ratios = _ntuple(output_ratio, dims)
        out = [int(extents[d] * ratios[d]) for d in range(dims)]
    else:
        out = list(_ntuple(output_size, dims))
    for d in range(dims):
        if out[d] + kernel[d] - 1 > extents[d]:
            raise RuntimeError(
                f"{name}(): pool extent {kernel[d]} with output size {out[d]} is too large "
                f"for an input extent of {extents[d]}"
            )
    batched = input.dim() == dims + 2
    x = input if batched else input.unsqueeze(0)
    batch, channels = x.shape[0], x.shape[1]
    if samples is None:
        samples = corten.rand(batch, channels, dims, dtype=input.dtype, device=input.device)
    samples = _checked_samples(samples, batch, channels, dims)
    position = corten.zeros((batch, channels), dtype=corten.int64, device=input.device)
    position = position.reshape(batch, channels, *[1] * (2 * dims))
    for d in range(dims):
        # Samples are ordered from the last dimension to the first, except in three.
        sample = samples[:, :, d if dims == 3 else dims - 1 - d]
        starts = _fractional_starts(sample, extents[d], out[d], kernel[d])
        window = corten.arange(kernel[d], device=input.device)
        index = starts.unsqueeze(-1) + window
        shape = [batch, channels] + [1] * (2 * dims)
        shape[2 + d], shape[2 + dims + d] = out[d], kernel[d]
        position = position * extents[d] + index.reshape(shape)
    windows = position.flatten(2)
    by_window = (batch, channels, *out, math.prod(kernel))
    values = x.flatten(2).gather(2, windows).reshape(by_window)
    best, where = values.max(-1)
    indices = windows.reshape(by_window).gather(-1, where.unsqueeze(-1)).squeeze(-1)
    return (best, indices) if batched else (best.squeeze(0), indices.squeeze(0))


def fractional_max_pool2d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """As :func:`fractional_max_pool2d`, always returning ``(values, indices)``."""
    if taken.over and takes_over(input, _random_samples):
        return hand_over(fractional_max_pool2d_with_indices, locals(), input, _random_samples)
    return _fractional_max_pool(input, kernel_size, output_size, output_ratio, _random_samples, 2)


def fractional_max_pool2d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """Takes maxima over pseudo-random windows of ``(N, C, H, W)`` (Graham 2014).

    Args:
        kernel_size: extent of a window.
        output_size: target ``(oH, oW)``, or
        output_ratio: target size as a fraction of the input's.
        return_indices: also return the maxima's flat positions.
    """
    if taken.over and takes_over(input, _random_samples):
        function = fractional_max_pool2d_with_indices if return_indices else fractional_max_pool2d
        return hand_over(function, locals(), input, _random_samples)
    result = _fractional_max_pool(input, kernel_size, output_size, output_ratio, _random_samples, 2)
    return result if return_indices else result[0]


def fractional_max_pool3d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """As :func:`fractional_max_pool3d`, always returning ``(values, indices)``."""
    if taken.over and takes_over(input, _random_samples):
        return hand_over(fractional_max_pool3d_with_indices, locals(), input, _random_samples)
    return _fractional_max_pool(input, kernel_size, output_size, output_ratio, _random_samples, 3)


def fractional_max_pool3d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """Takes maxima over pseudo-random windows of ``(N, C, D, H, W)``; see :func:`fractional_max_pool2d`."""
    if taken.over and takes_over(input, _random_samples):
        function = fractional_max_pool3d_with_indices if return_indices else fractional_max_pool3d
        return hand_over(function, locals(), input, _random_samples)
    result = _fractional_max_pool(input, kernel_size, output_size, output_ratio, _random_samples, 3)
    return result if return_indices else result[0]
