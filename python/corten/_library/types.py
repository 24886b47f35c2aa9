"""The types of operators' schemas, as ``corten.IntType.get()`` and ``corten.ListType(element)`` make them.

A type has three spellings: as an annotation of Python, ``Optional[List[int]]``; by :meth:`Type.str`, ``int[]?``; and
inside schemas, where those of futures and remote references alone differ from the second.
"""

from .. import _core

# PyTorch's order of kinds, in which the members of a union stand.
_ORDER = (
    "AnyType EnumType AnyEnumType TensorType StorageType TupleType ListType DictType NumberType FloatType ComplexType "
    "FutureType AwaitType RRefType IntType NoneType StringType GeneratorType QuantizerType BoolType OptionalType "
    "VarType DeviceObjType StreamObjType FunctionType ClassType PyObjectType CapsuleType InterfaceType QSchemeType "
    "ScalarTypeType LayoutType MemoryFormatType AnyListType AnyTupleType AnyClassType SymIntType SymFloatType "
    "SymBoolType UnionType"
)
_PLACES = {kind: place for place, kind in enumerate(_ORDER.split())}


class Type:
    """A type of values in operators' schemas; two are equal where they stand for the same values."""

    _kind = ""
    _elements: tuple = ()

    def __new__(cls, *args, **kwargs):
        if cls.__init__ is object.__init__:
            how = f"use {cls.__name__}.get()" if hasattr(cls, "get") else "make one of the classes below it"
            raise TypeError(f"{cls.__name__}: No constructor defined! {how}")
        return super().__new__(cls)

    def kind(self):
        """The name of the kind: ``"ListType"`` for every list."""
        return self._kind

    @property
    def annotation_str(self):
        """The type as an annotation of Python."""
        return self._annotation()

    def str(self):
        """The type as operators' schemas write it."""
        return self._spelled()

    def containedTypes(self):
        """The types that this one is made of."""
        return list(self._elements)

    def isSubtypeOf(self, other):
        """Whether each value of this type is one of ``other``.

        Raises:
            TypeError: ``other`` is no type.
        """
        return below(self, checked(other, "isSubtypeOf"))

    def is_interface_type(self):
        """Whether it is an interface, for which classes with its methods stand."""
        return False

    def requires_grad(self):
        """Whether a value may require grad."""
        return any(element.requires_grad() for element in self._elements)

    def _annotation(self):
        raise NotImplementedError

    def _spelled(self):
        return self._annotation()

    def _in_schema(self):
        return self._spelled()

    def _key(self):
        """What equal types have in common."""
        return (self._kind, *(element._key() for element in self._elements))

    def _of(self, elements):
        """The same type of other elements."""
        return type(self)(*elements) if elements else self

    def __eq__(self, other):
        return self._key() == checked(other, "__eq__")._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return self._annotation()

    def __reduce__(self):
        return (type(self), self._elements)


def _of_tensors_alone(name):
    def fact(self, *args):
        raise RuntimeError(f"Type.{name}: only tensors' types have it, got {self}")

    fact.__name__ = name
    fact.__doc__ = "A fact of tensors' types alone; see `TensorType`."
    return fact


_FACTS_OF_TENSORS = (
    "contiguous device dim dtype scalarType sizes strides symbolic_sizes undefined varyingSizes with_device with_dtype "
    "with_sizes"
)
for _name in _FACTS_OF_TENSORS.split():
    setattr(Type, _name, _of_tensors_alone(_name))


def checked(value, name):
    """``value``, which has to be a type."""
    if not isinstance(value, Type):
        raise TypeError(f"{name}(): expected a Type, such as IntType.get(), got {type(value).__name__}")
    return value


class _Single(Type):
    """A type of which there is one, that :meth:`get` returns."""

    _names = ("", "")

    @classmethod
    def get(cls):
        """The type."""
        if "_made" not in vars(cls):
            cls._made = object.__new__(cls)
        return cls._made

    def _annotation(self):
        return self._names[0]

    def _spelled(self):
        return self._names[1]

    def __reduce__(self):
        return (type(self).get, ())


def _single(name, annotation, spelled=None, doc=""):
    attributes = {
        "_kind": name,
        "_names": (annotation, spelled or annotation),
        "__doc__": doc,
        "__module__": __name__,
    }
    return type(name, (_Single,), attributes)


AnyType = _single("AnyType", "Any", doc="The type of every value.")
BoolType = _single("BoolType", "bool", doc="The type of bools.")
IntType = _single("IntType", "int", doc="The type of ints of 64 bits.")
FloatType = _single("FloatType", "float", doc="The type of floats.")
ComplexType = _single("ComplexType", "complex", doc="The type of complex numbers.")
NumberType = _single("NumberType", "number", "Scalar", "The type of ints, floats and complex numbers.")
StringType = _single("StringType", "str", doc="The type of texts.")
NoneType = _single("NoneType", "NoneType", doc="The type of None.")
DeviceObjType = _single("DeviceObjType", "Device", doc="The type of devices.")
StreamObjType = _single("StreamObjType", "Stream", doc="The type of streams.")
PyObjectType = _single("PyObjectType", "PyObject", doc="The type of Python's objects that no other type describes.")
SymIntType = _single("SymIntType", "int", "SymInt", "The type of sizes: ints, which PyTorch's compiler may not know.")
SymBoolType = _single("SymBoolType", "bool", "SymBool", "The type of comparisons of sizes.")
GeneratorType = _single("GeneratorType", "Generator", doc="The type of random number generators.")
StorageType = _single("StorageType", "Storage", doc="The type of storages.")
QSchemeType = _single("QSchemeType", "QScheme", doc="The type of ways to quantize.")
CapsuleType = _single("CapsuleType", "Capsule", doc="The type of values that no operator looks into.")
ScalarTypeType = _single("ScalarTypeType", "ScalarType", doc="The type of dtypes.")
LayoutType = _single("LayoutType", "Layout", doc="The type of layouts.")
MemoryFormatType = _single("MemoryFormatType", "MemoryFormat", doc="The type of memory formats.")
AnyClassType = _single("AnyClassType", "AnyClassType", doc="The type above those of all classes.")
AnyEnumType = _single("AnyEnumType", "AnyEnumType", doc="The type above those of all enumerations.")


class VarType(Type):
    """A type that a call decides: every occurrence of its name stands for the same one."""

    _kind = "VarType"

    def __init__(self, name):
        self.name = name

    def _annotation(self):
        return self.name

    def _key(self):
        return (self._kind,)

    def __reduce__(self):
        return (VarType, (self.name,))


# -- types of other types ---------------------------------------------------------------------------------------------


class _OfOne(Type):
    _word = ""

    def __init__(self, element):
        if element is None:
            raise RuntimeError(f"Can not create {type(self).__name__} with None type")
        self._elements = (checked(element, type(self).__name__),)

    def getElementType(self):
        """The type that it is of."""
        return self._elements[0]

    def _annotation(self):
        return f"{self._word}[{self._elements[0]._annotation()}]"


class ListType(_OfOne):
    """The type of lists of one type.

    >>> corten.ListType(corten.IntType.get()).str()
    'int[]'
    """

    _kind, _word = "ListType", "List"

    def _spelled(self):
        return f"{self._elements[0]._spelled()}[]"

    def _in_schema(self):
        return f"{self._elements[0]._in_schema()}[]"

    @staticmethod
    def ofInts():
        """``List[int]``."""
        return ListType(IntType.get())

    @staticmethod
    def ofFloats():
        """``List[float]``."""
        return ListType(FloatType.get())

    @staticmethod
    def ofComplexDoubles():
        """``List[complex]``."""
        return ListType(ComplexType.get())

    @staticmethod
    def ofBools():
        """``List[bool]``."""
        return ListType(BoolType.get())

    @staticmethod
    def ofStrings():
        """``List[str]``."""
        return ListType(StringType.get())

    @staticmethod
    def ofTensors():
        """``List[Tensor]``."""
        return ListType(TensorType.get())


class OptionalType(_OfOne):
    """The type of None and of the values of one type; of an optional type it is that type."""

    _kind, _word = "OptionalType", "Optional"

    def __init__(self, element):
        super().__init__(element)
        if isinstance(element, NoneType):
            raise RuntimeError("OptionalType: NoneType is the type of None alone, use it alone")
        if isinstance(element, OptionalType):
            self._elements = element._elements
        elif isinstance(element, UnionType):
            rest = [e for e in element._elements if not isinstance(e, NoneType)]
            if _union_key(rest) == (NumberType._kind,):
                self._elements = (NumberType.get(),)
            elif len(rest) < len(element._elements):
                self._elements = (UnionType(rest),)

    @staticmethod
    def ofTensor():
        """``Optional[Tensor]``."""
        return OptionalType(TensorType.get())

    def _spelled(self):
        return f"{self._elements[0]._spelled()}?"

    def _in_schema(self):
        return f"{self._elements[0]._in_schema()}?"


class FutureType(_OfOne):
    """The type of futures of one type."""

    _kind, _word = "FutureType", "Future"

    def _spelled(self):
        return f"Future[{self._elements[0]._spelled()}]"

    def _in_schema(self):
        return f"Future({self._elements[0]._in_schema()})"


class AwaitType(_OfOne):
    """The type of values of one type that are computed when they are asked for."""

    _kind, _word = "AwaitType", "Await"

    def _spelled(self):
        return f"Await({self._elements[0]._spelled()})"

    def _in_schema(self):
        return f"Await({self._elements[0]._in_schema()})"


class RRefType(_OfOne):
    """The type of references to values of one type on another machine."""

    _kind, _word = "RRefType", "RRef"

    def _spelled(self):
        return f"RRef[{self._elements[0]._spelled()}]"

    def _in_schema(self):
        return f"RRef({self._elements[0]._in_schema()})"


_KEYS = (AnyType, IntType, FloatType, ComplexType, BoolType, DeviceObjType, StringType, VarType)


class DictType(Type):
    """The type of dicts.

    Raises:
        RuntimeError: keys of that type are none of dicts'.
    """

    _kind = "DictType"

    def __init__(self, key, value):
        self._elements = (checked(key, "DictType"), checked(value, "DictType"))
        if not isinstance(key, (TensorType, *_KEYS)):
            raise RuntimeError(
                f"Cannot create dict for key type '{key.str()}', only int, float, complex, Tensor, device and string "
                "keys are supported"
            )

    def getKeyType(self):
        """The type of keys."""
        return self._elements[0]

    def getValueType(self):
        """The type of values."""
        return self._elements[1]

    def _annotation(self):
        return f"Dict[{self._elements[0]._annotation()}, {self._elements[1]._annotation()}]"

    def _spelled(self):
        return f"Dict({self._elements[0]._in_schema()}, {self._elements[1]._in_schema()})"


class TupleType(Type):
    """The type of tuples of given lengths, a type for each place."""

    _kind = "TupleType"

    def __init__(self, elements):
        self._elements = tuple(checked(element, "TupleType") for element in elements)

    def elements(self):
        """The types of the places."""
        return list(self._elements)

    def _annotation(self):
        return f"Tuple[{', '.join(e._annotation() for e in self._elements) or '()'}]"

    def _spelled(self):
        return f"({', '.join(e._spelled() for e in self._elements)})"

    def _in_schema(self):
        return f"({', '.join(e._in_schema() for e in self._elements)})"

    def _of(self, elements):
        return TupleType(elements)

    def __reduce__(self):
        return (TupleType, (self._elements,))


class UnionType(Type):
    """The type of the values of several types: with None and one other it is an `OptionalType`.

    Raises:
        RuntimeError: there is no member, or one stands for all.
    """

    _kind = "UnionType"

    def __new__(cls, types):
        given = [checked(t, "UnionType") for t in types]
        if not given:
            raise RuntimeError("Cannot create an empty Union")
        found = _reduced([m for t in given for m in members(t, numbers=True)])
        if len(found) == 1:
            raise RuntimeError(
                f"UnionType: the types {', '.join(map(repr, given))} have the single type {found[0]!r} above them. Use "
                "that in place of a Union"
            )
        rest = [t for t in found if not isinstance(t, NoneType)]
        if len(rest) < len(found) and _union_key(rest) == (NumberType._kind,):
            rest = [NumberType.get()]
        if len(rest) == 1 and len(rest) < len(found):
            return OptionalType(rest[0])
        made = object.__new__(cls)
        made._elements = tuple(sorted(found, key=lambda t: (_PLACES[t._kind], _unshaped(t).str())))
        return made

    def _shown(self):
        """The members, with one number type in place of all three."""
        numbers = [t for t in self._elements if isinstance(t, _NUMBERS)]
        if len(numbers) < 3:
            return self._elements
        rest = [t for t in self._elements if not isinstance(t, _NUMBERS)]
        return (*rest, NumberType.get())

    def _annotation(self):
        return f"Union[{', '.join(t._annotation() for t in self._shown())}]"

    def _spelled(self):
        return f"Union({', '.join(t._in_schema() for t in self._shown())})"

    def _key(self):
        return _union_key(self._elements)

    def _of(self, elements):
        return UnionType(elements)

    def __reduce__(self):
        return (UnionType, (self._elements,))


_NUMBERS = (FloatType, ComplexType, IntType)
_NUMBER_KEYS = frozenset((kind._kind,) for kind in _NUMBERS)


def _union_key(found):
    keys = frozenset(k for t in found for k in (_NUMBER_KEYS if isinstance(t, NumberType) else (t._key(),)))
    return ("NumberType",) if keys == _NUMBER_KEYS else ("UnionType", keys)


def members(kind, numbers=False):
    """The types that a union or an optional type is made of; of another type, itself."""
    if isinstance(kind, OptionalType):
        return [*members(kind._elements[0], numbers), NoneType.get()]
    if isinstance(kind, UnionType):
        return list(kind._elements)
    if numbers and isinstance(kind, NumberType):
        return [number.get() for number in _NUMBERS]
    return [kind]


def _reduced(found):
    """The types, one in place of two that have one above them; None is kept beside `AnyType`."""
    kept = []
    for kind in (t for t in found if not isinstance(t, NoneType)):
        rest = []
        for other in kept:
            joined = _unified(kind, other)
            kind, rest = (kind, [*rest, other]) if joined is None else (joined, rest)
        kept = [*rest, kind]
    return [*kept, NoneType.get()] if any(isinstance(t, NoneType) for t in found) else kept


class EnumType(Type):
    """The type of the members of an enumeration.

    Args:
        name: the qualified name of the class.
        value: the type of the members' values.
        names_values: the members.
    """

    _kind = "EnumType"

    def __init__(self, name, value, names_values):
        self._name, self._elements = name, (checked(value, "EnumType"),)
        self._members = tuple((member.name, member.value) for member in names_values)

    def _annotation(self):
        return self._name

    def _spelled(self):
        return f"Enum<{self._name}>"

    def _key(self):
        return (self._kind, self._name, self._elements[0]._key(), repr(self._members))

    def _of(self, elements):
        return self

    def __reduce__(self):
        raise TypeError(f"EnumType: {self._name} is not pickled; pickle the enumeration")


# -- tensors ----------------------------------------------------------------------------------------------------------

_SCALAR_NAMES = {
    "float32": "Float",
    "float64": "Double",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "int64": "Long",
    "int32": "Int",
    "int16": "Short",
    "int8": "Char",
    "uint8": "Byte",
    "bool": "Bool",
    "complex32": "ComplexHalf",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}
_FACTS = ("sizes", "strides", "dtype", "device", "requires_grad")


class TensorType(_Single):
    """The type of tensors, of all or of those with given sizes, strides, dtype and device."""

    _kind, _names = "TensorType", ("Tensor", "Tensor")
    _sizes = _strides = _dtype = _device = _requires_grad = None

    @classmethod
    def _made_of(cls, sizes=None, strides=None, dtype=None, device=None, requires_grad=None):
        made = object.__new__(cls)
        made._sizes = None if sizes is None else tuple(sizes)
        made._strides = None if strides is None else tuple(strides)
        made._dtype, made._device, made._requires_grad = dtype, device, requires_grad
        return made

    @classmethod
    def getInferred(cls):
        """The type of all tensors, where nobody said so."""
        return cls.get()

    @classmethod
    def create_from_tensor(cls, t):
        """The type of tensors with the sizes, strides, dtype and device of ``t``."""
        if not isinstance(t, _core.Tensor):
            raise TypeError(f"TensorType.create_from_tensor: expected a Tensor, got {type(t).__name__}")
        return cls._made_of(t.shape, t.stride(), t.dtype, t.device, t.requires_grad)

    def _facts(self):
        return {name: getattr(self, f"_{name}") for name in _FACTS}

    def _key(self):
        return (self._kind, *self._facts().values())

    def _spelled(self):
        parts = ["*" if size is None else str(size) for size in self._sizes or ()]
        if self._sizes and self._strides:
            parts.append(f"strides=[{', '.join('*' if step is None else str(step) for step in self._strides)}]")
        if self._requires_grad is not None:
            parts.append(f"requires_grad={int(self._requires_grad)}")
        if self._device is not None:
            parts.append(f"device={self._device}")
        name = "Tensor" if self._sizes is None or self._dtype is None else ""
        shown = f"({', '.join(parts)})" if parts or self._sizes is not None else ""
        return f"{self.scalarType() or ''}{name}{shown}"

    def __reduce__(self):
        return (TensorType._made_of, tuple(self._facts().values()))

    def sizes(self):
        """The sizes, None where one is unknown."""
        return None if self._sizes is None or None in self._sizes else list(self._sizes)

    def varyingSizes(self):
        """The sizes, with None for each that is unknown; None where their number is."""
        return None if self._sizes is None else list(self._sizes)

    def symbolic_sizes(self):
        """The sizes, with a negative number of its own for each that is unknown; None where their number is."""
        if self._sizes is None:
            return None
        return [-place if size is None else size for place, size in enumerate(self._sizes, 1)]

    def strides(self):
        """The strides in elements, or None."""
        return None if self._strides is None or None in self._strides else list(self._strides)

    def dim(self):
        """The number of dims, or None."""
        return None if self._sizes is None else len(self._sizes)

    def dtype(self):
        """The dtype, or None."""
        return self._dtype

    def scalarType(self):
        """The name of the dtype in the types of scripts, ``"Float"`` for float32; or None."""
        if self._dtype is None:
            return None
        return _SCALAR_NAMES.get(str(self._dtype).rpartition(".")[2], "Undefined")

    def device(self):
        """The device, or None."""
        return self._device

    def requires_grad(self):
        """Whether a tensor of the type may require grad."""
        return self._requires_grad is not False

    def undefined(self):
        """Whether it is the type of tensors that are none: False."""
        return False

    def with_sizes(self, sizes):
        """The type of tensors with other sizes; None for all of them, or for one, is unknown."""
        return TensorType._made_of(**{**self._facts(), "sizes": sizes})

    def with_dtype(self, dtype):
        """The type of tensors of a dtype."""
        return TensorType._made_of(**{**self._facts(), "dtype": dtype})

    def with_device(self, device):
        """The type of tensors on a device."""
        return TensorType._made_of(**{**self._facts(), "device": device})

    def contiguous(self):
        """The type of contiguous tensors of these sizes.

        Raises:
            RuntimeError: a size is unknown.
        """
        sizes = self.sizes()
        if sizes is None:
            raise RuntimeError("TensorType.contiguous: the sizes have to be known, give them with with_sizes")
        strides, step = [], 1
        for size in reversed(sizes):
            strides.append(step)
            step *= max(size, 1)
        return TensorType._made_of(**{**self._facts(), "strides": strides[::-1]})

    def _holds(self, other):
        """Whether what is known of this type is true of tensors of another one."""
        return all(_agrees(mine, other._facts()[name]) for name, mine in self._facts().items())

    def _merged(self, other):
        """The type of tensors that are of one of two types."""
        theirs = other._facts()
        return TensorType._made_of(**{name: _common(mine, theirs[name]) for name, mine in self._facts().items()})


def _agrees(known, found):
    if known is None:
        return True
    if isinstance(known, tuple) and isinstance(found, tuple):
        return len(known) == len(found) and all(k is None or k == f for k, f in zip(known, found, strict=True))
    return known == found


def _common(a, b):
    if isinstance(a, tuple) and isinstance(b, tuple):
        return tuple(x if x == y else None for x, y in zip(a, b, strict=True)) if len(a) == len(b) else None
    return a if a == b else None


# -- which type is below which ----------------------------------------------------------------------------------------


def below(a, b):
    """Whether each value of type ``a`` is one of type ``b``."""
    if isinstance(b, AnyType):
        return True
    if isinstance(a, (OptionalType, UnionType)):
        return all(below(member, b) for member in members(a))
    if isinstance(b, (OptionalType, UnionType)):
        if isinstance(a, NumberType) and NumberType.get() not in members(b):
            return all(below(number.get(), b) for number in _NUMBERS)
        return any(below(a, member) for member in members(b))
    if isinstance(b, NumberType):
        return isinstance(a, (NumberType, *_NUMBERS))
    if isinstance(b, TensorType):
        return isinstance(a, TensorType) and b._holds(a)
    if isinstance(b, AnyEnumType):
        return isinstance(a, (AnyEnumType, EnumType))
    if isinstance(b, AnyClassType):
        return a._kind in ("AnyClassType", "ClassType")
    if b.is_interface_type():
        return a == b or b._is_met_by(a)
    if type(a) is type(b) and isinstance(a, (TupleType, FutureType, AwaitType)):
        pairs = zip(a._elements, b._elements, strict=False)
        return len(a._elements) == len(b._elements) and all(below(x, y) for x, y in pairs)
    return a == b


def with_replaced(kind, replace):
    """A type in which ``replace(type)`` stands for each type that is made of no other."""
    if not kind._elements:
        return replace(kind)
    found = tuple(with_replaced(element, replace) for element in kind._elements)
    return kind if found == kind._elements else kind._of(found)


def _unshaped(kind):
    return with_replaced(kind, lambda t: TensorType.get() if isinstance(t, TensorType) else t)


def _unified(a, b):
    """The smallest type above two; None where there is none but `AnyType`."""
    if below(a, b):
        return b
    if below(b, a):
        return a
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        return a._merged(b)
    for one, other in ((a, b), (b, a)):
        if isinstance(one, NoneType):
            return OptionalType(other)
        if isinstance(one, OptionalType):
            inner = _unified(one._elements[0], other)
            return inner and OptionalType(inner)
    if isinstance(a, TupleType) and isinstance(b, TupleType) and len(a._elements) == len(b._elements):
        parts = [_unified(x, y) for x, y in zip(a._elements, b._elements, strict=True)]
        return None if any(part is None for part in parts) else TupleType(parts)
    if isinstance(a, FutureType) and isinstance(b, FutureType):
        inner = _unified(a._elements[0], b._elements[0])
        return inner and FutureType(inner)
    if type(a) is type(b) and isinstance(a, (ListType, DictType)):
        a, b = _unshaped(a), _unshaped(b)
        return b if below(a, b) else None
    return None


def unify_type_list(types):
    """The smallest type above all of a list.

    Raises:
        RuntimeError: the list is empty, or nothing but `AnyType` is above two of them.
    """
    found = [checked(kind, "unify_type_list") for kind in types]
    if not found:
        raise RuntimeError("Cannot get unified type from empty list")
    whole = found[0]
    for place, kind in enumerate(found[1:], 1):
        joined = _unified(whole, kind)
        if joined is None:
            raise RuntimeError(
                f"Could not unify type list since element {place} of type {kind!r} did not match the types before it "
                f"({whole!r})"
            )
        whole = joined
    return whole


class InferredType:
    """The type that was found for a value, or the reason why there is none.

    Args:
        found: a type, or the reason.
    """

    def __init__(self, found):
        if not isinstance(found, (Type, str)):
            raise TypeError(f"InferredType: expected a Type or a str, got {type(found).__name__}")
        self._found = found

    def success(self):
        """Whether there is a type."""
        return isinstance(self._found, Type)

    def type(self):
        """The type.

        Raises:
            RuntimeError: there is none.
        """
        if not isinstance(self._found, Type):
            raise RuntimeError(
                "Tried to get the type from an InferredType but the type is null. Reason: " + self._found
            )
        return self._found

    def reason(self):
        """Why there is no type.

        Raises:
            RuntimeError: there is one.
        """
        if isinstance(self._found, Type):
            raise RuntimeError(f"InferredType.reason: the type was found, it is {self._found!r}")
        return self._found


# Types of schemas alone, which the package has under no name of their own.
_UNNAMED = (
    "VarType GeneratorType StorageType QSchemeType CapsuleType ScalarTypeType LayoutType MemoryFormatType AnyClassType "
    "AnyEnumType"
)
for _kind in list(globals().values()):
    if isinstance(_kind, type) and issubclass(_kind, (Type, InferredType)) and _kind.__name__ not in _UNNAMED.split():
        _kind.__module__ = "corten"
