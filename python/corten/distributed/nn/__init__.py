"""Collectives with gradients."""

from .functional import all_gather, all_reduce, all_to_all_single, broadcast, reduce, reduce_scatter
