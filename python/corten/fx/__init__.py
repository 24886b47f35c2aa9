"""Programs as graphs: tracing a function, reading and changing what it does, and the code of the result.

`symbolic_trace` calls a function with proxies and gets a `GraphModule`: a module whose `forward` is written by its
`graph`, a list of nodes. A pass goes through the nodes; `Interpreter` runs them, `Transformer` rewrites them.
"""

from . import graph, immutable_collections, node, proxy, traceback
from ._symbolic_trace import PH, ProxyableClassMeta, Tracer, symbolic_trace, wrap
from .graph import CodeGen, Graph
from .graph_module import GraphModule
from .interpreter import Interpreter, Transformer
from .node import Node, has_side_effect, map_arg
from .proxy import Proxy
from .subgraph_rewriter import replace_pattern

__all__ = [
    "PH",
    "CodeGen",
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "Proxy",
    "ProxyableClassMeta",
    "Tracer",
    "Transformer",
    "graph",
    "has_side_effect",
    "immutable_collections",
    "map_arg",
    "node",
    "proxy",
    "replace_pattern",
    "symbolic_trace",
    "traceback",
    "wrap",
]

_PARTS = ("annotate", "experimental", "operator_schemas", "passes")


def __getattr__(name):
    if name in _PARTS:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    from .._missing import missing

    raise missing(__name__, name, "corten.fx has graphs, tracers, interpreters and pattern replacement")
