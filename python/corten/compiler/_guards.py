"""What a compiled function takes for granted: the things that its code names, and how they were when it was recorded.

The code's names are looked up in its globals, its closure and the attributes of the objects it uses. Plain values are
compared by value, everything else by identity; containers by their items. Functions and classes of the program that the
code names are read in turn. Modules announce changes of their attributes (:func:`corten._core.bump_rebinds`), so they
are looked at only after one. Things whose content nobody can compare keep a function from being compiled.
"""

import builtins
import contextlib
import enum
import functools
import importlib.util
import sys
import types
from collections import deque

import corten
from corten.nn.modules.hooks import GLOBAL

from ._effects import WATCHED
from ._names import ASKING, asks_by_value, mentioned, only_changes

_PLAIN = frozenset(
    [
        type(None),
        type(Ellipsis),
        type(NotImplemented),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        range,
        corten.Size,
        corten.dtype,
        corten.device,
        corten.memory_format,
        corten.layout,
    ]
)
_MISSING = object()
# How the words end that tell of a name which was asked for and was not there.
NEW = "which was not there"
_MAPPINGS = (dict, types.MappingProxyType)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_CONTAINERS = (list, dict, set, tuple, frozenset, deque, bytearray, types.MappingProxyType, *_VIEWS)
_BUILTINS = (types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType)
# Calls whose effect or result is outside of what can be recorded; those of WATCHED only where they are reached.
_IMPURE_BUILTINS = frozenset(["exec", "eval", "globals", "locals", "vars", "breakpoint"])
_IMPURE_OBJECTS = {id(getattr(builtins, name)): name for name in WATCHED | _IMPURE_BUILTINS}
_IMPURE_MODULES = frozenset(["random", "time", "datetime", "secrets", "uuid", "numpy.random", "_random"])
_IMPURE_ATTRIBUTES = {"numpy": frozenset(["random"]), "os": frozenset(["environ", "getenv", "urandom"])}
_LIBRARIES = frozenset(["corten", "numpy", *sys.stdlib_module_names]) - {"__main__"}
_OPTIONS = frozenset(["param_groups", "get_last_lr", "state", "state_dict", "load_state_dict", "add_param_group"])
# Packages of the library whose objects are as their attributes say.
_HOLDERS = ("corten.distributions", "corten.metrics", "corten.models")
_TABLES = ("_parameters", "_buffers", "_modules")
# Items of a container that are compared at every call.
_ITEMS = 1000


def is_plain(value):
    """Whether a value is compared by what it is, not by which object it is."""
    kind = type(value)
    return (
        kind in _PLAIN
        or (kind in (tuple, frozenset) and all(map(is_plain, value)))
        or (kind is slice and is_plain((value.start, value.stop, value.step)))
        or (kind.__module__ == "numpy" and hasattr(value, "dtype") and getattr(value, "shape", None) == ())
    )


def exact(value):
    """A plain value in a form that is equal only where nothing tells the two apart."""
    kind = type(value)
    if kind in (float, complex):
        return kind, repr(value)
    if kind in (tuple, frozenset):
        return kind, tuple(map(exact, value))
    if kind is slice:
        return kind, exact((value.start, value.stop, value.step))
    return kind, value


def same(old, new):
    """Whether a guarded thing is as it was."""
    return old is new or (type(old) is type(new) and is_plain(old) and is_plain(new) and exact(old) == exact(new))


def is_library(name):
    """Whether a module's code is taken to be without effects of its own."""
    return name is not None and name.partition(".")[0] in _LIBRARIES


class Guards:
    """How the surroundings of a function were when it was recorded.

    Attributes:
        refusal: why the function cannot be compiled, or None.
        known: the objects that were there before the call, by id.
        watched: the builtins that the code names and a recording must not reach.
    """

    def __init__(self, function, objects=()):
        self._attributes = set()
        self._any_attribute = False  # whether some are asked for by names that the code does not spell
        # What is found adds names, and names find more: until nothing is added.
        while True:
            before = len(self._attributes), self._any_attribute
            self._start()
            try:
                for value in (function, *objects):
                    self._visit(value, "what is compiled" if value is function else "an argument")
            except RecursionError:
                self.refusal = "it uses objects that hold one another too deeply"
            if self.refusal is not None or (len(self._attributes), self._any_attribute) == before:
                break
        self._states = [(module, _state(module)) for module in self._modules.values()]
        self._facts = [corten._core.TensorFacts(tensor) for tensor in self._tensors]
        self._global_hooks = _global_hooks()
        self._rebinds = corten._core.rebinds()

    def _start(self):
        self.refusal = None
        self.known = {}
        self.watched = set()
        self._places = []  # (lookup, key, value, words)
        self._absent = {}  # by id of a scope: (its names, those that were asked for and not there, words)
        self._contents = []  # (container, its items, words, the name that leads to it)
        self._tensors = []
        self._modules = {}
        self._functions = []  # (function, the names it mentions)
        self._aliased = set()

    # Looking

    def difference(self):
        """Words for the first thing that is not as it was, or None."""
        for look, key, value, words in self._places:
            now = look(key, _MISSING)
            if now is not value and not same(value, now):
                return words
        for scope, names, words in self._absent.values():
            if not scope.isdisjoint(names):
                return f"{min(names & scope)!r} of {words}, {NEW}"
        for container, items, words, _ in self._contents:
            if not _same_items(items, container):
                return words
        if not corten._core.facts_hold(self._facts):
            return "a tensor stands for another one, or has other hooks or another requires_grad"
        rebinds = corten._core.rebinds()
        if rebinds == self._rebinds:
            return None
        if _global_hooks() != self._global_hooks:
            return "a hook of all modules was registered or removed"
        for module, state in self._states:
            if not _same_state(state, _state(module)):
                return f"a {type(module).__name__} was changed"
        self._rebinds = rebinds
        return None

    def shares_storage(self, tensors):
        """Whether an argument is, or shares memory with, a tensor of the surroundings."""
        own = {corten._core.storage_id(tensor) for tensor in self._tensors}
        return any(corten._core.storage_id(tensor) in own for tensor in tensors)

    def forget_effects(self):
        """Stops looking at what the function changes without reading it; words for each."""

        def is_effect(name):
            users = [function for function, names in self._functions if name in names]
            spelled = name is not None and users and not self._any_attribute
            return spelled and all(only_changes(function, name) for function in users)

        forgotten = []
        for place in list(self._places):
            look, key, value, words = place
            if not same(value, look(key, _MISSING)) and is_effect(key):
                self._places = [other for other in self._places if other is not place]
                forgotten.append(words)
        for content in list(self._contents):
            container, items, words, name = content
            alone = id(container) not in self._aliased
            if not _same_items(items, container) and alone and is_effect(name):
                self._contents = [other for other in self._contents if other is not content]
                forgotten.append(words)
        return forgotten

    # Collecting

    def _refuse(self, reason):
        if self.refusal is None:
            self.refusal = reason

    def _visit(self, value, words, name=None):
        if is_plain(value):
            return
        if id(value) in self.known:
            self._aliased.add(id(value))
            return
        self.known[id(value)] = value
        if isinstance(value, corten.Tensor):
            self._tensors.append(value)
            self._visit_attributes(value.__dict__, words)
        elif isinstance(value, corten.nn.Module):
            self._visit_module(value)
        elif isinstance(value, type):
            self._visit_class(value)
        elif isinstance(value, types.MethodType):
            self._visit(value.__func__, words)
            self._visit(value.__self__, words)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, (functools.partial, slice)):
            parts = ("start", "stop", "step") if isinstance(value, slice) else ("func", "args", "keywords")
            for part in map(functools.partial(getattr, value), parts):
                self._visit(part, words)
        elif isinstance(value, types.ModuleType):
            self._visit_python_module(value)
        elif isinstance(value, _CONTAINERS):
            self._visit_container(value, words, name)
        elif isinstance(value, _BUILTINS):
            self._visit_builtin(value, words)
        elif hasattr(type(value), "__next__"):
            self._refuse(f"{words} is an iterator ({type(value).__name__})")
        elif isinstance(value, corten.optim.Optimizer):
            self._visit_optimizer(value, words)
        elif not is_library(type(value).__module__) or isinstance(value, types.SimpleNamespace):
            self._visit_instance(value, words)
        elif isinstance(value, functools._lru_cache_wrapper):
            self._visit(value.__wrapped__, words)
        elif type(value).__module__.startswith(_HOLDERS):
            self._visit_attributes(value.__dict__, words, every=True)
        elif isinstance(value, memoryview) or not type(value).__module__.startswith(
            ("corten", "builtins", "functools", "typing")
        ):
            self._refuse(f"{words} is a {type(value).__module__}.{type(value).__qualname__}, whose content may change")

    def _visit_builtin(self, value, words):
        if id(value) in _IMPURE_OBJECTS:
            self._refuse(f"it calls {_IMPURE_OBJECTS[id(value)]}()")
        owner = getattr(value, "__self__", None)
        homes = {getattr(value, "__module__", None), type(owner).__module__}
        if homes & _IMPURE_MODULES:
            self._refuse(f"it uses the module {min(homes & _IMPURE_MODULES)!r}")
        elif not isinstance(owner, (types.ModuleType, type)):
            self._visit(owner, words)

    def _visit_function(self, function):
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self._visit(wrapped, function.__qualname__)
        if is_library(function.__module__):
            return
        names, attributes, imports = mentioned(function.__code__)
        self._functions.append((function, {*names, *attributes, *function.__code__.co_freevars}))
        if "__dict__" in attributes:
            self._refuse("it uses __dict__")
        self._attributes |= attributes
        self._any_attribute = self._any_attribute or (not names.isdisjoint(ASKING) and asks_by_value(function))
        scope = function.__globals__
        self._lack(scope, scope, names, "the globals")
        for name in sorted(names):
            if name in scope:
                self._place(scope.get, name, scope[name], f"the global {name!r}")
            elif name in _IMPURE_BUILTINS:
                self._refuse(f"it calls {name}()")
            elif name in WATCHED:
                self.watched.add(name)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            look = functools.partial(_cell_contents, cell)
            self._place(look, name, look(name, _MISSING), f"the variable {name!r} of an enclosing function")
        self._visit_imports(imports, scope.get("__package__"))
        self._visit_attributes(function.__dict__, function.__qualname__)
        look = functools.partial(getattr, function)
        for name, words in (("__code__", "the code"), ("__defaults__", "a default"), ("__kwdefaults__", "a default")):
            self._place(look, name, look(name), f"{words} of {function.__qualname__}")

    def _visit_imports(self, imports, package):
        """The modules that import statements in a function name."""
        names = set()
        for name in imports:
            with contextlib.suppress(ImportError):
                parts = importlib.util.resolve_name(name, package).split(".")
                names |= {".".join(parts[: k + 1]) for k in range(len(parts))}
        self._lack(sys.modules, sys.modules, names, "the imported modules")
        for name in sorted(names & sys.modules.keys()):
            self._place(sys.modules.get, name, sys.modules[name], f"the module {name!r}")

    def _place(self, look, key, value, words):
        self._places.append((look, key, value, words))
        if value is not _MISSING:
            self._visit(value, words, key)

    def _lack(self, owner, scope, names, words):
        """Has those of the names that the owner's scope does not hold now looked for at every call."""
        keys = scope.keys()
        known = self._absent.get(id(owner), (keys, frozenset(), words))
        self._absent[id(owner)] = (keys, known[1] | (names - keys), words)

    def _visit_attributes(self, attributes, words, every=False):
        """Those of an object's own attributes that the code may ask for."""
        for name in sorted(attributes.keys() if every or self._any_attribute else self._attributes & attributes.keys()):
            self._place(attributes.get, name, attributes[name], f"the attribute {name!r} of {words}")

    def _visit_container(self, container, words, name):
        if len(container) > _ITEMS:
            self._refuse(f"{words} holds {len(container)} items, too many to compare at every call")
            return
        if not isinstance(container, (tuple, frozenset)):
            self._contents.append((container, _items(container), words, name))
        for item in container.values() if isinstance(container, _MAPPINGS) else container:
            self._visit(item, f"an item of {words}")
        if not is_library(type(container).__module__):
            self._visit_instance(container, words)

    def _visit_python_module(self, module):
        name = module.__name__
        touched = _IMPURE_ATTRIBUTES.get(name, frozenset()) & self._attributes
        if name in _IMPURE_MODULES:
            self._refuse(f"it uses the module {name!r}")
        elif touched:
            what = "numpy's random numbers" if name == "numpy" else f"{name}.{min(touched)}"
            self._refuse(f"it uses {what}")
        elif not is_library(name):
            scope = module.__dict__
            self._lack(scope, scope, self._attributes, name)
            for attribute in sorted(self._attributes & scope.keys()):
                self._place(scope.get, attribute, scope[attribute], f"{name}.{attribute}")

    def _visit_optimizer(self, optimizer, words):
        touched = _OPTIONS & self._attributes
        if touched:
            self._refuse(f"it uses {min(touched)!r}, which belongs to optimizers")
        groups = optimizer.param_groups
        self._contents.append((groups, list(groups), words, None))
        for group in groups:
            self._contents.append((group["params"], list(group["params"]), f"the parameters of {words}", None))
            for param in group["params"]:
                self._visit(param, words)

    def _visit_class(self, kind):
        """The functions of a program's class, and its attributes that the code names."""
        if is_library(kind.__module__):
            return
        self._places.append((functools.partial(getattr, kind), "__mro__", kind.__mro__, f"{kind.__qualname__}'s bases"))
        self._visit(type(kind), f"the class of {kind.__qualname__}")
        for base in kind.__mro__:
            if is_library(base.__module__):
                continue
            self._lack(base, base.__dict__, self._attributes, base.__qualname__)
            for name, value in list(base.__dict__.items()):
                function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                is_function = isinstance(function, types.FunctionType)
                # Some methods are called without being named.
                special = name.startswith("__") or name == "forward" or issubclass(kind, corten.autograd.Function)
                unnamed = is_function and special and name not in ("__init__", "__repr__")
                if name in self._attributes or unnamed:
                    words = f"{base.__qualname__}.{name}"
                    self._place(base.__dict__.get, name, value, words)
                    if is_function:
                        self._visit(function, words)

    def _visit_instance(self, value, words):
        self._visit(type(value), words)
        self._places.append((functools.partial(_type_of, value), "__class__", type(value), f"the class of {words}"))
        attributes = getattr(value, "__dict__", None)
        if attributes is not None:
            self._visit_attributes(attributes, words)
            self._lack(value, attributes, self._attributes, words)
        for name in sorted(self._slots(type(value))):
            look = functools.partial(getattr, value)
            self._place(look, name, look(name, _MISSING), f"the attribute {name!r} of {words}")
        if isinstance(value, enum.Enum):
            self._visit(value._value_, words)

    def _slots(self, kind):
        names = (name for base in kind.__mro__ for name in base.__dict__)
        asked = names if self._any_attribute else self._attributes
        return {name for name in asked if isinstance(getattr(kind, name, None), types.MemberDescriptorType)}

    def _visit_module(self, root):
        for module in root.modules():
            self.known.setdefault(id(module), module)
            self._modules.setdefault(id(module), module)
            kind = type(module)
            for table in _TABLES[:2]:
                for tensor in module.__dict__[table].values():
                    if tensor is not None:
                        self._visit(tensor, kind.__name__)
            if not is_library(kind.__module__):
                self._visit(kind, kind.__name__)
                self._visit(kind.forward, f"{kind.__name__}.forward")
                for name, value in list(module.__dict__.items()):
                    if (self._any_attribute or name in self._attributes) and name not in _TABLES:
                        self._visit(value, f"{kind.__name__}.{name}", name)
            for table in ("_forward_hooks", "_forward_pre_hooks"):
                for hook in module.__dict__.get(table, {}).values():
                    self._visit(hook, f"a hook of {kind.__name__}")


def _cell_contents(cell, _name, default):
    """Looks into a closure's cell as ``dict.get`` looks into a dictionary."""
    try:
        return cell.cell_contents
    except ValueError:
        return default


def _type_of(value, _name, _default):
    return type(value)


def _items(container):
    if isinstance(container, _MAPPINGS):
        return [*container.keys(), *container.values()]
    return list(container)


def _same_items(old, container):
    now = _items(container)
    return len(old) == len(now) and all(map(same, old, now))


def _global_hooks():
    return [key for table in vars(GLOBAL).values() if isinstance(table, dict) for key in table]


def has_global_hooks():
    """Whether hooks apply to every module of the process."""
    return bool(_global_hooks())


def _state(module):
    """The parts of a module that decide what it computes; its tensors are looked at by themselves."""
    attributes = module.__dict__
    members = [item for table in _TABLES for pair in attributes[table].items() for item in pair]
    hooks = [key for name, table in attributes.items() if name.endswith("_hooks") for key in table]
    others = [pair for pair in attributes.items() if pair[0] not in _TABLES and not pair[0].endswith("_hooks")]
    return type(module), type(module).forward, members, hooks, others


def _same_state(old, new):
    return (
        old[0] is new[0]
        and old[1] is new[1]
        and len(old[2]) == len(new[2])
        and all(map(same, old[2], new[2]))
        and old[3] == new[3]
        and len(old[4]) == len(new[4])
        and all(a[0] == b[0] and same(a[1], b[1]) for a, b in zip(old[4], new[4]))
    )
