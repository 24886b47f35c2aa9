"""Carries values from PyTorch to corten and back: tensors with their strides, dtypes, devices, functions of either."""

from __future__ import annotations

import builtins
import functools
import types
from collections.abc import Callable
from typing import Any

import corten
import numpy as np
import torch

from . import surface

# Storages are carried as these, since numpy lacks the dtype on the left.
_AS_INTEGERS = {torch.bfloat16: torch.int16, torch.complex32: torch.int32}


def _encoder_layer(module: Any) -> dict[str, Any]:
    return {
        "d_model": module.self_attn.embed_dim,
        "nhead": module.self_attn.num_heads,
        "dim_feedforward": module.linear1.out_features,
        "dropout": module.dropout.p,
        "activation": module.activation.__name__,
        "batch_first": module.self_attn.batch_first,
        "norm_first": module.norm_first,
        "bias": module.linear1.bias is not None,
    }


# How a module that is an argument is made again.
_OPTIONS = {"TransformerEncoderLayer": _encoder_layer}


class Missing(Exception):
    """A public name that PyTorch's call needs and corten lacks."""


class Translator:
    """Carries values from PyTorch to corten; one tensor that occurs twice stays one tensor."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seen: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """The value in corten's terms, containers with what they hold."""
        if isinstance(value, torch.Tensor):
            if id(value) not in self.seen:
                self.seen[id(value)] = (value, self.tensor(value))
            return self.seen[id(value)][1]
        if isinstance(value, torch.Size):
            return corten.Size(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self, value))
        if isinstance(value, (list, tuple, set)):
            return type(value)(self(item) for item in value)
        if isinstance(value, dict):
            return type(value)((key, self(item)) for key, item in value.items())
        if isinstance(value, slice):
            return slice(*map(self, (value.start, value.stop, value.step)))
        return self.atom(value)

    def atom(self, value: Any) -> Any:
        """A value that holds no others."""
        if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
            return named(str(value).removeprefix("torch."))
        if isinstance(value, torch.device) or (value == "cpu" if isinstance(value, str) else False):
            return corten.device(self.device) if isinstance(value, torch.device) else self.device
        if isinstance(value, torch.Generator):
            return named("Generator")(device=self.device).manual_seed(value.initial_seed())
        if isinstance(value, torch.nn.Module):
            return self.module(value)
        if isinstance(value, type) and value.__module__.split(".")[0] == "torch":
            return named(f"{value.__module__}.{value.__name__}".removeprefix("torch."), short=value.__name__)
        return rebound(value) if callable(value) else value

    def tensor(self, value: torch.Tensor) -> Any:
        """A leaf with the tensor's values, dtype, strides, offset and wish for a gradient."""
        plain = value.detach().resolve_conj().resolve_neg()
        if self.device != "cpu" and plain.dtype == torch.float64:
            plain = plain.float()  # the GPU has no float64, and what is compared there is float32
        dtype = named(str(plain.dtype).removeprefix("torch."))
        strides, shape, offset = plain.stride(), plain.shape, plain.storage_offset()
        # The whole storage: `as_strided` reads beyond the window.
        flat = torch.as_strided(plain, (plain.untyped_storage().nbytes() // plain.element_size(),), (1,), 0)
        carried = flat.view(_AS_INTEGERS[flat.dtype]) if flat.dtype in _AS_INTEGERS else flat
        result = corten.from_numpy(carried.numpy().copy())
        if carried is not flat:
            result = result.view(dtype)
        if self.device != "cpu":
            result = result.to(self.device)
        result = result.as_strided(tuple(shape), strides, offset).detach()
        return result.requires_grad_() if value.requires_grad else result

    def module(self, value: torch.nn.Module) -> Any:
        """A module of the same class with the same options, for the classes that module_db passes."""
        name = type(value).__name__
        return named(f"nn.{name}")(**_OPTIONS.get(name, lambda module: {})(value))


def named(path: str, short: str = "") -> Any:
    """corten's object of a name below `torch`.

    Raises:
        Missing: where there is none.
    """
    for candidate in (path, f"nn.{short}") if short else (path,):
        try:
            return surface.resolve(corten, candidate)
        except AttributeError:
            continue
    raise Missing(f"corten.{path}")


_REBOUND: dict[int, tuple[Any, Any]] = {}


def rebound(value: Any) -> Any:
    """A function of PyTorch's tests that calls corten where the original calls PyTorch."""
    if id(value) not in _REBOUND:
        _REBOUND[id(value)] = (value, _rebind(value))
    return _REBOUND[id(value)][1]


def _rebind(value: Any) -> Any:
    if isinstance(value, types.ModuleType):
        root, _, path = value.__name__.partition(".")
        return value if root != "torch" else (named(path) if path else corten)
    if isinstance(value, functools.partial):
        return functools.partial(rebound(value.func), *map(rebound, value.args), **value.keywords)
    if path := public_path(value):
        return named(path)
    if isinstance(value, (torch.dtype, torch.memory_format)):
        return named(str(value).removeprefix("torch."))
    if not isinstance(value, types.FunctionType):
        return value
    if value.__name__ == "wrapper_set_seed":
        return _seeded
    return _rebind_function(value)


def _rebind_function(function: types.FunctionType) -> Callable[..., Any]:
    scope: dict[str, Any] = {"__builtins__": builtins}
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, _cells(function))
    copy.__kwdefaults__ = function.__kwdefaults__
    _REBOUND[id(function)] = (function, copy)  # before the scope is filled: functions may name each other
    for name in _names_in(function.__code__):
        if name in function.__globals__:
            scope[name] = rebound(function.__globals__[name])
    return copy


def _cells(function: types.FunctionType) -> tuple[types.CellType, ...]:
    return tuple(types.CellType(rebound(cell.cell_contents)) for cell in function.__closure__ or ())


def _names_in(code: types.CodeType) -> set[str]:
    inner = (_names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


def _seeded(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What op_db's `wrapper_set_seed` does."""
    corten.manual_seed(42)
    return op(*args, **kwargs)


@functools.cache
def _public() -> dict[int, str]:
    """Listed names by the identity of PyTorch's object, the functions first."""
    found: dict[int, str] = {}
    for path in sorted(surface.paths(), key=lambda path: (path.startswith("Tensor."), path)):
        try:
            value = surface.resolve(torch, path)
        except (AttributeError, ImportError):
            continue
        if callable(value):
            found.setdefault(id(value), path)
    return found


def public_path(value: Any) -> str:
    """The listed name of PyTorch's object, or "" where it has none."""
    try:
        return _public().get(id(value), "")
    except TypeError:
        return ""


def back(value: Any) -> torch.Tensor:
    """corten's tensor as PyTorch's, contiguous."""
    plain = value.detach()
    if plain.device.type != "cpu":
        plain = plain.cpu()
    name = dtype_name(plain)
    if name == "bfloat16":
        return torch.from_numpy(np.array(plain.float().numpy())).to(torch.bfloat16)
    if name == "complex32":
        return torch.view_as_complex(back(corten.view_as_real(plain)))
    return torch.from_numpy(np.array(plain.numpy()))


def dtype_name(value: Any) -> str:
    """`float32` for a tensor of either package."""
    return str(value.dtype).rsplit(".", 1)[-1]
