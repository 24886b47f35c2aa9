"""What the composites share: results into ``out=``, and in-place forms."""

from .. import _core, _spoken
from .._settings import warn_once

Tensor = _core.Tensor
ops = _core.ops

_SCALAR_NAMES = {
    "bool": "Bool",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
    "complex32": "ComplexHalf",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "float8_e4m3fn": "Float8_e4m3fn",
    "float8_e5m2": "Float8_e5m2",
    "float8_e4m3fnuz": "Float8_e4m3fnuz",
    "float8_e5m2fnuz": "Float8_e5m2fnuz",
    "float8_e8m0fnu": "Float8_e8m0fnu",
}


_PARTS = {"complex32": _core.float16, "complex64": _core.float32, "complex128": _core.float64}


def scalar_name(x):
    """The name of a tensor's dtype in errors and in names of types, ``"Float"`` for float32."""
    return _SCALAR_NAMES[x.dtype._name]


def tell_deprecated(name, instead):
    """Warns once, in the name of the function that calls this, that PyTorch wants another one to be called."""
    text = f"corten.{name} is deprecated in favor of {instead}"
    warn_once(text.replace("corten.", f"{_spoken.name}."), stacklevel=3)


def everywhere(condition):
    """Whether a condition holds of all elements, inside ``vmap`` of those of all examples: for checks of values.

    On the device ``meta``, where there are none, it counts as kept.
    """
    condition = whole(condition)
    return condition.is_meta or bool(condition.all())


def result(value, out):
    """The value, written into ``out`` where one is given, with the checks of the native operators."""
    return value if out is None else ops._result(value, out=out)


def exact(value, out):
    """As :func:`result`, for operators whose ``out=`` must have the dtype of their result.

    Raises:
        RuntimeError: where it has another.
    """
    if out is not None and out.dtype != value.dtype:
        raise RuntimeError(f"Expected out tensor to have dtype {value.dtype}, but got {out.dtype} instead")
    return result(value, out)


def in_place(function):
    """The method ``name_`` of a function of one tensor and more."""
    name = function.__name__

    def method(self, *args, **kwargs):
        return self._replace(function(self._snapshot(), *args, **kwargs), name)

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place form of :func:`{name}`."
    return method


def check_tensors(name, **arguments):
    """Raises TypeError where an argument of an operator is no tensor."""
    for position, (argument, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {kind}")


def tensors_of(args):
    """The tensors of ``f(a, b)`` and of ``f([a, b])``."""
    if len(args) == 1 and isinstance(args[0], (list, tuple)):
        return list(args[0])
    return list(args)


def wrapped(dim, rank):
    """``dim`` counted from 0, or IndexError."""
    if rank == 0:
        if dim in (-1, 0):
            return 0
        raise IndexError(f"Dimension out of range (expected to be in range of [-1, 0], but got {dim})")
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    return dim % rank


def whole(x):
    """The values of all examples where ``x`` stands for one inside ``vmap``: for checks, and bounds on work."""
    while hasattr(x, "_run_backward"):
        x = x.value
    return x


def by_columns(x):
    """The matrices ``(*, m, n)`` in memory column by column, as LAPACK leaves its results."""
    return x.mT.contiguous().mT


def inexact(x):
    """Whether the elements are floating point or complex numbers."""
    return x.is_floating_point() or x.is_complex()


def part_dtype(x):
    """The dtype of magnitudes of a tensor's elements."""
    return _PARTS.get(x.dtype._name, x.dtype)


def floating(x):
    """The tensor, integers as the default dtype."""
    return x if inexact(x) else x.to(_core.get_default_dtype())
