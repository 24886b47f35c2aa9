"""Lists and dicts that a node's arguments are made of: they compare and hash by content, and nobody changes them."""

from ..utils._pytree import register_pytree_node

__all__ = ["immutable_dict", "immutable_list"]

_ADVICE = (
    "object does not support mutation. The args and kwargs of a node change when others are assigned:\n\n"
    "    node.args = new_args  # made from a copy"
)


def _refuse(self, *args, **kwargs):
    raise TypeError(f"'{type(self).__name__}' {_ADVICE}")


class immutable_list(list):
    """A list that cannot be changed."""

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __hash__(self):
        return hash(tuple(self))

    def __reduce__(self):
        return type(self), (tuple(self),)


class immutable_dict(dict):
    """A dict that cannot be changed."""

    update = setdefault = pop = popitem = clear = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __hash__(self):
        return hash(frozenset(self.items()))

    def __reduce__(self):
        return type(self), (tuple(self.items()),)


def _flatten_dict(tree):
    return list(tree.values()), list(tree)


def _unflatten_dict(values, keys):
    return immutable_dict(zip(keys, values, strict=True))


register_pytree_node(immutable_list, lambda tree: (list(tree), None), lambda values, context: immutable_list(values))
register_pytree_node(immutable_dict, _flatten_dict, _unflatten_dict)
