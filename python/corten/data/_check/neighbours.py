"""Nearest neighbours: exactly for small sets, and by an inverted file of clusters for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

EXACT_ROWS = 4000
PROBES = 12  # clusters that are searched for each query
ROUNDS = 6  # of Lloyd's algorithm
CLUSTER_ROWS = 200
FIT_ROWS = 20_000
BLOCK = 512


class Neighbours:
    """An index of points ``(N, D)``, float32.

    Above 4000 points, only the points of the `PROBES` clusters nearest to the query's cluster are looked at: the answer
    may miss a neighbour across a border.
    """

    def __init__(self, points: np.ndarray) -> None:
        import numpy as np

        self.points = points
        self.right = _extended(points, right=True)
        if len(points) > EXACT_ROWS:
            self.centres = clusters(points, -(-len(points) // CLUSTER_ROWS))
            self.own = assign(points, self.centres)
            ends = np.cumsum(np.bincount(self.own, minlength=len(self.centres)))
            self.members = np.split(np.argsort(self.own, kind="stable"), ends[:-1])
            between = _extended(self.centres) @ _extended(self.centres, right=True).T
            self.near = np.argsort(between, axis=1, kind="stable")[:, :PROBES]

    def nearest(self, queries: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``count`` nearest points of each query: indices and squared distances ``(Q, count)``, nearest first.

        Without queries the points look for others than themselves. Where a query sees fewer points than ``count``, the
        index is -1 and the distance infinite.
        """
        import numpy as np

        count = min(count, len(self.points) - (queries is None))
        asking = self.points if queries is None else queries
        left = _extended(asking)
        index = np.full((len(asking), count), -1, dtype=np.int64)
        distance = np.full((len(asking), count), np.inf, dtype=np.float32)
        for rows, seen in self._blocks(queries):
            distances = left[rows] @ self.right[seen].T
            if queries is None:
                distances[rows[:, None] == seen] = np.inf
            index[rows], distance[rows] = _least(distances, seen, count)
        return index, distance

    def _blocks(self, queries: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places of queries, and of the points among which their neighbours are looked for."""
        import numpy as np

        if len(self.points) <= EXACT_ROWS:
            everything = np.arange(len(self.points))
            count = len(self.points if queries is None else queries)
            yield from ((np.arange(start, min(start + BLOCK, count)), everything) for start in range(0, count, BLOCK))
            return
        own = self.own if queries is None else assign(queries, self.centres)
        order = np.argsort(own, kind="stable")
        ends = np.cumsum(np.bincount(own, minlength=len(self.centres)))
        for cluster, rows in enumerate(np.split(order, ends[:-1])):
            seen = np.concatenate([self.members[other] for other in self.near[cluster]])
            yield from ((rows[start : start + BLOCK], seen) for start in range(0, len(rows), BLOCK))


def _extended(points: np.ndarray, right: bool = False) -> np.ndarray:
    """Points with two more coordinates, under which the product of a left and a right one is their squared distance."""
    import numpy as np

    square = (points * points).sum(1, keepdims=True)
    one = np.ones_like(square)
    return np.concatenate([points, square, one] if right else [-2 * points, one, square], axis=1)


def _least(distances: np.ndarray, names: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` least of each row, in order and not below 0, with the names of their columns."""
    import numpy as np

    if distances.shape[1] < count:
        lacking = count - distances.shape[1]
        distances = np.pad(distances, ((0, 0), (0, lacking)), constant_values=np.inf)
        names = np.pad(names, (0, lacking), constant_values=-1)
    if not count:
        return np.zeros((len(distances), 0), np.int64), np.zeros((len(distances), 0), np.float32)
    least = np.argpartition(distances, count - 1, axis=1)[:, :count]
    value = np.take_along_axis(distances, least, 1)
    order = np.argsort(value, axis=1, kind="stable")
    least, value = np.take_along_axis(least, order, 1), np.take_along_axis(value, order, 1)
    return np.where(np.isinf(value), -1, names[least]), np.maximum(value, 0)


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

    # The point's own square is the same for all centres.
    half = 0.5 * (centres * centres).sum(1)
    starts = range(0, len(points), BLOCK)
    return np.concatenate([(half - points[start : start + BLOCK] @ centres.T).argmin(1) for start in starts])
