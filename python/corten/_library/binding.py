"""The arguments of a call, fitted to an operator's schema."""

import collections.abc

from .. import _core
from .parser import DTYPE_NAMES
from .schema import Tensor

_LAYOUTS = (_core.strided,)
_MEMORY_FORMATS = (_core.contiguous_format, _core.preserve_format, _core.channels_last, _core.channels_last_3d)


def _number(value):
    """A number, also one that a tensor of no dims holds."""
    if isinstance(value, Tensor) and value.dim() == 0:
        value = value.item()
    if isinstance(value, (str, Tensor)):
        raise TypeError(f"Unable to cast {type(value).__name__} to a number")
    return value


def _whole(value):
    value = _number(value)
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise TypeError(f"Unable to cast {type(value).__name__} to an int")
    return value


def _real(value):
    value = _number(value)
    if isinstance(value, complex) or not hasattr(value, "__float__"):
        raise TypeError(f"Unable to cast {type(value).__name__} to a float")
    return float(value)


def _scalar(value):
    value = _number(value)
    if not (isinstance(value, complex) or hasattr(value, "__float__")):
        raise TypeError(f"Unable to cast {type(value).__name__} to a number")
    return value


def _complex(value):
    value = _number(value)
    if not (isinstance(value, complex) or hasattr(value, "__float__")):
        raise TypeError(f"Unable to cast {type(value).__name__} to a complex number")
    return complex(value)


def _truth(value):
    """A bool, also one that an int stands for."""
    return bool(_whole(value))


def _instance(kind):
    def fit(value):
        if not isinstance(value, kind):
            raise TypeError(f"Unable to cast {type(value).__name__} to {kind.__name__}")
        return value

    return fit


def _dtype(value):
    """A dtype, or the one of PyTorch's number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(DTYPE_NAMES):
        value = getattr(_core, DTYPE_NAMES[value], value)
    return _instance(_core.dtype)(value)


def _one_of(kind, choices):
    def fit(value):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
            value = choices[value]
        return _instance(kind)(value)

    return fit


def _storage(value):
    from ..storage import TypedStorage, UntypedStorage

    if not isinstance(value, (TypedStorage, UntypedStorage)):
        raise TypeError(f"Unable to cast {type(value).__name__} to a storage")
    return value


def _stream(value):
    from .._streams import Stream

    return _instance(Stream)(value)


def _unchanged(value):
    return value


_FITS = {
    "TensorType": _instance(Tensor),
    "IntType": _whole,
    "SymIntType": _whole,
    "FloatType": _real,
    "ComplexType": _complex,
    "NumberType": _scalar,
    "BoolType": _truth,
    "SymBoolType": _truth,
    "StringType": _instance(str),
    "NoneType": _instance(type(None)),
    "DeviceObjType": _core.device,
    "StreamObjType": _stream,
    "GeneratorType": _instance(_core.Generator),
    "StorageType": _storage,
    "ScalarTypeType": _dtype,
    "LayoutType": _one_of(_core.layout, _LAYOUTS),
    "MemoryFormatType": _one_of(_core.memory_format, _MEMORY_FORMATS),
    "AnyType": _unchanged,
    "VarType": _unchanged,
    "CapsuleType": _unchanged,
    "AnyClassType": _unchanged,
}


def _fit_optional(kind, value, size):
    return None if value is None else fitted(kind.getElementType(), value, size)


def _fit_list(kind, value, size):
    element = kind.getElementType()
    if size is not None and not isinstance(value, (str, collections.abc.Iterable)):
        return [fitted(element, value)] * size
    if isinstance(value, (str, Tensor)) or not isinstance(value, collections.abc.Sequence):
        raise TypeError(f"Unable to cast {type(value).__name__} to a list")
    return [fitted(element, item) for item in value]


def _fit_tuple(kind, value, size):
    parts = kind.elements()
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"Unable to cast {type(value).__name__} to a tuple")
    if len(value) != len(parts):
        raise TypeError(f"Object {value} had a different number of elements than type {kind}")
    return tuple(fitted(part, item) for part, item in zip(parts, value, strict=True))


def _fit_dict(kind, value, size):
    if not isinstance(value, dict):
        raise TypeError(f"Unable to cast {type(value).__name__} to a dict")
    keys, values = kind.containedTypes()
    return {fitted(keys, k): fitted(values, v) for k, v in value.items()}


def _fit_union(kind, value, size):
    for member in kind.containedTypes():
        try:
            return fitted(member, value)
        except (TypeError, RuntimeError):
            continue
    raise TypeError(f"Unable to cast {type(value).__name__} to {kind}")


def _fit_future(kind, value, size):
    from .._control import Future

    return _instance(Future)(value)


_CONTAINERS = {
    "OptionalType": _fit_optional,
    "ListType": _fit_list,
    "TupleType": _fit_tuple,
    "DictType": _fit_dict,
    "UnionType": _fit_union,
    "FutureType": _fit_future,
}


def fitted(kind, value, size=None):
    """A value as one of a type: a number of the type, a list for each sequence, a dtype for its number.

    Args:
        size: how many elements a list has that a single value stands for.

    Raises:
        TypeError: it is none.
    """
    if kind.kind() in _CONTAINERS:
        return _CONTAINERS[kind.kind()](kind, value, size)
    fit = _FITS.get(kind.kind())
    if fit is None:
        raise TypeError(f"corten has no values of type {kind}")
    return fit(value)


def bind(schema, args, kwargs):
    """The arguments of a call by position and by name, of the schema's types, with what it leaves out filled in.

    Raises:
        RuntimeError: they do not fit the schema.
    """
    name, said = schema.name, f"Declaration: {schema}"
    positional = schema._positional
    if len(args) > len(positional):
        if schema._keyword_only:
            raise RuntimeError(
                f"{name}() takes {len(positional)} positional argument(s) but {len(args)} was/were given.  {said}"
            )
        raise RuntimeError(
            f"{name}() expected at most {len(positional)} argument(s) but received {len(args) + len(kwargs)} "
            f"argument(s). {said}"
        )
    given = dict(zip((a.name for a in positional), args, strict=False))
    if twice := given.keys() & kwargs.keys():
        raise RuntimeError(
            f"Argument '{min(twice)}' specified both as positional and keyword argument. Schema: {schema}"
        )
    given.update(kwargs)
    found = {}
    for place, argument in enumerate(schema.arguments):
        if argument.name not in given and not argument.has_default_value():
            raise RuntimeError(f"{name}() is missing value for argument '{argument.name}'. {said}")
        if argument.name not in given and argument.default_value is None:
            found[argument.name] = None
            continue
        value = given.pop(argument.name, argument.default_value)
        try:
            found[argument.name] = fitted(argument.real_type, value, argument.N)
        except (TypeError, RuntimeError) as error:
            raise RuntimeError(
                f"{name}() Expected a value of type '{argument.type}' for argument '{argument.name}' but instead found "
                f"type '{type(value).__name__}'.\nPosition: {place}\nValue: {value!r}\n{said}\n"
                f"Cast error details: {error}"
            ) from None
    if given:
        raise RuntimeError(f"Unknown keyword argument '{min(given)}' for operator '{name}'. Schema: {schema}")
    by_name = {a.name: found[a.name] for a in schema._keyword_only}
    return tuple(found[a.name] for a in positional), by_name
