"""The names of ``torch.cuda`` for programs written for CUDA: device ``cuda`` is the first GPU, whoever made it."""

from . import gpu
from .gpu import *  # noqa: F403
from .gpu import __all__ as __all__


def __getattr__(name):
    if name == "default_generators":
        return gpu.default_generators
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_initialized():
    """Whether GPUs can be used: nothing has to be initialised."""
    return True


def init():
    """Nothing: a GPU is opened when it is first used."""


def is_bf16_supported(including_emulation=True):
    """Whether tensors may be bfloat16: they may, computed in float32."""
    return including_emulation
