"""Runs a graph node by node; classes of their own watch, change or rewrite what the nodes do."""

from ._symbolic_trace import Tracer
from .graph import Graph
from .graph_module import GraphModule
from .node import Node, map_aggregate, map_arg
from .proxy import Proxy
from .traceback import preserve_node_meta, set_current_meta

__all__ = ["Interpreter", "Transformer"]


class Interpreter:
    """Runs a graph node by node: a method for each kind of node, which classes of their own override.

    Args:
        module: the module whose graph is run, and that nodes read from.
        garbage_collect_values: let go of a value when its last reader has run.
        graph: a graph to run instead of the module's.

    Example:
        >>> class Counting(corten.fx.Interpreter):
        ...     count = 0
        ...     def call_function(self, target, args, kwargs):
        ...         self.count += 1
        ...         return super().call_function(target, args, kwargs)
        >>> counting = Counting(corten.fx.symbolic_trace(lambda x: corten.relu(x) + 1))
        >>> counting.run(corten.ones(2)), counting.count
        (tensor([2., 2.]), 2)
    """

    def __init__(self, module, garbage_collect_values=True, graph=None):
        self.module = module
        self.submodules = dict(module.named_modules())
        self.graph = module.graph if graph is None else graph
        self.env = {}
        self.name = "Interpreter"
        self.garbage_collect_values = garbage_collect_values
        self.extra_traceback = True
        self.args_iter = iter(())
        self.user_to_last_uses = self._last_uses() if garbage_collect_values else {}

    def _last_uses(self):
        seen, found = set(), {}
        for node in reversed(self.graph.nodes):
            for used in node.all_input_nodes:
                if used not in seen:
                    seen.add(used)
                    found.setdefault(node, []).append(used)
        return found

    def run(self, *args, initial_env=None, enable_io_processing=True):
        """Runs the graph.

        Args:
            args: the values of the placeholders, in their order.
            initial_env: values of nodes, which are not run then.
            enable_io_processing: the arguments and the result are structures, as in the graph's code.

        Returns:
            the result.

        Raises:
            RuntimeError: a placeholder without default gets no value.
        """
        self.env = {} if initial_env is None else initial_env
        if enable_io_processing:
            args = self.graph.process_inputs(*args)
        self.args_iter = iter(args)
        for node in self.graph.nodes:
            if node in self.env:
                continue
            try:
                self.env[node] = self.run_node(node)
            except Exception as error:
                if self.extra_traceback:
                    error.add_note(f"While executing {node.format_node()}" + _origin(node))
                raise
            for used in self.user_to_last_uses.get(node, ()):
                del self.env[used]
            if node.op == "output":
                result = self.env[node]
                return self.graph.process_outputs(result) if enable_io_processing else result
        return None

    def boxed_run(self, args_list):
        """Runs the graph with arguments that are taken out of a list, so that they can be let go of."""
        args = list(args_list)
        args_list.clear()
        return self.run(*args, enable_io_processing=False)

    def run_node(self, n):
        """Runs one node with the values of its arguments, by the method of its kind."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise AssertionError("run_node: args must be a tuple and kwargs a dict")
        with set_current_meta(n):
            return getattr(self, n.op)(n.target, args, kwargs)

    def placeholder(self, target, args, kwargs):
        """The next argument of the run; ``*name`` gets all that are left.

        Raises:
            RuntimeError: there is none, and no default.
        """
        if target.startswith("*"):
            return list(self.args_iter)
        missing = object()
        value = next(self.args_iter, missing)
        if value is not missing:
            return value
        if args:
            return args[0]
        raise RuntimeError(f"Expected positional argument for parameter {target}, but one was not passed in!")

    def get_attr(self, target, args, kwargs):
        """The module's attribute of that path."""
        return self.fetch_attr(target)

    def call_function(self, target, args, kwargs):
        """What the function gives."""
        return target(*args, **kwargs)

    def call_method(self, target, args, kwargs):
        """What the method of the first argument gives."""
        owner, *rest = args
        return getattr(owner, target)(*rest, **kwargs)

    def call_module(self, target, args, kwargs):
        """What the submodule gives."""
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target, args, kwargs):
        """The result of the run."""
        return args[0]

    def fetch_attr(self, target):
        """The module's attribute of a path.

        Raises:
            RuntimeError: there is none.
        """
        found, path = self.module, target.split(".")
        for i, name in enumerate(path):
            if not hasattr(found, name):
                raise RuntimeError(
                    f"Node referenced nonexistent target {'.'.join(path[: i + 1])}; known modules: "
                    f"{', '.join(name for name in self.submodules if name)}"
                )
            found = getattr(found, name)
        return found

    def fetch_args_kwargs_from_env(self, n):
        """The node's arguments with values in the place of nodes."""
        return self.map_nodes_to_values(n.args, n), self.map_nodes_to_values(n.kwargs, n)

    def map_nodes_to_values(self, args, n):
        """A structure with values in the place of nodes.

        Raises:
            RuntimeError: a node in it has not run.
        """

        def value_of(node):
            if node not in self.env:
                raise RuntimeError(
                    f"Node {n} referenced nonexistent value {node}! Run Graph.lint() to diagnose such issues"
                )
            return self.env[node]

        return map_arg(args, value_of)


def _origin(node):
    return f"\nOriginal traceback:\n{node.stack_trace}" if node.stack_trace else ""


class _Retracer(Tracer):
    """Adds to a graph by calls on proxies; every module is a leaf."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph
        self.tensor_attrs = {}

    def is_leaf_module(self, m, module_qualified_name):
        return True


class Transformer(Interpreter):
    """An interpreter that runs a graph on proxies, and so writes another graph.

    Args:
        module: the module whose graph is rewritten.

    Example:
        >>> class Gentle(corten.fx.Transformer):
        ...     def call_function(self, target, args, kwargs):
        ...         return super().call_function(corten.sigmoid if target is corten.relu else target, args, kwargs)
        >>> gentle = Gentle(corten.fx.symbolic_trace(lambda x: corten.relu(x) + 1)).transform()
        >>> [node.name for node in gentle.graph.nodes]
        ['x', 'sigmoid', 'add', 'output']
    """

    def __init__(self, module):
        super().__init__(module)
        self.new_graph = Graph()
        self.new_graph.set_codegen(module.graph._codegen)
        self.tracer = _Retracer(self.new_graph)
        self.tracer.root = module

    def placeholder(self, target, args, kwargs):
        """A proxy of an argument of the new graph."""
        default = {"default_value": args[0]} if args else {}
        return Proxy(self.new_graph.placeholder(target, **default), self.tracer)

    def get_attr(self, target, args, kwargs):
        """A proxy of an attribute."""
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_module(self, target, args, kwargs):
        """A proxy of what a submodule gives."""
        submodule = self.fetch_attr(target)
        return self.tracer.call_module(submodule, submodule.forward, args, kwargs)

    def call_function(self, target, args, kwargs):
        """A proxy of what a function gives."""
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def transform(self):
        """The module of the rewritten graph."""
        with preserve_node_meta():
            result = super().run(enable_io_processing=False)
        if result is not None:
            old = self.graph.output_node()
            node = self.new_graph.output(
                map_aggregate(result, lambda part: part.node if isinstance(part, Proxy) else part)
            )
            node.type = old.type
            node.meta.update(old.meta)
        return GraphModule(self.module, self.new_graph)


__all__ += ["Node"]
