"""Types of arguments, for annotations in programs, with the names of ``torch.types``."""

import builtins
import os
from collections.abc import Sequence
from typing import IO

from . import Size, Tensor, _core
from ._control import SymBool, SymFloat, SymInt

__all__ = ["Number", "Device", "FileLike"]

_bool, _int, _float = builtins.bool, builtins.int, builtins.float
_complex, _str, _bytes = builtins.complex, builtins.str, builtins.bytes
_dtype, _device, _layout = _core.dtype, _core.device, _core.layout
_size = Size | list[int] | tuple[int, ...]

Number = int | float | bool
_Number = (int, float, bool)
Device = _core.device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]
IntLikeType = int | SymInt
FloatLikeType = float | SymFloat
BoolLikeType = bool | SymBool
py_sym_types = (SymInt, SymFloat, SymBool)
_TensorOrTensors = Tensor | Sequence[Tensor]
_TensorOrOptionalTensors = Tensor | Sequence[Tensor | None]


def __getattr__(name):
    if name == "Storage":
        from .storage import UntypedStorage

        return UntypedStorage
    from ._missing import missing

    raise missing(__name__, name)
