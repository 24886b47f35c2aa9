"""Samples that occur more than once, exactly or nearly, in a set or in two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .embed import in_chunks

if TYPE_CHECKING:
    import numpy as np

    from .embed import Embedding
    from .gather import Samples

ROWS = 8192


def keys(samples: Samples) -> np.ndarray:
    """A hash ``(N,)`` of 64 bits of each sample's bytes; equal samples have equal ones."""
    import numpy as np

    if samples.kind == "text":
        return np.fromiter(map(hash, samples.values), np.int64, len(samples)).view(np.uint64)
    if isinstance(samples.values, list):
        found = (hash((image.shape, np.ascontiguousarray(image).tobytes())) for image in samples.values)
        return np.fromiter(found, np.int64, len(samples)).view(np.uint64)
    values = samples.values.reshape(len(samples), -1)
    words = -(-values.shape[1] * values.itemsize // 8)
    # A sum of products with random odd numbers modulo 2^64: multilinear hashing (Carter, Wegman 1979).
    factors = np.random.default_rng(0).integers(0, 2**63, words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    def hashed(rows: np.ndarray) -> np.ndarray:
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        if data.shape[1] % 8:
            data = np.pad(data, ((0, 0), (0, -data.shape[1] % 8)))
        mixed = data.view(np.uint64)
        # The upper half is folded in: products reach upwards only, and would forget the upper bits of a word.
        return ((mixed ^ (mixed >> np.uint64(32))) * factors).sum(1, dtype=np.uint64)

    return in_chunks(values, hashed, ROWS)


def same(one: Samples, rows: np.ndarray, other: Samples, other_rows: np.ndarray) -> np.ndarray:
    """Whether the samples at these places are equal, pair by pair; NaN equals NaN."""
    import numpy as np

    if isinstance(one.values, list) or isinstance(other.values, list):
        pairs = ((one.values[i], other.values[j]) for i, j in zip(rows.tolist(), other_rows.tolist()))
        return np.fromiter((np.array_equal(a, b) for a, b in pairs), bool, len(rows))
    nan = one.values.dtype.kind == "f"
    result = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        a = one.values[rows[part]].reshape(len(rows[part]), -1)
        b = other.values[other_rows[part]].reshape(len(a), -1)
        equal = (a == b) | ((a != a) & (b != b)) if nan else a == b
        result[part] = equal.all(1)
    return result


def exact(samples: Samples) -> np.ndarray:
    """For each sample the place of the first one that equals it, which is its own where there is none before."""
    import numpy as np

    _, first, inverse = np.unique(keys(samples), return_index=True, return_inverse=True)
    twin = first[inverse]
    later = np.flatnonzero(twin != np.arange(len(twin)))
    false = later[~same(samples, later, samples, twin[later])]
    twin[false] = false  # another sample with the same hash
    return twin


def near(
    embedding: Embedding, index: np.ndarray, squared: np.ndarray, twin: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs ``(P, 2)`` of near duplicates and their distances, the nearest first; of equal samples the first counts.

    Args:
        embedding: of the samples.
        index, squared: neighbours and squared distances ``(N, K)`` in its short vectors.
        twin: what `exact` found.
        share: the greatest distance, in units of the embedding's spread.
    """
    import numpy as np

    # Principal components shorten distances: what is too far apart in them is so in all.
    rows, columns = np.nonzero((squared <= _reach(embedding, share)) & (index >= 0))
    pairs = np.stack([twin[rows], twin[index[rows, columns]]], 1)
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    return _within(embedding.full, embedding.full, pairs, share * embedding.spread, embedding.spread)


def _reach(embedding: Embedding, share: float) -> float:
    """The squared distance in short vectors up to which a pair is measured; rounding has moved it a little."""
    return (share**2 + 1e-5) * embedding.spread**2


def _within(
    one: np.ndarray, other: np.ndarray, pairs: np.ndarray, limit: float, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    if not len(pairs):
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    distance = in_chunks(pairs, lambda part: np.linalg.norm(one[part[:, 0]] - other[part[:, 1]], axis=1))
    chosen = np.flatnonzero(distance <= limit)
    chosen = chosen[np.argsort(distance[chosen], kind="stable")]
    return pairs[chosen], distance[chosen] / unit


def leaks(
    one: Samples, other: Samples, embedding: Embedding, other_embedding: Embedding, share: float
) -> dict[str, Any]:
    """Samples of the other set that this one has as well: pairs ``(place here, place there)``, exact and near."""
    import numpy as np

    own, theirs = keys(one), keys(other)
    order = np.argsort(own, kind="stable")
    place = np.searchsorted(own[order], theirs).clip(max=len(own) - 1)
    candidate = order[place]
    rows = np.flatnonzero(own[candidate] == theirs)
    rows = rows[same(one, candidate[rows], other, rows)]
    exact_pairs = np.stack([candidate[rows], rows], 1)
    index, squared = embedding.neighbours.nearest(other_embedding.short, 3)
    close = (squared <= _reach(embedding, share)) & (index >= 0)
    close[rows] = False
    found, columns = np.nonzero(close)
    pairs = np.stack([index[found, columns], found], 1)
    near_pairs, distance = _within(
        embedding.full, other_embedding.full, pairs, share * embedding.spread, embedding.spread
    )
    _, nearest_first = np.unique(near_pairs[:, 1], return_index=True)  # the nearest one of each sample there
    nearest_first.sort()
    return {"exact": exact_pairs, "near": near_pairs[nearest_first], "near_distance": distance[nearest_first]}
