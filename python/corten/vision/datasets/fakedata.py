"""Random images, for trying a program without data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import corten

from .vision import VisionDataset

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FakeData"]


class FakeData(VisionDataset):
    """Images of noise with random labels, the same at each visit.

    Args:
        size: how many images.
        image_size: ``(channels, height, width)``.
        num_classes: labels are below it.
        transform: called with each `PIL.Image.Image`.
        target_transform: called with each label.
        random_offset: added to the index for the seed of a sample.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.size = size
        self.num_classes = num_classes
        self.image_size = image_size
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The sample at `index`: an image and its label.

        Raises:
            IndexError: an index that is not below `size`.
        """
        from ..transforms import functional

        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        generator = corten.Generator(device="cpu").manual_seed(index + self.random_offset)
        image = corten.randn(*self.image_size, generator=generator, device="cpu")
        target = corten.randint(0, self.num_classes, size=(1,), generator=generator, device="cpu")
        return self._transformed(functional.to_pil_image(image), int(target))

    def __len__(self) -> int:
        return self.size
