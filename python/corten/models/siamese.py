"""Siamese networks and metric learning: are two images of one class, even one that was never seen?

Koch et al. (ICML 2015 workshop), Hadsell et al. (CVPR 2006), FaceNet (arXiv:1503.03832), Hermans et al. (1703.07737),
Khosla et al. (2004.11362).
"""

from .. import arange, cdist, eye, finfo, nn, where
from .. import bool as bool_
from ..nn import functional as F

__all__ = [
    "EmbeddingNet",
    "SiameseNetwork",
    "batch_hard_triplet_loss",
    "contrastive_loss",
    "embedding_net",
    "siamese_network",
    "supervised_contrastive_loss",
]


class EmbeddingNet(nn.Module):
    """Images ``(N, in_channels, 28, 28)`` to vectors ``(N, features)`` of length 1.

    Args:
        in_channels: 1 for grey images.
        features: numbers of a vector.
        width: channels of the first of the three stages of two convolutions.
    """

    def __init__(self, in_channels=1, features=64, width=32):
        super().__init__()
        layers, channels = [], in_channels
        for stage in range(3):
            out_channels = width * 2**stage
            for _ in range(2):
                layers += [nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
                channels = out_channels
            layers += [nn.MaxPool2d(2)] * (stage < 2)
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, features)

    def forward(self, x):
        return F.normalize(self.head(self.features(x).mean((2, 3))), dim=1)


class SiameseNetwork(nn.Module):
    """Two images through one network, and a logit ``(N,)`` of whether they are of one class (Koch et al.).

    The logit is a learned weighing of the differences of the two vectors, feature by feature.

    Args:
        encoder: gives ``(N, features)``.
        features: numbers of a vector.
    """

    def __init__(self, encoder, features):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(features, 1)

    def compare(self, first, second):
        """The logits ``(...)`` of vectors ``(..., features)`` that are there already; shapes are broadcast.

        With ``vectors[:, None]`` and ``vectors`` of a batch these are all of its pairs, ``(N, N)``.
        """
        return self.head((first - second).abs()).squeeze(-1)

    def forward(self, first, second):
        return self.compare(self.encoder(first), self.encoder(second))


def contrastive_loss(first, second, same, margin=1.0):
    """Pulls pairs of one class together and pushes others ``margin`` apart (Hadsell et al., equation 4); a mean.

    Args:
        first, second: vectors ``(N, D)``.
        same: ``(N,)``, true where a pair is of one class.
    """
    square = (first - second).square().sum(1)
    # The root's gradient at 0 is infinite.
    apart = (margin - square.clamp(min=finfo(square.dtype).eps).sqrt()).clamp(min=0).square()
    return where(same.bool(), square, apart).mean() / 2


def batch_hard_triplet_loss(vectors, labels, margin=0.2):
    """For each vector of a batch, its farthest of the same class must be ``margin`` nearer than its nearest other.

    Vectors that have no other of their class in the batch, or none of another class, do not count (Hermans et al.).

    Args:
        vectors: ``(N, D)``.
        labels: ``(N,)``.
    """
    distances = cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels
    self_pair = arange(len(labels), device=labels.device)[:, None] == arange(len(labels), device=labels.device)
    positive = same & ~self_pair
    farthest = where(positive, distances, 0.0).amax(1)
    nearest = where(same, float("inf"), distances).amin(1)
    counts = positive.any(1) & ~same.all(1)
    losses = where(counts, F.relu(farthest - where(counts, nearest, 0.0) + margin), 0.0)
    return losses.sum() / counts.sum().clamp(min=1)


def supervised_contrastive_loss(vectors, labels, temperature=0.1):
    """Of all others of a batch, those of a vector's class shall be the likely ones (Khosla et al., equation 2).

    Likely is what a softmax over the products with all others says. Vectors that have no other of their class in the
    batch do not count.

    Args:
        vectors: ``(N, D)`` of length 1.
        labels: ``(N,)``.
        temperature: divides the products.
    """
    itself = eye(len(labels), dtype=bool_, device=labels.device)
    scores = (vectors @ vectors.T / temperature).masked_fill(itself, -float("inf"))
    same = (labels[:, None] == labels) & ~itself
    # Where a vector meets itself the logarithm is -inf, and 0 times it would be NaN.
    likely = where(same, F.log_softmax(scores, 1), 0.0).sum(1)
    counts = same.sum(1)
    return -(likely / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


def embedding_net(in_channels=1, features=64, width=32):
    """`EmbeddingNet`; 0.3 million parameters."""
    return EmbeddingNet(in_channels, features, width)


def siamese_network(in_channels=1, features=64, width=32):
    """`SiameseNetwork` on an `EmbeddingNet`; 0.3 million parameters."""
    return SiameseNetwork(EmbeddingNet(in_channels, features, width), features)
