"""Image data sets with torchvision's names."""

from . import datasets as datasets

__all__ = ["datasets"]
