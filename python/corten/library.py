"""Operators of a program's own: `custom_op`, what is registered for one, and `Library`.

A custom operator is a Python function that nobody looks into: it may use numpy or any other library. Its schema says
what goes in and comes out; `register_autograd` gives it a gradient and `register_vmap` a rule for batches. It is called
as it is, or as ``corten.ops.namespace.name``.

>>> @corten.library.custom_op("mylib::numpy_sin", mutates_args=())
... def numpy_sin(x: corten.Tensor) -> corten.Tensor:
...     return corten.from_numpy(np.sin(x.numpy(force=True)))
>>> numpy_sin.register_autograd(
...     lambda ctx, grad: grad * ctx.saved_tensors[0].cos(),
...     setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
... )
>>> corten.ops.mylib.numpy_sin(corten.tensor([0.0, 1.0]))
tensor([0.0000, 0.8415])
"""

import functools
import weakref

from ._library import operators as _operators
from ._library.checks import opcheck
from ._library.inference import infer_schema
from ._library.parser import parse_schema
from ._library.schema import as_tags

__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "impl",
    "impl_abstract",
    "infer_schema",
    "opcheck",
    "register_autocast",
    "register_autograd",
    "register_fake",
    "register_kernel",
    "register_vmap",
]


def _qualified(name):
    namespace, separator, rest = name.partition("::")
    if not (separator and namespace and rest) or "::" in rest:
        raise ValueError(
            f'Expected `qualname` to be of the form "namespace::name", but got {name}. The qualname passed to the '
            "corten.library APIs must consist of a namespace and a name, e.g. mylib::sin"
        )
    return name


def _device_types(device_types):
    if device_types is None:
        return [_operators.DEFAULT]
    kinds = [device_types] if isinstance(device_types, str) else list(device_types)
    return [_operators.device_type(kind) for kind in kinds]


def _decorator(register, function):
    """Registers a function now, or gives the decorator that will."""
    if function is not None:
        register(function)
        return function

    def inner(given):
        register(given)
        return given

    return inner


class CustomOpDef:
    """What `custom_op` makes of a function: the operator, callable, to which more may be registered."""

    def __init__(self, namespace, name, schema, fn, tags=()):
        self._namespace, self._name = namespace, name
        self._init_fn = fn
        self._opoverload = _operators.define(schema, tags, replace=True)
        self._opoverload.checks_aliases = True
        functools.update_wrapper(self, fn, updated=())

    @property
    def _qualname(self):
        return f"{self._namespace}::{self._name}"

    @property
    def _schema(self):
        return self._opoverload._schema

    def __repr__(self):
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args, **kwargs):
        return self._opoverload(*args, **kwargs)

    def register_kernel(self, device_types, fn=None, /):
        """Gives the operator another implementation for devices; see :func:`register_kernel`."""
        return register_kernel(self, device_types, fn)

    def register_fake(self, fn, /):
        """Gives the operator a function that makes results of the right shape; see :func:`register_fake`."""
        return register_fake(self, fn)

    def register_autograd(self, backward, /, *, setup_context=None):
        """Gives the operator a gradient; see :func:`register_autograd`."""
        register_autograd(self, backward, setup_context=setup_context)

    def register_vmap(self, func=None):
        """Gives the operator a rule for batches; see :func:`register_vmap`."""
        return register_vmap(self, func)

    def register_autocast(self, device_type, cast_inputs):
        """Gives the operator a dtype for autocast; see :func:`register_autocast`."""
        return register_autocast(self, device_type, cast_inputs)

    def register_torch_dispatch(self, torch_dispatch_class, fn=None, /):
        """Refused: there is no ``__torch_dispatch__``."""
        raise NotImplementedError(
            "register_torch_dispatch: corten has no __torch_dispatch__; a class takes over operators with "
            "__torch_function__"
        )

    def set_kernel_enabled(self, device_type, enabled=True):
        """A context in which the implementation for a device is used, or with False the default one in its place."""
        kind = _operators.device_type(device_type)
        if kind not in self._opoverload.kernels:
            import warnings

            warnings.warn(
                f"Attempted to set kernel enabled for {self._qualname} on {device_type}, which has no kernel of its "
                "own",
                stacklevel=2,
            )
        return self._opoverload.kernel_enabled(kind, enabled)


def custom_op(name, fn=None, /, *, mutates_args, device_types=None, schema=None, tags=None):
    """Makes a function an operator; a decorator.

    Args:
        name: ``"namespace::name"``, under which `corten.ops` has it.
        fn: a function whose annotations say the schema.
        mutates_args: the names of the tensors that it writes to, or "unknown" for perhaps all.
        device_types: the kinds of device that the function is for, ``"cpu"`` and ``"gpu"`` or ``"cuda"``; None is any.
        schema: the schema as text, ``"(Tensor x, int n) -> Tensor"``, in place of the annotations.
        tags: a ``corten.Tag`` or several; ``Tag.inplace`` and ``Tag.out`` say that the results are the arguments that
            are written.

    Returns:
        A :class:`CustomOpDef`. Its results are fresh tensors: one that shares memory with an argument is an error.

    Raises:
        ValueError: the annotations say no schema, or not what ``mutates_args`` says.
    """

    def make(function):
        namespace, separator, operator = name.partition("::")
        if not separator or "::" in operator:
            raise ValueError(f"custom_op: the name must be of the form 'namespace::name', got {name!r}")
        text = schema
        if text is None:
            text = infer_schema(function, mutates_args=mutates_args, tags=tags)
        if not text.lstrip().startswith("("):
            raise ValueError(f"custom_op: the schema must have no name, as '(Tensor x) -> Tensor', got {schema!r}")
        parsed = parse_schema(f"{_qualified(name)}{text.strip()}", allow_typevars=False)
        if schema is not None:
            _check_mutation(parsed, mutates_args, schema)
        made = CustomOpDef(namespace, operator, parsed, function, as_tags(tags))
        for kind in _device_types(device_types):
            made._opoverload.kernels[kind] = function
        if device_types is not None and not any(a.holds_tensors for a in parsed.arguments):
            _check_has_device(made)
        return made

    return make if fn is None else make(fn)


def _check_mutation(schema, mutates_args, text):
    written = {a.name for a in schema.arguments if a.is_write}
    if mutates_args != "unknown" and written != set(mutates_args):
        raise ValueError(
            f"Attempted to create a custom op with `mutates_args={mutates_args}` and `schema={text}. The schema "
            f"suggests that the op mutates {written} which is different from what was provided to us in "
            "`mutates_args`. Please make these consistent."
        )


def _check_has_device(op):
    if not any("Device" in str(a.type) for a in op._schema.arguments):
        _operators.remove(op._opoverload)
        raise ValueError(
            f"Functions without tensor inputs are required to have a `device: torch.device` argument; {op._qualname} "
            "has none"
        )


def _operator(op, caller):
    """The operator that is meant by a name, an overload or a custom operator."""
    if isinstance(op, CustomOpDef):
        return op._opoverload
    if isinstance(op, _operators.OpOverload):
        return op
    if not isinstance(op, str):
        raise ValueError(f"{caller}(op): got unexpected type for op: {type(op)}")
    found = _operators.find(_qualified(op))
    if found is None:
        raise RuntimeError(f"operator {op} does not exist")
    return found


def register_kernel(op, device_types, func=None, /, *, lib=None):
    """Gives an operator another implementation for devices; a decorator where ``func`` is left out.

    Args:
        op: a custom operator, or its name.
        device_types: ``"cpu"``, ``"gpu"`` or ``"cuda"``, or several; None is the default one.
    """
    target, kinds = _operator(op, "register_kernel"), _device_types(device_types)
    return _decorator(lambda function: target.kernels.update(dict.fromkeys(kinds, function)), func)


def register_fake(op, func=None, /, *, lib=None, allow_override=True):
    """Keeps a function that makes results of the operator's shapes and dtypes from arguments whose values are unknown.

    There are no tensors without values here, so programs run without it; :func:`opcheck` compares what it makes with
    the operator's results, which PyTorch's compiler relies on.
    """
    target = _operator(op, "register_fake")

    def register(function):
        if target.fake is not None and not allow_override:
            raise RuntimeError(f"register_fake(...): the operator {target.name()} already has an fake impl registered")
        target.fake = function

    return _decorator(register, func)


def impl_abstract(qualname, func=None, *, lib=None):
    """Deprecated: :func:`register_fake` under its old name."""
    import warnings

    warnings.warn(
        "corten.library.impl_abstract was renamed to corten.library.register_fake.", FutureWarning, stacklevel=2
    )
    return register_fake(qualname, func, lib=lib)


def register_autograd(op, backward, /, *, setup_context=None, keyset=None, lib=None):
    """Gives an operator a gradient.

    Args:
        op: a custom operator, or its name. It may not write to its arguments.
        backward: ``backward(ctx, *grads)`` gets a gradient for each result, a list of them where it is a list, and
            returns one for each positional argument, None for those without.
        setup_context: ``setup_context(ctx, inputs, output)`` keeps what ``backward`` needs, as in
            `autograd.Function`; ``setup_context(ctx, inputs, keyword_only_inputs, output)`` where there are
            arguments that are given by name only.

    Raises:
        RuntimeError: the operator writes to an argument, or does not exist.
    """
    target = _operator(op, "register_autograd")
    schema = target._schema
    if schema.is_mutable or any(r.alias_info is not None for r in schema.returns):
        raise RuntimeError(
            f"Cannot register autograd formula for non-functional operator {op} with schema {schema}. Please create a "
            "functional operator and register an autograd formula for that."
        )
    if any(a.holds_tensors for a in schema._keyword_only):
        raise NotImplementedError(
            f"register_autograd with kwarg-only Tensor args. In the original definition of the op, please make your "
            f"tensors not kwarg-only. Got: {schema}"
        )
    target.backward, target.setup_context = backward, setup_context


def register_vmap(op, func=None, /, *, lib=None):
    """Gives an operator a rule for ``vmap``; a decorator where ``func`` is left out.

    Args:
        func: ``func(info, in_dims, *args, **kwargs)`` gets whole batches: ``info.batch_size``, for each positional
            argument the dim of the batch or None, and the arguments. It returns the results and their batch dims.
    """
    target = _operator(op, "register_vmap")

    def register(function):
        target.vmap_rule = function

    return _decorator(register, func)


def register_autocast(op, device_type, cast_inputs, /, *, lib=None):
    """Gives an operator a dtype to which floating-point arguments are converted inside ``autocast`` of the device."""
    if device_type not in ("cpu", "cuda", "gpu"):
        raise ValueError(f"register_autocast: unknown device type {device_type!r}")
    _operator(op, "register_autocast").autocast_dtypes[_operators.device_type(device_type)] = cast_inputs


# -- libraries --------------------------------------------------------------------------------------------------------

_defined: "weakref.WeakValueDictionary[str, Library]" = weakref.WeakValueDictionary()
# What kernels are for, by PyTorch's keys.
_KEYS = {
    "": ("default", True),
    "CPU": ("cpu", True),
    "CUDA": ("gpu", True),
    "CompositeExplicitAutograd": ("default", True),
    "CompositeImplicitAutograd": ("default", True),
    "Meta": ("meta", True),
}


class Library:
    """Defines operators of a namespace from schemas, and gives operators implementations.

    Operators live as long as the library. What their kernels do with operators is recorded for gradients.

    Args:
        ns: the namespace.
        kind: "DEF" for the one library that owns a namespace, "FRAGMENT" for one of several, "IMPL" for one that
            defines nothing.
        dispatch_key: what :meth:`impl` registers for: "CPU", "CUDA", "CompositeExplicitAutograd",
            "CompositeImplicitAutograd" or "Meta".

    Raises:
        RuntimeError: the namespace has an owner.
    """

    def __init__(self, ns, kind, dispatch_key=""):
        if kind not in ("DEF", "FRAGMENT", "IMPL"):
            raise ValueError(f"Unsupported kind: {kind}")
        if ns == "aten":
            raise NotImplementedError(
                "Library('aten', ...): corten's own operators are not replaced from Python; a class with "
                "__torch_function__ or a TorchFunctionMode takes them over"
            )
        if ns in ("prim", "prims") and kind != "IMPL":
            raise ValueError(f"{ns} is a reserved namespace. Please try creating a library with another name.")
        if kind == "DEF" and ns in _defined:
            raise RuntimeError(
                f"Only a single library of kind DEF can be used to register the namespace {ns}; use kind FRAGMENT to "
                "define operators for a single namespace in several places."
            )
        _key(dispatch_key)
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key
        self._operators: list = []
        if kind == "DEF":
            _defined[ns] = self
        self._finalizer = weakref.finalize(self, _remove_all, self._operators)

    def __repr__(self):
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def define(self, schema, alias_analysis="", *, tags=()):
        """A new operator; returns its name.

        Args:
            schema: ``"name(Tensor x, float by=2.) -> Tensor"``.
        """
        if alias_analysis not in ("", "FROM_SCHEMA", "CONSERVATIVE"):
            raise RuntimeError(f"Invalid alias_analysis type {alias_analysis}")
        if self.kind == "IMPL":
            raise ValueError("A library of kind IMPL defines no operators; use DEF or FRAGMENT")
        text = schema.strip()
        namespace, separator, _ = text.partition("(")[0].partition("::")
        if separator and namespace != self.ns:
            raise RuntimeError(f"Library of namespace {self.ns}: the schema is of another one, {text!r}")
        parsed = parse_schema(text if separator else f"{self.ns}::{text}", allow_typevars=False)
        made = _operators.define(parsed, as_tags(tags))
        made.opaque = False
        self._operators.append(made)
        return parsed._operator

    def impl(self, op_name, fn, dispatch_key="", *, with_keyset=False, allow_override=True):
        """Gives an operator an implementation, now or once it is defined.

        Args:
            op_name: the name, with or without the namespace, or an operator of `corten.ops`.
            dispatch_key: what it is for; the library's key where it is left out.
        """
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        if with_keyset:
            raise NotImplementedError("Library.impl: there are no sets of dispatch keys to hand over")
        kind, _ = _key(dispatch_key or self.dispatch_key)
        if isinstance(op_name, _operators.OpOverload):
            qualified = op_name.name()
        else:
            qualified = op_name if "::" in op_name else f"{self.ns}::{op_name}"
        if qualified.partition("::")[0] != self.ns:
            raise RuntimeError(f"Library of namespace {self.ns}: {qualified} is of another one")

        def apply(op):
            if kind == "meta":
                op.fake = fn
                return
            if kind in op.kernels and not allow_override:
                raise RuntimeError(f"{qualified} already has a kernel for {dispatch_key or self.dispatch_key or 'all'}")
            op.kernels[kind] = fn

        _operators.when_defined(qualified, apply)

    def _destroy(self):
        """Takes the library's operators away."""
        self._finalizer()
        if _defined.get(self.ns) is self:
            del _defined[self.ns]


def _remove_all(made):
    for op in made:
        _operators.remove(op)
    made.clear()


def _key(name):
    if name not in _KEYS:
        instead = "register_autograd gives gradients" if name.startswith("Autograd") else "use one of them"
        known = ", ".join(key for key in _KEYS if key)
        raise NotImplementedError(f"dispatch key {name!r}: kernels are for {known}; {instead}")
    return _KEYS[name]


# Libraries of operators that `define` made: they live as long as the program.
_lasting: dict[str, Library] = {}


def define(qualname, schema, *, lib=None, tags=()):
    """A new operator without an implementation, from a schema as text.

    Args:
        qualname: ``"namespace::name"``.
        schema: ``"(Tensor x) -> Tensor"``.
        lib: the `Library` whose life the operator shares.
    """
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    namespace, _, name = _qualified(qualname).partition("::")
    if not schema.lstrip().startswith("("):
        raise ValueError(
            f'define(qualname, schema, ...): expected schema to look like e.g. "(Tensor x) -> Tensor" but got '
            f'"{schema}"'
        )
    if lib is None:
        lib = _lasting.setdefault(namespace, Library(namespace, "FRAGMENT"))
    lib.define(f"{name}{schema}", tags=tags)


def impl(qualname, types, func=None, *, lib=None):
    """Gives an operator an implementation for devices; a decorator where ``func`` is left out.

    Args:
        types: ``"cpu"``, ``"cuda"``, ``"gpu"``, ``"default"`` for all, several of them, or a key of `Library.impl`.
    """
    kinds = [types] if isinstance(types, str) else list(types)
    named = {"cpu": "CPU", "cuda": "CUDA", "gpu": "CUDA", "default": "CompositeExplicitAutograd"}
    keys = [named.get(kind.lower(), kind) for kind in kinds]
    for key in keys:
        _key(key)
    namespace = _qualified(qualname).partition("::")[0]

    def register(function):
        owner = lib or _lasting.setdefault(namespace, Library(namespace, "FRAGMENT"))
        for key in keys:
            owner.impl(qualname, function, key)

    return _decorator(register, func)


def fallthrough_kernel():
    """Refused where it is called: a kernel that stands for the next one is only handed to `Library.impl`."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def get_ctx():
    """Refused outside of functions of `register_fake`, which get no sizes that are unknown here."""
    raise NotImplementedError(
        "get_ctx(): sizes are numbers; a function of register_fake that cannot know them is left out"
    )


def triton_op(name, fn=None, /, *, mutates_args, schema=None):
    """Refused: Triton's kernels need CUDA; see `corten.gpu` for kernels in WGSL."""
    raise NotImplementedError(
        "triton_op: Triton's kernels need CUDA; corten.gpu.kernel runs kernels in WGSL on every GPU, and "
        "corten.library.custom_op makes an operator of the function that calls one"
    )


wrap_triton = triton_op


def __getattr__(name):
    if name == "Tag":
        from ._library.schema import Tag

        return Tag
    from ._missing import missing

    raise missing(__name__, name)
