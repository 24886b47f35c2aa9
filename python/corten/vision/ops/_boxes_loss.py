"""Losses of predicted boxes against their targets, box by box."""

import math

import corten

from .boxes import _wide_enough
from .focal_loss import reduced

__all__ = ["generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"]


def _floats(boxes):
    boxes = _wide_enough(boxes)
    return boxes if boxes.is_floating_point() else boxes.float()


def _overlaps(boxes1, boxes2, eps):
    """Of boxes ``(..., 4)`` pair by pair: the IoU, the union, and the sides ``(..., 2)`` of the box around both."""
    low = corten.maximum(boxes1[..., :2], boxes2[..., :2])
    high = corten.minimum(boxes1[..., 2:], boxes2[..., 2:])
    met = (high > low).all(-1)
    inside = corten.where(met, (high - low).prod(-1), 0.0)
    area1, area2 = ((b[..., 2:] - b[..., :2]).prod(-1) for b in (boxes1, boxes2))
    union = area1 + area2 - inside
    sides = corten.maximum(boxes1[..., 2:], boxes2[..., 2:]) - corten.minimum(boxes1[..., :2], boxes2[..., :2])
    return inside / (union + eps), union, sides


def _mean_of_none(loss):
    return 0.0 * loss.sum()


def generalized_box_iou_loss(boxes1, boxes2, reduction="none", eps=1e-7):
    """One minus the generalised IoU (Rezatofighi et al. 2019) of boxes ``(N, 4)`` with ``(N, 4)``, pair by pair.

    Args:
        boxes1, boxes2: ``(x1, y1, x2, y2)`` each.
        reduction: ``"none"``, ``"mean"`` (0 of no boxes) or ``"sum"``.
        eps: added to denominators.

    Raises:
        ValueError: an unknown reduction.
    """
    iou, union, sides = _overlaps(_floats(boxes1), _floats(boxes2), eps)
    hull = sides.prod(-1)
    loss = 1 - (iou - (hull - union) / (hull + eps))
    return reduced(loss, reduction, _mean_of_none(loss))


def _less_distance(boxes1, boxes2, eps):
    iou, _, sides = _overlaps(boxes1, boxes2, eps)
    apart = ((boxes1[..., :2] + boxes1[..., 2:] - boxes2[..., :2] - boxes2[..., 2:]) / 2).square().sum(-1)
    return 1 - iou + apart / (sides.square().sum(-1) + eps), iou


def distance_box_iou_loss(boxes1, boxes2, reduction="none", eps=1e-7):
    """One minus the distance IoU (Zheng et al. 2020), pair by pair; arguments as in `generalized_box_iou_loss`."""
    loss, _ = _less_distance(_floats(boxes1), _floats(boxes2), eps)
    return reduced(loss, reduction, _mean_of_none(loss))


def complete_box_iou_loss(boxes1, boxes2, reduction="none", eps=1e-7):
    """One minus the complete IoU (Zheng et al. 2020), pair by pair; arguments as in `generalized_box_iou_loss`."""
    boxes1, boxes2 = _floats(boxes1), _floats(boxes2)
    distance, iou = _less_distance(boxes1, boxes2, eps)
    slopes = [corten.atan((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1])) for b in (boxes1, boxes2)]
    difference = (4 / math.pi**2) * (slopes[1] - slopes[0]).square()
    with corten.no_grad():
        share = difference / (1 - iou + difference + eps)
    loss = distance + share * difference
    return reduced(loss, reduction, _mean_of_none(loss))
