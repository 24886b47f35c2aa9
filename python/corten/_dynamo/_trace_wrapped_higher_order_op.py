"""A context that masks of attention are made in."""

import contextlib

__all__ = ["TransformGetItemToIndex"]


class TransformGetItemToIndex(contextlib.nullcontext):
    """A context that changes nothing: inside `vmap`, a tensor may be indexed by another one that is mapped over."""
