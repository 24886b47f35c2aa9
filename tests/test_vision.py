"""Data sets of images: IDX files of every kind, damaged ones, and MNIST's and Fashion-MNIST's interface."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import corten
import numpy as np
import pytest
from corten.vision.datasets import MNIST, FashionMNIST, read_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(values: np.ndarray) -> bytes:
    """The file that holds `values`, written from the format's description."""
    header = bytes([0, 0, CODES[values.dtype.str[1:]], values.ndim])
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return header + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write_split(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray, compress: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        content = idx_bytes(values)
        path = folder / f"{prefix}-{name}-ubyte"
        if compress:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
        else:
            path.write_bytes(content)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.randint(0, 256, (6, 28, 28)).astype(np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return np.array([3, 1, 4, 1, 5, 9], dtype=np.uint8)


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 4), (1, 1, 1, 1)])
def test_idx_of_every_type_and_shape(tmp_path, kind, shape):
    values = (np.random.standard_normal(shape) * 50).astype(kind)
    path = tmp_path / "values"
    path.write_bytes(idx_bytes(values))
    read = read_idx(path)
    assert tuple(read.shape) == shape
    assert np.array_equal(read.numpy(), values)
    assert read.numpy().dtype == values.dtype


def test_idx_compressed_by_gzip(tmp_path, images):
    path = tmp_path / "values.gz"
    path.write_bytes(gzip.compress(idx_bytes(images)))
    assert np.array_equal(read_idx(path).numpy(), images)


def test_idx_tensor_can_be_written(tmp_path, images):
    path = tmp_path / "values"
    path.write_bytes(idx_bytes(images))
    read = read_idx(path)
    read += 1
    assert np.array_equal(read.numpy(), images + 1)


@pytest.mark.parametrize("compress", [False, True])
def test_idx_cut_short_anywhere(tmp_path, compress):
    content = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    whole = gzip.compress(content) if compress else content
    path = tmp_path / "values"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="values: "):
            read_idx(path)


def test_idx_with_more_than_it_announces(tmp_path):
    path = tmp_path / "values"
    path.write_bytes(idx_bytes(np.zeros(4, np.uint8)) + b"\0")
    with pytest.raises(ValueError, match=r"announces 4 bytes of shape \(4,\), the file holds more"):
        read_idx(path)


def test_idx_that_announces_more_than_memory_holds(tmp_path):
    path = tmp_path / "values"
    header = bytes([0, 0, 0x0E, 4]) + struct.pack(">4I", *[0xFFFFFFFF] * 4)
    for content in (header, gzip.compress(header)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="the file cannot hold them"):
            read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it begins with nothing"),
        (b"\x89PNG\r\n\x1a\n", "not an IDX file, it begins with 89 50 4e 47"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\x00", "of 0 dimensions"),
        (b"\0\0\x08\xff" + b"\0" * 1020, "of 255 dimensions"),
        (b"\0\0\x08\x03\0\0", "cut short inside the header"),
    ],
)
def test_what_is_not_idx(tmp_path, content, message):
    path = tmp_path / "values"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_missing_idx_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "values")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), compress=st.booleans())
def test_damaged_idx_files_are_read_or_refused(tmp_path, data, compress):
    content = bytearray(idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    whole = bytearray(gzip.compress(bytes(content))) if compress else content
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "values"
    path.write_bytes(whole)
    try:
        read = read_idx(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert read.numel() <= len(content)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("below", [".", "MNIST/raw"])
def test_mnist_reads_both_splits(tmp_path, images, labels, compress, below):
    write_split(tmp_path / below, "train", images, labels, compress)
    write_split(tmp_path / below, "t10k", images[:2], labels[:2], compress)
    train, test = MNIST(tmp_path), MNIST(str(tmp_path), train=False)
    assert (len(train), len(test)) == (6, 2)
    assert train.data.dtype == corten.uint8 and tuple(train.data.shape) == (6, 28, 28)
    assert train.targets.dtype == corten.int64 and train.targets.tolist() == labels.tolist()
    assert np.array_equal(test.data.numpy(), images[:2])


def test_samples_are_images_and_labels(tmp_path, images, labels):
    write_split(tmp_path, "train", images, labels)
    image, label = MNIST(tmp_path)[2]
    assert image.mode == "L" and image.size == (28, 28)
    assert np.array_equal(np.asarray(image), images[2])
    assert label == 4 and isinstance(label, int)


def test_transforms_are_applied_to_samples_and_labels(tmp_path, images, labels):
    write_split(tmp_path, "train", images, labels)
    dataset = MNIST(
        tmp_path,
        transform=lambda image: corten.from_numpy(np.array(image)).float() / 255,
        target_transform=lambda label: label + 100,
    )
    sample, label = dataset[5]
    assert sample.dtype == corten.float32 and label == 109
    batch, targets = next(iter(corten.utils.data.DataLoader(dataset, batch_size=4)))
    assert tuple(batch.shape) == (4, 28, 28) and targets.tolist() == [103, 101, 104, 101]


def test_indices_out_of_range_raise(tmp_path, images, labels):
    write_split(tmp_path, "train", images, labels)
    with pytest.raises(IndexError):
        MNIST(tmp_path)[6]


def test_fashion_mnist_has_its_own_classes_and_the_packages_folder(tmp_path, images, labels, monkeypatch):
    write_split(tmp_path / "package", "train", images, labels, compress=True)
    assert FashionMNIST.system_folders == ("/usr/share/datasets/fashion-mnist",)
    monkeypatch.setattr(FashionMNIST, "system_folders", (str(tmp_path / "package"),))
    dataset = FashionMNIST(tmp_path / "nothing", download=True)
    assert len(dataset) == 6
    assert dataset.classes[9] == "Ankle boot" and dataset.class_to_idx["Bag"] == 8
    assert "Dataset FashionMNIST" in repr(dataset) and "Number of datapoints: 6" in repr(dataset)


def test_own_folder_comes_before_the_packages(tmp_path, images, labels, monkeypatch):
    write_split(tmp_path / "package", "train", images, labels)
    write_split(tmp_path / "own", "train", images[:3], labels[:3])
    monkeypatch.setattr(FashionMNIST, "system_folders", (str(tmp_path / "package"),))
    assert len(FashionMNIST(tmp_path / "own")) == 3


@pytest.mark.parametrize("download", [False, True])
def test_missing_data_set_says_how_to_get_it(tmp_path, monkeypatch, download):
    monkeypatch.setattr(FashionMNIST, "system_folders", ())
    with pytest.raises(RuntimeError) as caught:
        FashionMNIST(tmp_path, download=download)
    message = str(caught.value)
    assert str(tmp_path) in message and "dataset-fashion-mnist" in message and "--data" in message
    assert ("downloads nothing" in message) == download


def test_images_without_labels(tmp_path, images, labels):
    write_split(tmp_path, "train", images, labels)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(RuntimeError, match="has no train-labels-idx1-ubyte"):
        MNIST(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 4, 4), np.uint8), np.zeros(2, np.uint8), "holds 3 images, .* holds 2 labels"),
        (np.zeros((3, 16), np.uint8), np.zeros(3, np.uint8), "images are uint8 of 3 dimensions"),
        (np.zeros((3, 4, 4), np.int16), np.zeros(3, np.uint8), "images are uint8 of 3 dimensions"),
        (np.zeros((3, 4, 4), np.uint8), np.zeros((3, 1), np.uint8), "labels are uint8 of 1 dimension"),
        (np.zeros((3, 4, 4), np.uint8), np.array([0, 10, 2], np.uint8), "label 10 is out of range for 10 classes"),
    ],
)
def test_images_and_labels_that_do_not_belong_together(tmp_path, images, labels, message):
    write_split(tmp_path, "train", images, labels)
    with pytest.raises(ValueError, match=message):
        MNIST(tmp_path)
