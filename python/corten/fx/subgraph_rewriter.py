"""Replaces the places of a graph that look like a pattern."""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import corten

from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule
from .node import Node
from .passes.utils.matcher_utils import SubgraphMatcher

__all__ = ["Match", "ReplacedPatterns", "replace_pattern", "replace_pattern_with_filters"]


class Match(NamedTuple):
    """A place that was replaced.

    Attributes:
        anchor: the node of the pattern that gives its result.
        nodes_map: by node of the pattern that of the graph.
    """

    anchor: Node
    nodes_map: dict[Node, Node]


@dataclass
class ReplacedPatterns:
    """A place that was replaced.

    Attributes:
        anchor: the node of the pattern that gives its result.
        nodes_map: by node of the pattern that of the graph.
        replacements: the nodes that take its place.
    """

    anchor: Node
    nodes_map: dict[Node, Node]
    replacements: list[Node]


def replace_pattern(gm, pattern, replacement):
    """Replaces every place of a graph module that does what ``pattern`` does.

    A place matches where the operations and the values that are no tensors are the same, and nothing but the pattern's
    result is used outside of it. Of places that overlap, the first is replaced.

    Args:
        gm: the graph module, which is changed.
        pattern: a function, module or graph module; its arguments stand for any value.
        replacement: a function, module or graph module of the same arguments.

    Returns:
        a list of :class:`Match`.

    Example:
        >>> traced = corten.fx.symbolic_trace(lambda x: corten.relu(x + 1))
        >>> found = corten.fx.replace_pattern(traced, lambda x: corten.relu(x), lambda x: corten.sigmoid(x))
        >>> print(len(found), traced.code.strip())
        1 def forward(self, x):
            add = x + 1;  x = None
            sigmoid = torch.sigmoid(add);  add = None
            return sigmoid
    """
    found = _replace(gm, pattern, replacement)
    return [Match(anchor=match.anchor, nodes_map=match.nodes_map) for match in found]


def replace_pattern_with_filters(
    gm,
    pattern,
    replacement=None,
    match_filters=None,
    ignore_literals=False,
    replacement_callback=None,
    node_name_match="",
):
    """As :func:`replace_pattern`, of the places that pass filters.

    Args:
        match_filters: functions of a match, the graph and the pattern's graph; a place is replaced where all are true.
        ignore_literals: numbers and other values need not be equal.
        replacement_callback: gives the graph of the replacement, of the same arguments as ``match_filters``.
        node_name_match: a part that the names of anchors must have.

    Returns:
        a list of :class:`ReplacedPatterns`.
    """
    return _replace(gm, pattern, replacement, match_filters, ignore_literals, replacement_callback, node_name_match)


def _graph_of(source):
    if isinstance(source, Graph):
        return source
    return source.graph if isinstance(source, GraphModule) else symbolic_trace(source).graph


def _replace(gm, pattern, replacement, filters=None, ignore_literals=False, callback=None, node_name_match=""):
    graph, pattern_graph = gm.graph, _graph_of(pattern)
    if replacement is None and callback is None:
        raise AssertionError("Must provide either replacement GraphModule or replacement callback")
    common = _graph_of(replacement) if replacement is not None else None
    matcher = SubgraphMatcher(pattern_graph, remove_overlapping_matches=True, ignore_literals=ignore_literals)
    matches = matcher.match(graph, node_name_match)
    matches = [match for match in matches if all(check(match, graph, pattern_graph) for check in filters or ())]
    done, changed = [], {}
    for match in matches:
        part = callback(match, graph, pattern_graph) if callback is not None else common
        done.append(_replace_one(graph, match, matcher, part, changed))
    gm.recompile()
    if isinstance(replacement, corten.nn.Module):
        _copy_modules(gm, replacement)
    return done


def _replace_one(graph, match, matcher, part, changed):
    """Puts a copy of the graph ``part`` in the place of a match."""
    placeholders = [node for node in part.nodes if node.op == "placeholder"]
    if len(match.placeholder_nodes) != len(placeholders):
        raise AssertionError(
            f"replace_pattern: the pattern has {len(match.placeholder_nodes)} arguments, the replacement "
            f"{len(placeholders)}"
        )
    # An argument may be the result of a place that was replaced before.
    given = [changed.get(value, value) if isinstance(value, Node) else value for value in match.placeholder_nodes]
    match.nodes_map.update(zip(matcher.pattern_placeholder_nodes, given, strict=True))
    values = dict(zip(placeholders, given, strict=True))
    with graph.inserting_before(_first_user(match, graph)):
        result = graph.graph_copy(part, values)
    results = (result,) if isinstance(result, Node) else tuple(result)
    if len(results) != len(match.returning_nodes):
        raise AssertionError(
            f"replace_pattern: the pattern gives {len(match.returning_nodes)} values, the replacement {len(results)}"
        )
    for old, new in zip(match.returning_nodes, results, strict=True):
        old.replace_all_uses_with(new)
        changed[old] = new
    for pattern in reversed(matcher.pattern.nodes):
        if pattern.op not in ("placeholder", "output"):
            node = match.nodes_map[pattern]
            if not node.users and not node._erased:
                graph.erase_node(node)
    new = [node for old, node in values.items() if old not in placeholders]
    return ReplacedPatterns(match.anchors[0], match.nodes_map, new)


def _first_user(match, graph):
    """Where the replacement goes: in front of the first user of what the place gives, behind all of its arguments."""
    users = [user for node in match.returning_nodes for user in node.users]
    inside = {id(node) for node in match.nodes_map.values()}
    users = [user for user in users if id(user) not in inside]
    return min(users) if users else match.returning_nodes[-1].next


def _copy_modules(gm, replacement):
    """Gives the module what the replacement calls and reads."""
    gm.delete_all_unused_submodules()
    source = replacement if isinstance(replacement, GraphModule) else symbolic_trace(replacement)
    for node in gm.graph.nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        if _reach(gm, node.target) is not None:
            continue
        found = _reach(source, node.target)
        if found is None:
            raise RuntimeError(
                f"Attempted to create a {node.op!r} node during subgraph rewriting with target {node.target}, but the "
                "referenced attribute does not exist in the replacement GraphModule"
            )
        if isinstance(found, corten.nn.Module):
            gm.add_submodule(node.target, copy.deepcopy(found))
        else:
            setattr(gm, node.target, copy.deepcopy(found))
    gm.graph.lint()


def _reach(module, path):
    for name in path.split("."):
        module = getattr(module, name, None)
    return module
