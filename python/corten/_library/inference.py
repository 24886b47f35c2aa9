"""`infer_schema`: the schema of an operator that the annotations of a function say."""

import collections.abc
import inspect
import types
import typing

from .. import _core
from .schema import Tag, shown

Tensor = _core.Tensor
Number = int | float | bool
# A type's name in schemas, by Python's type.
_SCALARS = {int: "SymInt", float: "float", bool: "bool", str: "str", Number: "Scalar"}
_OTHERS = {_core.dtype: "ScalarType", _core.device: "Device"}
_BY_NAME = {"Tensor": Tensor, "dtype": _core.dtype, "device": _core.device}
_LISTS = (list, collections.abc.Sequence)


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


def _literal(value):
    """A number as it reads back: Python's spelling, with a point behind whole floats."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return f"{int(value)}."
    return repr(value)


def _default_text(parameter, kind, error):
    value = parameter.default
    if value is None or isinstance(value, (bool, int, float)):
        if kind == "Tensor" and value is not None:
            error(f"Parameter {parameter.name} is a Tensor, whose only default value may be None, with type Optional.")
        if isinstance(value, int) and not isinstance(value, bool) and kind.rstrip("?") == "float":
            value = float(value)
        return f"={_literal(value)}"
    if isinstance(value, str) and kind.startswith("Device"):
        return f'="{_core.device(value)}"'
    if isinstance(value, str):
        return f"={shown(value, quoted=True)}"
    if isinstance(value, _core.dtype):
        return f"={str(value).rpartition('.')[2]}"
    if isinstance(value, _core.device):
        return f'="{value}"'
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
