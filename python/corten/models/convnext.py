"""ConvNeXt (Liu et al., arXiv:2201.03545): a ResNet rebuilt after the Transformer, of convolutions alone."""

from functools import partial

from .. import full, nn
from ..vision.ops import Conv2dNormActivation, Permute, StochasticDepth

__all__ = ["ConvNeXt", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny"]


class LayerNorm2d(nn.LayerNorm):
    """Normalises the channels of each pixel of ``(N, C, H, W)``."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A 7 × 7 convolution of each channel by itself, then two linear layers at each pixel, beside an identity.

    Args:
        dim: channels.
        layer_scale: what the block's channels are scaled by at the start.
        stochastic_depth_prob: the probability with which the block is skipped for an image.
    """

    def __init__(self, dim, layer_scale, stochastic_depth_prob):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x):
        return x + self.stochastic_depth(self.layer_scale * self.block(x))


class ConvNeXt(nn.Module):
    """Images ``(N, 3, H, W)`` to scores ``(N, num_classes)``; the last maps have a 32nd of the size.

    Args:
        widths: channels of the four stages.
        depths: blocks of the four stages.
        num_classes: the number of scores.
        stochastic_depth_prob: that of the last block; it grows from 0 at the first.
        layer_scale: see `CNBlock`.
    """

    def __init__(self, widths, depths, num_classes=1000, stochastic_depth_prob=0.0, layer_scale=1e-6):
        super().__init__()
        norm = partial(LayerNorm2d, eps=1e-6)
        stem = dict(kernel_size=4, stride=4, padding=0, norm_layer=norm, activation_layer=None, bias=True)
        layers = [Conv2dNormActivation(3, widths[0], **stem)]
        blocks, last = 0, max(1, sum(depths) - 1)
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if stage:
                before = widths[stage - 1]
                layers.append(nn.Sequential(norm(before), nn.Conv2d(before, width, 2, stride=2)))
            chances = [stochastic_depth_prob * number / last for number in range(blocks, blocks + depth)]
            layers.append(nn.Sequential(*(CNBlock(width, layer_scale, chance) for chance in chances)))
            blocks += depth
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(norm(widths[-1]), nn.Flatten(1), nn.Linear(widths[-1], num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)))


def convnext_tiny(num_classes=1000, stochastic_depth_prob=0.1, layer_scale=1e-6):
    """ConvNeXt-T; 28.6 million parameters."""
    return ConvNeXt((96, 192, 384, 768), (3, 3, 9, 3), num_classes, stochastic_depth_prob, layer_scale)


def convnext_small(num_classes=1000, stochastic_depth_prob=0.4, layer_scale=1e-6):
    """ConvNeXt-S; 50.2 million parameters."""
    return ConvNeXt((96, 192, 384, 768), (3, 3, 27, 3), num_classes, stochastic_depth_prob, layer_scale)


def convnext_base(num_classes=1000, stochastic_depth_prob=0.5, layer_scale=1e-6):
    """ConvNeXt-B; 88.6 million parameters."""
    return ConvNeXt((128, 256, 512, 1024), (3, 3, 27, 3), num_classes, stochastic_depth_prob, layer_scale)


def convnext_large(num_classes=1000, stochastic_depth_prob=0.5, layer_scale=1e-6):
    """ConvNeXt-L; 197.8 million parameters."""
    return ConvNeXt((192, 384, 768, 1536), (3, 3, 27, 3), num_classes, stochastic_depth_prob, layer_scale)
