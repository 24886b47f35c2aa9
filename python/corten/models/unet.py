"""U-Net (Ronneberger, Fischer and Brox, arXiv:1505.04597): a class for every pixel of an image."""

from itertools import pairwise

from .. import cat, nn

__all__ = ["UNet", "unet", "unet_padded"]


class DoubleConv(nn.Sequential):
    """Two 3 × 3 convolutions with ReLUs, each normalised by its batch where ``batch_norm`` is true."""

    def __init__(self, in_channels, out_channels, padding, batch_norm):
        layers = []
        for channels in (in_channels, out_channels):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=padding, bias=not batch_norm))
            layers += [nn.BatchNorm2d(out_channels)] * batch_norm + [nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """Images ``(N, in_channels, H, W)`` to scores ``(N, num_classes, H', W')`` of pixels.

    The way down halves the size and doubles the channels; the way up undoes both, and reads beside its own maps those
    of the same size from the way down. Without padding every convolution takes a pixel from each side, as in the
    paper: 572 × 572 pixels give 388 × 388 scores, those of the middle.

    Args:
        in_channels: 1 for grey images.
        num_classes: scores of a pixel.
        width: channels of the first stage.
        depth: how often the size is halved.
        padding: keep the size; H and W must be multiples of ``2 ** depth``.
        batch_norm: normalise behind each convolution.

    Raises:
        ValueError: in `forward`, of an image of a size that cannot be halved so often.
    """

    def __init__(self, in_channels=1, num_classes=2, width=64, depth=4, padding=False, batch_norm=False):
        super().__init__()
        widths = [width * 2**stage for stage in range(depth + 1)]
        conv = dict(padding=int(padding), batch_norm=batch_norm)
        self.down = nn.ModuleList(DoubleConv(a, b, **conv) for a, b in zip([in_channels, *widths], widths))
        self.pool = nn.MaxPool2d(2)
        wide_first = widths[::-1]
        pairs = list(pairwise(wide_first))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(DoubleConv(a, b, **conv) for a, b in pairs)
        self.head = nn.Conv2d(width, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # The paper's section 3: a deviation of sqrt(2 / inputs).
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        skips = []
        for stage in self.down[:-1]:
            x = stage(x)
            if x.shape[-1] % 2 or x.shape[-2] % 2:
                raise ValueError(f"UNet: maps of {tuple(x.shape[-2:])} pixels cannot be halved; use another image size")
            skips.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for upsample, stage, skip in zip(self.upsample, self.up, reversed(skips)):
            x = upsample(x)
            x = stage(cat([_middle(skip, x.shape[-2:]), x], 1))
        return self.head(x)


def _middle(maps, size):
    """The middle of maps ``(N, C, H, W)``."""
    top, left = ((have - want) // 2 for have, want in zip(maps.shape[-2:], size))
    return maps[:, :, top : top + size[0], left : left + size[1]]


def unet(in_channels=1, num_classes=2, width=64, depth=4):
    """The paper's `UNet`, without padding; 31.0 million parameters."""
    return UNet(in_channels, num_classes, width, depth)


def unet_padded(in_channels=3, num_classes=2, width=64, depth=4):
    """A `UNet` that keeps the size, with batch normalisation; 31.0 million parameters."""
    return UNet(in_channels, num_classes, width, depth, padding=True, batch_norm=True)
