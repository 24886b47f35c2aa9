"""Writes the pickle of a checkpoint under PyTorch's names, so that PyTorch reads it."""

import pickle
from collections import OrderedDict
from types import FunctionType
from typing import ClassVar

import corten

from . import names


class StoragePlace:
    """Stands in the pickle for a tensor's memory; ``key`` names its record."""

    __slots__ = ("dtype", "key", "location", "numel")

    def __init__(self, dtype, key, location, numel):
        self.dtype, self.key, self.location, self.numel = dtype, key, location, numel


# Types that reducer_override leaves to pickle at once: nearly everything in a checkpoint is one of them.
_PLAIN = frozenset((str, int, float, bool, type(None), bytes, list, tuple, dict, OrderedDict))


def short_name(value):
    """The name of a dtype or memory format without its module."""
    return str(value).rpartition(".")[2]


class Pickler(pickle._Pickler):
    """Pickles tensors as references to storages, and everything of corten by the name it has in PyTorch.

    The pickler written in Python is used because the other one imports each name it writes, and PyTorch need not be
    installed.

    Args:
        file: where to write.
        protocol: of the pickle.
        place_of: maps a tensor to the :class:`StoragePlace` of its storage.
        persistent_id_of: maps a place to the tuple that stands for it.
    """

    def __init__(self, file, protocol, place_of, persistent_id_of):
        super().__init__(file, protocol=protocol)
        self._place_of = place_of
        self._persistent_id_of = persistent_id_of

    def persistent_id(self, value):
        if type(value) is StoragePlace:
            return self._persistent_id_of(value)
        return None

    def reducer_override(self, value):
        kind = type(value)
        if kind in _PLAIN:
            return NotImplemented
        if isinstance(value, corten.Tensor):
            return self._reduce_tensor(value)
        if kind is names.Name:
            return value.name
        if kind is corten.dtype or kind is corten.memory_format:
            return short_name(value)
        if kind is corten.device:
            return names.DEVICE, (value.type,) if value.index is None else (value.type, value.index)
        if kind is corten.Size:
            return names.SIZE, (tuple(value),)
        if kind is corten.layout or value is corten.sparse_coo:
            return names.GET_LAYOUT, (f"torch.{short_name(value)}",)
        return NotImplemented

    def _reduce_tensor(self, tensor):
        # A class may name the tensor that is saved in its place.
        tensor = getattr(tensor, "_saved_as", tensor)
        if getattr(tensor, "is_uninitialized_tensor", False):
            return tensor.__reduce_ex__(self.proto)
        state = getattr(tensor, "__dict__", None)
        parts = getattr(tensor, "_sparse_parts", None)
        if parts is not None:
            # What the parts say is no attribute of the program's.
            state = {name: value for name, value in state.items() if name not in tensor._KEPT}
        if isinstance(tensor, corten.nn.Parameter):
            arguments = (tensor.data, tensor.requires_grad, OrderedDict())
            if state:
                return names.REBUILD_PARAMETER_WITH_STATE, (*arguments, dict(state))
            return names.REBUILD_PARAMETER, arguments
        if parts is not None:
            return self._rebuilt_sparse(parts, type(tensor), state)
        if tensor.is_meta:
            return self._rebuilt_meta(tensor, state)
        arguments = (
            self._place_of(tensor),
            tensor.storage_offset(),
            tuple(tensor.size()),
            tuple(tensor.stride()),
            tensor.requires_grad,
            # Hooks are functions and are not saved.
            OrderedDict(),
        )
        kind, rebuild = type(tensor), names.REBUILD_TENSOR_V2
        if short_name(tensor.dtype) not in names.STORAGE_NAMES:
            # Storages of such a dtype have no type of their own: bytes, and a tensor that says what they are.
            rebuild, arguments = names.REBUILD_TENSOR_V3, (*arguments, tensor.dtype)
        if kind is corten.Tensor and not state:
            return rebuild, arguments
        return names.REBUILD_FROM_TYPE, (rebuild, kind, arguments, dict(state or {}))

    def _rebuilt_sparse(self, parts, kind, state):
        """A sparse tensor: its layout, places, values and size; like PyTorch's it comes back without a history."""
        arguments = (corten.sparse_coo, parts)
        if not state:
            return names.REBUILD_SPARSE, arguments
        return names.REBUILD_FROM_TYPE, (names.REBUILD_SPARSE, corten.Tensor, arguments, state)

    def _rebuilt_meta(self, tensor, state):
        """A tensor on the device ``meta``: its facts and no storage, so tensors that shared one do not any more."""
        facts = (tensor.dtype, tuple(tensor.size()), tuple(tensor.stride()), tensor.requires_grad)
        if type(tensor) is corten.Tensor and not state:
            return names.REBUILD_META_TENSOR, facts
        return names.REBUILD_FROM_TYPE, (names.REBUILD_META_TENSOR, type(tensor), facts, dict(state or {}))

    def save_global(self, value, name=None):
        """Writes a name; those of corten become PyTorch's."""
        module, path = _foreign_name(value)
        if module is None:
            super().save_global(value, name)
            return
        if self.proto >= 4:
            self.save(module)
            self.save(path)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{path}\n".encode())
        self.memoize(value)

    # What the base class has put into its table is its own method, not the one above.
    def _save_type(self, value):
        if value is type(None):
            self.save_reduce(type, (None,), obj=value)
        elif value is type(NotImplemented) or value is type(...):
            super().save_type(value)
        else:
            self.save_global(value)

    def _save_function(self, value):
        self.save_global(value)

    dispatch: ClassVar[dict] = {**pickle._Pickler.dispatch}
    dispatch[type] = _save_type
    dispatch[FunctionType] = _save_function


def _foreign_name(value):
    """The module and name under which PyTorch knows ``value``; (None, None) for what is not corten's."""
    if type(value) is names.Name:
        return value.module, value.name
    if type(value) in (corten.dtype, corten.memory_format):
        return "torch", short_name(value)
    if value is corten.Tensor:
        return "torch", "Tensor"
    if value is corten.nn.Parameter:
        return "torch.nn.parameter", "Parameter"
    module = getattr(value, "__module__", None) or ""
    if module.startswith("corten.nn._functional."):
        return "torch.nn.functional", value.__qualname__
    if module == "corten" or module.startswith("corten."):
        # What the engine itself defines stands in PyTorch's top module.
        return "torch" + module.removeprefix("corten").removeprefix("._core"), value.__qualname__
    return None, None
