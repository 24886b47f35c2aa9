"""Methods of ``Tensor`` in Python: conversions to and from the outside, copies, storages, metadata changed in place."""

from .. import _core, _spoken
from ._common import Tensor, ops, scalar_name
from .pointwise import float_power


def type(self, dtype=None, non_blocking=False):
    """The name of the tensor's type, or the tensor in another dtype (a dtype, such a name, or a class of it).

    Raises:
        ValueError: there is no type of that name.
    """
    if dtype is None:
        place = "cuda." if self.is_cuda else "meta." if self.is_meta else ""
        return f"{_spoken.name}.{place}{scalar_name(self)}Tensor"
    if isinstance(dtype, _core.dtype):
        return self.to(dtype, non_blocking=non_blocking)
    from .._typed_tensors import find

    kind = find(dtype)
    return self.to("cuda" if kind.is_cuda else "cpu", kind.dtype, non_blocking=non_blocking)


class NoGpuError(AssertionError, RuntimeError):
    """There is no GPU: what PyTorch raises without CUDA, and with it where no GPU is found."""


def cuda(self, device=None, non_blocking=False, memory_format=None):
    """The tensor on a GPU.

    Raises:
        AssertionError: where there is none; a RuntimeError as well, as PyTorch with CUDA gives.
    """
    target = "cuda" if device is None else device
    try:
        return self.to(target, non_blocking=non_blocking)
    except RuntimeError as error:
        if "no GPU was found" not in str(error):
            raise
        raise NoGpuError(str(error)) from None


def numpy(self, *, force=False):
    """The tensor as an array on the same memory.

    Args:
        force: detaches and copies where that is needed.

    Raises:
        RuntimeError: for tensors that require grad, where gradients are recorded.
        TypeError: for bfloat16, which numpy does not have.
    """
    if force:
        return _core.to_numpy(self.detach().cpu())
    if self.requires_grad and _core.is_grad_enabled():
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    return _core.to_numpy(self)


def __array__(self, dtype=None, copy=None):
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError("a copy is needed to convert the tensor to another dtype")
        return array.astype(dtype)
    return array.copy() if copy else array


def __array_wrap__(self, array, context=None, return_scalar=False):
    """The result of a numpy function of this tensor, as a tensor."""
    from .creation import from_numpy

    return from_numpy(array.astype("uint8") if array.dtype == bool else array)


def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
    """The tensor as a DLPack capsule, on the same memory unless ``copy``."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if dl_device is not None and tuple(map(int, dl_device)) != (1, 0):
        raise BufferError(f"cannot export a CPU tensor to DLPack device {dl_device}")
    versioned = max_version is not None and max_version[0] >= 1
    return _core.to_dlpack(self.clone() if copy else self, versioned, bool(copy))


def __dlpack_device__(self):
    """The DLPack device: the CPU is (1, 0).

    Raises:
        ValueError: for a tensor on the device ``meta``, which DLPack does not know.
    """
    if self.is_meta:
        raise ValueError("Unknown device type meta for Dlpack")
    return (1, 0)


def __format__(self, spec):
    if self.dim() == 0 and self.__class__ is Tensor and not self.is_meta:
        return self.item().__format__(spec)
    return object.__format__(self, spec)


def __reversed__(self):
    return self if self.dim() == 0 else self.flip(list(range(self.dim())))


# -- copies ----------------------------------------------------------------------------------------------------------


def _whole(tensor):
    """Whether the tensor is all of its storage, in some order of dims."""
    size = tensor.numel() * tensor.element_size()
    return size == _core.storage_nbytes(tensor) and _is_dense(tensor)


def _is_dense(tensor):
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return tensor.numel() == 0
            expected *= size
    return tensor.storage_offset() == 0


def __deepcopy__(self, memo):
    """A copy with its own storage; tensors that share one share the copy too.

    Raises:
        RuntimeError: for tensors that have a history.
    """
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment."
        )
    import copy

    # Originals stay alive in the memo, so that identities are not reused.
    storages = memo.setdefault("corten storages", {})
    key = _core.storage_id(self)
    if key not in storages:
        plain = self.detach()
        if not _whole(plain):
            count = _core.storage_nbytes(plain) // plain.element_size()
            plain = _core.alias_tensor(plain, plain.dtype, 0, (count,), (1,))
        storages[key] = (plain.clone(), self)
    storage = storages[key][0]
    if storage.shape == self.shape and storage.stride() == self.stride() and storage.dtype == self.dtype:
        result = storage.detach()
    else:
        result = _core.alias_tensor(storage, self.dtype, self.storage_offset(), tuple(self.shape), self.stride())
    if self.__class__ is not Tensor:
        result = Tensor._make_subclass(self.__class__, result, self.requires_grad)
    elif self.requires_grad:
        result.requires_grad_()
    memo[id(self)] = result
    if self.grad is not None:
        result.grad = copy.deepcopy(self.grad, memo)
    if self.__dict__:
        result.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return result


def __copy__(self):
    """A tensor of its own on the same storage, as `copy.copy` makes in PyTorch."""
    result = self.detach()
    if self.__class__ is not Tensor:
        result = Tensor._make_subclass(self.__class__, result, self.requires_grad)
    elif self.requires_grad:
        result.requires_grad_()
    result.__dict__.update(self.__dict__)
    return result


def __reduce_ex__(self, protocol):
    if self.is_meta:
        facts = self.__class__, self.dtype, tuple(self.shape), self.stride(), self.requires_grad
        return _rebuild_meta, facts, dict(self.__dict__) or None
    plain = self.detach()
    if not _whole(plain):
        plain = plain.clone()
    rebuild = (
        self.__class__,
        bytes(_core.storage_bytes(plain.cpu())),
        self.dtype,
        tuple(self.shape),
        plain.stride(),
        self.requires_grad,
        str(self.device),
    )
    return _rebuild, rebuild, dict(self.__dict__) or None


def _rebuild(cls, data, dtype, size, stride, requires_grad, device="cpu"):
    """A tensor out of a pickle, on the device that it came from."""
    plain = _core.tensor_from_bytes(data, dtype, 0, size, stride).to(device)
    if cls is not Tensor:
        return Tensor._make_subclass(cls, plain, requires_grad)
    return plain.requires_grad_() if requires_grad else plain


def _rebuild_meta(cls, dtype, size, stride, requires_grad):
    """A tensor on the device ``meta`` out of a pickle, in a storage of its own."""
    plain = ops.empty_strided(size, stride, dtype=dtype, device="meta")
    if cls is not Tensor:
        return Tensor._make_subclass(cls, plain, requires_grad)
    return plain.requires_grad_(requires_grad)


# -- metadata and storage, in place ----------------------------------------------------------------------------------


def _check_leaf(self):
    if _core.is_grad_enabled() and self.requires_grad and self.is_leaf:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def float_power_(self, exponent):
    """In-place form of :func:`float_power`, for float64.

    Raises:
        RuntimeError: for other dtypes.
    """
    if self.dtype != _core.float64:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {scalar_name(self)} but the operation's result requires dtype "
            "Double"
        )
    return self._replace(float_power(self._snapshot(), exponent), "float_power")


def _view_in_place(name, doc):
    def method(self, *args, **kwargs):
        _check_leaf(self)
        self._become(getattr(self, name)(*args, **kwargs))
        return self

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = doc
    return method


t_ = _view_in_place("t", "Transposes a matrix in place.")
transpose_ = _view_in_place("transpose", "Swaps two dims in place.")
swapaxes_ = _view_in_place("swapaxes", "Swaps two dims in place.")
swapdims_ = _view_in_place("swapdims", "Swaps two dims in place.")
squeeze_ = _view_in_place("squeeze", "Drops dims of size 1 in place.")
unsqueeze_ = _view_in_place("unsqueeze", "Inserts a dim of size 1 in place.")
as_strided_ = _view_in_place("as_strided", "Turns the tensor into any window on its storage.")


def resize_(self, *sizes, memory_format=None):
    """Gives the tensor another size on its storage, which grows where that is needed; new elements are zero."""
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    sizes = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if any(size < 0 for size in sizes):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(sizes)}: {list(sizes)}")
    if sizes == tuple(self.shape) and memory_format is None:
        return self
    model = ops.empty(0, device="cpu").expand(0) if 0 in sizes else ops.empty(1, device="cpu").expand(sizes)
    stride = (
        ops.empty_like(model, memory_format=memory_format or _core.contiguous_format).stride()
        if model.numel()
        else (_row_major(sizes))
    )
    reach = 1 + sum((n - 1) * s for n, s in zip(sizes, stride, strict=True)) if 0 not in sizes else 0
    needed = (self.storage_offset() + reach) * self.element_size()
    if needed > _core.storage_nbytes(self):
        _core.resize_storage(self, needed)
    self._become(_core.alias_tensor(self, self.dtype, self.storage_offset(), sizes, stride))
    return self


def _row_major(sizes):
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def resize_as_(self, the_template, *, memory_format=None):
    """`resize_` to the size of another tensor."""
    return resize_(self, tuple(the_template.shape), memory_format=memory_format)


_ABSENT = object()


def set_(self, source=_ABSENT, storage_offset=_ABSENT, size=_ABSENT, stride=()):
    """Makes the tensor a window on the storage of another tensor, or on a storage; without one, an empty tensor.

    Args:
        source: the tensor or storage; alone, the window is that of the tensor, or all of the storage.
        storage_offset: the window's first element, given with ``size``.
        size: its shape.
        stride: of its dims, in elements; row-major where not given.

    Raises:
        TypeError: for other classes of arguments, and an offset without a size.
        RuntimeError: for another dtype, where one of both, the tensor or the storage, is on the device ``meta``, for
            negative numbers, another number of strides than sizes, and a leaf whose gradient autograd would record.
    """
    size = _checked_window(self, source, storage_offset, size, stride)
    if source is _ABSENT:
        source = ops.empty(0, dtype=self.dtype, device=self.device)
    if (source.device.type == "meta") != self.is_meta:
        raise RuntimeError(
            f"Attempted to set the storage of a tensor on device {self.device} to a storage on device {source.device}: "
            "the devices must match"
        )
    if isinstance(source, Tensor):
        if source.dtype != self.dtype:
            raise RuntimeError(f"Could not set tensor of type {source.dtype} to a tensor of type {self.dtype}")
        if size is None:
            return _with_window(self, source.detach())
        base = source
    else:
        base = source._tensor
    if size is None:
        storage_offset, size = 0, ((base.numel() * base.element_size()) // self.element_size(),)
    stride = tuple(stride or ()) or _row_major(size)
    return _with_window(self, _core.alias_tensor(base.detach(), self.dtype, storage_offset, size, stride))


def _checked_window(self, source, storage_offset, size, stride):
    """The size that `set_` was given as a tuple, None without one."""
    from ..storage import TypedStorage, UntypedStorage

    if source is not _ABSENT and not isinstance(source, (Tensor, TypedStorage, UntypedStorage)):
        raise TypeError(f"set_(): expected a Tensor or a Storage, got {source.__class__.__name__}")
    if (storage_offset is _ABSENT) != (size is _ABSENT) or (source is _ABSENT and size is not _ABSENT):
        raise TypeError("set_(): storage_offset and size are given together, after a Tensor or a Storage")
    if self.requires_grad and self.is_leaf and _core.is_grad_enabled():
        raise RuntimeError("set_(): a leaf Variable that requires grad is being used in an in-place operation.")
    if isinstance(source, TypedStorage) and source.dtype != self.dtype:
        raise RuntimeError(
            f"set_(): expected a Storage of type {self.dtype} or an UntypedStorage, but got {source.dtype}"
        )
    if size is _ABSENT:
        return None
    if isinstance(storage_offset, bool) or not hasattr(storage_offset, "__index__"):
        raise TypeError(f"set_(): storage_offset must be an int, not {storage_offset.__class__.__name__}")
    for name, value in (("size", size), ("stride", stride or ())):
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"set_(): {name} must be tuple of ints, not {value.__class__.__name__}")
    if stride and len(stride) != len(size):
        raise RuntimeError(f"set_(): unequal size length ({len(size)}) and stride length ({len(stride)})")
    if min((storage_offset, *size, *(stride or ()))) < 0:
        raise RuntimeError(
            f"set_(): negative numbers are no window: storage offset {storage_offset}, size {list(size)}, "
            f"stride {list(stride or ())}"
        )
    return tuple(size)


def _with_window(self, window):
    """The tensor, become another window; a leaf stays one that requires grad."""
    trained = self.requires_grad and self.is_leaf
    self._become(window)
    return self.requires_grad_() if trained else self


def untyped_storage(self):
    """The tensor's memory as bytes."""
    from ..storage import UntypedStorage

    return UntypedStorage._of(self)


def storage(self):
    """The tensor's memory as elements; warns once that it is deprecated."""
    from ..storage import TypedStorage, warn_of_typed_storage

    warn_of_typed_storage()
    return TypedStorage._of(self)


def storage_type(self):
    """The class of the tensor's storage; warns once that it is deprecated."""
    from ..storage import TypedStorage, warn_of_typed_storage

    warn_of_typed_storage()
    return TypedStorage


def is_shared(self):
    """Whether other processes see the tensor's memory."""
    from ..multiprocessing.reductions import is_shared

    return is_shared(self)


def share_memory_(self):
    """Moves the tensor's storage into memory that other processes see: those forked from this one, and those that
    `corten.multiprocessing` sends the tensor to. Returns the tensor."""
    from ..multiprocessing.reductions import is_shared, move_to_shared

    if self.is_meta:
        raise RuntimeError("share_memory_: a tensor on the device meta has no memory to share")
    if not is_shared(self):
        move_to_shared(self)
    return self


def pin_memory(self, device=None):
    """A copy whose `is_pinned` is True; the tensor itself where it is that already, or where there is no GPU.

    Transfers need no pinned memory, so the copy is there for programs that look, and for what they do to it.
    """
    if self.device.type != "cpu":
        raise RuntimeError(f"cannot pin memory of {self.device}: only tensors of the CPU can be pinned")
    if _core.is_page_locked(self) or not _core.gpu_count():
        return self
    copy = self.clone()
    _core.lock_pages(copy)
    return copy


def record_stream(self, stream):
    """Nothing: memory is used again in the order of the GPU's one queue."""


def is_pinned(self, device=None):
    """Whether the storage came from `pin_memory`, or from a function that was given ``pin_memory=True``."""
    return _core.is_page_locked(self)


# -- sizes, elements -------------------------------------------------------------------------------------------------


def sum_to_size(self, *size):
    """The sum over the dims in which ``size`` has 1 or nothing; a sum of integers and bools is int64."""
    size = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    shape = tuple(self.shape)
    lead = len(shape) - len(size)
    fits = lead >= 0 and all(n == m or n == 1 for n, m in zip(size, shape[lead:], strict=True))
    if not fits:
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(shape)}}}.")
    dims = list(range(lead)) + [lead + d for d, n in enumerate(size) if n == 1 and shape[lead + d] != 1]
    if not size:
        return self.sum()
    total = self.sum(dims, keepdim=True) if dims else self
    return total.reshape(size) if lead else total


def dim_order(self, *, ambiguity_check=False):
    """The dims in the order of their strides, outermost first."""
    strides, sizes = self.stride(), self.shape
    return tuple(sorted(range(self.dim()), key=lambda d: (-strides[d], -sizes[d] if strides[d] else 0)))


def apply_(self, callable):
    """Replaces every element by ``callable(element)``; slow, for the CPU only."""
    return _from_values(self, [callable(x) for x in self.detach().flatten().tolist()])


def map_(self, tensor, callable):
    """Replaces every element by ``callable(own, other)`` of two tensors of one shape (after broadcasting)."""
    other = tensor.expand(self.shape)
    pairs = zip(self.detach().flatten().tolist(), other.detach().flatten().tolist(), strict=True)
    return _from_values(self, [callable(x, y) for x, y in pairs])


def _from_values(self, values):
    if self.requires_grad and _core.is_grad_enabled():
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
    return self.copy_(_core.tensor(values, dtype=self.dtype, device=self.device).reshape(self.shape))


def new(self, *args, device=None):
    """A tensor of this dtype: of the given sizes, with the given data, or on the memory of another tensor."""
    device = self.device if device is None else device
    if not args:
        return ops.empty(0, dtype=self.dtype, device=device)
    if all(isinstance(arg, int) for arg in args):
        return ops.empty(args, dtype=self.dtype, device=device)
    (source,) = args
    if isinstance(source, Tensor):
        return source.detach()
    if hasattr(source, "numel") and isinstance(source, tuple):
        return ops.empty(tuple(source), dtype=self.dtype, device=device)
    return _core.tensor(source, dtype=self.dtype, device=device)


def get_device(self):
    """The number of the tensor's GPU, −1 for the CPU."""
    index = self.device.index
    return -1 if index is None or self.device.type == "cpu" else index
