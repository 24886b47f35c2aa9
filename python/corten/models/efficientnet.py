"""EfficientNet (Tan and Le, arXiv:1905.11946) and EfficientNet-Lite: depth, width and image size grow together.

Parameters are named as in the weights that are most widely spread: ``_conv_stem``, ``_blocks.N``, ``_conv_head``.
"""

import math

from .. import nn
from ..nn import functional as F
from ..vision.ops import stochastic_depth

__all__ = [
    "EfficientNet",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
]

# The paper's table 1: blocks, kernel, stride of the first block, expansion, channels of the output.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def round_channels(channels, width, divisor=8):
    """``channels`` times ``width``, as the nearest multiple of ``divisor`` that takes at most a tenth away."""
    scaled = channels * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * scaled else rounded + divisor


class SamePaddingConv2d(nn.Conv2d):
    """A convolution to ``ceil(size / stride)`` pixels; an odd pixel of padding goes below and to the right."""

    def forward(self, x):
        padding = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            wanted = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
            padding += [wanted // 2, wanted - wanted // 2]
        return super().forward(F.pad(x, padding) if any(padding) else x)


def _norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConvBlock(nn.Module):
    """An inverted residual: to more channels, a convolution of each channel by itself, scaling, and back to few.

    Args:
        inputs, outputs: channels.
        kernel, stride: of the convolution of each channel.
        expansion: how many times more channels the middle has; at 1 the first convolution is left out.
        lite: ReLU6 for SiLU, and channels that are not scaled by their means.
        drop_connect: the probability with which the block is skipped for an image.
    """

    def __init__(self, inputs, outputs, kernel, stride, expansion, lite, drop_connect):
        super().__init__()
        hidden = inputs * expansion
        if expansion != 1:
            self._expand_conv = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = SamePaddingConv2d(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = _norm(hidden)
        if not lite:
            squeezed = max(1, inputs // 4)
            self._se_reduce = nn.Conv2d(hidden, squeezed, 1)
            self._se_expand = nn.Conv2d(squeezed, hidden, 1)
        self._project_conv = nn.Conv2d(hidden, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self._act = nn.ReLU6() if lite else nn.SiLU()
        self.expansion, self.lite, self.drop_connect = expansion, lite, drop_connect
        self.residual = stride == 1 and inputs == outputs

    def forward(self, inputs):
        x = inputs
        if self.expansion != 1:
            x = self._act(self._bn0(self._expand_conv(x)))
        x = self._act(self._bn1(self._depthwise_conv(x)))
        if not self.lite:
            x = self._se_expand(self._act(self._se_reduce(x.mean((2, 3), keepdim=True)))).sigmoid() * x
        x = self._bn2(self._project_conv(x))
        return stochastic_depth(x, self.drop_connect, "row", self.training) + inputs if self.residual else x


class EfficientNet(nn.Module):
    """Images ``(N, in_channels, H, W)`` to scores ``(N, num_classes)``; the last maps have a 32nd of the size.

    Args:
        width, depth: the factors of channels and of blocks.
        num_classes: the number of scores.
        dropout: the probability with which an input of the linear layer is dropped.
        lite: EfficientNet-Lite: ReLU6, no scaling of channels, and a stem, a head and end stages that do not grow.
        drop_connect: the probability with which the last block is skipped for an image; it grows from 0 at the first.
        in_channels: 3 for images in colour.
    """

    def __init__(self, width, depth, num_classes=1000, dropout=0.2, lite=False, drop_connect=0.2, in_channels=3):
        super().__init__()
        channels = 32 if lite else round_channels(32, width)
        self._conv_stem = SamePaddingConv2d(in_channels, channels, 3, stride=2, bias=False)
        self._bn0 = _norm(channels)
        rows = []
        for stage, (blocks, kernel, stride, expansion, outputs) in enumerate(_STAGES):
            if not (lite and stage in (0, len(_STAGES) - 1)):
                blocks = math.ceil(depth * blocks)
            outputs = round_channels(outputs, width)
            for block in range(blocks):
                rows.append((channels, outputs, kernel, stride if block == 0 else 1, expansion))
                channels = outputs
        chances = [drop_connect * number / len(rows) for number in range(len(rows))]
        self._blocks = nn.ModuleList(MBConvBlock(*row, lite, chance) for row, chance in zip(rows, chances))
        head = 1280 if lite else round_channels(1280, width)
        self._conv_head = nn.Conv2d(channels, head, 1, bias=False)
        self._bn1 = _norm(head)
        self._dropout = nn.Dropout(dropout)
        self._fc = nn.Linear(head, num_classes)
        self._act = nn.ReLU6() if lite else nn.SiLU()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def extract_endpoints(self, x):
        """The last maps of each size, ``reduction_1`` of ``H / 2`` to ``reduction_5``, and ``reduction_6``, the head's.

        Images are ``(N, in_channels, H, W)``; `extract_features` gives the last of them alone.
        """
        x = self._act(self._bn0(self._conv_stem(x)))
        maps = []
        for block in self._blocks:
            if block._depthwise_conv.stride[0] > 1:
                maps.append(x)
            x = block(x)
        maps += [x, self._act(self._bn1(self._conv_head(x)))]
        return {f"reduction_{number}": found for number, found in enumerate(maps, 1)}

    def extract_features(self, x):
        """The maps ``(N, C, H / 32, W / 32)`` before their means are taken."""
        x = self._act(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self._act(self._bn1(self._conv_head(x)))

    def forward(self, x):
        return self._fc(self._dropout(self.extract_features(x).mean((2, 3))))


def efficientnet_b0(num_classes=1000, dropout=0.2, **options):
    """EfficientNet-B0 for images of 224 × 224; 5.3 million parameters."""
    return EfficientNet(1.0, 1.0, num_classes, dropout, **options)


def efficientnet_b1(num_classes=1000, dropout=0.2, **options):
    """EfficientNet-B1 for images of 240 × 240; 7.8 million parameters."""
    return EfficientNet(1.0, 1.1, num_classes, dropout, **options)


def efficientnet_b2(num_classes=1000, dropout=0.3, **options):
    """EfficientNet-B2 for images of 260 × 260; 9.1 million parameters."""
    return EfficientNet(1.1, 1.2, num_classes, dropout, **options)


def efficientnet_b3(num_classes=1000, dropout=0.3, **options):
    """EfficientNet-B3 for images of 300 × 300; 12.2 million parameters."""
    return EfficientNet(1.2, 1.4, num_classes, dropout, **options)


def efficientnet_b4(num_classes=1000, dropout=0.4, **options):
    """EfficientNet-B4 for images of 380 × 380; 19.3 million parameters."""
    return EfficientNet(1.4, 1.8, num_classes, dropout, **options)


def efficientnet_b5(num_classes=1000, dropout=0.4, **options):
    """EfficientNet-B5 for images of 456 × 456; 30.4 million parameters."""
    return EfficientNet(1.6, 2.2, num_classes, dropout, **options)


def efficientnet_b6(num_classes=1000, dropout=0.5, **options):
    """EfficientNet-B6 for images of 528 × 528; 43.0 million parameters."""
    return EfficientNet(1.8, 2.6, num_classes, dropout, **options)


def efficientnet_b7(num_classes=1000, dropout=0.5, **options):
    """EfficientNet-B7 for images of 600 × 600; 66.3 million parameters."""
    return EfficientNet(2.0, 3.1, num_classes, dropout, **options)


def efficientnet_lite0(num_classes=1000, dropout=0.2, **options):
    """EfficientNet-Lite0 for images of 224 × 224; 4.7 million parameters."""
    return EfficientNet(1.0, 1.0, num_classes, dropout, lite=True, **options)


def efficientnet_lite1(num_classes=1000, dropout=0.2, **options):
    """EfficientNet-Lite1 for images of 240 × 240; 5.4 million parameters."""
    return EfficientNet(1.0, 1.1, num_classes, dropout, lite=True, **options)


def efficientnet_lite2(num_classes=1000, dropout=0.3, **options):
    """EfficientNet-Lite2 for images of 260 × 260; 6.1 million parameters."""
    return EfficientNet(1.1, 1.2, num_classes, dropout, lite=True, **options)


def efficientnet_lite3(num_classes=1000, dropout=0.3, **options):
    """EfficientNet-Lite3 for images of 280 × 280; 8.2 million parameters."""
    return EfficientNet(1.2, 1.4, num_classes, dropout, lite=True, **options)


def efficientnet_lite4(num_classes=1000, dropout=0.3, **options):
    """EfficientNet-Lite4 for images of 300 × 300; 13.0 million parameters."""
    return EfficientNet(1.4, 1.8, num_classes, dropout, lite=True, **options)
