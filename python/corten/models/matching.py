"""Matching networks: an image is described by the known images that it is like, even one of a class never seen.

Vinyals et al. (arXiv:1606.04080); within-class covariance normalisation by Hatch et al. (Interspeech 2006). The inputs
are vectors that other networks gave, several views of each image.
"""

import corten

from .. import linalg, nn
from ..nn import functional as F

__all__ = ["MatchingMetric", "MatchingSiamese", "MatchingView", "within_class_whitening"]


def within_class_whitening(features, labels, directions=100, shrink=3.0):
    """The mean ``(F,)`` and a matrix ``(F, D)`` to the main directions, of which those that vary within classes shrink.

    Rows minus the mean times the matrix would have variance 1 within classes along every direction, were it not for
    ``shrink``.

    Args:
        features: ``(N, F)``.
        labels: ``(N,)``, from 0.
        directions: D at most, those along which rows differ most.
        shrink: so much of the mean variance within classes is added to that of each direction.

    Raises:
        ValueError: for features that are not ``(N, F)`` with a label for each row.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        shapes = f"{tuple(features.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"within_class_whitening: expected features (N, F) and labels (N,), got {shapes}")
    device = features.device
    # One large decomposition after the other: that is work for the CPU.
    features, labels = features.cpu(), labels.cpu()
    mean = features.mean(0)
    centred = features - mean
    main = linalg.eigh(centred.T @ centred / len(features)).eigenvectors[:, -directions:]
    centred = centred @ main
    member = F.one_hot(labels).to(features.dtype)
    within = centred - member @ (member.T @ centred / member.sum(0).clamp(min=1)[:, None])
    variance, axes = linalg.eigh(within.T @ within / len(features))
    matrix = main @ (axes / (variance.clamp(min=0) + shrink * variance.mean()).sqrt())
    return mean.to(device), matrix.to(device)


class MatchingView(nn.Module):
    """One view of images: the place ``(N, D)`` of each, and its profile ``(N, M)`` over known ones, of length 1.

    A place is a whitened vector; a profile is the root of a softmax over the nearness of the places of known images.

    Args:
        features, labels: ``(N, F)`` and ``(N,)`` of known classes, of which the whitening is.
        temperature: divides the nearness; it is learned from there.
    """

    def __init__(self, features, labels, temperature=0.15):
        super().__init__()
        mean, matrix = within_class_whitening(features, labels)
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)
        self.sharpness = nn.Parameter(corten.tensor(1 / temperature).log())

    def forward(self, features, known):
        """Of images ``(N, F)``, compared with known ones ``(M, F)``."""
        places, others = (F.normalize((x - self.mean) @ self.matrix, dim=1) for x in (features, known))
        # The product of two roots of distributions is Bhattacharyya's coefficient, 1 where they are equal.
        return places, ((places @ others.T * self.sharpness.exp()).softmax(1) + 1e-9).sqrt()


class MatchingMetric(nn.Module):
    """Vectors ``(N, E)`` of length 1: the profiles and, with less weight, the places of all views side by side.

    Args:
        features: a list of views ``(N, F)`` of images of known classes, of which the whitening is.
        labels: theirs, ``(N,)``.
        place_weight: how much the nearness of places counts beside that of profiles; learned from there.
    """

    def __init__(self, features, labels, place_weight=0.2):
        super().__init__()
        self.views = nn.ModuleList(MatchingView(view, labels) for view in features)
        weights = corten.tensor([place_weight, 1.0]).sqrt().expand(len(features), -1)
        self.weights = nn.Parameter(weights.clone())

    def forward(self, features, known):
        """Of images whose views are these, compared with known ones."""
        parts = [view(*pair) for view, *pair in zip(self.views, features, known, strict=True)]
        weighed = [part * weight for pair, row in zip(parts, self.weights) for part, weight in zip(pair, row)]
        return F.normalize(corten.cat(weighed, 1), dim=1)

    def alike(self, features, known):
        """The nearness of all pairs of images, ``(N, N)``."""
        vectors = self(features, known)
        return vectors @ vectors.T


class MatchingSiamese(nn.Module):
    """Logits ``(N, N)`` of whether two images are of one class: a weighing of how alike places and profiles are.

    Args:
        features, labels: as those of `MatchingMetric`.
    """

    def __init__(self, features, labels):
        super().__init__()
        self.views = nn.ModuleList(MatchingView(view, labels) for view in features)
        self.weights = nn.Parameter(corten.tensor([0.5, 1.0]).expand(len(features), -1).clone())
        self.bias = nn.Parameter(corten.ones(()))

    def forward(self, features, known):
        """Of all pairs of images whose views are these, compared with known ones."""
        verdict = self.bias
        for view, own, other, weight in zip(self.views, features, known, self.weights, strict=True):
            places, profiles = view(own, other)
            # The coefficient falls to nothing where profiles differ, its logarithm tells by how much.
            verdict = verdict + weight[0] * (places @ places.T)
            verdict = verdict + weight[1] * (profiles @ profiles.T).clamp(min=1e-6).log()
        return verdict

    def alike(self, features, known):
        """The logits of all pairs of images, ``(N, N)``."""
        return self(features, known)
