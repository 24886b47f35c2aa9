"""Fairness: rates of groups by hand, and mitigations that narrow the gap without giving up the scores."""

from __future__ import annotations

import math

import corten
import pytest
from corten import nn
from corten.metrics import fairness

t = corten.tensor
PREDS = [1, 1, 0, 0, 1, 0, 0, 0, 1, 0]
TARGET = [1, 0, 1, 0, 1, 1, 0, 0, 1, 0]
GROUPS = [7, 7, 7, 7, 7, 9, 9, 9, 9, 9]


def test_rates_of_groups_are_those_counted_by_hand():
    rates = fairness.group_rates(t(PREDS), t(TARGET), t(GROUPS))
    expected = {
        "groups": [7, 9],
        "count": [5, 5],
        "base_rate": [3 / 5, 2 / 5],
        "selection_rate": [3 / 5, 1 / 5],
        "true_positive_rate": [2 / 3, 1 / 2],
        "false_positive_rate": [1 / 2, 0],
        "precision": [2 / 3, 1],
        "accuracy": [3 / 5, 4 / 5],
    }
    assert set(rates) == set(expected)
    for name, values in expected.items():
        assert rates[name].tolist() == pytest.approx(values), name


def test_gaps_are_the_differences_and_quotients_of_the_rates():
    preds, target, groups = t(PREDS), t(TARGET), t(GROUPS)
    assert fairness.demographic_parity_difference(preds, groups).item() == pytest.approx(2 / 5)
    assert fairness.demographic_parity_ratio(preds, groups).item() == pytest.approx(1 / 3)
    assert fairness.equal_opportunity_difference(preds, target, groups).item() == pytest.approx(1 / 6)
    assert fairness.false_positive_rate_difference(preds, target, groups).item() == pytest.approx(1 / 2)
    assert fairness.equalized_odds_difference(preds, target, groups).item() == pytest.approx(1 / 2)
    assert fairness.equalized_odds_ratio(preds, target, groups).item() == 0


def test_scores_are_compared_with_the_threshold():
    scores = t(PREDS) * 0.8 + 0.1
    expected = fairness.equalized_odds_difference(t(PREDS), t(TARGET), t(GROUPS)).item()
    assert fairness.equalized_odds_difference(scores, t(TARGET), t(GROUPS)).item() == expected
    assert fairness.demographic_parity_difference(scores, t(GROUPS), threshold=0.95).item() == 0
    assert fairness.demographic_parity_ratio(scores, t(GROUPS), threshold=0.95).item() == 1


def test_rates_of_a_stream_are_those_of_all_batches():
    metric = fairness.GroupRates()
    # The first batch has one group only.
    for part in (slice(0, 3), slice(3, 8), slice(8, 10)):
        metric.update(t(PREDS[part]), t(TARGET[part]), t(GROUPS[part]))
    expected = fairness.group_rates(t(PREDS), t(TARGET), t(GROUPS))
    for name, values in metric.compute().items():
        assert values.tolist() == expected[name].tolist()


def test_a_group_without_positive_samples_has_no_opportunity():
    with pytest.warns(UserWarning, match="a group has no samples"):
        gap = fairness.equal_opportunity_difference(t([1, 0]), t([1, 0]), t([0, 1]))
    assert math.isnan(gap.item())


def test_calibration_is_told_group_by_group():
    preds, target = t([0.8, 0.8, 0.8, 0.8, 0.2, 0.2, 0.2, 0.2, 0.2]), t([1, 1, 1, 0, 1, 1, 0, 0, 0])
    groups = t([0, 0, 0, 0, 1, 1, 1, 1, 1])
    table = fairness.calibration_by_group(preds, target, groups)
    assert table["mean_prediction"].tolist() == pytest.approx([0.8, 0.2])
    assert table["base_rate"].tolist() == pytest.approx([0.75, 0.4])
    assert table["calibration_error"].tolist() == pytest.approx([0.05, 0.2])
    assert table["difference"].item() == pytest.approx(0.15)


def test_reweighing_makes_labels_independent_of_groups():
    target, groups = t([1, 1, 1, 0, 1, 0, 0, 0, 0, 0]), t([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    weights = fairness.reweighing(target, groups)
    # P(group 0) P(label 1) / P(both) = 0.4 · 0.4 / 0.3.
    assert weights[0].item() == pytest.approx(0.16 / 0.3)
    assert weights.sum().item() == pytest.approx(10)
    rates = [(weights * target)[groups == g].sum().item() / weights[groups == g].sum().item() for g in (0, 1)]
    assert rates == pytest.approx([0.4, 0.4])


def test_penalty_is_the_spread_of_the_groups_means_and_has_their_gradient():
    probs = t([0.9, 0.7, 0.3, 0.1], requires_grad=True)
    groups, target = t([0, 0, 1, 1]), t([1, 0, 1, 0])
    assert fairness.fairness_penalty(probs, groups).item() == pytest.approx(0.09)
    assert fairness.fairness_penalty(probs, groups, target, constraint="equal_opportunity").item() == pytest.approx(
        0.09
    )
    odds = fairness.fairness_penalty(probs, groups, target, constraint="equalized_odds")
    assert odds.item() == pytest.approx(0.18)
    odds.backward()
    assert probs.grad.tolist() == pytest.approx([0.3, 0.3, -0.3, -0.3])
    # One group alone is as all are; so are equal means.
    assert fairness.fairness_penalty(probs, t([0, 0, 0, 0])).item() == pytest.approx(0, abs=1e-7)
    assert fairness.fairness_penalty(probs, t([0, 1, 1, 0])).item() == pytest.approx(0, abs=1e-7)


def applicants(count=3000):
    """Group 1 has label 1 less often, and a feature that tells the group."""
    groups = corten.randint(0, 2, (count,))
    skill = corten.randn(count)
    target = (skill + 0.8 * corten.randn(count) - 0.9 * groups + 0.3 > 0).long()
    features = corten.stack([skill + 0.5 * corten.randn(count), groups + 0.3 * corten.randn(count)], 1)
    return features, target, groups


def train(features, target, groups, weights=None, penalty=None):
    corten.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = corten.optim.Adam(model.parameters(), lr=0.3)
    for _ in range(40):
        logits = model(features)[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), weight=weights)
        if penalty is not None:
            loss = loss + penalty(logits, groups, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return corten.sigmoid(model(features)[:, 0].detach())


def right(decisions, target):
    return (decisions == target).float().mean().item()


def test_reweighing_and_penalty_narrow_the_gap_of_a_trained_model():
    features, target, groups = applicants()
    plain = train(features, target, groups)
    gap = fairness.demographic_parity_difference(plain, groups).item()
    assert gap > 0.25
    reweighed = train(features, target, groups, weights=fairness.reweighing(target, groups))
    penalised = train(features, target, groups, penalty=fairness.FairnessPenalty(weight=20.0))
    for probs in (reweighed, penalised):
        assert fairness.demographic_parity_difference(probs, groups).item() < gap / 2
        assert right(probs > 0.5, target == 1) > right(plain > 0.5, target == 1) - 0.1
    odds = train(features, target, groups, penalty=fairness.FairnessPenalty("equalized_odds", weight=20.0))
    before = fairness.equalized_odds_difference(plain, target, groups).item()
    assert fairness.equalized_odds_difference(odds, target, groups).item() < before / 2


GAPS = {
    "demographic_parity": lambda d, y, g: fairness.demographic_parity_difference(d, g),
    "equal_opportunity": fairness.equal_opportunity_difference,
    "false_positive_rate": fairness.false_positive_rate_difference,
    "equalized_odds": fairness.equalized_odds_difference,
}


@pytest.mark.parametrize("constraint", GAPS)
def test_thresholds_of_groups_meet_their_constraint(constraint):
    features, target, groups = applicants()
    scores = train(features, target, groups)
    before = GAPS[constraint](scores, target, groups).item()
    optimizer = fairness.ThresholdOptimizer(constraint).fit(scores, target, groups)
    probability = optimizer.predict_proba(scores, groups)
    # Expected rates are equal to the size of a step of the grid; drawn decisions to their chance.
    kinds = {
        "demographic_parity": [target >= 0],
        "equal_opportunity": [target == 1],
        "false_positive_rate": [target == 0],
        "equalized_odds": [target == 1, target == 0],
    }[constraint]
    for among in kinds:
        rates = [probability[among & (groups == g)].mean().item() for g in (0, 1)]
        assert rates[0] == pytest.approx(rates[1], abs=2e-3)
    decisions = optimizer.predict(scores, groups)
    assert GAPS[constraint](decisions, target, groups).item() < max(before / 2, 0.05)
    assert right(decisions, target) > right(scores > 0.5, target == 1) - 0.12


def test_thresholds_err_as_little_as_the_best_ones_that_meet_the_constraint():
    # Groups alike but for a shift of the scores: the best thresholds differ by it and nothing is lost.
    one = corten.rand(400)
    target = (corten.rand(400) < one).long()
    scores, both = corten.cat([one, one - 0.4]), corten.cat([target, target])
    groups = corten.arange(800) // 400
    best = max(right(one > threshold, target == 1) for threshold in one.tolist())
    for constraint in ("equalized_odds", "equal_opportunity", "demographic_parity"):
        optimizer = fairness.ThresholdOptimizer(constraint, grid_size=2001).fit(scores, both, groups)
        probability = optimizer.predict_proba(scores, groups)
        assert probability[:400].tolist() == pytest.approx(probability[400:].tolist(), abs=1e-3)
        expected = corten.where(both == 1, probability, 1 - probability).mean().item()
        assert expected == pytest.approx(best, abs=0.01)


def test_hulls_have_the_corners_of_the_roc_curve_that_no_line_covers():
    from corten.metrics.fairness import _Hull

    scores, true = t([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), t([1, 0, 1, 1, 0, 0]) == 1
    hull = _Hull(scores, true)
    assert hull.fpr.tolist() == pytest.approx([0, 0, 1 / 3, 1])
    assert hull.tpr.tolist() == pytest.approx([0, 1 / 3, 1, 1])
    assert hull.threshold.tolist() == pytest.approx([math.inf, 0.85, 0.55, -math.inf])


WRONG = {
    "groups": (lambda: fairness.demographic_parity_difference(t([1, 0]), t([0])), ValueError, "groups has shape"),
    "floating_groups": (lambda: fairness.reweighing(t([1, 0]), t([0.0, 1.0])), TypeError, "groups holds labels"),
    "labels": (lambda: fairness.group_rates(t([1, 0]), t([2, 0]), t([0, 1])), ValueError, "0 and 1 alone"),
    "nan": (lambda: fairness.group_rates(t([math.nan, 0]), t([1, 0]), t([0, 1])), ValueError, "NaN"),
    "empty": (lambda: fairness.reweighing(t([0])[:0], t([0])[:0]), ValueError, "at least one sample"),
    "logits": (lambda: fairness.calibration_by_group(t([2.0]), t([1]), t([0])), ValueError, "sigmoid"),
    "constraint": (lambda: fairness.FairnessPenalty("parity"), ValueError, "constraint is one of"),
    "no_target": (
        lambda: fairness.fairness_penalty(t([0.5]), t([0]), constraint="equal_opportunity"),
        ValueError,
        "needs the target",
    ),
    "one_label": (
        lambda: fairness.ThresholdOptimizer().fit(t([0.5, 0.4]), t([1, 1]), t([0, 0])),
        ValueError,
        "a single label",
    ),
    "unfitted": (lambda: fairness.ThresholdOptimizer().predict(t([0.5]), t([0])), RuntimeError, "call fit first"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_are_told(name):
    call, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        call()


def test_groups_that_were_not_there_are_told():
    optimizer = fairness.ThresholdOptimizer().fit(t([0.9, 0.1]), t([1, 0]), t([3, 3]))
    with pytest.raises(ValueError, match="not there in fit"):
        optimizer.predict(t([0.9]), t([4]))
