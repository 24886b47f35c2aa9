"""Switches of other packages' kernels (``torch.backends``): programs set and read them, and results stay as they are.

What a switch permits, such as fewer bits in products, is not made use of; what it demands, such as determinism, holds
anyway.
"""

from . import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, xnnpack

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "xnnpack"]


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
