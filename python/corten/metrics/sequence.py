"""Language models and recognisers: perplexity, bits per character, error rates of words and phonemes."""

import math

import corten
import numpy as np

from . import _checks
from ._metric import Metric

__all__ = [
    "perplexity",
    "bits_per_character",
    "edit_distance",
    "word_error_rate",
    "character_error_rate",
    "phoneme_error_rate",
    "Perplexity",
    "BitsPerCharacter",
    "WordErrorRate",
    "CharacterErrorRate",
    "PhonemeErrorRate",
]


class _LikelihoodOfTokens(Metric):
    """What follows from the sum of −ln p over tokens and their number."""

    def statistics(self, logits, target):
        name = type(self).function.__name__
        _checks.check_tensors(name, logits=logits, target=target)
        _checks.check_labels(name, target)
        if not logits.is_floating_point():
            raise TypeError(f"{name}: logits are floating point, got {logits.dtype}")
        if logits.dim() != target.dim() + 1 or logits.shape[:-1] != target.shape:
            raise ValueError(
                f"{name}: logits has shape (..., V) for a target (...), "
                f"got {tuple(logits.shape)} and {tuple(target.shape)}"
            )
        vocabulary, target = logits.shape[-1], target.reshape(-1).long()
        counted = target != self.options["ignore_index"]
        if bool((counted & ((target < 0) | (target >= vocabulary))).any()):
            raise ValueError(f"{name}: target holds tokens from 0 to {vocabulary - 1} or ignore_index")
        if bool(logits.isnan().any()):
            raise ValueError(f"{name}: logits contains NaN")
        logits = logits.reshape(-1, vocabulary)
        logits = logits.float() if logits.element_size() < 4 else logits
        own = logits.gather(1, target.masked_fill(~counted, 0)[:, None])[:, 0] - logits.logsumexp(1)
        return {"nats": -_checks.wide(own).masked_fill(~counted, 0).sum(), "tokens": counted.sum()}

    def of_batch(self, logits, target, **more):
        with corten.no_grad():
            return self.value(self.statistics(logits, target, **more))

    def mean(self, statistics, number):
        if not bool(number > 0):
            raise ValueError(f"{type(self).function.__name__}: needs at least one token")
        return statistics["nats"] / number


def perplexity(logits, target, *, ignore_index=-100):
    """The exponential of the mean cross-entropy of tokens: as many tokens a fair die would leave open.

    Args:
        logits: ``(..., V)``, or log-probabilities.
        target: the tokens that came, ``(...)``.
        ignore_index: tokens of the target that do not count, such as padding.

    Raises:
        ValueError: no token, shapes that do not belong together, tokens outside the vocabulary, NaN.
        TypeError: logits of an integer or a target of a floating dtype.
    """
    return Perplexity(ignore_index=ignore_index).of_batch(logits, target)


class Perplexity(_LikelihoodOfTokens):
    """`perplexity` of a stream of batches."""

    function = perplexity

    def value(self, statistics):
        return self.mean(statistics, statistics["tokens"]).exp()


def bits_per_character(logits, target, characters=None, *, ignore_index=-100):
    """The cross-entropy of a text in bits for each character.

    Args:
        logits: ``(..., V)``, or log-probabilities.
        target: the tokens that came, ``(...)``.
        characters: how many characters the tokens stand for; by default a token is a character.
        ignore_index: tokens of the target that do not count, such as padding.

    Raises:
        ValueError: no token, shapes that do not belong together, tokens outside the vocabulary, NaN.
        TypeError: logits of an integer or a target of a floating dtype.
    """
    return BitsPerCharacter(ignore_index=ignore_index).of_batch(logits, target, characters=characters)


class BitsPerCharacter(_LikelihoodOfTokens):
    """`bits_per_character` of a stream of batches."""

    function = bits_per_character

    def statistics(self, logits, target, characters=None):
        kept = super().statistics(logits, target)
        tokens = kept.pop("tokens")
        return {**kept, "characters": tokens if characters is None else tokens.new_tensor(int(characters))}

    def value(self, statistics):
        return self.mean(statistics, statistics["characters"]) / math.log(2)


# Pairs whose tables are filled side by side: bounds the memory.
_PAIRS = 512


def edit_distance(preds, target):
    """The least number of insertions, deletions and substitutions that turn one sequence into the other.

    Tables are filled row by row for many pairs at once (Wagner & Fischer 1974); insertions along a row are a running
    minimum.

    Args:
        preds, target: sequences of hashable tokens: lists, strings (of characters) or tensors ``(T,)``, pairwise.

    Returns:
        int64 tensor ``(N,)``, on the CPU.

    Raises:
        ValueError: not as many preds as targets.
        TypeError: a single string or tensor in place of several.
    """
    return corten.from_numpy(_distances("edit_distance", preds, target))


def _distances(name, preds, target):
    for argument, value in (("preds", preds), ("target", target)):
        if isinstance(value, (str, corten.Tensor)):
            raise TypeError(f"{name}: {argument} is a list of sequences, got a {type(value).__name__}")
    if len(preds) != len(target):
        raise ValueError(f"{name}: as many preds as targets, got {len(preds)} and {len(target)}")
    known = {}
    preds, target = ([_numbers(sequence, known) for sequence in side] for side in (preds, target))
    distances = np.zeros(len(preds), dtype=np.int64)
    # Pairs of about the same length fill a table together.
    order = sorted(range(len(preds)), key=lambda i: (len(target[i]), len(preds[i])))
    for start in range(0, len(order), _PAIRS):
        chosen = order[start : start + _PAIRS]
        distances[chosen] = _table([preds[i] for i in chosen], [target[i] for i in chosen])
    return distances


def _numbers(sequence, known):
    if isinstance(sequence, corten.Tensor):
        sequence = sequence.tolist()
    return np.fromiter((known.setdefault(token, len(known)) for token in sequence), dtype=np.int64)


def _padded(sequences, filler):
    lengths = np.array([len(sequence) for sequence in sequences])
    padded = np.full((len(sequences), lengths.max(initial=0)), filler, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(sequences)
    return padded, lengths


def _table(preds, target):
    """Distances of pairs: row i of a table has those of the first i tokens of preds to all beginnings of target."""
    (preds, rows), (target, columns) = _padded(preds, -1), _padded(target, -2)
    steps = np.arange(target.shape[1] + 1)
    row = np.broadcast_to(steps, (len(preds), len(steps))).copy()
    distances = row[np.arange(len(preds)), columns]
    for i in range(preds.shape[1]):
        changed = row + 1
        changed[:, 1:] = np.minimum(changed[:, 1:], row[:, :-1] + (target != preds[:, i : i + 1]))
        row = np.minimum.accumulate(changed - steps, axis=1) + steps
        ends = rows == i + 1
        distances[ends] = row[ends, columns[ends]]
    return distances


class _ErrorRate(Metric):
    """Edits over the length of the targets."""

    def statistics(self, preds, target):
        if isinstance(preds, str) and isinstance(target, str):
            preds, target = [preds], [target]
        name = type(self).function.__name__
        preds, target = ([self.tokens(sequence) for sequence in side] for side in (preds, target))
        errors = int(_distances(name, preds, target).sum())
        return {"errors": errors, "length": sum(map(len, target))}

    def tokens(self, sequence):
        return sequence

    def value(self, statistics):
        if not statistics["length"]:
            raise ValueError(f"{type(self).function.__name__}: the targets are empty")
        return statistics["errors"] / statistics["length"]

    def of_batch(self, preds, target):
        return self.value(self.statistics(preds, target))


def phoneme_error_rate(preds, target):
    """Insertions, deletions and substitutions for each token of the targets, of all sequences together.

    Args:
        preds, target: lists of sequences of tokens, such as phonemes, as in `edit_distance`.

    Returns:
        A float; above 1 where more is inserted than there is.

    Raises:
        ValueError: not as many preds as targets, or targets without a token.
    """
    return PhonemeErrorRate().of_batch(preds, target)


def word_error_rate(preds, target):
    """Insertions, deletions and substitutions of words for each word of the targets, of all texts together.

    Args:
        preds, target: texts, or lists of texts; words are what lies between white space.

    Returns:
        A float; above 1 where more is inserted than there is.

    Raises:
        ValueError: not as many preds as targets, or targets without a word.
    """
    return WordErrorRate().of_batch(preds, target)


def character_error_rate(preds, target):
    """Insertions, deletions and substitutions of characters for each character of the targets.

    Args:
        preds, target: texts, or lists of texts.

    Returns:
        A float; above 1 where more is inserted than there is.

    Raises:
        ValueError: not as many preds as targets, or targets without a character.
    """
    return CharacterErrorRate().of_batch(preds, target)


class PhonemeErrorRate(_ErrorRate):
    """`phoneme_error_rate` of a stream of batches."""

    function = phoneme_error_rate


class WordErrorRate(_ErrorRate):
    """`word_error_rate` of a stream of batches."""

    function = word_error_rate

    def tokens(self, sequence):
        return sequence.split()


class CharacterErrorRate(_ErrorRate):
    """`character_error_rate` of a stream of batches."""

    function = character_error_rate
