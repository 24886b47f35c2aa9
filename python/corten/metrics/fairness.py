"""Fairness: how differently a classifier treats groups of people, and three ways to narrow the gap.

Before training `reweighing` gives samples weights, in training `fairness_penalty` is a term of the loss, and after it
`ThresholdOptimizer` sets thresholds for each group. No model meets all of these notions at once where groups differ in
how often label 1 occurs (Kleinberg et al. 2016): which one matters is a decision of those who use it.
"""

import math

import corten

from . import _checks
from ._metric import Metric
from .calibration import expected_calibration_error

__all__ = [
    "group_rates",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "false_positive_rate_difference",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "calibration_by_group",
    "GroupRates",
    "reweighing",
    "fairness_penalty",
    "FairnessPenalty",
    "ThresholdOptimizer",
]


def _check_groups(name, groups, like):
    _checks.check_tensors(name, groups=groups, preds=like)
    _checks.check_labels(name, groups, "groups")
    if groups.dim() != 1 or len(groups) != len(like):
        raise ValueError(f"{name}: groups has shape (N,), here ({len(like)},), got {tuple(groups.shape)}")
    _checks.check_not_empty(name, groups)


def _decisions(name, preds, target, groups, threshold):
    """Decisions for label 1, true labels and groups, ``(N,)``."""
    _checks.check_tensors(name, preds=preds, target=target)
    if preds.shape != target.shape or preds.dim() != 1:
        raise ValueError(
            f"{name}: preds and target have shape (N,), got {tuple(preds.shape)} and {tuple(target.shape)}"
        )
    _check_groups(name, groups, preds)
    _checks.check_binary(name, target)
    _checks.check_finite(name, preds=preds)
    if preds.is_floating_point():
        return preds > threshold, target == 1
    _checks.check_binary(name, preds)
    return preds == 1, target == 1


def group_rates(preds, target, groups, *, threshold=0.5):
    """What a classifier does with each group.

    Args:
        preds: decisions 0 and 1, or scores (1 above the threshold), ``(N,)``.
        target: zeros and ones ``(N,)``.
        groups: the group of each sample, any integers ``(N,)``.
        threshold: of scores: 0.5 for probabilities, 0 for logits.

    Returns:
        A dict of tensors with an entry for each of the G groups, by rising number: ``groups``, ``count``, ``base_rate``
        (how often label 1 occurs), ``selection_rate`` (how often it is predicted), ``true_positive_rate``,
        ``false_positive_rate``, ``precision`` and ``accuracy``; NaN where there is nothing to divide by.

    Raises:
        ValueError: no sample, shapes that differ, labels other than 0 and 1, NaN.
        TypeError: groups or a target of a floating dtype.
    """
    metric = GroupRates(threshold=threshold)
    with corten.no_grad():
        return metric.value(metric.statistics(preds, target, groups))


class GroupRates(Metric):
    """`group_rates` of a stream of batches."""

    function = group_rates

    def statistics(self, preds, target, groups):
        decided, true = _decisions("group_rates", preds, target, groups, self.options["threshold"])
        names, index = corten.unique(groups.to(corten.int64), return_inverse=True)
        cell = index * 4 + true * 2 + decided
        return {"groups": names, "counts": corten.bincount(cell, minlength=4 * len(names)).reshape(-1, 2, 2)}

    def join(self, one, other):
        names = corten.cat([one["groups"], other["groups"].to(one["groups"].device)])
        counts = corten.cat([one["counts"], other["counts"].to(names.device)])
        names, index = corten.unique(names, return_inverse=True)
        return {"groups": names, "counts": counts.new_zeros(len(names), 2, 2).index_add(0, index, counts)}

    def value(self, statistics):
        counts = statistics["counts"]
        total, positive, negative = counts.sum((1, 2)), counts[:, 1].sum(1), counts[:, 0].sum(1)
        selected = counts[:, :, 1].sum(1)

        def rate(numerator, denominator):
            return _checks.ratio(numerator, denominator, math.nan)

        return {
            "groups": statistics["groups"],
            "count": total,
            "base_rate": rate(positive, total),
            "selection_rate": rate(selected, total),
            "true_positive_rate": rate(counts[:, 1, 1], positive),
            "false_positive_rate": rate(counts[:, 0, 1], negative),
            "precision": rate(counts[:, 1, 1], selected),
            "accuracy": rate(counts[:, 0, 0] + counts[:, 1, 1], total),
        }


def _difference(name, rates):
    if bool(rates.isnan().any()):
        _checks.undefined(name, "a group has no samples that the rate is of", "NaN")
    return rates.max() - rates.min()


def _quotient(name, rates):
    if bool(rates.isnan().any()):
        _checks.undefined(name, "a group has no samples that the rate is of", "NaN")
    # Rates that are all 0 are equal.
    return _checks.ratio(rates.min(), rates.max(), 1.0)


def demographic_parity_difference(preds, groups, *, threshold=0.5):
    """How far apart groups are in how often label 1 is predicted: 0 is equal, 1 the most.

    Arguments and errors are those of `group_rates`.
    """
    return _difference("demographic_parity_difference", _selection(preds, groups, threshold))


def demographic_parity_ratio(preds, groups, *, threshold=0.5):
    """The lowest selection rate of a group over the highest: 1 is equal.

    The four-fifths rule of employment law asks for 0.8. Arguments and errors are those of `group_rates`.
    """
    return _quotient("demographic_parity_ratio", _selection(preds, groups, threshold))


def _selection(preds, groups, threshold):
    _checks.check_tensors("demographic_parity", preds=preds)
    target = corten.zeros_like(preds, dtype=corten.int64)
    return group_rates(preds, target, groups, threshold=threshold)["selection_rate"]


def equal_opportunity_difference(preds, target, groups, *, threshold=0.5):
    """How far apart groups are in their true positive rates (Hardt et al. 2016): 0 is equal, 1 the most.

    NaN, with a warning, where a group has no samples of label 1. Arguments and errors are those of `group_rates`.
    """
    rates = group_rates(preds, target, groups, threshold=threshold)
    return _difference("equal_opportunity_difference", rates["true_positive_rate"])


def false_positive_rate_difference(preds, target, groups, *, threshold=0.5):
    """How far apart groups are in their false positive rates (predictive equality): 0 is equal, 1 the most.

    NaN, with a warning, where a group has no samples of label 0. Arguments and errors are those of `group_rates`.
    """
    rates = group_rates(preds, target, groups, threshold=threshold)
    return _difference("false_positive_rate_difference", rates["false_positive_rate"])


def equalized_odds_difference(preds, target, groups, *, threshold=0.5):
    """The larger of the gaps in true and in false positive rates (Hardt et al. 2016): 0 is equal, 1 the most.

    NaN, with a warning, where a group has samples of one label. Arguments and errors are those of `group_rates`.
    """
    rates = group_rates(preds, target, groups, threshold=threshold)
    kinds = ("true_positive_rate", "false_positive_rate")
    return corten.stack([_difference("equalized_odds_difference", rates[kind]) for kind in kinds]).max()


def equalized_odds_ratio(preds, target, groups, *, threshold=0.5):
    """The smaller of the groups' quotients of true and of false positive rates: 1 is equal.

    NaN, with a warning, where a group has samples of one label. Arguments and errors are those of `group_rates`.
    """
    rates = group_rates(preds, target, groups, threshold=threshold)
    kinds = ("true_positive_rate", "false_positive_rate")
    return corten.stack([_quotient("equalized_odds_ratio", rates[kind]) for kind in kinds]).min()


def calibration_by_group(preds, target, groups, *, n_bins=10):
    """Whether probabilities mean the same for each group.

    Args:
        preds: probabilities of label 1 ``(N,)``.
        target: zeros and ones ``(N,)``.
        groups: the group of each sample, any integers ``(N,)``.
        n_bins: bins of equal width for the calibration error.

    Returns:
        A dict of tensors with an entry for each group, by rising number: ``groups``, ``mean_prediction``, ``base_rate``
        (a calibrated group has the same), ``calibration_error`` (ECE), and ``difference``, the gap between the groups'
        errors as one number.

    Raises:
        ValueError: no sample, shapes that differ, values that are no probabilities, NaN.
        TypeError: groups or a target of a floating dtype, or probabilities of an integer one.
    """
    with corten.no_grad():
        _decisions("calibration_by_group", preds, target, groups, 0.5)
        _checks.check_probabilities("calibration_by_group", preds)
        names = corten.unique(groups)
        members = [groups == name for name in names]
        errors = corten.stack([expected_calibration_error(preds[m], target[m], n_bins=n_bins) for m in members])
        return {
            "groups": names,
            "mean_prediction": corten.stack([_checks.wide(preds[m]).mean() for m in members]),
            "base_rate": corten.stack([_checks.wide(target[m]).mean() for m in members]),
            "calibration_error": errors,
            "difference": errors.max() - errors.min(),
        }


def reweighing(target, groups):
    """Weights of samples under which labels do not depend on groups: P(group) P(label) / P(group, label).

    Kamiran & Calders, Data preprocessing techniques for classification without discrimination, 2012. Multiply the loss
    of each sample by its weight, or draw samples by them (`utils.data.WeightedRandomSampler`).

    Args:
        target: labels ``(N,)``.
        groups: the group of each sample, any integers ``(N,)``.

    Returns:
        ``(N,)`` in the default dtype; mean 1 over all samples where each group has each label.

    Raises:
        ValueError: no sample, or shapes that differ.
        TypeError: floating dtypes.
    """
    with corten.no_grad():
        _checks.check_tensors("reweighing", target=target)
        _checks.check_labels("reweighing", target)
        if target.dim() != 1:
            raise ValueError(f"reweighing: target has shape (N,), got {tuple(target.shape)}")
        _check_groups("reweighing", groups, target)
        labels, label = corten.unique(target, return_inverse=True)
        names, group = corten.unique(groups, return_inverse=True)
        counts = _checks.wide(corten.bincount(group * len(labels) + label, minlength=len(names) * len(labels)))
        counts = counts.reshape(len(names), len(labels))
        expected = corten.outer(counts.sum(1), counts.sum(0)) / len(target)
        return _checks.ratio(expected, counts)[group, label].to(corten.get_default_dtype())


def fairness_penalty(probs, groups, target=None, *, constraint="demographic_parity"):
    """The mean squared distance of the groups' mean probabilities from those of all: a term of a loss, with gradients.

    The mean probability stands for the rate that the constraint wants equal: among all samples (demographic parity),
    among those of label 1 (equal opportunity), of label 0 (false positive rate), or among both, added (equalized odds).
    Groups without such samples in a batch do not count.

    Args:
        probs: probabilities of label 1 ``(N,)``.
        groups: the group of each sample, any integers ``(N,)``.
        target: zeros and ones ``(N,)``; all but demographic parity need it.
        constraint: ``"demographic_parity"``, ``"equal_opportunity"``, ``"false_positive_rate"`` or
            ``"equalized_odds"``.

    Returns:
        A scalar of the dtype of ``probs``; 0 where all groups have one mean.

    Raises:
        ValueError: no sample, shapes that differ, an unknown constraint, or one that needs a target without it.
        TypeError: groups of a floating dtype.

    Example::

        >>> groups = corten.tensor([0, 0, 1, 1])
        >>> round(corten.metrics.fairness.fairness_penalty(corten.tensor([0.9, 0.7, 0.3, 0.1]), groups).item(), 4)
        0.09
    """
    name = "fairness_penalty"
    _checks.check_choice(name, "constraint", constraint, tuple(_AMONG))
    _checks.check_tensors(name, probs=probs)
    if probs.dim() != 1 or not probs.is_floating_point():
        raise ValueError(f"{name}: probs are floating point of shape (N,), got {probs.dtype} {tuple(probs.shape)}")
    _check_groups(name, groups, probs)
    if constraint != "demographic_parity":
        if target is None:
            raise ValueError(f"{name}: constraint={constraint!r} needs the target")
        _checks.check_tensors(name, target=target, probs=probs)
        _checks.check_same_shape(name, probs, target)
    member = groups == corten.unique(groups)[:, None]
    return sum(_spread(probs, member & among) for among in _AMONG[constraint](target, probs))


_AMONG = {
    "demographic_parity": lambda target, probs: [corten.ones_like(probs, dtype=corten.bool)],
    "equal_opportunity": lambda target, probs: [target == 1],
    "false_positive_rate": lambda target, probs: [target == 0],
    "equalized_odds": lambda target, probs: [target == 1, target == 0],
}


def _spread(probs, member):
    """The mean squared distance of the means of groups, rows of a mask ``(G, N)``, from the mean of all of them."""
    count = member.sum(1)
    present = count > 0
    means = (member * probs).sum(1) / count.clamp(min=1)
    centre = (member * probs).sum() / count.sum().clamp(min=1)
    return ((means - centre).square() * present).sum() / present.sum().clamp(min=1)


class FairnessPenalty(corten.nn.Module):
    """`fairness_penalty` as a module: ``weight`` times the penalty of logits.

    Args:
        constraint: see `fairness_penalty`.
        weight: how much the penalty counts beside the loss.
    """

    def __init__(self, constraint="demographic_parity", weight=1.0):
        super().__init__()
        _checks.check_choice("FairnessPenalty", "constraint", constraint, tuple(_AMONG))
        self.constraint, self.weight = constraint, weight

    def forward(self, logits, groups, target=None):
        """The penalty of logits ``(N,)``, a scalar."""
        return self.weight * fairness_penalty(logits.sigmoid(), groups, target, constraint=self.constraint)

    def extra_repr(self):
        return f"{self.constraint!r}, weight={self.weight}"


class ThresholdOptimizer:
    """Thresholds for each group under which decisions meet a constraint with the fewest errors (Hardt et al. 2016).

    For each group, pairs of thresholds between which a draw decides reach every point of the upper hull of the group's
    ROC curve. Demographic parity, equal opportunity and false positive rate fix one rate that all groups share;
    equalized odds fixes a point of the plane, below all hulls, that each group reaches by deciding at random for a
    share of its samples.

    Args:
        constraint: ``"demographic_parity"``, ``"equal_opportunity"``, ``"false_positive_rate"`` or
            ``"equalized_odds"``.
        grid_size: how many values of the shared rate are tried.

    Example::

        >>> scores, target = corten.tensor([0.9, 0.6, 0.4, 0.8, 0.3, 0.1]), corten.tensor([1, 1, 0, 1, 1, 0])
        >>> groups = corten.tensor([0, 0, 0, 1, 1, 1])
        >>> optimizer = corten.metrics.fairness.ThresholdOptimizer("equal_opportunity").fit(scores, target, groups)
        >>> optimizer.predict(scores, groups).tolist()
        [1, 1, 0, 1, 1, 0]
    """

    def __init__(self, constraint="equalized_odds", grid_size=1000):
        _checks.check_choice("ThresholdOptimizer", "constraint", constraint, tuple(_AMONG))
        if not isinstance(grid_size, int) or grid_size < 2:
            raise ValueError(f"ThresholdOptimizer: grid_size is an int of at least 2, got {grid_size!r}")
        self.constraint, self.grid_size = constraint, grid_size
        self.rules = None

    def fit(self, scores, target, groups):
        """Finds the thresholds on data that were not used to train the scores' model.

        Args:
            scores: higher for label 1, ``(N,)``.
            target: zeros and ones ``(N,)``; every group has both.
            groups: the group of each sample, any integers ``(N,)``.

        Returns:
            The optimizer. ``rules`` has for each group ``(low, high, share, ignored, constant)``: scores above the
            threshold ``high`` are decided for, those above ``low`` with the probability ``share``; a share ``ignored``
            of samples is decided for with the probability ``constant`` instead.

        Raises:
            ValueError: a group without samples of a label, shapes that differ, NaN.
            TypeError: groups or a target of a floating dtype.
        """
        with corten.no_grad():
            _decisions("ThresholdOptimizer.fit", scores, target, groups, 0.5)
            scores, true = _checks.wide(scores), target == 1
            hulls = {}
            for name in corten.unique(groups).tolist():
                member = groups == name
                if not bool(true[member].any()) or bool(true[member].all()):
                    raise ValueError(f"ThresholdOptimizer.fit: group {name} has samples of a single label")
                hulls[name] = _Hull(scores[member], true[member])
            rate = corten.linspace(0, 1, self.grid_size, dtype=scores.dtype, device=scores.device)
            if self.constraint == "equalized_odds":
                self.rules = _equal_points(hulls, rate)
            else:
                self.rules = _equal_rates(hulls, rate, self.constraint)
        return self

    def predict_proba(self, scores, groups):
        """The probability ``(N,)`` with which each sample is decided for.

        Raises:
            RuntimeError: before `fit`.
            ValueError: a group that `fit` has not seen, or shapes that differ.
        """
        if self.rules is None:
            raise RuntimeError("ThresholdOptimizer.predict_proba: call fit first")
        _check_groups("ThresholdOptimizer.predict_proba", groups, scores)
        scores = _checks.wide(scores)
        names = corten.tensor(sorted(self.rules), device=scores.device)
        index = corten.searchsorted(names, groups.to(names.dtype)).clamp(max=len(names) - 1)
        if bool((names[index] != groups).any()):
            raise ValueError("ThresholdOptimizer.predict_proba: a group was not there in fit")
        rules = corten.tensor(
            [self.rules[name] for name in sorted(self.rules)], dtype=scores.dtype, device=scores.device
        )
        low, high, share, ignored, constant = rules[index].unbind(1)
        decided = corten.where(scores > high, 1.0, corten.where(scores > low, share, 0.0))
        return ignored * constant + (1 - ignored) * decided

    def predict(self, scores, groups, generator=None):
        """Decisions ``(N,)``, int64; drawn where the probability is neither 0 nor 1.

        Raises:
            RuntimeError, ValueError: those of `predict_proba`.
        """
        probability = self.predict_proba(scores, groups)
        drawn = corten.rand(probability.shape, generator=generator, dtype=probability.dtype, device=probability.device)
        return (drawn < probability).to(corten.int64)


class _Hull:
    """The corners of the upper hull of a group's ROC curve, by rising rates, with the threshold of each."""

    def __init__(self, scores, true):
        self.positives, self.negatives = int(true.sum()), int((~true).sum())
        scores, order = scores.sort(descending=True)
        true = true[order]
        last = corten.ones_like(true)
        last[:-1] = scores[1:] != scores[:-1]
        zero = scores.new_zeros(1)
        self.tpr = corten.cat([zero, _checks.wide(true.cumsum(0)[last]) / self.positives])
        self.fpr = corten.cat([zero, _checks.wide((~true).cumsum(0)[last]) / self.negatives])
        # Decided for are scores above a threshold: halfway to the next one that is not.
        distinct = scores[last]
        between = corten.cat([(distinct[:-1] + distinct[1:]) / 2, zero - math.inf])
        self.threshold = corten.cat([zero + math.inf, between])
        while self._drop_covered():
            pass

    def _drop_covered(self):
        """Drops points on or below the line between their neighbours, until there are none; true if some were."""
        if len(self.tpr) < 3:
            return False
        right, up = self.fpr.diff(), self.tpr.diff()
        corner = corten.ones_like(self.tpr, dtype=corten.bool)
        corner[1:-1] = up[:-1] * right[1:] > up[1:] * right[:-1] + 1e-12
        self.tpr, self.fpr, self.threshold = self.tpr[corner], self.fpr[corner], self.threshold[corner]
        return not bool(corner.all())

    def rates(self, constraint):
        """The rate that a constraint wants equal, at each corner."""
        if constraint == "equal_opportunity":
            return self.tpr
        if constraint == "false_positive_rate":
            return self.fpr
        total = self.positives + self.negatives
        return (self.tpr * self.positives + self.fpr * self.negatives) / total

    def at(self, rate, rates):
        """Points with given rates ``(R,)`` on the hull: (corner before, share of the next corner, fpr, tpr).

        Where several points have the rate, that with most true and least false positives.
        """
        first = rates is self.tpr
        behind = corten.searchsorted(rates, rate, right=not first)
        after = behind.clamp(1, len(rates) - 1)
        before = after - 1
        share = _checks.ratio(rate - rates[before], rates[after] - rates[before], 1.0).clamp(0, 1)
        fpr = self.fpr[before] + share * (self.fpr[after] - self.fpr[before])
        tpr = self.tpr[before] + share * (self.tpr[after] - self.tpr[before])
        return before, share, fpr, tpr

    def errors(self, fpr, tpr):
        """How many samples are decided wrongly at points of the plane."""
        return (1 - tpr) * self.positives + fpr * self.negatives


def _rule(hull, before, share, ignored=0.0, constant=0.0):
    before = int(before)
    thresholds = float(hull.threshold[before + 1]), float(hull.threshold[before])
    return (*thresholds, float(share), float(ignored), float(constant))


def _equal_rates(hulls, rate, constraint):
    points = {name: hull.at(rate, hull.rates(constraint)) for name, hull in hulls.items()}
    errors = sum(hulls[name].errors(fpr, tpr) for name, (_, _, fpr, tpr) in points.items())
    best = int(errors.argmin())
    return {name: _rule(hulls[name], before[best], share[best]) for name, (before, share, _, _) in points.items()}


def _equal_points(hulls, rate):
    points = {name: hull.at(rate, hull.fpr) for name, hull in hulls.items()}
    lowest = corten.stack([tpr for _, _, _, tpr in points.values()]).amin(0)
    best = int(sum(hull.errors(rate, lowest) for hull in hulls.values()).argmin())
    rules = {}
    for name, (before, share, _, tpr) in points.items():
        # Down from the hull to the shared point: for a share of samples, label 1 with the probability fpr.
        ignored = _checks.ratio(tpr[best] - lowest[best], tpr[best] - rate[best])
        rules[name] = _rule(hulls[name], before[best], share[best], ignored, rate[best])
    return rules
