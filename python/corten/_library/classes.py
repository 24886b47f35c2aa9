"""Types of values, of annotations, and of classes that programs gave to `jit.script` and `jit.interface`."""

import enum
import inspect
import types
import typing

from .. import _core
from . import types as t
from .schema import Argument, FunctionSchema

# What programs scripted, by qualified name: the class, and whether it is an interface.
_known: dict[str, tuple[type, bool]] = {}


def qualified_name(cls):
    """What scripts call a class: ``__torch__.module.Name``."""
    module = "" if cls.__module__ == "__main__" else f"{cls.__module__}."
    return f"__torch__.{module}{cls.__name__}"


def register(cls, is_interface):
    """Makes a class one of those that types can be made of."""
    _known[qualified_name(cls)] = (cls, is_interface)


def _found(name, is_interface):
    cls, interface = _known.get(name, (None, None))
    if cls is None or interface is not is_interface:
        what = "interface was given to jit.interface" if is_interface else "class was given to jit.script"
        raise TypeError(f"{'Interface' if is_interface else 'Class'}Type: no {what} under the name {name!r}")
    return cls


class ClassType(t.Type):
    """The type of the objects of a class that was given to `jit.script`.

    Args:
        name: the qualified name, ``__torch__.module.Name``; without the module for classes of the program itself.

    Raises:
        TypeError: there is no such class.
    """

    _kind, _is_interface = "ClassType", False

    def __init__(self, name):
        self._class, self._name = _found(name, self._is_interface), name

    def name(self):
        """The name of the class."""
        return self._class.__name__

    def qualified_name(self):
        """The name with the module."""
        return self._name

    def method_names(self):
        """The names of the methods, in their order in the class."""
        return list(_methods(self._class))

    def _annotation(self):
        return self._name

    def _key(self):
        return (self._kind, self._name)

    def __reduce__(self):
        return (type(self), (self._name,))


class InterfaceType(t.Type):
    """The type of the objects of all classes that have the methods of a class that was given to `jit.interface`.

    Args:
        name: the qualified name, as for :class:`ClassType`.

    Raises:
        TypeError: there is no such interface.
    """

    _kind = "InterfaceType"

    def __init__(self, name):
        self._class, self._name = _found(name, True), name

    def is_interface_type(self):
        """True."""
        return True

    def getMethodNames(self):
        """The names of the methods, in their order in the class."""
        return list(_methods(self._class))

    def getMethod(self, name):
        """The schema of a method; None where there is none."""
        method = _methods(self._class).get(name)
        return method and _schema_of(name, method, self)

    def _is_met_by(self, other):
        """Whether a class has all methods, which take and give what these do."""
        theirs = _methods(other._class) if isinstance(other, (ClassType, InterfaceType)) else {}
        for name, method in _methods(self._class).items():
            if name not in theirs:
                return False
            wanted, there = _schema_of(name, method, self), _schema_of(name, theirs[name], other)
            pairs = list(zip(wanted.arguments[1:], there.arguments[1:], strict=False))
            if len(wanted.arguments) != len(there.arguments) or any(a.name != b.name for a, b in pairs):
                return False
            if not all(t.below(a.type, b.type) for a, b in pairs):
                return False
            if not t.below(there.returns[0].type, wanted.returns[0].type):
                return False
        return True

    def _annotation(self):
        return self._name

    def _spelled(self):
        return f"InterfaceType<{self._class.__name__}>"

    def _key(self):
        return (self._kind, self._name)

    def __reduce__(self):
        return (type(self), (self._name,))


ClassType.__module__ = InterfaceType.__module__ = "corten"


def _methods(cls):
    return {name: value for name, value in vars(cls).items() if inspect.isfunction(value)}


def _schema_of(name, method, owner):
    """The schema of a method by its annotations; what has none is a tensor, as in scripts."""
    hints = typing.get_type_hints(method)
    _, *parameters = inspect.signature(method).parameters.values()
    arguments = [Argument("self", owner, None, None, False, None)]
    for parameter in parameters:
        kind = type_of_annotation(hints[parameter.name]) if parameter.name in hints else t.TensorType.get()
        default = None if parameter.default is parameter.empty else parameter.default
        arguments.append(Argument(parameter.name, kind, None, default, False, None))
    result = type_of_annotation(hints["return"]) if "return" in hints else t.TensorType.get()
    return FunctionSchema(name, "", arguments, [Argument("", result, None, None, False, None)], False, False)


# -- from annotations and from values ---------------------------------------------------------------------------------

_PLAIN = {
    int: t.IntType,
    float: t.FloatType,
    complex: t.ComplexType,
    bool: t.BoolType,
    str: t.StringType,
    type(None): t.NoneType,
    None: t.NoneType,
    typing.Any: t.AnyType,
    _core.device: t.DeviceObjType,
    _core.dtype: t.IntType,
    _core.layout: t.IntType,
    _core.memory_format: t.IntType,
    _core.Generator: t.GeneratorType,
}


def type_of_annotation(annotation):
    """The type that an annotation stands for.

    Raises:
        TypeError: it is none that scripts have.
    """
    if annotation in _PLAIN:
        return _PLAIN[annotation].get()
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return t.ListType(type_of_annotation(arguments[0]))
    if origin is dict:
        return t.DictType(*map(type_of_annotation, arguments))
    if origin is tuple:
        return t.TupleType([type_of_annotation(part) for part in arguments if part != ()])
    if origin in (typing.Union, types.UnionType):
        return t.UnionType([type_of_annotation(part) for part in arguments])
    if isinstance(annotation, type):
        if issubclass(annotation, _core.Tensor):
            return t.TensorType.get()
        if issubclass(annotation, enum.Enum):
            return _enum_type(annotation)
        name = qualified_name(annotation)
        if name in _known:
            return InterfaceType(name) if _known[name][1] else ClassType(name)
    raise TypeError(f"{annotation} is no type of scripts")


def _enum_type(cls):
    value = t.unify_type_list([_required(infer_type(member.value)) for member in cls])
    return t.EnumType(qualified_name(cls), value, list(cls))


class _Unknown(Exception):
    """There is no type; the text says why."""


def _required(inferred):
    if not inferred.success():
        raise _Unknown(inferred.reason())
    return inferred.type()


def _joined(values, what):
    """The type of the elements of a list or dict."""
    whole = None
    for value in values:
        found = _required(infer_type(value))
        if whole is None:
            whole = found
            continue
        try:
            joined = t.unify_type_list([whole, found])
        except RuntimeError:
            raise _Unknown(f"{what}. Found {whole!r} and {found!r}") from None
        whole = joined
    return whole


def _type_of(value):
    if isinstance(value, _core.Tensor):
        return t.TensorType.get()
    if isinstance(value, enum.Enum):
        return _enum_type(type(value))
    if type(value) in _PLAIN:
        return _PLAIN[type(value)].get()
    if isinstance(value, tuple):
        return t.TupleType([_required(infer_type(part)) for part in value])
    if isinstance(value, list):
        if not value:
            raise _Unknown("List trace inputs must have elements")
        return t.ListType(_joined(value, "List inputs to traced functions must have consistent element type"))
    if isinstance(value, dict):
        if not value:
            raise _Unknown("Dictionary inputs must have entries")
        said = "Dictionary inputs to traced functions must have consistent type"
        return t.DictType(_joined(value, said), _joined(value.values(), said))
    known = _known.get(qualified_name(type(value)))
    if known is not None and known[0] is type(value):
        return ClassType(qualified_name(type(value)))
    raise _Unknown(
        "Only tensors and (possibly nested) tuples of tensors, lists, or dicts are supported as inputs or outputs of "
        f"traced functions, but instead got value of type {type(value).__name__}."
    )


def infer_type(value):
    """The type of a value, as an `InferredType`: the type, or the reason why there is none."""
    try:
        return t.InferredType(_type_of(value))
    except _Unknown as error:
        return t.InferredType(str(error))
