"""`Variable`, which tensors have been since they record gradients themselves."""

from .. import _core

__all__ = ["Variable", "VariableMeta"]

Variable = _core.Tensor
VariableMeta = type(_core.Tensor)
