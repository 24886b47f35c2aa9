"""Comparisons and example tensors for tests, with the names of ``torch.testing``."""

from ._comparison import assert_allclose, assert_close
from ._creation import make_tensor
from ._file_check import FileCheck

__all__ = ["FileCheck", "assert_allclose", "assert_close", "make_tensor"]


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
