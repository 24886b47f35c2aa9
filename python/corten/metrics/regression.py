"""Errors of predicted numbers, quantiles and intervals."""

import math

import corten

from . import _checks
from ._metric import Metric

__all__ = [
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "pinball_loss",
    "interval_coverage",
    "r2_score",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "PinballLoss",
    "IntervalCoverage",
    "R2Score",
]


def _checked(name, preds, target):
    """Both in the wide dtype; one shape, no NaN."""
    _checks.check_tensors(name, preds=preds, target=target)
    _checks.check_same_shape(name, preds, target)
    for argument, value in (("preds", preds), ("target", target)):
        if value.is_complex() or value.dtype == corten.bool:
            raise TypeError(f"{name}: {argument} holds real numbers, got {value.dtype}")
    if preds.dim() == 0:
        preds, target = preds[None], target[None]
    _checks.check_not_empty(name, preds)
    _checks.check_finite(name, preds=preds, target=target)
    return _checks.wide(preds), _checks.wide(target)


class _MeanError(Metric):
    """The mean of an error over all elements, or over samples for each output where ``multioutput`` says so."""

    def __init__(self, **options):
        super().__init__(**options)
        name = type(self).function.__name__
        choices = ("uniform_average", "raw_values")
        _checks.check_choice(name, "multioutput", self.options["multioutput"], choices)

    def statistics(self, preds, target, *, sample_weight=None):
        name = type(self).function.__name__
        preds, target = _checked(name, preds, target)
        weight = _checks.weights_like(name, sample_weight, target)
        errors = self.error(preds, target)
        if weight is None:
            return {"sum": errors.sum(0), "weight": errors.new_tensor(float(len(errors)))}
        return {"sum": (errors * weight.reshape((-1,) + (1,) * (errors.dim() - 1))).sum(0), "weight": weight.sum()}

    def error(self, preds, target):
        raise NotImplementedError

    def value(self, statistics):
        outputs = self.finish(statistics["sum"] / statistics["weight"])
        return outputs.mean() if self.options["multioutput"] == "uniform_average" else outputs

    def finish(self, mean):
        return mean

    def of_batch(self, preds, target, sample_weight):
        with corten.no_grad():
            return self.value(self.statistics(preds, target, sample_weight=sample_weight))


def mean_squared_error(preds, target, *, multioutput="uniform_average", sample_weight=None):
    """The mean of (pred − target)².

    Args:
        preds, target: numbers of one shape ``(N, ...)``.
        multioutput: ``"uniform_average"``, or ``"raw_values"`` for the error ``(...)`` of each output.
        sample_weight: weights ``(N,)``.

    Raises:
        ValueError: no sample, shapes that differ, NaN or infinities.
        TypeError: bools or complex numbers.
    """
    return MeanSquaredError(multioutput=multioutput).of_batch(preds, target, sample_weight)


def root_mean_squared_error(preds, target, *, multioutput="uniform_average", sample_weight=None):
    """The root of the mean of (pred − target)²; the roots of outputs are averaged.

    Arguments and errors are those of `mean_squared_error`.
    """
    return RootMeanSquaredError(multioutput=multioutput).of_batch(preds, target, sample_weight)


def mean_absolute_error(preds, target, *, multioutput="uniform_average", sample_weight=None):
    """The mean of |pred − target|.

    Arguments and errors are those of `mean_squared_error`.
    """
    return MeanAbsoluteError(multioutput=multioutput).of_batch(preds, target, sample_weight)


def mean_absolute_percentage_error(preds, target, *, multioutput="uniform_average", sample_weight=None):
    """The mean of |pred − target| / |target|, a share and not per cent; |target| is at least 2.2e-16.

    Arguments and errors are those of `mean_squared_error`.
    """
    return MeanAbsolutePercentageError(multioutput=multioutput).of_batch(preds, target, sample_weight)


def pinball_loss(preds, target, *, quantile=0.5, multioutput="uniform_average", sample_weight=None):
    """The loss whose minimum is a quantile (Koenker & Bassett 1978).

    It is α (target − pred) below the target and (1 − α) (pred − target) above, where α is ``quantile``, from 0 to 1.
    Other arguments and errors are those of `mean_squared_error`.
    """
    metric = PinballLoss(quantile=quantile, multioutput=multioutput)
    return metric.of_batch(preds, target, sample_weight)


class MeanSquaredError(_MeanError):
    """`mean_squared_error` of a stream of batches."""

    function = mean_squared_error

    def error(self, preds, target):
        return (preds - target).square()


class RootMeanSquaredError(MeanSquaredError):
    """`root_mean_squared_error` of a stream of batches."""

    function = root_mean_squared_error

    def finish(self, mean):
        return mean.sqrt()


class MeanAbsoluteError(_MeanError):
    """`mean_absolute_error` of a stream of batches."""

    function = mean_absolute_error

    def error(self, preds, target):
        return (preds - target).abs()


class MeanAbsolutePercentageError(_MeanError):
    """`mean_absolute_percentage_error` of a stream of batches."""

    function = mean_absolute_percentage_error

    def error(self, preds, target):
        return (preds - target).abs() / target.abs().clamp(min=2.0**-52)


class PinballLoss(_MeanError):
    """`pinball_loss` of a stream of batches."""

    function = pinball_loss

    def __init__(self, **options):
        super().__init__(**options)
        if not 0 <= self.options["quantile"] <= 1:
            raise ValueError(f"pinball_loss: quantile lies between 0 and 1, got {self.options['quantile']}")

    def error(self, preds, target):
        quantile, above = self.options["quantile"], preds - target
        return corten.maximum(-quantile * above, (1 - quantile) * above)


def interval_coverage(lower, upper, target):
    """The share of targets within predicted intervals, edges included.

    Args:
        lower, upper, target: numbers of one shape.

    Raises:
        ValueError: no sample, shapes that differ, NaN, or an interval that ends before it begins.
        TypeError: bools or complex numbers.
    """
    metric = IntervalCoverage()
    with corten.no_grad():
        return metric.value(metric.statistics(lower, upper, target))


class IntervalCoverage(Metric):
    """`interval_coverage` of a stream of batches."""

    function = interval_coverage

    def statistics(self, lower, upper, target):
        lower, numbers = _checked("interval_coverage", lower, target)
        upper, _ = _checked("interval_coverage", upper, target)
        if bool((lower > upper).any()):
            raise ValueError("interval_coverage: an interval ends before it begins")
        inside = (lower <= numbers) & (numbers <= upper)
        return {"inside": inside.sum(), "total": corten.tensor(inside.numel(), device=inside.device)}

    def value(self, statistics):
        return _checks.ratio(statistics["inside"], statistics["total"])


def r2_score(preds, target, *, multioutput="uniform_average", sample_weight=None):
    """The coefficient of determination: 1 − Σ (pred − target)² / Σ (target − mean)².

    Args:
        preds, target: numbers ``(N,)`` or ``(N, outputs)``.
        multioutput: ``"uniform_average"``, ``"variance_weighted"``, or ``"raw_values"`` for each output.
        sample_weight: weights ``(N,)``.

    Returns:
        1 for exact predictions, 0 for the mean; of a constant target 1 if all is exact and 0 otherwise; NaN, with a
        warning, of a single sample.

    Raises:
        ValueError: no sample, shapes that differ, NaN or infinities.
        TypeError: bools or complex numbers.
    """
    metric = R2Score(multioutput=multioutput)
    with corten.no_grad():
        return metric.value(metric.statistics(preds, target, sample_weight=sample_weight))


class R2Score(Metric):
    """`r2_score` of a stream of batches; variances are joined without cancellation (Chan et al. 1979)."""

    function = r2_score

    def __init__(self, **options):
        super().__init__(**options)
        choices = ("uniform_average", "variance_weighted", "raw_values")
        _checks.check_choice("r2_score", "multioutput", self.options["multioutput"], choices)

    def statistics(self, preds, target, *, sample_weight=None):
        preds, target = _checked("r2_score", preds, target)
        weight = _checks.weights_like("r2_score", sample_weight, target)
        if weight is None:
            weight = target.new_ones(len(target))
        shaped = weight.reshape((-1,) + (1,) * (target.dim() - 1))
        mean = (target * shaped).sum(0) / weight.sum()
        return {
            "samples": corten.tensor(len(target), device=target.device),
            "weight": weight.sum(),
            "mean": mean,
            "squares": ((target - mean).square() * shaped).sum(0),
            "errors": ((preds - target).square() * shaped).sum(0),
        }

    def join(self, one, other):
        other = {key: value.to(one[key].device) for key, value in other.items()}
        joined = super().join(one, other)
        apart, share = other["mean"] - one["mean"], other["weight"] / joined["weight"]
        joined["mean"] = one["mean"] + apart * share
        joined["squares"] = joined["squares"] + apart.square() * one["weight"] * share
        return joined

    def value(self, statistics):
        errors, squares = statistics["errors"], statistics["squares"]
        if int(statistics["samples"]) < 2:
            _checks.undefined("r2_score", "a single sample has no variance", "NaN")
            return errors.new_tensor(math.nan)
        scores = 1 - _checks.ratio(errors, squares)
        scores = corten.where(squares == 0, (errors == 0).to(scores.dtype), scores)
        if self.options["multioutput"] == "raw_values":
            return scores
        if self.options["multioutput"] == "variance_weighted" and bool((squares > 0).any()):
            return (scores * squares).sum() / squares.sum()
        return scores.mean()
