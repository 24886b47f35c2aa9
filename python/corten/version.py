"""Which version this is, and that no vendor's toolkit is part of it."""

from . import __version__

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "xpu"]

debug = False
# Kernels for GPUs are WGSL; nothing was built with CUDA, ROCm or oneAPI.
cuda = hip = xpu = rocm = None
# Known where the package was built from a checkout only, and then not written down.
git_version = "Unknown"
