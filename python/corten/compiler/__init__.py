"""Compiling functions: :func:`compile` and its controls (``torch.compiler``).

A function's first call runs in Python while the engine writes down what it does to tensors; later calls do that again,
with the tensors and values of now, without running Python: forward passes with their gradients, or whole training steps
with ``backward()``, ``zero_grad()``, ``optimizer.step()`` and schedulers. A recording serves while what the function
depends on is unchanged; otherwise another is made. What cannot be recorded runs as it is written, and the log tells why
(logger ``corten.compiler``); with ``fullgraph=True`` it raises.
"""

import functools
import warnings

import corten
from corten.nn import Module

from ._function import CompiledFunction, Statistics
from ._guards import has_global_hooks

__all__ = [
    "CompiledFunction",
    "OptimizedModule",
    "Statistics",
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
    "set_stance",
    "statistics",
]

_MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs")


class OptimizedModule(Module):
    """A module whose calls are compiled; everything else is the module's own."""

    def __init__(self, module, compiled):
        super().__init__()
        self._orig_mod = module
        self.__dict__["_compiled"] = compiled
        self.__dict__["training"] = module.training

    def __call__(self, *args, **kwargs):
        if has_global_hooks():
            warnings.warn(
                "Using corten.compile(module) when there are global hooks on modules (e.g., from "
                "`register_module_forward_hook`) causes the hooks to fire an extra time for the OptimizedModule "
                "created by corten.compile(module).",
                stacklevel=2,
            )
        return super().__call__(*args, **kwargs)

    def forward(self, *args, **kwargs):
        return self.__dict__["_compiled"](*args, **kwargs)

    def __len__(self):
        return len(self._orig_mod)

    def __reduce__(self):
        return _compile_again, (self._orig_mod, self.__dict__["_compiled"].settings)

    def __getattr__(self, name):
        if name == "_orig_mod":
            return self.__dict__["_modules"]["_orig_mod"]
        return getattr(self._orig_mod, name)

    def __setattr__(self, name, value):
        if name in ("_orig_mod", "training") or "_orig_mod" not in self.__dict__.get("_modules", ()):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name):
        delattr(self._orig_mod, name)


def _compile_again(module, settings):
    return OptimizedModule(module, CompiledFunction(module, **settings))


def compile(model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False):
    """A function or module that does what ``model`` does, without running its Python code again and again.

    Python numbers, strings and flags among the arguments, and those that the code finds in globals, closures and
    attributes, belong to a recording: another value makes another one. The options of optimizers and their step counts
    do not: they are read at every call. Random generators go on as if the function had run.

    Args:
        model: a function, a method or a :class:`corten.nn.Module`; left out, the result is a decorator.
        fullgraph: raises where the function cannot be recorded as a whole, instead of running it in Python.
            A call with an effect outside, such as ``print``, counts where it is reached, and is not made then.
        dynamic: accepted. A new shape makes a new recording, which costs one ordinary call; kernels know no shapes and
            are not compiled again.
        backend: "inductor" and "cudagraphs" record and replay; "eager" and "aot_eager" run the function as it is.
        mode: "default", "reduce-overhead", "max-autotune" or "max-autotune-no-cudagraphs": there is one way to run.
        options: a dictionary, accepted where it is empty; excludes ``mode``.
        disable: returns ``model`` itself.

    Returns:
        A :class:`CompiledFunction`, or for a module an :class:`OptimizedModule` with its parameters.

    Raises:
        RuntimeError: for unknown modes or options, for both of them, and with ``fullgraph`` at a call that cannot be
            recorded.
        InvalidBackend: for other backends: there is no graph that Python could take.

    Source: ``torch.compile``.
    """
    if mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(map(str, _MODES[1:]))}")
    if mode is not None and options:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if options:
        raise RuntimeError(f"Unexpected optimization option {next(iter(options))}, known options are []")
    if backend not in _BACKENDS:
        from .._dynamo.exc import InvalidBackend

        raise InvalidBackend(
            f"compile: there is no backend {backend!r}; functions are recorded by the engine ('inductor') or run as "
            "they are ('eager')"
        )
    if model is None:

        def decorate(function):
            if function is None:
                raise RuntimeError("Model can't be None")
            return compile(function, fullgraph=fullgraph, backend=backend, disable=disable)

        return decorate
    if disable:
        return model
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    compiled = CompiledFunction(model, fullgraph=fullgraph, on=backend not in ("eager", "aot_eager"))
    return OptimizedModule(model, compiled) if isinstance(model, Module) else compiled


def statistics(compiled):
    """How the calls of a compiled function or module were served, as :class:`Statistics`."""
    if isinstance(compiled, OptimizedModule):
        compiled = compiled.__dict__["_compiled"]
    elif isinstance(compiled, Module):
        compiled = compiled._compiled_call_impl
    if not isinstance(compiled, CompiledFunction):
        raise TypeError(f"a compiled function is expected, not {type(compiled).__name__}")
    return compiled.statistics


def reset():
    """Forgets all recordings of all compiled functions."""
    for compiled in list(CompiledFunction.instances):
        compiled.reset()


def is_compiling():
    """Whether the code that asks is being recorded by :func:`corten.compile`."""
    return corten._core.capturing()


is_dynamo_compiling = is_compiling


def is_exporting():
    """False: programs are not exported."""
    return False


def disable(fn=None, recursive=True, *, reason=None):
    """Keeps a function out of recordings: a compiled function that calls it runs in Python.

    Args:
        fn: the function; left out, the result is a decorator.
        recursive: accepted; what the function calls is not recorded either.
        reason: told where the function keeps another one from being recorded.
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    words = f"it calls {getattr(fn, '__qualname__', fn)}, which is not to be compiled"
    if reason:
        words += f" ({reason})"

    @functools.wraps(fn)
    def run(*args, **kwargs):
        corten._core.capture_refuse(words)
        return fn(*args, **kwargs)

    return run


def allow_in_graph(fn):
    """Returns ``fn``: every function may be recorded."""
    return fn


def assume_constant_result(fn):
    """A function that is called once: in a recording its first result stands for all."""
    return fn


def cudagraph_mark_step_begin():
    """Does nothing: replays own no memory that a new step would overwrite."""


def list_backends(exclude_tags=("debug", "experimental")):
    """The names that ``backend`` of :func:`corten.compile` accepts and that record."""
    return ["cudagraphs", "inductor"]


class set_stance:
    """Switches compiled functions on or off; also a context manager and a decorator (``torch.compiler.set_stance``).

    Args:
        stance: "default", or "force_eager", with which compiled functions run as they are written.
    """

    def __init__(self, stance="default", *, skip_guard_eval_unsafe=False, force_backend=None):
        if stance not in ("default", "force_eager"):
            raise NotImplementedError(f"set_stance: {stance!r} is not there; 'default' and 'force_eager' are")
        self._before = CompiledFunction.forced_eager
        CompiledFunction.forced_eager = stance == "force_eager"

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        CompiledFunction.forced_eager = self._before

    def __call__(self, function):
        stance = "force_eager" if CompiledFunction.forced_eager else "default"
        CompiledFunction.forced_eager = self._before

        @functools.wraps(function)
        def run(*args, **kwargs):
            with set_stance(stance):
                return function(*args, **kwargs)

        return run
