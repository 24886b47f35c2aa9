"""AlexNet: the network of 2012 on its two columns, the later one with one column, and one for images of 28 × 28."""

from .. import nn

__all__ = ["AlexNet", "AlexNet2012", "AlexNet28", "alexnet", "alexnet2012", "alexnet28"]


class AlexNet2012(nn.Module):
    """The network that won ImageNet in 2012 (Krizhevsky, Sutskever and Hinton, NIPS 2012).

    Images ``(N, 3, 227, 227)`` become maps of 96 × 27 × 27, 256 × 13 × 13, 384 × 13 × 13 twice and 256 × 6 × 6, then
    scores ``(N, num_classes)``. Neighbouring channels inhibit each other, and the poolings overlap.

    Args:
        num_classes: the number of scores.
        groups: 2 for the paper's columns, one on each of two GPUs, that meet in the third convolution and behind the
            last; 1 for a single tower of the same widths.
        dropout: the probability with which an input of a hidden linear layer is dropped.
    """

    def __init__(self, num_classes=1000, groups=2, dropout=0.5):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4),
            nn.ReLU(inplace=True),
            _inhibition(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(96, 256, 5, padding=2, groups=groups),
            nn.ReLU(inplace=True),
            _inhibition(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1, groups=groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1, groups=groups),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )
        layers = [layer for layer in self.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
        for number, layer in enumerate(layers):
            nn.init.normal_(layer.weight, std=0.01)
            # The paper's section 5: ones give these layers positive inputs of their ReLUs from the start.
            nn.init.constant_(layer.bias, 1.0 if number in (1, 3, 4, 5, 6) else 0.0)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def _inhibition():
    # The paper's alpha of 1e-4 weighs each of the five squares; `LocalResponseNorm` weighs their mean.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet(nn.Module):
    """AlexNet with one narrower column (Krizhevsky, arXiv:1404.5997): ``(N, 3, H, W)`` to ``(N, num_classes)``.

    Args:
        num_classes: the number of scores.
        dropout: the probability with which an input of a hidden linear layer is dropped.
    """

    def __init__(self, num_classes=1000, dropout=0.5):
        super().__init__()
        layers, channels = [], 3
        # Width, kernel, stride, padding, and whether a pooling follows.
        for width, kernel, stride, padding, pooled in (
            (64, 11, 4, 2, True),
            (192, 5, 1, 2, True),
            (384, 3, 1, 1, False),
            (256, 3, 1, 1, False),
            (256, 3, 1, 1, True),
        ):
            layers += [nn.Conv2d(channels, width, kernel, stride, padding), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(kernel_size=3, stride=2)] * pooled
            channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNet28(nn.Module):
    """AlexNet's plan for images of 28 × 28: five convolutions, three poolings that overlap, three linear layers.

    Images ``(N, in_channels, 28, 28)`` become maps of 32 × 14 × 14, 96 × 7 × 7 and 128 × 3 × 3, then scores
    ``(N, num_classes)``. Widths are about half of those of `AlexNet`, and kernels are 3 × 3.

    Args:
        num_classes: the number of scores.
        in_channels: 1 for grey images.
        dropout: the probability with which an input of a hidden linear layer is dropped.
    """

    def __init__(self, num_classes=10, in_channels=1, dropout=0.5):
        super().__init__()
        layers, channels = [], in_channels
        for width, pooled in ((32, True), (96, True), (192, False), (128, False), (128, True)):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(3, stride=2, ceil_mode=True)] * pooled
            channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(128 * 3 * 3, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def alexnet(num_classes=1000, dropout=0.5):
    """`AlexNet` with one column; 61.1 million parameters, torchvision's keys."""
    return AlexNet(num_classes, dropout)


def alexnet2012(num_classes=1000, groups=2, dropout=0.5):
    """`AlexNet2012` for images of 227 × 227; 61.0 million parameters in two columns, 62.4 in a single tower."""
    return AlexNet2012(num_classes, groups, dropout)


def alexnet28(num_classes=10, in_channels=1, dropout=0.5):
    """`AlexNet28` for images of 28 × 28; 1.4 million parameters."""
    return AlexNet28(num_classes, in_channels, dropout)
