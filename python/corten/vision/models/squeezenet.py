"""SqueezeNet of `corten.models` with torchvision's arguments and weights."""

from ...models.squeezenet import Fire, SqueezeNet  # noqa: F401
from ._api import publish

__all__ = ["SqueezeNet"]
__all__ += publish(
    globals(),
    {
        "squeezenet1_0": ("SqueezeNet1_0", "b66bff10"),
        "squeezenet1_1": ("SqueezeNet1_1", "b8a52dc0"),
    },
)
