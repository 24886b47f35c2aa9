"""How well scores rank: ROC and precision-recall curves and the areas under them."""

import itertools
import math

import corten

from . import _checks
from ._metric import Collected

__all__ = [
    "roc_curve",
    "roc_auc",
    "precision_recall_curve",
    "average_precision",
    "auc",
    "ROCCurve",
    "ROCAUC",
    "PrecisionRecallCurve",
    "AveragePrecision",
]

_AVERAGES = ("macro", "micro", "weighted", None)


def _check_scores(name, preds, target):
    _checks.check_tensors(name, preds=preds, target=target)
    if preds.is_complex() or preds.dtype == corten.bool:
        raise TypeError(f"{name}: preds are scores, got {preds.dtype}")
    _checks.check_labels(name, target)
    _checks.check_not_empty(name, preds)
    _checks.check_finite(name, preds=preds)


def _check_one_score(name, preds, target):
    _check_scores(name, preds, target)
    if preds.dim() != 1 or preds.shape != target.shape:
        raise ValueError(
            f"{name}: preds and target have shape (N,), got {tuple(preds.shape)} and {tuple(target.shape)}"
        )
    _checks.check_binary(name, target)


def _at_thresholds(name, preds, target, sample_weight):
    """Counts of false and true positives with a threshold at each distinct score, highest first, and the scores."""
    _check_one_score(name, preds, target)
    weight = _checks.weights_like(name, sample_weight, target)
    if weight is None:
        weight = corten.ones_like(target, dtype=corten.int64)
    # Samples of weight 0 make no thresholds.
    counted = weight != 0
    preds, positive, weight = preds[counted], (target == 1)[counted], weight[counted]
    preds, order = preds.sort(descending=True, stable=True)
    positive, weight = positive[order], weight[order]
    last = corten.ones_like(positive)
    last[:-1] = preds[1:] != preds[:-1]
    true, false = (weight * positive).cumsum(0)[last], (weight * ~positive).cumsum(0)[last]
    return _checks.wide(false), _checks.wide(true), _checks.wide(preds[last])


def roc_curve(preds, target, *, drop_intermediate=True, sample_weight=None):
    """The receiver operating characteristic: rates of false and of true positives at every threshold.

    Args:
        preds: scores ``(N,)``, higher for label 1.
        target: zeros and ones ``(N,)``.
        drop_intermediate: leaves out points between two others on a line.
        sample_weight: weights ``(N,)``.

    Returns:
        ``(fpr, tpr, thresholds)``, from (0, 0) at the threshold ∞ to (1, 1); a rate without samples is NaN, with a
        warning.

    Raises:
        ValueError: no sample, shapes that differ, a target with other values, NaN.
        TypeError: a floating target, or scores that are none.
    """
    with corten.no_grad():
        false, true, thresholds = _at_thresholds("roc_curve", preds, target, sample_weight)
        if drop_intermediate and len(false) > 2:
            corner = corten.ones_like(false, dtype=corten.bool)
            corner[1:-1] = (false.diff(n=2) != 0) | (true.diff(n=2) != 0)
            false, true, thresholds = false[corner], true[corner], thresholds[corner]
        zero = false.new_zeros(1)
        rates = []
        for kind, counts in (("negative", false), ("positive", true)):
            if not bool(counts[-1] > 0):
                _checks.undefined("roc_curve", f"target has no {kind} samples", "NaN for their rate")
            rates.append(_checks.ratio(corten.cat([zero, counts]), counts[-1], math.nan))
        return rates[0], rates[1], corten.cat([zero + math.inf, thresholds])


def precision_recall_curve(preds, target, *, drop_intermediate=False, sample_weight=None):
    """Precision and recall at every threshold.

    Args:
        preds, target, sample_weight: as in `roc_curve`.
        drop_intermediate: leaves out thresholds between two others of the same recall.

    Returns:
        ``(precision, recall, thresholds)`` by rising threshold; precision and recall end with a point (1, 0)
        that has no threshold. Recall is 1 throughout where there are no positive samples, with a warning.

    Raises:
        ValueError, TypeError: those of `roc_curve`.
    """
    with corten.no_grad():
        false, true, thresholds = _at_thresholds("precision_recall_curve", preds, target, sample_weight)
        if drop_intermediate and len(true) > 2:
            kept = corten.ones_like(true, dtype=corten.bool)
            kept[1:-1] = (true[:-1].diff() != 0) | (true[1:].diff() != 0)
            false, true, thresholds = false[kept], true[kept], thresholds[kept]
        if not bool(true[-1] > 0):
            _checks.undefined("precision_recall_curve", "target has no positive samples", "a recall of 1")
        precision = _checks.ratio(true, true + false).flip(0)
        recall = _checks.ratio(true, true[-1], 1.0).flip(0)
        end = precision.new_ones(1)
        return corten.cat([precision, end]), corten.cat([recall, 0 * end]), thresholds.flip(0)


def auc(x, y):
    """The area under a curve of points ``(N,)`` by the trapezoidal rule; x rises or falls.

    Raises:
        ValueError: fewer than two points, shapes that differ, or x that turns.
    """
    _checks.check_tensors("auc", x=x, y=y)
    if x.dim() != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"auc: x and y have shape (N,), N at least 2, got {tuple(x.shape)} and {tuple(y.shape)}")
    steps = x.diff()
    rises, falls = bool((steps >= 0).all()), bool((steps <= 0).all())
    if not (rises or falls):
        raise ValueError("auc: x neither rises nor falls throughout")
    return corten.trapezoid(y, x) * (1 if rises else -1)


def _ranked(preds, positive, weight):
    """What lies at or above each score, of columns ``(N, L)``.

    Returns:
        ``(true, false, true_at, false_at, weights)`` ``(L, N)``: the weight of positive and of negative samples with
        higher scores, that of the samples with the same score, and the sample's own weight if it is positive.
    """
    scores, order = (-preds.T).contiguous().sort(1)
    own = (positive.T * weight).gather(1, order)
    others = (~positive.T * weight).gather(1, order)
    first, behind = corten.searchsorted(scores, scores), corten.searchsorted(scores, scores, right=True)

    def sums(values):
        running = corten.nn.functional.pad(values.cumsum(1), (1, 0))
        above = running.gather(1, first)
        return above, running.gather(1, behind) - above

    return *sums(own), *sums(others), own


def _roc_areas(preds, positive, weight):
    """The areas ``(L,)`` under the ROC curves of columns ``(N, L)``; NaN where a class is missing."""
    _, _, above, tied, own = _ranked(preds, positive, weight)
    negatives = (~positive.T * weight).sum(1)
    # Pairs of a positive and a negative sample that are in the right order; ties count half.
    right = _checks.wide(own) * (_checks.wide(negatives[:, None] - above - tied) + _checks.wide(tied) / 2)
    pairs = _checks.wide(own.sum(1)) * _checks.wide(negatives)
    return _checks.ratio(right.sum(1), pairs, math.nan)


def _average_precisions(preds, positive, weight):
    """The average precision ``(L,)`` of columns ``(N, L)``; 0 without positive samples."""
    true, true_tied, false, false_tied, own = _ranked(preds, positive, weight)
    hits = true + true_tied
    precision = _checks.ratio(hits, hits + false + false_tied)
    return _checks.ratio((precision * _checks.wide(own)).sum(1), own.sum(1))


def _columns(name, preds, target):
    """Scores ``(N, L)`` and what is positive: of one score, of classes, or of several labels a sample."""
    _check_scores(name, preds, target)
    if preds.shape == target.shape and preds.dim() in (1, 2):
        _checks.check_binary(name, target)
        return preds.reshape(len(preds), -1), (target == 1).reshape(len(preds), -1)
    if preds.dim() != 2 or preds.shape[1] < 2 or target.dim() != 1 or len(preds) != len(target):
        raise ValueError(
            f"{name}: preds and target are (N,) and (N,), (N, C) and (N,) with C of 2 or more, or (N, L) and (N, L), "
            f"got {tuple(preds.shape)} and {tuple(target.shape)}"
        )
    if bool(((target < 0) | (target >= preds.shape[1])).any()):
        raise ValueError(f"{name}: target holds labels from 0 to {preds.shape[1] - 1}")
    return preds, target[:, None] == corten.arange(preds.shape[1], device=target.device)


def _averaged(name, areas, preds, positive, weight, average):
    """The areas of the columns, averaged."""
    _checks.check_choice(name, "average", average, _AVERAGES)
    if average == "micro":
        weight = weight[:, None].expand(preds.shape).reshape(-1)
        return areas(preds.reshape(-1, 1), positive.reshape(-1, 1), weight)[0]
    columns = areas(preds, positive, weight)
    if average is None:
        return columns if columns.numel() > 1 else columns[0]
    if average == "macro":
        return columns.mean()
    support = _checks.wide((positive.T * weight).sum(1))
    return (columns * support).sum() / support.sum()


def roc_auc(preds, target, *, average="macro", multi_class="ovr", sample_weight=None):
    """The area under the ROC curve: how often a positive sample scores higher than a negative one; ties count half.

    Args:
        preds: scores ``(N,)``; probabilities of classes ``(N, C)``; or scores of several labels ``(N, L)``.
        target: zeros and ones ``(N,)``; labels ``(N,)`` from 0; or zeros and ones ``(N, L)``.
        average: over classes or labels: ``"macro"``, ``"weighted"`` (by occurrence), ``"micro"`` (all of them as one)
            or None (of each).
        multi_class: ``"ovr"`` compares each class with all others, ``"ovo"`` each pair of classes (Hand & Till 2001).
        sample_weight: weights ``(N,)``; not with ``"ovo"``.

    Returns:
        0.5 for scores that tell nothing; NaN, with a warning, where a class has no samples or all of them.

    Raises:
        ValueError: no sample, shapes that do not belong together, rows that do not sum to 1 of classes, NaN.
        TypeError: a floating target, or scores that are none.
    """
    with corten.no_grad():
        columns, positive = _columns("roc_auc", preds, target)
        _checks.check_choice("roc_auc", "multi_class", multi_class, ("ovr", "ovo"))
        weight = _checks.weights_like("roc_auc", sample_weight, target)
        if preds.shape != target.shape:
            if not bool(((_checks.wide(preds).sum(1) - 1).abs() < (1e-2 if preds.element_size() < 4 else 1e-4)).all()):
                raise ValueError(
                    "roc_auc: probabilities of classes sum to 1 in every row; apply softmax to logits first"
                )
            if multi_class == "ovo":
                return _one_against_one(columns, positive, average, weight)
        if weight is None:
            weight = corten.ones(len(target), dtype=corten.int64, device=target.device)
        result = _averaged("roc_auc", _roc_areas, columns, positive, weight, average)
        if bool(result.isnan().any()):
            _checks.undefined("roc_auc", "a class or label has no samples, or all of them", "NaN")
        return result


def _one_against_one(preds, positive, average, weight):
    """The mean over pairs of classes of the areas that the scores of the one and of the other give."""
    _checks.check_choice("roc_auc", "average", average, ("macro", "weighted"))
    if weight is not None:
        raise ValueError("roc_auc: sample_weight is not for multi_class='ovo'")
    areas, shares = [], []
    for one, other in itertools.combinations(range(preds.shape[1]), 2):
        pair = positive[:, one] | positive[:, other]
        scores, labels = preds[pair][:, [one, other]], positive[pair][:, [one, other]]
        ones = corten.ones(len(scores), dtype=corten.int64, device=scores.device)
        areas.append(_roc_areas(scores, labels, ones).mean() if len(scores) else preds.new_tensor(math.nan))
        shares.append(_checks.wide(pair).mean())
    areas, shares = corten.stack(areas), corten.stack(shares)
    if bool(areas.isnan().any()):
        _checks.undefined("roc_auc", "a class has no samples", "NaN")
    return areas.mean() if average == "macro" else (areas * shares).sum() / shares.sum()


def average_precision(preds, target, *, average="macro", sample_weight=None):
    """The area under the precision-recall curve as a sum of steps: Σ (Rₙ − Rₙ₋₁) Pₙ.

    Args:
        preds: scores ``(N,)``; scores of classes ``(N, C)``; or of several labels ``(N, L)``.
        target: zeros and ones ``(N,)``; labels ``(N,)`` from 0; or zeros and ones ``(N, L)``.
        average: over classes or labels: ``"macro"``, ``"weighted"`` (by occurrence), ``"micro"`` (all of them as one)
            or None (of each).
        sample_weight: weights ``(N,)``.

    Returns:
        The share of positive samples for scores that tell nothing; 0, with a warning, without positive samples.

    Raises:
        ValueError: no sample, shapes that do not belong together, NaN.
        TypeError: a floating target, or scores that are none.
    """
    with corten.no_grad():
        columns, positive = _columns("average_precision", preds, target)
        weight = _checks.weights_like("average_precision", sample_weight, target)
        if weight is None:
            weight = corten.ones(len(target), dtype=corten.int64, device=target.device)
        if not bool(positive.any(0).all()):
            _checks.undefined("average_precision", "a class or label has no positive samples", "0 for it")
        return _averaged("average_precision", _average_precisions, columns, positive, weight, average)


class _OfScores(Collected):
    """A metric of one score a sample, all of which it keeps."""

    def check(self, preds, target, *, sample_weight=None):
        name = type(self).function.__name__
        _check_one_score(name, preds, target)
        _checks.weights_like(name, sample_weight, target)


class _OfColumns(Collected):
    """A metric of scores of classes or labels, all of which it keeps."""

    def __init__(self, **options):
        super().__init__(**options)
        _checks.check_choice(type(self).function.__name__, "average", self.options["average"], _AVERAGES)

    def check(self, preds, target, *, sample_weight=None):
        name = type(self).function.__name__
        _columns(name, preds, target)
        _checks.weights_like(name, sample_weight, target)


class ROCCurve(_OfScores):
    """`roc_curve` of a stream of batches; keeps their scores."""

    function = roc_curve


class ROCAUC(_OfColumns):
    """`roc_auc` of a stream of batches; keeps their scores."""

    function = roc_auc


class PrecisionRecallCurve(_OfScores):
    """`precision_recall_curve` of a stream of batches; keeps their scores."""

    function = precision_recall_curve


class AveragePrecision(_OfColumns):
    """`average_precision` of a stream of batches; keeps their scores."""

    function = average_precision
