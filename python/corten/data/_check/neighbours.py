"""Nearest neighbours: exactly for small sets, and by an inverted file of clusters for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

EXACT_ROWS = 4000
PROBES = 6  # clusters that are searched for each query
ROUNDS = 6  # of Lloyd's algorithm
CLUSTER_ROWS = 200
FIT_ROWS = 20_000
BLOCK = 2048


def nearest(points: np.ndarray, queries: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` nearest points of each query: indices and squared distances ``(Q, count)``, nearest first.

    Without queries the points look for others than themselves. Where a query sees fewer points than ``count``, the
    index is -1 and the distance infinite. Above 4000 points, only the points of the `PROBES` clusters nearest to the
    query's cluster are looked at: the answer may miss a neighbour across a border.
    """
    count = min(count, len(points) - (queries is None))
    if len(points) <= EXACT_ROWS:
        return _exact(points, queries, count)
    return _by_clusters(points, queries, count)


def squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """All squared distances ``(N, M)``, not below 0."""
    import numpy as np

    product = one @ other.T
    product *= -2
    product += (one * one).sum(1)[:, None]
    product += (other * other).sum(1)
    return np.maximum(product, 0, out=product)


def _exact(points: np.ndarray, queries: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    asking = points if queries is None else queries
    found = []
    for start in range(0, len(asking), BLOCK):
        distances = squared_distances(asking[start : start + BLOCK], points)
        if queries is None:
            row = np.arange(len(distances))
            distances[row, start + row] = np.inf
        found.append(_least(distances, np.arange(len(points)), count))
    return np.concatenate([index for index, _ in found]), np.concatenate([distance for _, distance in found])


def _least(distances: np.ndarray, names: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` least of each row, in order, with the names of their columns."""
    import numpy as np

    if distances.shape[1] < count:
        distances = np.pad(distances, ((0, 0), (0, count - distances.shape[1])), constant_values=np.inf)
        names = np.pad(names, (0, count - len(names)), constant_values=-1)
    if not count:
        return np.zeros((len(distances), 0), np.int64), np.zeros((len(distances), 0), np.float32)
    least = np.argpartition(distances, count - 1, axis=1)[:, :count]
    value = np.take_along_axis(distances, least, 1)
    order = np.argsort(value, axis=1, kind="stable")
    least, value = np.take_along_axis(least, order, 1), np.take_along_axis(value, order, 1)
    return np.where(np.isinf(value), -1, names[least]), value


def clusters(points: np.ndarray, count: int) -> np.ndarray:
    """Centres ``(count, D)`` by Lloyd's algorithm on evenly chosen points, from random ones of them."""
    import numpy as np

    chosen = points[:: -(-len(points) // FIT_ROWS)]
    generator = np.random.default_rng(0)
    centres = chosen[generator.permutation(len(chosen))[:count]].copy()
    for _ in range(ROUNDS):
        own = assign(chosen, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, chosen)
        sizes = np.bincount(own, minlength=len(centres))
        kept = sizes > 0
        centres[kept] = sums[kept] / sizes[kept, None]
    return centres


def assign(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre of each point ``(N,)``."""
    import numpy as np

    starts = range(0, len(points), BLOCK)
    return np.concatenate([squared_distances(points[start : start + BLOCK], centres).argmin(1) for start in starts])


def _by_clusters(points: np.ndarray, queries: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    centres = clusters(points, -(-len(points) // CLUSTER_ROWS))
    own = assign(points, centres)
    members = np.split(np.argsort(own, kind="stable"), np.cumsum(np.bincount(own, minlength=len(centres)))[:-1])
    asking, asking_own = (points, own) if queries is None else (queries, assign(queries, centres))
    near = np.argsort(squared_distances(centres, centres), axis=1, kind="stable")[:, :PROBES]
    index = np.full((len(asking), count), -1, dtype=np.int64)
    distance = np.full((len(asking), count), np.inf, dtype=np.float32)
    for cluster in np.unique(asking_own):
        seen = np.concatenate([members[other] for other in near[cluster]])
        for rows in np.array_split(np.flatnonzero(asking_own == cluster), max((asking_own == cluster).sum() // BLOCK, 1)):
            distances = squared_distances(asking[rows], points[seen])
            if queries is None:
                distances[rows[:, None] == seen] = np.inf
            index[rows], distance[rows] = _least(distances, seen, count)
    return index, distance
