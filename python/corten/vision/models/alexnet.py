"""AlexNet in the form with one column (Krizhevsky, arXiv:1404.5997)."""

from ... import nn
from ._api import build, imagenet, register_model

__all__ = ["AlexNet", "AlexNet_Weights", "alexnet"]


class AlexNet(nn.Module):
    """Five convolutions and three linear layers: images ``(N, 3, H, W)`` to scores ``(N, num_classes)``.

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


AlexNet_Weights = imagenet("AlexNet_Weights", ["alexnet-owt-7be5be79"])


@register_model(AlexNet_Weights)
def alexnet(*, weights=None, progress=True, **kwargs):
    """An `AlexNet`, trained where ``weights`` are given: a member of `AlexNet_Weights`, or its name."""
    return build(AlexNet, weights, AlexNet_Weights, progress, **kwargs)
