"""Annotations of values while they are traced."""

from .proxy import Proxy

__all__ = ["annotate"]


def annotate(val, type):
    """Gives the node of a proxy the annotation ``type``; returns the value.

    Raises:
        RuntimeError: the node has one.
    """
    if isinstance(val, Proxy):
        if val.node.type:
            raise RuntimeError(
                f"Tried to annotate a value that already had a type on it! Existing type is {val.node.type} and new "
                f"type is {type}."
            )
        val.node.type = type
    return val
