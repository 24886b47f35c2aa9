"""Detected boxes beside true ones: mean average precision as COCO computes it."""

import math

import corten

from ..vision.ops import box_iou
from . import _checks
from ._metric import Metric

__all__ = ["mean_average_precision", "MeanAveragePrecision"]

# COCO's ten thresholds of overlap and 101 points of recall.
_OVERLAPS = tuple(0.5 + 0.05 * step for step in range(10))
_RECALLS = 101
# Groups of boxes that are matched side by side: bounds the memory.
_GROUPS = 256


def mean_average_precision(preds, target, *, iou_thresholds=_OVERLAPS, max_detections=100):
    """Mean average precision of detection over classes and overlaps, as in COCO's evaluation (Lin et al. 2014).

    In each image, boxes of a class take by falling score the free true box of the class that they overlap most, if
    they overlap it enough. Precision is made to fall with recall and read off at 101 recalls.

    Args:
        preds: for each image a dict of ``boxes`` ``(D, 4)`` as ``(x1, y1, x2, y2)``, ``scores`` ``(D,)`` and
            ``labels`` ``(D,)``.
        target: for each image a dict of ``boxes`` ``(G, 4)`` and ``labels`` ``(G,)``, and if wanted ``iscrowd``
            ``(G,)``: crowds may be taken by any number of boxes, which then do not count.
        iou_thresholds: the least intersections over union; 0.5, 0.55, …, 0.95 by default.
        max_detections: how many boxes of a class count in an image.

    Returns:
        A dict of tensors: ``map`` (mAP@[.5:.95]), ``map_50``, ``map_75`` (NaN where that is none of the thresholds),
        ``mar`` (the mean of the highest recalls), ``classes`` ``(C,)``, the classes that occur in the target, and their
        ``map_per_class`` ``(C,)``. All are NaN where the target has no boxes.

    Raises:
        ValueError: not as many predictions as targets, or shapes that do not belong together.
        KeyError: a dict without one of its entries.
    """
    metric = MeanAveragePrecision(iou_thresholds=iou_thresholds, max_detections=max_detections)
    with corten.no_grad():
        return metric.value(metric.statistics(preds, target))


class MeanAveragePrecision(Metric):
    """`mean_average_precision` of a stream of batches.

    Boxes are matched batch by batch; what is kept is for each detection its class, its score, and at which thresholds
    it was right or does not count, and for each class the number of true boxes.
    """

    function = mean_average_precision

    def __init__(self, **options):
        super().__init__(**options)
        thresholds = self.options["iou_thresholds"] = tuple(float(t) for t in self.options["iou_thresholds"])
        if not thresholds or not all(0 <= t <= 1 for t in thresholds):
            raise ValueError(f"mean_average_precision: iou_thresholds lie between 0 and 1, got {thresholds}")

    def statistics(self, preds, target):
        images = _checked(preds, target)
        limit, thresholds = self.options["max_detections"], self.options["iou_thresholds"]
        groups = [group for image in images for group in _groups(*image, limit)]
        if not groups:
            return {name: [] for name in ("labels", "scores", "right", "ignored", "truths")}
        # Groups of about the same size are padded least; the order of images decides between equal scores.
        order = sorted(range(len(groups)), key=lambda i: (len(groups[i]["truths"]), len(groups[i]["boxes"])))
        right, ignored = [None] * len(groups), [None] * len(groups)
        for start in range(0, len(groups), _GROUPS):
            part = order[start : start + _GROUPS]
            for marks, matched in zip((right, ignored), _matched([groups[i] for i in part], thresholds)):
                for i, own in zip(part, matched.split([len(groups[i]["boxes"]) for i in part])):
                    marks[i] = own
        return {
            "labels": [corten.cat([group["label"].expand(len(group["boxes"])) for group in groups])],
            "scores": [corten.cat([group["scores"] for group in groups])],
            "right": [corten.cat(right)],
            "ignored": [corten.cat(ignored)],
            "truths": [corten.cat([group["label"].expand(len(group["crowd"]))[~group["crowd"]] for group in groups])],
        }

    def value(self, statistics):
        thresholds = self.options["iou_thresholds"]
        nothing = corten.tensor(math.nan, dtype=corten.float32)
        if not statistics["truths"] or not sum(map(len, statistics["truths"])):
            empty = corten.zeros(0, dtype=corten.int64)
            scores = dict.fromkeys(("map", "map_50", "map_75", "mar"), nothing)
            return {**scores, "classes": empty, "map_per_class": empty.float()}
        device = statistics["truths"][0].device
        joined = {name: corten.cat([part.to(device) for part in parts]) for name, parts in statistics.items()}
        classes, counts = corten.unique(joined["truths"], return_counts=True)
        precisions, recalls = zip(*(_of_class(joined, label, count) for label, count in zip(classes, counts)))
        precisions, recalls = corten.stack(precisions), corten.stack(recalls)

        def at(threshold):
            found = [i for i, t in enumerate(thresholds) if abs(t - threshold) < 1e-9]
            return precisions[:, found[0]].mean() if found else nothing.to(device)

        return {
            "map": precisions.mean(),
            "map_50": at(0.5),
            "map_75": at(0.75),
            "mar": recalls.mean(),
            "classes": classes,
            "map_per_class": precisions.mean(1),
        }


def _checked(preds, target):
    """Pairs of dicts with boxes in the wide dtype."""
    name = "mean_average_precision"
    if isinstance(preds, dict) or isinstance(target, dict):
        raise TypeError(f"{name}: preds and target are lists of dicts, one for each image")
    if len(preds) != len(target):
        raise ValueError(f"{name}: as many images in preds as in target, got {len(preds)} and {len(target)}")
    for found, true in zip(preds, target):
        for what, image, columns in (("preds", found, ("scores", "labels")), ("target", true, ("labels",))):
            missing = [entry for entry in ("boxes", *columns) if entry not in image]
            if missing:
                raise KeyError(f"{name}: {what} lacks {', '.join(missing)}")
            shape = tuple(image["boxes"].shape)
            if shape != (0,) and (len(shape) != 2 or shape[1] != 4):
                raise ValueError(f"{name}: boxes of {what} have shape (N, 4), got {shape}")
            wrong = [entry for entry in columns if tuple(image[entry].shape) != shape[:1]]
            if wrong:
                raise ValueError(f"{name}: {what} has {shape[0]} boxes and {tuple(image[wrong[0]].shape)} {wrong[0]}")
        _checks.check_finite(name, scores=found["scores"], boxes=found["boxes"])
    return [(found, true) for found, true in zip(preds, target)]


def _groups(found, true, limit):
    """The boxes of one image by class: detections by falling score, true boxes with crowds last."""
    boxes, truths = (_checks.wide(image["boxes"].reshape(-1, 4)) for image in (found, true))
    crowd = true.get("iscrowd")
    crowd = corten.zeros(len(truths), dtype=corten.bool, device=truths.device) if crowd is None else crowd != 0
    order = found["scores"].sort(descending=True, stable=True).indices
    last = crowd.to(corten.uint8).sort(stable=True).indices
    labels, true_labels = found["labels"].long()[order], true["labels"].long()[last]
    boxes, scores, truths, crowd = boxes[order], _checks.wide(found["scores"])[order], truths[last], crowd[last]
    overlaps = _overlaps(boxes, truths, crowd)
    for label in corten.unique(corten.cat([labels, true_labels])):
        mine, theirs = (labels == label).nonzero()[:limit, 0], (true_labels == label).nonzero()[:, 0]
        yield {
            "label": label[None],
            "boxes": mine,
            "truths": theirs,
            "scores": scores[mine],
            "crowd": crowd[theirs],
            "overlaps": overlaps[mine][:, theirs],
        }


def _overlaps(boxes, truths, crowd):
    """Intersection over union ``(D, G)``; beside a crowd over the detection's own area."""
    overlaps = box_iou(boxes, truths)
    corners = corten.maximum(boxes[:, None, :2], truths[:, :2]), corten.minimum(boxes[:, None, 2:], truths[:, 2:])
    inside = (corners[1] - corners[0]).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None]
    return corten.where(crowd, _checks.ratio(inside, area), overlaps.nan_to_num(0))


def _matched(groups, thresholds):
    """Which detections are right and which do not count, ``(detections, thresholds)``, of groups side by side.

    A detection's choice depends on what better ones have taken, so ranks are taken one after the other, each of all
    groups and thresholds at once.
    """
    depth, width = (max(len(group[name]) for group in groups) for name in ("boxes", "truths"))
    like = groups[0]["overlaps"]
    overlaps = like.new_full((len(groups), depth, width), -1.0)
    crowd = corten.zeros(len(groups), width, dtype=corten.bool, device=like.device)
    for number, group in enumerate(groups):
        overlaps[number, : len(group["boxes"]), : len(group["truths"])] = group["overlaps"]
        crowd[number, : len(group["truths"])] = group["crowd"]
    least = like.new_tensor([min(t, 1 - 1e-10) for t in thresholds])[:, None]
    taken = corten.zeros(len(groups), len(thresholds), width, dtype=corten.bool, device=like.device)
    number = corten.arange(width, device=like.device)
    right, ignored = [], []
    for rank in range(depth if width else 0):
        overlap = overlaps[:, rank, None, :]
        open_ = (overlap >= least) & (overlap >= 0) & (~taken | crowd[:, None])
        plain = open_ & ~crowd[:, None]
        has = plain.any(-1)
        # Crowds are looked at only where no single box is left; of equal overlaps the last one wins.
        choice = corten.where(has[..., None], plain, open_)
        best = corten.where(choice, overlap, -1.0).flip(-1).argmax(-1, keepdim=True)
        taken |= (number == width - 1 - best) & plain
        right.append(has)
        ignored.append(open_.any(-1) & ~has)
    shape = (len(groups), depth, len(thresholds))
    none = corten.zeros(shape, dtype=corten.bool, device=like.device)
    right, ignored = (corten.stack(marks, 1) if marks else none for marks in (right, ignored))
    counts = corten.tensor([len(group["boxes"]) for group in groups], device=like.device)
    real = corten.arange(depth, device=like.device) < counts[:, None]
    return right[real], ignored[real]


def _of_class(joined, label, count):
    """Average precision and highest recall of a class at each threshold, ``(T,)``."""
    chosen = joined["labels"] == label
    order = joined["scores"][chosen].sort(descending=True, stable=True).indices
    right, ignored = joined["right"][chosen][order].mT, joined["ignored"][chosen][order].mT
    like = joined["scores"]
    thresholds = right.shape[0]
    if right.shape[1] == 0:
        nothing = like.new_zeros(thresholds)
        return nothing, nothing
    hits, misses = right.cumsum(1), (~right & ~ignored).cumsum(1)
    recall, precision = _checks.wide(hits) / count, _checks.ratio(hits, hits + misses)
    # The best precision at this recall or a higher one.
    precision = precision.flip(1).cummax(1).values.flip(1)
    points = corten.linspace(0, 1, _RECALLS, dtype=recall.dtype, device=like.device).expand(thresholds, _RECALLS)
    reached = corten.searchsorted(recall.contiguous(), points.contiguous())
    padded = corten.nn.functional.pad(precision, (0, 1))
    return padded.gather(1, reached).mean(1), recall[:, -1]
