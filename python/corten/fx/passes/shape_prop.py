"""Runs a graph and notes of every node what its tensors are."""

from typing import Any, NamedTuple

import corten

from ..interpreter import Interpreter
from ..node import map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What a node's tensor is; ``meta["tensor_meta"]`` has one, or a structure of them."""

    shape: corten.Size
    dtype: corten.dtype
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: corten.memory_format | None
    is_quantized: bool
    qparams: dict[str, Any]


def _memory_format_of(tensor):
    forms = {4: (corten.channels_last,), 5: (corten.channels_last_3d,)}.get(tensor.dim(), ())
    return next((form for form in (corten.contiguous_format, *forms) if tensor.is_contiguous(memory_format=form)), None)


def _extract_tensor_metadata(result, include_contiguity=True):
    """What a tensor is, as a :class:`TensorMetadata`."""
    form = _memory_format_of(result) if include_contiguity else None
    return TensorMetadata(
        result.shape, result.dtype, result.requires_grad, result.stride(), form, result.is_quantized, {}
    )


class ShapeProp(Interpreter):
    """Runs a graph on inputs and notes the shape, dtype and layout of every node's result in its ``meta``.

    Args:
        gm: the graph module.

    Example:
        >>> from corten.fx.passes.shape_prop import ShapeProp
        >>> traced = corten.fx.symbolic_trace(corten.nn.Linear(3, 4))
        >>> _ = ShapeProp(traced).propagate(corten.ones(2, 3))
        >>> traced.graph.output_node().meta["tensor_meta"].shape
        corten.Size([2, 4])
    """

    def __init__(self, gm, fake_mode=None):
        super().__init__(gm)
        if fake_mode is not None:
            raise NotImplementedError(
                "ShapeProp: there are no fake tensors; run it with module and inputs on torch.device('meta'), where "
                "nothing is computed"
            )

    def run_node(self, n):
        """Runs one node and notes what it gave."""
        result = super().run_node(n)
        found = []

        def describe(part):
            if isinstance(part, corten.Tensor):
                found.append(part)
                return _extract_tensor_metadata(part)
            return part

        meta = map_aggregate(result, describe)
        if found:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args):
        """Runs the graph on ``args`` and returns its result."""
        return super().run(*args)
