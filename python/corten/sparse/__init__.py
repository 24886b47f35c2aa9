"""Sparse tensors as lists of places and values (``torch.sparse``): what builds them and multiplies by them."""

from ._coo import SparseTensor, mm, sparse_bsc, sparse_bsr, sparse_coo, sparse_coo_tensor, sparse_csc, sparse_csr, sum
from ._typed import TYPES

__all__ = ["SparseTensor", "mm", "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_coo_tensor", "sparse_csc"]
__all__ += ["sparse_csr", "sum", *TYPES]
globals().update(TYPES)


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name, "there are corten.sparse_coo_tensor, its products and to_dense()")
