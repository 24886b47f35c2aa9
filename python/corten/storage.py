"""Storages: the memory of tensors, as bytes or as elements."""

import corten

__all__ = ["UntypedStorage", "TypedStorage"]


class _Storage:
    """What both kinds share: one flat tensor over the whole memory."""

    def _make(self, data, dtype, device):
        """Fresh memory for a number of elements, or for those of a sequence."""
        if isinstance(data, str) or not (hasattr(data, "__index__") or hasattr(data, "__len__")):
            raise TypeError(f"{type(self).__name__}: expected a size or a sequence, got {type(data).__name__}")
        if hasattr(data, "__index__"):
            tensor = corten.empty(int(data), dtype=dtype, device=device)
        else:
            tensor = corten.tensor(data, dtype=dtype, device=device).reshape(-1)
        self._tensor = type(self)._on(tensor, dtype)._tensor

    @classmethod
    def _on(cls, tensor, dtype):
        self = object.__new__(cls)
        count = corten._core.storage_nbytes(tensor) // dtype.itemsize
        self._tensor = corten._core.alias_tensor(tensor.detach(), dtype, 0, (count,), (1,))
        return self

    @property
    def _cdata(self):
        """A number that two storages share when they are the same memory."""
        return corten._core.storage_id(self._tensor)

    @property
    def device(self):
        """Where the memory is."""
        return self._tensor.device

    @property
    def is_cuda(self):
        """Whether the memory is a GPU's."""
        return self.device.type == "cuda"

    def nbytes(self):
        """The number of bytes."""
        return corten._core.storage_nbytes(self._tensor)

    def element_size(self):
        """Bytes per element."""
        return self._tensor.element_size()

    def size(self):
        """The number of elements."""
        return self.nbytes() // self.element_size()

    def __len__(self):
        return self.size()

    def data_ptr(self):
        """The address of the first byte, 0 on the device ``meta``; the memory stays there from now on."""
        return self._tensor.data_ptr()

    def get_device(self):
        """The number of the memory's GPU, −1 for the CPU."""
        return self._tensor.get_device()

    def tolist(self):
        """The elements as Python numbers."""
        return self._tensor.tolist()

    def __iter__(self):
        return iter(self.tolist())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._slice(index)
        return self._tensor[index].tolist()

    def _slice(self, index):
        """A range of the elements as a storage of its own size on the same memory."""
        start, stop, step = index.indices(self.size())
        if step != 1:
            raise RuntimeError(f"Trying to slice with a step of {step}, but only a step of 1 is supported")
        if self.device.type != "cpu":
            part = object.__new__(type(self))
            part._tensor = self._tensor[index]
            return part
        size = self.element_size()
        memory = corten._core.storage_part(self._tensor, start * size, max(stop - start, 0) * size)
        return type(self)._on(memory, self._tensor.dtype)

    def __setitem__(self, index, value):
        self._tensor[index] = value

    def fill_(self, value):
        """Overwrites every element."""
        self._tensor.fill_(value)
        return self

    def copy_(self, source, non_blocking=False):
        """Overwrites the elements with those of another storage."""
        self._tensor.copy_(source._tensor)
        return self

    def clone(self):
        """A copy in memory of its own."""
        return type(self)._on(self._tensor.clone(), self._tensor.dtype)

    def __copy__(self):
        return self.clone()

    def __deepcopy__(self, memo):
        copied = self._tensor.__deepcopy__(memo)
        return type(self)._on(copied, self._tensor.dtype)

    def __reduce__(self):
        return _rebuild, (type(self), self._tensor)

    def __eq__(self, other):
        return isinstance(other, _Storage) and self._cdata == other._cdata

    def __hash__(self):
        return hash(self._cdata)

    def cpu(self):
        """The storage on the CPU."""
        return self if self.device.type == "cpu" else self.to("cpu")

    def to(self, device):
        """The storage on a device."""
        return type(self)._on(self._tensor.to(device), self._tensor.dtype)

    def is_shared(self):
        """Whether other processes see the memory."""
        return self._tensor.is_shared()

    def share_memory_(self):
        """Moves the memory to where forked processes see it."""
        self._tensor.share_memory_()
        return self

    def is_pinned(self, device=None):
        """Whether the storage came from `pin_memory`."""
        return self._tensor.is_pinned()

    def pin_memory(self, device=None):
        """A copy whose `is_pinned` is True (`Tensor.pin_memory`)."""
        return type(self)._on(self._tensor.pin_memory(), self._tensor.dtype)

    def resize_(self, size):
        """Lengthens the storage to ``size`` elements.

        Raises:
            NotImplementedError: for fewer elements than there are: tensors may look at them.
        """
        if size < self.size():
            raise NotImplementedError("resize_: a storage that tensors may look at cannot be made shorter")
        corten._core.resize_storage(self._tensor, size * self.element_size())
        self._tensor = type(self)._on(self._tensor, self._tensor.dtype)._tensor
        return self

    def __repr__(self):
        from . import _spoken

        elements = "...\n" if self._tensor.is_meta else "".join(f" {value}\n" for value in self.tolist())
        return f"{elements}[{_spoken.name}.storage.{self._describe()}]"


class UntypedStorage(_Storage):
    """The bytes of a tensor's memory: ``tensor.untyped_storage()``, or fresh memory.

    Args:
        data: how many bytes, or a sequence of them.
        device: where the memory is.
    """

    def __init__(self, data=0, *, device=None):
        self._make(data, corten.uint8, device)

    @classmethod
    def _of(cls, tensor):
        return cls._on(tensor, corten.uint8)

    @classmethod
    def from_file(cls, filename, shared=False, nbytes=0):
        """The first bytes of a file as a storage: mapped, so that only what is looked at is read.

        Args:
            filename: the path.
            shared: whether writes go into the file, which is made or lengthened where it must be; else the storage
                alone has them.
            nbytes: how many bytes.

        Raises:
            RuntimeError: where the file cannot be opened, or is shorter and not shared.
        """
        return cls._of(_map_file(filename, shared, nbytes, corten.uint8))

    def untyped(self):
        """The storage itself."""
        return self

    def _describe(self):
        return f"UntypedStorage(device={self.device}) of size {self.nbytes()}"


def warn_of_typed_storage(stacklevel=2):
    """Warns once that storages will be bytes.

    Args:
        stacklevel: as for `warnings.warn`, counted from the caller.
    """
    from ._settings import warn_once

    warn_once(
        "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage "
        "class. This should only matter to you if you are using storages directly. To access UntypedStorage directly, "
        "use tensor.untyped_storage() instead of tensor.storage()",
        stacklevel + 1,
    )


class TypedStorage(_Storage):
    """The elements of a tensor's memory: ``tensor.storage()``, or fresh memory. Deprecated, as a first use warns.

    Args:
        data: how many elements, or a sequence of them.
        dtype: the elements' dtype, by default that of floating-point tensors.
        device: where the memory is.
        wrap_storage: a storage whose memory this one has, in place of ``data``.
    """

    def __init__(self, data=None, *, dtype=None, device=None, wrap_storage=None):
        warn_of_typed_storage()
        dtype = corten.get_default_dtype() if dtype is None else dtype
        if wrap_storage is None:
            self._make(0 if data is None else data, dtype, device)
            return
        if data is not None or device is not None or not isinstance(wrap_storage, UntypedStorage):
            raise RuntimeError("TypedStorage: wrap_storage is an UntypedStorage, given with a dtype alone")
        self._tensor = TypedStorage._on(wrap_storage._tensor, dtype)._tensor

    @classmethod
    def _of(cls, tensor):
        return cls._on(tensor, tensor.dtype)

    @property
    def dtype(self):
        """The elements' dtype."""
        return self._tensor.dtype

    def untyped(self):
        """The same memory as bytes."""
        return UntypedStorage._of(self._tensor)

    _untyped_storage = property(untyped)

    def _describe(self):
        return f"TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}"


def _map_file(filename, shared, size, dtype):
    """A vector ``(size,)`` of a dtype on a file's memory."""
    import mmap
    import os

    nbytes = size * dtype.itemsize
    if nbytes == 0:
        return corten.empty(0, dtype=dtype)
    try:
        descriptor = os.open(filename, (os.O_RDWR | os.O_CREAT if shared else os.O_RDONLY) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise RuntimeError(f"unable to open file <{os.fspath(filename)}>: {error.strerror}") from error
    try:
        there = os.fstat(descriptor).st_size
        if there < nbytes:
            if not shared:
                raise RuntimeError(f"file <{os.fspath(filename)}> has {there} bytes, {nbytes} are asked for")
            os.truncate(descriptor, nbytes)
        memory = mmap.mmap(descriptor, nbytes, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
    finally:
        os.close(descriptor)
    return corten.frombuffer(memory, dtype=dtype)


def _rebuild(cls, tensor):
    return cls._on(tensor, tensor.dtype)
