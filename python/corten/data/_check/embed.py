"""Samples as short vectors in which what looks alike lies near: thumbnails, standardised columns, hashed n-grams."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from .neighbours import Neighbours

if TYPE_CHECKING:
    import numpy as np

    from .gather import Samples

ROWS = 4096
EDGE = 16  # of grey thumbnails, in pixels
COLOUR_EDGE = 10
TEXT_WIDTH = 1024
TEXT_CHARACTERS = 2000  # of a text's beginning that are looked at
COMPONENTS = 32
FIT_ROWS = 20_000
WIDTH_SOLVED = 512  # up to which all axes are computed at once
# Columns beyond this many are folded by a random projection.
COLUMNS_MAX = 1024


def embed(samples: Samples, like: Embedding | None = None) -> Embedding:
    """Vectors of the samples; with ``like``, in the same coordinates as those of another set."""
    make = {"images": _thumbnails, "table": _standardised, "text": _ngrams}[samples.kind]
    state = {} if like is None else like.state
    return Embedding(make(samples, state), state)


class Embedding:
    """Vectors ``(N, D)``, float32, and the coordinates that others need to lie among them.

    Attributes:
        full: the vectors, in which distances are measured.
        short: their first principal components, in which neighbours are looked for.
        spread: the median distance of two random samples, the unit of distances.
    """

    def __init__(self, full: np.ndarray, state: dict[str, Any]) -> None:
        self.full = full
        self.state = state
        if "axes" not in state:
            state["middle"], state["axes"] = principal(full, COMPONENTS)
            state["spread"] = _spread(full)
        self.spread: float = state["spread"]
        self.short = in_chunks(full, lambda rows: (rows - state["middle"]) @ state["axes"])

    @cached_property
    def neighbours(self) -> Neighbours:
        """The index of the short vectors."""
        return Neighbours(self.short)


def in_chunks(values: Any, function: Any, rows: int = ROWS) -> np.ndarray:
    """The function's results for stretches of rows, one below the other."""
    import numpy as np

    return np.concatenate([function(values[start : start + rows]) for start in range(0, len(values), rows)])


def principal(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean ``(D,)`` and the first principal axes ``(D, count)``, of evenly chosen rows where there are many."""
    import numpy as np

    chosen = vectors[:: -(-len(vectors) // FIT_ROWS)]
    middle = chosen.mean(0)
    if len(middle) <= count:
        return middle, np.eye(len(middle), dtype=np.float32)
    centred = chosen - middle
    if len(middle) <= WIDTH_SOLVED:
        _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    else:
        # Subspace iteration (Halko, Martinsson, Tropp 2011): a few products with tall matrices in place of all axes.
        basis = np.random.default_rng(0).standard_normal((len(middle), count + 8)).astype(np.float32)
        for _ in range(4):
            basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
        inner = centred @ basis
        _, turned = np.linalg.eigh(inner.T @ inner)
        axes = basis @ turned
    return middle, np.ascontiguousarray(axes[:, ::-1][:, :count], dtype=np.float32)


def _spread(full: np.ndarray) -> float:
    import numpy as np

    generator = np.random.default_rng(0)
    one, other = generator.integers(0, len(full), (2, 4096))
    distances = np.linalg.norm(full[one[one != other]] - full[other[one != other]], axis=1)
    positive = distances[distances > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def _averaging(size: int, edge: int) -> np.ndarray:
    """The matrix ``(edge, size)`` that averages pixels over boxes of equal width, parts of pixels by their share."""
    import numpy as np

    borders = np.linspace(0, size, edge + 1)
    pixel = np.arange(size)
    covered = np.minimum(borders[1:, None], pixel + 1) - np.maximum(borders[:-1, None], pixel)
    return (covered.clip(0) * edge / size).astype(np.float32)


def thumbnails(images: Any, edge: int) -> np.ndarray:
    """Images ``(N, C, H, W)``, or a list of ``(C, H, W)``, averaged to ``(N, C, edge, edge)``; NaN counts as 0.

    Images of other numbers of channels than the first one become grey.
    """
    import numpy as np

    if isinstance(images, list):
        channels = {len(image) for image in images}
        grey = len(channels) > 1
        return np.concatenate([thumbnails(image[None].mean(1, keepdims=True) if grey else image[None], edge)
                               for image in images])  # fmt: skip
    rows, columns = _averaging(images.shape[2], edge), _averaging(images.shape[3], edge).T
    small = in_chunks(images, lambda part: rows @ (np.nan_to_num(part.astype(np.float32)) @ columns), 1024)
    return small


def _thumbnails(samples: Samples, state: dict[str, Any]) -> np.ndarray:
    """Thumbnails of zero mean and unit length, so that brightness and contrast do not matter; blank ones are 0."""
    import numpy as np

    first = samples.values[0]
    edge = COLOUR_EDGE if len(first) > 1 else EDGE
    small = thumbnails(samples.values, edge)
    state.setdefault("channels", small.shape[1])
    if small.shape[1] != state["channels"]:
        small = np.repeat(small.mean(1, keepdims=True), state["channels"], 1)
    flat = small.reshape(len(small), -1)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(length > 1e-6 * max(float(length.max()), 1e-30), length, np.inf)


def _standardised(samples: Samples, state: dict[str, Any]) -> np.ndarray:
    """Columns in units of their standard deviation, with 0 for what is missing; categories that are few as one-hot."""
    import numpy as np

    table = samples.values
    if "mean" not in state:
        state["mean"], state["scale"] = _moments(table)
        state["one_hot"] = {
            place: min(len(samples.categories[name]), 20)
            for place, name in enumerate(samples.names)
            if samples.categories.get(name)
        }
        state["fold"] = None
        if table.shape[1] > COLUMNS_MAX:
            fold = np.random.default_rng(0).standard_normal((table.shape[1], COLUMNS_MAX // 2)).astype(np.float32)
            state["fold"] = fold / np.float32(np.sqrt(fold.shape[1]))
    one_hot = state["one_hot"]
    numeric = [place for place in range(table.shape[1]) if place not in one_hot]

    def standardised(rows: np.ndarray) -> np.ndarray:
        chosen = rows[:, numeric] if one_hot else rows
        values = ((chosen - state["mean"][numeric]) * state["scale"][numeric]).astype(np.float32, copy=False)
        values = np.clip(values, -10, 10, out=values)
        if np.isnan(values.sum()):
            values = np.nan_to_num(values, copy=False, nan=0.0)
        if one_hot:
            coded = [rows[:, [place]] == np.arange(count) for place, count in one_hot.items()]
            values = np.concatenate([values, *coded], axis=1, dtype=np.float32)
        return values if state["fold"] is None else values @ state["fold"]

    return in_chunks(table, standardised)


def _moments(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and reciprocals of standard deviations of columns, without NaN and infinities.

    The reciprocal is 0 where a column is constant or empty.
    """
    import numpy as np

    def sums(function: Any) -> np.ndarray:
        total = np.zeros(table.shape[1])
        for start in range(0, len(table), ROWS):
            part = function(table[start : start + ROWS])
            partial = part.sum(0, dtype=np.float64)
            if not np.isfinite(partial.sum()):
                partial = np.where(np.isfinite(part), part, 0).sum(0, dtype=np.float64)
            total += partial
        return total

    with np.errstate(invalid="ignore"):  # infinities in sums that are done again without them
        count = np.maximum(len(table) - sums(lambda part: ~np.isfinite(part)), 1)
        mean = sums(lambda part: part) / count
        middle = mean.astype(table.dtype)
        deviation = np.sqrt(sums(lambda part: (part - middle) ** 2) / count)
    usable = deviation > 1e-7 * np.maximum(np.abs(mean), 1e-30)
    return middle, np.where(usable, 1 / np.where(usable, deviation, 1), 0).astype(table.dtype)


def _ngrams(samples: Samples, state: dict[str, Any]) -> np.ndarray:
    """Counts of hashed trigrams of bytes, square roots of them, of unit length; case and spacing do not matter."""
    return in_chunks(samples.values, _hashed_trigrams, 2048)


def _hashed_trigrams(texts: list[str]) -> np.ndarray:
    import numpy as np

    # A leading and a trailing space each, so that the beginnings and ends of texts count; 0 is between texts.
    folded = [(" " + " ".join(text[:TEXT_CHARACTERS].casefold().split()) + " ").encode() for text in texts]
    joined = np.frombuffer(b"\0".join(folded) + b"\0\0", dtype=np.uint8).astype(np.uint32)
    row = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in folded])
    trigram = joined[:-2] << 16 | joined[1:-1] << 8 | joined[2:]
    inside = (joined[:-2] > 0) & (joined[1:-1] > 0) & (joined[2:] > 0)
    # Knuth's multiplicative hash: the upper bits of a product with 2^32 over the golden ratio.
    place = (trigram * np.uint32(2654435769)) >> np.uint32(32 - TEXT_WIDTH.bit_length() + 1)
    place = row[: len(place)] * TEXT_WIDTH + place
    counts = np.bincount(place[inside], minlength=len(texts) * TEXT_WIDTH).reshape(len(texts), TEXT_WIDTH)
    root = np.sqrt(counts, dtype=np.float32)
    return root / np.maximum(np.linalg.norm(root, axis=1, keepdims=True), 1e-6)
