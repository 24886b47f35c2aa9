"""Values from within a network: its graph with other results, chosen by the names of modules and operations."""

import copy
import math
import re
import warnings
from collections import OrderedDict

from ... import fx, nn
from .. import ops

__all__ = ["create_feature_extractor", "get_graph_node_names"]


class NodePathTracer(fx.Tracer):
    """A tracer that names every node by the modules in which it is made: ``"layer1.0.add"``.

    Args:
        leaf_modules: classes of modules that become single nodes, besides those of ``torch.nn``.

    Attributes:
        node_to_qualname: the names by node.
    """

    def __init__(self, *args, leaf_modules=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.leaf_modules = tuple(leaf_modules)
        self.current_module_qualname = ""
        self.node_to_qualname = OrderedDict()
        self._counts = {}

    def is_leaf_module(self, m, module_qualified_name):
        """Whether a module becomes a single node."""
        return isinstance(m, self.leaf_modules) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m, forward, args, kwargs):
        """What a call of a module gives."""
        before = self.current_module_qualname
        self.current_module_qualname = self.path_of_module(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self.current_module_qualname = before

    def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None, *rest, **options):
        """Adds a node and names it."""
        proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr, *rest, **options)
        self.node_to_qualname[proxy.node] = self._name_of(proxy.node)
        return proxy

    def _name_of(self, node):
        # Nodes are numbered in the whole graph; here they are in each module.
        name = self.current_module_qualname
        if node.op != "call_module":
            name = re.sub(r"_\d+$", "", f"{name}.{node.name}" if name else node.name)
        count = self._counts[name] = self._counts.get(name, -1) + 1
        return f"{name}_{count}" if count else name


def get_graph_node_names(model, tracer_kwargs=None, suppress_diff_warning=False, concrete_args=None):
    """The names of all that happens in a network, in the order in which it does.

    A name is the path of a module, or of the module in which an operation is called and the operation's name; the
    second of a name ends in ``_1``.

    Args:
        model: the network.
        tracer_kwargs: options of the tracer: ``leaf_modules``, ``autowrap_functions``. Modules and functions of
            `corten.vision.ops` are single nodes unless it says otherwise.
        suppress_diff_warning: say nothing where training and evaluation differ.
        concrete_args: arguments of ``forward`` that are constants.

    Returns:
        the names in training, and those in evaluation.

    Example:
        >>> from corten.vision.models import alexnet
        >>> from corten.vision.models.feature_extraction import get_graph_node_names
        >>> get_graph_node_names(alexnet())[1][-3:]
        ['classifier.4', 'classifier.5', 'classifier.6']
    """
    was_training = model.training
    traced = _traced_in_both(model, tracer_kwargs, concrete_args)
    model.train(was_training)
    train, evaluation = (list(tracer.node_to_qualname.values()) for tracer, _ in traced.values())
    if not suppress_diff_warning:
        _warn_of_differences(train, evaluation)
    return train, evaluation


def _traced_in_both(model, tracer_kwargs, concrete_args):
    """By mode: the tracer and the graph."""
    modules = tuple(value for value in vars(ops).values() if isinstance(value, type) and issubclass(value, nn.Module))
    options = {"autowrap_modules": (math, ops), "leaf_modules": modules, **(tracer_kwargs or {})}
    found = {}
    for mode in ("train", "eval"):
        model.train(mode == "train")
        tracer = NodePathTracer(**options)
        found[mode] = tracer, tracer.trace(model, concrete_args)
    return found


def _warn_of_differences(train, evaluation):
    if train == evaluation:
        return
    if set(train) == set(evaluation):
        how = "the same nodes in another order"
    elif set(train) <= set(evaluation) or set(evaluation) <= set(train):
        how = "more nodes in one mode than in the other"
    else:
        how = "other nodes"
    warnings.warn(
        f"The network has {how} in training and in evaluation. The nodes to return can be given for each mode, as "
        "train_return_nodes and eval_return_nodes. suppress_diff_warning=True silences this.",
        stacklevel=3,
    )


class DualGraphModule(fx.GraphModule):
    """A graph module with a graph for training and one for evaluation, between which `train` and `eval` choose.

    Args:
        root: the module that has what the graphs call and read.
        train_graph, eval_graph: the graphs.
        class_name: the name of the module's class.
    """

    def __init__(self, root, train_graph, eval_graph, class_name="GraphModule"):
        both = fx.Graph()
        for graph in (train_graph, eval_graph):
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module"):
                    both.create_node(node.op, node.target)
        both.output(None)
        super().__init__(root, both, class_name)
        self._train_graph, self._eval_graph = train_graph, eval_graph
        self.train(root.training)

    def train(self, mode=True):
        """Chooses the graph of the mode, and the mode of all modules."""
        self.graph = self._train_graph if mode else self._eval_graph
        return super().train(mode)

    def __deepcopy__(self, memo):
        root = nn.Module()
        root.__dict__.update(copy.deepcopy({**self._bare_state(), "_train_graph": None, "_eval_graph": None}, memo))
        graphs = (copy.deepcopy(graph) for graph in (self._train_graph, self._eval_graph))
        copied = DualGraphModule(root, *graphs, type(self).__name__)
        memo[id(self)] = copied
        return copied


def create_feature_extractor(
    model,
    return_nodes=None,
    train_return_nodes=None,
    eval_return_nodes=None,
    tracer_kwargs=None,
    suppress_diff_warning=False,
    concrete_args=None,
):
    """A network that gives values from within another one.

    Args:
        model: the network, whose parameters the result shares.
        return_nodes: names as :func:`get_graph_node_names` gives them, a list, or a dict with a name for each in the
            result. The path of a module stands for the last that happens in it.
        train_return_nodes, eval_return_nodes: the same for each mode, instead.
        tracer_kwargs: options of the tracer: ``leaf_modules``, ``autowrap_functions``. Modules and functions of
            `corten.vision.ops` are single nodes unless it says otherwise.
        suppress_diff_warning: say nothing where training and evaluation differ.
        concrete_args: arguments of ``forward`` that are constants.

    Returns:
        a graph module with the network's arguments that returns a dict of tensors. What they do not need is not
        computed, and its parameters are left out.

    Raises:
        ValueError: nodes are given in both ways or for one mode only, or none has such a name.

    Example:
        >>> from corten.vision.models import resnet18
        >>> from corten.vision.models.feature_extraction import create_feature_extractor
        >>> features = create_feature_extractor(resnet18(), {"layer1": "low", "layer3": "high"})
        >>> {name: value.shape for name, value in features(corten.zeros(1, 3, 64, 64)).items()}
        {'low': corten.Size([1, 64, 16, 16]), 'high': corten.Size([1, 256, 4, 4])}
    """
    wanted = _wanted(return_nodes, train_return_nodes, eval_return_nodes)
    was_training = model.training
    traced = _traced_in_both(model, tracer_kwargs, concrete_args)
    names = {mode: list(tracer.node_to_qualname.values()) for mode, (tracer, _) in traced.items()}
    for mode, queries in wanted.items():
        _check_names(queries, names[mode], mode)
    if not suppress_diff_warning:
        _warn_of_differences(names["train"], names["eval"])
    graphs = {}
    for mode, (tracer, graph) in traced.items():
        module = fx.GraphModule(tracer.root, graph)
        _return(graph, tracer.node_to_qualname, wanted[mode])
        graphs[mode] = module.graph
    model.train(was_training)
    extractor = DualGraphModule(model, graphs["train"], graphs["eval"], type(model).__name__)
    return extractor.train(was_training)


def _wanted(both, train, evaluation):
    """By mode: the names in the result by those of nodes."""
    if (train is None) != (evaluation is None):
        raise ValueError(
            "If any of `train_return_nodes` and `eval_return_nodes` are specified, then both should be specified"
        )
    if both is None and train is None:
        raise ValueError(
            "Either `return_nodes` or `train_return_nodes` and `eval_return_nodes` together, should be specified"
        )
    if both is not None and train is not None:
        raise ValueError(
            "If `train_return_nodes` and `eval_return_nodes` are specified, then `return_nodes` should not be specified"
        )
    if both is not None:
        train = evaluation = both
    return {"train": _named(train), "eval": _named(evaluation)}


def _named(nodes):
    pairs = nodes.items() if isinstance(nodes, dict) else zip(nodes, nodes, strict=True)
    return {str(node): str(name) for node, name in pairs}


def _check_names(queries, names, mode):
    for query in queries:
        if not any(name == query or name.startswith(f"{query}.") for name in names):
            raise ValueError(
                f"node: '{query}' is not present in model. Hint: use `get_graph_node_names` to make sure the "
                "`return_nodes` you specified are present. The names of the two modes may differ: give "
                f"`train_return_nodes` and `eval_return_nodes` then. (mode: {mode})"
            )


def _return(graph, names, queries):
    """Has the graph return the nodes of these names, and nothing else happen in it."""
    left, found = dict(queries), {}
    for node in reversed(graph.nodes):
        name = names.get(node)
        if name is None or "tensor_constant" in str(node):
            continue
        for query in left:
            if name == query or name.startswith(f"{query}."):
                found[left.pop(query)] = node
                break
    graph.erase_node(graph.output_node())
    graph.output(dict(reversed(found.items())))
    graph.eliminate_dead_code()
