"""AlexNet of `corten.models` with torchvision's arguments and weights."""

from ...models.alexnet import AlexNet
from ._api import publish

__all__ = ["AlexNet"]
__all__ += publish(
    globals(),
    {
        "alexnet": ("AlexNet", "owt-7be5be79"),
    },
)
