"""ResNet, ResNeXt and Wide ResNet of `corten.models` with torchvision's arguments and weights."""

from ...models.resnet import BasicBlock, Bottleneck, ResNet, conv1x1, conv3x3  # noqa: F401
from ._api import publish

__all__ = ["ResNet"]
__all__ += publish(
    globals(),
    {
        "resnet18": ("ResNet18", "f37072fd"),
        "resnet34": ("ResNet34", "b627a593"),
        "resnet50": ("ResNet50", "0676ba61 11ad3fa6"),
        "resnet101": ("ResNet101", "63fe2227 cd907fc2"),
        "resnet152": ("ResNet152", "394f9c45 f82ba261"),
        "resnext50_32x4d": ("ResNeXt50_32X4D", "7cdf4587 1a0047aa"),
        "resnext101_32x8d": ("ResNeXt101_32X8D", "8ba56ff5 110c445d"),
        "resnext101_64x4d": ("ResNeXt101_64X4D", "173b62eb"),
        "wide_resnet50_2": ("Wide_ResNet50_2", "95faca4d 9ba9bcbe"),
        "wide_resnet101_2": ("Wide_ResNet101_2", "32ee1156 d733dc28"),
    },
)
