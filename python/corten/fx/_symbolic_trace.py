"""A function is traced by calling it with proxies; modules and functions that are leaves become single nodes."""

import builtins
import functools
import inspect
import itertools
import math
import sys
import types
from contextlib import ExitStack, contextmanager

import corten

from ..utils import _pytree as pytree
from ._codegen import _PyTreeCodeGen, _PyTreeInfo
from .graph import Graph
from .graph_module import GraphModule, _make_graph_module
from .node import base_types, map_aggregate
from .proxy import ParameterProxy, Proxy, TracerBase

__all__ = ["PH", "PHBase", "ProxyableClassMeta", "Tracer", "is_fx_tracing", "symbolic_trace", "wrap"]


class PHBase:
    """Marks a part of a structure, given for an argument, that is traced and not a constant."""

    def __repr__(self):
        return "PH"


PH = PHBase()


class PHWithMeta(PHBase):
    """A mark that says more about the argument in its place."""

    def __init__(self, ph_key=None):
        self.ph_key = ph_key


class _State:
    depth = 0


def is_fx_tracing():
    """Whether a function is being traced."""
    return _State.depth > 0


def is_fx_symbolic_tracing():
    """Whether a function is being traced."""
    return is_fx_tracing()


def _assert_is_none(value, msg):
    assert value is None, msg


# -- functions that tracers do not look into --------------------------------------------------------------------------

# By the namespace's identity and the name: the namespace. Wrapped names are functions that become single nodes.
_wrapped_fns_to_patch: dict[tuple[int, str], dict] = {}
_wrapped_methods_to_patch: list[tuple[type, str]] = []
# Of the package itself, which does not import this for it.
_OWN_WRAPPED = (("corten.vision.ops._drop", "stochastic_depth"),)


def wrap(fn_or_name):
    """Says that calls of a function are single nodes: no tracer looks into it.

    Called at the top level of a module, with a function of it or the name of one, such as ``"len"``; also as a
    decorator. Returns what it is given.

    Raises:
        RuntimeError: neither a function nor the name of one.
        NotImplementedError: called inside of a function.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = inspect.currentframe().f_back
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped_fns_to_patch[(id(frame.f_globals), name)] = frame.f_globals
    return fn_or_name


def _find_proxy(*objects):
    found = []
    map_aggregate(objects, lambda part: found.append(part) if isinstance(part, Proxy) else None)
    return found[0] if found else None


def _recording(function):
    """``function``, except that calls with proxies are nodes."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        proxy = _find_proxy(args, kwargs)
        if proxy is None:
            return function(*args, **kwargs)
        made = proxy.tracer.create_proxy("call_function", function, args, kwargs)
        made.node.meta["is_wrapped"] = True
        return made

    return wrapped


def _recording_method(cls, name):
    original = getattr(cls, name)

    @functools.wraps(original)
    def wrapped(*args, **kwargs):
        proxy = _find_proxy(args, kwargs)
        return (
            original(*args, **kwargs) if proxy is None else proxy.tracer.create_proxy("call_method", name, args, kwargs)
        )

    return wrapped


class ProxyableClassMeta(type):
    """A class of this metaclass becomes a node where it is made from proxies."""

    def __call__(cls, *args, **kwargs):
        proxy = _find_proxy(args, kwargs)
        if proxy is None:
            return super().__call__(*args, **kwargs)
        return proxy.tracer.create_proxy("call_function", cls, args, kwargs)


class _Patches(ExitStack):
    """Changes to namespaces and classes, undone in the end."""

    def __init__(self):
        super().__init__()
        self.namespaces = set()

    def item(self, namespace, name, value):
        """Sets a name of a namespace."""
        if name in namespace:
            before = namespace[name]
            self.callback(namespace.__setitem__, name, before)
        else:
            self.callback(namespace.pop, name, None)
        namespace[name] = value

    def attribute(self, owner, name, value):
        """Sets an attribute of a class."""
        before = vars(owner).get(name)
        if before is None:
            self.callback(delattr, owner, name)
        else:
            self.callback(setattr, owner, name, before)
        setattr(owner, name, value)

    def wrapped_functions(self):
        """Has all functions that are wrapped become nodes."""
        own = [((0, name), vars(sys.modules[home])) for home, name in _OWN_WRAPPED if home in sys.modules]
        for (_, name), namespace in [*_wrapped_fns_to_patch.items(), *own]:
            if name not in namespace and hasattr(builtins, name):
                original = getattr(builtins, name)
            elif name in namespace:
                original = namespace[name]
            else:
                continue
            self.item(namespace, name, _recording(original))
        for cls, name in _wrapped_methods_to_patch:
            self.attribute(cls, name, _recording_method(cls, name))

    def autowrapped(self, namespace, functions):
        """Has the functions of a namespace that are among ``functions``, by identity, become nodes."""
        if id(namespace) in self.namespaces or "__name__" not in namespace:
            return
        self.namespaces.add(id(namespace))
        for name, value in list(namespace.items()):
            if not name.startswith("_") and callable(value) and id(value) in functions:
                self.item(namespace, name, _recording(value))


@contextmanager
def _new_patcher():
    with _Patches() as patches:
        yield patches


# -- the tracer -------------------------------------------------------------------------------------------------------


class Tracer(TracerBase):
    """Traces modules and functions into graphs; classes of its own change what is a leaf, or what nodes are made.

    Args:
        autowrap_modules: modules whose functions become nodes where the traced code calls them by its globals.
        autowrap_functions: such functions.
        param_shapes_constant: shapes and sizes of parameters are numbers, on which code may branch.

    Example:
        >>> tracer = corten.fx.Tracer()
        >>> graph = tracer.trace(lambda x: x.relu() + 1)
        >>> [node.name for node in graph.nodes]
        ['x', 'relu', 'add', 'output']
    """

    def __init__(self, autowrap_modules=(math,), autowrap_functions=(), param_shapes_constant=False):
        super().__init__()
        found = [
            value for module in autowrap_modules for name, value in vars(module).items() if not name.startswith("_")
        ]
        self._autowrap_function_ids = {id(value) for value in (*found, *autowrap_functions) if callable(value)}
        self._autowrap_search = list(autowrap_modules)
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths = None
        self.root_module_name = ""
        self.module_stack = {}
        self._calls = {}
        self.tensor_attrs = {}

    _qualname_counter = None

    def get_fresh_qualname(self, prefix):
        """The name of a new attribute of the root: ``prefix`` with the first number behind it that is free."""
        number = 0
        while hasattr(self.root, f"{prefix}{number}"):
            number += 1
        return f"{prefix}{number}"

    def create_arg(self, a):
        """An argument as a node holds it: parameters, buffers and other tensors become nodes that read them.

        Raises:
            NotImplementedError: it is of a class that no code can be written for.
        """
        if isinstance(a, corten.nn.Parameter):
            for name, parameter in self.root.named_parameters():
                if a is parameter:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("parameter is not a member of this module")
        if isinstance(a, corten.Tensor):
            for name, buffer in self.root.named_buffers():
                if a is buffer:
                    return self.create_node("get_attr", name, (), {})
        elif isinstance(a, corten.nn.Module):
            for name, module in self.root.named_modules():
                if a is module:
                    return self.create_node("get_attr", name, (), {})
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return self.create_node("call_function", type(a), tuple(self.create_arg(part) for part in a), {})
        if isinstance(a, corten.Tensor):
            return self._constant(a, "_tensor_constant")
        if isinstance(type(a), ProxyableClassMeta):
            return self._constant(a, f"_{type(a).__name__}_constant_")
        return super().create_arg(a)

    def _constant(self, value, prefix):
        path = self.tensor_attrs.get(id(value), (value, None))[1]
        if path is None:
            path = self.get_fresh_qualname(prefix)
            self.tensor_attrs[id(value)] = (value, path)
            setattr(self.root, path, value)
        return self.create_node("get_attr", path, (), {})

    def is_leaf_module(self, m, module_qualified_name):
        """Whether a module becomes a single node: those of ``torch.nn`` do, except for ``Sequential``."""
        home = type(m).__module__
        own = home.startswith(("corten.nn", "torch.nn", "corten.ao.nn"))
        return own and not isinstance(m, corten.nn.Sequential)

    def path_of_module(self, mod):
        """The path of a submodule of the root: ``"layer1.0.conv"``.

        Raises:
            NameError: it is not installed as a submodule.
        """
        if self.submodule_paths:
            path = self.submodule_paths.get(mod)
            if path is not None:
                return path
        for name, found in self.root.named_modules():
            if found is mod:
                return name
        raise NameError("module is not installed as a submodule")

    def call_module(self, m, forward, args, kwargs):
        """What a call of a module gives: a node of a leaf, for others what ``forward(*args, **kwargs)`` gives."""
        path = self.path_of_module(m)
        before = self.module_stack
        calls = self._calls[path] = self._calls.get(path, -1) + 1
        self.module_stack = {**before, f"{path}@{calls}" if calls else path: (path, type(m))}
        try:
            if self.is_leaf_module(m, path):
                return self.create_proxy("call_module", path, args, kwargs)
            return forward(*args, **kwargs)
        finally:
            self.module_stack = before

    def create_node(self, kind, target, args, kwargs, name=None, type_expr=None):
        """Adds a node to the graph, which knows in which modules it was made."""
        node = super().create_node(kind, target, args, kwargs, name, type_expr)
        if self.module_stack:
            from collections import OrderedDict

            node.meta["nn_module_stack"] = OrderedDict(self.module_stack)
        return node

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        """What reading an attribute of a module gives: a proxy of a parameter of the root, for others the value."""
        if isinstance(attr_val, corten.nn.Parameter):
            return self._attribute_proxy(attr_val, self.root.named_parameters(), parameter_proxy_cache)
        if self.proxy_buffer_attributes and isinstance(attr_val, corten.Tensor):
            return self._attribute_proxy(attr_val, self.root.named_buffers(), parameter_proxy_cache)
        return attr_val

    def _attribute_proxy(self, value, named, cache):
        name = next((name for name, found in named if found is value), None)
        if name is None:
            return value
        if name not in cache:
            shaped = self.param_shapes_constant and isinstance(value, corten.nn.Parameter)
            factory = (lambda node: ParameterProxy(self, node, name, value)) if shaped else None
            cache[name] = self.create_proxy("get_attr", name, (), {}, proxy_factory_fn=factory)
        return cache[name]

    # -- arguments ----------------------------------------------------------------------------------------------------

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        """Makes a placeholder for each parameter of the function that is traced.

        Args:
            is_module: the first one is a module, the root.
            concrete_args: values, by the parameters' names, that are taken for constants.

        Returns:
            the function and its arguments.

        Raises:
            RuntimeError: it is a method whose ``self`` is among ``*args``.
        """
        code = inspect.unwrap(root_fn).__code__
        total = code.co_argcount + code.co_kwonlyargcount
        names = list(code.co_varnames)
        args = [self.root] if is_module else []
        if is_module and total == 0:
            raise RuntimeError("``self`` argument cannot be part of *args expansion!")
        wanted = names[len(args) : total]
        if isinstance(concrete_args, tuple):
            if len(wanted) != len(concrete_args):
                raise RuntimeError(
                    f"Tracing expected {len(wanted)} arguments but got {len(concrete_args)} concrete arguments"
                )
            concrete_args = dict(zip(wanted, concrete_args, strict=True))
        args += [self._placeholder(name, root_fn, concrete_args) for name in wanted]
        if code.co_kwonlyargcount or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
            return self._with_rest(root_fn, code, names, args)
        if any(isinstance(value, (list, tuple, dict)) for value in (concrete_args or {}).values()):
            return self._flattened(root_fn, args, wanted, is_module)
        return root_fn, args

    def _with_rest(self, root_fn, code, names, args):
        """The function with its ``*args`` and ``**kwargs``, and keyword-only arguments, given by position."""
        given = len(args)
        for flag, stars in ((inspect.CO_VARARGS, "*"), (inspect.CO_VARKEYWORDS, "**")):
            if code.co_flags & flag:
                args.append(self.create_proxy("placeholder", stars + names[given], (), {}))
                given += 1
        return _by_position(inspect.unwrap(root_fn), len(args)), args

    def _placeholder(self, name, root_fn, concrete_args):
        parameter = inspect.signature(inspect.unwrap(root_fn)).parameters.get(name)
        has_default = parameter is not None and parameter.default is not inspect.Parameter.empty
        default = (parameter.default,) if has_default else ()
        if concrete_args is not None and name in concrete_args:
            counter = itertools.count(1)
            return pytree.tree_map(
                lambda leaf: self._specialised(name, f"{name}_{next(counter)}", leaf, default), concrete_args[name]
            )
        annotation = getattr(inspect.unwrap(root_fn), "__annotations__", {}).get(name)
        return self.create_proxy("placeholder", name, default, {}, type_expr=annotation)

    def _specialised(self, name, part, leaf, default):
        """A part of a constant argument, with a node that checks that calls give the same."""
        if isinstance(leaf, PHBase):
            return self.create_proxy("placeholder", part, (), {})
        given = self.create_proxy("placeholder", part, default, {})
        if isinstance(leaf, base_types) and not isinstance(leaf, corten.Tensor):
            message = f"{name} has been specialized to have value {leaf} but got another value"
            self.create_proxy("call_function", corten._assert, (given == leaf, message), {})
        elif leaf is None:
            message = f"{name} has been specialized to have value None but got another value"
            self.create_proxy("call_function", _assert_is_none, (given, message), {})
        else:
            import warnings

            warnings.warn(
                f"Was not able to add assertion to guarantee correct input {name} to specialized function. It is up to "
                f"the user to make sure that your inputs match the inputs you specialized the function with.",
                stacklevel=2,
            )
        return leaf

    def _flattened(self, root_fn, args, names, is_module):
        """The function of the leaves of its arguments, whose result is a list of leaves."""
        leaves, in_spec = pytree.tree_flatten(list(args[1:] if is_module else args))
        self.graph._codegen = _PyTreeCodeGen(_PyTreeInfo(names, in_spec, None))

        def flatten_fn(*values):
            *head, rest = ([values[0]], values[1:]) if is_module else ([], values)
            out = root_fn(*(head[0] if head else []), *pytree.tree_unflatten(list(rest), in_spec))
            flat, out_spec = pytree.tree_flatten(out)
            self.graph._codegen.pytree_info = self.graph._codegen.pytree_info._replace(out_spec=out_spec)
            return flat

        return flatten_fn, [*([self.root] if is_module else []), *leaves]

    # -- tracing ------------------------------------------------------------------------------------------------------

    def trace(self, root, concrete_args=None):
        """The graph of a module's function, or of a function.

        Args:
            root: the module or function.
            concrete_args: by parameter values that are constants for the graph; a structure may hold ``PH`` where a
                value is traced.

        Raises:
            TraceError: the function does what no graph can hold.
        """
        function = self._begin(root)
        cls = type(self)
        self.graph = Graph(tracer_cls=cls if "<locals>" not in cls.__qualname__ else None)
        is_module = isinstance(root, corten.nn.Module)
        fn, args = self.create_args_for_root(function, is_module, concrete_args)
        cache = {}
        _State.depth += 1
        try:
            with _new_patcher() as patches:
                self._patch_modules(patches, cache)
                patches.wrapped_functions()
                patches.autowrapped(function.__globals__, self._autowrap_function_ids)
                for module in self._autowrap_search:
                    patches.autowrapped(vars(module), self._autowrap_function_ids)
                annotation = getattr(fn, "__annotations__", {}).get("return")
                self.create_node("output", "output", (self.create_arg(fn(*args)),), {}, type_expr=annotation)
        finally:
            _State.depth -= 1
        self.submodule_paths = None
        return self.graph

    def _begin(self, root):
        """Notes the root and returns the function to trace."""
        if isinstance(root, corten.nn.Module):
            self.root = root
            self.submodule_paths = {module: name for name, module in root.named_modules()}
            self.root_module_name = type(root).__name__
            method = getattr(type(root), self.traced_func_name, None)
            if method is None:
                raise AssertionError(f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}")
            function = method
        else:
            self.root = corten.nn.Module()
            function = root
        function = _function_of(function)
        self.module_stack, self._calls = {}, {}
        self.tensor_attrs = {id(value): (value, path) for value, path in _tensors_of(self.root)}
        return function

    def _patch_modules(self, patches, cache):
        Module = corten.nn.Module
        plain_call, plain_getattr = Module.__call__, Module.__getattr__
        tracer = self

        @functools.wraps(plain_call)
        def call(module, *args, **kwargs):
            patches.autowrapped(
                getattr(getattr(module, "forward", module), "__globals__", {}), tracer._autowrap_function_ids
            )
            return tracer.call_module(module, lambda *a, **k: plain_call(module, *a, **k), args, kwargs)

        @functools.wraps(plain_getattr)
        def read(module, name):
            return tracer.getattr(name, plain_getattr(module, name), cache)

        patches.attribute(Module, "__call__", call)
        patches.attribute(Module, "__getattr__", read)


def _function_of(root):
    """The function with code that a callable is.

    Raises:
        AssertionError: it is none.
    """
    if isinstance(root, types.MethodType):
        root = root.__func__
    if not isinstance(root, types.FunctionType):
        raise AssertionError(f"Expected FunctionType, got {type(root)}")
    return root


def _tensors_of(module, prefix=()):
    """Tensors that are plain attributes of modules, with their paths."""
    for name, value in vars(module).items():
        if isinstance(value, corten.Tensor):
            yield value, ".".join((*prefix, name))
    for name, child in module.named_children():
        yield from _tensors_of(child, (*prefix, name))


def _by_position(function, count):
    """``function`` with ``count`` parameters, all by position: its tuple and dict of other arguments among them."""
    code = function.__code__
    flags = code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    plain = code.replace(co_argcount=count, co_posonlyargcount=0, co_kwonlyargcount=0, co_flags=flags)
    return types.FunctionType(plain, function.__globals__, function.__name__, None, function.__closure__)


def symbolic_trace(root, concrete_args=None):
    """Traces a module or a function into a :class:`GraphModule`.

    Args:
        root: the module, or a function.
        concrete_args: by parameter values that are constants for the graph.

    Raises:
        TraceError: what is computed depends on values: an `if` or a loop on them.

    Example:
        >>> traced = corten.fx.symbolic_trace(lambda x, y: corten.relu(x) + y)
        >>> print(traced.code.strip())
        def forward(self, x, y):
            relu = torch.relu(x);  x = None
            add = relu + y;  relu = y = None
            return add
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, corten.nn.Module) else root.__name__
    return _make_graph_module(tracer.root, graph, name)


__all__ += ["GraphModule"]
