"""The names of ``torch.fx`` that packages import; programs are not traced, so nothing has a graph of Python code.

`wrap` marks functions that a tracer would not look into. Classes are there for `isinstance`, which is always false, and
say what to do instead when they are made.
"""

__all__ = [
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "Proxy",
    "Tracer",
    "Transformer",
    "symbolic_trace",
    "wrap",
]


_INSTEAD = "programs are not traced; no call is needed, they are fused while they run"


def _refused(name):
    return NotImplementedError(f"torch.fx.{name}: {_INSTEAD}")


def wrap(fn_or_name):
    """Returns what it is given: no tracer looks into the function.

    Raises:
        RuntimeError: neither a function nor the name of one.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    return fn_or_name


class Graph:
    """The code of a function as a list of nodes; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused(type(self).__name__)


class GraphModule:
    """A module made from a graph; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused(type(self).__name__)


class Node:
    """A step of a graph; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused(type(self).__name__)


class Proxy:
    """What stands for a value while code is traced; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused(type(self).__name__)


class Tracer:
    """What writes a graph down; programs are not traced."""

    def __init__(self, *args, **kwargs):
        raise _refused(type(self).__name__)


class Interpreter:
    """What runs a graph step by step; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused(type(self).__name__)


class Transformer(Interpreter):
    """What rewrites a graph; there is none."""


def symbolic_trace(root, concrete_args=None):
    """Raises NotImplementedError: programs are not traced."""
    raise _refused("symbolic_trace")


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name, _INSTEAD)
