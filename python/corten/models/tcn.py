"""TCN (Bai et al., arXiv:1803.01271): causal convolutions whose reach doubles from block to block."""

import itertools

from .. import nn
from ..nn import functional as F
from ..nn.utils.parametrizations import weight_norm

__all__ = ["TCN", "CharTCN", "TemporalBlock"]


class CausalConv1d(nn.Module):
    """A convolution ``(N, C, L)`` whose outputs see their own time and earlier ones, with normalised weights."""

    def __init__(self, n_inputs, n_outputs, kernel_size, dilation):
        super().__init__()
        self.before = (kernel_size - 1) * dilation
        conv = nn.Conv1d(n_inputs, n_outputs, kernel_size, dilation=dilation)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        self.conv = weight_norm(conv)

    def forward(self, x):
        return self.conv(F.pad(x, (self.before, 0)))


class TemporalBlock(nn.Module):
    """Two causal convolutions with ReLU and dropout beside an identity: ``(N, C, L)``."""

    def __init__(self, n_inputs, n_outputs, kernel_size, dilation, dropout=0.2):
        super().__init__()
        self.net = nn.Sequential(
            CausalConv1d(n_inputs, n_outputs, kernel_size, dilation),
            nn.ReLU(),
            nn.Dropout(dropout),
            CausalConv1d(n_outputs, n_outputs, kernel_size, dilation),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.downsample = nn.Conv1d(n_inputs, n_outputs, 1) if n_inputs != n_outputs else nn.Identity()

    def forward(self, x):
        return (self.net(x) + self.downsample(x)).relu()


class TCN(nn.Module):
    """Sequences ``(N, num_inputs, L)`` to ``(N, num_channels[-1], L)``; no output sees a later input.

    Args:
        num_inputs: channels of the input.
        num_channels: channels of each block; block i has dilation ``2^i``.
        kernel_size: of the convolutions.
        dropout: after each convolution.

    Attributes:
        receptive_field: how many inputs an output sees: ``1 + 2 (kernel_size - 1) (2^blocks - 1)``.
    """

    def __init__(self, num_inputs, num_channels, kernel_size=2, dropout=0.2):
        super().__init__()
        widths = [num_inputs, *num_channels]
        self.network = nn.Sequential(
            *(
                TemporalBlock(inputs, outputs, kernel_size, 2**i, dropout)
                for i, (inputs, outputs) in enumerate(itertools.pairwise(widths))
            )
        )
        self.receptive_field = 1 + 2 * (kernel_size - 1) * (2 ** len(num_channels) - 1)

    def forward(self, x):
        return self.network(x)


class CharTCN(nn.Module):
    """Characters ``(N, L)`` to scores of the next ``(N, L, vocab_size)``.

    Args:
        vocab_size, embedding: the number of characters and the features of each.
        num_channels, kernel_size, dropout: of the `TCN`.
    """

    def __init__(self, vocab_size, embedding=64, num_channels=(256,) * 4, kernel_size=3, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding)
        self.tcn = TCN(embedding, num_channels, kernel_size, dropout)
        self.output = nn.Linear(num_channels[-1], vocab_size)

    def forward(self, ids):
        return self.output(self.tcn(self.embedding(ids).transpose(1, 2)).transpose(1, 2))
