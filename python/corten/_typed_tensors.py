"""`FloatTensor` and its kind: constructors for one dtype, and what `isinstance` and `Tensor.type` take."""

from . import _core

_DTYPES = {
    "FloatTensor": _core.float32,
    "DoubleTensor": _core.float64,
    "HalfTensor": _core.float16,
    "BFloat16Tensor": _core.bfloat16,
    "ByteTensor": _core.uint8,
    "CharTensor": _core.int8,
    "ShortTensor": _core.int16,
    "IntTensor": _core.int32,
    "LongTensor": _core.int64,
    "BoolTensor": _core.bool,
}


class tensortype(type):
    """The class of the constructors: a tensor is an instance of the one with its dtype and device."""

    dtype: _core.dtype
    is_cuda: bool
    is_sparse = False
    layout = _core.strided

    def __instancecheck__(cls, instance):
        if not isinstance(instance, _core.Tensor) or instance.is_sparse != cls.is_sparse:
            return False
        return instance.dtype == cls.dtype and instance.is_cuda == cls.is_cuda

    def __call__(cls, *args, **kwargs):
        """A tensor of sizes, uninitialised; of a sequence's elements; or another tensor of the same type."""
        if kwargs.keys() - {"device"}:
            raise TypeError(f"{cls.__name__}() takes no keyword argument '{next(iter(kwargs))}'")
        device = kwargs.get("device") or ("cuda" if cls.is_cuda else "cpu")
        if not args:
            return _core.ops.empty(0, dtype=cls.dtype, device=device)
        first = args[0]
        if isinstance(first, _core.Tensor) and len(args) == 1:
            if first.dtype != cls.dtype:
                raise TypeError(f"{cls.__name__}: expected a tensor of dtype {cls.dtype}, got {first.dtype}")
            return first.detach()
        if isinstance(first, (str, float)):
            raise TypeError(f"{cls.__name__}: data must be a sequence (got {type(first).__name__})")
        return _core.ops.empty(0, dtype=cls.dtype, device=device).new(*args)


def _make(name, dtype, is_cuda):
    module = "corten.cuda" if is_cuda else "corten"
    place = "a GPU" if is_cuda else "the CPU"
    doc = f"Makes tensors of dtype {dtype._name} on {place}: of sizes, or with the elements of a sequence."
    return tensortype(name, (), {"__module__": module, "__doc__": doc, "dtype": dtype, "is_cuda": is_cuda})


CPU = {name: _make(name, dtype, False) for name, dtype in _DTYPES.items()}
GPU = {name: _make(name, dtype, True) for name, dtype in _DTYPES.items()}
globals().update(CPU)


def find(kind):
    """The constructor of a name such as ``"corten.FloatTensor"``, or the constructor itself.

    Raises:
        ValueError: there is none of that name.
        TypeError: ``kind`` is neither.
    """
    found = kind
    if isinstance(kind, str):
        module, _, name = kind.rpartition(".")
        types = {"torch": CPU, "corten": CPU, "torch.cuda": GPU, "corten.cuda": GPU}.get(module, {})
        if name not in types:
            raise ValueError(f"invalid type: '{kind}'")
        found = types[name]
    if not isinstance(found, tensortype):
        raise TypeError(f"type must be a dtype, the name of a type or its class, not {kind!r}")
    return found
