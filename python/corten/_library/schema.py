"""Schemas of operators, such as ``mylib::scale(Tensor x, float by=2.) -> Tensor``: from text, and from annotations."""

import collections.abc
import enum
import inspect
import re
import types
import typing
from dataclasses import dataclass

from .. import _core

Tensor = _core.Tensor


class Tag(enum.Enum):
    """Facts about an operator that a program may declare."""

    core = enum.auto()
    cudagraph_unsafe = enum.auto()
    data_dependent_output = enum.auto()
    dynamic_output_shape = enum.auto()
    flexible_layout = enum.auto()
    generated = enum.auto()
    inplace = enum.auto()
    inplace_view = enum.auto()
    maybe_aliasing_or_mutating = enum.auto()
    needs_contiguous_strides = enum.auto()
    needs_exact_strides = enum.auto()
    needs_fixed_stride_order = enum.auto()
    nondeterministic_bitwise = enum.auto()
    nondeterministic_seeded = enum.auto()
    out = enum.auto()
    out_variant = enum.auto()
    pointwise = enum.auto()
    pt2_compliant_tag = enum.auto()
    reduction = enum.auto()
    view_copy = enum.auto()


Number = int | float | bool
_REQUIRED = object()
# A type's name in schemas, by Python's type.
_SCALARS = {int: "SymInt", float: "float", bool: "bool", str: "str", Number: "Scalar"}
_OTHERS = {_core.dtype: "ScalarType", _core.device: "Device"}
_BY_NAME = {"Tensor": Tensor, "dtype": _core.dtype, "device": _core.device}
_LISTS = (list, collections.abc.Sequence)
_KINDS = ["Tensor", "SymInt", "int", "float", "bool", "str", "Scalar", "ScalarType", "Device", "Layout", "MemoryFormat"]


@dataclass(frozen=True)
class Argument:
    """A parameter or a result: ``base`` is its type without ``[]`` and ``?``."""

    name: str
    type: str
    base: str
    is_list: bool
    optional: bool
    item_optional: bool = False
    alias: str = ""
    kwarg_only: bool = False
    default: object = _REQUIRED

    @property
    def required(self):
        """Whether a call has to give it."""
        return self.default is _REQUIRED

    @property
    def is_write(self):
        """Whether the operator writes to it."""
        return self.alias.endswith("!")

    @property
    def default_value(self):
        """What it is where a call does not give it."""
        return None if self.required else self.default

    def has_default_value(self):
        """Whether a call may leave it out."""
        return not self.required

    @property
    def holds_tensors(self):
        """Whether it is a tensor or a list of tensors."""
        return self.base == "Tensor"

    def __str__(self):
        text = f"{self.type} {self.name}".rstrip()
        return text if self.required else f"{text}={_shown(self.default)}"


def _shown(value):
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{int(value)}." if value.is_integer() and abs(value) < 1e16 else repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)


@dataclass(frozen=True)
class FunctionSchema:
    """An operator's name, parameters and results."""

    namespace: str
    name: str
    overload_name: str
    arguments: tuple
    returns: tuple

    @property
    def qualified_name(self):
        """``namespace::name``, with the overload's name behind a dot."""
        head = f"{self.namespace}::{self.name}" if self.namespace else self.name
        return f"{head}.{self.overload_name}" if self.overload_name else head

    @property
    def is_mutable(self):
        """Whether the operator writes to an argument."""
        return any(a.is_write for a in self.arguments)

    @property
    def positional(self):
        """The parameters that may be given by position."""
        return tuple(a for a in self.arguments if not a.kwarg_only)

    @property
    def keyword_only(self):
        """The parameters that are given by name."""
        return tuple(a for a in self.arguments if a.kwarg_only)

    def __str__(self):
        parts = [str(a) for a in self.positional]
        if self.keyword_only:
            parts += ["*", *(str(a) for a in self.keyword_only)]
        results = [str(r) for r in self.returns]
        shown = results[0] if len(results) == 1 else f"({', '.join(results)})"
        return f"{self.qualified_name}({', '.join(parts)}) -> {shown}"

    __repr__ = __str__


# -- from text --------------------------------------------------------------------------------------------------------

_SCHEMA = re.compile(r"^\s*(?:(\w+)::)?(\w*)(?:\.(\w+))?\s*\((.*)\)\s*->\s*(.+?)\s*$", re.DOTALL)
_TYPE = re.compile(r"^(\w+)(\(\w+!?\))?(\?)?(\[\d*\])?(\?)?$")


def _bad(text, why):
    return RuntimeError(f"{why} here:\n{text}")


def _split(text):
    """The parts between commas that lie in no brackets."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def _parsed_default(text, base, where):
    if text == "None":
        return None
    if text in ("True", "False"):
        return text == "True"
    if text[:1] in "\"'" and text[-1:] == text[:1]:
        return text[1:-1]
    if text.startswith("[") and text.endswith("]"):
        return [_parsed_default(part, base, where) for part in _split(text[1:-1])]
    try:
        return float(text) if base == "float" else int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        if base in ("ScalarType", "Layout", "MemoryFormat"):
            return getattr(_core, text.rpartition(".")[2])
        if base == "Device":
            return _core.device(text)
        raise _bad(where, f"invalid numeric default value: {text}") from None


def _parsed_argument(text, kwarg_only, whole, named=True):
    declaration, equals, default = (part.strip() for part in text.partition("="))
    kind, _, name = declaration.rpartition(" ") if named and " " in declaration else (declaration, "", "")
    if named and not kind.strip():
        raise _bad(whole, f"expected a type and a name, found {text!r}")
    match = _TYPE.match(kind.strip())
    if not match or match[1] not in _KINDS:
        raise _bad(whole, f"Unknown type specifier: {kind.strip() or name!r}")
    base, alias, first, brackets, second = match.groups()
    return Argument(
        name=name,
        type=kind.strip(),
        base="SymInt" if base == "int" else base,
        is_list=bool(brackets),
        optional=bool(second or (first and not brackets)),
        item_optional=bool(first and brackets),
        alias=(alias or "").strip("()"),
        kwarg_only=kwarg_only,
        default=_parsed_default(default, base, whole) if equals else _REQUIRED,
    )


def parse(text, name=None):
    """The schema that a text says.

    Args:
        name: ``namespace::name`` where the text has none.

    Raises:
        RuntimeError: the text is no schema.
    """
    match = _SCHEMA.match(f"{name}{text}" if name and text.lstrip().startswith("(") else text)
    if not match:
        raise _bad(text, "expected name(Type argument, ...) -> Type")
    namespace, operator, overload, inside, results = match.groups()
    arguments, kwarg_only = [], False
    for part in _split(inside):
        if part == "*":
            kwarg_only = True
            continue
        arguments.append(_parsed_argument(part, kwarg_only, text))
    names = [a.name for a in arguments]
    if twice := {n for n in names if names.count(n) > 1}:
        raise _bad(text, f"the name of an argument is there twice, {min(twice)},")
    several = results.startswith("(") and results.endswith(")")
    returns = [_parsed_argument(part, False, text) for part in _split(results[1:-1] if several else results)]
    return FunctionSchema(namespace or "", operator, overload or "", tuple(arguments), tuple(returns))


# -- from annotations -------------------------------------------------------------------------------------------------


def _resolved(annotation, function):
    """An annotation that is written as text, as the type it names."""
    if not isinstance(annotation, str):
        return annotation
    scope = {**vars(typing), **_BY_NAME, **getattr(function, "__globals__", {})}
    try:
        return eval(annotation, scope)
    except Exception:
        raise ValueError(f"Unsupported type annotation {annotation}. It is not a type.") from None


def _union_members(kind):
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return ()


def _type_name(kind, mutable=""):
    """What an annotation is called in schemas; None for one that schemas have not."""
    if kind in (int, float, bool, str):
        return _SCALARS[kind]
    if kind is Tensor or (isinstance(kind, type) and issubclass(kind, Tensor)):
        return f"Tensor{mutable}"
    if kind in _OTHERS:
        return _OTHERS[kind]
    members = set(_union_members(kind))
    if members == {int, float, bool}:
        return "Scalar"
    if type(None) in members:
        rest = [m for m in _union_members(kind) if m is not type(None)]
        inner = (
            "Scalar" if set(rest) == {int, float, bool} else _type_name(rest[0], mutable) if len(rest) == 1 else None
        )
        return None if inner is None or inner.endswith("?") else f"{inner}?"
    if typing.get_origin(kind) in _LISTS:
        (item,) = typing.get_args(kind) or (None,)
        inner = _type_name(item)
        listed = {"Tensor", "Tensor?", "SymInt", "float", "bool", "Scalar"}
        return f"{inner[:-1] if mutable and inner.endswith('?') else inner}{mutable}[]" if inner in listed else None
    return None


def _return_names(kind):
    """The types of the results of an annotation; None where schemas have it not."""
    if kind is None or kind is type(None):
        return []
    if typing.get_origin(kind) is tuple:
        found = [_type_name(part) for part in typing.get_args(kind)]
    else:
        found = [_type_name(kind)]
    allowed = {"Tensor", "Tensor[]", "SymInt", "float", "bool", "Scalar"}
    return found if all(name in allowed for name in found) else None


def _default_text(parameter, kind, error):
    value = parameter.default
    if value is None or isinstance(value, (bool, int, float)):
        if kind == "Tensor" and value is not None:
            error(f"Parameter {parameter.name} is a Tensor, whose only default value may be None, with type Optional.")
        if isinstance(value, int) and not isinstance(value, bool) and kind.rstrip("?") == "float":
            value = float(value)
        return f"={_shown(value)}"
    if isinstance(value, str):
        return f"={_shown(value)}"
    if isinstance(value, (_core.dtype, _core.device)):
        return f"={value}"
    error(
        f"Parameter {parameter.name} has an unsupported default value type {type(value)}. It may be a number, a text, "
        "a dtype, a device or None."
    )
    return ""


def _mutable_names(mutates_args, signature, error):
    if mutates_args == "unknown":
        return None
    if isinstance(mutates_args, str):
        raise ValueError(
            "mutates_args must either be a sequence of the names of the arguments that are mutated or the string "
            "'unknown'. "
        )
    names = set(mutates_args)
    if lacking := names - set(signature.parameters):
        error(
            f"{lacking} in mutates_args were not found in the custom op's signature. mutates_args should contain the "
            "names of all args that the custom op mutates, or just the string 'unknown' if you don't know."
        )
    return names


def _check_tags(tags, signature, names, returns, error):
    """The letter that results share with arguments, by the operator's tags."""
    parameters = list(signature.parameters.values())
    positional = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    if Tag.inplace in tags:
        if names is None or names != set(positional[:1]) or not names:
            error(
                "torch.Tag.inplace requires mutates_args to contain exactly the first positional argument, got "
                f"{tuple(names or ('unknown',)) if names else ()}."
            )
        if returns != ["Tensor"]:
            error("torch.Tag.inplace requires the operator to return that argument, a Tensor.")
        return [positional[0]]
    if Tag.out in tags:
        if not names:
            error("torch.Tag.out requires mutates_args to name the tensors that are written.")
        if names & set(positional):
            error("torch.Tag.out requires mutable arguments to be keyword-only.")
        outs = [p.name for p in parameters if p.name in names]
        if returns != ["Tensor"] * len(outs):
            error("torch.Tag.out requires the operator to return the tensors that it writes, in their order.")
        return outs
    return []


def as_tags(tags):
    """Tags as a tuple: None, one, or several."""
    if tags is None:
        return ()
    return (tags,) if isinstance(tags, Tag) else tuple(tags)


def infer_schema(prototype_function, /, *, mutates_args, op_name=None, tags=()):
    """The schema that a function's annotations say, as text.

    Args:
        prototype_function: a function whose parameters and result are annotated with tensors, numbers, texts, dtypes,
            devices, lists of one of them and ``Optional``.
        mutates_args: the names of the tensors that it writes to, or "unknown" for perhaps all.
        op_name: the name in the schema.
        tags: ``Tag.inplace`` or ``Tag.out`` say that results are the arguments that are written.

    Raises:
        ValueError: an annotation is missing or none that a schema can say.

    Example:
        >>> def scale(x: corten.Tensor, by: float = 2.0) -> corten.Tensor: ...
        >>> corten.library.infer_schema(scale, mutates_args=())
        '(Tensor x, float by=2.) -> Tensor'
    """
    signature = inspect.signature(prototype_function)

    def error(text):
        raise ValueError(f"infer_schema(func): {text} Got func with signature {signature})")

    names = _mutable_names(mutates_args, signature, error)
    result = signature.return_annotation
    if result is inspect.Signature.empty:
        for parameter in signature.parameters.values():
            _annotation(parameter, prototype_function, error)
        error("No return type annotation was provided. Please add one.")
    returns = _return_names(_resolved(result, prototype_function))
    parts, star = [], False
    letters = {}
    for number, parameter in enumerate(signature.parameters.values()):
        kind = _annotation(parameter, prototype_function, error)
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        written = names is None or parameter.name in names
        plain = _type_name(kind)
        if plain is None:
            error(
                f"Parameter {parameter.name} has unsupported type {kind}. The valid types are: Tensor, int, float, "
                "bool, str, dtype, device, Number, lists of Tensor, int, float, bool and Number, and Optional of them."
            )
        if written and "Tensor" in plain:
            letters[parameter.name] = f"(a{number}!)"
        elif written and names is not None:
            error(
                f"Parameter {parameter.name} is in mutable_args but only Tensors or collections of Tensors can be "
                "mutated"
            )
        text = f"{_type_name(kind, letters.get(parameter.name, ''))} {parameter.name}"
        if parameter.default is not inspect.Parameter.empty:
            text += _default_text(parameter, plain, error)
        parts.append(text)
    if returns is None:
        error(
            f"Return has unsupported type {_resolved(result, prototype_function)}. The valid types are: Tensor, lists "
            "of Tensor, int, float, bool, Number, and tuples of them."
        )
    shared = _check_tags(as_tags(tags), signature, names, returns, error)
    returns = [f"Tensor{letters[name]}" for name in shared] or returns
    shown = returns[0] if len(returns) == 1 else f"({', '.join(returns)})"
    return f"{op_name or ''}({', '.join(parts)}) -> {shown}"


def _annotation(parameter, function, error):
    if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
        error("We do not support positional-only args, varargs, or varkwargs.")
    if parameter.annotation is inspect.Parameter.empty:
        error(f"Parameter {parameter.name} must have a type annotation.")
    return _resolved(parameter.annotation, function)


# -- arguments of a call ----------------------------------------------------------------------------------------------


def _cast(value, base):
    """A value as the type; TypeError where it is none."""
    if base == "Tensor":
        fits = isinstance(value, Tensor)
    elif base == "SymInt":
        if isinstance(value, Tensor) and value.dim() == 0 and not value.is_floating_point():
            return value.item()
        fits = not isinstance(value, (float, str, Tensor)) and hasattr(value, "__index__")
    elif base in ("float", "Scalar"):
        if isinstance(value, Tensor) and value.dim() == 0:
            value = value.item()
        fits = hasattr(value, "__float__") and not isinstance(value, (str, Tensor))
        return float(value) if fits and base == "float" else _or_raise(value, fits)
    elif base == "Device":
        return _core.device(value)
    else:
        kinds = {"bool": bool, "str": str, "ScalarType": _core.dtype}
        fits = base not in kinds or isinstance(value, kinds[base])
    return _or_raise(value, fits)


def _or_raise(value, fits):
    if not fits:
        raise TypeError
    return value


def _fitted(argument, value):
    if value is None and argument.optional:
        return None
    if not argument.is_list:
        return _cast(value, argument.base)
    if isinstance(value, (str, Tensor)) or not isinstance(value, collections.abc.Sequence):
        raise TypeError
    return [None if v is None and argument.item_optional else _cast(v, argument.base) for v in value]


def bind(schema, args, kwargs):
    """The arguments of a call by position and by name, of the schema's types, with what it leaves out filled in.

    Raises:
        RuntimeError: they do not fit the schema.
    """
    name, said = schema.qualified_name, f"Declaration: {schema}"
    positional = schema.positional
    if len(args) > len(positional):
        if schema.keyword_only:
            raise RuntimeError(
                f"{name}() takes {len(positional)} positional argument(s) but {len(args)} was/were given.  {said}"
            )
        raise RuntimeError(
            f"{name}() expected at most {len(positional)} argument(s) but received {len(args) + len(kwargs)} "
            f"argument(s). {said}"
        )
    given = dict(zip((a.name for a in positional), args, strict=False))
    if twice := given.keys() & kwargs.keys():
        raise RuntimeError(f"{name}() got the argument '{min(twice)}' by position and by name. {said}")
    given.update(kwargs)
    found = {}
    for place, argument in enumerate(schema.arguments):
        if argument.name not in given:
            if argument.required:
                raise RuntimeError(f"{name}() is missing value for argument '{argument.name}'. {said}")
            found[argument.name] = argument.default
            continue
        value = given.pop(argument.name)
        try:
            found[argument.name] = _fitted(argument, value)
        except (TypeError, RuntimeError):
            raise RuntimeError(
                f"{name}() Expected a value of type '{argument.type}' for argument '{argument.name}' but instead found "
                f"type '{type(value).__name__}'.\nPosition: {place}\nValue: {value}\n{said}"
            ) from None
    if given:
        raise RuntimeError(f"{name}() got an argument that it has not, '{min(given)}'. {said}")
    by_name = {a.name: found[a.name] for a in schema.keyword_only}
    return tuple(found[a.name] for a in positional), by_name
