"""Rearranging and resampling images: pixel shuffles, unfold and fold, interpolate, grid_sample."""

import warnings

import corten

from ... import _ops
from ..._composites._arguments import handed_over
from ...overrides import hand_over, taken, takes_over
from .lanczos import resample


def _formatted(output, input, factor=0):
    """The result of a batch of images in its memory format; by a factor of 1 nothing moved, and it may be a view."""
    output = output.contiguous() if factor == 1 else output
    follows = input.dim() == 4 and not input.is_contiguous() and input.is_contiguous(memory_format=corten.channels_last)
    return output.contiguous(memory_format=corten.channels_last) if follows else output


@handed_over
def pixel_shuffle(input, upscale_factor):
    """Moves channels into space: ``(*, C r², H, W)`` to ``(*, C, H r, W r)`` (Shi et al. 2016)."""
    if input.dim() < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)"
        )
    r = upscale_factor
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *leading, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}"
        )
    n = len(leading)
    blocks = input.reshape(*leading, channels // (r * r), r, r, height, width)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return _formatted(blocks.permute(order).reshape(*leading, channels // (r * r), height * r, width * r), input, r)


@handed_over
def pixel_unshuffle(input, downscale_factor):
    """Moves space into channels: ``(*, C, H r, W r)`` to ``(*, C r², H, W)``, undoing :func:`pixel_shuffle`."""
    if input.dim() < 3:
        raise RuntimeError(
            "pixel_unshuffle expects input to have at least 3 dimensions, but got input with "
            f"{input.dim()} dimension(s)"
        )
    r = downscale_factor
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *leading, channels, height, width = input.shape
    for name, dim, extent in (("height", -2, height), ("width", -1, width)):
        if extent % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({dim})={extent} "
                f"is not divisible by {r}"
            )
    n = len(leading)
    blocks = input.reshape(*leading, channels, height // r, r, width // r, r)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return _formatted(blocks.permute(order).reshape(*leading, channels * r * r, height // r, width // r), input, r)


@handed_over
def channel_shuffle(input, groups):
    """Interleaves ``groups`` equal groups of channels of ``(N, C, *)`` (Zhang et al. 2018)."""
    if input.dim() < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    channels = input.shape[1]
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups."
        )
    grouped = input.reshape(input.shape[0], groups, channels // groups, *input.shape[2:])
    return _formatted(grouped.transpose(1, 2).reshape(input.shape), input)


def pad(input, pad, mode="constant", value=None):
    """Pads the last dimensions; ``pad`` is ``(left, right, top, bottom, ...)`` from the last dimension on.

    Args:
        mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        value: the constant; 0 by default.
    """
    if taken.over and takes_over(input):
        return hand_over(corten.nn.functional.pad, locals(), input)
    if mode != "constant" and value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    return _ops.pad(input, tuple(pad), mode, value)


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Copies sliding blocks of ``(N, C, H, W)`` into columns ``(N, C * kernel area, blocks)``."""
    if taken.over and takes_over(input):
        return hand_over(unfold, locals(), input)
    return _ops.im2col(input, _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride))


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Sums columns ``(N, C * kernel area, blocks)`` back into images ``(N, C, *output_size)``."""
    if taken.over and takes_over(input):
        return hand_over(fold, locals(), input)
    return _ops.col2im(input, _pair(output_size), _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride))


_MODES_BY_NDIM = {
    3: ("nearest", "nearest-exact", "area", "linear"),
    4: ("nearest", "nearest-exact", "area", "bilinear", "bicubic", "lanczos"),
    5: ("nearest", "nearest-exact", "area", "trilinear"),
}
_ALL_MODES = ("nearest", "linear", "bilinear", "bicubic", "trilinear", "lanczos", "area", "nearest-exact")


def _interpolate_target(input, size, scale_factor):
    """Returns (output size or None, scale factors or None), one entry per spatial dimension."""
    dims = input.dim() - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None:
        if not isinstance(size, (list, tuple)):
            return [size] * dims, None
        if len(size) != dims:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {list(input.shape[2:])} and output size of {size}. Please provide input tensor in "
                "(N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
            )
        return list(size), None
    if isinstance(scale_factor, str):
        raise TypeError("interpolate(): argument 'scale_factor' must be a number or a sequence of numbers, not str")
    if not isinstance(scale_factor, (list, tuple)):
        return None, [float(scale_factor)] * dims
    if len(scale_factor) != dims:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
            f"dimensions of {list(input.shape[2:])} and scale_factor of shape {scale_factor}. Please provide input "
            "tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
        )
    return None, [float(factor) for factor in scale_factor]


def _check_interpolate_mode(input, mode, antialias, align_corners):
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.dim() == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if input.dim() not in _MODES_BY_NDIM or mode not in _ALL_MODES:
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported "
            f"(got {input.dim()}D) for the modes: {' | '.join(_ALL_MODES)} (got {mode})"
        )
    if mode not in _MODES_BY_NDIM[input.dim()]:
        needed = {"linear": 3, "bilinear": 4, "bicubic": 4, "lanczos": 4, "trilinear": 5}[mode]
        raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {needed}D input")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Resamples the spatial dimensions of ``(N, C, L)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)``.

    Args:
        size: the output's spatial size, or
        scale_factor: its ratio to the input's; the output size is the floor of the product.
        mode: ``nearest``, ``nearest-exact``, ``area``, ``linear`` (3-d), ``bilinear``, ``bicubic``, ``lanczos`` (4-d)
            or ``trilinear`` (5-d).
        align_corners: for the interpolating modes, align the centres of the corner pixels instead of the edges.
        recompute_scale_factor: compute with the ratio of the sizes instead of ``scale_factor``.
        antialias: low-pass filter when shrinking (bilinear, bicubic and lanczos, 4-d); lanczos needs it.
    """
    if taken.over and takes_over(input):
        return hand_over(interpolate, locals(), input)
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    align_corners = bool(align_corners)
    output_size, factors = _interpolate_target(input, size, scale_factor)
    if recompute_scale_factor and output_size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    _check_interpolate_mode(input, mode, antialias, align_corners)
    if output_size is None:
        output_size = [int(float(extent) * factor) for extent, factor in zip(input.shape[2:], factors, strict=True)]
        if recompute_scale_factor:
            factors = None
    if mode == "area":
        pool = getattr(_ops, f"adaptive_avg_pool{input.dim() - 2}d")
        return pool(input, output_size)
    if mode == "lanczos":
        return resample(input, output_size, factors)
    return _ops.interpolate_nd(input, output_size, factors, mode, align_corners, antialias)


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """Old name of :func:`interpolate`."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """:func:`interpolate` with ``mode="nearest"``; deprecated."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """:func:`interpolate` with ``mode="bilinear"`` and aligned corners; deprecated."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _axis_coordinates(extent, align_corners, like):
    """Sample positions of one axis in [-1, 1]."""
    if extent <= 1:
        return like.new_zeros(extent)
    points = corten.linspace(-1, 1, extent, dtype=like.dtype, device=like.device)
    # Without aligned corners the outermost samples are half a pixel inside.
    return points if align_corners else points * ((extent - 1) / extent)


def affine_grid(theta, size, align_corners=None):
    """Sampling grid of affine maps, for :func:`grid_sample`.

    Args:
        theta: matrices ``(N, 2, 3)`` for images or ``(N, 3, 4)`` for volumes.
        size: the output size ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
        align_corners: whether -1 and 1 mean pixel centres or outer edges.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)``.
    """
    if taken.over and takes_over(theta):
        return hand_over(affine_grid, locals(), theta)
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for "
            "details.",
            stacklevel=2,
        )
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    spatial = list(size)[2:]
    dims = len(spatial)
    if dims not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    if theta.dim() != 3 or theta.shape[-2] != dims or theta.shape[-1] != dims + 1:
        kind = "2D affine matrices of shape Nx2x3" if dims == 2 else "3D affine matrices of shape Nx3x4"
        raise ValueError(f"Expected a batch of {kind} for size {size}. Got {theta.shape}.")
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    columns = []
    for axis in range(dims - 1, -1, -1):
        shape = [1] * dims
        shape[axis] = spatial[axis]
        coordinates = _axis_coordinates(spatial[axis], align_corners, theta)
        columns.append(coordinates.reshape(shape).expand(spatial))
    columns.append(theta.new_ones(()).expand(spatial))
    base = corten.stack(columns, -1).reshape(-1, dims + 1)
    return (base @ theta.transpose(1, 2)).reshape(size[0], *spatial, dims)
