"""What a compiled function takes for granted: the things that its code names, and how they were when it was recorded.

The code's names are looked up in its globals, its closure and the attributes of the objects it uses. Plain values are
compared by value, everything else by identity; containers by their items. Functions of the program that the code names
are read in turn. Modules announce changes of their attributes (:func:`corten._core.bump_rebinds`), so they are
looked at only after one.
"""

import builtins
import sys
import types

import corten
from corten.nn.modules.hooks import GLOBAL

_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    slice,
    corten.dtype,
    corten.device,
    corten.memory_format,
    corten.layout,
)
_MISSING = object()
# Calls whose effect or result is outside of what can be recorded.
_IMPURE_BUILTINS = frozenset(["print", "input", "open", "next", "exec", "eval", "globals", "locals", "breakpoint"])
_IMPURE_MODULES = frozenset(["random", "time", "datetime", "secrets", "uuid"])
_LIBRARIES = frozenset(["corten", "numpy", *sys.stdlib_module_names])
_MODULE_TABLES = frozenset(["_parameters", "_buffers", "_modules", "training"])


def is_plain(value):
    """Whether a value is compared by what it is, not by which object it is."""
    return isinstance(value, _PLAIN) or (isinstance(value, (tuple, frozenset)) and all(map(is_plain, value)))


def same(old, new):
    """Whether a guarded thing is as it was."""
    return old is new or (type(old) is type(new) and is_plain(old) and old == new)


def _is_library(name):
    return name is not None and name.partition(".")[0] in _LIBRARIES


def _names(code):
    """Every name that a piece of code and the functions inside it mention."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found


class Guards:
    """How the surroundings of a function were when it was recorded.

    Attributes:
        refusal: why the function cannot be compiled, or None.
    """

    def __init__(self, function, objects=()):
        self.refusal = None
        self._places = []  # (lookup, key, value, words)
        self._contents = []  # (container, its items, words)
        self._tensors = []
        self._modules = {}
        self._seen = set()
        self._names = set()
        self._visit(function)
        for value in objects:
            self._visit(value)
        self._module_states = [(module, _state(module)) for module in self._modules.values()]
        self._global_hooks = _global_hooks()
        self._rebinds = corten._core.rebinds()

    # Looking

    def hold(self):
        """Whether everything is as it was."""
        for look, key, value, _ in self._places:
            now = look(key, _MISSING)
            if now is not value and not same(value, now):
                return False
        for container, items, _ in self._contents:
            if not _same_items(items, _items(container)):
                return False
        rebinds = corten._core.rebinds()
        if rebinds != self._rebinds:
            if self._changed_object() is not None:
                return False
            self._rebinds = rebinds
        return True

    def difference(self):
        """Words for the first thing that is not as it was."""
        for look, key, value, words in self._places:
            if not same(value, look(key, _MISSING)):
                return words
        for container, items, words in self._contents:
            if not _same_items(items, _items(container)):
                return words
        return self._changed_object()

    def _changed_object(self):
        for tensor, facts in self._tensors:
            if _facts(tensor) != facts:
                return "a tensor was given other data, or another requires_grad"
        if _global_hooks() != self._global_hooks:
            return "a hook of all modules was registered or removed"
        for module, state in self._module_states:
            now = _state(module)
            if now is not state and not _same_state(state, now):
                return f"a {type(module).__name__} was changed"
        return None

    def forget_changed_contents(self):
        """Stops looking at containers that are not as they were; their words."""
        kept, changed = [], []
        for entry in self._contents:
            (kept if _same_items(entry[1], _items(entry[0])) else changed).append(entry)
        self._contents = kept
        return [words for _, _, words in changed]

    # Collecting

    def _refuse(self, reason):
        if self.refusal is None:
            self.refusal = reason

    def _visit(self, value, words="an argument"):
        if is_plain(value) or isinstance(value, type):
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, corten.Tensor):
            self._tensors.append((value, _facts(value)))
        elif isinstance(value, corten.nn.Module):
            self._visit_module(value)
        elif isinstance(value, types.MethodType):
            self._visit(value.__func__, words)
            self._visit(value.__self__, words)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, types.ModuleType):
            self._visit_python_module(value)
        elif isinstance(value, (list, dict, set, tuple)):
            self._contents.append((value, _items(value), words))
            for item in value.values() if isinstance(value, dict) else value:
                self._visit(item, f"an item of {words}")
        elif hasattr(value, "__next__"):
            self._refuse(f"{words} is an iterator ({type(value).__name__})")
        elif not _is_library(type(value).__module__):
            self._visit_instance(value, words)

    def _visit_function(self, function):
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self._visit(wrapped)
        if _is_library(function.__module__):
            return
        names = _names(function.__code__)
        self._names |= names
        scope = function.__globals__
        for name in sorted(names):
            if name in scope:
                self._place(scope.get, name, scope[name], f"the global {name!r}")
            elif name in _IMPURE_BUILTINS and hasattr(builtins, name):
                self._refuse(f"it calls {name}()")
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            value = _cell_contents(cell, _MISSING)
            self._place(_CellLook(cell), name, value, f"the variable {name!r} of an enclosing function")
        for name, value in (function.__kwdefaults__ or {}).items():
            self._visit(value, f"the default of {name!r}")
        for value in function.__defaults__ or ():
            self._visit(value, "a default argument")

    def _place(self, look, key, value, words):
        self._places.append((look, key, value, words))
        if value is not _MISSING:
            self._visit(value, words)

    def _visit_python_module(self, module):
        name = module.__name__
        if name in _IMPURE_MODULES:
            self._refuse(f"it uses the module {name!r}")
        elif name == "numpy.random" or (name == "numpy" and "random" in self._names):
            self._refuse("it uses numpy's random numbers")
        elif not _is_library(name):
            scope = module.__dict__
            for attribute in sorted(self._names & scope.keys()):
                self._place(scope.get, attribute, scope[attribute], f"{name}.{attribute}")

    def _visit_instance(self, value, words):
        attributes = getattr(value, "__dict__", None)
        for name, method in _own_methods(type(value), self._names):
            self._visit(method, f"{words}.{name}")
        if attributes is not None:
            for name in sorted(self._names & attributes.keys()):
                self._place(attributes.get, name, attributes[name], f"the attribute {name!r} of {words}")

    def _visit_module(self, root):
        for module in root.modules():
            self._modules.setdefault(id(module), module)
            kind = type(module)
            if not _is_library(kind.__module__):
                self._visit(kind.forward, f"{kind.__name__}.forward")
                for name, method in _own_methods(kind, self._names):
                    self._visit(method, f"{kind.__name__}.{name}")
                for name, value in list(module.__dict__.items()):
                    if name in self._names and name not in _MODULE_TABLES:
                        self._visit(value, f"{kind.__name__}.{name}")
            for table in ("_forward_hooks", "_forward_pre_hooks"):
                for hook in module.__dict__.get(table, {}).values():
                    self._visit(hook, f"a hook of {kind.__name__}")


class _CellLook:
    """Looks into a closure's cell as ``dict.get`` looks into a dictionary."""

    __slots__ = ("cell",)

    def __init__(self, cell):
        self.cell = cell

    def __call__(self, _key, default):
        return _cell_contents(self.cell, default)


def _cell_contents(cell, default):
    try:
        return cell.cell_contents
    except ValueError:
        return default


def _own_methods(kind, names):
    """The functions of a class of the program's own that are among ``names``, or make calls of its objects."""
    for base in kind.__mro__:
        if _is_library(base.__module__):
            continue
        for name, value in base.__dict__.items():
            if name in names or name == "__call__":
                function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if isinstance(function, types.FunctionType):
                    yield name, function


def _items(container):
    if isinstance(container, dict):
        return [*container.keys(), *container.values()]
    return list(container)


def _same_items(old, new):
    return len(old) == len(new) and all(map(same, old, new))


def _facts(tensor):
    return corten._core.tensor_identity(tensor), tensor.requires_grad


def _global_hooks():
    return [key for table in vars(GLOBAL).values() if isinstance(table, dict) for key in table]


def _state(module):
    """The parts of a module that decide what it computes."""
    attributes = module.__dict__
    tables = [attributes[table] for table in ("_parameters", "_buffers", "_modules")]
    members = [item for table in tables for pair in table.items() for item in pair]
    facts = [_facts(t) for table in tables[:2] for t in table.values() if t is not None]
    hooks = [key for name, table in attributes.items() if name.endswith("_hooks") for key in table]
    plain = [(name, value) for name, value in attributes.items() if is_plain(value)]
    return type(module), members, facts, hooks, plain


def _same_state(old, new):
    return (
        old[0] is new[0]
        and _same_items(old[1], new[1])
        and old[2:4] == new[2:4]
        and len(old[4]) == len(new[4])
        and all(a[0] == b[0] and same(a[1], b[1]) for a, b in zip(old[4], new[4]))
    )
