"""Counts of labels beside predictions, and what follows from them: precision, recall, F1, agreement, IoU."""

import math

import corten

from . import _checks
from ._metric import Metric

__all__ = [
    "confusion_matrix",
    "precision",
    "recall",
    "fbeta",
    "f1",
    "balanced_accuracy",
    "cohen_kappa",
    "matthews_corrcoef",
    "mean_iou",
    "ConfusionMatrix",
    "Precision",
    "Recall",
    "FBeta",
    "F1",
    "BalancedAccuracy",
    "CohenKappa",
    "MatthewsCorrCoef",
    "MeanIoU",
]

_AVERAGES = ("binary", "micro", "macro", "weighted", None)


def as_labels(name, preds, target, threshold=0.5):
    """The labels that predictions stand for, and the number of classes that their shape tells, or None.

    Labels stay; scores of the target's shape become 1 above the threshold; scores ``(N, C, ...)`` become the first
    class with the highest score.
    """
    _checks.check_tensors(name, preds=preds, target=target)
    _checks.check_labels(name, target)
    if preds.is_floating_point():
        if bool(preds.isnan().any()):
            raise ValueError(f"{name}: preds contains NaN")
        if preds.shape == target.shape:
            return (preds > threshold).to(corten.int64), 2
    if preds.shape == target.shape:
        _checks.check_labels(name, preds, "preds")
        return preds, None
    if preds.dim() != target.dim() + 1 or (*preds.shape[:1], *preds.shape[2:]) != tuple(target.shape):
        raise ValueError(
            f"{name}: preds has the shape of target, or scores of classes in dim 1: "
            f"got {tuple(preds.shape)} for a target of shape {tuple(target.shape)}"
        )
    if preds.shape[1] < 2:
        raise ValueError(
            f"{name}: scores of classes have two or more in dim 1, got {tuple(preds.shape)}; "
            "of one score a sample preds has the target's shape"
        )
    return preds.argmax(1), preds.shape[1]


def _of_labels(name, preds, target, num_classes, ignore_index, sample_weight):
    """The matrix ``(C, C)`` of one label a sample; rows are true labels, columns predicted ones."""
    if sample_weight is not None:
        shape = (-1,) + (1,) * (target.dim() - 1)
        sample_weight = sample_weight.reshape(shape).expand(target.shape).reshape(-1)
    preds, target = preds.reshape(-1).to(corten.int64), target.reshape(-1).to(corten.int64)
    if ignore_index is not None:
        keep = target != ignore_index
        preds, target = preds[keep], target[keep]
        sample_weight = None if sample_weight is None else sample_weight[keep]
    if preds.numel() == 0:
        if num_classes is None:
            raise ValueError(f"{name}: needs at least one sample, or num_classes")
        dtype = corten.int64 if sample_weight is None else sample_weight.dtype
        return corten.zeros(num_classes, num_classes, dtype=dtype, device=preds.device)
    lowest, highest = corten.cat([preds, target]).aminmax()
    if int(lowest) < 0:
        raise ValueError(f"{name}: labels are not negative, got {int(lowest)}; ignore_index leaves a label out")
    if num_classes is None:
        num_classes = max(int(highest) + 1, 2)
    elif int(highest) >= num_classes:
        raise ValueError(f"{name}: labels are below the number of classes {num_classes}, got {int(highest)}")
    cells = corten.bincount(target * num_classes + preds, weights=sample_weight, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def _of_multilabel(name, preds, target, ignore_index, sample_weight):
    """A matrix for each label, ``(L, 2, 2)``."""
    if target.dim() != 2 or preds.shape != target.shape:
        raise ValueError(f"{name}: several labels a sample have shape (N, L), got {tuple(target.shape)}")
    counted = corten.ones_like(target, dtype=corten.bool) if ignore_index is None else target != ignore_index
    _checks.check_binary(name, target.masked_fill(~counted, 0))
    _checks.check_binary(name, preds)
    preds, target = preds == 1, target == 1
    weight = counted.to(corten.int64) if sample_weight is None else counted * sample_weight[:, None]
    cells = [~target & ~preds, ~target & preds, target & ~preds, target & preds]
    return corten.stack([(cell * weight).sum(0) for cell in cells], -1).reshape(-1, 2, 2)


def _matrix(name, preds, target, options, sample_weight):
    preds, found = as_labels(name, preds, target, options["threshold"])
    sample_weight = _checks.weights_like(name, sample_weight, target)
    if options["multilabel"]:
        return _of_multilabel(name, preds, target, options["ignore_index"], sample_weight)
    num_classes = options["num_classes"]
    if found is not None and num_classes not in (None, found):
        raise ValueError(f"{name}: preds has scores of {found} classes, num_classes is {num_classes}")
    return _of_labels(name, preds, target, found or num_classes, options["ignore_index"], sample_weight)


class _OfCounts(Metric):
    """What follows from a confusion matrix, which is all that is kept of a batch."""

    def statistics(self, preds, target, *, sample_weight=None):
        options = {"num_classes": None, "multilabel": False, "threshold": 0.5, "ignore_index": None, **self.options}
        return {"confusion": _matrix(type(self).function.__name__, preds, target, options, sample_weight)}

    def join(self, one, other):
        mine, theirs = one["confusion"], other["confusion"].to(one["confusion"].device)
        if mine.dim() == 2:
            # Labels tell how many classes there are only when they have been seen.
            size = max(len(mine), len(theirs))
            mine, theirs = (corten.nn.functional.pad(m, (0, size - len(m)) * 2) for m in (mine, theirs))
        return {"confusion": mine + theirs}

    def of_batch(self, preds, target, sample_weight):
        with corten.no_grad():
            return self.value(self.statistics(preds, target, sample_weight=sample_weight))


def _per_class(confusion):
    """True positives, false positives and false negatives of each class or label, ``(C,)``."""
    if confusion.dim() == 3:
        return confusion[:, 1, 1], confusion[:, 0, 1], confusion[:, 1, 0]
    hits = confusion.diagonal()
    return hits, confusion.sum(0) - hits, confusion.sum(1) - hits


def _averaged(name, score, counts, average, zero_division):
    """``score(tp, fp, fn)`` as a pair (numerator, denominator), averaged over classes as scikit-learn does."""
    tp, fp, fn = counts
    if average == "micro":
        return _checks.ratio(*score(tp.sum(), fp.sum(), fn.sum()), zero_division)
    scores = _checks.ratio(*score(tp, fp, fn), zero_division)
    if average is None:
        return scores
    support = _checks.wide(tp + fn)
    if average == "macro":
        weights = _checks.wide(tp + fp + fn > 0)
    else:
        weights = support
    if math.isnan(zero_division):
        weights = weights.masked_fill(scores.isnan(), 0)
        scores = scores.nan_to_num(0)
    return _checks.ratio((scores * weights).sum(), weights.sum(), zero_division)


class _Averaged(_OfCounts):
    """Precision and its kin."""

    def __init__(self, **options):
        super().__init__(**options)
        name = type(self).function.__name__
        _checks.check_choice(name, "average", self.options["average"], _AVERAGES)
        zero_division = self.options["zero_division"]
        if zero_division not in (0, 1) and not math.isnan(zero_division):
            raise ValueError(f"{name}: zero_division is 0, 1 or NaN, got {zero_division}")
        if not self.options.get("beta", 1) >= 0:
            raise ValueError(f"{name}: beta is not negative, got {self.options['beta']}")

    def score(self, tp, fp, fn):
        raise NotImplementedError

    def value(self, statistics):
        confusion, average = statistics["confusion"], self.options["average"]
        name, zero_division = type(self).function.__name__, float(self.options["zero_division"])
        counts = _per_class(confusion)
        if average != "binary":
            if average == "macro" and confusion.dim() == 3:
                # Labels are known from the shape: one that never occurs counts, as in scikit-learn.
                return _mean_of(_averaged(name, self.score, counts, None, zero_division), zero_division)
            return _averaged(name, self.score, counts, average, zero_division)
        if confusion.shape != (2, 2):
            raise ValueError(
                f"{name}: average='binary' is for labels 0 and 1, here are {len(confusion)} classes or labels; "
                "choose 'micro', 'macro', 'weighted' or None"
            )
        return _averaged(name, self.score, [count[1] for count in counts], "micro", zero_division)


def _mean_of(scores, zero_division):
    return scores.nanmean() if math.isnan(zero_division) else scores.mean()


def confusion_matrix(
    preds, target, *, num_classes=None, normalize=None, multilabel=False, threshold=0.5, ignore_index=None,
    sample_weight=None,
):  # fmt: skip
    """How often each class was taken for each other one.

    Args:
        preds: labels of the target's shape, scores of it (1 above the threshold), or scores ``(N, C, ...)``.
        target: true labels ``(N, ...)`` from 0, or with ``multilabel`` zeros and ones ``(N, L)``.
        num_classes: by default what the scores tell, or the highest label and one.
        normalize: ``"true"`` divides by the rows' sums, ``"pred"`` by the columns', ``"all"`` by the sum of all.
        multilabel: every sample has any number of L labels.
        threshold: of scores of the target's shape: 0.5 for probabilities, 0 for logits.
        ignore_index: samples whose target this is are left out.
        sample_weight: weights ``(N,)``.

    Returns:
        ``(C, C)``, rows true and columns predicted, int64 unless normalized or weighted; with ``multilabel`` a matrix
        for each label, ``(L, 2, 2)``.

    Raises:
        ValueError: shapes that do not belong together, negative labels or labels that are too high, NaN.
        TypeError: a target that is no tensor of integers or bools.
    """
    options = dict(num_classes=num_classes, normalize=normalize, multilabel=multilabel)
    return ConfusionMatrix(**options, threshold=threshold, ignore_index=ignore_index).of_batch(
        preds, target, sample_weight
    )


class ConfusionMatrix(_OfCounts):
    """`confusion_matrix` of a stream of batches."""

    function = confusion_matrix

    def __init__(self, **options):
        super().__init__(**options)
        choices = (None, "true", "pred", "all")
        _checks.check_choice("confusion_matrix", "normalize", self.options["normalize"], choices)

    def value(self, statistics):
        matrix = statistics["confusion"]
        if self.options["normalize"] is None:
            return matrix
        dims = {"true": (-1,), "pred": (-2,), "all": (-1, -2)}[self.options["normalize"]]
        return _checks.ratio(matrix, matrix.sum(dims, keepdim=True))


def precision(
    preds, target, *, average="binary", zero_division=0.0, num_classes=None, multilabel=False, threshold=0.5,
    ignore_index=None, sample_weight=None,
):  # fmt: skip
    """The share of what was taken for a class that is of it: TP / (TP + FP).

    Args:
        preds, target, num_classes, multilabel, threshold, ignore_index, sample_weight: as in `confusion_matrix`.
        average: ``"binary"`` (of label 1), ``"micro"`` (of all labels together), ``"macro"`` (the mean over classes,
            without those that occur in neither preds nor target), ``"weighted"`` (the mean over classes by
            occurrence), or None (of each class, ``(C,)``).
        zero_division: 0, 1 or NaN, the value where there is nothing to divide by; a mean leaves NaN out.

    Raises:
        ValueError, TypeError: those of `confusion_matrix`; more than two classes with ``average="binary"``.
    """
    options = dict(average=average, zero_division=zero_division, num_classes=num_classes, multilabel=multilabel)
    metric = Precision(**options, threshold=threshold, ignore_index=ignore_index)
    return metric.of_batch(preds, target, sample_weight)


def recall(
    preds, target, *, average="binary", zero_division=0.0, num_classes=None, multilabel=False, threshold=0.5,
    ignore_index=None, sample_weight=None,
):  # fmt: skip
    """The share of a class that was taken for it: TP / (TP + FN).

    Arguments and errors are those of `precision`.
    """
    options = dict(average=average, zero_division=zero_division, num_classes=num_classes, multilabel=multilabel)
    metric = Recall(**options, threshold=threshold, ignore_index=ignore_index)
    return metric.of_batch(preds, target, sample_weight)


def fbeta(
    preds, target, *, beta, average="binary", zero_division=0.0, num_classes=None, multilabel=False, threshold=0.5,
    ignore_index=None, sample_weight=None,
):  # fmt: skip
    """The weighted harmonic mean of precision and recall: (1 + β²) P R / (β² P + R).

    ``beta`` is how many times as important recall is as precision. Other arguments and errors are those of `precision`.
    """
    options = dict(average=average, zero_division=zero_division, num_classes=num_classes, multilabel=multilabel)
    metric = FBeta(beta=beta, **options, threshold=threshold, ignore_index=ignore_index)
    return metric.of_batch(preds, target, sample_weight)


def f1(
    preds, target, *, average="binary", zero_division=0.0, num_classes=None, multilabel=False, threshold=0.5,
    ignore_index=None, sample_weight=None,
):  # fmt: skip
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    Arguments and errors are those of `precision`.
    """
    options = dict(average=average, zero_division=zero_division, num_classes=num_classes, multilabel=multilabel)
    metric = F1(**options, threshold=threshold, ignore_index=ignore_index)
    return metric.of_batch(preds, target, sample_weight)


class Precision(_Averaged):
    """`precision` of a stream of batches."""

    function = precision

    def score(self, tp, fp, fn):
        return tp, tp + fp


class Recall(_Averaged):
    """`recall` of a stream of batches."""

    function = recall

    def score(self, tp, fp, fn):
        return tp, tp + fn


class FBeta(_Averaged):
    """`fbeta` of a stream of batches."""

    function = fbeta

    def score(self, tp, fp, fn):
        beta2 = self.options["beta"] ** 2
        tp, fp, fn = (_checks.wide(count) for count in (tp, fp, fn))
        return (1 + beta2) * tp, (1 + beta2) * tp + fp + beta2 * fn


class F1(_Averaged):
    """`f1` of a stream of batches."""

    function = f1

    def score(self, tp, fp, fn):
        return 2 * tp, 2 * tp + fp + fn


def balanced_accuracy(preds, target, *, adjusted=False, num_classes=None, threshold=0.5, sample_weight=None):
    """The mean recall of the classes that occur in the target.

    Args:
        preds, target, num_classes, threshold, sample_weight: as in `confusion_matrix`.
        adjusted: moves guessing to 0 and keeps perfection at 1.

    Raises:
        ValueError, TypeError: those of `confusion_matrix`.
    """
    metric = BalancedAccuracy(adjusted=adjusted, num_classes=num_classes, threshold=threshold)
    return metric.of_batch(preds, target, sample_weight)


class BalancedAccuracy(_OfCounts):
    """`balanced_accuracy` of a stream of batches."""

    function = balanced_accuracy

    def value(self, statistics):
        matrix = statistics["confusion"]
        rows = matrix.sum(1)
        present = (rows > 0).sum()
        score = _checks.ratio(_checks.ratio(matrix.diagonal(), rows).sum(), present)
        if not self.options["adjusted"]:
            return score
        chance = _checks.ratio(present.new_ones(()), present)
        return (score - chance) / (1 - chance)


def cohen_kappa(preds, target, *, weights=None, num_classes=None, threshold=0.5, sample_weight=None):
    """How far two judges agree beyond chance (Cohen 1960): 1 is full agreement, 0 what guessing reaches.

    Args:
        preds, target, num_classes, threshold, sample_weight: as in `confusion_matrix`.
        weights: how grave a confusion of classes i and j is: None (all alike), ``"linear"`` |i − j| or
            ``"quadratic"`` (i − j)².

    Returns:
        The coefficient; NaN where both name one and the same class only.

    Raises:
        ValueError, TypeError: those of `confusion_matrix`.
    """
    metric = CohenKappa(weights=weights, num_classes=num_classes, threshold=threshold)
    return metric.of_batch(preds, target, sample_weight)


class CohenKappa(_OfCounts):
    """`cohen_kappa` of a stream of batches."""

    function = cohen_kappa

    def __init__(self, **options):
        super().__init__(**options)
        _checks.check_choice("cohen_kappa", "weights", self.options["weights"], (None, "linear", "quadratic"))

    def value(self, statistics):
        matrix = _checks.wide(statistics["confusion"])
        expected = corten.outer(matrix.sum(1), matrix.sum(0)) / matrix.sum()
        number = corten.arange(len(matrix), device=matrix.device, dtype=matrix.dtype)
        apart = (number[:, None] - number[None]).abs()
        gravity = {None: lambda: (apart > 0).to(matrix.dtype), "linear": lambda: apart, "quadratic": apart.square}
        gravity = gravity[self.options["weights"]]()
        return 1 - _checks.ratio((gravity * matrix).sum(), (gravity * expected).sum(), math.nan)


def matthews_corrcoef(preds, target, *, num_classes=None, threshold=0.5, sample_weight=None):
    """The correlation of predicted and true labels, of any number of classes (Gorodkin 2004).

    Args:
        preds, target, num_classes, threshold, sample_weight: as in `confusion_matrix`.

    Returns:
        From −1 to 1; 0 where preds or target name a single class.

    Raises:
        ValueError, TypeError: those of `confusion_matrix`.
    """
    metric = MatthewsCorrCoef(num_classes=num_classes, threshold=threshold)
    return metric.of_batch(preds, target, sample_weight)


class MatthewsCorrCoef(_OfCounts):
    """`matthews_corrcoef` of a stream of batches."""

    function = matthews_corrcoef

    def value(self, statistics):
        matrix = _checks.wide(statistics["confusion"])
        # Shares, not counts: squares of squares stay within float32.
        matrix = matrix / matrix.sum()
        true, predicted = matrix.sum(1), matrix.sum(0)
        covariance = matrix.diagonal().sum() - (true * predicted).sum()
        variances = (1 - true.square().sum()).clamp(min=0) * (1 - predicted.square().sum()).clamp(min=0)
        return _checks.ratio(covariance, variances.sqrt())


def mean_iou(
    preds, target, *, average="macro", zero_division=0.0, num_classes=None, multilabel=False, threshold=0.5,
    ignore_index=None, sample_weight=None,
):  # fmt: skip
    """Intersection over union TP / (TP + FP + FN) of labels, pixels of a segmentation ``(N, H, W)`` for example.

    Counts are those of all images together, as usual for mIoU (Everingham et al. 2010).
    Arguments and errors are those of `precision`.
    """
    options = dict(average=average, zero_division=zero_division, num_classes=num_classes, multilabel=multilabel)
    metric = MeanIoU(**options, threshold=threshold, ignore_index=ignore_index)
    return metric.of_batch(preds, target, sample_weight)


class MeanIoU(_Averaged):
    """`mean_iou` of a stream of batches."""

    function = mean_iou

    def score(self, tp, fp, fn):
        return tp, tp + fp + fn
