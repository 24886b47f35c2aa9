"""Sampling images and volumes at given coordinates (spatial transformers, Jaderberg et al. 2015)."""

import itertools
import math
import warnings

import corten

_MODES = ("bilinear", "nearest", "bicubic")
_PADDING_MODES = ("zeros", "border", "reflection")


def _to_pixels(coordinate, extent, align_corners):
    """From [-1, 1] to pixel positions, where 0 is the centre of the first pixel."""
    if align_corners:
        return (coordinate + 1) / 2 * (extent - 1)
    return ((coordinate + 1) * extent - 1) / 2


def _reflect(position, low2, high2):
    """Reflects positions into [low2 / 2, high2 / 2]; the bounds come doubled to stay integers."""
    if low2 == high2:
        return corten.zeros_like(position)
    low, span = low2 / 2, (high2 - low2) / 2
    distance = (position - low).abs()
    extra = corten.fmod(distance, span)
    flips = corten.floor(distance / span)
    return corten.where(flips % 2 == 0, extra + low, span - extra + low)


def _apply_padding(position, extent, padding_mode, align_corners):
    """Brings positions into the image for border and reflection padding.

    As in PyTorch on the CPU, positions that are no numbers become the first pixel, and so do infinite ones that are
    reflected. With zeros for padding they stay: their weights, and so the values sampled there, are NaN.
    """
    if padding_mode == "zeros":
        return position
    if padding_mode == "reflection":
        bounds = (0, 2 * (extent - 1)) if align_corners else (-1, 2 * extent - 1)
        position = _reflect(position, *bounds)
    return corten.where(position.isnan(), 0.0, position).clamp(0, extent - 1)


def _gather(image, index):
    """Values ``(N, C, P)`` of ``image`` ``(N, C, *spatial)`` at integer positions ``index``, one ``(N, P)`` an axis.

    Positions outside the image, and those that are no numbers, give zero.
    """
    spatial = image.shape[2:]
    inside, flat = None, None
    for extent, axis in zip(spatial, index, strict=True):
        here = (axis >= 0) & (axis <= extent - 1)
        inside = here if inside is None else inside & here
        safe = corten.where(here, axis, 0.0).to(corten.int64)
        flat = safe if flat is None else flat * extent + safe
    channels = image.shape[1]
    values = image.flatten(2).gather(2, flat.unsqueeze(1).expand(-1, channels, -1))
    return values * inside.unsqueeze(1).to(image.dtype)


def _cubic_weights(t):
    """The four weights of cubic convolution (Keys 1981) with a = -0.75 at fractions ``t``."""
    a = -0.75

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return far(t + 1), near(t), near(1 - t), far(2 - t)


def _linear(image, positions):
    floors = [position.floor() for position in positions]
    result = None
    for corner in itertools.product((0, 1), repeat=len(positions)):
        weight = None
        for offset, position, floor in zip(corner, positions, floors, strict=True):
            part = position - floor if offset else floor + 1 - position
            weight = part if weight is None else weight * part
        index = [floor + offset for offset, floor in zip(corner, floors, strict=True)]
        term = _gather(image, index) * weight.unsqueeze(1)
        result = term if result is None else result + term
    return result


def _bicubic(image, positions, padding_mode, align_corners):
    (y, x), (height, width) = positions, image.shape[2:]
    floor_y, floor_x = y.floor(), x.floor()
    weights_y, weights_x = _cubic_weights(y - floor_y), _cubic_weights(x - floor_x)
    result = None
    for i, weight_y in enumerate(weights_y):
        index_y = _apply_padding(floor_y + (i - 1), height, padding_mode, align_corners)
        row = None
        for j, weight_x in enumerate(weights_x):
            index_x = _apply_padding(floor_x + (j - 1), width, padding_mode, align_corners)
            term = _gather(image, (index_y, index_x)) * weight_x.unsqueeze(1)
            row = term if row is None else row + term
        row = row * weight_y.unsqueeze(1)
        result = row if result is None else result + row
    return result


def _check(input, grid, mode, padding_mode):
    if mode not in _MODES:
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in _PADDING_MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with "
            f"sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != input.dim() - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {input.dim() - 2} in last dimension, but got grid with "
            f"sizes {list(grid.shape)}"
        )
    if mode == "bicubic" and input.dim() == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if min(input.shape[2:]) == 0:
        raise RuntimeError(
            f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
            f"{list(input.shape)}"
        )


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Samples ``input`` at the coordinates in ``grid``.

    Args:
        input: ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
        grid: ``(N, oH, oW, 2)`` of ``(x, y)`` or ``(N, oD, oH, oW, 3)`` of ``(x, y, z)``, in [-1, 1].
        mode: ``bilinear`` (trilinear for volumes), ``nearest`` or ``bicubic`` (images only).
        padding_mode: what lies outside: ``zeros``, ``border`` or ``reflection``.
        align_corners: whether -1 and 1 mean the centres of the corner pixels or their outer edges.

    Returns:
        ``(N, C, oH, oW)`` or ``(N, C, oD, oH, oW)``.
    """
    _check(input, grid, mode, padding_mode)
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for "
            "details.",
            stacklevel=2,
        )
        align_corners = False
    half = input.dtype in (corten.float16, corten.bfloat16)
    if half and grid.dtype == input.dtype:
        # Positions of pixels have more digits than a half type holds.
        return _sampled(input.float(), grid.float(), mode, padding_mode, align_corners).to(input.dtype)
    return _sampled(input, grid, mode, padding_mode, align_corners)


def _sampled(input, grid, mode, padding_mode, align_corners):
    spatial = input.shape[2:]
    points = grid.reshape(grid.shape[0], math.prod(grid.shape[1:-1]), grid.shape[-1])
    # The grid's last dimension runs from the last axis of the image to the first.
    positions = [
        _to_pixels(points[..., len(spatial) - 1 - axis], extent, align_corners) for axis, extent in enumerate(spatial)
    ]
    if mode == "bicubic":
        result = _bicubic(input, positions, padding_mode, align_corners)
    else:
        positions = [
            _apply_padding(position, extent, padding_mode, align_corners)
            for position, extent in zip(positions, spatial, strict=True)
        ]
        if mode == "nearest":
            result = _gather(input, [position.round() for position in positions])
            if grid.requires_grad:
                # The derivative by the coordinates is zero, not absent.
                zeros = corten.where(points.isfinite(), points, 0.0).sum(-1) * 0
                result = result + zeros.unsqueeze(1)
        else:
            result = _linear(input, positions)
    return result.reshape(input.shape[0], input.shape[1], *grid.shape[1:-1])
