"""Runs backward passes, and knows of each whether it computes the gradients of chosen tensors only."""

import _thread
import sys

from .. import _core

_current = _thread._local()


def is_selective():
    """Whether the pass that runs in this thread was given ``inputs``."""
    return getattr(_current, "selective", False)


def run(roots, seeds, retain_graph, create_graph, inputs, as_results):
    """A pass from ``roots``.

    Args:
        seeds: the gradients of the roots; None for ones.
        inputs: the tensors whose gradients are wanted; None for all leaves.
        as_results: whether gradients are returned, not added to `.grad`.
    """
    before = is_selective()
    _current.selective = inputs is not None
    duals = sys.modules.get("corten.autograd._duals")
    try:
        if duals is not None and duals.state.level is not None:
            return duals.run_backward(roots, seeds, retain_graph, create_graph, inputs, as_results)
        return _core.run_backward(roots, seeds, retain_graph, create_graph, inputs, as_results)
    finally:
        _current.selective = before
