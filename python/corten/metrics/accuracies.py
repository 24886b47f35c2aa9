"""Shares of samples that were told right."""

import corten

from . import _checks
from ._metric import Metric
from .confusion import as_labels

__all__ = ["accuracy", "top_k_accuracy", "hamming_loss", "Accuracy", "TopKAccuracy", "HammingLoss"]


class _Share(Metric):
    """A weighted share of samples."""

    def of_batch(self, *batch):
        *batch, sample_weight = batch
        with corten.no_grad():
            return self.value(self.statistics(*batch, sample_weight=sample_weight))

    def counted(self, right, sample_weight):
        """The statistics of a mark for each sample, ``(N, ...)``."""
        name = type(self).function.__name__
        sample_weight = _checks.weights_like(name, sample_weight, right)
        if sample_weight is None:
            total = corten.tensor(right.numel(), device=right.device)
            return {"right": right.sum(), "total": total}
        weight = sample_weight.reshape((-1,) + (1,) * (right.dim() - 1)).expand(right.shape)
        return {"right": (right * weight).sum(), "total": weight.sum()}

    def value(self, statistics):
        if not bool(statistics["total"] != 0):
            raise ValueError(f"{type(self).function.__name__}: needs at least one sample")
        return _checks.ratio(statistics["right"], statistics["total"])


def accuracy(preds, target, *, multilabel=False, threshold=0.5, ignore_index=None, sample_weight=None):
    """The share of labels that are right; with ``multilabel`` the share of samples all of whose labels are.

    Args:
        preds: labels of the target's shape, scores of it (1 above the threshold), or scores ``(N, C, ...)``.
        target: true labels ``(N, ...)``, or with ``multilabel`` zeros and ones ``(N, L)``.
        multilabel: every sample has any number of L labels.
        threshold: of scores of the target's shape: 0.5 for probabilities, 0 for logits.
        ignore_index: labels whose target this is are left out.
        sample_weight: weights ``(N,)``.

    Raises:
        ValueError: no sample, shapes that do not belong together, NaN.
        TypeError: a target that is no tensor of integers or bools.

    Example::

        >>> corten.metrics.accuracy(corten.tensor([[0.1, 0.9], [0.8, 0.2]]), corten.tensor([1, 1])).item()
        0.5
    """
    metric = Accuracy(multilabel=multilabel, threshold=threshold, ignore_index=ignore_index)
    return metric.of_batch(preds, target, sample_weight)


class Accuracy(_Share):
    """`accuracy` of a stream of batches."""

    function = accuracy

    def statistics(self, preds, target, *, sample_weight=None):
        preds, _ = as_labels("accuracy", preds, target, self.options["threshold"])
        right, ignored = preds == target, self.options["ignore_index"]
        if self.options["multilabel"]:
            if target.dim() != 2:
                raise ValueError(f"accuracy: several labels a sample have shape (N, L), got {tuple(target.shape)}")
            right = right.all(1) if ignored is None else (right | (target == ignored)).all(1)
        elif ignored is not None:
            counted = self.counted(right & (target != ignored), sample_weight)
            return {**counted, "total": self.counted(target != ignored, sample_weight)["right"]}
        return self.counted(right, sample_weight)


def top_k_accuracy(preds, target, *, k=5, sample_weight=None):
    """The share of samples whose class is among the k with the highest scores.

    Of equal scores the class with the higher number comes first, as in scikit-learn.

    Args:
        preds: scores ``(N, C, ...)``.
        target: true labels ``(N, ...)`` below C.
        k: how many classes are looked at.
        sample_weight: weights ``(N,)``.

    Raises:
        ValueError: no sample, shapes that do not belong together, labels that are no class, NaN.
        TypeError: preds that are no scores, or a target that is no tensor of integers.
    """
    return TopKAccuracy(k=k).of_batch(preds, target, sample_weight)


class TopKAccuracy(_Share):
    """`top_k_accuracy` of a stream of batches."""

    function = top_k_accuracy

    def __init__(self, **options):
        super().__init__(**options)
        if not isinstance(self.options["k"], int) or self.options["k"] < 1:
            raise ValueError(f"top_k_accuracy: k is a positive int, got {self.options['k']!r}")

    def statistics(self, preds, target, *, sample_weight=None):
        _checks.check_tensors("top_k_accuracy", preds=preds, target=target)
        if not preds.is_floating_point() or preds.dim() != target.dim() + 1:
            raise ValueError(
                "top_k_accuracy: preds holds scores (N, C, ...) of a target (N, ...), "
                f"got {preds.dtype} of shape {tuple(preds.shape)} and a target of shape {tuple(target.shape)}"
            )
        _, classes = as_labels("top_k_accuracy", preds, target)
        if target.numel() and bool(((target < 0) | (target >= classes)).any()):
            raise ValueError(f"top_k_accuracy: target holds labels from 0 to {classes - 1}")
        target = target.to(corten.int64).unsqueeze(1)
        own = preds.gather(1, target)
        number = corten.arange(classes, device=preds.device).reshape((-1,) + (1,) * (preds.dim() - 2))
        before = (preds > own) | ((preds == own) & (number > target))
        return self.counted(before.sum(1) < self.options["k"], sample_weight)


def hamming_loss(preds, target, *, threshold=0.5, sample_weight=None):
    """The share of labels that are wrong, of samples with one label or with several ``(N, L)``.

    Args:
        preds, target, threshold, sample_weight: as in `accuracy`.

    Raises:
        ValueError, TypeError: those of `accuracy`.
    """
    return HammingLoss(threshold=threshold).of_batch(preds, target, sample_weight)


class HammingLoss(_Share):
    """`hamming_loss` of a stream of batches."""

    function = hamming_loss

    def statistics(self, preds, target, *, sample_weight=None):
        preds, _ = as_labels("hamming_loss", preds, target, self.options["threshold"])
        return self.counted(preds != target, sample_weight)
