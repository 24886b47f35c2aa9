"""A proxy stands for a value while a function is traced, and writes down what is done to it."""

import enum
import operator
import os
from dataclasses import fields, is_dataclass

import corten

from .. import overrides
from ._codegen import magic_methods
from ._names import is_public, last_name, public_function
from .node import Node, base_types, map_aggregate
from .traceback import get_current_meta, has_preserved_node_meta

__all__ = ["Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "TraceError", "TracerBase"]

# Functions of networks are handed over as wholes from now on.
overrides.taken.over = True


class TraceError(ValueError):
    """A function does something that no graph can hold."""


_CONTROL_FLOW = "symbolically traced variables cannot be used as inputs to control flow"
_ITERATION = (
    "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or **kwargs "
    "function argument. A loop over a range, or indices, can be traced; so can taking a value apart into as many names "
    "as it has parts: a, b = value."
)


class TracerBase:
    """What every tracer does: makes nodes of calls and values."""

    graph = None
    record_stack_traces = False
    check_mutable_operations = False
    trace_asserts = False
    proxy_buffer_attributes = False
    traced_func_name = "forward"

    def create_node(self, kind, target, args, kwargs, name=None, type_expr=None):
        """Adds a node to the graph."""
        node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        if self.record_stack_traces:
            node.stack_trace = _user_stack()
        if has_preserved_node_meta():
            node.meta.update(get_current_meta())
        return node

    def proxy(self, node):
        """What stands for the value of a node."""
        return Proxy(node, self)

    def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None, proxy_factory_fn=None):
        """Adds a node whose arguments may be proxies and tensors, and returns what stands for its value."""
        args, kwargs = self.create_arg(args), self.create_arg(kwargs)
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise AssertionError("create_proxy: args must be a tuple and kwargs a dict")
        node = self.create_node(kind, target, args, kwargs, name, type_expr)
        return proxy_factory_fn(node) if proxy_factory_fn is not None else self.proxy(node)

    def create_arg(self, a):
        """An argument as a node holds it.

        Raises:
            NotImplementedError: it is of a class that no code can be written for.
            RuntimeError: a key of a dict is a proxy.
        """
        if isinstance(a, Proxy):
            return a.node
        if hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple):
            parts = [self.create_arg(part) for part in a]
            return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
        if isinstance(a, list):
            return [self.create_arg(part) for part in a]
        if isinstance(a, dict):
            return _create_dict_argument(self, a)
        if isinstance(a, slice):
            return slice(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if isinstance(a, range):
            return range(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if is_dataclass(a) and not isinstance(a, type):
            named = {field.name: self.create_arg(getattr(a, field.name)) for field in fields(a)}
            return self.create_node("call_function", type(a), (), named)
        if isinstance(a, (*base_types, enum.Enum)) or a is None or a is ...:
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def to_bool(self, obj):
        """What the truth of a proxy is, asked by `if`, `while`, `and`, `or`, `not` and `assert`.

        Raises:
            TraceError: it is not known; with ``trace_asserts``, an assertion becomes a node instead.
        """
        raise TraceError(_CONTROL_FLOW)

    def iter(self, obj):
        """What a proxy's parts are: as many as the names to which a line of the traced program assigns them.

        Raises:
            TraceError: the line says nothing about their number.
        """
        count = _unpacked_names()
        if count is None:
            raise TraceError(_ITERATION)
        return (obj[i] for i in range(count))

    def keys(self, obj):
        """What the keys of a proxy are, asked by ``**proxy``."""
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """A tracer that adds to a graph what is done to the proxies made with it."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph


def _create_dict_argument(tracer, a):
    found = {}
    for key, value in a.items():
        if not isinstance(key, str):
            key = tracer.create_arg(key)

            def refuse(part, whole=a):
                if isinstance(part, Node):
                    raise RuntimeError(f"Keys for dictionaries used as an argument cannot contain a Node. Got: {whole}")

            map_aggregate(key, refuse)
        found[key] = tracer.create_arg(value)
    return found


def _user_stack():
    """The frames of the traced program, as the lines of a traceback."""
    import traceback

    home, calls = os.path.dirname(__file__), corten.nn.modules.module.__file__
    frames = traceback.extract_stack()
    frames = [frame for frame in frames if not frame.filename.startswith(home) and frame.filename != calls]
    start = next((i for i, frame in enumerate(frames) if frame.name == "forward"), 0)
    return "".join(traceback.format_list(frames[start:]))


def _asking_instructions(method):
    """The instruction that called a method of a proxy, and those behind it."""
    import dis
    import sys

    frame = sys._getframe(1)
    while frame.f_code is not method.__code__:
        frame = frame.f_back
    frame = frame.f_back
    found = list(dis.get_instructions(frame.f_code))
    places = [i for i, instruction in enumerate(found) if instruction.offset == frame.f_lasti]
    return found[places[0] :] if places else []


def _unpacked_names():
    """The number of names that the line which iterates assigns to; None where it does something else."""
    found = _asking_instructions(Proxy.__iter__)[:1]
    return found[0].argval if found and found[0].opname == "UNPACK_SEQUENCE" else None


class Proxy:
    """Stands for the value of a node: what is done to it becomes nodes of the graph.

    Args:
        node: the node.
        tracer: what makes the nodes; without one they are added to the node's graph.

    Raises:
        TraceError: something asks for the value: an `if`, a loop.
    """

    def __init__(self, node, tracer=None):
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self):
        return f"Proxy({self.node.name})"

    def __getattr__(self, k):
        if k.startswith("__") and k.endswith("__") and k[2:-2] in _NO_ATTRIBUTES:
            raise AttributeError(k)
        return Attribute(self, k)

    def __getstate__(self):
        return self.__dict__

    def __setstate__(self, state):
        self.__dict__ = state

    def __deepcopy__(self, memo):
        import copy

        copied = object.__new__(Proxy)
        memo[id(self)] = copied
        copied.__dict__ = {
            name: value if name == "tracer" else copy.deepcopy(value, memo) for name, value in self.__dict__.items()
        }
        return copied

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self):
        return self.tracer.iter(self)

    def __abs__(self):
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self):
        if self.tracer.trace_asserts and _traced_assertion(self):
            return True
        return self.tracer.to_bool(self)

    def keys(self):
        """The keys of the value, for ``**``."""
        return self.tracer.keys(self)

    def __len__(self):
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    @classmethod
    def __torch_function__(cls, orig_method, types, args=None, kwargs=None):
        args, kwargs = args or (), kwargs or {}
        tracers = {}
        map_aggregate((args, kwargs), lambda part: tracers.setdefault(part.tracer) if isinstance(part, Proxy) else None)
        if len(tracers) > 1:
            raise RuntimeError(
                f"Found multiple different tracers {list(tracers)} while trying to trace operations {orig_method}"
            )
        tracer = next(iter(tracers))
        if _is_method(orig_method):
            return tracer.create_proxy("call_method", _method_name(orig_method), args, kwargs)
        function = public_function(orig_method)
        name = tracer.graph._target_to_str(last_name(function))
        args, kwargs = _spelled_out(last_name(function), args, kwargs)
        return tracer.create_proxy("call_function", function, args, kwargs, name=name)


def _is_method(function):
    if is_public(function):
        return False
    named = getattr(corten.Tensor, getattr(function, "__name__", ""), None)
    return named is function or overrides.is_tensor_method_or_property(function)


def _method_name(method):
    name = method.__name__
    return name[2:-2] if name in ("__eq__", "__ne__") else name


# Functions that PyTorch writes in Python, whose calls show all arguments.
_SPELLED = {
    "split": {"dim": 0},
    "unique": {"sorted": True, "return_inverse": False, "return_counts": False, "dim": None},
    "unique_consecutive": {"return_inverse": False, "return_counts": False, "dim": None},
}


def _spelled_out(name, args, kwargs):
    """The arguments as a node of that function has them."""
    if name == "einsum" and len(args) == 2 and isinstance(args[1], (list, tuple)):
        return (args[0], *args[1]), kwargs
    if name not in _SPELLED:
        return args, kwargs
    required = 2 if name == "split" else 1
    options = dict(zip(_SPELLED[name], args[required:], strict=False))
    return args[:required], {**_SPELLED[name], **options, **kwargs}


# What copying, pickling, arrays and formatting ask every object for.
_NO_ATTRIBUTES = {
    "deepcopy", "copy", "reduce", "reduce_ex", "getinitargs", "getnewargs", "getnewargs_ex", "array", "array_interface",
    "array_struct", "cuda_array_interface", "dlpack", "index", "float", "int", "fx_create_arg", "wrapped", "bases",
    "torch_dispatch", "fspath", "buffer", "length_hint", "await", "set_name", "round", "trunc", "complex", "bytes",
}  # fmt: skip


def _traced_assertion(proxy):
    """Makes a node of the assertion whose condition a proxy is, if it is one."""
    instructions = _asking_instructions(Proxy.__bool__)
    if instructions and instructions[0].opname == "TO_BOOL":
        instructions = instructions[1:]
    names = [found.opname for found in instructions[:3]]
    if len(names) < 3 or not names[0].startswith("POP_JUMP"):
        return False
    if names[1] not in ("LOAD_ASSERTION_ERROR", "LOAD_COMMON_CONSTANT"):
        return False
    message = _assertion_message(instructions[2:])
    proxy.tracer.create_proxy("call_function", corten._assert, (proxy, message), {})
    return True


def _assertion_message(instructions):
    first = instructions[0]
    if first.opname == "LOAD_CONST" and isinstance(first.argval, str):
        return first.argval
    return "An assertion of the traced program failed"


class Attribute(Proxy):
    """Stands for an attribute of a value: reading it makes a node only where it is not called at once."""

    def __init__(self, root, attr):
        self.root = root
        self.attr = attr
        self.tracer = root.tracer
        self._node = None

    @property
    def node(self):
        """The node that reads the attribute."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """Stands for a parameter, whose shape and size are known numbers."""

    def __init__(self, tracer, node, name, param):
        super().__init__(node, tracer)
        assert isinstance(param, corten.nn.Parameter)
        self.param, self.name = param, name

    def __repr__(self):
        return f"ParameterProxy({self.name})"

    @property
    def shape(self):
        """The parameter's shape."""
        return self.param.shape

    def size(self, *args):
        """The parameter's sizes."""
        return self.param.size(*args)

    def dim(self):
        """The number of the parameter's dims."""
        return self.param.dim()

    @property
    def ndim(self):
        """The number of the parameter's dims."""
        return self.param.ndim

    def numel(self):
        """The number of the parameter's elements."""
        return self.param.numel()

    def nelement(self):
        """The number of the parameter's elements."""
        return self.param.nelement()


def _define_operators():
    for name in magic_methods:
        function = getattr(operator, name)
        setattr(Proxy, f"__{name.strip('_')}__", _operator_method(function))
    for name in _REFLECTABLE:
        setattr(Proxy, f"__r{name.strip('_')}__", _reflected_method(getattr(operator, name)))


def _operator_method(function):
    def method(self, *args, **kwargs):
        return self.tracer.create_proxy("call_function", function, (self, *args), kwargs)

    return method


def _reflected_method(function):
    def method(self, other):
        return self.tracer.create_proxy("call_function", function, (other, self), {})

    return method


_REFLECTABLE = (
    "add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "lshift", "rshift", "and_", "or_", "xor", "matmul",
)  # fmt: skip
_define_operators()
