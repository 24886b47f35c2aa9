"""Arguments of functions and modules in the order and under the names of their signatures."""

import functools
import inspect
import types
from typing import NamedTuple

from .. import _core, overrides

__all__ = ["ArgsKwargsPair", "get_signature_for_torch_op", "normalize_function", "normalize_module"]


class ArgsKwargsPair(NamedTuple):
    """Arguments by position and by name."""

    args: tuple
    kwargs: dict


@functools.cache
def _native_signatures():
    return {
        getattr(_core.ops, name): [overrides._signature(text) for text in overloads]
        for name, style, overloads, *_ in _core.op_signatures()
        if style == "function"
    }


def get_signature_for_torch_op(op, return_schemas=False):
    """The signatures of a function, None where they are unknown.

    Raises:
        NotImplementedError: schemas are asked for; `corten.library` has those of registered operators.
    """
    if return_schemas:
        raise NotImplementedError("get_signature_for_torch_op: there are signatures, no schemas, of corten's functions")
    if isinstance(op, types.BuiltinFunctionType):
        return _native_signatures().get(op)
    return [inspect.signature(op)] if isinstance(op, types.FunctionType) else None


def normalize_function(target, args, kwargs=None, arg_types=None, kwarg_types=None, normalize_to_only_use_kwargs=False):
    """A call's arguments with all defaults: those behind the given ones by name.

    Of a function with several forms, the first counts that the arguments fit by number and name.

    Args:
        normalize_to_only_use_kwargs: all of them by name.

    Returns:
        an :class:`ArgsKwargsPair`, or None where the signature is unknown or the arguments do not fit.
    """
    for signature in get_signature_for_torch_op(target) or ():
        found = _normalized(signature, args, kwargs or {}, normalize_to_only_use_kwargs)
        if found is not None:
            return found
    return None


def normalize_module(root, target, args, kwargs=None, normalize_to_only_use_kwargs=False):
    """As :func:`normalize_function`, for a call of a submodule of ``root``.

    Raises:
        RuntimeError: there is no such submodule.
    """
    try:
        module = root.get_submodule(target)
    except AttributeError:
        raise RuntimeError(
            f"Tried to normalize arguments to module target {target} but root did not have module {target}!"
        ) from None
    return _normalized(inspect.signature(module.forward), args, kwargs or {}, normalize_to_only_use_kwargs)


def _normalized(signature, args, kwargs, only_by_name):
    parameters = signature.parameters.values()
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in parameters):
        return None
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    values = list(bound.arguments.items())
    count = 0 if only_by_name else len(args)
    return ArgsKwargsPair(tuple(value for _, value in values[:count]), dict(values[count:]))
