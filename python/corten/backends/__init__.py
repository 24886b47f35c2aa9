"""Switches of other packages' kernels (``torch.backends``): programs set and read them, and results stay as they are.

What a switch permits, such as fewer bits in products, is not made use of; what it demands, such as determinism, holds
anyway.
"""

import contextlib

from . import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, xnnpack

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "xnnpack"]


def flags_frozen():
    """False: switches may be set at any time."""
    return False


@contextlib.contextmanager
def __allow_nonbracketed_mutation():
    """Lets switches be set, which they may be outside as well; for packages that enter it first."""
    yield


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
