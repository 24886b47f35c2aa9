"""Finds the places of a graph that look like a smaller graph, the pattern."""

from dataclasses import dataclass, field

from ...graph import Graph
from ...node import Node

__all__ = ["InternalMatch", "SubgraphMatcher"]


@dataclass
class InternalMatch:
    """A place that looks like the pattern.

    Attributes:
        anchors: the nodes of the pattern from which the search went backwards.
        nodes_map: by node of the pattern that of the graph; for placeholders also values that are no nodes.
        placeholder_nodes: what stands for the pattern's placeholders, in their order.
        returning_nodes: what stands for what the pattern gives, in order.
        name_node_map: by name nodes that the pattern gives out by name.
    """

    anchors: list
    nodes_map: dict = field(default_factory=dict)
    placeholder_nodes: list = field(default_factory=list)
    returning_nodes: list = field(default_factory=list)
    name_node_map: dict = field(default_factory=dict)

    def __copy__(self):
        return InternalMatch(
            self.anchors, self.nodes_map.copy(), self.placeholder_nodes.copy(), self.returning_nodes.copy()
        )


class SubgraphMatcher:
    """Looks for a pattern.

    Args:
        pattern: a graph whose output is a node or a tuple of nodes.
        match_output: what the pattern gives must be what the graph gives.
        match_placeholder: placeholders of the pattern stand for placeholders only.
        remove_overlapping_matches: of places that share nodes, keep the first.
        ignore_literals: numbers and other values need not be equal.
    """

    def __init__(
        self,
        pattern,
        match_output=False,
        match_placeholder=False,
        remove_overlapping_matches=True,
        ignore_literals=False,
    ):
        self.pattern = pattern
        self.match_output, self.match_placeholder = match_output, match_placeholder
        self.remove_overlapping_matches, self.ignore_literals = remove_overlapping_matches, ignore_literals
        if len(pattern.nodes) == 0:
            raise ValueError("SubgraphMatcher cannot be initialized with an empty pattern")
        for node in pattern.nodes:
            if node.op != "output" and not node.users and node.op != "placeholder":
                raise AssertionError("SubgraphMatcher cannot be initialized with an pattern with dead code")
        self.pattern_placeholder_nodes = [node for node in pattern.nodes if node.op == "placeholder"]
        output = pattern.output_node()
        self.pattern_returning_nodes = output.all_input_nodes
        if match_output:
            self.pattern_anchors = [output]
        else:
            # A node that is given out and used besides is reached from its user.
            self.pattern_anchors = [node for node in output.all_input_nodes if len(node.users) == 1]

    def match(self, graph, node_name_match=""):
        """The places of ``graph`` that look like the pattern, as a list of :class:`InternalMatch`."""
        choices = [
            (anchor, [node for node in graph.nodes if self._alike(anchor, node)]) for anchor in self.pattern_anchors
        ]
        if node_name_match:
            choices = [(anchor, [node for node in nodes if node_name_match in node.name]) for anchor, nodes in choices]
        found = []
        self._search(choices, 0, InternalMatch(self.pattern_anchors), found)
        for match in found:
            match.placeholder_nodes = [match.nodes_map.get(node) for node in self.pattern_placeholder_nodes]
            match.returning_nodes = [match.nodes_map[node] for node in self.pattern_returning_nodes]
        found = [match for match in found if self._is_contained(match)]
        return _apart(found) if self.remove_overlapping_matches else found

    def _search(self, choices, i, match, found):
        if i == len(choices):
            found.append(match)
            return
        anchor, nodes = choices[i]
        for node in nodes:
            trial = match.__copy__()
            if self._match_nodes(anchor, node, trial):
                self._search(choices, i + 1, trial, found)

    def _alike(self, pattern, node):
        """Whether two nodes do the same, whatever their arguments."""
        if pattern.op == "placeholder" and not self.match_placeholder:
            return True
        if pattern.op != node.op:
            return False
        if pattern.op in ("placeholder", "output"):
            return True
        if pattern.op == "get_attr":
            return self._same_attribute(pattern, node)
        return self._same_target(pattern, node)

    @staticmethod
    def _same_target(pattern, node):
        if pattern.op != "call_module" or pattern.graph.owning_module is None or node.graph.owning_module is None:
            return pattern.target == node.target
        mine = pattern.graph.owning_module.get_submodule(pattern.target)
        return type(mine) is type(node.graph.owning_module.get_submodule(node.target))

    @staticmethod
    def _same_attribute(pattern, node):
        from ....nn import Module

        values = []
        for part in (pattern, node):
            value = part.graph.owning_module
            for name in part.target.split("."):
                value = getattr(value, name, None)
            values.append(value)
        if isinstance(values[0], Module):
            return isinstance(values[1], Module)
        return type(values[0]) is type(values[1])

    def _match_nodes(self, pattern, node, match):
        if not isinstance(node, Node):
            return not isinstance(pattern, Node) and self._match_values(pattern, node)
        if not isinstance(pattern, Node):
            return False
        if pattern in match.nodes_map:
            return match.nodes_map[pattern] is node
        if any(known is node for known in match.nodes_map.values()):
            return False
        if not self._alike(pattern, node):
            return False
        before = match.nodes_map.copy()
        match.nodes_map[pattern] = node
        if pattern.op == "placeholder":
            return True
        if self._match_arguments(pattern, node, match):
            return True
        match.nodes_map = before
        return False

    def _match_arguments(self, pattern, node, match):
        mine, theirs = _flat_arguments(pattern), _flat_arguments(node)
        if mine is None or theirs is None:
            return False
        if [key for key, _ in mine] != [key for key, _ in theirs]:
            mine, theirs = _by_signature(pattern), _by_signature(node)
            if mine is None or theirs is None or [key for key, _ in mine] != [key for key, _ in theirs]:
                return False
        return all(self._match_argument(a, b, match) for (_, a), (_, b) in zip(mine, theirs, strict=True))

    def _match_argument(self, pattern, value, match):
        if isinstance(pattern, Node) and isinstance(value, Node):
            return self._match_nodes(pattern, value, match)
        if isinstance(pattern, Node):
            # A placeholder may stand for a value that is no node.
            if pattern.op != "placeholder" or self.match_placeholder:
                return False
            if pattern in match.nodes_map:
                return match.nodes_map[pattern] == value
            match.nodes_map[pattern] = value
            return True
        if isinstance(pattern, (list, tuple)) and isinstance(value, (list, tuple)):
            same = len(pattern) == len(value)
            return same and all(self._match_argument(a, b, match) for a, b in zip(pattern, value, strict=True))
        return not isinstance(value, Node) and self._match_values(pattern, value)

    def _match_values(self, pattern, value):
        return self.ignore_literals or (type(pattern) is type(value) and pattern == value)

    def _is_contained(self, match):
        """Whether only what the pattern gives is used outside of it."""
        free = {id(match.nodes_map[node]) for node in self.pattern_returning_nodes}
        inside = {id(value) for value in match.nodes_map.values()}
        for pattern, node in match.nodes_map.items():
            if pattern.op in ("placeholder", "output", "get_attr") or id(node) in free:
                continue
            if any(id(user) not in inside for user in node.users):
                return False
        return True


def _flat_arguments(node):
    return [*enumerate(node.args), *sorted(node.kwargs.items())]


def _by_signature(node):
    """The arguments by the names of the parameters they are for."""
    from ...operator_schemas import normalize_function

    if node.op != "call_function":
        return None
    found = normalize_function(node.target, node.args, node.kwargs, normalize_to_only_use_kwargs=True)
    return None if found is None else sorted(found.kwargs.items())


def _apart(matches):
    """The matches, without those that share nodes with an earlier one."""
    taken, kept = set(), []
    for match in matches:
        nodes = {
            node
            for pattern, node in match.nodes_map.items()
            if pattern.op not in ("placeholder", "output", "get_attr") and isinstance(node, Node)
        }
        if not nodes & taken:
            taken |= nodes
            kept.append(match)
    return kept


__all__ += ["Graph"]
