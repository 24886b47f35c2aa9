"""A graph is a function as a list of nodes, which programs read, change, and turn into code again."""

import contextlib
import copy

from ._codegen import CodeGen, PythonCode, _PyTreeCodeGen, _PyTreeInfo, inplace_methods, magic_methods
from ._names import Namespace as _Namespace
from ._names import is_magic, is_of_torch, last_name, shown, snake_case
from .node import Node, _get_qualified_name, _type_repr, map_arg

__all__ = [
    "CodeGen",
    "Graph",
    "PythonCode",
    "_PyTreeCodeGen",
    "_PyTreeInfo",
    "_get_qualified_name",
    "_type_repr",
    "inplace_methods",
    "magic_methods",
]

_is_from_torch, _snake_case = is_of_torch, snake_case
_UNSET = object()


class _node_list:
    """The nodes of a graph in order; nodes may be added and erased while one goes through them."""

    def __init__(self, graph, direction="_next"):
        self.graph, self.direction = graph, direction

    def __len__(self):
        return self.graph._len

    def __iter__(self):
        root, direction = self.graph._root, self.direction
        node = getattr(root, direction)
        while node is not root:
            if not node._erased:
                yield node
            node = getattr(node, direction)

    def __reversed__(self):
        return iter(_node_list(self.graph, "_prev" if self.direction == "_next" else "_next"))


class _InsertPoint:
    """A context in which nodes are made elsewhere; without one, the place that was set remains."""

    def __init__(self, graph, insert):
        self.graph, self.before = graph, graph._insert
        graph._insert = insert

    def __enter__(self):
        return None

    def __exit__(self, *exception):
        self.graph._insert = self.before


class Graph:
    """A function as nodes: its arguments, the operations in the order in which they run, and the result.

    Args:
        owning_module: the module whose function this is.
        tracer_cls: the class of what traced it.
        tracer_extras: what that needs to trace again.

    Example:
        >>> graph = corten.fx.Graph()
        >>> x = graph.placeholder("x")
        >>> y = graph.call_function(corten.relu, (x,))
        >>> _ = graph.output(y)
        >>> print(graph)
        graph():
            %x : [num_users=1] = placeholder[target=x]
            %relu : [num_users=1] = call_function[target=torch.relu](args = (%x,), kwargs = {})
            return relu
    """

    def __init__(self, owning_module=None, tracer_cls=None, tracer_extras=None):
        self._graph_namespace = _Namespace()
        self._len = 0
        self._positions = None
        self._root = Node(self, "", "root", "", (), {})
        self._insert = self._root.prepend
        self._owning_module = owning_module
        self._tracer_cls = tracer_cls
        self._tracer_extras = tracer_extras
        self._codegen = CodeGen()

    @property
    def owning_module(self):
        """The module whose function this is, the latest of several; None where there is none."""
        return self._owning_module

    @owning_module.setter
    def owning_module(self, mod):
        self._owning_module = mod

    @property
    def nodes(self):
        """The nodes in order; ``reversed`` goes the other way."""
        return _node_list(self)

    def _moved(self):
        self._positions = None

    def _position(self, node):
        if self._positions is None:
            self._positions = {node: i for i, node in enumerate(self.nodes)}
        return self._positions[node]

    # -- making nodes -------------------------------------------------------------------------------------------------

    def create_node(self, op, target, args=None, kwargs=None, name=None, type_expr=None):
        """Adds a node where nodes are inserted, at the end if nobody says otherwise.

        Args:
            op: what it does; see :class:`Node`.
            target: the function, or the name of what is called or read.
            args, kwargs: its arguments.
            name: what it is called, if that is free.
            type_expr: the annotation of its result.

        Raises:
            AssertionError: another ``op``, or an argument is a node of another graph.
        """
        if op not in _OPS:
            raise AssertionError(f"op '{op}' is not one of {', '.join(_OPS)}")
        args, kwargs = () if args is None else args, {} if kwargs is None else kwargs
        if not isinstance(args, tuple):
            raise AssertionError(f"Graph.create_node: args must be a tuple, got {type(args).__name__}")
        if not isinstance(kwargs, dict):
            raise AssertionError(f"Graph.create_node: kwargs must be a dict, got {type(kwargs).__name__}")
        candidate = name if name is not None else self._target_to_str(target)
        node = Node(self, self._graph_namespace.create_name(candidate, None), op, target, args, kwargs, type_expr)
        self._graph_namespace.associate_name_with_obj(node.name, node)
        self._insert(node)
        self._len += 1
        self._moved()
        return node

    def _target_to_str(self, target):
        if callable(target):
            name = last_name(target)
        else:
            name = target
            if is_magic(name):
                name = name[2:-2]
        return snake_case(name)

    def placeholder(self, name, type_expr=None, default_value=_UNSET):
        """An argument of the function; ``*name`` and ``**name`` take those that are left.

        Args:
            default_value: its value where a call gives none.
        """
        args = () if default_value is _UNSET else (default_value,)
        return self.create_node("placeholder", name, args=args, type_expr=type_expr)

    def get_attr(self, qualified_name, type_expr=None):
        """Reads a parameter, buffer or other attribute of the owning module: ``"layer.weight"``."""
        if self.owning_module is not None and not _has_attribute(self.owning_module, qualified_name):
            import warnings

            warnings.warn(
                f"Graph.get_attr: {qualified_name!r} is no attribute of the owning module. Assign it there before the "
                "node is made, or the code cannot run.",
                stacklevel=2,
            )
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name, args=None, kwargs=None, type_expr=None):
        """Calls a submodule of the owning module: ``"layer1.0.conv"``."""
        if self.owning_module is not None and not _has_attribute(self.owning_module, module_name):
            import warnings

            warnings.warn(
                f"Graph.call_module: {module_name!r} is no submodule of the owning module. Add it with "
                "GraphModule.add_submodule before the node is made, or the code cannot run.",
                stacklevel=2,
            )
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name, args=None, kwargs=None, type_expr=None):
        """Calls a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(self, the_function, args=None, kwargs=None, type_expr=None, name=None):
        """Calls a function."""
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def output(self, result, type_expr=None):
        """Ends the function with ``result``, a node or a structure of nodes and values."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node, arg_transform=lambda x: x):
        """Adds a copy of a node of another graph.

        Args:
            arg_transform: gives the node of this graph for one of the other.
        """
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        copied = self.create_node(node.op, node.target, args, dict(kwargs), node.name, node.type)
        copied.meta = copy.copy(node.meta)
        return copied

    def graph_copy(self, g, val_map, return_output_node=False):
        """Adds copies of all nodes of ``g`` but the output.

        Args:
            val_map: by node of ``g`` that of this graph; filled here. Nodes that are in it are not copied.
            return_output_node: give the output node of ``g`` as well.

        Returns:
            what ``g`` gives, as nodes of this graph; None where it has no output node.
        """
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                result = map_arg(node.args[0], lambda part: val_map[part])
                return (result, node) if return_output_node else result
            val_map[node] = self.node_copy(node, lambda part: val_map[part])
        return None

    def __deepcopy__(self, memo=None):
        memo = {} if memo is None else memo
        copied = Graph(tracer_cls=self._tracer_cls, tracer_extras=self._tracer_extras)
        copied._codegen = copy.deepcopy(self._codegen)
        found = {}
        result = copied.graph_copy(self, found, return_output_node=True)
        memo.update({id(node): other for node, other in found.items()})
        if result is not None:
            value, old = result
            node = copied.output(value, type_expr=old.type)
            node.meta = copy.copy(old.meta)
            memo[id(old)] = node
        return copied

    # -- changing it --------------------------------------------------------------------------------------------------

    def inserting_before(self, n=None):
        """Nodes are made in front of ``n`` from now on; as a context, inside it. None means the beginning.

        Raises:
            AssertionError: the node is of another graph.
        """
        if n is None:
            return self.inserting_after(self._root)
        assert n.graph == self, "Node to insert before is not in graph."
        return _InsertPoint(self, n.prepend)

    def inserting_after(self, n=None):
        """Nodes are made behind ``n`` from now on, in the order in which they are made; as a context, inside it.

        None means the end.

        Raises:
            AssertionError: the node is of another graph.
        """
        if n is None:
            return self.inserting_before(self._root)
        assert n.graph == self, "Node to insert after is not in graph."
        return _InsertPoint(self, n.append)

    def erase_node(self, to_erase):
        """Takes a node out.

        Raises:
            RuntimeError: somebody uses it, or it is of another graph.
        """
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: "
                f"{to_erase.users}!"
            )
        if to_erase.graph != self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            import warnings

            warnings.warn(f"erase_node({to_erase}) on an already erased node", stacklevel=2)
            return
        to_erase._remove_from_list()
        to_erase._erased = True
        self._len -= 1
        self._moved()
        to_erase._update_args_kwargs((), {})

    def eliminate_dead_code(self, is_impure_node=None):
        """Takes out the nodes whose results nobody uses and that do nothing else.

        Args:
            is_impure_node: whether a node does something else; :meth:`Node.is_impure` where there is none.

        Returns:
            whether there were any.

        Raises:
            RuntimeError: the graph is not in order; see :meth:`lint`.
        """
        self.lint()
        impure = is_impure_node or (lambda node: node.is_impure())
        before = self._len
        for node in reversed(self.nodes):
            if not node.users and node.op not in ("placeholder", "output") and not impure(node):
                self.erase_node(node)
        return self._len < before

    def find_nodes(self, *, op, target=None, sort=True):
        """The nodes of one kind, and with a target those of that.

        Raises:
            AssertionError: functions are looked for without a target.
        """
        assert op != "call_function" or target is not None, "target must not be None for call_function op"
        return [node for node in self.nodes if node.op == op and (target is None or node.target == target)]

    def output_node(self):
        """The node that ends the function.

        Raises:
            StopIteration: there is none.
        """
        node = self._root._prev
        return node if node.op == "output" else next(node for node in reversed(self.nodes) if node.op == "output")

    def lint(self):
        """Checks that nodes come in an order in which they can run, and that what they name exists.

        Raises:
            RuntimeError: a node is used before it runs, in two places, or belongs to another graph; a name of an
                attribute or submodule leads nowhere; a target is of another kind.
        """
        seen, names = set(), set()
        for node in self.nodes:
            if node.op not in _OPS:
                raise RuntimeError(f"Node {node} had unknown opcode {node.op}!")
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            for used in node._input_nodes:
                _check_argument(self, node, used, seen)
            seen.add(node)
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            names.add(node.name)
            _check_target(self.owning_module, node)

    # -- reading it ---------------------------------------------------------------------------------------------------

    def __str__(self):
        return "graph():" + "".join(f"\n    {node.format_node()}" for node in self.nodes)

    def print_tabular(self):
        """Prints a row for each node.

        Raises:
            ImportError: the package ``tabulate`` is not installed.
        """
        try:
            from tabulate import tabulate
        except ImportError:
            print("`print_tabular` relies on the library `tabulate`, which could not be found: pip install tabulate")
            raise
        rows = [[node.op, node.name, node.target, shown(node.args), shown(node.kwargs)] for node in self.nodes]
        print(tabulate(rows, headers=["opcode", "name", "target", "args", "kwargs"]))

    def python_code(
        self,
        root_module,
        *,
        verbose=False,
        include_stride=False,
        include_device=False,
        colored=False,
        expanded_def=False,
        record_func=False,
        additional_meta=None,
    ):
        """The graph as the code of a function.

        Args:
            root_module: the name of the module in it: ``"self"``.
            verbose: comments tell where nodes were made, and annotations the shapes that are known.
            include_stride, include_device: tell these as well.
            expanded_def: a line for each parameter.

        Returns:
            a :class:`PythonCode`.
        """
        namespace = _Namespace()
        before = {node: node._repr_fn for node in self.nodes}
        try:
            for node in self.nodes:
                node._repr_fn = lambda n: namespace.create_name(n.name, n)
            return self._codegen._gen_python_code(
                self.nodes,
                root_module,
                namespace,
                verbose=verbose,
                expanded_def=expanded_def,
                include_stride=include_stride,
                include_device=include_device,
            )
        finally:
            for node, function in before.items():
                node._repr_fn = function

    def set_codegen(self, codegen):
        """Has the code written by ``codegen``, a :class:`CodeGen`."""
        self._codegen = codegen

    def process_inputs(self, *args):
        """The values of the placeholders, from the function's arguments."""
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out):
        """The function's result, from what the output node gets."""
        return self._codegen.process_outputs(out)

    @contextlib.contextmanager
    def on_generate_code(self, make_transformer):
        """A context in which the lines of code are changed before they are put together.

        Args:
            make_transformer: gets the transformer that was there before, or None, and returns one: a function from
                the list of lines to another.
        """
        before = self._codegen._body_transformer
        self._codegen._body_transformer = make_transformer(before)
        try:
            yield
        finally:
            self._codegen._body_transformer = before


_OPS = ("placeholder", "call_method", "call_module", "call_function", "get_attr", "output")


def _has_attribute(module, path):
    for name in path.split("."):
        if not hasattr(module, name):
            return False
        module = getattr(module, name)
    return True


def _check_argument(graph, node, used, seen):
    if used.graph is not graph:
        raise RuntimeError(
            f"Argument '{used}' of Node '{node}' does not belong to this Graph, but was used as an argument! If you "
            "are copying nodes from another graph, make sure to use ``arg_transform`` on node_copy() to remap values\n"
            f"{graph}"
        )
    if used not in seen:
        raise RuntimeError(
            f"Argument '{used}' of Node '{node}' was used before it has been defined! Please check that Nodes in the "
            f"graph are topologically ordered\n{graph}"
        )


def _check_target(owner, node):
    from ..nn import Module

    if node.op == "call_function":
        if not callable(node.target):
            raise RuntimeError(f"Node {node} target {node.target!r} is no function but one is expected")
        return
    if not isinstance(node.target, str):
        raise RuntimeError(f"Node {node} target {node.target!r} is no str but one is expected")
    if owner is None or node.op not in ("get_attr", "call_module"):
        return
    value, path = owner, []
    for name in node.target.split("."):
        path.append(name)
        if not hasattr(value, name):
            raise RuntimeError(
                f"Node {node} target {node.target} references nonexistent attribute {name} of {'.'.join(path[:-1])}"
            )
        value = getattr(value, name)
    if node.op == "call_module" and not isinstance(value, Module):
        raise RuntimeError(
            f"Node {node} target {node.target} {'.'.join(path)} of {type(value)} does not reference an nn.Module"
        )
