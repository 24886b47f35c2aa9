"""The names of ``torch._dynamo`` that programs use beside `corten.compile`; `corten.compiler` has what they do."""

from types import SimpleNamespace

from .compiler import allow_in_graph, assume_constant_result, disable, is_compiling, reset

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "graph_break",
    "is_compiling",
    "mark_dynamic",
    "mark_static",
    "maybe_mark_dynamic",
    "reset",
]

# Switches of PyTorch's compiler: kept, without an effect. What cannot be recorded runs in Python in any case.
config = SimpleNamespace(
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
    from ._missing import missing

    raise missing(__name__, name)
