"""Mean average precision: known values, and COCO's procedure written box by box."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from corten import metrics as m

t = corten.tensor
THRESHOLDS = np.arange(0.5, 1.0, 0.05)


def boxes(count, scale=40.0):
    corner = np.random.rand(count, 2) * scale
    return np.concatenate([corner, corner + 4 + np.random.rand(count, 2) * scale / 2], 1).astype(np.float32)


def iou(one, other, crowd=False):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    inside = np.prod(sides.clip(0))
    areas = np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2])
    return inside / (areas[0] if crowd else areas[0] + areas[1] - inside)


def scenes(images, crowds=False):
    """True boxes, and detections near them with classes that are now and then wrong."""
    preds, target = [], []
    for _ in range(images):
        count = np.random.randint(0, 6)
        true, labels = boxes(count), np.random.randint(0, 3, count)
        found = np.concatenate([true + np.random.randn(count, 4) * 1.5, boxes(np.random.randint(0, 4))])
        guessed = np.concatenate([labels, np.random.randint(0, 4, len(found) - count)])
        scores = np.round(np.random.rand(len(found)), 1)
        preds.append({"boxes": found.astype(np.float32), "scores": scores.astype(np.float32), "labels": guessed})
        target.append({"boxes": true, "labels": labels})
        if crowds:
            target[-1]["iscrowd"] = np.random.randint(0, 2, count)
    return preds, target


def reference(preds, target, limit=100):
    """Average precision (classes, thresholds) of COCO's evaluation: box by box."""
    classes = sorted({int(label) for image in target for label in image["labels"]})
    result = np.full((len(classes), len(THRESHOLDS)), np.nan)
    for row, label in enumerate(classes):
        for column, threshold in enumerate(THRESHOLDS):
            found, count = [], 0
            for image, truth in zip(preds, target):
                result_of_image, real = matched(image, truth, label, threshold, limit)
                found += result_of_image
                count += real
            if count:
                result[row, column] = area(found, count)
    return result[~np.isnan(result).all(1)]


def matched(image, truth, label, threshold, limit):
    mine = [i for i in np.argsort(-image["scores"], kind="stable") if image["labels"][i] == label][:limit]
    theirs = np.flatnonzero(truth["labels"] == label)
    crowd = truth.get("iscrowd", np.zeros(len(truth["labels"]), dtype=int))
    taken, found = set(), []
    for i in mine:
        best, chosen = threshold, None
        # Single boxes first; a later one wins where overlaps are equal.
        for j in sorted(theirs, key=lambda j: crowd[j]):
            if j in taken and not crowd[j]:
                continue
            if chosen is not None and not crowd[chosen] and crowd[j]:
                break
            overlap = iou(image["boxes"][i].astype(float), truth["boxes"][j].astype(float), crowd[j])
            if overlap >= best:
                best, chosen = overlap, j
        if chosen is None:
            found.append((image["scores"][i], 0))
        elif not crowd[chosen]:
            taken.add(chosen)
            found.append((image["scores"][i], 1))
    return found, int((crowd[theirs] == 0).sum())


def area(found, count):
    found = sorted(found, key=lambda pair: -pair[0])
    hits = np.cumsum([hit for _, hit in found])
    recall, precision = hits / count, hits / np.arange(1, len(found) + 1)
    points = [precision[recall >= point].max(initial=0) for point in np.linspace(0, 1, 101)]
    return np.mean(points)


def as_tensors(images):
    return [{key: t(value) for key, value in image.items()} for image in images]


@pytest.mark.parametrize("crowds", [False, True])
def test_boxes_are_matched_as_coco_matches_them(crowds, monkeypatch):
    monkeypatch.setattr("corten.metrics.detection._GROUPS", 8)
    preds, target = scenes(25, crowds)
    expected = reference(preds, target)
    got = m.mean_average_precision(as_tensors(preds), as_tensors(target))
    assert got["map_per_class"].tolist() == pytest.approx(expected.mean(1).tolist(), abs=1e-5)
    assert got["map"].item() == pytest.approx(expected.mean(), abs=1e-5)
    assert got["map_50"].item() == pytest.approx(expected[:, 0].mean(), abs=1e-5)
    assert got["map_75"].item() == pytest.approx(expected[:, 5].mean(), abs=1e-5)


def test_streams_of_images_and_merged_halves_give_the_same():
    preds, target = (as_tensors(images) for images in scenes(12))
    expected = m.mean_average_precision(preds, target)
    stream, other = m.MeanAveragePrecision(), m.MeanAveragePrecision()
    for i in range(12):
        (stream if i < 6 else other).update(preds[i : i + 1], target[i : i + 1])
    stream.merge(other)
    for key, value in stream.compute().items():
        assert value.tolist() == pytest.approx(expected[key].tolist(), abs=1e-6), key


def image(boxes, labels, scores=None):
    entry = {"boxes": t(boxes, dtype=corten.float32).reshape(-1, 4), "labels": t(labels, dtype=corten.int64)}
    return entry if scores is None else {**entry, "scores": t(scores, dtype=corten.float32)}


def test_one_box_that_overlaps_by_three_quarters_is_right_at_six_of_ten_thresholds():
    # Overlap 0.7756.
    preds = [image([[258.0, 41.0, 606.0, 285.0]], [0], [0.536])]
    target = [image([[214.0, 41.0, 562.0, 285.0]], [0])]
    got = m.mean_average_precision(preds, target)
    assert [got[key].item() for key in ("map", "map_50", "map_75", "mar")] == pytest.approx([0.6, 1, 1, 0.6])


def test_second_detection_of_a_box_is_wrong():
    box = [0.0, 0.0, 10.0, 10.0]
    found = image([box, box, [20.0, 20.0, 30.0, 30.0]], [1, 1, 1], [0.9, 0.8, 0.7])
    true = image([box, [20.0, 20.0, 30.0, 30.0]], [1, 1])
    # Precision 1 up to a recall of a half, two thirds behind it.
    expected = (51 * 1 + 50 * 2 / 3) / 101
    assert m.mean_average_precision([found], [true])["map"].item() == pytest.approx(expected)


def test_images_without_boxes_count():
    box, nothing = [[0.0, 0.0, 10.0, 10.0]], image([], [])
    true = [image(box, [1]), nothing]
    alone = [image(box, [1], [0.5]), image([], [], [])]
    assert m.mean_average_precision(alone, true)["map"].item() == pytest.approx(1)
    # A better score in the empty image comes first, and is wrong.
    false = [alone[0], image(box, [1], [0.9])]
    assert m.mean_average_precision(false, true)["map"].item() == pytest.approx(0.5)
    missed = [image([], [], []), image([], [], [])]
    assert m.mean_average_precision(missed, true)["map"].item() == 0
    empty = m.mean_average_precision([image([], [], [])], [nothing])
    assert math.isnan(empty["map"].item()) and empty["classes"].tolist() == []


def test_wrong_entries_are_told():
    box = [[0.0, 0.0, 10.0, 10.0]]
    with pytest.raises(ValueError, match="as many images"):
        m.mean_average_precision([], [image(box, [1])])
    with pytest.raises(KeyError, match="lacks scores"):
        m.mean_average_precision([image(box, [1])], [image(box, [1])])
    with pytest.raises(ValueError, match="has 1 boxes"):
        m.mean_average_precision([image(box, [1], [0.5, 0.4])], [image(box, [1])])
    with pytest.raises(TypeError, match="lists of dicts"):
        m.mean_average_precision(image(box, [1], [0.5]), image(box, [1]))
    with pytest.raises(ValueError, match="iou_thresholds"):
        m.MeanAveragePrecision(iou_thresholds=[1.5])
