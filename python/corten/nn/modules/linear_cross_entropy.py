"""Cross entropy of a linear layer's outputs, as one loss, and the options that PyTorch has for it."""

import dataclasses
import math

import corten

from .. import functional as F
from .linear import Linear
from .module import Module


@dataclasses.dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How PyTorch cuts the batch of :func:`corten.nn.functional.linear_cross_entropy`; accepted, changing no result."""

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: corten.dtype | None = None

    def __post_init__(self):
        if self.acc_policy not in ("accurate", "balanced", "compact", "auto"):
            raise ValueError(
                "LinearCrossEntropyOptions: acc_policy must be 'accurate', 'balanced', 'compact' or 'auto', got "
                f"{self.acc_policy!r}"
            )
        if self.batch_chunk_size is not None and self.batch_chunk_size <= 0:
            raise ValueError(
                f"LinearCrossEntropyOptions: batch_chunk_size must be above 0, got {self.batch_chunk_size}"
            )


class LinearCrossEntropyLoss(Module):
    """The cross entropy between ``linear(input)`` and targets.

    Args:
        in_features: features of ``input`` ``(N, in_features)``.
        num_classes: the number C of classes.
        out_features: further dims ``(d1, ...)`` of targets ``(N, d1, ...)``, each with classes of its own.
        bias: whether the layer has a bias.
        reduction, weight, ignore_index, label_smoothing: as in :class:`CrossEntropyLoss`.
        options: accepted.
    """

    def __init__(
        self,
        in_features,
        num_classes,
        *,
        out_features=(),
        bias=False,
        device=None,
        dtype=None,
        reduction="mean",
        weight=None,
        ignore_index=None,
        label_smoothing=0.0,
        options=None,
    ):
        super().__init__()
        self.in_features = in_features
        self.num_classes = num_classes
        self.out_features = tuple(out_features)
        rows = num_classes * math.prod(self.out_features)
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)
        self.register_buffer("weight", weight)
        self.reduction = reduction
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.options = options

    def extra_repr(self):
        return (
            f"in_features={self.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, "
            f"bias={self.linear.bias is not None}, reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )

    def forward(self, input, target):
        """Returns the loss."""
        outer = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*outer, self.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(outer),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )
