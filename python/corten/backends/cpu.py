"""The processor (``torch.backends.cpu``)."""

from .. import _core

__all__ = ["get_cpu_capability"]

_NAMES = {"portable": "DEFAULT", "avx2": "AVX2", "avx512": "AVX512", "neon": "NEON"}


def get_cpu_capability():
    """The instruction set that kernels use, by PyTorch's names: ``DEFAULT``, ``AVX2``, ``AVX512`` or ``NEON``."""
    return _NAMES[_core.simd_level()]
