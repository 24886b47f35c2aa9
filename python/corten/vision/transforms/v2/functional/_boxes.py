"""Geometry of boxes: each function takes boxes ``(N, 4)`` that know their format and image, and returns new ones.

Corners are moved as pixels are, and the result is the box around them, cut off at the image's border.
"""

import corten
from corten.vision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from ..._common import crop_corner, parse_padding, resized_size, setup_size
from ..._matrices import inverse_affine_matrix, perspective_coefficients, rotated_size
from ..._warp import identity_grid

XYXY = BoundingBoxFormat.XYXY


def convert(boxes, old, new):
    """Boxes in another format; integers stay integers."""
    if old == new:
        return boxes
    first, second = boxes[..., :2], boxes[..., 2:]
    if old == BoundingBoxFormat.XYWH:
        first, second = first, first + second
    elif old == BoundingBoxFormat.CXCYWH:
        half = _half(second)
        first, second = first - half, first - half + second if not boxes.is_floating_point() else first + half
    if new == BoundingBoxFormat.XYWH:
        second = second - first
    elif new == BoundingBoxFormat.CXCYWH:
        size = second - first
        first, second = (first + second) * 0.5 if boxes.is_floating_point() else _half(first + second), size
    return corten.cat([first, second], -1)


def _half(values):
    return values * 0.5 if values.is_floating_point() else corten.div(values, 2, rounding_mode="floor")


def clamp(corners, canvas_size):
    """Corners moved into the image."""
    height, width = canvas_size
    x, y = corners[..., 0::2].clamp(0, width), corners[..., 1::2].clamp(0, height)
    return corten.stack([x, y], -1).reshape(corners.shape)


def _corners(boxes):
    return convert(boxes.as_subclass(corten.Tensor), boxes.format, XYXY)


def _made(corners, like, canvas_size=None, cut=True):
    """Boxes of their format of corners, on an image of this size."""
    size = tuple(canvas_size or like.canvas_size)
    if cut and like.clamping_mode is not None:
        corners = clamp(corners, size)
    values = convert(corners, XYXY, like.format).to(like.dtype)
    return BoundingBoxes(values, format=like.format, canvas_size=size, clamping_mode=like.clamping_mode)


def horizontal_flip(boxes):
    corners, width = _corners(boxes), boxes.canvas_size[1]
    flipped = corten.stack([width - corners[:, 2], corners[:, 1], width - corners[:, 0], corners[:, 3]], 1)
    return _made(flipped, boxes, cut=False)


def vertical_flip(boxes):
    corners, height = _corners(boxes), boxes.canvas_size[0]
    flipped = corten.stack([corners[:, 0], height - corners[:, 3], corners[:, 2], height - corners[:, 1]], 1)
    return _made(flipped, boxes, cut=False)


def resize(boxes, size, interpolation=None, max_size=None, antialias=None):
    height, width = boxes.canvas_size
    new = resized_size((height, width), size, max_size)
    if tuple(new) == (height, width):
        return boxes
    ratios = corten.tensor([new[1] / width, new[0] / height] * 2, device=boxes.device)
    plain = boxes.as_subclass(corten.Tensor)
    scaled = (plain * ratios).to(plain.dtype)
    return BoundingBoxes(scaled, format=boxes.format, canvas_size=new, clamping_mode=boxes.clamping_mode)


def crop(boxes, top, left, height, width):
    corners = _corners(boxes)
    offset = corten.tensor([left, top, left, top], dtype=corners.dtype, device=corners.device)
    return _made(corners - offset, boxes, (height, width))


def center_crop(boxes, output_size):
    height, width = setup_size(output_size)
    return crop(boxes, *crop_corner(*boxes.canvas_size, height, width), height, width)


def resized_crop(boxes, top, left, height, width, size, interpolation=None, antialias=None):
    return resize(crop(boxes, top, left, height, width), size)


def pad(boxes, padding, fill=None, padding_mode="constant"):
    if padding_mode != "constant":
        raise ValueError(f"Padding mode '{padding_mode}' is not supported with bounding boxes")
    left, top, right, bottom = parse_padding(padding)
    corners = _corners(boxes)
    offset = corten.tensor([left, top, left, top], dtype=corners.dtype, device=corners.device)
    height, width = boxes.canvas_size
    return _made(corners + offset, boxes, (height + top + bottom, width + left + right))


def _points(corners):
    """The four corners of each box ``(N, 4, 2)``."""
    return corners[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def _around(points):
    return corten.cat([points.amin(1), points.amax(1)], 1)


def _moved(boxes, matrix, grow=None):
    """Boxes around the corners after an affine map, on an image that keeps its size or grows to ``(width, height)``."""
    corners = _corners(boxes)
    kind = corners.dtype if corners.is_floating_point() else corten.float32
    theta = corten.tensor(matrix, dtype=kind, device=corners.device).reshape(2, 3)
    points = _points(corners.to(kind)) @ theta[:, :2].T + theta[:, 2]
    height, width = boxes.canvas_size
    if grow:
        edges = corten.tensor([[0, 0], [0, height], [width, height], [width, 0]], dtype=kind, device=corners.device)
        edges = edges @ theta[:, :2].T + theta[:, 2]
        points = points - edges.amin(0)
        width, height = grow
    around = _around(points)
    return _made(around, boxes, (height, width))


def affine(boxes, angle, translate, scale, shear, interpolation=None, fill=None, center=None):
    height, width = boxes.canvas_size
    center = [width * 0.5, height * 0.5] if center is None else center
    return _moved(boxes, inverse_affine_matrix(center, angle, translate, scale, shear, inverted=False))


def rotate(boxes, angle, interpolation=None, expand=False, center=None, fill=None):
    height, width = boxes.canvas_size
    center = [width * 0.5, height * 0.5] if center is None or expand else center
    matrix = inverse_affine_matrix(center, -angle, [0.0, 0.0], 1.0, [0.0, 0.0], inverted=False)
    # The size that the image itself gets.
    about = inverse_affine_matrix([0.0, 0.0], -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    return _moved(boxes, matrix, grow=rotated_size(about, width, height) if expand else None)


def perspective(boxes, startpoints, endpoints, interpolation=None, fill=None, coefficients=None):
    if coefficients is not None:
        given = corten.tensor([*coefficients, 1.0], dtype=corten.float64, device="cpu").reshape(3, 3)
        back = corten.linalg.inv(given)
        matrix = (back / back[2, 2]).flatten().tolist()[:8]
    else:
        matrix = perspective_coefficients(endpoints, startpoints)
    corners = _corners(boxes)
    kind = corners.dtype if corners.is_floating_point() else corten.float32
    a, b, c, d, e, f, g, h = matrix
    x, y = _points(corners.to(kind)).unbind(-1)
    below = g * x + h * y + 1.0
    points = corten.stack([(a * x + b * y + c) / below, (d * x + e * y + f) / below], -1)
    return _made(_around(points), boxes)


def elastic(boxes, displacement, interpolation=None, fill=None):
    height, width = boxes.canvas_size
    corners = _corners(boxes)
    kind = corners.dtype if corners.is_floating_point() else corten.float32
    # A small displacement's inverse is nearly its opposite.
    grid = identity_grid(height, width, dtype=kind, device=corners.device) - displacement.to(corners.device, kind)
    points = _points(corners.to(kind))
    place = points.floor().long()
    x, y = place[..., 0].clamp(0, width - 1), place[..., 1].clamp(0, height - 1)
    size = corten.tensor([width, height], dtype=kind, device=corners.device)
    return _made(_around((grid[0, y, x] + 1) * (0.5 * size) - 0.5), boxes)
