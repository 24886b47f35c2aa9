"""Networks for evaluation: normalisations folded into the layers before them, dropout taken out."""

import copy

from ... import nn
from ...nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from .. import Graph, GraphModule, Tracer, Transformer, symbolic_trace

__all__ = [
    "extract_subgraph",
    "fuse",
    "matches_module_pattern",
    "optimize_for_inference",
    "remove_dropout",
    "replace_node_module",
]

_PAIRS = (
    (nn.Conv1d, nn.BatchNorm1d, fuse_conv_bn_eval),
    (nn.Conv2d, nn.BatchNorm2d, fuse_conv_bn_eval),
    (nn.Conv3d, nn.BatchNorm3d, fuse_conv_bn_eval),
    (nn.Linear, nn.BatchNorm1d, fuse_linear_bn_eval),
)


def matches_module_pattern(pattern, node, modules):
    """Whether a node calls a module of the second class of ``pattern`` on the result of one of the first.

    Args:
        modules: modules by their paths.
    """
    if not node.args or getattr(node.args[0], "op", None) != "call_module" or node.op != "call_module":
        return False
    return all(
        type(modules.get(called.target)) is kind for kind, called in zip(pattern, (node.args[0], node), strict=True)
    )


def replace_node_module(node, modules, new_module):
    """Has a node call another module under the same path.

    Args:
        modules: modules by their paths, the node's graph module's among them as ``""``.
    """
    parent, _, name = node.target.rpartition(".")
    modules[node.target] = new_module
    setattr(modules[parent], name, new_module)


def fuse(model, inplace=False, no_trace=False):
    """Folds batch normalisations into the convolutions and linear layers before them.

    Args:
        model: the network, in evaluation mode.
        inplace: trace the network itself, whose modules are replaced; else a copy.
        no_trace: it is a graph module already.

    Returns:
        a graph module that computes the same.

    Raises:
        AssertionError: a normalisation is in training mode.
    """
    if not inplace:
        model = copy.deepcopy(model)
    traced = model if no_trace and isinstance(model, GraphModule) else symbolic_trace(model)
    modules = dict(traced.named_modules())
    for first, second, fold in _PAIRS:
        for node in traced.graph.nodes:
            if not matches_module_pattern((first, second), node, modules) or len(node.args[0].users) > 1:
                continue
            layer, normalisation = modules[node.args[0].target], modules[node.target]
            if not normalisation.track_running_stats:
                continue
            replace_node_module(node.args[0], modules, fold(layer, normalisation))
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


class _WithoutDropout(Transformer):
    def call_module(self, target, args, kwargs):
        if isinstance(self.submodules[target], nn.Dropout):
            return args[0]
        return super().call_module(target, args, kwargs)


def remove_dropout(model):
    """A graph module of the network without the calls of its dropout modules."""
    return _WithoutDropout(symbolic_trace(model)).transform()


def extract_subgraph(orig_module, nodes, inputs, outputs):
    """A graph module of a part of a graph.

    Args:
        orig_module: the module whose graph it is.
        nodes: the nodes of the part, in order.
        inputs: the nodes outside of it that it uses, its arguments.
        outputs: the nodes whose values it returns.
    """
    graph = Graph()
    found = {node: graph.placeholder(node.name) for node in inputs}
    for node in nodes:
        found[node] = graph.node_copy(node, lambda used: found[used])
    graph.output([found[node] for node in outputs])
    graph.lint()
    return GraphModule(orig_module, graph)


def optimize_for_inference(model, pass_config=None, tracer=Tracer):
    """A graph module of the network for evaluation: :func:`fuse` and :func:`remove_dropout`.

    Args:
        pass_config: ``{"conv_bn_fuse": False}`` and ``{"remove_dropout": False}`` leave a pass out.
        tracer: the class of what traces it.
    """
    wanted = {"conv_bn_fuse": True, "remove_dropout": True, **(pass_config or {})}
    made = tracer()
    graph = made.trace(copy.deepcopy(model))
    traced = GraphModule(made.root, graph, type(model).__name__)
    if wanted["conv_bn_fuse"]:
        traced = fuse(traced, inplace=True, no_trace=True)
    return remove_dropout(traced) if wanted["remove_dropout"] else traced
