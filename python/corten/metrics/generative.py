"""Samples beside data: the Fréchet distance of their features."""

import corten

from . import _checks
from ._metric import Metric

__all__ = ["frechet_distance", "frechet_distance_of_moments", "FrechetDistance"]


def frechet_distance(features, other):
    """The Fréchet distance of two sets of features, each taken for normal (Heusel et al. 2017).

    With features of the Inception network this is FID; any fixed network's features will do for comparisons.

    Args:
        features: ``(N, D)``, N at least 2.
        other: ``(M, D)``, M at least 2.

    Returns:
        ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), covariances with N − 1.

    Raises:
        ValueError: fewer than two samples, different numbers of features, NaN.
    """
    metric = FrechetDistance()
    with corten.no_grad():
        metric.update(features, other)
        return metric.compute()


def frechet_distance_of_moments(mean, covariance, other_mean, other_covariance):
    """The Fréchet distance of two normal distributions, from means ``(D,)`` and covariances ``(D, D)``.

    The trace of (Σ₁ Σ₂)^½ is that of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric.

    Raises:
        ValueError: shapes that do not belong together.
    """
    _checks.check_tensors("frechet_distance", mean=mean, other_mean=other_mean)
    size = len(mean)
    if mean.shape != other_mean.shape or {tuple(covariance.shape), tuple(other_covariance.shape)} != {(size, size)}:
        shapes = [tuple(moment.shape) for moment in (mean, covariance, other_mean, other_covariance)]
        raise ValueError(f"frechet_distance: means have shape (D,) and covariances (D, D), got {shapes}")
    values, vectors = corten.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
    product = root @ other_covariance @ root
    shared = corten.linalg.eigvalsh((product + product.mT) / 2).clamp(min=0).sqrt().sum()
    apart = (mean - other_mean).square().sum()
    return (apart + covariance.diagonal().sum() + other_covariance.diagonal().sum() - 2 * shared).clamp(min=0)


class FrechetDistance(Metric):
    """`frechet_distance` of two streams: ``update(features, other)``, either of which may be None.

    Keeps means and sums of squares ``(D, D)``, joined without cancellation.
    """

    def statistics(self, features=None, other=None):
        moments = {}
        for side, values in (("one", features), ("other", other)):
            if values is None:
                continue
            _checks.check_tensors("frechet_distance", features=values)
            if values.dim() != 2 or len(values) == 0:
                raise ValueError(f"frechet_distance: features have shape (N, D), got {tuple(values.shape)}")
            _checks.check_finite("frechet_distance", features=values)
            values = _checks.wide(values)
            mean = values.mean(0)
            moments[f"{side}_count"] = values.new_tensor(float(len(values)))
            moments[f"{side}_mean"], moments[f"{side}_squares"] = mean, (values - mean).mT @ (values - mean)
        return moments

    def join(self, one, other):
        joined = {**other, **one}
        for side in ("one", "other"):
            names = [f"{side}_{moment}" for moment in ("count", "mean", "squares")]
            if names[0] in one and names[0] in other:
                mine, theirs = ([moments[name] for name in names] for moments in (one, other))
                theirs = [moment.to(mine[0].device) for moment in theirs]
                if mine[1].shape != theirs[1].shape:
                    sizes = f"{len(mine[1])} and {len(theirs[1])}"
                    raise ValueError(f"frechet_distance: batches have one number of features, got {sizes}")
                joined.update(zip(names, _joined(mine, theirs)))
        return joined

    def value(self, statistics):
        sides = []
        for side in ("one", "other"):
            count = statistics.get(f"{side}_count")
            if count is None or float(count) < 2:
                raise ValueError("frechet_distance: needs two samples or more of both sides")
            sides += [statistics[f"{side}_mean"], statistics[f"{side}_squares"] / (count - 1)]
        return frechet_distance_of_moments(*sides)


def _joined(one, other):
    (count, mean, squares), (other_count, other_mean, other_squares) = one, other
    total = count + other_count
    apart = other_mean - mean
    mixed = corten.outer(apart, apart) * (count * other_count / total)
    return total, mean + apart * (other_count / total), squares + other_squares + mixed
