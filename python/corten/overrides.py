"""Classes that take over operators: ``__torch_function__``, and modes that do so for all operators of a thread.

A class defines ``__torch_function__(cls, func, types, args=(), kwargs=None)`` as a class method. An operator that gets
one of its objects, also within a list of tensors, calls it instead; ``func`` is the operator. Subclasses of ``Tensor``
inherit one that runs the operator and gives its results their class. Functions of ``nn.functional`` get what PyTorch's
give: what they need by position, all else by name. Other functions written in operators are taken over operator by
operator.
"""

import contextlib
import functools
import threading

from . import _core

Tensor = _core.Tensor

__all__ = [
    "enable_reentrant_dispatch",
    "get_ignored_functions",
    "get_overridable_functions",
    "get_testing_overrides",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "redispatch_function",
    "resolve_name",
    "wrap_torch_function",
]


class _AtLevel:
    """A context in which less is taken over on this thread."""

    level = 0

    def __enter__(self):
        self.before = _core.override_level()
        _core.set_override_level(max(self.level, self.before))

    def __exit__(self, *exception):
        _core.set_override_level(self.before)


class DisableTorchFunctionSubclass(_AtLevel):
    """Inside, operators do not look at the classes of their arguments; modes still get them."""

    level = 1


class DisableTorchFunction(_AtLevel):
    """Inside, neither classes nor modes take over operators."""

    level = 2


class enable_reentrant_dispatch(contextlib.nullcontext):
    """A context that changes nothing: what takes over an operator may always call operators."""


def _disabled_torch_function_impl(func, types, args=(), kwargs=None):
    """What ``__torch_function__`` is in classes whose operators give plain tensors."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


# Facts about a tensor that are tensors of whatever class they have.
_AS_THEY_ARE = {"grad", "_base"}


def _torch_function(cls, func, types, args=(), kwargs=None):
    """Runs the operator, and gives the tensors of its result this class.

    Returns ``NotImplemented`` where another class that is no base of this one takes part.
    """
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        result = func(*args, **(kwargs or {}))
        if getattr(getattr(func, "__self__", None), "__name__", None) in _AS_THEY_ARE:
            return result
        return _converted(result, cls)


def _converted(result, cls):
    if cls is Tensor:
        return result
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else result.as_subclass(cls)
    if isinstance(result, (tuple, list)):
        parts = [_converted(part, cls) for part in result]
        return type(result)(parts)
    return result


# -- the methods and attributes of Tensor that are no operators of the table ------------------------------------------

# Identity, construction and pickling are the object's own.
_OWN = {
    "__new__",
    "__init__",
    "__hash__",
    "__doc__",
    "__module__",
    "__dict__",
    "__weakref__",
    "__init_subclass__",
    "__torch_function__",
    "__format__",
    "__reduce_ex__",
    "__array_priority__",
    "__array__",
    "__array_wrap__",
    "__dlpack__",
    "__dlpack_device__",
    "__iter__",
    "__copy__",
    "_make_subclass",
    "as_subclass",
    "_set_alias",
    "_become",
    "__delitem__",
}
# Slots that the engine does not ask about by itself.
_SLOTS = ("__len__", "__bool__", "__float__", "__int__", "__index__", "__complex__", "__pos__")
_STANDS_FOR = {"__pos__": "positive"}


def _taken_over_method(name, original):
    function = getattr(Tensor, _STANDS_FOR.get(name, name))

    @functools.wraps(original)
    def method(self, *args, **kwargs):
        found = _core.overriding_arguments((self, *args, *kwargs.values()))
        if not found:
            return original(self, *args, **kwargs)
        return _core.call_override(name, function, found, (self, *args), kwargs)

    return method


def _taken_over_attribute(name, original):
    reads, writes = original.__get__, getattr(original, "__set__", None)

    def read(self):
        if not _core.overrides_operators(self):
            return reads(self)
        return _core.call_override(name, reads, [self], (self,), {})

    def write(self, value):
        if not _core.overrides_operators(self):
            return writes(self, value)
        return _core.call_override(name, writes, [self], (self, value), {})

    delete = getattr(original, "__delete__", None)
    return property(read, write if writes else None, delete, original.__doc__)


@functools.cache
def _replacements():
    """What a class that takes over operators has in place of methods and attributes of ``Tensor``."""
    native = {name for name, style, *_ in _core.op_signatures() if style in ("method", "inplace")}
    found = {}
    for name, value in vars(Tensor).items():
        kind = type(value).__name__
        if name in _OWN or name in native:
            continue
        if kind in ("getset_descriptor", "property"):
            found[name] = _taken_over_attribute(name, value)
        elif kind in ("method_descriptor", "function") or name in _SLOTS:
            found[name] = _taken_over_method(name, value)
    return found


def _defined_in(cls, name):
    return next((base for base in cls.__mro__ if name in vars(base)), None)


def _begin_class(cls, *, decomposes=False, **kwargs):
    """Prepares a subclass of ``Tensor`` that takes over operators; the engine looks for such from now on.

    A class that ``decomposes`` takes over the engine's operators only: what is written in them runs as it is.
    """
    super(Tensor, cls).__init_subclass__(**kwargs)
    if getattr(cls, "__torch_function__", None) is _disabled_torch_function_impl:
        return
    _core.overrides_begin()
    cls._decomposes = decomposes
    if decomposes:
        return
    # Of the package's own classes none looks at whole functions.
    taken.over = taken.over or not cls.__module__.startswith("corten.")
    for name, value in _replacements().items():
        if _defined_in(cls, name) is Tensor:
            setattr(cls, name, value)


def _install():
    Tensor.__torch_function__ = classmethod(_torch_function)
    Tensor.__init_subclass__ = classmethod(_begin_class)
    _core.set_disabled_override(_disabled_torch_function_impl)


_PythonFunction = type(lambda: None)


class _Skips(threading.local):
    """Whether the next question of this thread, whether something takes over, is answered no."""

    pending = False


_skips = _Skips()


# -- for functions written in Python ----------------------------------------------------------------------------------


def has_torch_function(relevant_args):
    """Whether a class of the arguments, or a mode, takes over operators."""
    if _skips.pending:
        _skips.pending = False
        return False
    if _core.override_level() < 2 and _get_current_function_mode_stack():
        return True
    return any(_core.overrides_operators(arg) and type(arg) is not Tensor for arg in relevant_args)


class _Taken:
    """Whether a class or a mode may take over functions as a whole: there is none in most programs."""

    over = False


taken = _Taken()


def takes_over(*args):
    """``has_torch_function`` of a function of this package: classes that decompose have its operators one by one."""
    kinds = [arg for arg in args if type(arg) is not Tensor and not getattr(type(arg), "_decomposes", False)]
    if not kinds and not _skips.pending and not _core.function_modes():
        return False
    return has_torch_function(kinds)


def has_torch_function_unary(arg):
    """``has_torch_function`` of one argument."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args):
    """``has_torch_function`` of separate arguments."""
    return has_torch_function(args)


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """What takes over ``public_api(*args, **kwargs)``, by the classes of ``relevant_args`` and the modes.

    Raises:
        TypeError: all of them return ``NotImplemented``.
    """
    # Programs know a function as autocast's that stands for it, once that is switched on.
    public_api = getattr(public_api, "_known_as", public_api)
    found = _core.overriding_arguments(tuple(relevant_args))
    return _core.call_override(getattr(public_api, "__name__", str(public_api)), public_api, found, args, kwargs)


def hand_over(function, given, *relevant_args):
    """``handle_torch_function`` of a function of this package, in the form in which PyTorch's give their arguments on:
    those without a default by position, all others by name.

    Args:
        given: the function's arguments by name: ``locals()`` where it begins.
    """
    import inspect

    # The module's name may stand for the function inside autocast's.
    written = inspect.unwrap(function)
    names = written.__code__.co_varnames[: written.__code__.co_argcount]
    needed = len(names) - len(written.__defaults__ or ())
    count = written.__code__.co_argcount
    only_by_name = written.__code__.co_varnames[count : count + written.__code__.co_kwonlyargcount]
    by_name = {name: given[name] for name in (*names[needed:], *only_by_name)}
    return handle_torch_function(function, relevant_args, *(given[name] for name in names[:needed]), **by_name)


def redispatch_function(func, types, args, kwargs=None):
    """Calls ``func`` itself instead of what takes it over; what it calls in turn is taken over as ever.

    For use inside ``__torch_function__``, also of a mode that is entered again around it. An operator gives a plain
    tensor.
    """
    if isinstance(func, _PythonFunction):
        _skips.pending = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            _skips.pending = False
    with DisableTorchFunction():
        return func(*args, **(kwargs or {}))


def wrap_torch_function(dispatcher):
    """A decorator for a function that may be taken over; ``dispatcher`` gives its relevant arguments."""

    def decorator(function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorator


def is_tensor_like(inp):
    """Whether an object is a tensor, or of a class with ``__torch_function__``."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


# -- modes ------------------------------------------------------------------------------------------------------------


class TorchFunctionMode:
    """A context in which all operators of the thread call ``self.__torch_function__(func, types, args, kwargs)``.

    While it runs, the modes outside of this one remain. It may return ``NotImplemented``.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError("a TorchFunctionMode needs a method __torch_function__")

    # Whether it is asked about operators alone, and never about functions that are written in them.
    _is_partial = False

    def __enter__(self):
        taken.over = taken.over or not self._is_partial
        _core.push_function_mode(self)
        return self

    def __exit__(self, *exception):
        _core.pop_function_mode()

    @classmethod
    def push(cls, *args, **kwargs):
        """The mode itself, of the class."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that runs every operator as it is."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def _get_current_function_mode():
    modes = _get_current_function_mode_stack()
    return modes[-1] if modes else None


def _get_current_function_mode_stack():
    # What asks for some operators of the engine alone takes over no function as a whole.
    return [mode for mode in _core.function_modes() if not getattr(mode, "_is_partial", False)]


# -- what there is to take over ---------------------------------------------------------------------------------------


@functools.cache
def _overridable():
    import corten

    functions, methods = [], []
    for name, style, *_ in _core.op_signatures():
        if name.startswith("_"):
            continue
        if style == "function":
            functions.append(getattr(_core.ops, name))
        else:
            methods.append(getattr(Tensor, name))
    for name, value in _replacements().items():
        original = vars(Tensor)[name]
        methods.append(original.__get__ if isinstance(value, property) else getattr(Tensor, name))
    return {corten: functions, Tensor: methods}


def get_overridable_functions():
    """The functions that a class can take over, by the namespace they are in."""
    return {space: list(functions) for space, functions in _overridable().items()}


def get_ignored_functions():
    """Public functions that make tensors of none or answer about the program: no class takes these over."""
    import corten

    names = (
        "tensor as_tensor from_numpy is_tensor is_storage is_grad_enabled set_grad_enabled get_default_dtype "
        "set_default_dtype manual_seed seed initial_seed get_rng_state set_rng_state result_type promote_types "
        "can_cast typename no_grad enable_grad set_printoptions get_num_threads set_num_threads"
    )
    methods = "__init__ __new__ __hash__ __init_subclass__ __torch_function__ as_subclass _make_subclass"
    return {getattr(corten, name) for name in names.split()} | {getattr(Tensor, name) for name in methods.split()}


def get_testing_overrides():
    """A function that returns -1, with the signature of each function that a class can take over."""
    signatures = {}
    for name, style, overloads, *_ in _core.op_signatures():
        if not name.startswith("_"):
            owner = _core.ops if style == "function" else Tensor
            signatures[getattr(owner, name)] = _signature(overloads[0])
    return {function: _stand_in(signatures.get(function)) for group in _overridable().values() for function in group}


def _signature(text):
    import inspect

    parts = text[text.index("(") + 1 : -1].split(", ")
    kind, parameters = inspect.Parameter.POSITIONAL_OR_KEYWORD, []
    for part in parts:
        if part == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
            continue
        if not part:
            continue
        name, _, default = part.split(" ", 1)[1].partition("=")
        name = {"self": "input", "from": "from_"}.get(name, name)
        parameters.append(inspect.Parameter(name, kind, default=_default(default)))
    return inspect.Signature(parameters)


def _default(text):
    """The value that a signature's text says; the text where it is a name."""
    import ast
    import inspect

    if not text:
        return inspect.Parameter.empty
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _stand_in(signature):
    def stand_in(*args, **kwargs):
        return -1

    if signature is not None:
        stand_in.__signature__ = signature
    return stand_in


def is_tensor_method_or_property(func):
    """Whether ``func`` is a method of ``Tensor``, or reads or writes one of its attributes."""
    return func in set(_overridable()[Tensor]) or getattr(func, "__name__", "") in ("__get__", "__set__")


def resolve_name(f):
    """The dotted name of a function that can be taken over, None of others."""
    if isinstance(f, str):
        return f
    for space, functions in _overridable().items():
        if f in functions:
            name = getattr(f, "__name__", "")
            if name in ("__get__", "__set__"):
                name = f"{f.__self__.__name__}.{name}"
            return f"corten.Tensor.{name}" if space is Tensor else f"corten.{name}"
    return _resolved(f)


def _resolved(f):
    """The dotted name of a function that is no operator of the table by itself, None of others."""
    import corten

    name = getattr(f, "__name__", None)
    for space in (corten, corten.nn.functional, corten.linalg, corten.fft, corten.special):
        if isinstance(name, str) and getattr(space, name, None) is f:
            return f"{space.__name__}.{name}"
    return None


_install()
