"""DenseNet (Huang et al., arXiv:1608.06993): every layer reads what all layers of its block before it wrote."""

from collections import OrderedDict

from .. import cat, nn
from ..nn import functional as F

__all__ = ["DenseNet", "densenet121", "densenet161", "densenet169", "densenet201"]


class DenseLayer(nn.Module):
    """A 1 × 1 and a 3 × 3 convolution, each behind normalisation and ReLU: all channels so far to ``growth_rate``."""

    def __init__(self, channels, growth_rate, bn_size, drop_rate):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bn_size * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, x):
        x = self.conv1(F.relu(self.norm1(x)))
        x = self.conv2(F.relu(self.norm2(x)))
        return F.dropout(x, self.drop_rate, self.training)

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        # The published weights are of a time when a dot stood in these names: `norm.1.weight`.
        for key in [key for key in state_dict if key.startswith((prefix + "norm.", prefix + "conv."))]:
            kind, number, name = key.removeprefix(prefix).split(".")
            state_dict[f"{prefix}{kind}{number}.{name}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class DenseBlock(nn.ModuleDict):
    """Layers that write ``growth_rate`` channels each beside those they read."""

    def __init__(self, layers, channels, growth_rate, bn_size, drop_rate):
        super().__init__()
        for number in range(layers):
            layer = DenseLayer(channels + number * growth_rate, growth_rate, bn_size, drop_rate)
            self[f"denselayer{number + 1}"] = layer

    def forward(self, x):
        for layer in self.values():
            x = cat([x, layer(x)], 1)
        return x


class Transition(nn.Sequential):
    """Between two blocks: half the channels, and half the size by a mean."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2, stride=2)


class DenseNet(nn.Module):
    """Images ``(N, 3, H, W)`` to scores ``(N, num_classes)``; the last maps have a 32nd of the size.

    Args:
        growth_rate: the channels that each layer adds.
        block_config: the layers of each block.
        num_init_features: channels of the first convolution.
        bn_size: the 1 × 1 convolutions yield so many times ``growth_rate`` channels.
        drop_rate: the probability with which an output of a layer is dropped.
        num_classes: the number of scores.
    """

    def __init__(
        self,
        growth_rate=32,
        block_config=(6, 12, 24, 16),
        num_init_features=64,
        bn_size=4,
        drop_rate=0.0,
        num_classes=1000,
    ):
        super().__init__()
        stem = dict(
            conv0=nn.Conv2d(3, num_init_features, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(num_init_features),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.features = nn.Sequential(OrderedDict(stem))
        channels = num_init_features
        for number, layers in enumerate(block_config, start=1):
            block = DenseBlock(layers, channels, growth_rate, bn_size, drop_rate)
            self.features.add_module(f"denseblock{number}", block)
            channels += layers * growth_rate
            if number < len(block_config):
                self.features.add_module(f"transition{number}", Transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


def densenet121(num_classes=1000, **options):
    """DenseNet-121; 8.0 million parameters. Options are ``bn_size`` and ``drop_rate``."""
    return DenseNet(32, (6, 12, 24, 16), 64, num_classes=num_classes, **options)


def densenet161(num_classes=1000, **options):
    """DenseNet-161, whose layers add 48 channels; 28.7 million parameters."""
    return DenseNet(48, (6, 12, 36, 24), 96, num_classes=num_classes, **options)


def densenet169(num_classes=1000, **options):
    """DenseNet-169; 14.1 million parameters."""
    return DenseNet(32, (6, 12, 32, 32), 64, num_classes=num_classes, **options)


def densenet201(num_classes=1000, **options):
    """DenseNet-201; 20.0 million parameters."""
    return DenseNet(32, (6, 12, 48, 32), 64, num_classes=num_classes, **options)
