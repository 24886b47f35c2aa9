"""Weak references to tensors, ``torch.utils.weak``, compared by which tensor they are to, not by its elements."""

import copy
import weakref
from collections.abc import Mapping, MutableMapping

from .. import Tensor

__all__ = ["TensorWeakRef", "WeakIdRef", "WeakIdKeyDictionary", "WeakTensorKeyDictionary"]


class WeakIdRef(weakref.ref):
    """A weak reference that equals another where both are to the same living object; its hash is the object's `id`.

    Raises:
        TypeError: the object is of a class without weak references, such as int.
    """

    __slots__ = ("_id",)

    def __init__(self, key, callback=None):
        super().__init__(key, callback)
        self._id = id(key)

    def __hash__(self):
        return self._id

    def __eq__(self, other):
        mine, others = self(), other() if isinstance(other, weakref.ref) else None
        return self is other if mine is None or others is None else mine is others

    def __ne__(self, other):
        return not self == other


class WeakIdKeyDictionary(MutableMapping):
    """
    A dictionary whose keys are told apart by which object they are, and leave it when nobody else has them.

    Iterating skips the keys that are gone by then, so objects may die meanwhile.

    Args:
        dict: a mapping to begin with.
        ref_type: the class of the weak references to keys.

    Raises:
        TypeError: a key that is stored or read is of a class without weak references.

    >>> weight = corten.ones(2)
    >>> notes = WeakIdKeyDictionary({weight: "first"})
    >>> notes[weight], corten.ones(2) in notes
    ('first', False)
    >>> del weight
    >>> len(notes)
    0
    """

    def __init__(self, dict=None, ref_type=WeakIdRef):
        self.data = {}
        self.ref_type = ref_type
        owner = weakref.ref(self)

        def remove(reference):
            held = owner()
            if held is not None:
                held.data.pop(reference, None)

        self._remove = remove
        if dict is not None:
            self.update(dict)

    def __getitem__(self, key):
        return self.data[self.ref_type(key)]

    def __setitem__(self, key, value):
        self.data[self.ref_type(key, self._remove)] = value

    def __delitem__(self, key):
        del self.data[self.ref_type(key)]

    def __contains__(self, key):
        try:
            return self.ref_type(key) in self.data
        except TypeError:
            return False

    def __len__(self):
        return sum(reference() is not None for reference in list(self.data))

    def __iter__(self):
        for reference in list(self.data):
            key = reference()
            if key is not None:
                yield key

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):#x}>"

    def __copy__(self):
        return type(self)(self, self.ref_type)

    copy = __copy__

    def __deepcopy__(self, memo):
        """The same keys with copies of the values."""
        made = type(self)(None, self.ref_type)
        made.update((key, copy.deepcopy(value, memo)) for key, value in self.items())
        return made

    def keyrefs(self):
        """The weak references to the keys, in a list; some may be to objects that are gone."""
        return list(self.data)

    def popitem(self):
        """
        Takes out the key that came last, and returns it with its value.

        Raises:
            KeyError: there is none.
        """
        while True:
            reference, value = self.data.popitem()
            key = reference()
            if key is not None:
                return key, value

    def __eq__(self, other):
        if not isinstance(other, Mapping):
            return NotImplemented
        return {id(key): value for key, value in self.items()} == {id(key): value for key, value in other.items()}

    def __or__(self, other):
        return self._joined(self, other)

    def __ror__(self, other):
        return self._joined(other, self)

    def _joined(self, first, second):
        if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
            return NotImplemented
        made = type(self)(first, self.ref_type)
        made.update(second)
        return made

    def __ior__(self, other):
        self.update(other)
        return self


WeakTensorKeyDictionary = WeakIdKeyDictionary


class TensorWeakRef:
    """
    A weak reference to a tensor: a call gives the tensor, or None where it is gone.

    Raises:
        AssertionError: it is no tensor.
    """

    def __init__(self, tensor):
        if not isinstance(tensor, Tensor):
            raise AssertionError(f"TensorWeakRef: expected a tensor, got {type(tensor).__name__}")
        self.ref = weakref.ref(tensor)

    def __call__(self):
        return self.ref()
