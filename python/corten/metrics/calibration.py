"""Whether probabilities can be taken at their word: calibration errors, Brier score, log loss."""

import corten

from . import _checks
from ._metric import Metric

__all__ = [
    "calibration_curve",
    "calibration_error",
    "expected_calibration_error",
    "maximum_calibration_error",
    "brier_score",
    "log_loss",
    "CalibrationError",
    "BrierScore",
    "LogLoss",
]


def _confidence(name, preds, target):
    """The probability that is looked at and whether it came true: of label 1, or of the class that is most likely."""
    _checks.check_tensors(name, preds=preds, target=target)
    _checks.check_probabilities(name, preds)
    _check_target(name, preds, target)
    if preds.dim() == 1:
        return preds, target == 1
    confidence, label = preds.max(1)
    return confidence, label == target


def _check_target(name, preds, target):
    _checks.check_labels(name, target)
    if target.dim() != 1 or preds.dim() not in (1, 2) or len(preds) != len(target):
        raise ValueError(
            f"{name}: preds has shape (N,) or (N, C) and target (N,), "
            f"got {tuple(preds.shape)} and {tuple(target.shape)}"
        )
    if preds.dim() == 1:
        _checks.check_binary(name, target)
    elif target.numel() and bool(((target < 0) | (target >= preds.shape[1])).any()):
        raise ValueError(f"{name}: target holds labels from 0 to {preds.shape[1] - 1}")


def _binned(confidence, right, edges):
    """Counts, sums of confidence and of what came true in the bins (edge, next edge], the first with its lower edge."""
    bins = corten.searchsorted(edges[1:-1].contiguous(), _checks.wide(confidence).contiguous())
    size = len(edges) - 1
    sums = (corten.bincount(bins, weights=_checks.wide(values), minlength=size) for values in (confidence, right))
    return corten.bincount(bins, minlength=size), *sums


def _uniform_edges(n_bins, like):
    dtype = corten.float64 if like.device.type == "cpu" else corten.float32
    return corten.linspace(0, 1, n_bins + 1, dtype=dtype, device=like.device)


def _check_bins(name, n_bins):
    if not isinstance(n_bins, int) or n_bins < 1:
        raise ValueError(f"{name}: n_bins is a positive int, got {n_bins!r}")


def calibration_curve(preds, target, *, n_bins=5, strategy="uniform"):
    """The points of a reliability diagram: how often label 1 occurs among samples of about the same probability.

    Args:
        preds: probabilities of label 1 ``(N,)``.
        target: zeros and ones ``(N,)``.
        n_bins: how many bins; those without samples are left out.
        strategy: bins of the same width (``"uniform"``) or with as many samples (``"quantile"``).

    Returns:
        ``(prob_true, prob_pred)``: the share of label 1 and the mean probability in each bin.

    Raises:
        ValueError: no sample, shapes that differ, values that are no probabilities, NaN.
        TypeError: a floating target, or probabilities of an integer dtype.
    """
    with corten.no_grad():
        _check_bins("calibration_curve", n_bins)
        _checks.check_choice("calibration_curve", "strategy", strategy, ("uniform", "quantile"))
        confidence, right = _confidence("calibration_curve", preds, target)
        if preds.dim() != 1:
            raise ValueError(f"calibration_curve: preds has shape (N,), got {tuple(preds.shape)}")
        _checks.check_not_empty("calibration_curve", preds)
        edges = _uniform_edges(n_bins, preds)
        if strategy == "quantile":
            edges = corten.quantile(_checks.wide(confidence), edges)
        count, predicted, true = _binned(confidence, right, edges)
        filled = count > 0
        return (true[filled] / count[filled], predicted[filled] / count[filled])


def calibration_error(preds, target, *, n_bins=15, norm="l1"):
    """The gap between confidence and accuracy, in bins of confidence (Guo et al. 2017).

    Args:
        preds: probabilities of label 1 ``(N,)``, or of classes ``(N, C)``, of which the highest is looked at.
        target: zeros and ones, or labels ``(N,)``.
        n_bins: bins of equal width, each with its upper edge.
        norm: ``"l1"`` weighs the bins' gaps by their samples (ECE), ``"l2"`` takes the root of the weighted squares,
            ``"max"`` the largest gap (MCE).

    Raises:
        ValueError: no sample, shapes that do not belong together, values that are no probabilities, NaN.
        TypeError: a floating target, or probabilities of an integer dtype.
    """
    metric = CalibrationError(n_bins=n_bins, norm=norm)
    with corten.no_grad():
        return metric.value(metric.statistics(preds, target))


def expected_calibration_error(preds, target, *, n_bins=15):
    """`calibration_error` with ``norm="l1"``: the mean gap between confidence and accuracy, ECE."""
    return calibration_error(preds, target, n_bins=n_bins, norm="l1")


def maximum_calibration_error(preds, target, *, n_bins=15):
    """`calibration_error` with ``norm="max"``: the largest gap between confidence and accuracy, MCE."""
    return calibration_error(preds, target, n_bins=n_bins, norm="max")


class CalibrationError(Metric):
    """`calibration_error` of a stream of batches."""

    function = calibration_error

    def __init__(self, **options):
        super().__init__(**options)
        _check_bins("calibration_error", self.options["n_bins"])
        _checks.check_choice("calibration_error", "norm", self.options["norm"], ("l1", "l2", "max"))

    def statistics(self, preds, target):
        confidence, right = _confidence("calibration_error", preds, target)
        _checks.check_not_empty("calibration_error", preds)
        names = ("count", "confidence", "right")
        return dict(zip(names, _binned(confidence, right, _uniform_edges(self.options["n_bins"], preds))))

    def value(self, statistics):
        count = statistics["count"]
        gaps = _checks.ratio((statistics["confidence"] - statistics["right"]).abs(), count)
        if self.options["norm"] == "max":
            return gaps.max()
        shares = _checks.ratio(count, count.sum())
        return (gaps * shares).sum() if self.options["norm"] == "l1" else (gaps.square() * shares).sum().sqrt()


class _MeanLoss(Metric):
    """The weighted mean of a loss of each sample."""

    def statistics(self, preds, target, *, sample_weight=None):
        name = type(self).function.__name__
        losses = self.losses(name, preds, target)
        weight = _checks.weights_like(name, sample_weight, target)
        if weight is None:
            return {"sum": losses.sum(), "weight": losses.new_tensor(float(len(losses)))}
        return {"sum": (losses * weight).sum(), "weight": weight.sum()}

    def losses(self, name, preds, target):
        raise NotImplementedError

    def value(self, statistics):
        return statistics["sum"] / statistics["weight"]

    def of_batch(self, preds, target, sample_weight):
        with corten.no_grad():
            return self.value(self.statistics(preds, target, sample_weight=sample_weight))


def brier_score(preds, target, *, sample_weight=None):
    """The mean squared difference between probabilities and what came true (Brier 1950).

    Args:
        preds: probabilities of label 1 ``(N,)``, or of classes ``(N, C)``.
        target: zeros and ones, or labels ``(N,)``.
        sample_weight: weights ``(N,)``.

    Returns:
        From 0 to 1 of one probability; of C classes the sum over classes, from 0 to 2.

    Raises:
        ValueError: no sample, shapes that do not belong together, values that are no probabilities, NaN.
        TypeError: a floating target, or probabilities of an integer dtype.
    """
    return BrierScore().of_batch(preds, target, sample_weight)


class BrierScore(_MeanLoss):
    """`brier_score` of a stream of batches."""

    function = brier_score

    def losses(self, name, preds, target):
        _checks.check_tensors(name, preds=preds, target=target)
        _checks.check_not_empty(name, preds)
        _checks.check_probabilities(name, preds)
        _check_target(name, preds, target)
        preds = _checks.wide(preds)
        if preds.dim() == 1:
            return (preds - _checks.wide(target)).square()
        truth = target[:, None] == corten.arange(preds.shape[1], device=target.device)
        return (preds - truth.to(preds.dtype)).square().sum(1)


def log_loss(preds, target, *, sample_weight=None):
    """The mean negative log likelihood in nats; probabilities are kept an epsilon of their dtype away from 0 and 1.

    Args:
        preds: probabilities of label 1 ``(N,)``, or of classes ``(N, C)``.
        target: zeros and ones, or labels ``(N,)``.
        sample_weight: weights ``(N,)``.

    Raises:
        ValueError: no sample, shapes that do not belong together, values that are no probabilities, NaN.
        TypeError: a floating target, or probabilities of an integer dtype.
    """
    return LogLoss().of_batch(preds, target, sample_weight)


class LogLoss(_MeanLoss):
    """`log_loss` of a stream of batches."""

    function = log_loss

    def losses(self, name, preds, target):
        _checks.check_tensors(name, preds=preds, target=target)
        _checks.check_not_empty(name, preds)
        _checks.check_probabilities(name, preds)
        _check_target(name, preds, target)
        eps = corten.finfo(preds.dtype).eps
        preds = _checks.wide(preds)
        own = (
            corten.where(target == 1, preds, 1 - preds) if preds.dim() == 1 else preds.gather(1, target[:, None].long())
        )
        return -own.clamp(eps, 1 - eps).log().reshape(-1)
