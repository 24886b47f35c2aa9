"""MNIST and the data sets that took its format: Fashion-MNIST, Kuzushiji-MNIST, EMNIST and QMNIST."""

from __future__ import annotations

import os
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import corten

from .._pillow import pillow
from ._idx import read_idx
from .vision import REFUSAL, VisionDataset

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EMNIST", "KMNIST", "MNIST", "QMNIST", "FashionMNIST"]


class MNIST(VisionDataset):
    """The MNIST database: 60,000 training and 10,000 test images of handwritten digits (LeCun, Cortes, Burges 1998).

    Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each with or without `.gz`, from `root` or from `root/MNIST/raw`.

    Args:
        root: the folder of the files.
        train: the training images if true, the test images otherwise.
        transform: called with each `PIL.Image.Image`, its result is the sample.
        target_transform: called with each label.
        download: accepted for torchvision's sake; files are never fetched.

    Attributes:
        data: uint8 tensor `(N, 28, 28)`.
        targets: int64 tensor `(N,)`, each an index into `classes`.

    Raises:
        RuntimeError: the files are not there; the message says how to get them.
        ValueError: a file is damaged, or images and labels do not belong together.
    """

    classes: ClassVar[list[str]] = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]
    #: Where the operating system's packages put the files.
    system_folders: ClassVar[tuple[str, ...]] = ()
    _how_to_get: ClassVar[str] = "put its four IDX files there"

    data: corten.Tensor
    targets: corten.Tensor
    root: str

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        images, labels = self._find_files(download)
        self.data, self.targets = self._read(images, labels)

    @property
    def raw_folder(self) -> str:
        """Where torchvision puts the files."""
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class by its name."""
        return {name: index for index, name in enumerate(self.classes)}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The sample at `index`: the image, an 8-bit `PIL.Image.Image` unless `transform` changes it, and its label."""
        return self._transformed(pillow().fromarray(self.data[index].numpy()), self._target(index))

    def _target(self, index: int) -> Any:
        return int(self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        """The line of the split."""
        return f"Split: {'Train' if self.train else 'Test'}"

    def _file_names(self) -> tuple[str, str]:
        """The image and the label file, without what tells their compression."""
        prefix = "train" if self.train else "t10k"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    def _find_files(self, download: bool) -> tuple[Path, Path]:
        """The image and the label file, from the first folder that has either."""
        names = self._file_names()
        folders = [Path(folder) for folder in (self.root, self.raw_folder, *self.system_folders)]
        for folder in folders:
            found = [_raw_or_compressed(folder / name) for name in names]
            if found[0] and found[1]:
                return found[0], found[1]
            if found[0] or found[1]:
                missing = names[1] if found[0] else names[0]
                raise RuntimeError(f"{type(self).__name__}: {folder} has no {missing}, with or without .gz")
        searched = ", ".join(str(folder) for folder in folders)
        refusal = f" {REFUSAL}" if download else ""
        raise RuntimeError(
            f"{type(self).__name__} was not found in {searched}: no {names[0]}, with or without .gz.{refusal} "
            f"To get it, {self._how_to_get}; the examples take the folder as --data."
        )

    def _read(self, images: Path, labels: Path) -> tuple[corten.Tensor, corten.Tensor]:
        data, targets = self._read_images(images), read_idx(labels)
        if targets.dtype != corten.uint8 or targets.ndim != 1:
            raise ValueError(
                f"{labels}: labels are uint8 of 1 dimension, not {targets.dtype} of shape {tuple(targets.shape)}"
            )
        _check_counts(images, data, labels, targets)
        if len(targets) and int(targets.max()) >= len(self.classes):
            raise ValueError(f"{labels}: label {int(targets.max())} is out of range for {len(self.classes)} classes")
        return data, targets.to(corten.int64)

    def _read_images(self, images: Path) -> corten.Tensor:
        data = read_idx(images)
        if data.dtype != corten.uint8 or data.ndim != 3:
            raise ValueError(
                f"{images}: images are uint8 of 3 dimensions, not {data.dtype} of shape {tuple(data.shape)}"
            )
        return data


class FashionMNIST(MNIST):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes in ten classes (Xiao, Rasul, Vollgraf 2017).

    The files have MNIST's names; they are looked for in `root`, in `root/FashionMNIST/raw` and where Debian's package
    `dataset-fashion-mnist` puts them. Arguments, attributes and errors are those of `MNIST`.
    """

    classes: ClassVar[list[str]] = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    system_folders: ClassVar[tuple[str, ...]] = ("/usr/share/datasets/fashion-mnist",)
    _how_to_get: ClassVar[str] = (
        "install Debian's package dataset-fashion-mnist (apt install dataset-fashion-mnist) "
        "or put its four IDX files there"
    )


class KMNIST(MNIST):
    """Kuzushiji-MNIST: 60,000 training and 10,000 test images of cursive Japanese characters (Clanuwat et al. 2018).

    The files have MNIST's names; they are looked for in `root` and in `root/KMNIST/raw`. Arguments, attributes and
    errors are those of `MNIST`.
    """

    classes: ClassVar[list[str]] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


_CAPITALS = list(string.digits + string.ascii_uppercase)
_MERGED = [*_CAPITALS, *"abdefghnqrt"]


class EMNIST(MNIST):
    """EMNIST: handwritten digits and letters (Cohen, Afshar, Tapson, van Schaik 2017).

    Reads `emnist-{split}-{train,test}-{images-idx3,labels-idx1}-ubyte`, each with or without `.gz`, from `root` or
    from `root/EMNIST/raw`. The images lie as in the files, with rows and columns exchanged.

    Args:
        root: the folder of the files.
        split: one of `splits`.
        kwargs: the arguments of `MNIST` that follow `root`.

    Raises:
        ValueError: an unknown split, or what `MNIST` raises.
    """

    splits = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    classes_split_dict: ClassVar[dict[str, list[str]]] = {
        "byclass": [*_CAPITALS, *string.ascii_lowercase],
        "bymerge": _MERGED,
        "balanced": _MERGED,
        "letters": ["N/A", *string.ascii_lowercase],
        "digits": list(string.digits),
        "mnist": list(string.digits),
    }
    _how_to_get: ClassVar[str] = "put the IDX files of its split there"

    def __init__(self, root: str | os.PathLike[str], split: str, **kwargs: Any) -> None:
        if split not in self.splits:
            known = "', '".join(self.splits)
            raise ValueError(f"Unknown value '{split}' for argument split. Valid values are {{'{known}'}}.")
        self.split = split
        self.classes = self.classes_split_dict[split]  # type: ignore[misc]  # each split has its own
        super().__init__(root, **kwargs)

    def _file_names(self) -> tuple[str, str]:
        prefix = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


class QMNIST(MNIST):
    """QMNIST: MNIST's digits traced back to NIST's, with the test images that MNIST left out (Yadav, Bottou 2019).

    Reads `qmnist-{train,test}-images-idx3-ubyte` and `qmnist-{train,test}-labels-idx2-int`, or
    `xnist-images-idx3-ubyte` and `xnist-labels-idx2-int`, each plain or with `.gz` or `.xz`, from `root` or from
    `root/QMNIST/raw`.

    Args:
        root: the folder of the files.
        what: `"train"`, `"test"`, `"test10k"` (those of MNIST), `"test50k"` (the others) or `"nist"`; None follows
            `train`.
        compat: labels are classes if true, and otherwise the eight numbers that NIST kept.
        train: as for `MNIST`.
        kwargs: the other arguments of `MNIST`.

    Attributes:
        data: uint8 tensor `(N, 28, 28)`.
        targets: int64 tensor `(N, 8)`; the first column is the class.
    """

    subsets: ClassVar[dict[str, str]] = {
        "train": "train",
        "test": "test",
        "test10k": "test",
        "test50k": "test",
        "nist": "nist",
    }
    _how_to_get: ClassVar[str] = "put its IDX files there"

    def __init__(
        self,
        root: str | os.PathLike[str],
        what: str | None = None,
        compat: bool = True,
        train: bool = True,
        **kwargs: Any,
    ) -> None:
        what = ("train" if train else "test") if what is None else what
        if what not in self.subsets:
            known = "', '".join(self.subsets)
            raise ValueError(f"Unknown value '{what}' for argument what. Valid values are {{'{known}'}}.")
        self.what = what
        self.compat = compat
        super().__init__(root, train, **kwargs)

    def _file_names(self) -> tuple[str, str]:
        subset = self.subsets[self.what]
        prefix = "xnist" if subset == "nist" else f"qmnist-{subset}"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx2-int"

    def _read(self, images: Path, labels: Path) -> tuple[corten.Tensor, corten.Tensor]:
        data, targets = self._read_images(images), read_idx(labels)
        if targets.dtype != corten.int32 or targets.ndim != 2 or targets.shape[1] != 8:
            raise ValueError(
                f"{labels}: labels are int32 of shape (N, 8), not {targets.dtype} of shape {tuple(targets.shape)}"
            )
        _check_counts(images, data, labels, targets)
        kept = {"test10k": slice(0, 10000), "test50k": slice(10000, None)}.get(self.what, slice(None))
        return data[kept].clone(), targets[kept].to(corten.int64)

    def _target(self, index: int) -> Any:
        return int(self.targets[index][0]) if self.compat else self.targets[index]

    def extra_repr(self) -> str:
        """The line of the split."""
        return f"Split: {self.what}"


def _check_counts(images: Path, data: corten.Tensor, labels: Path, targets: corten.Tensor) -> None:
    if len(data) != len(targets):
        raise ValueError(f"{images} holds {len(data)} images, {labels} holds {len(targets)} labels")


def _raw_or_compressed(path: Path) -> Path | None:
    for candidate in (path, path.with_name(path.name + ".gz"), path.with_name(path.name + ".xz")):
        if candidate.is_file():
            return candidate
    return None
