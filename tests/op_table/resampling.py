"""Rows of interpolation to another size, and of embeddings reduced over bags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .row import STEPS, ULP, WIDE_FLOATS, Maker, Row, Sample


def source_places(size: int, target: int, align_corners: bool, scale: float | None) -> np.ndarray:
    """Where the centres of the target's elements lie in the source."""
    i = np.arange(target)
    if align_corners:
        return i * (size - 1) / max(target - 1, 1)
    return (i + 0.5) * (1 / scale if scale else size / target) - 0.5


def linear_weights(size: int, target: int, align_corners: bool, scale: float | None) -> np.ndarray:
    places = np.maximum(source_places(size, target, align_corners, scale), 0)
    left = np.minimum(places.astype(int), size - 1)
    right = np.minimum(left + 1, size - 1)
    weights = np.zeros((target, size))
    np.add.at(weights, (np.arange(target), left), 1 - (places - left))
    np.add.at(weights, (np.arange(target), right), places - left)
    return weights


def cubic_weights(size: int, target: int, align_corners: bool, scale: float | None) -> np.ndarray:
    """Keys, Cubic convolution interpolation, 1981, with a = -0.75."""
    places = source_places(size, target, align_corners, scale)
    weights, a = np.zeros((target, size)), -0.75
    base = np.floor(places).astype(int)
    for tap in range(-1, 3):
        d = np.abs(places - (base + tap))
        near = ((a + 2) * d - (a + 3)) * d**2 + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        np.add.at(weights, (np.arange(target), np.clip(base + tap, 0, size - 1)), np.where(d <= 1, near, far))
    return weights


def nearest_weights(size: int, target: int, shift: float, scale: float | None) -> np.ndarray:
    places = np.floor((np.arange(target) + shift) * (1 / scale if scale else size / target)).astype(int)
    return np.eye(size)[np.minimum(places, size - 1)]


def interpolate(
    x: np.ndarray,
    size: Any = None,
    scale_factor: float | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> np.ndarray:
    """Every mode is a matrix applied to each dimension of space in turn."""
    space = x.shape[2:]
    targets = [int(n * scale_factor) for n in space] if size is None else np.broadcast_to(size, len(space))
    for dim, (n, target) in enumerate(zip(space, targets)):
        if mode in ("linear", "bilinear", "trilinear"):
            weights = linear_weights(n, target, bool(align_corners), scale_factor)
        elif mode == "bicubic":
            weights = cubic_weights(n, target, bool(align_corners), scale_factor)
        else:
            weights = nearest_weights(n, target, 0.5 if mode == "nearest-exact" else 0.0, scale_factor)
        x = np.moveaxis(np.moveaxis(x, dim + 2, -1) @ weights.T, -1, dim + 2)
    return x


def resized(*modes: str) -> Callable[[Maker], Iterator[Sample]]:
    spaces = {"linear": (7,), "bilinear": (4, 5), "bicubic": (4, 5), "trilinear": (3, 4, 2)}

    def samples(make: Maker) -> Iterator[Sample]:
        for mode in modes:
            for space in [spaces[mode]] if mode in spaces else [(7,), (4, 5), (3, 4, 2)]:
                corners = (False, True) if mode in spaces else (None,)
                for align in corners:
                    options = {"mode": mode} if align is None else {"mode": mode, "align_corners": align}
                    yield Sample(make.real(2, 3, *space), size=tuple(2 * n - 1 for n in space), **options)
                    yield Sample(make.real(1, 2, *space), size=2, **options)
                yield Sample(make.real(1, 2, *space), scale_factor=2.0, mode=mode)

    return samples


def embedding_bag(index: np.ndarray, weight: np.ndarray, offsets: Any = None, mode: str = "mean") -> np.ndarray:
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    bags = list(index) if offsets is None else np.split(index, offsets[1:])
    rows = [reduce(weight[bag], axis=0) if len(bag) else np.zeros(weight.shape[1]) for bag in bags]
    return np.stack(rows)


def bag_samples(make: Maker) -> Iterator[Sample]:
    for mode in ("sum", "mean", "max"):
        yield Sample(make.index((3, 4), 7), make.real(7, 5), mode=mode)
        yield Sample(make.index(9, 7), make.real(7, 5), make.wrap([0, 2, 2, 6], "int64"), mode=mode)


# Places in the source are rounded before their difference is a weight.
PLACED = {"float64": (1e-14, 1e-14), "float32": (2e-6, 4e-6)}

ROWS = [
    Row(
        "nn.functional.interpolate",
        interpolate,
        resized("nearest", "nearest-exact"),
        dtypes=WIDE_FLOATS,
        tolerance=ULP,
        grad=2,
    ),
    Row(
        "nn.functional.interpolate.smooth",
        interpolate,
        resized("linear", "bilinear", "trilinear", "bicubic"),
        call="nn.functional.interpolate",
        dtypes=WIDE_FLOATS,
        tolerance=PLACED,
        grad=2,
    ),
    Row("nn.functional.embedding_bag", embedding_bag, bag_samples, dtypes=WIDE_FLOATS, tolerance=STEPS, grad=1),
]
