"""Sampling images and volumes at given coordinates (spatial transformers, Jaderberg et al. 2015)."""

import itertools
import math
import warnings

import corten

from ... import _ops
from ...autograd import Function
from ...overrides import hand_over, taken, takes_over

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


def _cubic_weights(t):
    """The four weights of cubic convolution (Keys 1981) with a = -0.75 at fractions ``t``."""
    a = -0.75

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return far(t + 1), near(t), near(1 - t), far(2 - t)


def _nearest_taps(positions):
    """The pixels read for each position: a weight, or none for 1, and a place on each axis, all ``(N, P)``."""
    yield None, [position.round() for position in positions]


def _linear_taps(positions):
    floors = [position.floor() for position in positions]
    near = [(floor + 1 - position, floor) for position, floor in zip(positions, floors, strict=True)]
    far = [(position - floor, floor + 1) for position, floor in zip(positions, floors, strict=True)]
    for corner in itertools.product(*zip(near, far, strict=True)):
        weights, index = zip(*corner, strict=True)
        yield math.prod(weights[1:], start=weights[0]), index


def _cubic_taps(positions, padded):
    """Of images; ``padded`` brings a place on an axis into the image."""
    (y, x), (floor_y, floor_x) = positions, [position.floor() for position in positions]
    columns = [(weight, padded(floor_x + (j - 1), 1)) for j, weight in enumerate(_cubic_weights(x - floor_x))]
    for i, weight_y in enumerate(_cubic_weights(y - floor_y)):
        row = padded(floor_y + (i - 1), 0)
        for weight_x, column in columns:
            yield weight_y * weight_x, [row, column]


def _read(image, taps):
    """Sums of weighted pixels of ``image`` ``(N, C, *spatial)`` as ``(N, C, P)``; what lies outside is 0."""
    batch, channels, spatial = image.shape[0], image.shape[1], image.shape[2:]
    pixels = math.prod(spatial)
    # A row for each pixel of each image, and one of zeros for all that lies outside.
    rows = corten.cat([*image.flatten(2).transpose(1, 2).unbind(0), image.new_zeros(1, channels)])
    whole = corten.int32 if batch * pixels < 2**31 - 1 else corten.int64
    first = corten.arange(0, batch * pixels, max(pixels, 1), dtype=whole, device=image.device).unsqueeze(1)
    insides, places, weights = {}, [], []

    def inside(axis, extent):
        """Whether a place on an axis is in the image, and the place as an integer; many places share one."""
        if id(axis) not in insides:
            here = (axis >= 0) & (axis <= extent - 1)
            insides[id(axis)] = axis, here, corten.where(here, axis, 0.0).to(whole)
        return insides[id(axis)][1:]

    for weight, index in taps:
        heres, numbers = zip(*map(inside, index, spatial), strict=True)
        here, flat = heres[0], numbers[0]
        for extent, other, number in zip(spatial[1:], heres[1:], numbers[1:], strict=True):
            here, flat = here & other, flat * extent + number
        places.append(corten.where(here, flat + first, batch * pixels))
        weights.append(weight)
    points = places[0].shape[1]
    places = corten.stack(places).flatten(1).t()
    weights = None if weights[0] is None else corten.stack(weights).flatten(1).t()
    found = _ops._embedding_bag_sum(rows, places, weights)
    return found.unflatten(0, (batch, points)).transpose(1, 2).contiguous()


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
    if input.dtype != grid.dtype:
        raise RuntimeError(
            f"grid_sampler(): expected input and grid to have the same dtype, but got {input.dtype} and {grid.dtype}"
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
    if taken.over and takes_over(input, grid):
        return hand_over(grid_sample, locals(), input, grid)
    _check(input, grid, mode, padding_mode)
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for "
            "details.",
            stacklevel=2,
        )
        align_corners = False
    if input.dtype in (corten.float16, corten.bfloat16):
        # Positions of pixels have more digits than a half type holds.
        return _sampled(input.float(), grid.float(), mode, padding_mode, align_corners).to(input.dtype)
    return _sampled(input, grid, mode, padding_mode, align_corners)


class _Native(Function):
    """The CPU's kernels; derivatives of derivatives are those of the operators that `_composed` puts together."""

    @staticmethod
    def forward(ctx, input, grid, *rules):
        ctx.save_for_backward(input, grid)
        ctx.rules = rules
        return _ops._grid_sample(input, grid, *rules)

    @staticmethod
    def backward(ctx, gradient):
        (input, grid), (by_input, by_grid) = ctx.saved_tensors, ctx.needs_input_grad[:2]
        if corten.is_grad_enabled():
            wanted = [x for x, needed in ((input, by_input), (grid, by_grid)) if needed]
            found = iter(corten.autograd.grad(_composed(input, grid, *ctx.rules), wanted, gradient, create_graph=True))
            return next(found) if by_input else None, next(found) if by_grid else None, None, None, None
        of_input = _ops._grid_sample_image_grad(gradient, grid, input.shape, *ctx.rules) if by_input else None
        of_grid = _ops._grid_sample_grid_grad(gradient, input, grid, *ctx.rules) if by_grid else None
        return of_input, of_grid, None, None, None


def _composed(input, grid, mode, padding_mode, align_corners):
    spatial = input.shape[2:]
    points = grid.reshape(grid.shape[0], math.prod(grid.shape[1:-1]), grid.shape[-1])
    # The grid's last dimension runs from the last axis of the image to the first.
    positions = [
        _to_pixels(points[..., len(spatial) - 1 - axis], extent, align_corners) for axis, extent in enumerate(spatial)
    ]

    def padded(position, axis):
        return _apply_padding(position, spatial[axis], padding_mode, align_corners)

    if mode == "bicubic":
        result = _read(input, _cubic_taps(positions, padded))
    else:
        positions = [padded(position, axis) for axis, position in enumerate(positions)]
        result = _read(input, (_nearest_taps if mode == "nearest" else _linear_taps)(positions))
    if mode == "nearest" and grid.requires_grad:
        # The derivative by the coordinates is zero, not absent.
        zeros = corten.where(points.isfinite(), points, 0.0).sum(-1) * 0
        result = result + zeros.unsqueeze(1)
    return result.reshape(input.shape[0], input.shape[1], *grid.shape[1:-1])


def _sampled(input, grid, mode, padding_mode, align_corners):
    # What a transformation has made, as a batch of `vmap`, knows the rules of the operators that are put together, and
    # those replay without Python.
    plain = input.device.type == grid.device.type == "cpu" and type(input) is type(grid) is corten.Tensor
    sampled = _Native.apply if plain and not corten.compiler.is_compiling() else _composed
    return sampled(input, grid, mode, padding_mode, align_corners)
