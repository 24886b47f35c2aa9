"""Boxes: areas, overlaps, conversions, and the suppression of those that overlap better ones."""

import math

import corten
import numpy as np

__all__ = [
    "nms",
    "batched_nms",
    "remove_small_boxes",
    "clip_boxes_to_image",
    "box_convert",
    "box_area",
    "box_iou",
    "generalized_box_iou",
    "distance_box_iou",
    "complete_box_iou",
    "masks_to_boxes",
]

# How many boxes are compared with each other at once: bounds the memory of a suppression.
_BLOCK = 1024


def nms(boxes, scores, iou_threshold):
    """Greedy suppression: keeps boxes in the order of their scores, each unless a kept one overlaps it too much.

    The boxes are compared in blocks of 1024. Inside a block, all of them are decided at once and again until nothing
    changes, which takes as many rounds as the longest chain of boxes that decide about each other, not one a box.

    Args:
        boxes: ``(N, 4)`` as ``(x1, y1, x2, y2)`` with ``x1 < x2`` and ``y1 < y2``.
        scores: ``(N,)`` of the boxes' dtype.
        iou_threshold: boxes whose intersection over union is greater are suppressed.

    Returns:
        int64 tensor of the kept boxes' indices, by decreasing score; equal scores keep their order.

    Raises:
        RuntimeError: shapes that do not belong together, or two dtypes.
        NotImplementedError: integer boxes.
    """
    _check_suppression(boxes, scores)
    return _suppress(boxes, scores, iou_threshold, None)


def batched_nms(boxes, scores, idxs, iou_threshold):
    """`nms` in which boxes suppress those of their own category alone.

    Args:
        boxes: ``(N, 4)`` as ``(x1, y1, x2, y2)``.
        scores: ``(N,)``.
        idxs: the categories ``(N,)``.
        iou_threshold: boxes whose intersection over union is greater are suppressed.

    Returns:
        int64 tensor of the kept boxes' indices, by decreasing score.

    Raises:
        RuntimeError: shapes that do not belong together, or two dtypes.
    """
    _check_suppression(boxes, scores)
    if idxs.shape != scores.shape:
        raise RuntimeError(
            f"batched_nms: idxs has one category a box, got shape {tuple(idxs.shape)} for {len(boxes)} boxes"
        )
    return _suppress(boxes, scores, iou_threshold, idxs)


def _check_suppression(boxes, scores):
    if boxes.dim() != 2:
        raise RuntimeError(f"boxes should be a 2d tensor, got {boxes.dim()}D")
    if boxes.shape[1] != 4:
        raise RuntimeError(f"boxes should have 4 elements in dimension 1, got {boxes.shape[1]}")
    if scores.dim() != 1:
        raise RuntimeError(f"scores should be a 1d tensor, got {scores.dim()}D")
    if boxes.shape[0] != scores.shape[0]:
        raise RuntimeError(
            "boxes and scores should have same number of elements in dimension 0, "
            f"got {boxes.shape[0]} and {scores.shape[0]}"
        )
    if boxes.dtype != scores.dtype:
        raise RuntimeError(f"nms: boxes and scores have one dtype, got {boxes.dtype} and {scores.dtype}")
    if not boxes.is_floating_point():
        raise NotImplementedError(f"nms: boxes are floating point, not {boxes.dtype}")


def _largest_not_above(number, dtype):
    """The number rounded down to the dtype, so that comparing in the dtype is comparing with the number itself."""
    kind = np.float64 if dtype == corten.float64 else np.float32
    rounded = kind(number)
    return float(np.nextafter(rounded, kind(-math.inf)) if float(rounded) > number else rounded)


def _suppress(boxes, scores, iou_threshold, groups):
    boxes, scores = boxes.detach(), scores.detach()
    if boxes.dtype in (corten.float16, corten.bfloat16):
        boxes = boxes.float()
    threshold = _largest_not_above(float(iou_threshold), boxes.dtype)
    order = scores.sort(descending=True, stable=True).indices
    boxes, areas = boxes[order], _box_area_xyxy(boxes)[order]
    groups = None if groups is None else groups[order]

    def too_near(one, other):
        """Whether boxes ``one`` overlap boxes ``other`` too much, ``(len(one), len(other))``."""
        inside = _intersections(boxes[one], boxes[other])
        near = inside / (areas[one][:, None] + areas[other][None] - inside) > threshold
        return near if groups is None else near & (groups[one][:, None] == groups[other][None])

    kept = order.new_empty(0)
    for start in range(0, len(boxes), _BLOCK):
        block = corten.arange(start, min(start + _BLOCK, len(boxes)), device=boxes.device)
        for part in kept.split(8 * _BLOCK) if len(kept) else ():
            block = block[~too_near(part, block).any(0)]
        kept = corten.cat([kept, block[_settle(too_near(block, block).triu(1))]])
    return order[kept]


def _settle(suppresses):
    """Which boxes stay, where box i would suppress box j > i if it stays itself.

    The first k boxes are right after k rounds at the latest, so rounds end with the greedy answer.
    """
    stays = corten.ones(len(suppresses), dtype=corten.bool, device=suppresses.device)
    while True:
        now = ~(suppresses & stays[:, None]).any(0)
        if corten.equal(now, stays):
            return stays
        stays = now


def remove_small_boxes(boxes, min_size):
    """Indices of the boxes ``(N, 4)`` whose width and height, in pixels, are at least ``min_size``."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return corten.where((widths >= min_size) & (heights >= min_size))[0]


def clip_boxes_to_image(boxes, size):
    """The boxes ``(..., 4)`` moved into an image of ``size`` ``(height, width)``."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(min=0, max=width), boxes[..., 1::2].clamp(min=0, max=height)
    return corten.stack((x, y), dim=-1).reshape(boxes.shape)


def _corners_from_xywh(boxes):
    return corten.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)


def _corners_from_cxcywh(boxes):
    half = 0.5 * boxes[..., 2:]
    return corten.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


_TO_CORNERS = {"xyxy": lambda boxes: boxes, "xywh": _corners_from_xywh, "cxcywh": _corners_from_cxcywh}
_FROM_CORNERS = {
    "xyxy": lambda boxes: boxes,
    "xywh": lambda boxes: corten.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1),
    "cxcywh": lambda boxes: corten.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1),
}
_ROTATED = ("cxcywhr", "xywhr", "xyxyxyxy")


def box_convert(boxes, in_fmt, out_fmt):
    """Writes boxes ``(..., 4)`` in another format.

    Args:
        boxes: the boxes.
        in_fmt: ``"xyxy"`` two corners, ``"xywh"`` a corner and the size, or ``"cxcywh"`` the centre and the size.
        out_fmt: the format of the result, one of the same.

    Raises:
        ValueError: an unknown format.
        NotImplementedError: a format of rotated boxes.
    """
    if in_fmt in _ROTATED or out_fmt in _ROTATED:
        raise NotImplementedError(
            f"box_convert: rotated boxes are not there, convert among {tuple(_TO_CORNERS)} (got {in_fmt}, {out_fmt})"
        )
    if in_fmt not in _TO_CORNERS or out_fmt not in _TO_CORNERS:
        raise ValueError(f"Unsupported Bounding Box Conversions for given in_fmt {in_fmt} and out_fmt {out_fmt}")
    if boxes.shape[-1] != 4:
        raise ValueError(f"box_convert: boxes have 4 numbers in the last dim, got shape {tuple(boxes.shape)}")
    if in_fmt == out_fmt:
        return boxes.clone()
    return _FROM_CORNERS[out_fmt](_TO_CORNERS[in_fmt](boxes))


def _wide_enough(values):
    """In a dtype in which sums and products of coordinates have room."""
    if values.is_floating_point():
        return values if values.dtype in (corten.float32, corten.float64) else values.float()
    return values if values.dtype in (corten.int32, corten.int64) else values.int()


def _box_area_xyxy(boxes):
    boxes = _wide_enough(boxes)
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_area(boxes, fmt="xyxy"):
    """Areas ``(...)`` of boxes ``(..., 4)``.

    Args:
        boxes: the boxes.
        fmt: ``"xyxy"``, ``"xywh"`` or ``"cxcywh"``, as in `box_convert`.

    Raises:
        ValueError: an unknown format.
    """
    if fmt == "xyxy":
        return _box_area_xyxy(boxes)
    if fmt in ("xywh", "cxcywh"):
        boxes = _wide_enough(boxes)
        return boxes[..., 2] * boxes[..., 3]
    raise ValueError(f"Unsupported Bounding Box area for given format {fmt}")


def _intersections(boxes1, boxes2):
    """Areas ``(..., N, M)`` that each of the first boxes shares with each of the second."""
    low = corten.maximum(boxes1[..., :, None, :2], boxes2[..., None, :, :2])
    high = corten.minimum(boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])
    sides = _wide_enough(high - low).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def _inside_and_union(boxes1, boxes2):
    inside = _intersections(boxes1, boxes2)
    return inside, _box_area_xyxy(boxes1)[..., :, None] + _box_area_xyxy(boxes2)[..., None, :] - inside


def box_iou(boxes1, boxes2, fmt="xyxy"):
    """Intersection over union of every pair of boxes.

    Args:
        boxes1: ``(..., N, 4)``.
        boxes2: ``(..., M, 4)``.
        fmt: the format of both, as in `box_convert`.

    Returns:
        ``(..., N, M)``, numbers from 0 to 1; NaN for two boxes without area.

    Raises:
        ValueError: an unknown format.
    """
    if fmt in _ROTATED:
        raise NotImplementedError(f"box_iou: rotated boxes are not there, use one of {tuple(_TO_CORNERS)}")
    if fmt not in _TO_CORNERS:
        raise ValueError(f"Unsupported format '{fmt}'. Supported axis-aligned formats: {tuple(_TO_CORNERS)}.")
    inside, union = _inside_and_union(_TO_CORNERS[fmt](boxes1), _TO_CORNERS[fmt](boxes2))
    return inside / union


def _hull_sides(boxes1, boxes2):
    """Width and height ``(..., N, M, 2)`` of the smallest box around each pair."""
    low = corten.minimum(boxes1[..., :, None, :2], boxes2[..., None, :, :2])
    high = corten.maximum(boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])
    return _wide_enough(high - low).clamp(min=0)


def generalized_box_iou(boxes1, boxes2):
    """Generalised intersection over union (Rezatofighi et al. 2019) of boxes ``(N, 4)`` and ``(M, 4)``: ``(N, M)``."""
    inside, union = _inside_and_union(boxes1, boxes2)
    sides = _hull_sides(boxes1, boxes2)
    hull = sides[..., 0] * sides[..., 1]
    return inside / union - (hull - union) / hull


def _iou_less_distance(boxes1, boxes2, eps):
    """The distance IoU and the plain one."""
    iou = box_iou(boxes1, boxes2)
    sides = _hull_sides(boxes1, boxes2)
    diagonal = sides.square().sum(-1) + eps
    centres1, centres2 = ((_wide_enough(b[..., :2]) + _wide_enough(b[..., 2:])) / 2 for b in (boxes1, boxes2))
    apart = (centres1[..., :, None, :] - centres2[..., None, :, :]).square().sum(-1)
    return iou - apart / diagonal, iou


def distance_box_iou(boxes1, boxes2, eps=1e-7):
    """Distance IoU (Zheng et al. 2020) of boxes ``(N, 4)`` and ``(M, 4)``: ``(N, M)``."""
    boxes1, boxes2 = _wide_enough(boxes1), _wide_enough(boxes2)
    return _iou_less_distance(boxes1, boxes2, eps)[0]


def complete_box_iou(boxes1, boxes2, eps=1e-7):
    """Complete IoU (Zheng et al. 2020) of boxes ``(N, 4)`` and ``(M, 4)``: ``(N, M)``."""
    boxes1, boxes2 = _wide_enough(boxes1), _wide_enough(boxes2)
    less_distance, iou = _iou_less_distance(boxes1, boxes2, eps)
    slopes = [corten.atan((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1])) for b in (boxes1, boxes2)]
    difference = (4 / math.pi**2) * (slopes[0][..., :, None] - slopes[1][..., None, :]).square()
    with corten.no_grad():
        share = difference / (1 - iou + difference + eps)
    return less_distance - share * difference


def masks_to_boxes(masks):
    """The smallest boxes ``(N, 4)``, float, around the non-zero pixels of masks ``(N, H, W)``; corners are inclusive.

    A mask without a pixel gives zeros.
    """
    if masks.numel() == 0:
        return corten.zeros((0, 4), device=masks.device, dtype=corten.float32)
    if masks.dim() != 3:
        raise ValueError(f"masks_to_boxes: masks are (N, H, W), got shape {tuple(masks.shape)}")
    there = masks != 0
    ends = []
    for seen in (there.any(1), there.any(2)):
        place = corten.arange(seen.shape[1], device=masks.device)
        last = corten.where(seen, place, -1).amax(1)
        first = corten.where(seen, place, seen.shape[1]).amin(1)
        empty = last < 0
        ends.append((first.masked_fill(empty, 0), last.masked_fill(empty, 0)))
    (left, right), (top, bottom) = ends
    return corten.stack([left, top, right, bottom], 1).float()
