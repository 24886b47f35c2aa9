"""The names of ``torch._jit_internal`` that libraries use; there is no TorchScript, so they change nothing."""

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035  (the names are what is imported from here)

from .jit import Final, Future, export, ignore, is_scripting, unused

__all__ = [
    "Any",
    "BroadcastingList1",
    "BroadcastingList2",
    "BroadcastingList3",
    "Dict",
    "Final",
    "Future",
    "List",
    "Optional",
    "Tuple",
    "Union",
    "boolean_dispatch",
    "export",
    "ignore",
    "is_scripting",
    "unused",
]


class _BroadcastingList:
    """An annotation: ``BroadcastingList2[int]`` is a number, or a list of 2."""

    def __getitem__(self, types):
        return None


BroadcastingList1, BroadcastingList2, BroadcastingList3 = (_BroadcastingList() for _ in range(3))


def boolean_dispatch(arg_name, arg_index, default, if_true, if_false, module_name, func_name):
    """A function that calls one of two as the argument ``arg_name`` says.

    Args:
        arg_name, arg_index: the argument, by keyword and by position.
        default: its value where it is not given.
        if_true, if_false: called with all arguments.
        module_name, func_name: what the function says it is.
    """

    def fn(*args, **kwargs):
        chosen = kwargs.get(arg_name, args[arg_index] if arg_index < len(args) else default)
        return (if_true if chosen else if_false)(*args, **kwargs)

    fn.__doc__ = if_true.__doc__ or if_false.__doc__
    fn.__module__ = module_name or fn.__module__
    fn.__name__ = func_name or fn.__name__
    return fn


def _overload(func):
    """The function, a declaration for TorchScript."""
    return func


_overload_method = _overload


def _copy_to_script_wrapper(fn):
    """The function."""
    return fn
