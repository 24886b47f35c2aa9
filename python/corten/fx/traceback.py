"""What is noted about the node that is run, and goes with it to the nodes that are made meanwhile."""

import copy
import threading
import traceback as _traceback
from contextlib import contextmanager

__all__ = [
    "annotate",
    "format_stack",
    "get_current_meta",
    "has_preserved_node_meta",
    "preserve_node_meta",
    "set_current_meta",
    "set_stack_trace",
]


class _Current(threading.local):
    meta: dict = {}
    preserved = False


_current = _Current()


@contextmanager
def preserve_node_meta(enable=True):
    """A context in which nodes get the ``meta`` of the node that is run."""
    before = _current.meta, _current.preserved
    _current.meta, _current.preserved = copy.copy(_current.meta), enable
    try:
        yield
    finally:
        _current.meta, _current.preserved = before


def has_preserved_node_meta():
    """Whether nodes get the ``meta`` of the node that is run."""
    return _current.preserved


@contextmanager
def set_current_meta(node, pass_name=""):
    """A context in which ``node`` is the one that is run."""
    if not _current.preserved or not node.meta:
        yield
        return
    before = _current.meta
    _current.meta = dict(node.meta)
    try:
        yield
    finally:
        _current.meta = before


def get_current_meta():
    """The ``meta`` of the node that is run."""
    return _current.meta


def set_stack_trace(stack):
    """Says, as lines of a traceback, where the nodes that follow come from."""
    if _current.preserved and stack:
        _current.meta = {**_current.meta, "stack_trace": "".join(stack)}


@contextmanager
def annotate(annotation_dict):
    """A context whose nodes get these entries under ``meta["custom"]``."""
    before = _current.meta, _current.preserved
    custom = {**_current.meta.get("custom", {}), **annotation_dict}
    _current.meta, _current.preserved = {**_current.meta, "custom": custom}, True
    try:
        yield
    finally:
        _current.meta, _current.preserved = before


def format_stack():
    """The lines of a traceback that lead here, or to the node that is run."""
    if _current.preserved and "stack_trace" in _current.meta:
        return [_current.meta["stack_trace"]]
    return _traceback.format_list(_traceback.extract_stack()[:-1])
