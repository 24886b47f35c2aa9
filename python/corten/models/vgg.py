"""VGG (Simonyan and Zisserman, arXiv:1409.1556): networks of 3 × 3 convolutions, of 11 to 19 layers."""

from .. import nn

__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]

# Convolutions in each of the five stages, by the layers with weights; three linear layers are among these.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """Images ``(N, 3, H, W)`` to scores ``(N, num_classes)``.

    Args:
        features: the convolutions, with 512 channels at the end.
        num_classes: the number of scores.
        init_weights: draw the weights as the paper on ReLU networks does (He et al., arXiv:1502.01852).
        dropout: the probability with which an output of a hidden linear layer is dropped.
    """

    def __init__(self, features, num_classes=1000, init_weights=True, dropout=0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            self.apply(_initialize)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _initialize(module):
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


def make_layers(cfg, batch_norm=False):
    """Convolutions of 3 × 3 in a row, each with a ReLU behind it.

    Args:
        cfg: the channels of each convolution, and ``"M"`` where a pooling halves the size.
        batch_norm: whether batch normalisation stands before each ReLU.
    """
    layers, channels = [], 3
    for width in cfg:
        if width == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
        layers += [nn.BatchNorm2d(width)] * batch_norm + [nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers)


def _features(depth, batch_norm):
    """The convolutions of the network with ``depth`` layers, a pooling behind each stage."""
    cfg = []
    for count, width in zip(_STAGES[depth], (64, 128, 256, 512, 512), strict=True):
        cfg += [width] * count + ["M"]
    return make_layers(cfg, batch_norm)


def vgg11(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-11; 132.9 million parameters."""
    return VGG(_features(11, False), num_classes, init_weights, dropout)


def vgg11_bn(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-11 with batch normalisation; 132.9 million parameters."""
    return VGG(_features(11, True), num_classes, init_weights, dropout)


def vgg13(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-13; 133.0 million parameters."""
    return VGG(_features(13, False), num_classes, init_weights, dropout)


def vgg13_bn(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-13 with batch normalisation; 133.1 million parameters."""
    return VGG(_features(13, True), num_classes, init_weights, dropout)


def vgg16(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-16; 138.4 million parameters."""
    return VGG(_features(16, False), num_classes, init_weights, dropout)


def vgg16_bn(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-16 with batch normalisation; 138.4 million parameters."""
    return VGG(_features(16, True), num_classes, init_weights, dropout)


def vgg19(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-19; 143.7 million parameters."""
    return VGG(_features(19, False), num_classes, init_weights, dropout)


def vgg19_bn(num_classes=1000, init_weights=True, dropout=0.5):
    """VGG-19 with batch normalisation; 143.7 million parameters."""
    return VGG(_features(19, True), num_classes, init_weights, dropout)
