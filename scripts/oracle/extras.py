"""What is looked at beside right and wrong: strides, gradients of second order, refusals of wrong arguments."""

from __future__ import annotations

import warnings
from typing import Any

import corten
import torch

from . import compare, translate

# Of gradients of second order in float64: relative and absolute.
SECOND_ORDER = (1e-6, 1e-6)


def strides(actual: Any, expected: Any) -> str:
    """Where strides differ first, in dims of more than one element; "" where none do."""
    for a, b in zip(compare.leaves(actual), compare.leaves(expected)):
        if isinstance(b, torch.Tensor) and b.numel():
            dims = [d for d, size in enumerate(b.shape) if size > 1]
            ours, theirs = ([t.stride()[d] for d in dims] for t in (a, b))
            if ours != theirs:
                return f"strides {tuple(a.stride())} instead of {tuple(b.stride())} for shape {tuple(b.shape)}"
    return ""


def second_order(case: Any) -> str:
    """What is wrong with the gradients' gradients of a sample; "" where nothing is, or PyTorch has none."""
    from .operators import describe

    try:
        expected = None if case.is_random() else _twice(case, torch)
    except Exception:
        return ""
    if expected is None:
        return ""
    try:
        actual = _twice(case, corten) or [None] * len(expected)
        pairs = [(a, b) for a, b in zip(actual, expected) if b is not None and (a is not None or b.count_nonzero())]
        if any(a is None for a, _ in pairs):
            return "an input has no gradient of second order"
        compare.same([a for a, _ in pairs], [b for _, b in pairs], tolerance=SECOND_ORDER)
    except Exception as error:
        return describe(error)["error"]
    return ""


def _twice(case: Any, package: Any) -> Any:
    """The gradients of the gradients; None where these have none."""
    from .operators import cotangents_of, leaves_of, snapshot

    inputs = snapshot(case.originals)
    leaves = leaves_of(inputs)
    carry = (lambda value: value) if package is torch else translate.Translator(case.device)
    mine, own = carry(inputs), [carry(t) for t in leaves]
    result = case.call(case.op.op if package is torch else case.function, mine, package)
    if case.process is not None:
        process = case.process if package is torch else translate.rebound(case.process)
        result = process(result)
    first = _gradients(package, result, own, carry(cotangents_of(_expected(case))), create_graph=True)
    if not any(g is not None and g.requires_grad for g in first):
        return None
    generator = torch.Generator().manual_seed(7)
    weights = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in leaves]
    chosen = [(g, w) for g, w in zip(first, weights) if g is not None and g.requires_grad]
    return _gradients(package, [g for g, _ in chosen], own, carry([w for _, w in chosen]))


def _expected(case: Any) -> Any:
    return case.expected if case.process is None else case.process(case.expected)


def _gradients(package: Any, result: Any, leaves: Any, cotangents: Any, create_graph: bool = False) -> Any:
    outputs = [t for t in compare.leaves(result) if isinstance(t, package.Tensor) and t.requires_grad]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return package.autograd.grad(outputs, leaves, cotangents, create_graph=create_graph, allow_unused=True)


def refusals(op: Any, function: Any, device: str) -> str | None:
    """What is wrong with the refusal of `op_db`'s wrong arguments, "" where nothing is; None where it has none."""
    if op.error_inputs_func is None:
        return None
    for case in op.error_inputs("cpu"):
        sample = case.sample_input
        arguments = (sample.input, tuple(sample.args), dict(sample.kwargs))
        tensors = {id(t): t for t in compare.leaves(arguments) if isinstance(t, torch.Tensor)}.values()
        if len({t.untyped_storage().data_ptr() for t in tensors}) < len(tensors):
            continue  # what is translated shares no storage
        try:
            mine = translate.Translator(device)(arguments)
        except Exception:
            continue  # on devices that corten has not
        expected = _refusal(op.op, arguments)
        if expected is None:
            continue
        actual = _refusal(function, mine)
        if actual is None:
            return f"no {type(expected).__name__}: {expected}".splitlines()[0][:200]
        if not isinstance(actual, _counterpart(type(expected))) or type(actual).__name__ == "InternalError":
            return f"{type(actual).__name__} instead of {type(expected).__name__}: {expected}".splitlines()[0][:200]
    return ""


def _counterpart(error: type[BaseException]) -> type[BaseException]:
    """The nearest class of Python's own."""
    return next(base for base in error.__mro__ if base.__module__ == "builtins")


def _refusal(function: Any, arguments: Any) -> Exception | None:
    first, args, kwargs = arguments
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(first, *args, **kwargs)
    except Exception as error:
        return error
    return None
