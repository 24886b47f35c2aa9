"""`Tensor` under the name ``torch._tensor``."""

from ._core import Tensor

__all__ = ["Tensor"]


def _convert(ret, cls):
    """A result of ``Tensor.__torch_function__`` as tensors of ``cls``; lists and tuples element by element."""
    from .overrides import _converted

    return _converted(ret, cls)
