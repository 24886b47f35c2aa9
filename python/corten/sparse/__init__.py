"""Sparse tensors as lists of places and values (``torch.sparse``): what builds them and multiplies by them."""

from ._coo import SparseTensor, mm, sparse_coo, sparse_coo_tensor, sum

__all__ = ["SparseTensor", "mm", "sparse_coo", "sparse_coo_tensor", "sum"]


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name, "there are corten.sparse_coo_tensor, its products and to_dense()")
