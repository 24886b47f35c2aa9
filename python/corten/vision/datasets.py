"""MNIST and Fashion-MNIST from IDX files, with torchvision's signatures; nothing is ever downloaded."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import corten

from ..utils.data import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

__all__ = ["MNIST", "FashionMNIST", "read_idx"]

# Third byte of an IDX file: element type as numpy spells it, most significant byte first. Source: the format's
# description on the page of the MNIST database (LeCun, Cortes, Burges).
_IDX_ELEMENTS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_DIMS_MAX = 8


def read_idx(path: str | os.PathLike[str]) -> corten.Tensor:
    """Reads one IDX file, raw or compressed by gzip, into a tensor of the type and shape that its header names.

    The header is checked before memory is taken, and the file must hold exactly the elements that it announces.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not IDX, is cut short, or holds more than it announces.
    """
    path = Path(path)
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not compressed:
            return _parse_idx(raw, path, available=path.stat().st_size)
        try:
            with gzip.open(raw) as stream:
                # Deflate shrinks by a factor of at most 1032, which bounds what a header may announce.
                return _parse_idx(stream, path, available=1032 * path.stat().st_size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: the gzip stream is damaged or cut short ({error})") from error


def _parse_idx(stream: BinaryIO | gzip.GzipFile, path: Path, available: int) -> corten.Tensor:
    import numpy as np

    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_ELEMENTS:
        raise ValueError(f"{path}: not an IDX file, it begins with {magic.hex(' ') or 'nothing'}")
    element, ndim = np.dtype(_IDX_ELEMENTS[magic[2]]), magic[3]
    if not 1 <= ndim <= _IDX_DIMS_MAX:
        raise ValueError(f"{path}: an IDX file of {ndim} dimensions, 1 to {_IDX_DIMS_MAX} are read")
    header = stream.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise ValueError(f"{path}: cut short inside the header")
    shape = struct.unpack(f">{ndim}I", header)
    expected = element.itemsize
    for size in shape:
        expected *= size
    if expected > available:
        raise ValueError(f"{path}: the header announces {expected:,} bytes of shape {shape}, the file cannot hold them")
    content = stream.read(expected + 1)
    if len(content) != expected:
        found = "more" if len(content) > expected else f"{len(content):,}"
        raise ValueError(f"{path}: the header announces {expected:,} bytes of shape {shape}, the file holds {found}")
    values = np.frombuffer(content, element).reshape(shape)
    return corten.from_numpy(values.astype(element.newbyteorder("=")))


class MNIST(Dataset):
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

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root = os.fspath(Path(root).expanduser())
        self.train = train
        self.transform = transform
        self.target_transform = target_transform
        images, labels = self._find_files(download)
        self.data, self.targets = self._read(images, labels)

    @property
    def raw_folder(self) -> str:
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes)}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The sample at `index`: the image, an 8-bit `PIL.Image.Image` unless `transform` changes it, and its label."""
        sample: Any = _to_image(self.data[index])
        target: Any = int(self.targets[index])
        if self.transform is not None:
            sample = self.transform(sample)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return sample, target

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        lines = [
            f"Dataset {type(self).__name__}",
            f"    Number of datapoints: {len(self)}",
            f"    Root location: {self.root}",
            f"    Split: {'Train' if self.train else 'Test'}",
        ]
        if self.transform is not None:
            lines.append(f"    Transform: {self.transform!r}")
        if self.target_transform is not None:
            lines.append(f"    Target transform: {self.target_transform!r}")
        return "\n".join(lines)

    def _find_files(self, download: bool) -> tuple[Path, Path]:
        """The image and the label file, from the first folder that has either."""
        prefix = "train" if self.train else "t10k"
        names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        folders = [Path(folder) for folder in (self.root, self.raw_folder, *self.system_folders)]
        for folder in folders:
            found = [_raw_or_compressed(folder / name) for name in names]
            if found[0] and found[1]:
                return found[0], found[1]
            if found[0] or found[1]:
                missing = names[1] if found[0] else names[0]
                raise RuntimeError(f"{type(self).__name__}: {folder} has no {missing}, with or without .gz")
        searched = ", ".join(str(folder) for folder in folders)
        refusal = " corten downloads nothing, download=True included." if download else ""
        raise RuntimeError(
            f"{type(self).__name__} was not found in {searched}.{refusal} To get it, {self._how_to_get}; "
            "the examples take the folder as --data."
        )

    def _read(self, images: Path, labels: Path) -> tuple[corten.Tensor, corten.Tensor]:
        data, targets = read_idx(images), read_idx(labels)
        if data.dtype != corten.uint8 or data.ndim != 3:
            raise ValueError(
                f"{images}: images are uint8 of 3 dimensions, not {data.dtype} of shape {tuple(data.shape)}"
            )
        if targets.dtype != corten.uint8 or targets.ndim != 1:
            raise ValueError(
                f"{labels}: labels are uint8 of 1 dimension, not {targets.dtype} of shape {tuple(targets.shape)}"
            )
        if len(data) != len(targets):
            raise ValueError(f"{images} holds {len(data)} images, {labels} holds {len(targets)} labels")
        if len(targets) and int(targets.max()) >= len(self.classes):
            raise ValueError(f"{labels}: label {int(targets.max())} is out of range for {len(self.classes)} classes")
        return data, targets.to(corten.int64)


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


def _raw_or_compressed(path: Path) -> Path | None:
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def _to_image(pixels: corten.Tensor) -> Image:
    """An 8-bit grey image of a uint8 tensor `(H, W)`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("samples are PIL images, which need pillow: pip install 'corten[vision]'") from error
    return Image.fromarray(pixels.numpy())
