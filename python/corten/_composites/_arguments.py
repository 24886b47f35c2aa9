"""Types of the arguments of functions written in Python, checked as those of native operators are."""

import functools
import operator

from .. import _core
from ..overrides import handle_torch_function, has_torch_function, taken, takes_over

Tensor = _core.Tensor
_ABSENT = object()


def _is_int(value):
    if isinstance(value, bool):
        return False
    if isinstance(value, Tensor) and not (
        value.dim() == 0 and not value.is_floating_point() and not value.is_complex()
    ):
        return False
    try:
        operator.index(value)
    except (TypeError, RuntimeError, ValueError):
        return False
    return True


def _is_float(value):
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.dim() == 0) or _has_number(value)


def _has_number(value):
    return type(value).__module__ == "numpy" and hasattr(value, "__float__") and getattr(value, "ndim", 1) == 0


def _is_bool(value):
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"))


_KINDS = {
    "bool": _is_bool,
    "int": _is_int,
    "float": _is_float,
    "str": lambda value: isinstance(value, str),
    "Tensor": lambda value: isinstance(value, Tensor) or hasattr(type(value), "__torch_function__"),
    "dtype": lambda value: isinstance(value, _core.dtype),
}
_SHOWN = {"dtype": "torch.dtype"}


# numpy's names, which native operators take as well, and those of the arguments they stand for.
_ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}


def _aliases(code):
    """numpy's names for the arguments of a function that has none of that name."""
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    found = {alias: name for alias, name in _ALIASES.items() if name in names and alias not in names}
    for first in ("A", "x", "L"):
        # The documentation calls matrices and vectors so, the parser `input` as everywhere.
        if first in names and "input" not in names:
            return found | {alias: first for alias in ("x", "a", "input") if alias != first}
    return found


def _renamed(name, aliases, kwargs):
    found = {}
    for key, value in kwargs.items():
        key = aliases.get(key, key)
        if key in found:
            raise TypeError(f"{name}() got multiple values for argument '{key}'")
        found[key] = value
    return found


def _flat(values):
    """The values, with the parts of lists and tuples in their place."""
    return [part for value in values for part in (value if isinstance(value, (list, tuple)) else (value,))]


def _takers(values):
    """The arguments of classes that take over functions: not of those that take over the engine's operators only."""
    if taken.over:
        values = _flat(values)
    found = _core.overriding_arguments(values)
    return [value for value in found if not getattr(type(value), "_decomposes", False)] if found else found


def _spelled(function, args, kwargs):
    """The arguments as PyTorch's functions in Python give theirs on: those with a default by name."""
    import inspect

    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    by_position, by_name = [], {}
    for name, value in bound.arguments.items():
        parameter = bound.signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            by_position += value
        elif parameter.default is inspect.Parameter.empty:
            by_position.append(value)
        else:
            by_name[name] = value
    return tuple(by_position), by_name


def handed_over(function, spelled=False):
    """Wraps a function so that objects with ``__torch_function__``, and modes, take it over as a whole, as called.

    Args:
        spelled: they get the arguments that have defaults by name, all of them.
    """

    @functools.wraps(function)
    def asked(*args, **kwargs):
        if taken.over:
            given = _flat((*args, *kwargs.values()))
            if takes_over(*given):
                if spelled:
                    args, kwargs = _spelled(function, args, kwargs)
                return handle_torch_function(asked, given, *args, **kwargs)
        return function(*args, **kwargs)

    return asked


def typed(name, spelled=False, **kinds):
    """Wraps a function so that arguments of other types raise TypeError; it takes numpy's names of arguments as well.

    Objects with ``__torch_function__`` take over the function as a whole.

    Args:
        name: the operator's name in the error.
        spelled: whoever takes it over, modes as well, gets the arguments that have defaults by name, all of them.
        kinds: by argument ``"bool"``, ``"int"``, ``"float"``, ``"str"``, ``"Tensor"`` or ``"dtype"``, with a question
            mark behind it where None is allowed.
    """

    def decorate(function):
        code = function.__code__
        aliases = _aliases(code)
        positions = {argument: i for i, argument in enumerate(code.co_varnames[: code.co_argcount])}
        rows = [
            (argument, positions.get(argument), kind.rstrip("?"), kind.endswith("?"), _KINDS[kind.rstrip("?")])
            for argument, kind in kinds.items()
        ]

        @functools.wraps(function)
        def checked(*args, **kwargs):
            takers = _takers((*args, *kwargs.values()))
            if spelled and taken.over and takes_over(*_flat((*args, *kwargs.values()))):
                args, kwargs = _spelled(function, args, _renamed(name, aliases, kwargs))
                return handle_torch_function(checked, takers, *args, **kwargs)
            if takers and not spelled and has_torch_function(takers):
                return handle_torch_function(checked, takers, *args, **kwargs)
            if kwargs and not aliases.keys().isdisjoint(kwargs):
                kwargs = _renamed(name, aliases, kwargs)
            for argument, position, kind, optional, accepts in rows:
                placed = position is not None and position < len(args)
                value = args[position] if placed else kwargs.get(argument, _ABSENT)
                if value is _ABSENT or (optional and value is None) or accepts(value):
                    continue
                where = f" (position {position + 1})" if placed else ""
                wanted, given = _SHOWN.get(kind, kind), type(value).__name__
                raise TypeError(f"{name}(): argument '{argument}'{where} must be {wanted}, not {given}")
            return function(*args, **kwargs)

        return checked

    return decorate
