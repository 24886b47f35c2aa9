"""Reads schemas of operators as text: ``mylib::scale(Tensor(a!) x, *, float by=2., int[2] size=1) -> Tensor(a!)``.

The grammar is that of PyTorch's ``native_functions.yaml``. A reader takes tokens one by one and knows one ahead.
"""

import ast
import re

from .. import _core
from . import types as t
from .schema import NO_DEFAULT, AliasInfo, Argument, FunctionSchema

_TOKEN = re.compile(
    r"""(?P<skip>(?:\s|\#[^\n]*)+)
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?j?)
      | (?P<ident>[^\W\d]\w*)
      | (?P<string_literal>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<arrow>->)
      | (?P<sign>\.\.\.|[()\[\],.=*?!|:+\-@])
      | (?P<end>\Z)""",
    re.VERBOSE,
)
_WORDS = (
    "False None NoneType True and as assert break class continue def del elif else for global if import in is not or "
    "pass raise return while with"
)
_KEYWORDS = frozenset(_WORDS.split())
_TYPES = {
    "Tensor": t.TensorType,
    "int": t.IntType,
    "float": t.FloatType,
    "complex": t.ComplexType,
    "bool": t.BoolType,
    "str": t.StringType,
    "Scalar": t.NumberType,
    "SymInt": t.SymIntType,
    "SymBool": t.SymBoolType,
    "Device": t.DeviceObjType,
    "DeviceIndex": t.IntType,
    "Stream": t.StreamObjType,
    "ScalarType": t.ScalarTypeType,
    "Layout": t.LayoutType,
    "MemoryFormat": t.MemoryFormatType,
    "Generator": t.GeneratorType,
    "Storage": t.StorageType,
    "QScheme": t.QSchemeType,
    "Capsule": t.CapsuleType,
    "Any": t.AnyType,
    "AnyClassType": t.AnyClassType,
    "AnyEnumType": t.AnyEnumType,
    "NoneType": t.NoneType,
}
_OF_ONE = {"Future": t.FutureType, "Await": t.AwaitType, "RRef": t.RRefType}
# PyTorch's numbers of dtypes, in which schemas keep defaults; a row has the names of one, from 0 on.
_DTYPES = (
    "uint8|int8|int16 short|int32 int|int64 long|float16 half|float32 float|float64 double|complex32 chalf|"
    "complex64 cfloat complex|complex128 cdouble|bool|qint8|quint8|qint32|bfloat16|quint4x2|quint2x4|bits1x8|bits2x4|"
    "bits4x2|bits8|bits16|float8_e5m2|float8_e4m3fn|float8_e5m2fnuz|float8_e4m3fnuz|uint16|uint32|uint64|uint1 bit|"
    "uint2|uint3|uint4|uint5|uint6|uint7|int1|int2|int3|int4|int5|int6|int7|float8_e8m0fnu|float4_e2m1fn_x2"
)
DTYPE_NAMES = [row.split()[0] for row in _DTYPES.split("|")]
_CONSTANTS = {name: number for number, row in enumerate(_DTYPES.split("|")) for name in row.split()}
_CONSTANTS |= {"strided": 0, "contiguous_format": 0, "Mean": 1}
_SINGLE = (
    t.StringType,
    t.OptionalType,
    t.NumberType,
    t.IntType,
    t.SymIntType,
    t.BoolType,
    t.FloatType,
    t.ComplexType,
    t.ScalarTypeType,
    t.LayoutType,
    t.MemoryFormatType,
)
_LISTED = (t.IntType, t.SymIntType, t.FloatType, t.ComplexType, t.BoolType, t.ScalarTypeType)
_LARGEST = 2**63


class _Tokens:
    """The tokens of a text, one of them ahead."""

    def __init__(self, text):
        self.text, self.position = text, 0
        self.advance()

    def advance(self):
        """The token ahead, which is passed."""
        passed = (self.kind, self.value) if self.position else None
        while True:
            found = _TOKEN.match(self.text, self.position)
            if found is None:
                self.start, self.value = self.position, self.text[self.position]
                raise self.error(f"expected a valid token but found '{self.value}' here:")
            self.position = found.end()
            if found.lastgroup != "skip":
                break
        self.start, self.kind, self.value = found.start(), found.lastgroup, found.group()
        if self.kind == "end":
            self.kind, self.position = "eof", self.position or 1
        elif self.kind == "sign" or self.value in _KEYWORDS:
            self.kind = self.value
        return passed

    def error(self, why):
        """The RuntimeError that shows where in the text the token ahead is."""
        if self.start >= len(self.text):
            return RuntimeError(f"{why}\n{self.text}")
        line = self.text.rfind("\n", 0, self.start) + 1
        end = self.text.find("\n", self.start)
        shown = self.text if end < 0 else self.text[:end]
        mark = " " * (self.start - line) + "~" * max(len(self.value), 1)
        return RuntimeError(f"{why}\n{shown}\n{mark} <--- HERE")

    def accept(self, kind):
        """Passes the token ahead where it is of that kind; whether it was."""
        if self.kind != kind:
            return False
        self.advance()
        return True

    def expect(self, kind):
        """The text of the token ahead, which has to be of that kind and is passed."""
        if self.kind != kind:
            name = "->" if kind == "arrow" else kind
            raise self.error(f"expected {'arrow' if name == '->' else kind} but found '{self.kind}' here:")
        return self.advance()[1]


class _Reader:
    def __init__(self, text, allow_typevars):
        self.tokens = _Tokens(text)
        self.allow_typevars = allow_typevars
        self.unnamed = 0

    # -- names and lists ----------------------------------------------------------------------------------------------

    def listed(self, begin, end, item):
        """Calls ``item()`` for each entry between two brackets."""
        tokens = self.tokens
        tokens.expect(begin)
        if tokens.accept(end):
            return
        while True:
            item()
            if not tokens.accept(","):
                break
        tokens.expect(end)

    def name(self):
        """``namespace::name`` and the overload's name, "" for none."""
        tokens = self.tokens
        name = tokens.expect("ident")
        if tokens.accept(":"):
            tokens.expect(":")
            name = f"{name}::{tokens.expect('ident')}"
        overload = ""
        if tokens.kind == ".":
            tokens.advance()
            overload = tokens.expect("ident")
        if overload == "default":
            raise RuntimeError(f"{name}.{overload}: default is not a legal overload name, it stands for none")
        return name, overload

    def schema(self):
        """The whole text."""
        tokens = self.tokens
        name, overload = self.name()
        if tokens.kind == "eof":
            raise RuntimeError(f"Tried to parse a function schema but only the operator name was given: {name}")
        if tokens.kind != "(":
            raise tokens.error(f"expected eof but found '{tokens.kind}' here:")
        arguments, is_vararg = self.arguments()
        tokens.expect("arrow")
        returns, is_varret = self.returns()
        tokens.expect("eof")
        return FunctionSchema(name, overload, arguments, returns, is_vararg, is_varret)

    def arguments(self):
        arguments, facts = [], {"kwarg_only": False, "vararg": False}
        tokens = self.tokens

        def item():
            if facts["vararg"]:
                raise tokens.error("\n... must be the last element of the argument list:")
            if tokens.accept("*"):
                facts["kwarg_only"] = True
            elif tokens.accept("..."):
                facts["vararg"] = True
            else:
                arguments.append(self.argument(facts["kwarg_only"]))

        self.listed("(", ")", item)
        return arguments, facts["vararg"]

    def argument(self, kwarg_only):
        kind, size, alias = self.type()
        name = self.tokens.expect("ident")
        default = self.default(kind, size) if self.tokens.accept("=") else NO_DEFAULT
        return Argument._made(name, kind, size, default, kwarg_only, alias)

    def returns(self):
        tokens, returns = self.tokens, []
        if tokens.accept("..."):
            return [], True
        if tokens.kind != "(":
            return [self.result()], False
        varret = []

        def item():
            if tokens.accept("..."):
                varret.append(True)
            else:
                returns.append(self.result())

        self.listed("(", ")", item)
        return returns, bool(varret)

    def result(self):
        kind, size, alias = self.type()
        name = self.tokens.advance()[1] if self.tokens.kind == "ident" else ""
        return Argument._made(name, kind, size, NO_DEFAULT, False, alias)

    # -- types --------------------------------------------------------------------------------------------------------

    def type(self):
        """A type, the number of elements that its list is said to have, and what it shares memory with."""
        tokens = self.tokens
        kind = self.base()
        alias, size = self.alias(), None
        while tokens.kind in ("[", "?"):
            if tokens.accept("?"):
                kind = t.OptionalType(kind)
                continue
            tokens.advance()
            if size is not None:
                raise tokens.error("a list of a given size is no element of another list:")
            if tokens.kind != "]":
                number = tokens.expect("number")
                if not number.isdigit():
                    raise tokens.error(f"the size of a list has to be an integer, got {number}:")
                size = int(number)
            tokens.expect("]")
            kind = t.ListType(kind)
            outer = self.alias()
            if alias is not None:
                outer = outer or AliasInfo(alias.is_write, (), ())
                outer = AliasInfo(outer.is_write, outer.before_set, outer.after_set, alias)
            alias = outer
            if size is not None:
                if tokens.accept("?"):
                    kind = t.OptionalType(kind)
                break
        return kind, size, alias

    def base(self):
        tokens = self.tokens
        if tokens.kind == "(":
            parts = []
            self.listed("(", ")", lambda: parts.append(self.type()[0]))
            return t.TupleType(parts)
        if tokens.kind in ("NoneType", "None"):
            tokens.advance()
            return t.NoneType.get()
        if tokens.kind != "ident":
            tokens.expect("ident")
        name = tokens.value
        if name == "__torch__":
            raise tokens.error("\nUnknown custom class type; corten has no classes of C++:")
        if name in ("Dict", "Union", *_OF_ONE):
            return self.generic(name)
        if name in _TYPES:
            tokens.advance()
            return _TYPES[name].get()
        if self.allow_typevars and name[0].islower():
            tokens.advance()
            return t.VarType(name)
        raise tokens.error(
            "\nunknown type specifier. Common valid schema types include Tensor, SymInt, int, float, bool, Scalar:"
        )

    def generic(self, name):
        self.tokens.advance()
        parts = []
        self.listed("(", ")", lambda: parts.append(self.type()[0]))
        if name == "Union":
            return t.UnionType(parts)
        if len(parts) != (2 if name == "Dict" else 1):
            raise self.tokens.error(f"{name} is of {2 if name == 'Dict' else 1} type(s), got {len(parts)}:")
        return t.DictType(*parts) if name == "Dict" else _OF_ONE[name](parts[0])

    def alias(self):
        """``(a)``, ``(a!)``, ``(a -> *)`` or ``!``, or None."""
        tokens = self.tokens
        if tokens.accept("!"):
            self.unnamed += 1
            return AliasInfo(True, (f"${self.unnamed - 1}",), ())
        if tokens.kind != "(":
            return None
        tokens.advance()
        before = self.alias_sets()
        is_write = tokens.accept("!")
        after = self.alias_sets() if tokens.accept("arrow") else before
        tokens.expect(")")
        return AliasInfo(is_write, before, after)

    def alias_sets(self):
        tokens = self.tokens
        if tokens.accept("*"):
            return ("*",)
        found = [tokens.expect("ident")]
        while tokens.accept("|"):
            found.append(tokens.expect("ident"))
        return tuple(found)

    # -- defaults -----------------------------------------------------------------------------------------------------

    def default(self, kind, size):
        tokens = self.tokens
        if isinstance(kind, (t.TensorType, t.GeneratorType)):
            tokens.expect("None")
            return None
        if isinstance(kind, _SINGLE):
            return self.constant(kind)
        if isinstance(kind, t.DeviceObjType):
            return _core.device(ast.literal_eval(tokens.expect("string_literal")))
        if not isinstance(kind, t.ListType):
            raise tokens.error(f"a default value of type {kind.str()} cannot be written:")
        element = kind.getElementType()
        if size is not None and tokens.kind != "[":
            return [self.element(element)] * size
        if tokens.kind == "[" and not isinstance(element, _LISTED):
            raise tokens.error("\nlists are only supported for float, int and complex types:")
        found = []
        self.listed("[", "]", lambda: found.append(self.element(element)))
        return found

    def element(self, kind):
        """A constant of a list, which has to be of the element's type."""
        if not isinstance(kind, _LISTED):
            raise self.tokens.error("\nlists are only supported for float, int and complex types:")
        ahead = self.tokens.error("")
        value = self.constant(kind)
        expected = {t.FloatType: float, t.ComplexType: complex, t.BoolType: bool}.get(type(kind), int)
        if type(value) is not expected:
            raise RuntimeError(f"expected {expected.__name__} in a list of type {kind.str()}[]:{ahead}")
        return value

    def constant(self, kind):
        tokens = self.tokens
        if tokens.kind in ("True", "False", "None"):
            return ast.literal_eval(tokens.advance()[1])
        if tokens.kind == "string_literal":
            return ast.literal_eval(tokens.advance()[1])
        if tokens.kind == "ident":
            if tokens.value not in _CONSTANTS:
                raise tokens.error("\ninvalid numeric default value:")
            return _CONSTANTS[tokens.advance()[1]]
        sign = -1 if tokens.accept("-") else 1
        return _number(sign, tokens.expect("number"), kind)


def _number(sign, text, kind):
    """A number as its spelling or its type says: whole, with a fraction, or imaginary."""
    if text.endswith("j"):
        return complex(0.0, sign * float(text[:-1]))
    if isinstance(kind, t.ComplexType):
        return complex(sign * float(text))
    if isinstance(kind, t.FloatType) or not text.isdigit():
        value = sign * float(text)
        if value in (float("inf"), -float("inf")):
            raise IndexError(f"a default value is out of float64's range: {text}")
        return value
    value = sign * int(text)
    if not -_LARGEST <= value < _LARGEST:
        raise IndexError(f"a default value is out of int64's range: {text}")
    return value


def parse_schema(schema, allow_typevars=True):
    """The schema of an operator that a text says.

    Args:
        schema: ``"namespace::name.overload(Tensor x, *, float by=2.) -> Tensor"``.
        allow_typevars: whether an unknown type in lower case stands for any type.

    Raises:
        RuntimeError: the text is no schema; the message shows where.

    Example:
        >>> corten.parse_schema("scale(Tensor x, float by=2) -> Tensor")
        scale(Tensor x, float by=2.) -> Tensor
    """
    if not isinstance(schema, str):
        raise TypeError(f"parse_schema(): schema has to be a str, got {type(schema).__name__}")
    return _Reader(schema, allow_typevars).schema()
