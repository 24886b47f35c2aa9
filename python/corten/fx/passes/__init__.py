"""Passes over graphs."""

__all__ = ["shape_prop"]

from . import shape_prop


def __getattr__(name):
    from ..._missing import missing

    raise missing(__name__, name, "a pass is a function that goes through graph.nodes, or a corten.fx.Interpreter")
