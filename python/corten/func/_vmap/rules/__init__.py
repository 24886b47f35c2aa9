"""The rules, a file for each family of operators."""

from . import (
    creation,
    elementwise,
    fourier,
    indexing,
    losses,
    normalisation,
    products,
    randomness,
    reductions,
    sorting,
    views,
    windows,
)

__all__ = [
    "creation",
    "elementwise",
    "fourier",
    "indexing",
    "losses",
    "normalisation",
    "products",
    "randomness",
    "reductions",
    "sorting",
    "views",
    "windows",
]
