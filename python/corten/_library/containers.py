"""`ScriptList` and `ScriptDict`: lists and dicts whose elements are all of one type, which `jit.script` makes.

They hold what they were made of by value: the list or dict itself stays as it is. Each equals itself alone.
"""

from .._control import JITException
from . import types as t
from .binding import fitted
from .classes import infer_type
from .schema import shown


def _inferred(value, empty, what):
    if not value:
        return empty
    found = infer_type(value)
    if not found.success():
        raise JITException(f"Unable to infer type of {what}: {found.reason()}")
    return found.type()


class ScriptListIterator:
    """Goes through a `ScriptList`."""

    def __init__(self, items):
        self._items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._items)


class ScriptDictIterator(ScriptListIterator):
    """Goes through the pairs of a `ScriptDict`."""


class ScriptDictKeyIterator(ScriptListIterator):
    """Goes through the keys of a `ScriptDict`."""


class ScriptList:
    """A list whose elements are of one type, that of the list it is made of; without elements, tensors.

    Raises:
        JITException: the elements have no type in common.
        TypeError: of this and all methods, where a value is not of the type.

    Example:
        >>> numbers = corten.jit.script([1.5, 2.5])
        >>> numbers.append(3)
        >>> numbers
        [1.5, 2.5, 3.0]
    """

    def __init__(self, items):
        if not isinstance(items, list):
            raise TypeError(f"ScriptList is made of a list, got {type(items).__name__}")
        self._type = _inferred(items, t.ListType.ofTensors(), "list")
        self._items = [self._fit(item) for item in items]

    def _fit(self, value):
        return fitted(self._type.getElementType(), value)

    def _like(self, items):
        made = object.__new__(ScriptList)
        made._type, made._items = self._type, items
        return made

    def __len__(self):
        return len(self._items)

    def __bool__(self):
        return bool(self._items)

    def __iter__(self):
        return ScriptListIterator(self._items)

    def __contains__(self, value):
        return any(_same(value, item) for item in self._items)

    def __getitem__(self, index):
        found = self._items[index]
        return self._like(found) if isinstance(index, slice) else found

    def __setitem__(self, index, value):
        if not isinstance(index, slice):
            self._items[index] = self._fit(value)
            return
        values = [self._fit(item) for item in value]
        if len(values) != len(self._items[index]):
            raise RuntimeError(
                f"ScriptList: a slice of {len(self._items[index])} elements is given as many, got {len(values)}"
            )
        self._items[index] = values

    def __delitem__(self, index):
        del self._items[index]

    def __repr__(self):
        return f"[{', '.join(map(shown, self._items))}]"

    def append(self, value):
        """Puts an element at the end."""
        self._items.append(self._fit(value))

    def extend(self, values):
        """Puts elements at the end."""
        self._items.extend([self._fit(value) for value in values])

    def insert(self, index, value):
        """Puts an element in front of another one."""
        self._items.insert(index, self._fit(value))

    def pop(self, index=-1):
        """Takes an element out, and returns it."""
        return self._items.pop(index)

    def remove(self, value):
        """Takes the first element out that is equal to a value; a ValueError where none is."""
        for place, item in enumerate(self._items):
            if _same(value, item):
                del self._items[place]
                return
        raise ValueError(f"ScriptList.remove: {value!r} is not in the list")

    def count(self, value):
        """How many elements are equal to a value."""
        return sum(_same(value, item) for item in self._items)

    def clear(self):
        """Takes all elements out."""
        self._items.clear()


def _same(a, b):
    if hasattr(a, "equal") and hasattr(b, "equal"):
        return a is b or (a.shape == b.shape and bool(a.equal(b)))
    return type(a) is type(b) and a == b


class ScriptDict:
    """A dict with one type of keys and one of values, those of the dict it is made of; without pairs, str and tensors.

    Raises:
        JITException: keys or values have no type in common.
        RuntimeError: keys of that type are none of dicts'.
        TypeError: of this and all methods, where a key or value is not of the type.

    Example:
        >>> ages = corten.jit.script({"ada": 36})
        >>> ages["alan"] = 41
        >>> list(ages.items())
        [('ada', 36), ('alan', 41)]
    """

    def __init__(self, items):
        if not isinstance(items, dict):
            raise TypeError(f"ScriptDict is made of a dict, got {type(items).__name__}")
        self._type = _inferred(items, t.DictType(t.StringType.get(), t.TensorType.get()), "dictionary")
        self._items = {self._key(k): self._value(v) for k, v in items.items()}

    def _key(self, key):
        return fitted(self._type.getKeyType(), key)

    def _value(self, value):
        return fitted(self._type.getValueType(), value)

    def __len__(self):
        return len(self._items)

    def __bool__(self):
        return bool(self._items)

    def __iter__(self):
        return ScriptDictKeyIterator(self._items)

    def keys(self):
        """Goes through the keys."""
        return ScriptDictKeyIterator(self._items)

    def items(self):
        """Goes through the pairs."""
        return ScriptDictIterator(self._items.items())

    def __contains__(self, key):
        try:
            return self._key(key) in self._items
        except TypeError:
            return False

    def __getitem__(self, key):
        if key not in self:
            raise KeyError(key)
        return self._items[self._key(key)]

    def __setitem__(self, key, value):
        key, value = self._key(key), self._value(value)
        self._items[key] = value

    def __delitem__(self, key):
        if key not in self:
            raise KeyError(key)
        del self._items[self._key(key)]

    def __repr__(self):
        return f"{{{', '.join(f'{shown(key)}: {shown(value)}' for key, value in self._items.items())}}}"


for _class in (ScriptList, ScriptDict, ScriptListIterator, ScriptDictIterator, ScriptDictKeyIterator):
    _class.__module__ = "corten"
