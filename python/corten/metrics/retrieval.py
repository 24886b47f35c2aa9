"""How well lists are ordered: NDCG, hit rate, mean reciprocal rank."""

import corten

from . import _checks
from ._metric import Metric

__all__ = ["ndcg", "hit_rate", "mean_reciprocal_rank", "NDCG", "HitRate", "MeanReciprocalRank"]


def _lists(name, scores, relevance):
    """Scores and relevance of lists, ``(N, M)``, in the wide dtype."""
    _checks.check_tensors(name, scores=scores, relevance=relevance)
    if scores.dim() == 1 and relevance.dim() == 1:
        scores, relevance = scores[None], relevance[None]
    if scores.dim() != 2 or scores.shape != relevance.shape:
        raise ValueError(
            f"{name}: scores and relevance have shape (N, M), M documents of N queries, "
            f"got {tuple(scores.shape)} and {tuple(relevance.shape)}"
        )
    _checks.check_not_empty(name, scores)
    _checks.check_finite(name, scores=scores, relevance=relevance)
    if bool((relevance < 0).any()):
        raise ValueError(f"{name}: relevance is not negative")
    return _checks.wide(scores), _checks.wide(relevance)


class _MeanOfQueries(Metric):
    """The mean of a score of each query."""

    def __init__(self, **options):
        super().__init__(**options)
        k = self.options.get("k")
        if k is not None and (not isinstance(k, int) or k < 1):
            raise ValueError(f"{type(self).function.__name__}: k is a positive int or None, got {k!r}")

    def statistics(self, scores, relevance):
        queries = self.queries(*_lists(type(self).function.__name__, scores, relevance))
        return {"sum": queries.sum(), "total": corten.tensor(len(queries), device=queries.device)}

    def queries(self, scores, relevance):
        raise NotImplementedError

    def value(self, statistics):
        return _checks.ratio(statistics["sum"], statistics["total"])

    def of_batch(self, scores, relevance):
        with corten.no_grad():
            return self.value(self.statistics(scores, relevance))


def ndcg(scores, relevance, *, k=None):
    """Normalised discounted cumulative gain (Järvelin & Kekäläinen 2002).

    Gains are relevances, discounts 1/log₂(rank + 1).
    Documents of the same score share the mean of their discounts, as in scikit-learn.

    Args:
        scores: of M documents for each of N queries ``(N, M)``, or of one query ``(M,)``.
        relevance: not negative, of the same shape.
        k: only the first k ranks count; by default all.

    Returns:
        The mean over queries; 0 for a query without relevant documents.

    Raises:
        ValueError: fewer than two documents, shapes that differ, negative relevance, NaN.
    """
    return NDCG(k=k).of_batch(scores, relevance)


class NDCG(_MeanOfQueries):
    """`ndcg` of a stream of batches."""

    function = ndcg

    def queries(self, scores, relevance):
        documents = scores.shape[1]
        if documents < 2:
            raise ValueError("ndcg: tells something of two and more documents, got lists of one")
        rank = corten.arange(documents, device=scores.device)
        discount = 1 / (rank + 2).to(scores.dtype).log2()
        if self.options["k"] is not None:
            discount = discount.masked_fill(rank >= self.options["k"], 0)
        falling, order = (-scores).sort(1)
        first, behind = corten.searchsorted(falling, falling), corten.searchsorted(falling, falling, right=True)
        running = corten.nn.functional.pad(discount.cumsum(0), (1, 0))
        shared = (running[behind] - running[first]) / (behind - first)
        gain = (relevance.gather(1, order) * shared).sum(1)
        best = (relevance.sort(1, descending=True).values * discount).sum(1)
        return _checks.ratio(gain, best)


def _first_rank(scores, relevance):
    """The rank, from 1, of the best relevant document; behind irrelevant ones of the same score; inf without one."""
    relevant = relevance > 0
    lowest = scores.new_tensor(-float("inf"))
    best = corten.where(relevant, scores, lowest).max(1, keepdim=True).values
    rank = 1 + (~relevant & (scores >= best)).sum(1)
    return _checks.wide(rank).masked_fill(~relevant.any(1), float("inf"))


def hit_rate(scores, relevance, *, k=10):
    """The share of queries with a relevant document among the first k.

    Irrelevant documents of the same score come first, so that a score that tells nothing gains nothing.

    Args:
        scores: of M documents for each of N queries ``(N, M)``, or of one query ``(M,)``.
        relevance: what is above 0 is relevant; of the same shape.
        k: how many ranks are looked at.

    Raises:
        ValueError: no documents, shapes that differ, negative relevance, NaN.
    """
    return HitRate(k=k).of_batch(scores, relevance)


class HitRate(_MeanOfQueries):
    """`hit_rate` of a stream of batches."""

    function = hit_rate

    def queries(self, scores, relevance):
        rank = _first_rank(scores, relevance)
        return _checks.wide(rank <= self.options["k"])


def mean_reciprocal_rank(scores, relevance, *, k=None):
    """The mean of 1 / the rank of the first relevant document; 0 for a query without one among the first k.

    Irrelevant documents of the same score come first, as in scikit-learn's label_ranking_average_precision_score.

    Args:
        scores, relevance: as in `hit_rate`.
        k: how many ranks are looked at; by default all.

    Raises:
        ValueError: no documents, shapes that differ, negative relevance, NaN.
    """
    return MeanReciprocalRank(k=k).of_batch(scores, relevance)


class MeanReciprocalRank(_MeanOfQueries):
    """`mean_reciprocal_rank` of a stream of batches."""

    function = mean_reciprocal_rank

    def queries(self, scores, relevance):
        rank = _first_rank(scores, relevance)
        return 1 / rank if self.options["k"] is None else (1 / rank).masked_fill(rank > self.options["k"], 0)
