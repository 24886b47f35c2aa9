"""DenseNet of `corten.models` with torchvision's arguments and weights."""

from ...models.densenet import DenseNet
from ._api import publish

__all__ = ["DenseNet"]
__all__ += publish(
    globals(),
    {
        "densenet121": ("DenseNet121", "a639ec97"),
        "densenet161": ("DenseNet161", "8d451a50"),
        "densenet169": ("DenseNet169", "b2777c0a"),
        "densenet201": ("DenseNet201", "c1103571"),
    },
)
