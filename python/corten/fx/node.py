"""A node is one step of a graph: an operation, what it is applied to, and who uses its result."""

import operator
import types
from collections.abc import Callable
from typing import Any

import corten

from .. import _core
from .._library.operators import OpOverload
from ._names import is_of_torch, pretty_target, qualified_name, shown, spoken_module
from .immutable_collections import immutable_dict, immutable_list

__all__ = ["Node", "has_side_effect", "map_aggregate", "map_arg"]

base_types = (
    str, int, float, bool, complex, _core.dtype, _core.Tensor, _core.device, _core.memory_format, _core.layout,
    OpOverload,
)  # fmt: skip
BaseArgumentTypes = Any  # one of them
Target = Callable[..., Any] | str
Argument = Any  # tuples, lists, dicts and slices of nodes and values, None, or one of these

_legal_ops = dict.fromkeys(["placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root"])
# Functions that do something besides giving a result: graphs keep their calls.
_side_effectful_functions = {corten._assert, corten._assert_async, operator.setitem}


def has_side_effect(fn):
    """Says that calls of ``fn`` are kept where nobody uses their results; returns it."""
    _side_effectful_functions.add(fn)
    return fn


def _get_qualified_name(func):
    return qualified_name(func)


def _type_repr(obj):
    """A type as text: the module and name of a class, others as they print."""
    if isinstance(obj, type) and not isinstance(obj, types.GenericAlias):
        if obj.__module__ == "builtins":
            return obj.__qualname__
        return f"{spoken_module(obj.__module__)}.{obj.__qualname__}"
    if obj is ...:
        return "..."
    if isinstance(obj, types.FunctionType):
        return obj.__name__
    return repr(obj).replace("corten.", "torch.")


def map_aggregate(a, fn):
    """``a`` with ``fn`` applied to all that is no tuple, list, dict or slice; lists and dicts become immutable."""
    if isinstance(a, tuple):
        parts = [map_aggregate(part, fn) for part in a]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return immutable_list([map_aggregate(part, fn) for part in a])
    if isinstance(a, dict):
        return immutable_dict({key: map_aggregate(part, fn) for key, part in a.items()})
    if isinstance(a, slice):
        return slice(*(map_aggregate(part, fn) for part in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a, fn):
    """``a`` with ``fn`` applied to every node in it.

    Raises:
        AssertionError: ``fn`` cannot be called.
    """
    assert callable(fn), "torch.fx.map_arg(a, fn): fn must be a callable"
    return map_aggregate(a, lambda part: fn(part) if isinstance(part, Node) else part)


def _format_arg(arg, max_list_len=float("inf")):
    """An argument as the text of a graph shows it: nodes with a percent sign."""
    if hasattr(arg, "_custom_fx_repr_fn"):
        return arg._custom_fx_repr_fn()
    if isinstance(arg, list):
        items = ", ".join(_format_arg(part) for i, part in enumerate(arg) if i < max_list_len)
        more = "" if len(arg) <= max_list_len else f", ...[total_len={len(arg)}]"
        return f"[{items}{more}]"
    if isinstance(arg, tuple):
        items = ", ".join(_format_arg(part) for i, part in enumerate(arg) if i < max_list_len)
        more = "" if len(arg) <= max_list_len else f", ...[total_len={len(arg)}]"
        return f"({items}{more}{',' if len(arg) == 1 else ''})"
    if isinstance(arg, dict):
        return "{" + ", ".join(f"{key}: {_format_arg(part)}" for key, part in arg.items()) + "}"
    if isinstance(arg, Node):
        return f"%{arg}"
    return _spoken(arg)


def _spoken(value):
    return value if isinstance(value, str) else str(value) if isinstance(value, _core.device) else shown(value)


class Node:
    """One step of a :class:`Graph`, made by the graph's methods.

    Args:
        graph: the graph that it belongs to.
        name: its name, unique in the graph.
        op: ``"placeholder"`` (an argument of the function), ``"get_attr"`` (a parameter or buffer),
            ``"call_function"``, ``"call_method"``, ``"call_module"`` or ``"output"``.
        target: the function, or the name of what is called or read.
        args, kwargs: the arguments, with nodes in the place of values.
        return_type: the annotation of the result, if any.

    Attributes:
        users: the nodes that use this one, as a dict's keys in the order in which they began to.
        meta: whatever passes note about it, by name.
        type: the annotation of the result.
    """

    def __init__(self, graph, name, op, target, args, kwargs, return_type=None):
        if op not in _legal_ops:
            raise AssertionError(f"op '{op}' is not one of {', '.join(_legal_ops)}")
        self.graph = graph
        self.name = name
        self.op = op
        wanted = "a Callable" if op == "call_function" else "a str"
        if not (callable(target) if op == "call_function" else isinstance(target, str)):
            raise ValueError(
                f"Node [graph = {graph}, name = {name!r}] target {target} has type {_type_repr(type(target))} "
                f"but {wanted} is expected"
            )
        self.target = target
        self.users = {}
        self.type = return_type
        self.meta = {}
        self._input_nodes = {}
        self._args, self._kwargs = (), immutable_dict()
        self._prev = self._next = self
        self._erased = False
        self._repr_fn = None
        self._update_args_kwargs(args, kwargs)

    # Where it stands

    @property
    def next(self):
        """The node behind this one."""
        return self._next

    @property
    def prev(self):
        """The node in front of this one."""
        return self._prev

    def prepend(self, x):
        """Moves ``x``, a node of the same graph, in front of this one.

        Raises:
            AssertionError: it belongs to another graph.
        """
        assert self.graph is x.graph, "Attempting to move a Node into a different Graph"
        if x is self:
            return
        x._remove_from_list()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x
        self.graph._moved()

    def append(self, x):
        """Moves ``x``, a node of the same graph, behind this one.

        Raises:
            AssertionError: it belongs to another graph.
        """
        assert self.graph is x.graph, "Attempting to move a Node into a different Graph"
        if x is not self._next:
            self._next.prepend(x)

    def _remove_from_list(self):
        self._prev._next, self._next._prev = self._next, self._prev

    def __lt__(self, other):
        return self.graph._position(self) < self.graph._position(other)

    def __gt__(self, other):
        return self.graph._position(self) > self.graph._position(other)

    def __le__(self, other):
        return self is other or self < other

    def __ge__(self, other):
        return self is other or self > other

    # Arguments

    @property
    def args(self):
        """The positional arguments; assigning others updates the users of the nodes in them."""
        return self._args

    @args.setter
    def args(self, a):
        self._update_args_kwargs(a, self._kwargs)

    @property
    def kwargs(self):
        """The arguments by name; assigning others updates the users of the nodes in them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k):
        self._update_args_kwargs(self._args, k)

    @property
    def all_input_nodes(self):
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def _update_args_kwargs(self, args, kwargs):
        for node in self._input_nodes:
            node.users.pop(self, None)
        self._input_nodes = {}

        def note(node):
            self._input_nodes.setdefault(node)
            node.users.setdefault(self)
            return node

        self._args = map_arg(tuple(args), note)
        self._kwargs = map_arg(dict(kwargs), note)

    def update_arg(self, idx, arg):
        """Puts ``arg`` in the place of the positional argument ``idx``."""
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx, arg):
        """Puts ``arg`` in front of the positional argument ``idx``.

        Raises:
            AssertionError: there are fewer arguments than that.
        """
        assert 0 <= idx <= len(self.args), "insert_args index must be between 0 and len(self.args)"
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_kwarg(self, key, arg):
        """Puts ``arg`` in the place of the argument called ``key``, which may be new."""
        self.kwargs = {**self.kwargs, key: arg}

    def replace_input_with(self, old_input, new_input):
        """Puts ``new_input`` wherever ``old_input`` is an argument."""
        self._update_args_kwargs(*_exchanged((self.args, self.kwargs), old_input, new_input))

    _replace_input_with = replace_input_with

    def replace_all_uses_with(self, replace_with, delete_user_cb=lambda user: True, *, propagate_meta=False):
        """Puts ``replace_with`` in the place of this node in all arguments of other nodes.

        Args:
            delete_user_cb: asked for each user; False keeps this node there.
            propagate_meta: ``replace_with``, whose ``meta`` is empty, gets what this one's holds.

        Returns:
            the users that were changed.
        """
        if propagate_meta:
            assert len(replace_with.meta) == 0, (
                "Called node.replace_all_uses_with(replace_with, propagate_meta=True), "
                "but replace_with already has .meta keys"
            )
            replace_with.meta.update(self.meta)
        changed = [user for user in list(self.users) if delete_user_cb is None or delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    # What it does

    @property
    def stack_trace(self):
        """Where the traced program made the node, if the tracer notes that."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace):
        self.meta["stack_trace"] = trace

    def is_impure(self, impure_random=True):
        """Whether the node must stay where nobody uses its result.

        Args:
            impure_random: whether drawing random numbers counts.
        """
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            return self._calls_impure_function(impure_random)
        if self.op == "call_module":
            owner = self.graph.owning_module
            assert owner is not None, "self.graph.owning_module not set for purity check"
            module = owner.get_submodule(self.target)
            return getattr(module, "_is_impure", False)
        return False

    def _calls_impure_function(self, impure_random):
        if self.target in _side_effectful_functions:
            return True
        return impure_random and is_of_torch(self.target) and getattr(self.target, "__name__", "") in _RANDOM

    def normalized_arguments(self, root, arg_types=None, kwarg_types=None, normalize_to_only_use_kwargs=False):
        """The node's arguments in the order of the signature of what it calls, or None where that is unknown."""
        from .operator_schemas import normalize_function, normalize_module

        if self.op == "call_function":
            return normalize_function(
                self.target, self.args, self.kwargs, arg_types, kwarg_types, normalize_to_only_use_kwargs
            )
        if self.op == "call_module":
            return normalize_module(root, self.target, self.args, self.kwargs, normalize_to_only_use_kwargs)
        return None

    # As text

    def __repr__(self):
        return self._repr_fn(self) if self._repr_fn else self.name

    def _pretty_print_target(self, target):
        return pretty_target(target)

    def format_node(self, placeholder_names=None, maybe_return_typename=None, *, include_tensor_metadata=False):
        """One line of text about the node.

        Args:
            placeholder_names, maybe_return_typename: lists that get the names of arguments, and the annotation of the
                result; None is returned then for a placeholder.
        """
        kind = f": {_type_repr(self.type)} " if self.type else ""
        head = f"%{self.name} : {kind[2:]}[num_users={len(self.users)}] = {self.op}"
        if self.op == "placeholder":
            if placeholder_names is not None:
                placeholder_names.append(self.target + (f": {_type_repr(self.type)}" if self.type else ""))
                return None
            default = f"(default={_spoken(self.args[0])})" if self.args else ""
            return f"{head}[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"{head}[target={pretty_target(self.target)}]"
        if self.op == "output":
            if self.type and maybe_return_typename is not None:
                maybe_return_typename[0] = f" -> {_type_repr(self.type)}"
            return f"return {_spoken(self.args[0])}"
        return (
            f"{head}[target={pretty_target(self.target)}]"
            f"(args = {_format_arg(self.args)}, kwargs = {_format_arg(self.kwargs)})"
        )


_RANDOM = {
    "bernoulli", "dropout", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like",
}  # fmt: skip


def _exchanged(tree, old, new):
    return map_aggregate(tree, lambda part: new if part is old else part)
