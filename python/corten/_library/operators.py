"""Operators that programs define, and `corten.ops`, where they are found by namespace and name."""

import contextlib
import threading
import types

from .. import _core
from .binding import bind, fitted
from .gradients import with_gradients
from .schema import Tag, Tensor

# Names of kernels that are of no device.
DEFAULT, META = "default", "meta"


def device_type(name):
    """The engine's name of a kind of device, by PyTorch's or its own."""
    kind = _core.device(name).type if name != META else META
    return "gpu" if kind == "cuda" else kind


class OpOverload:
    """One operator: a schema, kernels by device, and what programs registered for gradients and for ``vmap``."""

    def __init__(self, schema, tags=()):
        self._schema, self.tags = schema, list(tags)
        self.kernels, self.disabled = {}, set()
        self.fake = self.backward = self.setup_context = self.vmap_rule = None
        self.autocast_dtypes = {}
        # Whether what the kernels do is hidden from autograd, or recorded as any other program.
        self.opaque = True
        # Whether results that share memory with arguments are refused.
        self.checks_aliases = False
        self.__name__ = f"{schema._operator}.{schema.overload_name or 'default'}"
        self.__module__ = f"corten.ops.{schema._namespace}"

    def name(self):
        """``namespace::name``, with the overload's name behind a dot."""
        return self._schema._qualified_name

    @property
    def namespace(self):
        """The part of the name in front."""
        return self._schema._namespace

    def __str__(self):
        return f"{self.namespace}.{self.__name__}"

    def __repr__(self):
        schema = self._schema
        return (
            f"<OpOverload(op='{schema._namespace}.{schema._operator}', overload='{schema.overload_name or 'default'}')>"
        )

    def __call__(self, /, *args, **kwargs):
        args, by_name = bind(self._schema, args, kwargs)
        return self.call(args, by_name)

    def call(self, args, by_name):
        """The results for arguments that fit the schema."""
        tensors = list(tensors_of((*args, *by_name.values())))
        for tensor in tensors:
            if hasattr(tensor, "_call_operator"):
                return tensor._call_operator(self, args, by_name)
        if self.autocast_dtypes and (cast := self._autocast_dtype(tensors)):
            return self._autocast(args, by_name, *cast)
        if not self.opaque and self.backward is None:
            return self.run(args, by_name)
        if not (_core.is_grad_enabled() and any(t.requires_grad for t in tensors)):
            with _no_recording():
                return self.run(args, by_name)
        return with_gradients(self, args, by_name)

    def run(self, args, by_name):
        """The results of the kernel of the arguments' device, checked against the schema."""
        schema = self._schema
        tensors = list(tensors_of((*args, *by_name.values())))
        kernel = self._kernel(tensors, (*args, *by_name.values()))
        written = [t for a, v in zip(schema._positional, args, strict=True) if a.is_write for t in tensors_of((v,))]
        written += [t for a in schema._keyword_only if a.is_write for t in tensors_of((by_name[a.name],))]
        written = [t for t in written if not t.is_inference()]
        versions = [t._version for t in written]
        result = kernel(*args, **by_name)
        # A kernel may write through numpy, which counts no writes: what was saved of the tensor is stale all the same.
        quiet = [t for t, v in zip(written, versions, strict=True) if t._version == v]
        if quiet:
            _core.increment_version(quiet)
        result = self._checked(result)
        if self.checks_aliases:
            self._check_aliases(result, tensors)
        return result

    def _kernel(self, tensors, values):
        device = tensors[0].device if tensors else next((v for v in values if isinstance(v, _core.device)), None)
        kind = device_type(device.type) if device is not None else "cpu"
        if kind in self.kernels and kind not in self.disabled:
            return self.kernels[kind]
        if DEFAULT in self.kernels:
            return self.kernels[DEFAULT]
        there = ", ".join(sorted(self.kernels)) or "none"
        raise NotImplementedError(
            f"Could not run '{self.name()}' with arguments from the '{kind.upper()}' backend: no kernel was registered "
            f"for it. '{self.name()}' is only available for these backends: [{there}]."
        )

    def _checked(self, result):
        expected = self._schema.returns
        if not expected:
            if result is not None:
                raise RuntimeError(f"{self.name()}() has no results, but its kernel returned {type(result).__name__}")
            return None
        results = (result,) if len(expected) == 1 and not isinstance(result, tuple) else result
        if not isinstance(results, (tuple, list)) or len(results) != len(expected):
            raise RuntimeError(
                f"{self.name()}() should have {len(expected)} result(s), but its kernel returned {_shown(result)}. "
                f"Declaration: {self._schema}"
            )
        for value, kind in zip(results, expected, strict=True):
            if not _is_of(value, kind):
                raise RuntimeError(f"Unable to cast {value} to {kind.real_type}, a result of {self.name()}()")
        return results[0] if len(expected) == 1 else tuple(results)

    def _check_aliases(self, result, tensors):
        if any(r.alias_info is not None for r in self._schema.returns):
            return
        results = list(tensors_of(result if isinstance(result, tuple) else (result,)))
        seen = {_core.storage_id(t) for t in tensors}
        for out in results:
            place = _core.storage_id(out)
            if place in seen and out.numel():
                raise RuntimeError(
                    f"{self._schema._operator}: The output of this custom operator (1) must not also be an input to "
                    "this custom operator and (2) may not alias any inputs to this custom operator or other returns. "
                    "The most common way to trigger this error is if we have y = custom_op(x) and y and x are the same "
                    "Tensor. Please instead return a clone of the offending output tensor(s) (e.g. return x.clone()) "
                    "or refactor the custom operator to not return y."
                )
            seen.add(place)

    def _autocast_dtype(self, tensors):
        import corten

        for kind, dtype in self.autocast_dtypes.items():
            device = "cuda" if kind == "gpu" else kind
            here = any(device_type(t.device.type) == kind for t in tensors)
            if here and corten.is_autocast_enabled(device):
                return device, dtype
        return None

    def _autocast(self, args, by_name, device, dtype):
        import corten

        def cast(value):
            if isinstance(value, Tensor):
                eligible = value.is_floating_point() and value.dtype != corten.float64
                return value.to(dtype) if eligible else value
            return [cast(v) for v in value] if isinstance(value, list) else value

        with corten.autocast(device, enabled=False):
            return self.call(tuple(map(cast, args)), {k: cast(v) for k, v in by_name.items()})

    @contextlib.contextmanager
    def kernel_enabled(self, kind, enabled):
        """Inside, the kernel of a device is used, or the default one in its place."""
        before = kind in self.disabled
        (self.disabled.discard if enabled else self.disabled.add)(kind)
        try:
            yield
        finally:
            (self.disabled.add if before else self.disabled.discard)(kind)


@contextlib.contextmanager
def _no_recording():
    before = _core.set_grad_enabled(False)
    try:
        yield
    finally:
        _core.set_grad_enabled(before)


def tensors_of(values):
    """The tensors among values, and in lists and dicts that are values."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, Tensor))
        elif isinstance(value, dict):
            yield from (item for item in value.values() if isinstance(item, Tensor))


def _shown(result):
    return f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__


def _is_of(value, result):
    if isinstance(value, Tensor) and not result.holds_tensors:
        return False
    try:
        fitted(result.real_type, value)
    except (TypeError, RuntimeError):
        return False
    return True


class OpOverloadPacket:
    """The overloads of one name; calling it calls the one that the arguments fit."""

    def __init__(self, namespace, name):
        self._qualified_op_name = f"{namespace}::{name}"
        self.__name__ = name
        self.__module__ = f"corten.ops.{namespace}"
        self._overloads = {}

    def overloads(self):
        """The names of the overloads; that without a name is ``default``."""
        return list(self._overloads)

    def __iter__(self):
        return iter(self._overloads)

    def __getattr__(self, name):
        if name in self.__dict__.get("_overloads", ()):
            return self._overloads[name]
        raise AttributeError(f"The underlying op of '{self}' has no overload name '{name}'")

    def __call__(self, /, *args, **kwargs):
        overloads = list(self._overloads.values())
        if len(overloads) == 1:
            return overloads[0](*args, **kwargs)
        errors = []
        for overload in overloads:
            try:
                bound = bind(overload._schema, args, kwargs)
            except RuntimeError as error:
                errors.append(str(error))
                continue
            return overload.call(*bound)
        raise RuntimeError("\n".join([f"No overload of {self} takes these arguments:", *errors]))

    def __str__(self):
        return self._qualified_op_name.replace("::", ".")

    def __repr__(self):
        return f"<OpOverloadPacket(op='{self}')>"


class _OpNamespace(types.ModuleType):
    def __init__(self, name):
        super().__init__(f"corten.ops.{name}")
        self.__file__ = "corten.ops"
        self._name = name

    def __getattr__(self, name):
        packet = _packets.get((self.__dict__.get("_name"), name))
        if packet is None:
            if self.__dict__.get("_name") == "aten" and not name.startswith("__"):
                from .aten import packet as aten_packet

                if (found := aten_packet(name)) is not None:
                    return found
                raise AttributeError(
                    f"'_OpNamespace' 'aten' object has no attribute '{name}': corten's own operators are functions of "
                    f"the package, such as corten.{name}",
                    name=name,
                )
            raise AttributeError(f"'_OpNamespace' '{self._name}' object has no attribute '{name}'", name=name)
        return packet

    def __dir__(self):
        return sorted(name for space, name in _packets if space == self._name)


class _Ops(types.ModuleType):
    """What `corten.ops` is: a namespace for every name before ``::``."""

    __file__ = "_ops.py"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        space = _OpNamespace(name)
        setattr(self, name, space)
        return space

    def load_library(self, path):
        """Refused: a shared library holds operators for PyTorch's own engine."""
        raise NotImplementedError(
            f"ops.load_library({str(path)!r}): such libraries hold operators for PyTorch's engine; write the operator "
            "in Python and give it to corten.library.custom_op"
        )


ops = _Ops("corten.ops")
_packets: dict[tuple[str, str], OpOverloadPacket] = {}
# Kernels that were given for operators before these were defined, by qualified name.
_early: dict[str, list] = {}
_lock = threading.RLock()


def define(schema, tags=(), replace=False):
    """A new operator of the schema.

    Raises:
        RuntimeError: the name is taken, unless ``replace`` is set.
    """
    with _lock:
        key = (schema._namespace, schema._operator)
        overload = schema.overload_name or "default"
        packet = _packets.get(key)
        if packet is not None and overload in packet._overloads and not replace:
            raise RuntimeError(
                f"Tried to register an operator ({schema}) with the same name and overload name multiple times. Each "
                "overload's schema should only be registered with a single call to define()."
            )
        if packet is None:
            packet = _packets[key] = OpOverloadPacket(*key)
        made = packet._overloads[overload] = OpOverload(schema, tags)
        for apply in _early.pop(schema._qualified_name, []):
            apply(made)
    return made


def remove(op):
    """Takes an operator out of `corten.ops`."""
    with _lock:
        key = (op._schema._namespace, op._schema._operator)
        packet = _packets.get(key)
        if packet is None:
            return
        packet._overloads.pop(op._schema.overload_name or "default", None)
        if not packet._overloads:
            del _packets[key]


def when_defined(name, apply):
    """Calls ``apply(operator)`` now, or when the operator of that name is defined."""
    found = find(name)
    if found is not None:
        apply(found)
    else:
        _early.setdefault(name, []).append(apply)


def find(name):
    """The operator of a name ``namespace::name`` or ``namespace::name.overload``, or None."""
    space, _, rest = name.partition("::")
    operator, _, overload = rest.partition(".")
    packet = _packets.get((space, operator))
    return packet._overloads.get(overload or "default") if packet else None


__all__ = ["OpOverload", "OpOverloadPacket", "Tag", "ops"]
