"""The options of `LinearCrossEntropyLoss`, under the name of their file in ``torch.nn.modules``."""

from .linear_cross_entropy import LinearCrossEntropyOptions

__all__ = ["LinearCrossEntropyOptions"]
