"""Geometry of tensors ``(..., C, H, W)``; the names are those of `functional`, which checks and describes arguments."""

import corten

from ._common import InterpolationMode, check_tensor_image
from ._matrices import inverse_affine_matrix, perspective_coefficients, rotated_size

functional = corten.nn.functional

NEAREST = InterpolationMode.NEAREST
BILINEAR = InterpolationMode.BILINEAR
BICUBIC = InterpolationMode.BICUBIC


def _four_dims(image):
    channels = image.shape[-3] if image.dim() > 2 else 1
    return image.reshape(image.shape[:-3].numel(), channels, *image.shape[-2:])


def _as_batch(image, dtypes=()):
    """The image as ``(N, C, H, W)``, floating point unless its dtype is named."""
    image = _four_dims(image)
    return image if image.is_floating_point() or image.dtype in dtypes else image.float()


def _back(batch, like):
    """In the shape and dtype of the image it was made of, but for height and width."""
    if not like.is_floating_point() and batch.dtype != like.dtype:
        batch = batch.round()
    return batch.to(like.dtype).reshape(*like.shape[:-2], *batch.shape[-2:])


def horizontal_flip(image):
    check_tensor_image(image)
    return image.flip(-1)


def vertical_flip(image):
    check_tensor_image(image)
    return image.flip(-2)


def crop(image, top, left, height, width):
    check_tensor_image(image)
    rows, columns = image.shape[-2:]
    right, bottom = left + width, top + height
    inside = image[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if left >= 0 and top >= 0 and right <= columns and bottom <= rows:
        return inside
    padding = [
        *(max(min(right, 0) - left, 0), max(right - max(columns, left), 0)),
        *(max(min(bottom, 0) - top, 0), max(bottom - max(rows, top), 0)),
    ]
    return functional.pad(inside, padding, value=0)


def resize(image, size, interpolation, antialias):
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    if not image.shape[:-2].numel():
        return image.new_zeros(*image.shape[:-2], *size)
    kept = (corten.uint8,) if interpolation in (NEAREST, InterpolationMode.NEAREST_EXACT) else ()
    smooth = interpolation in (BILINEAR, BICUBIC, InterpolationMode.LANCZOS)
    batch = functional.interpolate(
        _as_batch(image, kept),
        size=list(size),
        mode=interpolation.value,
        align_corners=False if smooth else None,
        antialias=bool(antialias) and smooth,
    )
    if interpolation != BILINEAR and smooth and image.dtype == corten.uint8:
        batch = batch.clamp(0, 255)
    return _back(batch, image)


def pad(image, padding, fill, mode):
    """Pads by ``padding`` ``[left, top, right, bottom]``; fill is a number or one for each channel."""
    left, top, right, bottom = padding
    sides = [left, right, top, bottom]
    if mode == "constant":
        if isinstance(fill, (list, tuple)) and len(fill) > 1:
            return _pad_channels(image, sides, fill)
        fill = fill[0] if isinstance(fill, (list, tuple)) else fill
        return functional.pad(image, sides, value=0 if fill is None else fill)
    # Negative padding cuts, in every mode.
    if min(sides) < 0:
        rows, columns = image.shape[-2:]
        image = image[..., max(-top, 0) : rows - max(-bottom, 0), max(-left, 0) : columns - max(-right, 0)]
        left, top, right, bottom = (max(side, 0) for side in padding)
        sides = [left, right, top, bottom]
    if mode == "symmetric":
        rows, columns = image.shape[-2:]
        return image.index_select(-2, _mirrored(rows, top, bottom, image)).index_select(
            -1, _mirrored(columns, left, right, image)
        )
    batch = functional.pad(_four_dims(image), sides, mode="replicate" if mode == "edge" else mode)
    return batch.reshape(*image.shape[:-2], *batch.shape[-2:])


def _pad_channels(image, sides, fill):
    values = corten.tensor(list(fill), dtype=image.dtype, device=image.device).reshape(-1, 1, 1)
    inside = functional.pad(corten.ones(image.shape[-2:], dtype=corten.bool, device=image.device), sides, value=False)
    return corten.where(inside, functional.pad(image, sides, value=0), values)


def _mirrored(extent, before, after, image):
    """Indices along an axis that go on as in a mirror at the border, the border's pixel included."""
    if max(before, after) > extent:
        raise RuntimeError(
            f"pad: symmetric padding is at most the image's size, got {before} and {after} for {extent} pixels"
        )
    index = corten.arange(-before, extent + after, device=image.device)
    index = corten.where(index < 0, -1 - index, index)
    return corten.where(index >= extent, 2 * extent - 1 - index, index)


def sample(image, grid, interpolation, fill):
    """Values at a grid ``(1, H, W, 2)`` of places from -1 to 1; what lies outside is filled.

    Args:
        fill: None for zeros, or a number, or one for each channel.
    """
    batch = _as_batch(image)
    grid = grid.to(batch.dtype).expand(batch.shape[0], -1, -1, -1)
    options = dict(mode=interpolation.value, padding_mode="zeros", align_corners=False)
    if fill is None:
        return _back(functional.grid_sample(batch, grid, **options), image)
    inside = corten.ones_like(batch[:, :1])
    batch = functional.grid_sample(corten.cat([batch, inside], 1), grid, **options)
    batch, share = batch[:, :-1], batch[:, -1:]
    fill = list(fill) if isinstance(fill, (list, tuple)) else [fill]
    if len(fill) not in (1, batch.shape[1]):
        raise ValueError(
            "The number of elements in 'fill' cannot broadcast to match the number of "
            f"channels of the image ({len(fill)} != {batch.shape[1]})"
        )
    values = corten.tensor([float(value) for value in fill], dtype=batch.dtype, device=batch.device).reshape(
        1, -1, 1, 1
    )
    if interpolation == NEAREST:
        batch = corten.where(share < 0.5, values, batch)
    else:
        batch = batch * share + (1.0 - share) * values
    return _back(batch, image)


def check_sampling(interpolation, modes):
    """Refuses modes in which tensors are not sampled.

    Raises:
        ValueError: such a mode.
    """
    if interpolation not in modes:
        raise ValueError(f"Interpolation mode '{interpolation.value}' is unsupported with Tensor input")


def _options(image):
    """Dtype and device of the grids that the image is sampled at."""
    return dict(dtype=image.dtype if image.is_floating_point() else corten.float32, device=image.device)


def _pixel_grid(width, height, **options):
    """Places ``(height, width, 3)`` of pixels' centres from the middle of the image, with a 1 behind."""
    x = corten.linspace(-width * 0.5 + 0.5, width * 0.5 - 0.5, width, **options)
    y = corten.linspace(-height * 0.5 + 0.5, height * 0.5 - 0.5, height, **options)
    ones = corten.ones(height, width, **options)
    return corten.stack([x.expand(height, width), y[:, None].expand(height, width), ones], -1)


def _affine_grid(matrix, image, width, height):
    """The grid of an output of this size."""
    options = _options(image)
    theta = corten.tensor(matrix, **options).reshape(2, 3)
    rows, columns = image.shape[-2:]
    halves = corten.tensor([0.5 * columns, 0.5 * rows], **options)
    return (_pixel_grid(width, height, **options) @ (theta.T / halves))[None]


def _from_middle(center, image):
    """The centre counted from the image's middle, where the grid has its zero."""
    if center is None:
        return [0.0, 0.0]
    rows, columns = image.shape[-2:]
    return [center[0] - columns * 0.5, center[1] - rows * 0.5]


def affine(image, angle, translate, scale, shear, interpolation, fill, center):
    check_sampling(interpolation, (NEAREST, BILINEAR))
    if not image.numel():
        return image
    matrix = inverse_affine_matrix(_from_middle(center, image), angle, translate, scale, shear)
    rows, columns = image.shape[-2:]
    return sample(image, _affine_grid(matrix, image, columns, rows), interpolation, fill)


def rotate(image, angle, interpolation, expand, center, fill):
    check_sampling(interpolation, (NEAREST, BILINEAR))
    matrix = inverse_affine_matrix(_from_middle(center, image), -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    rows, columns = image.shape[-2:]
    width, height = rotated_size(matrix, columns, rows) if expand else (columns, rows)
    if not image.numel():
        return image
    return sample(image, _affine_grid(matrix, image, width, height), interpolation, fill)


def perspective(image, startpoints, endpoints, interpolation, fill, coefficients=None):
    check_sampling(interpolation, (NEAREST, BILINEAR))
    if not image.numel():
        return image
    if coefficients is None:
        coefficients = perspective_coefficients(startpoints, endpoints)
    rows, columns = image.shape[-2:]
    options = _options(image)
    x = corten.linspace(0.5, columns - 0.5, columns, **options)
    y = corten.linspace(0.5, rows - 0.5, rows, **options)[:, None]
    a, b, c, d, e, f, g, h = coefficients
    below = g * x + h * y + 1.0
    grid = corten.stack(
        [(a * x + b * y + c) / (0.5 * columns) / below - 1.0, (d * x + e * y + f) / (0.5 * rows) / below - 1.0], -1
    )
    return sample(image, grid[None], interpolation, fill)


def elastic(image, displacement, interpolation, fill):
    check_sampling(interpolation, (NEAREST, BILINEAR, BICUBIC))
    if not image.numel():
        return image
    rows, columns = image.shape[-2:]
    grid = identity_grid(rows, columns, **_options(image))
    return sample(image, grid + displacement.to(image.device, grid.dtype), interpolation, fill)


def identity_grid(rows, columns, **options):
    """Where each pixel is, ``(1, rows, columns, 2)`` from -1 to 1."""
    x = corten.linspace((1 - columns) / columns, (columns - 1) / columns, columns, **options)
    y = corten.linspace((1 - rows) / rows, (rows - 1) / rows, rows, **options)
    return corten.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], -1)[None]


def erase(image, i, j, h, w, v, inplace=False):
    image = image if inplace else image.clone()
    image[..., i : i + h, j : j + w] = v
    return image
