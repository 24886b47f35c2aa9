"""``save`` and ``load``: checkpoints in PyTorch's file format, which interchange with PyTorch both ways.

Loading never runs code from a file: the pickle inside is read by a machine that knows containers, numbers and tensors,
and raises for every other name. Saving to a path replaces the file only once the new one is complete.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import IO

import corten

__all__ = [
    "save",
    "load",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "set_crc32_options",
    "get_crc32_options",
    "safe_open",  # noqa: F822 - imported at its first use
]

# What `load` takes, for annotations.
FILE_LIKE = str | os.PathLike[str] | IO[bytes]
MAP_LOCATION = (
    Callable[[corten.UntypedStorage, str], corten.UntypedStorage] | corten.device | str | dict[str, str] | None
)

DEFAULT_PROTOCOL = 2
# First numbers of files in the format that preceded the zip container.
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001

_compute_crc32 = True


def __getattr__(name):
    if name == "safe_open":
        from .utils.serialization.safetensors import safe_open

        return safe_open
    from .utils.serialization import options

    if name in options.__all__:
        return getattr(options, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# -- the engine's side -----------------------------------------------------------------------------------------------


def _storage_key(tensor):
    """A number that two tensors share exactly when they share memory."""
    return tensor.untyped_storage()._cdata


def _storage_size(tensor):
    """Bytes in the whole storage of a tensor."""
    return tensor.untyped_storage().nbytes()


def _storage_data(tensor):
    """All bytes of a tensor's storage, also those the tensor does not show."""
    if tensor.device.type != "cpu":
        size = _storage_size(tensor)
        tensor = corten._core.alias_tensor(tensor, corten.uint8, 0, (size,), (1,)).cpu()
    return corten._core.storage_bytes(tensor)


def _tensor_from_data(data, dtype, offset, size, stride):
    """A tensor in new memory whose storage holds ``data``."""
    return corten._core.tensor_from_bytes(data, dtype, offset, tuple(size), tuple(stride))


def _tensor_on_data(data, dtype):
    """A flat tensor that uses the memory of ``data`` itself."""
    if len(data) == 0:
        return corten.empty(0, dtype=dtype)
    return corten.frombuffer(data, dtype=dtype)


def _alias(tensor, dtype, offset, size, stride):
    """Another tensor on the storage of ``tensor``."""
    return corten._core.alias_tensor(tensor, dtype, offset, tuple(size), tuple(stride))


# -- saving ----------------------------------------------------------------------------------------------------------


def save(
    obj,
    f,
    pickle_module=None,
    pickle_protocol=DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization=True,
    _disable_byteorder_record=False,
):
    """Saves an object with tensors in it to a file that PyTorch reads too.

    Tensors that share memory still share it once loaded. A path is replaced at the end and at once: when saving fails
    or is interrupted, the previous file stays as it was.

    Args:
        obj: containers, numbers, tensors, and anything that can be pickled.
        f: path, or file-like object with ``write``.
        pickle_module: accepted; the pickle is always written by corten.
        pickle_protocol: of the pickle, 1 or later; PyTorch's safe loader reads protocol 2.
        _use_new_zipfile_serialization: False writes the format that preceded the zip container.

    Raises:
        ValueError: for protocol 0, which cannot refer to tensors.
        RuntimeError: when the folder does not exist, and for tensors that view the same memory as different dtypes.
        AttributeError: for an ``f`` that is neither path nor file.

    Example:
        >>> corten.save({"weight": corten.ones(2)}, io.BytesIO())
    """
    if pickle_protocol == 0:
        raise ValueError("pickle protocol 0 cannot refer to tensors; use protocol 2")
    write = _write_zip if _use_new_zipfile_serialization else _write_legacy
    options = (obj, pickle_protocol, _disable_byteorder_record)
    if not isinstance(f, (str, os.PathLike)):
        if not hasattr(f, "write"):
            raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
        write(f, "archive", *options)
        return
    path = os.fspath(f)
    name = os.path.basename(path).rpartition(".")
    with _Replacement(path) as file:
        write(file, (name[0] or name[2]) if path.isascii() else "archive", *options)


class _Replacement:
    """A file written beside ``path`` that takes its place when the block ends without an error."""

    def __init__(self, path):
        # Links stay links: what they point to is replaced.
        self._path = os.path.realpath(path)
        self._temporary = None

    def __enter__(self):
        path = self._path
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise RuntimeError(f"Parent directory {folder} does not exist.")
        if os.path.exists(path) and not os.path.isfile(path):
            # Devices and pipes cannot be replaced; folders raise.
            self._file = open(path, "wb")
            return self._file
        temporary = os.path.join(folder, f".{os.path.basename(path)[:200]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
        try:
            self._file = open(temporary, "xb")
        except PermissionError:
            if not os.path.exists(path):
                raise
            # The file may be written although its folder may not.
            self._file = open(path, "wb")
            return self._file
        self._temporary = temporary
        return self._file

    def __exit__(self, kind, error, traceback):
        if self._temporary is None:
            self._file.close()
            return
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                if os.path.exists(self._path):
                    os.chmod(self._temporary, os.stat(self._path).st_mode & 0o7777)
                os.replace(self._temporary, self._path)
                self._temporary = None
                _sync_folder(os.path.dirname(self._path))
        finally:
            if self._temporary is not None:
                # A full disk refuses the rest of the buffer; the first error is the one to report.
                with contextlib.suppress(OSError):
                    self._file.close()
                os.unlink(self._temporary)


def _sync_folder(folder):
    """Makes the new name durable, where folders can be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        # Some file systems do not sync folders; the data itself is safe.
        pass
    finally:
        os.close(descriptor)


class _Storages:
    """The storages met while pickling, in the order of their keys.

    Holds one tensor of each storage, so that none is freed, and another allocated at its place, before it is written.
    """

    def __init__(self):
        self.tensors = []
        self._keys = {}

    def place(self, tensor):
        from .utils.serialization.pickler import StoragePlace, short_name

        identity = _storage_key(tensor)
        index = self._keys.setdefault(identity, len(self.tensors))
        if index == len(self.tensors):
            self.tensors.append(tensor)
        elif self.tensors[index].dtype != tensor.dtype and _storage_size(tensor) > 0:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        numel = _storage_size(tensor) // _file_element_size(tensor)
        # PyTorch knows GPUs by this name.
        location = str(tensor.device).replace("gpu", "cuda")
        return StoragePlace(short_name(tensor.dtype), str(index), location, numel)


def _file_element_size(tensor):
    """The size of what a storage is counted in: elements, or bytes where files have no type for them."""
    from .utils.serialization import names
    from .utils.serialization.pickler import short_name

    return tensor.element_size() if short_name(tensor.dtype) in names.STORAGE_NAMES else 1


def _pickle(obj, protocol, storages, with_view):
    from .utils.serialization import names
    from .utils.serialization.pickler import Pickler

    def persistent_id(place):
        name = names.STORAGE_NAMES.get(place.dtype)
        # PyTorch's reader of the older format has no untyped storages: there they are said to be of bytes.
        untyped = names.STORAGES["ByteStorage"] if with_view else names.UNTYPED_STORAGE
        storage_type = names.STORAGES[name] if name else untyped
        identity = ("storage", storage_type, place.key, place.location, place.numel)
        return (*identity, None) if with_view else identity

    buffer = io.BytesIO()
    Pickler(buffer, protocol, storages.place, persistent_id).dump(obj)
    return buffer.getvalue()


def _write_zip(file, name, obj, protocol, without_byteorder):
    from .utils.serialization.archive import ALIGNMENT, ArchiveWriter
    from .utils.serialization.options import _Chosen

    storages = _Storages()
    data = _pickle(obj, protocol, storages, with_view=False)
    archive = ArchiveWriter(file, name, _compute_crc32)
    archive.add("data.pkl", data)
    archive.add(".format_version", b"1")
    archive.add(".storage_alignment", str(ALIGNMENT).encode())
    if not without_byteorder:
        archive.add("byteorder", sys.byteorder.encode())
    for key, tensor in enumerate(storages.tensors):
        skipped = _Chosen.skips_data
        archive.add(f"data/{key}", bytes(_storage_size(tensor)) if skipped else _storage_data(tensor))
    archive.close()


def _write_legacy(file, name, obj, protocol, without_byteorder):
    import pickle
    import struct

    storages = _Storages()
    data = _pickle(obj, protocol, storages, with_view=True)
    system = {
        "protocol_version": PROTOCOL_VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for header in (MAGIC_NUMBER, PROTOCOL_VERSION, system):
        file.write(pickle.dumps(header, protocol))
    file.write(data)
    order = sorted(range(len(storages.tensors)), key=str)
    file.write(pickle.dumps([str(key) for key in order], protocol))
    for key in order:
        tensor = storages.tensors[key]
        file.write(struct.pack("=q", _storage_size(tensor) // _file_element_size(tensor)))
        file.write(_storage_data(tensor))


def set_crc32_options(compute_crc32):
    """Chooses whether :func:`save` computes checksums, with which :func:`load` finds damage."""
    global _compute_crc32
    _compute_crc32 = compute_crc32


def get_crc32_options():
    """Whether :func:`save` computes checksums."""
    return _compute_crc32


# -- loading ---------------------------------------------------------------------------------------------------------


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, **pickle_load_args):
    """Loads what :func:`save`, PyTorch, numpy or safetensors has saved. Runs no code from the file.

    Of an ``.npz`` file and of a path that ends in ``.safetensors`` the result is a dictionary of tensors, of an
    ``.npy`` file one tensor; :class:`safe_open` reads the tensors of a safetensors file one by one.

    Args:
        f: path, or file-like object that can be read and sought.
        map_location: device for all tensors, a dictionary from devices in the file to devices, or a function
            ``(storage, location) -> storage``; None puts tensors where they were. What goes to ``meta`` is not read.
        pickle_module: must be None or ``pickle``: what is in the file is never handed to another unpickler.
        weights_only: False also allows the module classes of ``corten.nn``, and of the standard library ``datetime``,
            ``pathlib``, ``decimal``, ``fractions``, ``uuid``, ``collections.deque``, ``range`` and namespaces. Other
            classes are allowed by :func:`add_safe_globals`, in either case.
        mmap: maps the file instead of reading it: tensors use its pages, changes stay in memory. For zip checkpoints,
            safetensors and ``.npy`` files.

    Raises:
        UnpicklingError: for names that are not allowed, damaged pickles, and numpy's arrays of Python objects.
        EOFError: for empty files.
        RuntimeError: for files that are cut short or otherwise damaged, and for devices that are not there.
        FileNotFoundError: when there is no such file.
    """
    import pickle

    if weights_only is None:
        weights_only = pickle_module is None
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if pickle_module is not None and pickle_module is not pickle:
        raise RuntimeError(
            "load never hands a file to another unpickler, because unpicklers run code: leave pickle_module out and "
            "allow the classes in the file with corten.serialization.add_safe_globals"
        )
    known = map_location is None or isinstance(map_location, (str, bytes, dict, corten.device))
    if not known and not callable(map_location):
        kind = type(map_location).__name__
        raise TypeError(f"map_location must be a device, a dictionary or a function, not {kind}")
    is_path = isinstance(f, (str, os.PathLike))
    if is_path and os.fspath(f).endswith(".safetensors"):
        from .utils.serialization import safetensors

        return safetensors.load(f, _device_for("safetensors", map_location), mmap)
    if mmap and not is_path:
        raise ValueError("f must be a file path in order to use the mmap argument")
    if is_path:
        with open(f, "rb") as file:
            return _load(file, map_location, weights_only, mmap)
    for name in ("read", "seek", "tell"):
        if not hasattr(f, name):
            raise AttributeError(
                f"{type(f).__name__!r} object has no attribute {name!r}. You can only load from a file that is "
                "seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
            )
    return _load(f, map_location, weights_only, mmap)


def _device_for(kind, map_location):
    """The device that ``map_location`` names, for files that say nothing of devices; None for the CPU."""
    if map_location is not None and not isinstance(map_location, (str, bytes, corten.device)):
        raise RuntimeError(
            f"Loading {kind} files with a dictionary or function as map_location is not supported. Use a device "
            "string or corten.device instead."
        )
    device = map_location.decode("ascii") if isinstance(map_location, bytes) else map_location
    return None if device is None else _check_device(str(device))


def _load(file, map_location, weights_only, mmap):
    from pickle import UnpicklingError

    from .utils.serialization import numpy_files

    head = numpy_files.readable(file)
    if not head:
        raise EOFError("Ran out of input: the file is empty")
    if head.startswith(numpy_files.MAGIC):
        return numpy_files.load_array(file, _device_for("npy", map_location), mmap)
    try:
        if numpy_files.is_archive(head):
            if mmap:
                raise RuntimeError("the arrays of npz files do not lie where they could be mapped; leave out mmap")
            return numpy_files.load_archive(file, _device_for("npz", map_location))
        if head.startswith(b"PK\x03\x04"):
            return _ZipLoader(file, map_location, weights_only, mmap).load()
        if mmap:
            raise RuntimeError(
                "mmap can only be used with files saved with "
                "`corten.save(..., _use_new_zipfile_serialization=True)`, please save your checkpoint with this "
                "option in order to use mmap."
            )
        return _LegacyLoader(file, map_location, weights_only).load()
    except (UnpicklingError, EOFError) as error:
        prefix = "Weights only load failed: " if weights_only else "Load failed: "
        raise UnpicklingError(f"{prefix}{error}") from error.__cause__


class _Storage:
    """A storage of the file: its bytes, and once a tensor needs them, a tensor that holds them."""

    def __init__(self, dtype, numel, location):
        self.dtype = dtype
        self.numel = numel
        self.location = location
        self.data = None
        self.tensor = None

    @property
    def size(self):
        """Bytes in the storage."""
        return self.numel * _element_size(self.dtype)


def _element_size(dtype):
    return dtype.itemsize


class _Loader:
    """What both formats share: tensors out of storages, on the right device."""

    def __init__(self, map_location, weights_only):
        from .utils.serialization.names import Names

        self._map_location = map_location
        self._names = Names(self, with_modules=not weights_only)
        self._storages = {}

    def _unpickle(self, source):
        from .utils.serialization.unpickler import Unpickler

        return _without_storages(Unpickler(source, self._names, self._persistent_load).load())

    def _describe(self, identity, length):
        """Checks a persistent id; returns the dtype, key, location and number of elements, and what follows."""
        from pickle import UnpicklingError

        from .utils.serialization.names import dtype_of_storage

        if len(identity) != length or identity[0] != "storage":
            raise UnpicklingError("Only persistent_load of storage is allowed, but got something else")
        _, storage_type, key, location, numel, *rest = identity
        if type(key) is not str or type(location) is not str or type(numel) is not int or numel < 0:
            raise UnpicklingError("the pickle is damaged (a storage is not described properly)")
        return dtype_of_storage(storage_type), key, location, numel, rest

    def tensor(self, storage, offset, size, stride, dtype=None):
        """A tensor on ``storage``; everything is checked to lie inside it."""
        from pickle import UnpicklingError

        if not isinstance(storage, _Storage):
            raise UnpicklingError(f"a tensor needs a storage, but got {type(storage)}")
        dtype = storage.dtype if dtype is None else dtype
        if not isinstance(dtype, corten.dtype):
            raise UnpicklingError(f"a tensor needs a dtype, but got {type(dtype)}")
        if not isinstance(size, (tuple, list)) or not isinstance(stride, (tuple, list)):
            raise UnpicklingError("the size or stride of a tensor is no tuple")
        size, stride = tuple(size), tuple(stride)
        if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
            raise UnpicklingError("the size, stride or offset of a tensor is not valid")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        if 0 not in size and (last + 1) * _element_size(dtype) > storage.size:
            raise RuntimeError(
                f"the file is damaged: a tensor of size {list(size)} and stride {list(stride)} at offset {offset} "
                f"reaches outside its storage of {storage.numel} elements"
            )
        if storage.tensor is None:
            moved = self._place(storage, dtype, offset, size, stride)
            if moved is not None:
                return moved
        return _alias(storage.tensor, dtype, offset, size, stride)

    def _place(self, storage, dtype, offset, size, stride):
        """Puts a storage into memory, on its device; returns the tensor where that made it already."""
        target = self._device_of(storage)
        data, storage.data = storage.data, None
        if _is_meta(target):
            storage.tensor = corten.empty(storage.numel, dtype=storage.dtype, device=target)
            return None
        if target is None and not self._maps_memory() and dtype == storage.dtype:
            storage.tensor = _tensor_from_data(data, dtype, offset, size, stride)
            return storage.tensor
        if self._maps_memory():
            storage.tensor = _tensor_on_data(data, storage.dtype)
        else:
            storage.tensor = _tensor_from_data(data, storage.dtype, 0, (storage.numel,), (1,))
        if callable(target):
            target = target(storage.tensor)
        if target is not None:
            storage.tensor = storage.tensor.to(target)
        return None

    def _maps_memory(self):
        return False

    def _device_of(self, storage):
        """Where a storage goes: None for the CPU, a device, or a function of the loaded tensor that returns one."""
        location, rule = storage.location, self._map_location
        if rule is None:
            return _check_device(location)
        if isinstance(rule, dict):
            return _check_device(str(rule.get(location, location)))
        if isinstance(rule, (str, corten.device)):
            return _check_device(str(rule))
        if isinstance(rule, bytes):
            return _check_device(rule.decode("ascii"))

        def ask(tensor):
            result = rule(tensor.untyped_storage(), location)
            return _check_device(location if result is None else str(result.device))

        return ask


def _is_meta(target):
    """Whether what goes to this place leaves its data behind."""
    return isinstance(target, corten.device) and target.type == "meta"


def _check_device(location):
    """None for the CPU, else the device.

    Raises:
        RuntimeError: for a device that is not there.
    """
    if location == "cpu":
        return None
    if location.partition(":")[0] in ("cuda", "gpu") and not corten.gpu.is_available():
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but corten.cuda.is_available() is False. If you are "
            "running on a CPU-only machine, please use corten.load with map_location=corten.device('cpu') to map your "
            "storages to the CPU."
        )
    try:
        return corten.device(location)
    except (RuntimeError, ValueError) as error:
        raise RuntimeError(
            f"don't know how to restore data location of storage (tagged with {location}): {error}"
        ) from None


def _without_storages(value):
    """Turns storages that were saved by themselves into storage objects, in containers too.

    Rebuilt tensors have used up theirs; only bare ones are left in ``value``, and files rarely have any.
    """
    if isinstance(value, _Storage):
        if value.tensor is None:
            value.tensor = _tensor_from_data(value.data, value.dtype, 0, (value.numel,), (1,))
        return value.tensor.untyped_storage()
    todo = [value]
    seen = set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            pairs = item.items()
        elif isinstance(item, list):
            pairs = enumerate(item)
        else:
            continue
        for key, member in list(pairs):
            if isinstance(member, _Storage):
                item[key] = _without_storages(member)
            elif isinstance(member, tuple) and any(isinstance(part, _Storage) for part in member):
                item[key] = tuple(_without_storages(part) if isinstance(part, _Storage) else part for part in member)
            elif isinstance(member, (dict, list)):
                todo.append(member)
    return value


class _ZipLoader(_Loader):
    """Reads the zip container."""

    def __init__(self, file, map_location, weights_only, mmap):
        from .utils.serialization.archive import ArchiveReader

        super().__init__(map_location, weights_only)
        self._archive = ArchiveReader(file)
        self._memory = None
        if mmap:
            import mmap as memory_map

            self._memory = memoryview(memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY))

    def load(self):
        from .utils.serialization.options import file_order
        from .utils.serialization.unpickler import Source

        archive = self._archive
        if "constants.pkl" in archive:
            raise RuntimeError(
                "Cannot load TorchScript archives: they hold programs. Save the state_dict of the module instead."
            )
        if "byteorder" in archive:
            order = bytes(archive.read("byteorder"))
            if order not in (b"little", b"big"):
                raise ValueError(f"Unknown endianness type: {order.decode(errors='replace')}")
            self._swap = order.decode() != sys.byteorder
        else:
            self._swap = sys.byteorder != file_order()
        return self._unpickle(Source(io.BytesIO(archive.read("data.pkl"))))

    def _maps_memory(self):
        return self._memory is not None and not self._swap

    def _persistent_load(self, identity):
        dtype, key, location, numel, _ = self._describe(identity, 5)
        storage = self._storages.get(key)
        if storage is None:
            storage = self._storages[key] = _Storage(dtype, numel, location)
            if not _is_meta(self._device_of(storage)):
                storage.data = self._read(f"data/{key}", storage)
        elif storage.dtype != dtype:
            raise RuntimeError(f"the file is damaged: storage {key} has two dtypes, {storage.dtype} and {dtype}")
        return storage

    def _read(self, name, storage):
        size = self._archive.size(name)
        if size != storage.size:
            raise RuntimeError(
                f"record size ({size} bytes) does not match expected size ({storage.size} bytes = {storage.numel} "
                f"elements * {_element_size(storage.dtype)} bytes/element) for dtype {storage.dtype}"
            )
        from .utils.serialization.memory import swapped
        from .utils.serialization.options import _Chosen

        if _Chosen.skips_data:
            return bytearray(size)
        if self._memory is not None:
            offset, _ = self._archive.location(name)
            data = self._memory[offset : offset + size]
        else:
            data = self._archive.read(name)
        return swapped(data, storage.dtype) if self._swap else data


class _LegacyLoader(_Loader):
    """Reads the format of PyTorch before 1.6: pickles one after another, then the storages.

    The pickle with the tensors stands before their data, so it is read twice: once for the ids of the storages, and
    again when the data is there.
    """

    def __init__(self, file, map_location, weights_only):
        super().__init__(map_location, weights_only)
        self._file = file

    def _next(self, cls):
        from .utils.serialization.unpickler import Source

        return cls(Source(self._file), self._names, self._persistent_load).load()

    def load(self):
        from .utils.serialization.unpickler import NameOnlyUnpickler, Source, Unpickler

        self._check_header(Unpickler)
        start = self._file.tell()
        self._next(NameOnlyUnpickler)
        keys = self._next(Unpickler)
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise RuntimeError("the file is damaged: the list of storages is none")
        for key in keys:
            self._read(key)
        self._file.seek(start)
        return self._unpickle(Source(self._file))

    def _check_header(self, unpickler):
        from .utils.serialization.names import describe

        start = self._file.tell()
        head = self._file.read(262 + start)
        self._file.seek(start)
        if head[257:262] == b"ustar":
            raise RuntimeError("Cannot load files in the legacy .tar format: load and save them again with PyTorch.")
        if self._next(unpickler) != MAGIC_NUMBER:
            raise RuntimeError("Invalid magic number; corrupt file?")
        version = self._next(unpickler)
        if version != PROTOCOL_VERSION:
            raise RuntimeError(f"Invalid protocol version: {describe(version)}")
        system = self._next(unpickler)
        little = isinstance(system, dict) and system.get("little_endian", True)
        self._swap = bool(little) != (sys.byteorder == "little")

    def _persistent_load(self, identity):
        from pickle import UnpicklingError

        dtype, key, location, numel, rest = self._describe(identity, 6)
        if rest[0] is not None:
            raise UnpicklingError("views of storages, as PyTorch 0.1 wrote them, are not supported")
        storage = self._storages.get(key)
        if storage is None:
            storage = self._storages[key] = _Storage(dtype, numel, location)
        elif storage.dtype != dtype:
            raise RuntimeError(f"the file is damaged: storage {key} has two dtypes, {storage.dtype} and {dtype}")
        return storage

    def _read(self, key):
        import struct

        from .utils.serialization.memory import swapped
        from .utils.serialization.unpickler import Source

        storage = self._storages.get(key)
        if storage is None:
            raise RuntimeError(f"the file is damaged: it has data for storage {key!r:.40}, which nothing uses")
        source = Source(self._file)
        numel = struct.unpack("<q", source.read(8))[0]
        if numel != storage.numel:
            raise RuntimeError(f"the file is damaged: storage {key} has {numel} elements instead of {storage.numel}")
        data = source.read(storage.size)
        storage.data = swapped(data, storage.dtype) if self._swap else data


# -- names that files may use ----------------------------------------------------------------------------------------


def add_safe_globals(safe_globals):
    """Allows files to name these classes and functions, and to call them with arguments from the file.

    Args:
        safe_globals: classes and functions, or pairs of one and its full name in the file.
    """
    from .utils.serialization.names import allow

    allow(safe_globals)


def clear_safe_globals():
    """Takes back everything that :func:`add_safe_globals` allowed."""
    from .utils.serialization.names import disallow_all

    disallow_all()


def get_safe_globals():
    """What :func:`add_safe_globals` allowed."""
    from .utils.serialization.names import allowed_by_user

    return allowed_by_user()


class safe_globals:
    """Allows files to name these classes and functions inside a ``with`` block."""

    def __init__(self, safe_globals):
        self.safe_globals = safe_globals

    def __enter__(self):
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exception):
        from .utils.serialization.names import disallow

        disallow(self.safe_globals)


def get_unsafe_globals_in_checkpoint(f):
    """The names in a zip checkpoint that :func:`load` would refuse, in order of the alphabet."""
    import pickletools
    from pickle import UnpicklingError

    from .utils.serialization.archive import ArchiveReader
    from .utils.serialization.names import Names

    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return get_unsafe_globals_in_checkpoint(io.BytesIO(file.read()))
    names = Names(None)
    unsafe = set()
    texts = []
    for opcode, argument, _ in pickletools.genops(bytes(ArchiveReader(f).read("data.pkl"))):
        if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"):
            texts.append(argument)
        if opcode.name == "GLOBAL":
            path = argument.replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL" and len(texts) >= 2:
            path = f"{texts[-2]}.{texts[-1]}"
        else:
            continue
        try:
            names.find(path)
        except UnpicklingError:
            unsafe.add(path)
    return sorted(unsafe)
