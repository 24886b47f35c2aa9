"""Trees of containers: taking them apart into leaves and a description, and putting them together again.

Tuples, lists, dictionaries, named tuples, ``OrderedDict``, ``defaultdict`` and ``deque`` are nodes, and whatever
``register_pytree_node`` adds; all else, ``None`` too, is a leaf.
"""

import json
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from corten import Size

__all__ = [
    "LeafSpec",
    "PyTreeSpec",
    "TreeSpec",
    "arg_tree_leaves",
    "is_namedtuple",
    "is_namedtuple_class",
    "is_namedtuple_instance",
    "is_structseq",
    "is_structseq_class",
    "is_structseq_instance",
    "key_get",
    "keystr",
    "register_pytree_node",
    "tree_all",
    "tree_all_only",
    "tree_any",
    "tree_any_only",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_is_leaf",
    "tree_iter",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_map_only_",
    "tree_map_with_path",
    "tree_structure",
    "tree_unflatten",
    "treespec_dumps",
    "treespec_loads",
    "treespec_pprint",
]


# -- kinds of nodes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SequenceKey:
    """The place of a child in a sequence."""

    idx: int

    def __str__(self):
        return f"[{self.idx!r}]"

    def get(self, sequence):
        """The child."""
        return sequence[self.idx]


@dataclass(frozen=True)
class MappingKey:
    """The key of a child in a mapping."""

    key: Any

    def __str__(self):
        return f"[{self.key!r}]"

    def get(self, mapping):
        """The child."""
        return mapping[self.key]


@dataclass(frozen=True)
class GetAttrKey:
    """The attribute that a child is."""

    name: str

    def __str__(self):
        return f".{self.name}"

    def get(self, obj):
        """The child."""
        return getattr(obj, self.name)


class NodeDef(NamedTuple):
    """How a type of node comes apart: its children and a context, and its children's keys for paths."""

    type: type
    flatten_fn: Any
    unflatten_fn: Any
    flatten_with_keys_fn: Any
    serialized_type_name: str | None = None
    to_dumpable_context: Any = None
    from_dumpable_context: Any = None


SUPPORTED_NODES: dict[type, NodeDef] = {}
# For annotations.
PyTree = Context = Any


def register_pytree_node(
    cls,
    flatten_fn,
    unflatten_fn,
    *,
    serialized_type_name=None,
    to_dumpable_context=None,
    from_dumpable_context=None,
    flatten_with_keys_fn=None,
):
    """Makes objects of class ``cls`` nodes.

    Args:
        flatten_fn: from an object to ``(children, context)``; contexts are compared by ``==``.
        unflatten_fn: from ``(children, context)`` to an object.
        serialized_type_name: the name in :func:`treespec_dumps`.
        to_dumpable_context, from_dumpable_context: contexts to and from what JSON can hold.
        flatten_with_keys_fn: as ``flatten_fn``, with pairs of a key and a child.

    Raises:
        ValueError: the class is a node already.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    if (to_dumpable_context is None) != (from_dumpable_context is None):
        raise ValueError(f"Both to_dumpable_context and from_dumpable_context for {cls} must be None or registered.")
    SUPPORTED_NODES[cls] = NodeDef(
        cls, flatten_fn, unflatten_fn, flatten_with_keys_fn, serialized_type_name, to_dumpable_context,
        from_dumpable_context,
    )  # fmt: skip


def is_structseq_class(cls):
    """Whether the class is one of an operator's named results, or of the standard library's such as ``os.stat``'s."""
    if not (isinstance(cls, type) and issubclass(cls, tuple)):
        return False
    ours = hasattr(cls, "_fields") and not hasattr(cls, "_make")
    return ours or all(isinstance(getattr(cls, name, None), int) for name in ("n_fields", "n_sequence_fields"))


def is_structseq_instance(obj):
    """Whether the object is of such a class."""
    return is_structseq_class(type(obj))


def is_structseq(obj):
    """Whether the object is such a class or of one."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def is_namedtuple_class(cls):
    """Whether the class is one of ``collections.namedtuple``."""
    if not (isinstance(cls, type) and issubclass(cls, tuple)):
        return False
    fields = getattr(cls, "_fields", None)
    named = isinstance(fields, tuple) and all(isinstance(name, str) for name in fields)
    return named and callable(getattr(cls, "_make", None)) and callable(getattr(cls, "_asdict", None))


def is_namedtuple_instance(obj):
    """Whether the object is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj):
    """Whether the object is a named tuple or a class of them."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


# Stand for all classes of their kind among the nodes.
class namedtuple:
    pass


class structseq:
    pass


def _kind_of(tree):
    """The type that says how the tree comes apart, or None for a leaf."""
    kind = type(tree)
    if kind in SUPPORTED_NODES:
        return kind
    if isinstance(tree, tuple):
        return namedtuple if is_namedtuple_class(kind) else structseq if is_structseq_class(kind) else None
    return None


def _get_node_type(tree):
    """The type that says how the tree comes apart, its own for a leaf."""
    return _kind_of(tree) or type(tree)


def _sequence_keys(children):
    return [(SequenceKey(i), child) for i, child in enumerate(children)]


def _register(cls, flatten, unflatten, keys, name=None):
    def with_keys(tree):
        children, context = flatten(tree)
        return keys(tree, children, context), context

    register_pytree_node(cls, flatten, unflatten, serialized_type_name=name, flatten_with_keys_fn=with_keys)


_register(tuple, lambda t: (list(t), None), lambda c, _: tuple(c), lambda t, c, _: _sequence_keys(c), "builtins.tuple")
_register(Size, lambda t: (list(t), None), lambda c, _: Size(c), lambda t, c, _: _sequence_keys(c), "torch.Size")
_register(list, lambda t: (t, None), lambda c, _: list(c), lambda t, c, _: _sequence_keys(c), "builtins.list")


def _dict_flatten(tree):
    """The values of a dict, and its keys as the context."""
    return list(tree.values()), list(tree)


def _dict_unflatten(values, context):
    """The dict with these values and keys."""
    return dict(zip(context, values))


def _dict_flatten_with_keys(tree):
    """`_dict_flatten` with the place of each value."""
    values, keys = _dict_flatten(tree)
    return [(MappingKey(key), value) for key, value in zip(keys, values)], keys


for _mapping, _unflatten in ((dict, _dict_unflatten), (OrderedDict, lambda c, keys: OrderedDict(zip(keys, c)))):
    register_pytree_node(
        _mapping,
        _dict_flatten,
        _unflatten,
        serialized_type_name=f"{_mapping.__module__}.{_mapping.__name__}",
        flatten_with_keys_fn=_dict_flatten_with_keys,
    )


def _default_keys(tree):
    children, context = list(tree.values()), [tree.default_factory, list(tree)]
    return [(MappingKey(k), child) for k, child in zip(tree, children)], context


def _dump_default(context):
    factory, keys = context
    module, name = factory.__module__, factory.__qualname__
    return {"default_factory_module": module, "default_factory_name": name, "dict_context": keys}


def _load_default(data):
    import builtins

    # Only a class that containers are made of: the text may come from anybody.
    if data["default_factory_module"] != "builtins" or data["default_factory_name"] not in _FACTORIES:
        raise NotImplementedError(f"defaultdict: {data['default_factory_name']} is no factory that text may name")
    factory = getattr(builtins, data["default_factory_name"])
    return [factory, data["dict_context"]]


_FACTORIES = ("list", "dict", "set", "tuple", "int", "float", "str", "bool")
register_pytree_node(
    defaultdict,
    lambda t: (list(t.values()), [t.default_factory, list(t)]),
    lambda c, context: defaultdict(context[0], zip(context[1], c)),
    serialized_type_name="collections.defaultdict",
    to_dumpable_context=_dump_default,
    from_dumpable_context=_load_default,
    flatten_with_keys_fn=_default_keys,
)
_register(
    deque,
    lambda t: (list(t), t.maxlen),
    lambda c, maxlen: deque(c, maxlen),
    lambda t, c, _: _sequence_keys(c),
    "collections.deque",
)
_register(
    namedtuple,
    lambda t: (list(t), type(t)),
    lambda c, cls: cls(*c),
    lambda t, c, cls: [(GetAttrKey(name), child) for name, child in zip(cls._fields, c)],
)
_register(structseq, lambda t: (list(t), type(t)), lambda c, cls: cls(c), lambda t, c, cls: _sequence_keys(c))


# -- descriptions -----------------------------------------------------------------------------------------------------


@dataclass
class TreeSpec:
    """What is left of a tree without its leaves: the node's type, its context and its children's descriptions."""

    type: Any
    context: Any
    children_specs: list
    num_nodes: int = field(init=False)
    num_leaves: int = field(init=False)
    num_children: int = field(init=False)

    def __post_init__(self):
        self.num_children = len(self.children_specs)
        self.num_nodes = 1 + sum(child.num_nodes for child in self.children_specs)
        self.num_leaves = sum(child.num_leaves for child in self.children_specs) if self.type is not None else 1

    def is_leaf(self):
        """Whether the tree is a leaf."""
        return self.type is None

    def __repr__(self, indent=0):
        name = "_" if self.type is None else self.type.__name__.strip("_")
        if not self.children_specs:
            return "*" if self.is_leaf() else f"TreeSpec({name}, {self.context}, [])"
        children = [child.__repr__(indent + 2) for child in self.children_specs]
        inner = ",\n".join([children[0], *(" " * (indent + 2) + text for text in children[1:])])
        return f"TreeSpec({name}, {self.context}, [{inner}])"

    def children(self):
        """The children's descriptions."""
        return self.children_specs

    def child(self, index):
        """One child's description."""
        return self.children_specs[index]

    def entries(self):
        """The children's keys."""
        if self.is_leaf():
            return []
        children = list(range(self.num_children))
        node = SUPPORTED_NODES[self.type]
        if node.flatten_with_keys_fn is None:
            return children
        return [key for key, _ in node.flatten_with_keys_fn(node.unflatten_fn(children, self.context))[0]]

    def flatten_up_to(self, tree):
        """The subtrees where this description has leaves.

        Raises:
            ValueError: the tree differs above them.
        """
        found = []
        self._collect(tree, found)
        return found

    def _collect(self, tree, found):
        if self.is_leaf():
            found.append(tree)
            return
        kind = _kind_of(tree)
        if kind is not self.type and not (kind in _DICTS and self.type in _DICTS):
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {type(tree)!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if kind in _DICTS:
            keys = self.context[1] if self.type is defaultdict else self.context
            if set(keys) != set(tree):
                raise ValueError(f"Node keys mismatch; expected {list(keys)}, but got {list(tree)}.")
            children = [tree[key] for key in keys]
        elif context != self.context and kind is not deque:
            raise ValueError(f"Node context mismatch for node type {self.type!r}: {self.context} and {context}.")
        for spec, child in zip(self.children_specs, children, strict=True):
            spec._collect(child, found)

    def unflatten(self, leaves):
        """The tree with these leaves.

        Raises:
            ValueError: there are more or fewer than the tree has.
        """
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that "
                f"holds {self.num_leaves} items ({self})."
            )
        return self._build(iter(leaves))

    def _build(self, leaves):
        if self.is_leaf():
            return next(leaves)
        children = [child._build(leaves) for child in self.children_specs]
        return SUPPORTED_NODES[self.type].unflatten_fn(children, self.context)

    def __hash__(self):
        context = tuple(self.context) if isinstance(self.context, list) else self.context
        return hash((self.type, str(context), tuple(self.children_specs)))


_DICTS = (dict, OrderedDict, defaultdict)
PyTreeSpec = TreeSpec


class LeafSpec(TreeSpec):
    """The description of a leaf."""

    def __init__(self):
        super().__init__(None, None, [])

    def __eq__(self, other):
        return isinstance(other, TreeSpec) and other.is_leaf()

    __hash__ = TreeSpec.__hash__


_LEAF = LeafSpec()


# -- taking apart -----------------------------------------------------------------------------------------------------


def tree_is_leaf(tree, is_leaf=None):
    """Whether the tree is a leaf."""
    return (is_leaf is not None and bool(is_leaf(tree))) or _kind_of(tree) is None


def tree_flatten(tree, is_leaf=None):
    """The leaves as a list, and the description of the tree.

    Args:
        is_leaf: whether a subtree is to count as a leaf.
    """
    leaves = []
    return leaves, _flatten(tree, leaves, is_leaf)


def _flatten(tree, leaves, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        leaves.append(tree)
        return _LEAF
    kind = _kind_of(tree)
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    return TreeSpec(kind, context, [_flatten(child, leaves, is_leaf) for child in children])


def tree_unflatten(leaves, treespec):
    """The tree of a description with these leaves.

    Raises:
        TypeError: ``treespec`` is no description.
        ValueError: there are more or fewer leaves than the tree has.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(
            f"tree_unflatten(leaves, treespec): Expected `treespec` to be instance of TreeSpec but got item of type "
            f"{type(treespec)}."
        )
    return treespec.unflatten(leaves)


def tree_iter(tree, is_leaf=None):
    """The leaves, one after the other."""
    yield from tree_leaves(tree, is_leaf)


def tree_leaves(tree, is_leaf=None):
    """The leaves as a list."""
    return tree_flatten(tree, is_leaf)[0]


def arg_tree_leaves(*args, **kwargs):
    """The leaves of a call's arguments, those given by name last."""
    return tree_leaves((args, kwargs))


def tree_structure(tree, is_leaf=None):
    """The description of the tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func, tree, *rests, is_leaf=None):
    """A tree of the results of ``func`` on the leaves, and on the subtrees in their places in ``rests``."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    return spec.unflatten(map(func, leaves, *others))


def tree_map_(func, tree, *rests, is_leaf=None):
    """Calls ``func`` as :func:`tree_map` does, and returns the tree itself."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    for values in zip(leaves, *others, strict=True):
        func(*values)
    return tree


def _chosen(type_or_types_or_pred):
    if isinstance(type_or_types_or_pred, (type, tuple)):
        return lambda x: isinstance(x, type_or_types_or_pred)
    if callable(type_or_types_or_pred):
        return type_or_types_or_pred
    return lambda x: isinstance(x, type_or_types_or_pred)


def map_only(type_or_types_or_pred, /):
    """A decorator for functions of leaves: other leaves than those of these types stay as they are."""
    chosen = _chosen(type_or_types_or_pred)
    return lambda func: lambda x: func(x) if chosen(x) else x


def tree_map_only(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """As :func:`tree_map` for leaves of these types, or for which the predicate holds; the others stay."""
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """As :func:`tree_map_` for leaves of these types, or for which the predicate holds."""
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    """Whether ``pred`` holds for every leaf."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred, tree, is_leaf=None):
    """Whether ``pred`` holds for a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether ``pred`` holds for every leaf of these types."""
    return all(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def tree_any_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether ``pred`` holds for a leaf of these types."""
    return any(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, type_or_types))


def _broadcast_to_and_flatten(tree, treespec, is_leaf=None):
    """The leaves of ``tree``, repeated where ``treespec`` goes deeper; None where the two do not fit."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.is_leaf() or _kind_of(tree) is not treespec.type:
        return None
    children, context = SUPPORTED_NODES[treespec.type].flatten_fn(tree)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    parts = [_broadcast_to_and_flatten(c, spec, is_leaf) for c, spec in zip(children, treespec.children_specs)]
    return None if any(part is None for part in parts) else [leaf for part in parts for leaf in part]


# -- paths ------------------------------------------------------------------------------------------------------------


def tree_flatten_with_path(tree, is_leaf=None):
    """Pairs of a path, a tuple of keys, and a leaf, and the description of the tree."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_leaves_with_path(tree, is_leaf=None):
    """Pairs of a path and a leaf.

    Raises:
        ValueError: a node's class was registered without keys.
    """
    found = []
    _walk((), tree, found, is_leaf)
    return found


def _walk(path, tree, found, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        found.append((path, tree))
        return
    kind = _kind_of(tree)
    if SUPPORTED_NODES[kind].flatten_with_keys_fn is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {kind}. Please pass it to register_pytree_node"
        )
    for key, child in SUPPORTED_NODES[kind].flatten_with_keys_fn(tree)[0]:
        _walk((*path, key), child, found, is_leaf)


def tree_map_with_path(func, tree, *rests, is_leaf=None):
    """As :func:`tree_map`, with the path before the leaf."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    return spec.unflatten(func(*pair, *values) for pair, *values in zip(pairs, *others, strict=True))


def keystr(kp):
    """A path as text, such as ``['a'][0].weight``."""
    return "".join(map(str, kp))


def key_get(obj, kp):
    """What lies at the end of a path."""
    for key in kp:
        obj = key.get(obj)
    return obj


# -- text -------------------------------------------------------------------------------------------------------------

_PROTOCOL = 1


def _dumpable(spec):
    if spec.is_leaf():
        return {"type": None, "context": None, "children_spec": []}
    node = SUPPORTED_NODES[spec.type]
    if node.serialized_type_name is None:
        raise NotImplementedError(f"No registered serialization name for {spec.type} found.")
    context = node.to_dumpable_context(spec.context) if node.to_dumpable_context else json.dumps(spec.context)
    children = [_dumpable(child) for child in spec.children_specs]
    return {"type": node.serialized_type_name, "context": context, "children_spec": children}


def treespec_dumps(treespec, protocol=None):
    """A description as JSON.

    Raises:
        TypeError: it is none.
        ValueError: for another protocol than 1.
        NotImplementedError: a node's class has no name for it, as named tuples have none.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"treespec_dumps(treespec): Expected `treespec` to be instance of TreeSpec, got {treespec!r}.")
    if protocol not in (None, _PROTOCOL):
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [{_PROTOCOL}]")
    return json.dumps((_PROTOCOL, _dumpable(treespec)))


def treespec_loads(serialized):
    """The description that :func:`treespec_dumps` wrote."""
    protocol, data = json.loads(serialized)
    if protocol != _PROTOCOL:
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [{_PROTOCOL}]")
    return _loaded(data)


def _loaded(data):
    if data["type"] is None:
        return _LEAF
    named = {node.serialized_type_name: node for node in SUPPORTED_NODES.values()}
    if data["type"] not in named:
        raise NotImplementedError(f"No registered class has the serialization name {data['type']}.")
    node = named[data["type"]]
    context = node.from_dumpable_context(data["context"]) if node.from_dumpable_context else json.loads(data["context"])
    return TreeSpec(node.type, context, [_loaded(child) for child in data["children_spec"]])


class _Dots:
    def __repr__(self):
        return "*"


def treespec_pprint(treespec):
    """The description as text, with a star for every leaf."""
    from pprint import pformat

    return pformat(treespec.unflatten([_Dots() for _ in range(treespec.num_leaves)]), sort_dicts=False)
