"""The names of ``torch.cuda`` for programs written for CUDA: device ``cuda`` is the first GPU, whoever made it."""

from .gpu import *  # noqa: F403
from .gpu import __all__ as __all__


def is_initialized():
    """Whether GPUs can be used: nothing has to be initialised."""
    return True


def init():
    """Nothing: a GPU is opened when it is first used."""


def is_bf16_supported(including_emulation=True):
    """Whether tensors may be bfloat16: they may, computed in float32."""
    return including_emulation


def manual_seed(seed):
    """Seed the generator, which serves every device (``torch.cuda.manual_seed``)."""
    from . import manual_seed

    manual_seed(seed)


def manual_seed_all(seed):
    """Seed the generator, which serves every device (``torch.cuda.manual_seed_all``)."""
    manual_seed(seed)
