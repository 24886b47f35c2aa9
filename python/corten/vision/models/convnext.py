"""ConvNeXt of `corten.models` with torchvision's arguments and weights."""

from ...models.convnext import ConvNeXt
from ._api import publish

__all__ = ["ConvNeXt"]
__all__ += publish(
    globals(),
    {
        "convnext_tiny": ("ConvNeXt_Tiny", "983f1562"),
        "convnext_small": ("ConvNeXt_Small", "0c510722"),
        "convnext_base": ("ConvNeXt_Base", "6075fbad"),
        "convnext_large": ("ConvNeXt_Large", "ea097f82"),
    },
)
