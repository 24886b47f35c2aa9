"""The leaves of a structure of containers that is known beforehand."""

from ..utils._pytree import tree_flatten

__all__ = ["register_pytree_flatten_spec", "tree_flatten_spec"]

_FLATTEN: dict = {}


def register_pytree_flatten_spec(cls, flatten_fn_spec, flatten_fn_exact_match_spec=None):
    """Says how the children of a ``cls`` are found by a structure: ``flatten_fn_spec(tree, spec)`` is their list."""
    _FLATTEN[cls] = flatten_fn_spec


def tree_flatten_spec(pytree, spec):
    """The leaves of ``pytree``, which is laid out as ``spec`` says; a dict may have more keys.

    Raises:
        RuntimeError: a container of the structure is missing or of another class.
        ValueError: a container has another number of children.
    """
    if spec.is_leaf():
        return [pytree]
    if spec.type in _FLATTEN:
        children = _FLATTEN[spec.type](pytree, spec)
    elif isinstance(pytree, dict) and issubclass(spec.type, dict):
        children = [pytree[key] for key in _keys(spec)]
    elif isinstance(pytree, spec.type):
        children = list(pytree) if isinstance(pytree, (list, tuple)) else None
    else:
        raise RuntimeError(f"{type(pytree)} does not have a flatten_fn_spec associated with it: {spec.type} was traced")
    if children is None:
        return tree_flatten(pytree)[0]
    found = spec.children()
    if len(children) < len(found):
        raise ValueError(f"a {spec.type.__name__} of {len(found)} was traced, one of {len(children)} was given")
    return [leaf for child, part in zip(children, found, strict=False) for leaf in tree_flatten_spec(child, part)]


def _keys(spec):
    context = spec.context
    return list(context[1]) if spec.type.__name__ == "defaultdict" else list(context)
