"""Metrics: known values, streams of batches, and what they say of inputs that have no metric."""

from __future__ import annotations

import doctest
import importlib
import math

import corten
import numpy as np
import pytest
from corten import metrics as m

t = corten.tensor
LABELS, PREDS = [0, 1, 2, 2, 1, 0, 2, 1], [0, 2, 2, 2, 1, 0, 0, 0]
BINARY, SCORES = [0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.4, 0.4]
CLASSES = [
    [0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.3, 0.3, 0.4],
    [0.4, 0.4, 0.2], [0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.7, 0.1],
]  # fmt: skip
NUMBERS, GUESSES = [3, -0.5, 2, 7], [2.5, 0.0, 2, 8]
RELEVANCE, RANKING = [[3, 2, 0, 1]], [[0.5, 0.5, 0.9, 0.1]]
TEXTS = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]

# What scikit-learn 1.9 and sacrebleu 2.6 say: function, class, arguments, options, value.
KNOWN = [
    (m.accuracy, m.Accuracy, (PREDS, LABELS), {}, 0.625),
    (m.precision, m.Precision, (PREDS, LABELS), {"average": "micro"}, 0.625),
    (m.precision, m.Precision, (PREDS, LABELS), {"average": "macro"}, 0.7222222222222222),
    (m.precision, m.Precision, (PREDS, LABELS), {"average": "weighted"}, 0.75),
    (m.recall, m.Recall, (PREDS, LABELS), {"average": "macro"}, 0.6666666666666666),
    (m.f1, m.F1, (PREDS, LABELS), {"average": "macro"}, 0.611111111111111),
    (m.f1, m.F1, (PREDS, LABELS), {"average": "weighted"}, 0.6041666666666666),
    (m.fbeta, m.FBeta, (PREDS, LABELS), {"beta": 1.0, "average": "macro"}, 0.611111111111111),
    (m.mean_iou, m.MeanIoU, (PREDS, LABELS), {}, 0.4444444444444444),
    (m.cohen_kappa, m.CohenKappa, (PREDS, LABELS), {}, 0.4545454545454546),
    (m.matthews_corrcoef, m.MatthewsCorrCoef, (PREDS, LABELS), {}, 0.5006261743217589),
    (m.balanced_accuracy, m.BalancedAccuracy, (PREDS, LABELS), {}, 0.6666666666666666),
    (m.hamming_loss, m.HammingLoss, (PREDS, LABELS), {}, 0.375),
    (m.top_k_accuracy, m.TopKAccuracy, (CLASSES, LABELS), {"k": 1}, 0.875),
    (m.roc_auc, m.ROCAUC, (SCORES, BINARY), {}, 0.6666666666666667),
    (m.average_precision, m.AveragePrecision, (SCORES, BINARY), {}, 0.7),
    (m.roc_auc, m.ROCAUC, (CLASSES, LABELS), {}, 0.9222222222222222),
    (m.roc_auc, m.ROCAUC, (CLASSES, LABELS), {"multi_class": "ovo"}, 0.9351851851851851),
    (m.average_precision, m.AveragePrecision, (CLASSES, LABELS), {}, 0.8703703703703703),
    (m.log_loss, m.LogLoss, (CLASSES, LABELS), {}, 0.705878017604699),
    (m.brier_score, m.BrierScore, (SCORES, BINARY), {}, 0.19208333333333336),
    (m.mean_squared_error, m.MeanSquaredError, (GUESSES, NUMBERS), {}, 0.375),
    (m.root_mean_squared_error, m.RootMeanSquaredError, (GUESSES, NUMBERS), {}, math.sqrt(0.375)),
    (m.mean_absolute_error, m.MeanAbsoluteError, (GUESSES, NUMBERS), {}, 0.5),
    (m.mean_absolute_percentage_error, m.MeanAbsolutePercentageError, (GUESSES, NUMBERS), {}, 0.3273809523809524),
    (m.pinball_loss, m.PinballLoss, (GUESSES, NUMBERS), {"quantile": 0.1}, 0.35),
    (m.r2_score, m.R2Score, (GUESSES, NUMBERS), {}, 0.9486081370449679),
    (m.ndcg, m.NDCG, (RANKING, RELEVANCE), {}, 0.6841866999887227),
    (m.ndcg, m.NDCG, (RANKING, RELEVANCE), {"k": 2}, 0.37010238870733153),
    (m.bleu, m.BLEU, (TEXTS, REFERENCES), {}, 48.530827009929865),
    (m.chrf, m.CHRF, (TEXTS, REFERENCES), {}, 59.72751782684763),
    (m.chrf, m.CHRF, (TEXTS, REFERENCES), {"word_order": 2}, 59.15310444399262),
]
names = [f"{row[0].__name__}{'_'.join(['', *map(str, row[3].values())])}" for row in KNOWN]


def given(argument):
    return argument if isinstance(argument[0], str) or argument is REFERENCES else t(argument)


def number(value) -> float:
    return value if isinstance(value, float) else value.item()


@pytest.mark.parametrize(("function", "cls", "arguments", "options", "value"), KNOWN, ids=names)
def test_values_are_known_ones_at_once_and_in_streams(function, cls, arguments, options, value, device):
    near = pytest.approx(value, rel=1e-6)
    arguments = [given(argument) for argument in arguments]
    assert number(function(*arguments, **options)) == near

    size = len(arguments[0])
    stream, rest = cls(**options), cls(**options)
    for i in range(size):
        (stream if i < size // 2 else rest).update(*(argument[i : i + 1] for argument in arguments))
    resumed = cls(**options)
    resumed.load_state_dict(stream.state_dict())
    rest.merge(resumed)
    assert number(rest.compute()) == near
    # What was merged and resumed from is left alone.
    assert bool(stream.state_dict()) == (size > 1)
    stream.reset()
    stream.update(*arguments)
    assert number(stream.compute()) == near


def test_states_go_through_files(tmp_path):
    for cls, arguments in (
        (m.F1, (t(BINARY), t(BINARY))),
        (m.ROCAUC, (t(SCORES), t(BINARY))),
        (m.BLEU, (TEXTS, REFERENCES)),
    ):
        metric, other = cls(), cls()
        metric.update(*arguments)
        corten.save(metric.state_dict(), tmp_path / "state")
        other.load_state_dict(corten.load(tmp_path / "state"))
        assert number(other.compute()) == number(metric.compute())


def test_results_lie_on_the_device_of_their_arguments(device):
    for value in (m.accuracy(t(PREDS), t(LABELS)), m.roc_auc(t(SCORES), t(BINARY)), m.ndcg(t(RANKING), t(RELEVANCE))):
        assert value.device == t(0).device and value.shape == ()
        assert value.dtype == (corten.float64 if device == "cpu" else corten.float32)


def test_no_metric_keeps_a_graph():
    preds = t(GUESSES, requires_grad=True)
    assert not m.mean_squared_error(preds, t(NUMBERS)).requires_grad
    collected = m.ROCAUC()
    collected.update(t(SCORES, requires_grad=True), t(BINARY))
    assert not collected.state_dict()["preds"][0].requires_grad


def test_scores_labels_and_probabilities_stand_for_the_same_predictions():
    classes = t(CLASSES)
    expected = m.confusion_matrix(classes.argmax(1), t(LABELS), num_classes=3)
    assert m.confusion_matrix(classes.log(), t(LABELS)).tolist() == expected.tolist()
    images = classes.reshape(2, 4, 3).permute(0, 2, 1)
    assert m.confusion_matrix(images, t(LABELS).reshape(2, 4)).tolist() == expected.tolist()
    assert m.f1(t(SCORES), t(BINARY)).item() == pytest.approx(0.5)
    assert m.f1(t(SCORES).logit(), t(BINARY), threshold=0).item() == pytest.approx(0.5)


def test_what_is_ignored_changes_nothing():
    preds, target = t([*PREDS, 1, 2]), t([*LABELS, -100, -100])
    assert m.accuracy(preds, target, ignore_index=-100).item() == pytest.approx(0.625)
    assert m.mean_iou(preds, target, ignore_index=-100).item() == pytest.approx(0.4444444444444444)


def test_classes_that_are_seen_later_make_the_matrix_larger():
    matrix = m.ConfusionMatrix()
    matrix.update(t([0, 1]), t([0, 1]))
    matrix.update(t([3]), t([2]))
    matrix.update(t([0]), t([1]))
    expected = m.confusion_matrix(t([0, 1, 3, 0]), t([0, 1, 2, 1]))
    assert matrix.compute().tolist() == expected.tolist()


def test_variance_of_a_stream_far_from_zero_is_not_lost():
    target = 1e4 + np.random.rand(64).astype(np.float32)
    metric = m.R2Score()
    for part in np.split(target, 8):
        metric.update(t(part), t(part))
    assert metric.compute().item() == pytest.approx(1)
    variance = metric.state_dict()["squares"].item() / 64
    assert variance == pytest.approx(target.astype(np.float64).var(), rel=2e-2)


@pytest.mark.parametrize("dtype", [corten.float16, corten.bfloat16])
def test_scores_of_half_precision_and_labels_of_bytes_and_bools_count_alike(dtype):
    scores, target = t([0.125, 0.5, 0.375, 0.75], dtype=dtype), t([0, 0, 1, 1])
    for labels in (target, target.bool(), target.to(corten.uint8)):
        assert m.roc_auc(scores, labels).item() == pytest.approx(0.75)
        assert m.f1(scores, labels, threshold=0.25).item() == pytest.approx(0.8)
        assert m.mean_iou(labels, labels).item() == 1
        assert m.brier_score(scores, labels).item() == pytest.approx((0.125**2 + 0.25 + 0.625**2 + 0.0625) / 4)


def test_calibration_errors_are_the_gaps_of_the_bins():
    # Two bins: 0.2 twice with one hit, and 0.9 twice with two.
    preds, target = t([0.2, 0.2, 0.9, 0.9]), t([0, 1, 1, 1])
    assert m.expected_calibration_error(preds, target, n_bins=2).item() == pytest.approx((0.3 + 0.1) / 2)
    assert m.maximum_calibration_error(preds, target, n_bins=2).item() == pytest.approx(0.3)
    squares = m.calibration_error(preds, target, n_bins=2, norm="l2").item()
    assert squares == pytest.approx(math.sqrt((0.09 + 0.01) / 2))
    # The class that is most likely is the confidence: 0.8 and wrong, 0.6 and right.
    many = t([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]])
    assert m.calibration_error(many, t([1, 1]), n_bins=10).item() == pytest.approx((0.8 + 0.4) / 2)
    metric = m.CalibrationError(n_bins=2)
    metric.update(preds[:1], target[:1])
    metric.update(preds[1:], target[1:])
    assert metric.compute().item() == pytest.approx(0.2)


def test_calibrated_probabilities_have_no_error_and_confident_ones_have():
    chance = corten.rand(20000)
    target = (corten.rand(20000) < chance).long()
    assert m.calibration_error(chance, target).item() < 0.02
    assert m.calibration_error((chance > 0.5).float(), target).item() > 0.2


def test_intervals_cover_what_lies_within_their_edges():
    metric = m.IntervalCoverage()
    metric.update(t([0.0, 0.0]), t([1.0, 1.0]), t([1.0, 1.5]))
    metric.update(t([0.0]), t([1.0]), t([0.5]))
    assert metric.compute().item() == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="ends before it begins"):
        m.interval_coverage(t([1.0]), t([0.0]), t([0.5]))


def test_ranks_of_equal_scores_are_the_worst():
    flat = corten.zeros(1, 5)
    relevance = t([[1, 0, 0, 0, 0]])
    assert m.hit_rate(flat, relevance, k=4).item() == 0 and m.hit_rate(flat, relevance, k=5).item() == 1
    assert m.mean_reciprocal_rank(flat, relevance).item() == pytest.approx(1 / 5)


def test_hits_and_ranks_are_those_of_the_first_relevant_document():
    scores = t([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3], [0.5, 0.4, 0.3]])
    relevance = t([[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    assert m.mean_reciprocal_rank(scores, relevance).item() == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert m.mean_reciprocal_rank(scores, relevance, k=2).item() == pytest.approx((1 / 2) / 3)
    assert [m.hit_rate(scores, relevance, k=k).item() for k in (1, 2, 3)] == pytest.approx([0, 1 / 3, 2 / 3])


def test_samples_of_one_distribution_are_near_and_moved_ones_as_far_as_they_were_moved():
    one = corten.randn(500, 3)
    assert m.frechet_distance(one, one).item() == pytest.approx(0, abs=1e-3)
    assert m.frechet_distance(one, one + t([1.0, 2.0, 0.0])).item() == pytest.approx(5, rel=1e-3)
    # Of normal distributions in one dim it is (μ₁ − μ₂)² + (σ₁ − σ₂)².
    got = m.frechet_distance_of_moments(t([0.0]), t([[4.0]]), t([3.0]), t([[1.0]]))
    assert got.item() == pytest.approx(10)
    metric = m.FrechetDistance()
    for part in one.split(100):
        metric.update(part)
        metric.update(None, part * 2)
    assert metric.compute().item() == pytest.approx(m.frechet_distance(one, one * 2).item(), rel=1e-3)


def test_means_and_collections_follow_streams():
    mean = m.Mean()
    mean.update(t([1.0, 2.0]))
    mean.update(6.0, weight=2)
    assert mean.compute().item() == pytest.approx(15 / 4)
    both, other = (m.MetricCollection({"accuracy": m.Accuracy(), "f1": m.F1()}) for _ in range(2))
    both.update(t(SCORES), t(BINARY))
    other.load_state_dict(both.state_dict())
    other.merge(both)
    assert {name: value.item() for name, value in other.compute().items()} == pytest.approx(
        {"accuracy": 4 / 6, "f1": 0.5}
    )
    both.reset()
    with pytest.raises(RuntimeError, match="no update since the last reset"):
        both.compute()


WRONG = {
    "shapes": (lambda: m.accuracy(t([0, 1]), t([0, 1, 1])), ValueError, r"\(2,\).*\(3,\)"),
    "floating_target": (lambda: m.accuracy(t([0, 1]), t([0.0, 1.0])), TypeError, "integer"),
    "no_tensor": (lambda: m.accuracy([0, 1], t([0, 1])), TypeError, "preds must be a Tensor, got list"),
    "one_column": (lambda: m.accuracy(corten.rand(3, 1), t([0, 1, 1])), ValueError, "two or more in dim 1"),
    "one_column_of_curve": (lambda: m.roc_auc(corten.rand(3, 1), t([0, 1, 1])), ValueError, "C of 2 or more"),
    "empty_corpus": (lambda: m.bleu([], []), ValueError, "corpus is empty"),
    "empty": (lambda: m.accuracy(t([], dtype=corten.int64), t([], dtype=corten.int64)), ValueError, "one sample"),
    "empty_matrix": (lambda: m.f1(t([], dtype=corten.int64), t([], dtype=corten.int64)), ValueError, "one sample"),
    "nan_scores": (lambda: m.f1(t([math.nan, 1.0]), t([0, 1])), ValueError, "NaN"),
    "negative_label": (lambda: m.f1(t([0, 1]), t([-1, 1])), ValueError, "not negative, got -1"),
    "high_label": (lambda: m.f1(t([0, 1]), t([3, 1]), num_classes=2), ValueError, "below the number of classes 2"),
    "binary_of_three": (lambda: m.f1(t([0, 1, 2]), t([0, 1, 2])), ValueError, "average='binary'"),
    "average": (lambda: m.f1(t([0, 1]), t([0, 1]), average="mean"), ValueError, "average is one of"),
    "option": (lambda: m.F1(averaged=1), TypeError, "no option averaged"),
    "weights": (lambda: m.accuracy(t([0]), t([0]), sample_weight=corten.ones(2)), ValueError, "sample_weight"),
    "nan_curve": (lambda: m.roc_auc(t([math.nan, 1.0]), t([0, 1])), ValueError, "NaN"),
    "labels_of_curve": (lambda: m.roc_curve(t([0.1, 1.0]), t([0, 2])), ValueError, "0 and 1"),
    "empty_curve": (lambda: m.roc_auc(t([]), t([], dtype=corten.int64)), ValueError, "one sample"),
    "logits_of_classes": (lambda: m.roc_auc(corten.ones(2, 3), t([0, 1])), ValueError, "sum to 1"),
    "no_class": (lambda: m.average_precision(corten.ones(2, 3), t([0, 3])), ValueError, "from 0 to 2"),
    "no_probability": (lambda: m.brier_score(t([2.0]), t([1])), ValueError, "sigmoid"),
    "infinite": (lambda: m.mean_squared_error(t([math.inf]), t([1.0])), ValueError, "infinity"),
    "errors_shapes": (lambda: m.mean_squared_error(t([1.0]), t([[1.0]])), ValueError, r"\(1,\) and \(1, 1\)"),
    "quantile": (lambda: m.pinball_loss(t([1.0]), t([1.0]), quantile=2), ValueError, "between 0 and 1"),
    "one_document": (lambda: m.ndcg(t([[1.0]]), t([[1]])), ValueError, "two and more"),
    "negative_relevance": (lambda: m.ndcg(t([[1.0, 2.0]]), t([[1, -1]])), ValueError, "not negative"),
    "merged": (lambda: m.F1().merge(m.F1(average="micro")), TypeError, "same class and options"),
    "no_batches": (lambda: m.F1().compute(), RuntimeError, "no update"),
    "one_feature": (lambda: m.frechet_distance(corten.ones(1, 2), corten.ones(3, 2)), ValueError, "two samples"),
    "texts": (lambda: m.bleu("a b", "a b c") + m.bleu(["a"], []), ValueError, "1 and 0"),
    "no_reference": (lambda: m.chrf(["a"], [[]]), ValueError, "at least one reference"),
    "no_words": (lambda: m.word_error_rate(["a"], [""]), ValueError, "empty"),
    "vocabulary": (lambda: m.perplexity(corten.zeros(2, 3), t([0, 3])), ValueError, "from 0 to 2"),
    "no_tokens": (lambda: m.perplexity(corten.zeros(1, 3), t([-100])), ValueError, "one token"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_are_told(name):
    call, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        call()


def test_one_sample_has_no_variance():
    with pytest.warns(UserWarning, match="no variance"):
        assert math.isnan(m.r2_score(t([1.0]), t([1.0])).item())


@pytest.mark.parametrize(
    "name", ["_metric", "accuracies", "calibration", "confusion", "curves", "fairness", "sequence", "text"]
)
def test_examples_of_docstrings_give_what_they_show(name):
    module = importlib.import_module(f"corten.metrics.{name}")
    assert doctest.testmod(module, extraglobs={"corten": corten}).failed == 0
