"""CIFAR-10 and CIFAR-100 from their Python archives, whose pickles are read without running what they name."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

from ...utils.serialization.names import Names
from ...utils.serialization.unpickler import Source, Unpickler
from .._pillow import pillow
from .vision import REFUSAL, VisionDataset

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

__all__ = ["CIFAR10", "CIFAR100"]

_ROW = 3 * 32 * 32


class _PlainNames(Names):
    """What a batch of images may name: numpy's arrays of numbers, and the text that Python 3 writes bytes as."""

    def __init__(self) -> None:
        super().__init__(None)

    def find(self, path: str) -> Any:
        if not path.startswith("numpy.") and path != "_codecs.encode":
            raise UnpicklingError(f"it names {path}, which no batch of images needs")
        return super().find(path)

    def build(self, instance: Any, state: Any) -> None:
        # Python 2 kept bytes as text, which the machine reads without loss.
        if type(state) is tuple and len(state) == 5 and isinstance(state[4], str):
            state = (*state[:4], state[4].encode("utf-8", "surrogateescape"))
        super().build(instance, state)

    def _is_user_value(self, value: Any) -> bool:
        return False


def _read_pickle(content: bytes, where: str) -> dict[str, Any]:
    """The dictionary in a pickle, with text for its keys."""
    try:
        found = Unpickler(Source(io.BytesIO(content)), _PlainNames()).load()
    except (UnpicklingError, EOFError, RuntimeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{where}: not a batch of CIFAR, or damaged ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where}: not a batch of CIFAR: a {type(found).__name__} instead of a dictionary")
    return {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in found.items()}


class CIFAR10(VisionDataset):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 × 32 pixels in ten classes (Krizhevsky 2009).

    Reads the batches from `root/cifar-10-batches-py`, or from `root/cifar-10-python.tar.gz` without unpacking it.

    Args:
        root: the folder that has the folder or the archive.
        train: the training images if true, the test images otherwise.
        transform: called with each `PIL.Image.Image`, its result is the sample.
        target_transform: called with each label.
        download: accepted for torchvision's sake; files are never fetched.

    Attributes:
        data: uint8 array `(N, 32, 32, 3)`.
        targets: list of N class numbers.
        classes: the names of the classes.

    Raises:
        RuntimeError: the files are not there; the message says where they must lie.
        ValueError: a file is damaged, or holds something else; what it names is not run.
    """

    base_folder: ClassVar[str] = "cifar-10-batches-py"
    filename: ClassVar[str] = "cifar-10-python.tar.gz"
    train_list: ClassVar[list[str]] = [f"data_batch_{number}" for number in range(1, 6)]
    test_list: ClassVar[list[str]] = ["test_batch"]
    meta: ClassVar[dict[str, str]] = {"filename": "batches.meta", "key": "label_names"}
    _labels: ClassVar[str] = "labels"

    data: np.ndarray
    targets: list[int]
    classes: list[str]
    root: str

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        import numpy as np

        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        names = self.train_list if train else self.test_list
        files = self._contents([*names, self.meta["filename"]], download)
        self.classes = self._class_names(files[-1])
        batches = [self._batch(*file) for file in files[:-1]]
        self.data = np.ascontiguousarray(np.concatenate([data for data, _ in batches]))
        self.targets = [label for _, labels in batches for label in labels]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class by its name."""
        return {name: index for index, name in enumerate(self.classes)}

    def _contents(self, names: list[str], download: bool) -> list[tuple[str, bytes]]:
        """The place and the bytes of each file."""
        folder, archive = Path(self.root) / self.base_folder, Path(self.root) / self.filename
        if not folder.is_dir() and archive.is_file():
            return self._from_archive(archive, names)
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            refusal = f" {REFUSAL}" if download else ""
            raise RuntimeError(
                f"{type(self).__name__} was not found: {folder} has no {', '.join(missing)}.{refusal} To get it, put "
                f"its files there, or the archive {self.filename} into {self.root}."
            )
        return [(str(folder / name), (folder / name).read_bytes()) for name in names]

    def _from_archive(self, archive: Path, names: list[str]) -> list[tuple[str, bytes]]:
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    name = member.name.removeprefix("./").removeprefix(f"{self.base_folder}/")
                    stream = tar.extractfile(member) if name in names and member.isfile() else None
                    if stream is not None:
                        found[name] = stream.read()
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(f"{archive}: the archive is damaged or cut short ({error})") from error
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"{archive}: the archive has no {', '.join(missing)}")
        return [(f"{archive}: {name}", found[name]) for name in names]

    def _class_names(self, file: tuple[str, bytes]) -> list[str]:
        where, content = file
        names = _read_pickle(content, where).get(self.meta["key"])
        if not isinstance(names, list) or not all(isinstance(name, (str, bytes)) for name in names):
            raise ValueError(f"{where}: has no list of names {self.meta['key']!r}")
        return [name.decode("latin1") if isinstance(name, bytes) else name for name in names]

    def _batch(self, where: str, content: bytes) -> tuple[np.ndarray, list[int]]:
        """Images ``(N, 32, 32, 3)`` and their labels."""
        import numpy as np

        batch = _read_pickle(content, where)
        data, labels = batch.get("data"), batch.get(self._labels)
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _ROW:
            shown = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
            raise ValueError(f"{where}: 'data' is an array of uint8 (N, {_ROW}), not {shown}")
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            raise ValueError(f"{where}: {self._labels!r} is not a list of numbers")
        if len(labels) != len(data):
            raise ValueError(f"{where}: holds {len(data)} images and {len(labels)} labels")
        wrong = [label for label in labels if not 0 <= label < len(self.classes)]
        if wrong:
            raise ValueError(f"{where}: label {wrong[0]} is out of range for {len(self.classes)} classes")
        return data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The sample at `index`: the image, an RGB `PIL.Image.Image` unless `transform` changes it, and its label."""
        return self._transformed(pillow().fromarray(self.data[index]), self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        """The line of the split."""
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """CIFAR-100: 50,000 training and 10,000 test images of 32 × 32 pixels in a hundred classes (Krizhevsky 2009).

    Reads `train`, `test` and `meta` from `root/cifar-100-python`, or from `root/cifar-100-python.tar.gz`. Arguments,
    attributes and errors are those of `CIFAR10`.
    """

    base_folder: ClassVar[str] = "cifar-100-python"
    filename: ClassVar[str] = "cifar-100-python.tar.gz"
    train_list: ClassVar[list[str]] = ["train"]
    test_list: ClassVar[list[str]] = ["test"]
    meta: ClassVar[dict[str, str]] = {"filename": "meta", "key": "fine_label_names"}
    _labels: ClassVar[str] = "fine_labels"
