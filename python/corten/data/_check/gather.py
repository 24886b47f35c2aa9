"""Reads a data set of any of the forms that `check` takes into arrays: samples, labels, names of features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import corten
from corten.utils.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, _items

if TYPE_CHECKING:
    import numpy as np

CHUNK = 1024
KINDS = ("images", "table", "text")
# A column of images is an axis of at most this many channels.
CHANNELS_MAX = 4


@dataclass
class Samples:
    """A data set in memory.

    Attributes:
        kind: one of `KINDS`.
        values: images ``(N, C, H, W)`` or a list of them where sizes differ, tables ``(N, D)`` of floating point with
            NaN for what is missing, texts as a list of strings.
        labels: ``(N,)`` numbers or strings, or None.
        names: of a table's columns.
        categories: by column, the values that its codes stand for.
    """

    kind: str
    values: Any
    labels: np.ndarray | None
    names: list[str] = field(default_factory=list)
    categories: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


def gather(dataset: Any, labels: Any = None, kind: str | None = None, names: Any = None) -> Samples:
    """Reads the data set.

    Raises:
        TypeError: a form that is not known, or labels given twice.
        ValueError: no samples, other numbers of labels or names, or a kind that is not known.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"check: kind should be one of {', '.join(KINDS)}, but got {kind!r}")
    values, own = _parts(dataset)
    if own is not None and labels is not None:
        raise TypeError("check: the data set has labels of its own; leave the argument labels out")
    labels = _label_array(own if labels is None else labels)
    samples = _samples(values, kind, names)
    if not len(samples):
        raise ValueError("check: the data set has no samples")
    if labels is not None and len(labels) != len(samples):
        raise ValueError(f"check: {len(samples)} samples and {len(labels)} labels do not belong together")
    samples.labels = labels
    return samples


def _array(value: Any) -> Any:
    """Tensors as arrays, bfloat16 and float16 as float32; everything else as it is."""
    if isinstance(value, corten.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype in (corten.bfloat16, corten.float16) else value).numpy()
    return value


def _parts(dataset: Any) -> tuple[Any, Any]:
    """The samples and the labels, which may be None, of a data set in any form."""
    if isinstance(dataset, (corten.Tensor, str)) or hasattr(dataset, "dtype"):
        return _array(dataset), None
    if isinstance(dataset, tuple):
        if len(dataset) == 2 and all(hasattr(part, "__len__") for part in dataset):
            return _array(dataset[0]), dataset[1]
        raise TypeError("check: a tuple should be (samples, labels); give a list for samples alone")
    if isinstance(dataset, TensorDataset):
        return _of_tensors(dataset.tensors)
    if isinstance(dataset, Subset) and isinstance(dataset.dataset, TensorDataset):
        chosen = corten.as_tensor(list(dataset.indices), dtype=corten.int64)
        return _of_tensors([tensor[chosen.to(tensor.device)] for tensor in dataset.dataset.tensors])
    if isinstance(dataset, dict) or hasattr(dataset, "columns"):
        return dataset, None
    if isinstance(dataset, (Dataset, IterableDataset)) or callable(getattr(dataset, "__getitem__", None)):
        return _of_samples(dataset)
    raise TypeError(
        "check: a data set should be a tensor, an array, a table of columns, a list of strings, a pair (samples, "
        f"labels) or a Dataset, but got {type(dataset).__name__}"
    )


def _of_tensors(tensors: Any) -> tuple[Any, Any]:
    if len(tensors) > 2:
        raise TypeError(f"check: a TensorDataset should have samples and labels, but it has {len(tensors)} tensors")
    return _array(tensors[0]), tensors[1] if len(tensors) == 2 else None


def _of_samples(dataset: Any) -> tuple[Any, Any]:
    """Reads samples in chunks; each is a value, or a pair of a value and a label."""
    if _has_raw_images(dataset):
        return _array(dataset.data), _named(dataset.targets, getattr(dataset, "classes", None))
    values: list[Any] = []
    labels: list[Any] = []
    for chunk in _chunks(dataset):
        paired = isinstance(chunk[0], (tuple, list)) and len(chunk[0]) == 2
        if paired:
            labels.extend(label for _, label in chunk)
        values.extend(_array(sample[0] if paired else sample) for sample in chunk)
    if labels and len(labels) != len(values):
        raise TypeError("check: some samples of the data set have labels and some have none")
    return values, _named(labels, getattr(dataset, "classes", None)) if labels else None


def _named(labels: Any, names: Any) -> Any:
    """The names of class numbers, where the data set knows them."""
    import numpy as np

    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        return labels
    numbers = _label_array(labels)
    if numbers is None or numbers.dtype.kind not in "iu" or not len(numbers):
        return labels
    inside = 0 <= numbers.min() and numbers.max() < len(names)
    return np.asarray(names)[numbers] if inside else labels


def _has_raw_images(dataset: Any) -> bool:
    """Whether the images of a `vision.datasets` class can be taken as they lie in memory."""
    if getattr(dataset, "transforms", None) is not None or not hasattr(dataset, "targets"):
        return False
    return type(dataset).__module__.startswith("corten.vision.datasets") and hasattr(
        getattr(dataset, "data", None), "dtype"
    )


def _chunks(dataset: Any) -> Any:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        samples = list(dataset)
        yield from (samples[start : start + CHUNK] for start in range(0, len(samples), CHUNK))
        return
    if isinstance(dataset, list):
        yield from (dataset[start : start + CHUNK] for start in range(0, len(dataset), CHUNK))
        return
    for start in range(0, len(dataset), CHUNK):
        yield _items(dataset, list(range(start, min(start + CHUNK, len(dataset)))))


def _label_array(labels: Any) -> np.ndarray | None:
    import numpy as np

    if labels is None:
        return None
    if isinstance(labels, (list, tuple)):
        labels = [label.item() if isinstance(label, corten.Tensor) else label for label in labels]
    array = np.asarray(_array(labels))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "fiub":
        array = array.argmax(1)  # probabilities, or one-hot
    if array.ndim != 1:
        raise ValueError(f"check: labels should be a vector with one for each sample, but got shape {array.shape}")
    return array.astype(str) if array.dtype.kind in "OU" else array


def _samples(values: Any, kind: str | None, names: Any) -> Samples:
    import numpy as np

    if isinstance(values, dict) or hasattr(values, "columns"):
        return _table_of_columns(values)
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return Samples("text", values, None)
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return _table_of_columns({name: [row.get(name) for row in values] for name in values[0]})
    if isinstance(values, list) and values and all(np.ndim(value) >= 2 or hasattr(value, "mode") for value in values):
        images = [_channels_first(np.asarray(image)[None])[0] for image in values]
        same = all(image.shape == images[0].shape for image in images)
        return Samples("images", np.stack(images) if same else images, None)
    try:
        array = np.asarray(values)
    except ValueError:
        raise TypeError("check: samples of tables should have the same number of features") from None
    if array.dtype.kind in "US" or (array.dtype.kind == "O" and array.ndim == 1):
        return Samples("text", [str(text) for text in array.tolist()], None)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"check: samples should be numbers, images or strings, but got {array.dtype}")
    if kind == "images" or (kind is None and array.ndim >= 3):
        if array.ndim not in (3, 4):
            raise ValueError(f"check: images should be of 3 or 4 dimensions, but got shape {array.shape}")
        return Samples("images", _channels_first(array), None)
    if not array.size:
        raise ValueError(f"check: the data set has no samples, or no features: shape {array.shape}")
    table = array.reshape(len(array), -1)
    return Samples("table", _floating(table), None, _column_names(table.shape[1], names))


def _channels_first(images: np.ndarray) -> np.ndarray:
    """``(N, C, H, W)`` of ``(N, H, W)``, ``(N, C, H, W)`` or ``(N, H, W, C)``."""
    import numpy as np

    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] > CHANNELS_MAX and images.shape[3] <= CHANNELS_MAX:
        return np.moveaxis(images, 3, 1)
    return images


def _floating(table: np.ndarray) -> np.ndarray:
    import numpy as np

    return table if table.dtype.kind == "f" else table.astype(np.float32 if table.dtype.itemsize <= 2 else np.float64)


def _column_names(count: int, names: Any) -> list[str]:
    if names is None:
        return [f"feature {number}" for number in range(count)]
    names = [str(name) for name in names]
    if len(names) != count:
        raise ValueError(f"check: {count} features and {len(names)} names do not belong together")
    return names


def _table_of_columns(columns: Any) -> Samples:
    """A table of a mapping from names to columns, or of an object with `.columns` such as pandas' frames."""
    import numpy as np

    names = [str(name) for name in (columns if isinstance(columns, dict) else columns.columns)]
    if not names:
        raise ValueError("check: the table has no columns")
    keys = list(columns if isinstance(columns, dict) else columns.columns)
    arrays, categories = [], {}
    for key, name in zip(keys, names):
        column = columns[key]
        array = np.asarray(_array(column.to_numpy() if hasattr(column, "to_numpy") else column))
        if array.ndim != 1:
            raise ValueError(f"check: column {name!r} should be a vector, but got shape {array.shape}")
        if array.dtype.kind in "fiub":
            arrays.append(array.astype(np.float64))
        elif array.dtype.kind in "Mm":
            number = array.astype(np.int64).astype(np.float64)
            arrays.append(np.where(np.isnat(array), np.nan, number))
        else:
            codes, categories[name] = _coded(array)
            arrays.append(codes)
    if len({len(array) for array in arrays}) != 1:
        raise ValueError(f"check: columns of different lengths {sorted({len(array) for array in arrays})}")
    return Samples("table", np.stack(arrays, 1), None, names, categories)


def _coded(column: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Codes of a column of objects, NaN for None, NaN and NaT; numbers with gaps stay numbers."""
    import numpy as np

    missing = np.fromiter((value is None or value != value for value in column.tolist()), bool, len(column))
    present = column[~missing]
    codes = np.full(len(column), np.nan)
    try:
        codes[~missing] = present.astype(np.float64)
        return codes, []
    except (TypeError, ValueError):
        distinct, codes[~missing] = np.unique(present.astype(str), return_inverse=True)
        return codes, distinct.tolist()


def same_columns(one: Samples, other: Samples) -> Samples:
    """The other table with the columns of the first in their order, and categories coded as there.

    Raises:
        ValueError: another kind of samples, or columns that are missing.
    """
    import numpy as np

    if one.kind != other.kind:
        raise ValueError(f"check: {one.kind} and {other.kind} cannot be compared")
    if one.kind != "table":
        return other
    lacking = [name for name in one.names if name not in other.names]
    if lacking:
        raise ValueError(f"check: the other set has no column {', '.join(lacking[:5])}")
    order = [other.names.index(name) for name in one.names]
    values = other.values[:, order].astype(np.result_type(one.values, other.values), copy=True)
    for place, name in enumerate(one.names):
        known, found = one.categories.get(name), other.categories.get(name)
        if known or found:
            values[:, place] = _recoded(values[:, place], known or [], found or [])
    return Samples("table", values, other.labels, one.names, one.categories)


def _recoded(codes: np.ndarray, known: list[str], found: list[str]) -> np.ndarray:
    """Codes of ``found`` as those of ``known``; what is not known there counts up behind it."""
    import numpy as np

    number = {value: code for code, value in enumerate(known)}
    for value in found:
        number.setdefault(value, len(number))
    table = np.array([number[value] for value in found] + [np.nan])
    return table[np.where(np.isnan(codes), len(found), codes).astype(np.int64)]
