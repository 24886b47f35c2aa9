"""Context managers that are decorators too, under the names of ``torch.utils._contextlib``."""

import functools
import inspect
import warnings

from ..autograd.modes import _Mode, _wrap_generator

__all__ = ["context_decorator"]


class _DecoratorContextManager(_Mode):
    """Base of context managers that decorate functions, generator functions and, with a warning, classes."""

    def __call__(self, orig_func):
        if inspect.isclass(orig_func):
            warnings.warn(
                "Decorating classes is deprecated: decorate the `__init__` method, which is all that is decorated",
                FutureWarning,
                stacklevel=2,
            )
        return super().__call__(orig_func)


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One that decorates with and without parentheses: ``@manager`` and ``@manager()``."""

    def __new__(cls, orig_func=None):
        self = super().__new__(cls)
        return self if orig_func is None else self(orig_func)


def context_decorator(ctx, func):
    """``func`` inside a context manager.

    Args:
        ctx: a context manager, or a function that makes one for each call.
        func: a function, or a generator function, around each of whose steps the context is.

    Raises:
        RuntimeError: ``func`` is a class.
        AssertionError: ``ctx`` is both a context manager and a function.
    """
    if callable(ctx) and hasattr(ctx, "__enter__"):
        raise AssertionError(
            f"context_decorator: {ctx} can be called and is a context manager too; give a function that returns it"
        )
    if inspect.isclass(func):
        raise RuntimeError("Cannot decorate classes; decorate the methods that the context manager is for")
    make = ctx if callable(ctx) else lambda: ctx
    if inspect.isgeneratorfunction(func):
        return _wrap_generator(_Maker(make), func)

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        with make():
            return func(*args, **kwargs)

    return wrapped


class _Maker:
    """What `_wrap_generator` clones for every step."""

    def __init__(self, clone):
        self.clone = clone
