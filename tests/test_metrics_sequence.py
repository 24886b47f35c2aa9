"""Metrics of sequences and texts: edit distances, error rates, perplexity, and corners of BLEU and chrF."""

from __future__ import annotations

import math
import random

import corten
import pytest
from corten import metrics as m

t = corten.tensor


def distance(one, other) -> int:
    """The recursion of Levenshtein's distance, cell by cell."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def test_edit_distances_are_those_of_the_recursion(monkeypatch):
    monkeypatch.setattr("corten.metrics.sequence._PAIRS", 16)
    pairs = [["".join(random.choices("abc", k=random.randint(0, 12))) for _ in range(2)] for _ in range(100)]
    preds, target = zip(*pairs)
    got = m.edit_distance(preds, target)
    assert got.dtype == corten.int64 and got.tolist() == [distance(*pair) for pair in pairs]
    assert m.edit_distance(["", "kitten"], ["abc", "sitting"]).tolist() == [3, 3]
    assert m.edit_distance([], []).tolist() == []


def test_tokens_may_be_strings_numbers_or_tensors():
    assert m.edit_distance([["AH0", "B"]], [["AH0", "K"]]).tolist() == [1]
    assert m.edit_distance([t([1, 2, 3])], [[1, 3]]).tolist() == [1]
    with pytest.raises(TypeError, match="list of sequences"):
        m.edit_distance("abc", ["abc"])
    with pytest.raises(ValueError, match="as many preds as targets"):
        m.edit_distance(["abc"], [])


def test_error_rates_are_edits_over_the_length_of_the_targets():
    assert m.word_error_rate(["hello world", "a"], ["hello beautiful world", "b"]) == pytest.approx(2 / 4)
    assert m.character_error_rate("abd", "abc") == pytest.approx(1 / 3)
    assert m.phoneme_error_rate([["HH", "AH"]], [["HH", "EH", "L"]]) == pytest.approx(2 / 3)
    assert m.word_error_rate("a b c", "a") == 2
    metric = m.WordErrorRate()
    metric.update(["hello world"], ["hello beautiful world"])
    metric.update("a", "b")
    assert metric.compute() == pytest.approx(2 / 4)


def test_uniform_predictions_are_as_perplexed_as_there_are_tokens():
    logits, target = corten.zeros(2, 5, 8), corten.randint(0, 8, (2, 5))
    assert m.perplexity(logits, target).item() == pytest.approx(8)
    assert m.bits_per_character(logits, target).item() == pytest.approx(3)
    # Two characters a token.
    assert m.bits_per_character(logits, target, 20).item() == pytest.approx(1.5)


def test_perplexity_is_the_exponential_of_the_cross_entropy_without_padding():
    logits, target = corten.randn(3, 4, 7), corten.randint(0, 7, (3, 4))
    target[:, -1] = -100
    loss = corten.nn.functional.cross_entropy(logits.reshape(-1, 7), target.reshape(-1)).item()
    assert m.perplexity(logits, target).item() == pytest.approx(math.exp(loss), rel=1e-5)
    assert m.bits_per_character(logits.half(), target).item() == pytest.approx(loss / math.log(2), rel=1e-2)
    metric = m.Perplexity()
    for row, tokens in zip(logits, target):
        metric.update(row, tokens)
    assert metric.compute().item() == pytest.approx(math.exp(loss), rel=1e-5)


def test_bleu_has_its_extremes():
    assert m.bleu(["a b c d e"], ["a b c d e"]) == pytest.approx(100)
    assert m.bleu(["x y z"], ["a b c"]) == 0
    assert m.bleu([""], ["a b c"]) == 0
    # Half as long as the reference, all of it right: the brevity penalty alone.
    assert m.bleu(["a b c d"], ["a b c d e f g h"]) == pytest.approx(100 * math.exp(-1))
    assert m.bleu(["A B C D"], ["a b c d"], lowercase=True) == pytest.approx(100)
    assert m.bleu(["猫がいる"], ["猫がいる"], tokenize="char") == pytest.approx(100)
    assert m.bleu(["a,b,c,d"], ["a,b,c,d"], tokenize=lambda line: line.split(",")) == pytest.approx(100)


def test_chrf_has_its_extremes_and_takes_the_reference_that_fits():
    assert m.chrf(["abc def"], ["abc def"]) == pytest.approx(100)
    assert m.chrf(["xyz"], ["abc"]) == 0 and m.chrf([""], ["abc"]) == 0
    assert m.chrf(["abc def"], [["xyz", "abc def"]]) == pytest.approx(100)
    # White space counts where it is asked to.
    assert m.chrf(["abc def"], ["abcdef"]) == pytest.approx(100)
    assert m.chrf(["abc def"], ["abcdef"], whitespace=True) < 100
