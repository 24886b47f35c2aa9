"""Matrices of affine and perspective maps, from output pixels to input pixels."""

import math

import corten


def inverse_affine_matrix(center, angle, translate, scale, shear, inverted=True):
    """The six numbers of the map: with ``inverted`` from the output's pixels to the input's, else the way back.

    The image is sheared, scaled and turned about ``center``, then moved: M = T · C · R(angle) · S(shear) · scale · C⁻¹.

    Args:
        center: what stays in place, ``(x, y)``.
        angle: degrees, clockwise in an image whose rows count downwards.
        translate: ``(x, y)`` in pixels.
        scale: the factor of sizes.
        shear: degrees along x and y.
    """
    turn, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    (centre_x, centre_y), (move_x, move_y) = center, translate
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn)
    if not inverted:
        a, b, c, d = (value * scale for value in (a, b, c, d))
        return [
            *(a, b, move_x + centre_x - a * centre_x - b * centre_y),
            *(c, d, move_y + centre_y - c * centre_x - d * centre_y),
        ]
    # Turning and shearing keep areas, so the inverse of (a, b; c, d) has no determinant to divide by.
    a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
    x, y = centre_x + move_x, centre_y + move_y
    return [a, b, centre_x - a * x - b * y, c, d, centre_y - c * x - d * y]


def rotated_size(matrix, width, height):
    """Width and height of the smallest canvas that holds the whole turned image."""
    half_x, half_y = 0.5 * width, 0.5 * height
    corners = [(-half_x, -half_y), (-half_x, half_y), (half_x, half_y), (half_x, -half_y)]
    xs = [matrix[0] * x + matrix[1] * y + matrix[2] for x, y in corners]
    ys = [matrix[3] * x + matrix[4] * y + matrix[5] for x, y in corners]
    sizes = []
    for values, half in ((xs, half_x), (ys, half_y)):
        # Rounded, so that an error of arithmetic does not add a pixel.
        low, high = (round((value + half) * 1000) / 1000 for value in (min(values), max(values)))
        sizes.append(math.ceil(high) - math.floor(low))
    return sizes


def perspective_coefficients(startpoints, endpoints):
    """The eight numbers of the map that takes ``endpoints`` to ``startpoints``, four corners ``[x, y]`` each.

    Raises:
        ValueError: not four corners.
    """
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints."
        )
    rows = []
    for (start_x, start_y), (end_x, end_y) in zip(startpoints, endpoints):
        rows.append([end_x, end_y, 1, 0, 0, 0, -start_x * end_x, -start_x * end_y])
        rows.append([0, 0, 0, end_x, end_y, 1, -start_y * end_x, -start_y * end_y])
    given = [float(value) for point in startpoints for value in point]
    matrix = corten.tensor(rows, dtype=corten.float64, device="cpu")
    values = corten.tensor(given, dtype=corten.float64, device="cpu")
    return corten.linalg.lstsq(matrix, values[:, None], driver="gels").solution[:, 0].float().tolist()


def affine_arguments(angle, translate, scale, shear, center):
    """Checked and in full: angle, translate, shear and centre.

    Raises:
        TypeError, ValueError: what is no affine map.
    """
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (int, float, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    shear = [shear, 0.0] if isinstance(shear, (int, float)) else list(shear)
    if len(shear) == 1:
        shear = shear * 2
    if len(shear) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    if center is not None:
        if not isinstance(center, (list, tuple)):
            raise TypeError("Argument center should be a sequence")
        if len(center) != 2:
            raise ValueError("Argument center should be a sequence of length 2")
        center = [float(value) for value in center]
    return float(angle), [float(value) for value in translate], [float(value) for value in shear], center
