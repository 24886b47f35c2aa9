"""Automatic differentiation: `backward`, `grad`, `Function`, gradient modes and numerical checks."""

import sys as _sys

from .. import _core
from . import passes
from .function import Function, once_differentiable
from .modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from .policies import enforce_grad_layout_policy, is_multithreading_enabled, set_multithreading_enabled
from .variable import Variable


def _as_tuple(x):
    return (x,) if isinstance(x, _core.Tensor) else tuple(x)


def _seeds(outputs, grads, keep_batch=False):
    if grads is None:
        return [None] * len(outputs)
    grads = _as_tuple(grads) if not isinstance(grads, (list, tuple)) else tuple(grads)
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    return list(grads)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """Adds the gradient of `tensors` to the `.grad` of every leaf (or of `inputs` only).

    Args:
        tensors: the roots, tensors of any shape.
        grad_tensors: the gradient with respect to each root; may be `None` for roots with one element.
        retain_graph: keep what the graph saved, so that it can run again; defaults to `create_graph`.
        create_graph: record the backward pass itself, for higher derivatives; a first use warns of the cycle that this
            makes.

    Raises:
        RuntimeError: a root does not require grad, or needs an explicit gradient.
    """
    if inputs is not None and len(_as_tuple(inputs)) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _as_tuple(tensors)
    seeds = _seeds(roots, grad_tensors if grad_tensors is not None else grad_variables)
    retain = create_graph if retain_graph is None else retain_graph
    chosen = None if inputs is None else list(_as_tuple(inputs))
    if create_graph:
        passes.warn_of_cycle()
    passes.run(list(roots), seeds, retain, create_graph, chosen, False)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """The gradients of `outputs` with respect to `inputs`, as a tuple; nothing is accumulated.

    Raises:
        RuntimeError: an input was not used and `allow_unused` is not set, or `inputs` is empty.
    """
    roots, targets = _as_tuple(outputs), _as_tuple(inputs)
    if not targets:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if not only_inputs:
        import warnings

        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use corten.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    allow_unused = allow_unused or materialize_grads
    retain = create_graph if retain_graph is None else retain_graph
    seeds = _seeds(roots, grad_outputs)
    if is_grads_batched:
        results = _grad_of_each(roots, targets, seeds, retain, create_graph)
    else:
        results = passes.run(list(roots), seeds, retain, create_graph, list(targets), True)
    if not allow_unused and any(g is None for g in results):
        index = next(i for i, g in enumerate(results) if g is None)
        raise RuntimeError(
            f"The differentiated Tensor at index {index} appears to not have been used in the graph. "
            "Set allow_unused=True if this is the desired behavior."
        )
    if materialize_grads:
        zeros = _core.ops.zeros_like
        results = tuple(zeros(t) if g is None else g for g, t in zip(results, targets, strict=True))
    return results


def _grad_of_each(roots, targets, batches, retain, create_graph):
    """The gradients for every row of the seeds, stacked: the graph runs once per row."""
    for i, (root, batch) in enumerate(zip(roots, batches, strict=True)):
        if batch is None:
            raise RuntimeError("is_grads_batched=True needs grad_outputs, whose first dimension is the batch")
        if batch.dim() == 0 or batch.shape[1:] != root.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
                "dimension. The sizes of the remaining dimensions are expected to match the shape of corresponding "
                f"output, but a mismatch was detected: grad_output[{i}] has a shape of {batch.shape} and output[{i}] "
                f"has a shape of {root.shape}."
            )
    count = len(batches[0])
    if any(len(batch) != count for batch in batches) or not count:
        raise ValueError(f"grad_outputs need one batch size above 0, got {[len(batch) for batch in batches]}")
    rows = []
    for i in range(count):
        keep = retain or i < count - 1
        rows.append(passes.run(list(roots), [b[i] for b in batches], keep, create_graph, list(targets), True))
    stack = _core.ops.stack
    return tuple(None if column[0] is None else stack(list(column)) for column in zip(*rows, strict=True))


class _Namespace(type(_core)):  # type: ignore[misc]
    """This module: ``gradcheck`` is the function, also after the module of that name was imported."""

    @property
    def gradcheck(self):
        """See `corten.autograd.gradcheck.gradcheck`."""
        import importlib

        return importlib.import_module(f"{__name__}.gradcheck").gradcheck

    @gradcheck.setter
    def gradcheck(self, module):
        """Ignores what the import of the module sets."""


_sys.modules[__name__].__class__ = _Namespace


def __getattr__(name):
    # Rarely used: imported on first access.
    if name in (
        "functional",
        "forward_ad",
        "graph",
        "profiler",
        "grad_mode",
        "variable",
        "anomaly_mode",
    ):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    if name in ("gradgradcheck", "GradcheckError"):
        import importlib

        return getattr(importlib.import_module(f"{__name__}.gradcheck"), name)
    from .._missing import missing

    raise missing(__name__, name)


__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "enforce_grad_layout_policy",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
    "is_multithreading_enabled",
    "set_multithreading_enabled",
]
