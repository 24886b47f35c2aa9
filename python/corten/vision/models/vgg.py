"""VGG of `corten.models` with torchvision's arguments and weights."""

from ...models.vgg import VGG, make_layers  # noqa: F401
from ._api import publish

__all__ = ["VGG"]
__all__ += publish(
    globals(),
    {
        "vgg11": ("VGG11", "8a719046"),
        "vgg11_bn": ("VGG11_BN", "6002323d"),
        "vgg13": ("VGG13", "19584684"),
        "vgg13_bn": ("VGG13_BN", "abd245e5"),
        "vgg16": ("VGG16", "397923af"),
        "vgg16_bn": ("VGG16_BN", "6c64b313"),
        "vgg19": ("VGG19", "dcbb9e9d"),
        "vgg19_bn": ("VGG19_BN", "c79401a0"),
    },
)
