"""Random parameters, drawn from the CPU's generator as torchvision draws them, so that seeds give its numbers."""

import math

import corten


def uniform(low, high):
    """A number from ``low`` to ``high``."""
    return corten.empty(1, device="cpu").uniform_(float(low), float(high)).item()


def integer(low, high):
    """An integer from ``low`` to ``high`` (not included)."""
    return int(corten.randint(low, high, size=(1,), device="cpu").item())


def happens(p):
    """True with probability ``p``."""
    return corten.rand(1, device="cpu").item() < p


def box_of_area(height, width, scale, ratio):
    """Sizes ``(height, width)`` of boxes with a share of the area and a ratio of edges from these ranges, ten of them.

    Yields the two numbers before and after the square root: whoever asks decides which is the height.
    """
    log_ratio = corten.log(corten.tensor(ratio, dtype=corten.float32, device="cpu")).tolist()
    for _ in range(10):
        area = height * width * uniform(scale[0], scale[1])
        aspect = corten.exp(corten.empty(1, device="cpu").uniform_(log_ratio[0], log_ratio[1])).item()
        yield round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def resized_crop_box(height, width, scale, ratio):
    """``(top, left, height, width)`` of the box that `RandomResizedCrop` cuts out."""
    for crop_width, crop_height in box_of_area(height, width, scale, ratio):
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = integer(0, height - crop_height + 1)
            return top, integer(0, width - crop_width + 1), crop_height, crop_width
    # The middle, in the nearest ratio.
    present = width / height
    if present < min(ratio):
        crop_width, crop_height = width, round(width / min(ratio))
    elif present > max(ratio):
        crop_width, crop_height = round(height * max(ratio)), height
    else:
        crop_width, crop_height = width, height
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def perspective_points(width, height, distortion_scale):
    """The image's corners, and where they come to lie: each at most that share of a half of the image inwards."""
    inward_x, inward_y = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
    endpoints = []
    for right, bottom in ((False, False), (True, False), (True, True), (False, True)):
        x = integer(width - inward_x - 1, width) if right else integer(0, inward_x + 1)
        y = integer(height - inward_y - 1, height) if bottom else integer(0, inward_y + 1)
        endpoints.append([x, y])
    corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    return corners, endpoints


def affine_parameters(degrees, translate, scale_ranges, shears, img_size):
    """Angle, translation, scale and shear from their ranges."""
    angle = uniform(degrees[0], degrees[1])
    moves = (0, 0)
    if translate is not None:
        most = [float(share * size) for share, size in zip(translate, img_size)]
        moves = tuple(round(uniform(-move, move)) for move in most)
    scale = 1.0 if scale_ranges is None else uniform(scale_ranges[0], scale_ranges[1])
    shear_x = shear_y = 0.0
    if shears is not None:
        shear_x = uniform(shears[0], shears[1])
        shear_y = uniform(shears[2], shears[3]) if len(shears) == 4 else 0.0
    return angle, moves, scale, (shear_x, shear_y)


def elastic_displacement(alpha, sigma, size, extents=None):
    """A smooth random displacement ``(1, H, W, 2)``.

    Args:
        alpha, sigma: how far and how smooth, in pixels along x and y.
        size: ``(height, width)``.
        extents: what a displacement along x and y is a share of; None for ``size`` as it stands, which torchvision's
            first version takes for it.
    """
    from ._color import gaussian_blur

    parts = []
    for axis in range(2):
        part = corten.rand([1, 1, *size], device="cpu") * 2 - 1
        if sigma[axis] > 0.0:
            kernel = int(8 * sigma[axis] + 1)
            kernel += kernel % 2 == 0
            part = gaussian_blur(part, [kernel, kernel], list(sigma) if len(sigma) == 2 else [sigma[0]] * 2)
        parts.append(part * alpha[axis] / (extents or size)[axis])
    return corten.cat(parts, 1).permute(0, 2, 3, 1)


def jitter_parameters(brightness, contrast, saturation, hue):
    """The order of the four changes, and a factor for each range, None where there is no range."""
    order = corten.randperm(4, device="cpu")
    ranges = (brightness, contrast, saturation, hue)
    return (order, *(None if bounds is None else uniform(bounds[0], bounds[1]) for bounds in ranges))
