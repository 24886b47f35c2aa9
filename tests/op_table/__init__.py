"""The operator table: one row per operator, from which the suites of values, gradients and fusion are generated."""

import importlib

from .row import Row

FAMILIES = (
    "elementwise_unary", "elementwise_binary", "reductions", "linear", "convolution", "indexing", "sorting", "shapes",
    "creation", "normalisation", "activations", "losses", "resampling", "special", "factors",
)  # fmt: skip

ROWS: list[Row] = [row for family in FAMILIES for row in importlib.import_module(f".{family}", __name__).ROWS]
