"""Inception v3 (Szegedy et al., arXiv:1512.00567): branches of convolutions side by side, large ones as several small.

Blocks and layers have the names of torchvision, whose weights fit, and so do classes of programs that change a block.
"""

from collections import namedtuple

from .. import cat, nn
from ..nn import functional as F

__all__ = ["Inception3", "InceptionOutputs", "inception_v3"]

InceptionOutputs = namedtuple("InceptionOutputs", ["logits", "aux_logits"])
InceptionOutputs.__doc__ = "Scores, and in training those of the auxiliary classifier."
# What torchvision's own weights of this network expect for each colour, of images normalised for other networks.
_RENORMALISED = (
    (0.229 / 0.5, (0.485 - 0.5) / 0.5),
    (0.224 / 0.5, (0.456 - 0.5) / 0.5),
    (0.225 / 0.5, (0.406 - 0.5) / 0.5),
)


class BasicConv2d(nn.Module):
    """A convolution without bias, batch normalisation, ReLU; arguments of `nn.Conv2d`."""

    def __init__(self, in_channels, out_channels, **kwargs):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class InceptionA(nn.Module):
    """Branches of 1 × 1, 5 × 5, two of 3 × 3, and a pooling: ``(N, C, H, W)`` to ``(N, 224 + pool_features, H, W)``."""

    def __init__(self, in_channels, pool_features, conv_block=None):
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1x1 = conv(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = conv(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = conv(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, padding=1)
        self.branch_pool = conv(in_channels, pool_features, kernel_size=1)

    def forward(self, x):
        narrow = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return cat([self.branch1x1(x), narrow, double, self.branch_pool(_mean(x))], 1)


class InceptionB(nn.Module):
    """Half the size: ``(N, C, H, W)`` to ``(N, 480 + C, (H - 3) // 2 + 1, (W - 3) // 2 + 1)``."""

    def __init__(self, in_channels, conv_block=None):
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3 = conv(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, stride=2)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return cat([self.branch3x3(x), double, F.max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionC(nn.Module):
    """Convolutions of 7 × 7 as 1 × 7 and 7 × 1: ``(N, C, H, W)`` to ``(N, 768, H, W)``."""

    def __init__(self, in_channels, channels_7x7, conv_block=None):
        super().__init__()
        conv, width = conv_block or BasicConv2d, channels_7x7
        lying, standing = dict(kernel_size=(1, 7), padding=(0, 3)), dict(kernel_size=(7, 1), padding=(3, 0))
        self.branch1x1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = conv(in_channels, width, kernel_size=1)
        self.branch7x7_2 = conv(width, width, **lying)
        self.branch7x7_3 = conv(width, 192, **standing)
        self.branch7x7dbl_1 = conv(in_channels, width, kernel_size=1)
        self.branch7x7dbl_2 = conv(width, width, **standing)
        self.branch7x7dbl_3 = conv(width, width, **lying)
        self.branch7x7dbl_4 = conv(width, width, **standing)
        self.branch7x7dbl_5 = conv(width, 192, **lying)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x):
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return cat([self.branch1x1(x), once, twice, self.branch_pool(_mean(x))], 1)


class InceptionD(nn.Module):
    """Half the size: ``(N, C, H, W)`` to ``(N, 512 + C, (H - 3) // 2 + 1, (W - 3) // 2 + 1)``."""

    def __init__(self, in_channels, conv_block=None):
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = conv(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = conv(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = conv(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = conv(192, 192, kernel_size=3, stride=2)

    def forward(self, x):
        large = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        small = self.branch3x3_2(self.branch3x3_1(x))
        return cat([small, self.branch7x7x3_4(large), F.max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionE(nn.Module):
    """Branches that fork into 1 × 3 and 3 × 1: ``(N, C, H, W)`` to ``(N, 2048, H, W)``."""

    def __init__(self, in_channels, conv_block=None):
        super().__init__()
        conv = conv_block or BasicConv2d
        lying, standing = dict(kernel_size=(1, 3), padding=(0, 1)), dict(kernel_size=(3, 1), padding=(1, 0))
        self.branch1x1 = conv(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = conv(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = conv(384, 384, **lying)
        self.branch3x3_2b = conv(384, 384, **standing)
        self.branch3x3dbl_1 = conv(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = conv(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = conv(384, 384, **lying)
        self.branch3x3dbl_3b = conv(384, 384, **standing)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def forward(self, x):
        once, twice = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        forks = [self.branch3x3_2a(once), self.branch3x3_2b(once)]
        forks += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        return cat([self.branch1x1(x), *forks, self.branch_pool(_mean(x))], 1)


class InceptionAux(nn.Module):
    """The classifier in the middle, whose loss helps training: ``(N, C, 17, 17)`` to ``(N, num_classes)``."""

    def __init__(self, in_channels, num_classes, conv_block=None):
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1 = conv(128, 768, kernel_size=5)
        self.conv1.stddev = 0.01
        self.fc = nn.Linear(768, num_classes)
        self.fc.stddev = 0.001

    def forward(self, x):
        x = self.conv1(self.conv0(F.avg_pool2d(x, kernel_size=5, stride=3)))
        return self.fc(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class Inception3(nn.Module):
    """Images ``(N, 3, H, W)``, of 299 × 299 pixels in the paper and of 75 at least, to scores ``(N, num_classes)``.

    In training, with ``aux_logits``, the result is `InceptionOutputs`, and images are large enough for the auxiliary
    classifier, which takes 17 × 17 places of images of 299 × 299.

    Args:
        num_classes: the number of scores.
        aux_logits: whether there is an auxiliary classifier.
        transform_input: images are normalised as for other networks, and scaled to what published weights expect.
        inception_blocks: classes in place of `BasicConv2d`, `InceptionA` to `InceptionE` and `InceptionAux`, seven.
        init_weights: draw weights from truncated normal distributions, as the paper's programs do.
        dropout: the probability with which an input of the last layer is dropped.

    Raises:
        ValueError: there are not seven classes.
    """

    def __init__(
        self,
        num_classes=1000,
        aux_logits=True,
        transform_input=False,
        inception_blocks=None,
        init_weights=True,
        dropout=0.5,
    ):
        super().__init__()
        usual = [BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE, InceptionAux]
        if len(inception_blocks or usual) != 7:
            raise ValueError(f"length of inception_blocks should be 7 instead of {len(inception_blocks)}")
        conv, a, b, c, d, e, aux = inception_blocks or usual
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = a(192, 32), a(256, 64), a(288, 64)
        self.Mixed_6a = b(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = c(768, 128), c(768, 160), c(768, 160), c(768, 192)
        self.AuxLogits = aux(768, num_classes) if aux_logits else None
        self.Mixed_7a = d(768)
        self.Mixed_7b, self.Mixed_7c = e(1280), e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights:
            self.apply(_initialize)

    def forward(self, x):
        if self.transform_input:
            x = cat([x[:, i : i + 1] * scale + shift for i, (scale, shift) in enumerate(_RENORMALISED)], 1)
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        middle = self.AuxLogits(x) if self.training and self.AuxLogits is not None else None
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        x = self.fc(self.dropout(self.avgpool(x)).flatten(1))
        return InceptionOutputs(x, middle) if self.training and self.aux_logits else x


def _mean(x):
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


def _initialize(module):
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.trunc_normal_(module.weight, mean=0.0, std=float(getattr(module, "stddev", 0.1)), a=-2, b=2)


def inception_v3(
    num_classes=1000, aux_logits=True, transform_input=False, inception_blocks=None, init_weights=True, dropout=0.5
):
    """The paper's `Inception3`; 27.2 million parameters."""
    return Inception3(num_classes, aux_logits, transform_input, inception_blocks, init_weights, dropout)
