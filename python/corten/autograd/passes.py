"""Runs backward passes, and knows of each whether it computes the gradients of chosen tensors only."""

import _thread
import sys

from .. import _core

_current = _thread._local()


def is_selective():
    """Whether the pass that runs in this thread was given ``inputs``."""
    return getattr(_current, "selective", False)


def warn_of_cycle():
    """Warns once that a gradient with a graph keeps its parameter, and the parameter its gradient."""
    from .._settings import warn_once

    warn_once(
        "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient "
        "which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you "
        "have to use this function, make sure to reset the .grad fields of your parameters to None after use to break "
        "the cycle and avoid the leak.",
        stacklevel=3,
    )


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
    except RuntimeError as error:
        if _core.anomaly_mode()[0] and _FORWARD_CALL in str(error):
            raise type(error)(_told_of_forward_call(str(error))) from error.__cause__
        raise
    finally:
        _current.selective = before


_FORWARD_CALL = "Traceback of forward call that caused the error:"
_FIRST_HINT = "enable anomaly detection to find the operation that failed to compute its gradient"


def _told_of_forward_call(text):
    """What an error says without the forward call, which becomes a warning."""
    import re
    import warnings

    said, _, trace = text.partition(_FORWARD_CALL)
    said, _, step = said.rstrip().partition("\nError detected in ")
    if not step:
        # A NaN: the error itself names the step.
        named = re.match(r"Function '([^']+)'", said)
        step = f"{named[1]}." if named else "a step of the backward pass."
    warnings.warn(f"Error detected in {step.strip()} {_FORWARD_CALL}\n{trace.strip(chr(10))}\n", stacklevel=4)
    what, hint, _ = said.partition(f"Hint: {_FIRST_HINT}")
    if not hint:
        return said
    return (
        f"{what}Hint: the backtrace further above shows the operation that failed to compute its gradient. The "
        "variable in question was changed in there or anywhere later."
    )
