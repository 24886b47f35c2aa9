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


class _Untraced:
    def __init__(self, *args, **kwargs):
        raise _refused(type(self).__name__)


class Graph(_Untraced):
    """The code of a function as a list of nodes; there is none."""


class GraphModule(_Untraced):
    """A module made from a graph; there is none."""


class Node(_Untraced):
    """A step of a graph; there is none."""


class Proxy(_Untraced):
    """What stands for a value while code is traced; there is none."""


class Tracer(_Untraced):
    """What writes a graph down; programs are not traced."""


class Interpreter(_Untraced):
    """What runs a graph step by step; there is none."""


class Transformer(Interpreter):
    """What rewrites a graph; there is none."""


def symbolic_trace(root, concrete_args=None):
    """Raises NotImplementedError: programs are not traced."""
    raise _refused("symbolic_trace")


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name, _INSTEAD)
