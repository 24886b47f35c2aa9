"""Automatic differentiation: `backward`, `grad`, `Function`, gradient modes and numerical checks."""

from .. import _core
from .function import Function, once_differentiable
from .modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)

Variable = _core.Tensor


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
        create_graph: record the backward pass itself, for higher derivatives.

    Raises:
        RuntimeError: a root does not require grad, or needs an explicit gradient.
    """
    if inputs is not None and len(_as_tuple(inputs)) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _as_tuple(tensors)
    seeds = _seeds(roots, grad_tensors if grad_tensors is not None else grad_variables)
    retain = create_graph if retain_graph is None else retain_graph
    chosen = None if inputs is None else list(_as_tuple(inputs))
    _core.run_backward(list(roots), seeds, retain, create_graph, chosen, False)


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
        RuntimeError: an input was not used and `allow_unused` is not set.
    """
    if not only_inputs:
        raise ValueError("only_inputs must be True: the default since PyTorch 0.2")
    roots, targets = _as_tuple(outputs), _as_tuple(inputs)
    if allow_unused is None:
        allow_unused = materialize_grads
    retain = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        batches = _seeds(roots, grad_outputs)
        count = batches[0].shape[0]
        rows = [
            grad(
                roots,
                targets,
                [b[i] for b in batches],
                True,
                create_graph,
                True,
                allow_unused,
                False,
                materialize_grads,
            )
            for i in range(count)
        ]
        stack = _core.ops.stack
        return tuple(None if column[0] is None else stack(list(column)) for column in zip(*rows, strict=True))
    results = _core.run_backward(list(roots), _seeds(roots, grad_outputs), retain, create_graph, list(targets), True)
    if not allow_unused and any(g is None for g in results):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. "
            "Set allow_unused=True if this is the desired behavior."
        )
    if materialize_grads:
        zeros = _core.ops.zeros_like
        results = tuple(zeros(t) if g is None else g for g, t in zip(results, targets, strict=True))
    return results


def __getattr__(name):
    # The numerical checkers and the functional interface are rarely used: imported on first access.
    if name in ("gradcheck", "gradgradcheck"):
        import importlib

        return getattr(importlib.import_module(f"{__name__}.numerical"), name)
    if name in ("functional", "graph", "forward_ad"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]
