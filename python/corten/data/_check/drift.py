"""Whether two sets come from one distribution: feature by feature, by labels, and by a classifier between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import corten

from .labels import out_of_fold

if TYPE_CHECKING:
    import numpy as np

    from .embed import Embedding
    from .gather import Samples

BINS = 10
VALUES_MAX = 20_000_000  # of a set, beyond which evenly chosen rows stand for all
CLASSIFIER_ROWS = 5000  # of each set
COMPONENTS = 8
PRODUCTS = 16  # of coordinates with each other, for the classifier
SHARE_MIN = 1e-4  # of an empty bin, so that its logarithm is finite


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The greatest difference of the two empirical distribution functions, and the probability of a greater one.

    The probability is that of the limit distribution with Stephens' correction for small samples (1970).
    """
    import numpy as np

    one, other = np.sort(one), np.sort(other)
    every = np.concatenate([one, other])
    difference = np.searchsorted(one, every, side="right") / len(one)
    difference -= np.searchsorted(other, every, side="right") / len(other)
    statistic = float(np.abs(difference).max())
    root = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    reach = (root + 0.12 + 0.11 / root) * statistic
    if reach < 0.2:  # the series converges slowly, to one
        return statistic, 1.0
    terms = (2 * (-1) ** (number - 1) * math.exp(-2 * number**2 * reach**2) for number in range(1, 101))
    return statistic, min(max(sum(terms), 0.0), 1.0)


def stability_index(one: np.ndarray, other: np.ndarray) -> float:
    """The population stability index: the sum of (q - p) log(q / p) over bins, deciles of the first set.

    Features of at most 20 values have a bin for each; NaN has one of its own. Practice takes 0.1 for a shift worth a
    look and 0.25 for a large one.
    """
    import numpy as np

    distinct = np.unique(one[~np.isnan(one)])
    if len(distinct) > 20:
        edges = np.unique(np.quantile(one[~np.isnan(one)], np.linspace(0, 1, BINS + 1)[1:-1]))
    else:
        edges = (distinct[1:] + distinct[:-1]) / 2

    def shares(values: np.ndarray) -> np.ndarray:
        place = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
        counts = np.bincount(place, minlength=len(edges) + 2)
        return np.maximum(counts / len(values), SHARE_MIN)

    p, q = shares(one), shares(other)
    return float(((q - p) * np.log(q / p)).sum())


def chi_squared(one: np.ndarray, other: np.ndarray) -> float:
    """The probability that counts by class ``(K,)`` of one distribution differ more than these do."""
    import numpy as np

    table = np.stack([one, other]).astype(np.float64)
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    half = corten.tensor([(table.shape[1] - 1) / 2, statistic / 2], dtype=corten.float64, device="cpu")
    return float(corten.special.gammaincc(half[0], half[1]))


def tell_apart(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """A classifier two-sample test (Lopez-Paz, Oquab 2017): can a sample's set be told from its vector?

    A linear discriminant on the vectors and the products of their first 16 coordinates, out of fold, on at most 5000
    evenly chosen samples of each set.

    Returns:
        ``auc``, 0.5 for sets of one distribution, and the probability ``p`` of a greater one then, by the normal
        approximation of the rank-sum statistic.
    """
    import numpy as np

    parts = [part[:: -(-len(part) // CLASSIFIER_ROWS)] for part in (one, other)]
    vectors = np.concatenate(parts).astype(np.float64)
    scale = vectors.std(0)
    vectors = (vectors - vectors.mean(0)) / np.where(scale > 0, scale, 1)
    first = vectors[:, :PRODUCTS]
    place, other_place = np.triu_indices(first.shape[1])
    vectors = np.concatenate([vectors, first[:, place] * first[:, other_place]], 1)
    side = np.repeat([0, 1], [len(part) for part in parts])
    score = out_of_fold(vectors, side, 2, min(5, *(len(part) for part in parts)))[:, 1]
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    ones, zeros = int(side.sum()), int((1 - side).sum())
    auc = (rank[side == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros)
    deviation = math.sqrt((ones + zeros + 1) / (12 * ones * zeros))
    return {"auc": float(auc), "p": 0.5 * math.erfc((auc - 0.5) / deviation / math.sqrt(2))}


def features(samples: Samples, embedding: Embedding) -> dict[str, np.ndarray]:
    """What is compared one by one: a table's columns; sizes and components of images and texts."""
    import numpy as np

    if samples.kind == "table":
        step = max(samples.values.size // VALUES_MAX, 1)
        rows = samples.values[::step]
        columns = np.ascontiguousarray(rows.T)
        return dict(zip(samples.names, columns))
    if samples.kind == "text":
        found = {"length": np.fromiter(map(len, samples.values), np.float64, len(samples))}
    else:
        found = _light(samples)
    shown = min(COMPONENTS, embedding.short.shape[1])
    return found | {f"component {number}": embedding.short[:, number] for number in range(shown)}


def _light(samples: Samples) -> dict[str, np.ndarray]:
    """Brightness and contrast, means and standard deviations of pixels, and sizes where they differ."""
    import numpy as np

    from .embed import in_chunks

    def moments(part: np.ndarray) -> np.ndarray:
        flat = np.nan_to_num(part.reshape(len(part), -1).astype(np.float32))
        return np.stack([flat.mean(1), flat.std(1)], 1)

    if isinstance(samples.values, list):
        found = np.concatenate([moments(image[None]) for image in samples.values])
        sizes = np.array([image.shape[1:] for image in samples.values], dtype=np.float64)
        extra = {"height": sizes[:, 0], "width": sizes[:, 1]}
    else:
        found, extra = in_chunks(samples.values, moments, 1024), {}
    return {"brightness": found[:, 0], "contrast": found[:, 1]} | extra


def compare(one: Samples, other: Samples, embedding: Embedding, other_embedding: Embedding) -> dict[str, Any]:
    """Statistics by feature, the most drifted first, and those of the classifier."""
    import numpy as np

    rows: list[dict[str, Any]] = []
    theirs = features(other, other_embedding)
    for name, own in features(one, embedding).items():
        column = theirs[name]
        present, others_present = own[~np.isnan(own)], column[~np.isnan(column)]
        statistic, p = (0.0, 1.0)
        if len(present) and len(others_present):
            statistic, p = kolmogorov_smirnov(present, others_present)
        rows.append({"name": name, "ks": statistic, "p": p, "psi": stability_index(own, column)})
    rows.sort(key=lambda row: (-row["ks"], -row["psi"]))
    return {"features": rows, "classifier": tell_apart(embedding.short, other_embedding.short)}
