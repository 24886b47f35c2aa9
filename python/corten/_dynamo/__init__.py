"""The names of ``torch._dynamo`` that programs use beside `corten.compile`; `corten.compiler` has what they do."""

import contextlib
from types import SimpleNamespace

from ..compiler import OptimizedModule, allow_in_graph, assume_constant_result, disable, is_compiling, reset
from . import eval_frame, exc

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "eval_frame",
    "exc",
    "graph_break",
    "is_compiling",
    "mark_dynamic",
    "mark_static",
    "maybe_mark_dynamic",
    "reset",
]


class _Config(SimpleNamespace):
    """Switches of PyTorch's compiler: kept, without an effect. What cannot be recorded runs in Python in any case."""

    @contextlib.contextmanager
    def patch(self, arg1=None, arg2=None, **changes):
        """A context or decorator with other values: by keyword, as a dict, or as a name and a value."""
        changes |= arg1 if isinstance(arg1, dict) else {} if arg1 is None else {arg1: arg2}
        before = dict(self.__dict__)
        self.__dict__.update(changes)
        try:
            yield
        finally:
            self.__dict__.clear()
            self.__dict__.update(before)


config = _Config(
    verbose=False, suppress_errors=False, cache_size_limit=8, recompile_limit=8, dynamic_shapes=True, disable=False
)


def graph_break(msg=""):
    """Nothing: a recording is of the whole function."""


def mark_dynamic(t, index, *, min=None, max=None):
    """Nothing: another size is another recording, of which a function may have 64."""


def maybe_mark_dynamic(t, index):
    """As `mark_dynamic`."""


def mark_static(t, index=None):
    """As `mark_dynamic`."""


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
