"""Translations beside references: BLEU and chrF with sacrebleu's values."""

import math
import re
from collections import Counter

from ._checks import check_choice
from ._metric import Metric

__all__ = ["bleu", "chrf", "tokenize_13a", "BLEU", "CHRF"]

# Marks that NIST's mteval-v13a sets apart: all ASCII ones but - , . ' and, beside digits, these.
_MARKS = re.compile(r"([{-~\[-` -&(-+:-@/])")
_AFTER_NON_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NON_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def tokenize_13a(line):
    """The words and marks of a line, as NIST's mteval-v13a and sacrebleu's default tell them apart."""
    line = line.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        line = line.replace(entity, character)
    line = _MARKS.sub(r" \1 ", f" {line} ")
    line = _AFTER_NON_DIGIT.sub(r"\1 \2 ", line)
    line = _BEFORE_NON_DIGIT.sub(r" \1 \2", line)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", line).split()


_TOKENIZERS = {"13a": tokenize_13a, "none": str.split, "char": lambda line: list("".join(line.split()))}


def _references(name, preds, references):
    """A list of references for each prediction."""
    if isinstance(preds, str):
        preds, references = [preds], [references]
    if isinstance(references, str) or not all(isinstance(text, str) for text in preds):
        raise TypeError(f"{name}: preds is a list of texts, and references has one text or a list of them for each")
    if not len(preds):
        raise ValueError(f"{name}: the corpus is empty")
    if len(preds) != len(references):
        raise ValueError(f"{name}: references for each prediction, got {len(preds)} and {len(references)}")
    references = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    if not all(texts and all(isinstance(text, str) for text in texts) for texts in references):
        raise ValueError(f"{name}: every prediction needs at least one reference, a text")
    return preds, references


def _added(one, other):
    return [a + b for a, b in zip(one, other)]


def _ngrams(tokens, order):
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


class _OfTexts(Metric):
    """A metric of texts: counts are lists of numbers."""

    def join(self, one, other):
        return {
            key: _added(one[key], other[key]) if isinstance(one[key], list) else one[key] + other[key] for key in one
        }

    def of_batch(self, preds, references):
        return self.value(self.statistics(preds, references))


def bleu(
    preds, references, *, tokenize="13a", lowercase=False, max_order=4, smooth="exp", smooth_value=None,
    effective_order=False,
):  # fmt: skip
    """BLEU of a corpus (Papineni et al. 2002) from 0 to 100, with sacrebleu's values (Post 2018).

    Args:
        preds: texts.
        references: for each prediction a text or a list of texts.
        tokenize: ``"13a"`` (mteval-v13a), ``"none"`` (white space), ``"char"``, or a function from a line to tokens.
        lowercase: compares without case.
        max_order: the longest n-grams.
        smooth: what becomes of orders without a match: ``"exp"`` (halves each time), ``"floor"`` (a number of
            matches, by default 0.1), ``"add-k"`` (adds a number to matches and n-grams of orders above 1, by default 1)
            or ``"none"``.
        smooth_value: the number for ``"floor"`` and ``"add-k"``.
        effective_order: leaves out orders for which there are no n-grams: for single sentences.

    Returns:
        A float.

    Raises:
        ValueError: not as many references as predictions, an empty corpus, or an unknown choice.
        TypeError: something that is no text.

    Example::

        >>> round(corten.metrics.bleu(["the cat sat on the mat"], [["the cat sat on a mat"]]), 2)
        53.73
    """
    options = dict(tokenize=tokenize, lowercase=lowercase, max_order=max_order, smooth=smooth)
    metric = BLEU(**options, smooth_value=smooth_value, effective_order=effective_order)
    return metric.of_batch(preds, references)


class BLEU(_OfTexts):
    """`bleu` of a stream of batches."""

    function = bleu

    def __init__(self, **options):
        super().__init__(**options)
        check_choice("bleu", "smooth", self.options["smooth"], ("none", "floor", "add-k", "exp"))
        if not callable(self.options["tokenize"]):
            check_choice("bleu", "tokenize", self.options["tokenize"], tuple(_TOKENIZERS))
        if not isinstance(self.options["max_order"], int) or self.options["max_order"] < 1:
            raise ValueError(f"bleu: max_order is a positive int, got {self.options['max_order']!r}")

    def statistics(self, preds, references):
        preds, references = _references("bleu", preds, references)
        matches, totals = [0] * self.options["max_order"], [0] * self.options["max_order"]
        lengths = [0, 0]
        for text, others in zip(preds, references):
            tokens, *others = (self.tokens(line) for line in (text, *others))
            nearest = min((abs(len(other) - len(tokens)), len(other)) for other in others)[1]
            lengths = _added(lengths, [len(tokens), nearest])
            for order in range(1, self.options["max_order"] + 1):
                found, most = _ngrams(tokens, order), Counter()
                for other in others:
                    most |= _ngrams(other, order)
                matches[order - 1] += (found & most).total()
                totals[order - 1] += found.total()
        return {"matches": matches, "totals": totals, "lengths": lengths}

    def tokens(self, line):
        tokenize = self.options["tokenize"]
        line = line.rstrip()
        return _TOKENIZERS.get(tokenize, tokenize)(line.lower() if self.options["lowercase"] else line)

    def value(self, statistics):
        if not any(statistics["matches"]):
            return 0.0
        precisions = self.precisions(statistics["matches"], statistics["totals"])
        orders = len(precisions) if self.options["effective_order"] else self.options["max_order"]
        if len(precisions) < orders or not all(precisions):
            return 0.0
        length, reference = statistics["lengths"]
        brevity = min(0.0, 1 - reference / length)
        return 100 * math.exp(brevity + sum(map(math.log, precisions)) / orders)

    def precisions(self, matches, totals):
        """The smoothed precision of each order up to the first without n-grams (Chen & Cherry 2014)."""
        smooth, number = self.options["smooth"], self.options["smooth_value"]
        if number is None:
            number = {"floor": 0.1, "add-k": 1}.get(smooth, 0)
        precisions, halved = [], 1.0
        for order, (match, total) in enumerate(zip(matches, totals), 1):
            if smooth == "add-k" and order > 1:
                match, total = match + number, total + number
            if total == 0:
                break
            if match == 0 and smooth == "exp":
                halved /= 2
                match = halved
            elif match == 0 and smooth == "floor":
                match = number
            precisions.append(match / total)
        return precisions


def chrf(preds, references, *, char_order=6, word_order=0, beta=2, lowercase=False, whitespace=False):
    """chrF of a corpus (Popović 2015) from 0 to 100, with sacrebleu's values: an F-score of n-grams of characters.

    Args:
        preds: texts.
        references: for each prediction a text or a list of texts, of which the one that fits best counts.
        char_order: the longest n-grams of characters.
        word_order: the longest n-grams of words; 2 for chrF++ (Popović 2017).
        beta: how many times as important recall is as precision.
        lowercase: compares without case.
        whitespace: white space counts as characters.

    Returns:
        A float.

    Raises:
        ValueError: not as many references as predictions, or an empty corpus.
        TypeError: something that is no text.
    """
    options = dict(char_order=char_order, word_order=word_order, beta=beta)
    return CHRF(**options, lowercase=lowercase, whitespace=whitespace).of_batch(preds, references)


class CHRF(_OfTexts):
    """`chrf` of a stream of batches."""

    function = chrf

    def statistics(self, preds, references):
        preds, references = _references("chrf", preds, references)
        counts = [0] * 3 * (self.options["char_order"] + self.options["word_order"])
        for text, others in zip(preds, references):
            own = self.ngrams(text)
            candidates = [_overlaps(own, self.ngrams(other)) for other in others]
            # Of references that fit as well, the first.
            counts = _added(counts, max(candidates, key=self.score))
        return {"counts": counts}

    def ngrams(self, line):
        """N-grams of each order: of characters, then of words."""
        line = line.lower() if self.options["lowercase"] else line
        characters = line if self.options["whitespace"] else "".join(line.split())
        ngrams = [_ngrams(characters, order) for order in range(1, self.options["char_order"] + 1)]
        if self.options["word_order"]:
            words = _words(line)
            ngrams += [_ngrams(words, order) for order in range(1, self.options["word_order"] + 1)]
        return ngrams

    def score(self, counts):
        """The F-score of precision and recall, both means over the orders that both sides have."""
        orders = [order for order in zip(*[iter(counts)] * 3) if order[0] > 0 and order[1] > 0]
        if not any(match for _, _, match in orders):
            return 0.0
        precision = sum(match / own for own, _, match in orders) / len(orders)
        recall = sum(match / other for _, other, match in orders) / len(orders)
        beta2 = self.options["beta"] ** 2
        return 100 * (1 + beta2) * precision * recall / (beta2 * precision + recall)

    def value(self, statistics):
        return self.score(statistics["counts"])


def _overlaps(own, other):
    """For each order: n-grams of the prediction (none where the reference has none), of the reference, and matches."""
    return [
        number
        for mine, theirs in zip(own, other)
        for number in (mine.total() if theirs else 0, theirs.total(), (mine & theirs).total())
    ]


def _words(line):
    """Words, with a mark at the end or else at the beginning of one set apart."""
    words = []
    for word in line.split():
        if len(word) > 1 and word[-1] in _PUNCTUATION:
            words += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in _PUNCTUATION:
            words += [word[0], word[1:]]
        else:
            words.append(word)
    return words
