"""Image data sets with torchvision's names, read from local files; nothing is ever downloaded."""

from ._idx import read_idx
from .cifar import CIFAR10, CIFAR100
from .fakedata import FakeData
from .folder import DatasetFolder, ImageFolder
from .mnist import EMNIST, KMNIST, MNIST, QMNIST, FashionMNIST
from .vision import VisionDataset

__all__ = [
    "ImageFolder",
    "DatasetFolder",
    "FakeData",
    "CIFAR10",
    "CIFAR100",
    "EMNIST",
    "FashionMNIST",
    "QMNIST",
    "MNIST",
    "KMNIST",
    "VisionDataset",
    "read_idx",
]
