"""SqueezeNet (Iandola et al., arXiv:1602.07360): convolutions that narrow and widen, and no linear layer."""

from .. import cat, nn

__all__ = ["SqueezeNet", "squeezenet1_0", "squeezenet1_1"]

# The squeezed widths of the modules; each widens to eight times as many channels. "M" is a pooling.
_WIDTHS = {
    "1_0": (16, 16, 32, "M", 32, 48, 48, 64, "M", 64),
    "1_1": (16, 16, "M", 32, 32, "M", 48, 48, 64, 64),
}


class Fire(nn.Module):
    """A 1 × 1 convolution to few channels, then one of 1 × 1 beside one of 3 × 3."""

    def __init__(self, inplanes, squeeze_planes, expand1x1_planes, expand3x3_planes):
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.squeeze_activation(self.squeeze(x))
        return cat([self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """Images ``(N, 3, H, W)`` to scores ``(N, num_classes)``.

    Args:
        version: ``"1_0"``, or ``"1_1"``, which is as good with fewer operations.
        num_classes: the number of scores.
        dropout: the probability with which an input of the last convolution is dropped.

    Raises:
        ValueError: another version.
    """

    def __init__(self, version="1_0", num_classes=1000, dropout=0.5):
        super().__init__()
        if version not in _WIDTHS:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        self.num_classes = num_classes
        channels, kernel = (96, 7) if version == "1_0" else (64, 3)
        layers = [nn.Conv2d(3, channels, kernel_size=kernel, stride=2), nn.ReLU(inplace=True), _pooling()]
        for width in _WIDTHS[version]:
            if width == "M":
                layers.append(_pooling())
                continue
            layers.append(Fire(channels, width, 4 * width, 4 * width))
            channels = 8 * width
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(512, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.features(x)).flatten(1)


def _pooling():
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)


def squeezenet1_0(num_classes=1000, dropout=0.5):
    """The paper's `SqueezeNet`; 1.25 million parameters."""
    return SqueezeNet("1_0", num_classes, dropout)


def squeezenet1_1(num_classes=1000, dropout=0.5):
    """The `SqueezeNet` with 2.4 times fewer operations; 1.24 million parameters."""
    return SqueezeNet("1_1", num_classes, dropout)
