"""From an operator's call to its rule: which level it belongs to, what its arguments are called."""

import ast
import functools
from types import FunctionType

from ... import _core
from .batched import Batched, Tensor, ops

# By operator: a function of a ``Call`` that gives the result for the whole batch, wrapped.
RULES: dict = {}
# Slots and other names of operators.
_SLOTS = {
    "__floordiv__": "floor_divide",
    "__and__": "bitwise_and",
    "__or__": "bitwise_or",
    "__xor__": "bitwise_xor",
    "__lshift__": "bitwise_left_shift",
    "__rshift__": "bitwise_right_shift",
    "__eq__": "eq",
    "__invert__": "bitwise_not",
    "__iand__": "bitwise_and_",
    "__ior__": "bitwise_or_",
    "__ixor__": "bitwise_xor_",
    "__ilshift__": "bitwise_left_shift_",
    "__irshift__": "bitwise_right_shift_",
}
_REFLECTED = {
    "__rsub__": "sub",
    "__rtruediv__": "div",
    "__rfloordiv__": "floor_divide",
    "__rmod__": "remainder",
    "__rpow__": "pow",
    "__rlshift__": "bitwise_left_shift",
    "__rrshift__": "bitwise_right_shift",
}


def rule(*names):
    """A decorator: the function is the rule of these operators."""

    def register(function):
        for name in names:
            RULES[name] = function
        return function

    return register


class Parameter:
    """A parameter of an operator's signature."""

    def __init__(self, text):
        kind, rest = text.split(" ", 1)
        self.name, _, default = rest.partition("=")
        self.optional = kind.endswith("?")
        self.kind = kind.rstrip("?")
        self.required = not default
        try:
            self.default = ast.literal_eval(default) if default else None
        except (ValueError, SyntaxError):
            self.default = None

    @property
    def takes_tensor(self):
        return self.kind in ("Tensor", "Operand")

    def fits(self, value):
        """Whether a value may be meant; the engine checks it in full."""
        if value is None:
            return self.optional
        if self.kind == "Tensor":
            return isinstance(value, Tensor)
        if self.kind == "Tensor[]":
            return isinstance(value, (tuple, list)) and all(isinstance(v, Tensor) for v in value)
        if self.kind == "Operand":
            return isinstance(value, (Tensor, int, float, complex))
        if self.kind == "int":
            return not isinstance(value, (bool, float, complex, str, tuple, list, Tensor))
        if self.kind in ("int[]", "int[+]"):
            return not isinstance(value, (bool, float, str, Tensor, _core.dtype))
        if self.kind == "bool":
            return isinstance(value, bool)
        if self.kind in ("Scalar", "float"):
            return not isinstance(value, (str, tuple, list, _core.dtype)) and (
                not isinstance(value, Tensor) or value.dim() == 0
            )
        if self.kind == "str":
            return isinstance(value, str)
        if self.kind == "device":
            return isinstance(value, (_core.device, str, int)) and not isinstance(value, bool)
        return self.kind != "dtype" or isinstance(value, _core.dtype)


@functools.cache
def _signatures():
    """The overloads of every operator, as ``(number of positional parameters, parameters)``, by name and style."""
    found = {}
    for name, style, texts, *_ in _core.op_signatures():
        found[name, style] = [_parsed(text) for text in texts]
    return found


def _parsed(text):
    parts = [part for part in text[text.index("(") + 1 : -1].split(", ") if part]
    positional = parts.index("*") if "*" in parts else len(parts)
    return positional, [Parameter(part) for part in parts if part != "*"]


_SAME_AS = {"axis": "dim", "keepdims": "keepdim", "x": "self"}


def _bound(overload, args, kwargs):
    """The arguments by name, or None where they are not meant for this overload."""
    positional, parameters = overload
    names = [p.name for p in parameters]
    last = positional - 1
    if len(args) > positional or (args and last >= 0 and parameters[last].kind in ("int[]", "int[+]")):
        # Sizes as separate numbers: x.view(2, 3).
        if last < 0 or parameters[last].kind not in ("int[]", "int[+]"):
            return None
        rest = args[last:]
        if len(rest) > 1 and not all(isinstance(n, int) for n in rest):
            return None
        if len(rest) > 1 or (len(rest) == 1 and isinstance(rest[0], int)):
            args = (*args[:last], tuple(rest))
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            name = names[0] if name == "input" else _SAME_AS.get(name, name)
        if name not in names or name in given:
            return None
        given[name] = value
    for parameter in parameters:
        if parameter.name not in given:
            if parameter.required and parameter.kind not in ("int[]", "int[+]"):
                return None
        elif not parameter.fits(given[parameter.name]):
            return None
    return given


class Call:
    """An operator's call at a level: its arguments by name, and the means to run it on whole batches."""

    def __init__(self, name, style, level, parameters, given):
        self.name, self.style, self.level = name, style, level
        self.parameters, self.given = parameters, given

    def get(self, name, default=None):
        """The argument, or what the signature says in its absence."""
        if name in self.given:
            return self.given[name]
        return next((p.default for p in self.parameters if p.name == name), default)

    @property
    def first(self):
        """The argument that the operator is about."""
        return self.given[self.parameters[0].name]

    def batched_names(self):
        """The parameters that were given a tensor with a batch dim."""
        return [name for name, value in self.given.items() if self.level.holds(value)]

    def run(self, /, **changes):
        """The operator with other arguments."""
        given = {**self.given, **changes}
        name = self.parameters[0].name
        if self.style == "function" and hasattr(ops, self.name):
            return getattr(ops, self.name)(**given)
        return getattr(Tensor, self.name)(given.pop(name), **given)

    def run_first(self, value, /, **changes):
        """The operator with another first argument and perhaps others."""
        return self.run(**{self.parameters[0].name: value}, **changes)

    def unsupported(self, why):
        """The error for arguments without a rule."""
        return NotImplementedError(f"vmap: there is no rule for {self.name}() {why}")


def _highest(value, found, depth=0):
    if isinstance(value, Batched):
        if not value.level.alive:
            raise RuntimeError(
                "vmap: a tensor was used outside of the vmap that made it; return it from the function instead"
            )
        return value.level if found is None or value.level.number > found.number else found
    if isinstance(value, (tuple, list)) and depth < 2:
        for item in value:
            found = _highest(item, found, depth + 1)
    elif isinstance(value, slice):
        for item in (value.start, value.stop, value.step):
            found = _highest(item, found, depth + 1)
    return found


def level_of(args, kwargs):
    """The innermost ``vmap`` that has a part in the arguments."""
    return _highest(list(kwargs.values()), _highest(list(args), None))


def dispatch(func, args, kwargs):
    """The result of an operator that got a ``Batched``."""
    from . import rules

    name = getattr(func, "__name__", str(func))
    level = level_of(args, kwargs)
    if name in ("__getitem__", "__setitem__", "__contains__"):
        return getattr(rules.indexing, name.strip("_"))(level, *args)
    if name in _REFLECTED:
        x, other = args
        if isinstance(other, Tensor):
            return getattr(Tensor, _REFLECTED[name])(other, x)
        return level.wrap(func(x.value, other))
    name = _SLOTS.get(name, name)
    # A function is a builtin, or autocast's stand-in for one; a method and a slot are attributes of the class.
    builtin = type(func).__name__ == "builtin_function_or_method"
    function = builtin or (isinstance(func, FunctionType) and getattr(Tensor, name, None) is not func)
    style = "function" if function else "method"
    return call_rule(name, style, level, args, kwargs)


def bind(name, style, level, args, kwargs):
    """The call of an operator by names, or TypeError where no overload takes the arguments."""
    table = _signatures()
    order = (style, "method", "function", "inplace")
    for overload in next((table[name, s] for s in order if (name, s) in table), []):
        given = _bound(overload, args, kwargs)
        if given is not None:
            return Call(name, style, level, overload[1], given)
    raise TypeError(f"{name}() got arguments that none of its forms takes")


def call_rule(name, style, level, args, kwargs):
    """Runs the rule of an operator by name; in-place forms run that of the operator and write its result."""
    if (name, "inplace") in _signatures() and name not in RULES:
        return _in_place(name, level, args, kwargs)
    kwargs = dict(kwargs)
    out = kwargs.pop("out", None)
    if out is not None:
        raise NotImplementedError(f"vmap: there is no rule for {name}() with out=")
    function = RULES.get(name)
    if function is None:
        raise NotImplementedError(f"vmap: there is no rule for {name}()")
    return function(bind(name, style, level, args, kwargs))


def _in_place(name, level, args, kwargs):
    base = name[:-1]
    function = RULES.get(base)
    if function is None:
        raise NotImplementedError(f"vmap: there is no rule for {name}()")
    call = bind(name, "method", level, args, kwargs)
    call.name = base
    write(level, call.first, function(call), name)
    return call.first


def _kind(x):
    return 2 if x.is_floating_point() else int(x.dtype != _core.bool)


def write(level, target, result, name):
    """Overwrites a tensor with the result of an operator."""
    if not level.holds(target):
        raise RuntimeError(
            f"vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
            "extra_args that has more elements than `self`. This happened due to `other` being vmapped over but `self` "
            f"not being vmapped over in {name}(). Please try to use out-of-place operators instead of inplace "
            "arithmetic."
        )
    if _kind(result) > _kind(target):
        raise RuntimeError(
            f"{name}(): result type {result.dtype} can't be cast to the desired output type {target.dtype}"
        )
    if result.dim() > target.dim():
        raise RuntimeError(f"{name}(): the result of shape {list(result.shape)} does not fit {list(target.shape)}")
    source = level.padded(result, target.dim()) if level.holds(result) else result
    target.value.copy_(source)
