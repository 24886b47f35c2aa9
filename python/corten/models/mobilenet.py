"""MobileNetV2 (Sandler et al., arXiv:1801.04381) and MobileNetV3 (Howard et al., arXiv:1905.02244)."""

from functools import partial

from .. import nn
from ..vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

__all__ = ["MobileNetV2", "MobileNetV3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]


def make_divisible(channels, divisor=8):
    """The multiple of ``divisor`` that is nearest to ``channels`` and not below nine tenths of it."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


class InvertedResidual(nn.Module):
    """MobileNetV2's block: to more channels, a convolution of each channel by itself, and back to few.

    Args:
        inp, oup: channels of the input and the output.
        stride: of the convolution in the middle.
        expand_ratio: how many times more channels the middle has; at 1 the first convolution is left out.
    """

    def __init__(self, inp, oup, stride, expand_ratio, norm_layer=nn.BatchNorm2d):
        super().__init__()
        hidden = round(inp * expand_ratio)
        options = dict(norm_layer=norm_layer, activation_layer=nn.ReLU6)
        expand = [Conv2dNormActivation(inp, hidden, 1, **options)] * (expand_ratio != 1)
        self.conv = nn.Sequential(
            *expand,
            Conv2dNormActivation(hidden, hidden, 3, stride, groups=hidden, **options),
            nn.Conv2d(hidden, oup, 1, bias=False),
            norm_layer(oup),
        )
        self.use_res_connect = stride == 1 and inp == oup

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Images ``(N, 3, H, W)`` to scores ``(N, num_classes)``; the last maps have a 32nd of the size.

    Args:
        num_classes: the number of scores.
        width_mult: the factor of all widths.
        round_nearest: what widths are multiples of.
        norm_layer: what normalises.
        dropout: the probability with which an input of the linear layer is dropped.
    """

    # The paper's table 2: expansion, channels, blocks, stride of the first block.
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, num_classes=1000, width_mult=1.0, round_nearest=8, norm_layer=nn.BatchNorm2d, dropout=0.2):
        super().__init__()
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        options = dict(norm_layer=norm_layer, activation_layer=nn.ReLU6)
        layers = [Conv2dNormActivation(3, channels, stride=2, **options)]
        for expansion, width, blocks, stride in self.STAGES:
            width = make_divisible(width * width_mult, round_nearest)
            for block in range(blocks):
                layers.append(InvertedResidual(channels, width, stride if block == 0 else 1, expansion, norm_layer))
                channels = width
        layers.append(Conv2dNormActivation(channels, self.last_channel, 1, **options))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes))
        _initialize(self)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class InvertedResidualV3(nn.Module):
    """MobileNetV3's block: that of V2 with other kernels and activations, and channels scaled by their means.

    Args:
        row: kernel, channels in the middle and behind, whether channels are scaled, activation, stride, dilation.
    """

    def __init__(self, input_channels, row, norm_layer):
        super().__init__()
        kernel, expanded, out_channels, scaled, activation, stride, dilation = row
        options = dict(norm_layer=norm_layer, activation_layer=activation)
        layers = [Conv2dNormActivation(input_channels, expanded, 1, **options)] * (expanded != input_channels)
        step = 1 if dilation > 1 else stride
        layers.append(
            Conv2dNormActivation(expanded, expanded, kernel, step, groups=expanded, dilation=dilation, **options)
        )
        if scaled:
            squeezed = make_divisible(expanded // 4)
            layers.append(SqueezeExcitation(expanded, squeezed, scale_activation=nn.Hardsigmoid))
        layers.append(Conv2dNormActivation(expanded, out_channels, 1, norm_layer=norm_layer, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and input_channels == out_channels

    def forward(self, x):
        return x + self.block(x) if self.use_res_connect else self.block(x)


class MobileNetV3(nn.Module):
    """Images ``(N, 3, H, W)`` to scores ``(N, num_classes)``; the last maps have a 32nd of the size.

    Args:
        rows: of the paper's tables 1 or 2, see `InvertedResidualV3`.
        last_channel: width of the hidden linear layer.
        num_classes: the number of scores.
        width_mult: the factor of all widths.
        dropout: the probability with which an input of the last linear layer is dropped.
    """

    def __init__(self, rows, last_channel, num_classes=1000, width_mult=1.0, dropout=0.2):
        super().__init__()
        norm_layer = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        options = dict(norm_layer=norm_layer, activation_layer=nn.Hardswish)
        channels = make_divisible(16 * width_mult)
        layers = [Conv2dNormActivation(3, channels, stride=2, **options)]
        for kernel, expanded, out_channels, *rest in rows:
            expanded, out_channels = (make_divisible(width * width_mult) for width in (expanded, out_channels))
            layers.append(InvertedResidualV3(channels, (kernel, expanded, out_channels, *rest), norm_layer))
            channels = out_channels
        layers.append(Conv2dNormActivation(channels, 6 * channels, 1, **options))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last_channel = make_divisible(last_channel * width_mult)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        _initialize(self)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _initialize(model):
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def mobilenet_v2(num_classes=1000, **options):
    """`MobileNetV2`; 3.5 million parameters at width 1."""
    return MobileNetV2(num_classes, **options)


def mobilenet_v3_large(num_classes=1000, reduced_tail=False, dilated=False, **options):
    """The large `MobileNetV3`; 5.5 million parameters.

    Args:
        reduced_tail: half the widths of the last stage, for features of dense prediction.
        dilated: the last stage keeps the size, by a dilation of 2.
    """
    RE, HS = nn.ReLU, nn.Hardswish
    tail, dilation = 2 if reduced_tail else 1, 2 if dilated else 1
    rows = (
        (3, 16, 16, False, RE, 1, 1),
        (3, 64, 24, False, RE, 2, 1),
        (3, 72, 24, False, RE, 1, 1),
        (5, 72, 40, True, RE, 2, 1),
        (5, 120, 40, True, RE, 1, 1),
        (5, 120, 40, True, RE, 1, 1),
        (3, 240, 80, False, HS, 2, 1),
        (3, 200, 80, False, HS, 1, 1),
        (3, 184, 80, False, HS, 1, 1),
        (3, 184, 80, False, HS, 1, 1),
        (3, 480, 112, True, HS, 1, 1),
        (3, 672, 112, True, HS, 1, 1),
        (5, 672, 160 // tail, True, HS, 2, dilation),
        (5, 960 // tail, 160 // tail, True, HS, 1, dilation),
        (5, 960 // tail, 160 // tail, True, HS, 1, dilation),
    )
    return MobileNetV3(rows, 1280 // tail, num_classes, **options)


def mobilenet_v3_small(num_classes=1000, reduced_tail=False, dilated=False, **options):
    """The small `MobileNetV3`; 2.5 million parameters. Arguments are those of `mobilenet_v3_large`."""
    RE, HS = nn.ReLU, nn.Hardswish
    tail, dilation = 2 if reduced_tail else 1, 2 if dilated else 1
    rows = (
        (3, 16, 16, True, RE, 2, 1),
        (3, 72, 24, False, RE, 2, 1),
        (3, 88, 24, False, RE, 1, 1),
        (5, 96, 40, True, HS, 2, 1),
        (5, 240, 40, True, HS, 1, 1),
        (5, 240, 40, True, HS, 1, 1),
        (5, 120, 48, True, HS, 1, 1),
        (5, 144, 48, True, HS, 1, 1),
        (5, 288, 96 // tail, True, HS, 2, dilation),
        (5, 576 // tail, 96 // tail, True, HS, 1, dilation),
        (5, 576 // tail, 96 // tail, True, HS, 1, dilation),
    )
    return MobileNetV3(rows, 1024 // tail, num_classes, **options)
