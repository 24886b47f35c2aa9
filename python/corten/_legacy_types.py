"""``torch.FloatTensor`` and its like: older names that make tensors of one dtype, and test for it."""

import operator

from . import _core

DTYPES = {
    "BFloat16Tensor": _core.bfloat16,
    "BoolTensor": _core.bool,
    "ByteTensor": _core.uint8,
    "CharTensor": _core.int8,
    "DoubleTensor": _core.float64,
    "FloatTensor": _core.float32,
    "HalfTensor": _core.float16,
    "IntTensor": _core.int32,
    "LongTensor": _core.int64,
    "ShortTensor": _core.int16,
}


def _is_size(value):
    """Whether a value is a whole number, which then is a size."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, _core.Tensor)


class _TensorType(type):
    """The class of such a name: tensors of its dtype on its device are its instances."""

    def __instancecheck__(cls, value):
        return isinstance(value, _core.Tensor) and value.dtype == cls.dtype and (value.device.type == "cpu") == cls._cpu

    def __call__(cls, *args, device=None):
        """A tensor: empty of the sizes that are given one by one or as a Size, or of the values of a sequence or array.

        Raises:
            TypeError: for a tensor of another dtype, and for anything else.
        """
        from . import Size

        where = device if device is not None else "cpu" if cls._cpu else "cuda"
        if not args:
            return _core.ops.empty([0], dtype=cls.dtype, device=where)
        first = args[0]
        if all(map(_is_size, args)):
            return _core.ops.empty([operator.index(size) for size in args], dtype=cls.dtype, device=where)
        if len(args) == 1 and isinstance(first, Size):
            return _core.ops.empty(list(first), dtype=cls.dtype, device=where)
        if len(args) == 1 and isinstance(first, _core.Tensor):
            if not isinstance(first, cls):
                raise TypeError(f"expected {cls.__name__} (got {first.type()})")
            return first.detach()
        if len(args) == 1 and (isinstance(first, (list, tuple, range)) or hasattr(first, "__array__")):
            return _core.tensor(list(first) if isinstance(first, range) else first, dtype=cls.dtype, device=where)
        raise TypeError(f"new(): {cls.__name__} is made of sizes, a sequence, an array or a tensor of its dtype")


def tensor_type(name, module):
    """The class of that name in ``corten`` or ``corten.cuda``."""
    attributes = {
        "__module__": module,
        "__doc__": f"Makes tensors of dtype {DTYPES[name]}, from sizes or values; an older form of `corten.tensor`.",
        "dtype": DTYPES[name],
        "_cpu": module == "corten",
    }
    return _TensorType(name, (), attributes)


def __getattr__(name):
    if name not in DTYPES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    found = globals()[name] = tensor_type(name, "corten")
    return found
