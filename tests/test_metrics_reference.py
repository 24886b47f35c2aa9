"""Metrics on random inputs beside scikit-learn and sacrebleu: ties, weights, missing classes, several labels."""

from __future__ import annotations

import importlib.util
import random
import warnings

import corten
import numpy as np
import pytest
from corten import metrics as m


def needs(name: str):
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"needs {name}")


@pytest.fixture
def sk():
    return pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")


@pytest.fixture
def agree(device):
    """Equal up to rounding: that of float64 on the CPU, of float32 on a GPU."""
    tolerance = 1e-9 if device == "cpu" else 2e-5

    def compare(value, expected):
        value = value.cpu().numpy() if isinstance(value, corten.Tensor) else value
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)

    return compare


def labels(count=200, classes=4):
    target = np.random.randint(0, classes, count)
    preds = np.where(np.random.rand(count) < 0.6, target, np.random.randint(0, classes, count))
    return preds, target


def scores(count=200, ties=True):
    target = np.random.randint(0, 2, count)
    values = (np.random.rand(count) + 0.4 * target).astype(np.float32) / 1.4
    return (np.round(values, 1).astype(np.float32) if ties else values), target


def probabilities(count=200, classes=4):
    target = np.random.randint(0, classes, count)
    logits = np.random.randn(count, classes) + 1.5 * np.eye(classes)[target]
    values = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return values.astype(np.float32), target


t = corten.tensor


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
@pytest.mark.parametrize("missing", [False, True])
def test_precision_recall_f1_and_iou_are_scikit_learns(sk, agree, average, weighted, missing):
    preds, target = labels()
    if missing:
        # Class 1 occurs nowhere, class 2 is never predicted, class 3 never true.
        preds, target = np.where(preds == 1, 0, preds), np.where(target == 1, 0, target)
        preds, target = np.where(preds == 2, 0, preds), np.where(target == 3, 0, target)
    weight = np.random.rand(len(target)).astype(np.float32) if weighted else None
    ours = {"average": average, "sample_weight": t(weight) if weighted else None}
    theirs = {"average": average, "sample_weight": weight, "zero_division": 0}
    if average is None:
        theirs["labels"] = range(4)
    pairs = [
        (m.precision, sk.precision_score, {}),
        (m.recall, sk.recall_score, {}),
        (m.f1, sk.f1_score, {}),
        (m.fbeta, sk.fbeta_score, {"beta": 0.5}),
        (m.mean_iou, sk.jaccard_score, {}),
    ]
    for mine, reference, more in pairs:
        agree(mine(t(preds), t(target), **ours, **more), reference(target, preds, **theirs, **more))


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_scores_of_several_labels_are_scikit_learns(sk, agree, average):
    target, preds = np.random.randint(0, 2, (50, 5)), np.random.randint(0, 2, (50, 5))
    target[:, 3] = preds[:, 3] = 0
    for mine, reference in ((m.precision, sk.precision_score), (m.recall, sk.recall_score), (m.f1, sk.f1_score)):
        for zero_division in (0, 1, np.nan):
            expected = reference(target, preds, average=average, zero_division=zero_division)
            got = mine(t(preds), t(target), average=average, multilabel=True, zero_division=zero_division)
            agree(got, expected)
    matrices = m.confusion_matrix(t(preds), t(target), multilabel=True)
    assert matrices.tolist() == sk.multilabel_confusion_matrix(target, preds).tolist()
    agree(m.accuracy(t(preds), t(target), multilabel=True), sk.accuracy_score(target, preds))
    agree(m.hamming_loss(t(preds), t(target)), sk.hamming_loss(target, preds))


@pytest.mark.parametrize("zero_division", [0, 1, np.nan])
def test_nothing_to_divide_by_gives_what_scikit_learn_gives(sk, agree, zero_division):
    none, some = np.zeros(4, dtype=int), np.array([0, 1, 0, 1])
    for preds, target in ((none, some), (some, none), (none, none)):
        for mine, reference in ((m.precision, sk.precision_score), (m.recall, sk.recall_score), (m.f1, sk.f1_score)):
            expected = reference(target, preds, zero_division=zero_division)
            agree(mine(t(preds), t(target), zero_division=zero_division), expected)


def test_agreement_and_accuracy_are_scikit_learns(sk, agree):
    preds, target = labels()
    weight = np.random.rand(len(target)).astype(np.float32)
    for ours, theirs in (({}, {}), ({"sample_weight": t(weight)}, {"sample_weight": weight.astype(np.float64)})):
        agree(m.accuracy(t(preds), t(target), **ours), sk.accuracy_score(target, preds, **theirs))
        agree(m.balanced_accuracy(t(preds), t(target), **ours), sk.balanced_accuracy_score(target, preds, **theirs))
        adjusted = sk.balanced_accuracy_score(target, preds, adjusted=True, **theirs)
        agree(m.balanced_accuracy(t(preds), t(target), adjusted=True, **ours), adjusted)
        agree(m.matthews_corrcoef(t(preds), t(target), **ours), sk.matthews_corrcoef(target, preds, **theirs))
        agree(m.confusion_matrix(t(preds), t(target), **ours), sk.confusion_matrix(target, preds, **theirs))
        for weights in (None, "linear", "quadratic"):
            expected = sk.cohen_kappa_score(target, preds, weights=weights, **theirs)
            agree(m.cohen_kappa(t(preds), t(target), weights=weights, **ours), expected)
    for normalize in ("true", "pred", "all"):
        expected = sk.confusion_matrix(target, preds, normalize=normalize)
        agree(m.confusion_matrix(t(preds), t(target), normalize=normalize), expected)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_accuracy_breaks_ties_as_scikit_learn_does(sk, agree, k):
    values, target = np.random.randint(0, 3, (100, 4)).astype(np.float32), np.random.randint(0, 4, 100)
    expected = sk.top_k_accuracy_score(target, values, k=k, labels=range(4))
    agree(m.top_k_accuracy(t(values), t(target), k=k), expected)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_curves_and_their_areas_are_scikit_learns(sk, agree, ties, weighted):
    values, target = scores(ties=ties)
    weight = np.random.randint(0, 4, len(target)).astype(np.float32) if weighted else None
    ours = {"sample_weight": t(weight)} if weighted else {}
    theirs = {"sample_weight": weight} if weighted else {}
    for drop in (False, True):
        for mine, reference in (
            (m.roc_curve, sk.roc_curve),
            (m.precision_recall_curve, sk.precision_recall_curve),
        ):
            got = mine(t(values), t(target), drop_intermediate=drop, **ours)
            for ours_part, part in zip(got, reference(target, values, drop_intermediate=drop, **theirs), strict=True):
                agree(ours_part, part)
    agree(m.roc_auc(t(values), t(target), **ours), sk.roc_auc_score(target, values, **theirs))
    agree(m.average_precision(t(values), t(target), **ours), sk.average_precision_score(target, values, **theirs))
    fpr, tpr, _ = m.roc_curve(t(values), t(target), **ours)
    agree(m.auc(fpr, tpr), sk.roc_auc_score(target, values, **theirs))


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
def test_areas_of_classes_and_labels_are_scikit_learns(sk, agree, average):
    values, target = probabilities()
    several = np.random.randint(0, 2, values.shape)
    weight = np.random.rand(len(target)).astype(np.float32)
    for ours, theirs in (({}, {}), ({"sample_weight": t(weight)}, {"sample_weight": weight.astype(np.float64)})):
        expected = sk.roc_auc_score(target, values, multi_class="ovr", average=average, **theirs)
        agree(m.roc_auc(t(values), t(target), average=average, **ours), expected)
        expected = sk.average_precision_score(target, values, average=average, **theirs)
        agree(m.average_precision(t(values), t(target), average=average, **ours), expected)
        expected = sk.roc_auc_score(several, values, average=average, **theirs)
        agree(m.roc_auc(t(values), t(several), average=average, **ours), expected)
        expected = sk.average_precision_score(several, values, average=average, **theirs)
        agree(m.average_precision(t(values), t(several), average=average, **ours), expected)
    if average in ("macro", "weighted"):
        expected = sk.roc_auc_score(target, values, multi_class="ovo", average=average)
        agree(m.roc_auc(t(values), t(target), multi_class="ovo", average=average), expected)


def test_targets_of_one_class_give_scikit_learns_values_with_a_warning(sk, agree):
    values = np.array([0.1, 0.5, 0.9], dtype=np.float32)
    for target in (np.zeros(3, dtype=int), np.ones(3, dtype=int)):
        for mine, reference in (
            (m.roc_curve, sk.roc_curve),
            (m.precision_recall_curve, sk.precision_recall_curve),
            (m.roc_auc, sk.roc_auc_score),
            (m.average_precision, sk.average_precision_score),
        ):
            with warnings.catch_warnings(record=True) as theirs:
                warnings.simplefilter("always")
                expected = reference(target, values)
            with warnings.catch_warnings(record=True) as ours:
                warnings.simplefilter("always")
                got = mine(t(values), t(target))
            assert bool(ours) == bool(theirs)
            for one, other in zip(got, expected) if isinstance(got, tuple) else [(got, expected)]:
                agree(one, other)


def test_losses_of_probabilities_are_scikit_learns(sk, agree):
    from sklearn.calibration import calibration_curve

    values, target = scores(ties=False)
    many, classes = probabilities()
    weight = np.random.rand(len(target)).astype(np.float32)
    for ours, theirs in (({}, {}), ({"sample_weight": t(weight)}, {"sample_weight": weight.astype(np.float64)})):
        # In float64, as ours are: scikit-learn sums float32 in float32.
        agree(m.log_loss(t(values), t(target), **ours), sk.log_loss(target, values.astype(np.float64), **theirs))
        agree(
            m.brier_score(t(values), t(target), **ours),
            sk.brier_score_loss(target, values.astype(np.float64), **theirs),
        )
    exact = many.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    agree(m.log_loss(t(many), t(classes)), sk.log_loss(classes, exact))
    agree(m.brier_score(t(many), t(classes)), sk.brier_score_loss(classes, exact, scale_by_half=False))
    for strategy in ("uniform", "quantile"):
        expected = calibration_curve(target, values, n_bins=5, strategy=strategy)
        for mine, theirs in zip(m.calibration_curve(t(values), t(target), strategy=strategy), expected, strict=True):
            agree(mine, theirs)


@pytest.mark.parametrize("outputs", [(), (3,)])
@pytest.mark.parametrize("weighted", [False, True])
def test_errors_of_numbers_are_scikit_learns(sk, agree, outputs, weighted):
    target = (np.random.randn(80, *outputs) * 3 + 5).astype(np.float32)
    preds = (target + np.random.randn(80, *outputs)).astype(np.float32)
    weight = np.random.rand(80).astype(np.float32) if weighted else None
    pairs = [
        (m.mean_squared_error, sk.mean_squared_error, {}, {}),
        (m.root_mean_squared_error, sk.root_mean_squared_error, {}, {}),
        (m.mean_absolute_error, sk.mean_absolute_error, {}, {}),
        (m.mean_absolute_percentage_error, sk.mean_absolute_percentage_error, {}, {}),
        (m.pinball_loss, sk.mean_pinball_loss, {"quantile": 0.9}, {"alpha": 0.9}),
        (m.r2_score, sk.r2_score, {}, {}),
        (m.r2_score, sk.r2_score, {"multioutput": "variance_weighted"}, {"multioutput": "variance_weighted"}),
    ]
    if outputs:
        pairs += [
            (one, other, {"multioutput": "raw_values"}, {"multioutput": "raw_values"}) for one, other, _, _ in pairs[:4]
        ]
    exact = preds.astype(np.float64), target.astype(np.float64)
    for mine, reference, ours, theirs in pairs:
        got = mine(t(preds), t(target), **ours, sample_weight=t(weight) if weighted else None)
        agree(got, reference(exact[1], exact[0], **theirs, sample_weight=weight))


def test_constant_targets_have_scikit_learns_r2(sk, agree):
    constant, other = np.ones(5, dtype=np.float32), np.arange(5, dtype=np.float32)
    for preds in (constant, other):
        agree(m.r2_score(t(preds), t(constant)), sk.r2_score(constant, preds))


@pytest.mark.parametrize("k", [None, 1, 3, 20])
def test_ndcg_shares_discounts_among_ties_as_scikit_learn_does(sk, agree, k):
    relevance, values = np.random.randint(0, 4, (30, 8)), np.random.randint(0, 5, (30, 8)).astype(np.float32)
    relevance[0] = 0
    agree(m.ndcg(t(values), t(relevance), k=k), sk.ndcg_score(relevance, values, k=k))


def test_reciprocal_ranks_are_scikit_learns_precision_of_rankings_with_one_relevant_document(sk, agree):
    relevance = np.eye(8, dtype=int)[np.random.randint(0, 8, 40)]
    values = np.random.randint(0, 5, (40, 8)).astype(np.float32)
    expected = sk.label_ranking_average_precision_score(relevance, values)
    agree(m.mean_reciprocal_rank(t(values), t(relevance)), expected)


WORDS = [
    *("the", "cat,", "sat", "on", "a", "mat.", "3.5", "1,000", "e-mail", "U.S.", "don't", '"quoted"', "(hi)"),
    *("&", "&amp;", "5-6", "x-y", "%", "$7.50", "über", "naïve", "猫", "¿qué?"),
]


def texts(count: int) -> tuple[list[str], list[list[str]]]:
    preds, references = [], []
    for _ in range(count):
        words = random.choices(WORDS, k=random.randint(0, 12))
        changed = [[w if random.random() < 0.8 else random.choice(WORDS) for w in words] for _ in range(2)]
        preds.append(" ".join(words))
        references.append([" ".join(changed[0] or ["a"]), " ".join(changed[1] + ["mat."])])
    return preds, references


def streams(references):
    return [list(stream) for stream in zip(*references)]


@needs("sacrebleu")
@pytest.mark.parametrize("smooth", ["exp", "floor", "add-k", "none"])
@pytest.mark.parametrize("options", [{}, {"lowercase": True}, {"effective_order": True}, {"tokenize": "none"}])
def test_bleu_is_sacrebleus(smooth, options):
    from sacrebleu.metrics import BLEU

    reference = BLEU(smooth_method=smooth, **options)
    for count in (1, 1, 1, 1, 40):
        preds, references = texts(count)
        expected = reference.corpus_score(preds, streams(references)).score
        assert m.bleu(preds, references, smooth=smooth, **options) == pytest.approx(expected, abs=1e-9)


@needs("sacrebleu")
@pytest.mark.parametrize(
    "options", [{}, {"word_order": 2}, {"beta": 1}, {"lowercase": True}, {"whitespace": True}, {"char_order": 3}]
)
def test_chrf_is_sacrebleus(options):
    from sacrebleu.metrics import CHRF

    for count in (1, 1, 1, 40):
        preds, references = texts(count)
        expected = CHRF(**options).corpus_score(preds, streams(references)).score
        assert m.chrf(preds, references, **options) == pytest.approx(expected, abs=1e-9)


@needs("sacrebleu")
def test_lines_are_divided_as_sacrebleu_divides_them():
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    divide = Tokenizer13a()
    for line in [" ".join(random.choices(WORDS, k=8)) for _ in range(50)] + ["a-\nb\nc <skipped> &lt;tag&gt;", ""]:
        assert m.tokenize_13a(line) == divide(line).split()


@needs("scipy")
def test_frechet_distance_is_that_of_a_matrix_square_root(agree):
    from scipy.linalg import sqrtm

    one, other = np.random.randn(100, 6), np.random.randn(80, 6) @ np.random.randn(6, 6) + 1
    one, other = one.astype(np.float32).astype(np.float64), other.astype(np.float32).astype(np.float64)
    covariances = np.cov(one.T), np.cov(other.T)
    apart = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected = apart + np.trace(covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    got = m.frechet_distance(t(one.astype(np.float32)), t(other.astype(np.float32)))
    assert got.item() == pytest.approx(expected, rel=1e-4 if got.dtype == corten.float32 else 1e-8)
