"""VGG (Simonyan and Zisserman, arXiv:1409.1556): networks of 3 × 3 convolutions, of 11 to 19 layers."""

from ... import nn
from ._api import build, imagenet, register_model

# Convolutions in each of the five stages, and the names of the files of weights, without and with normalisation.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_FILES = {
    "vgg11": "8a719046",
    "vgg13": "19584684",
    "vgg16": "397923af",
    "vgg19": "dcbb9e9d",
    "vgg11_bn": "6002323d",
    "vgg13_bn": "abd245e5",
    "vgg16_bn": "6c64b313",
    "vgg19_bn": "c79401a0",
}

__all__ = ["VGG"]


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


def make_layers(depth, batch_norm):
    """The convolutions of the network with ``depth`` layers, a pooling behind each stage."""
    layers, channels = [], 3
    for count, width in zip(_STAGES[depth], (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            layers += [nn.BatchNorm2d(width)] * batch_norm + [nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def _enter(name, depth):
    enumeration = imagenet(f"{name.upper()}_Weights", [f"{name}-{_FILES[name]}"])

    def builder(*, weights=None, progress=True, **kwargs):
        if weights is not None:
            kwargs["init_weights"] = False
        return build(VGG, weights, enumeration, progress, make_layers(depth, name.endswith("_bn")), **kwargs)

    normalised = " with batch normalisation" if name.endswith("_bn") else ""
    builder.__name__ = builder.__qualname__ = name
    builder.__doc__ = f"A `VGG` of {depth} layers{normalised}, trained where ``weights`` are given."
    globals()[name] = register_model(enumeration)(builder)
    globals()[enumeration.__name__] = enumeration
    __all__.extend([name, enumeration.__name__])


for _name in _FILES:
    _enter(_name, int(_name[3:5]))
