"""Adaptive softmax for many classes of uneven frequency (Grave et al. 2017)."""

from collections import namedtuple

import corten

from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over classes sorted by frequency: a head for frequent ones, smaller tails for the others.

    Args:
        in_features: size of the input's last dimension.
        n_classes: the number of classes.
        cutoffs: first classes of the tails, increasing.
        div_value: each tail's projection is this much smaller than the one before.
        head_bias: whether the head has a bias.
    """

    def __init__(self, in_features, n_classes, cutoffs, div_value=4.0, head_bias=False, device=None, dtype=None):
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(cutoffs)
            or min(cutoffs) <= 0
            or max(cutoffs) > n_classes - 1
            or len(set(cutoffs)) != len(cutoffs)
            or any(int(cutoff) != cutoff for cutoff in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                "value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        options = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // (div_value ** (i + 1)))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **options), Linear(hidden, size, bias=False, **options)
                )
            )

    def reset_parameters(self):
        """Draws the parameters of head and tails afresh."""
        self.head.reset_parameters()
        for down, out in self.tail:
            down.reset_parameters()
            out.reset_parameters()

    def _check(self, input_, target_):
        if target_.dim() == 1:
            if input_.shape[0] != target_.shape[0]:
                raise RuntimeError("Input and target should have the same size in the batch dimension.")
            if input_.dim() != 2:
                raise RuntimeError(
                    f"1D target tensor expects 2D input tensors, but found inputs with size {input_.shape}"
                )
        elif target_.dim() == 0:
            if input_.dim() != 1:
                raise RuntimeError(
                    f"0D target tensor expects 1D input tensors, but found inputs with size {input_.shape}"
                )
        else:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")

    def forward(self, input_, target_):
        """Returns the targets' log-probabilities ``(N,)`` and the mean negative one.

        Args:
            input_: ``(N, in_features)`` or ``(in_features,)``.
            target_: classes ``(N,)`` or ``()``.
        """
        self._check(input_, target_)
        batched = target_.dim() > 0
        input = input_ if batched else input_.unsqueeze(0)
        target = target_ if batched else target_.unsqueeze(0)
        if target.numel():
            low, high = int(target.min()), int(target.max())
            if low < 0 or high >= self.n_classes:
                raise RuntimeError(
                    f"Target values should be in [0, {self.n_classes - 1}], but values in range [{low}, {high}] were "
                    "found. "
                )
        output = input.new_zeros(target.shape[0])
        head_index = target.clone()
        for i in range(self.n_clusters):
            start, end = self.cutoffs[i], self.cutoffs[i + 1]
            rows = ((target >= start) & (target < end)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            head_index = head_index.index_fill(0, rows, self.shortlist_size + i)
            log_probs = F.log_softmax(self.tail[i](input.index_select(0, rows)), 1)
            relative = target.index_select(0, rows) - start
            output = output.index_copy(0, rows, log_probs.gather(1, relative.unsqueeze(1)).squeeze(1))
        head = F.log_softmax(self.head(input), 1)
        output = output + head.gather(1, head_index.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    def _full_log_probs(self, input, head_output):
        head = F.log_softmax(head_output, 1)
        parts = [head[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            cluster = F.log_softmax(self.tail[i](input), 1)
            parts.append(cluster + head[:, self.shortlist_size + i].unsqueeze(1))
        return corten.cat(parts, 1)

    def log_prob(self, input):
        """Returns the log-probabilities of all classes, ``(N, n_classes)``."""
        return self._full_log_probs(input, self.head(input))

    def predict(self, input):
        """Returns the most probable class of each row, ``(N,)``; tails are computed only where they win."""
        head_output = self.head(input)
        best = head_output.argmax(1)
        in_tail = best >= self.shortlist_size
        if not bool(in_tail.any()):
            return best
        if bool(in_tail.all()):
            return self._full_log_probs(input, head_output).argmax(1)
        rows = in_tail.nonzero().squeeze(1)
        full = self._full_log_probs(input.index_select(0, rows), head_output.index_select(0, rows))
        return best.index_copy(0, rows, full.argmax(1))
