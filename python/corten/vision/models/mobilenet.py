"""MobileNetV2 and V3 of `corten.models` with torchvision's arguments and weights."""

from ...models.mobilenet import MobileNetV2, MobileNetV3
from ._api import publish

__all__ = ["MobileNetV2", "MobileNetV3"]
__all__ += publish(
    globals(),
    {
        "mobilenet_v2": ("MobileNet_V2", "b0353104 7ebf99e0"),
        "mobilenet_v3_large": ("MobileNet_V3_Large", "8738ca79 5c1a4163"),
        "mobilenet_v3_small": ("MobileNet_V3_Small", "047dcff4"),
    },
)
