"""The table of kernels that the shader lab runs: what each body of shaders/ needs, and what it computes in numpy."""

from __future__ import annotations

from shader_text import TABLE

from . import attention, convolutions, matrices, moving, norms, products, reductions, rows, sorting, windows, writing

FAMILIES = [moving, products, convolutions, windows, writing, sorting, attention, rows, reductions, norms, matrices]
# Bodies that are not run, and why.
NOT_RUN = {
    "hardware": "its functions take the place of the library's inside of other kernels",
    "product/cooperative": "its matrices are an experimental feature, which no software adapter has",
}

__all__ = ["FAMILIES", "NOT_RUN", "TABLE"]
