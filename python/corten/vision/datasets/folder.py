"""Data sets whose classes are folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .._pillow import pillow
from .vision import VisionDataset

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "IMG_EXTENSIONS",
    "DatasetFolder",
    "ImageFolder",
    "default_loader",
    "find_classes",
    "has_file_allowed_extension",
    "is_image_file",
    "make_dataset",
    "pil_loader",
]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def has_file_allowed_extension(filename: str, extensions: str | tuple[str, ...]) -> bool:
    """Whether the file's name ends in one of the extensions, in capitals or not."""
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def is_image_file(filename: str) -> bool:
    """Whether the file's name ends as an image's does, by `IMG_EXTENSIONS`."""
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    """The names of the folders in a folder, sorted, and the number of each.

    Raises:
        FileNotFoundError: there is no such folder, or no folder in it.
    """
    with os.scandir(directory) as entries:
        classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
    return classes, {name: index for index, name in enumerate(classes)}


def make_dataset(
    directory: str | os.PathLike[str],
    class_to_idx: dict[str, int] | None = None,
    extensions: str | tuple[str, ...] | None = None,
    is_valid_file: Callable[[str], bool] | None = None,
    allow_empty: bool = False,
) -> list[tuple[str, int]]:
    """The files below each class's folder, with the class's number, sorted by class and path.

    Args:
        directory: the folder of the classes' folders.
        class_to_idx: the classes; None for all folders.
        extensions: how the names of files end.
        is_valid_file: called with a path, in place of `extensions`.
        allow_empty: classes may have no file.

    Raises:
        ValueError: both or neither of `extensions` and `is_valid_file`, or no class.
        FileNotFoundError: a class without a file.
    """
    directory = os.path.expanduser(directory)
    if class_to_idx is None:
        class_to_idx = find_classes(directory)[1]
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
    accepts = is_valid_file or (lambda path: has_file_allowed_extension(path, extensions or ()))
    samples = []
    empty = set(class_to_idx)
    for name in sorted(class_to_idx):
        for folder, _, files in sorted(os.walk(os.path.join(directory, name), followlinks=True)):
            paths = [os.path.join(folder, file) for file in sorted(files)]
            found = [(path, class_to_idx[name]) for path in paths if accepts(path)]
            samples += found
            if found:
                empty.discard(name)
    if empty and not allow_empty:
        message = f"Found no valid file for the classes {', '.join(sorted(empty))}. "
        if extensions is not None:
            shown = extensions if isinstance(extensions, str) else ", ".join(extensions)
            message += f"Supported extensions are: {shown}"
        raise FileNotFoundError(message)
    return samples


def pil_loader(path: str | os.PathLike[str]) -> Any:
    """The image in a file, in RGB.

    Raises:
        OSError: the file is no image that Pillow reads, or is cut short.
    """
    with open(path, "rb") as file:
        return pillow().open(file).convert("RGB")


default_loader = pil_loader


class DatasetFolder(VisionDataset):
    """Files sorted into a folder for each class: ``root/class/.../file``.

    Args:
        root: the folder of the classes' folders.
        loader: called with a path, returns the sample.
        extensions: how the names of files end.
        transform: called with each sample.
        target_transform: called with each class's number.
        is_valid_file: called with a path, in place of `extensions`.
        allow_empty: classes may have no file.

    Attributes:
        classes: the classes' names, sorted.
        class_to_idx: the number of each.
        samples: the pairs of path and class's number.
        targets: the classes' numbers.

    Raises:
        FileNotFoundError: no class, or a class without a file.
        ValueError: both or neither of `extensions` and `is_valid_file`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        assert self.root is not None
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(self.root, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.targets = [target for _, target in self.samples]
        self.loader = loader
        self.extensions = extensions

    @staticmethod
    def make_dataset(
        directory: str | os.PathLike[str],
        class_to_idx: dict[str, int],
        extensions: tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """`make_dataset`, to be overridden.

        Raises:
            ValueError: no `class_to_idx`, besides what `make_dataset` raises.
        """
        if class_to_idx is None:
            raise ValueError("The class_to_idx parameter cannot be None.")
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
        """`find_classes`, to be overridden."""
        return find_classes(directory)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The sample at `index` and its class's number, transformed."""
        path, target = self.samples[index]
        return self._transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Images sorted into a folder for each class: ``root/class/.../image.png``.

    Args:
        root: the folder of the classes' folders.
        transform: called with each image, an RGB `PIL.Image.Image` unless `loader` makes another.
        target_transform: called with each class's number.
        loader: called with a path, returns the image.
        is_valid_file: called with a path; None for files that end as images do.
        allow_empty: classes may have no file.

    Attributes:
        imgs: the pairs of path and class's number; the others are those of `DatasetFolder`.

    Raises:
        FileNotFoundError: no class, or a class without a file.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
