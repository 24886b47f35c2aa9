"""`PyTorchFileWriter` and `PyTorchFileReader`: the records of checkpoints' zip files, one by one."""

import ctypes
import mmap
import os
import sys
import weakref

from ... import _core
from ...storage import TypedStorage, UntypedStorage
from .archive import ALIGNMENT, WRITE_VERSION, ArchiveReader, ArchiveWriter, data_offset

_LAST = ("version", ".data/serialization_id")


def _bytes_of(name, data, size):
    """The first ``size`` bytes of what a record is to hold."""
    if isinstance(data, int) and not isinstance(data, bool):
        return ctypes.string_at(data, size)
    if isinstance(data, str):
        data = data.encode()
    elif isinstance(data, (UntypedStorage, TypedStorage)):
        data = _core.storage_bytes(_tensor_of(data))
    elif not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"PyTorchFileWriter.write_record: record {name!r} has to be a str, bytes, a storage or the address of "
            f"memory, got {type(data).__name__}"
        )
    view = memoryview(data).cast("B")
    if not 0 <= size <= view.nbytes:
        raise ValueError(f"PyTorchFileWriter.write_record: {size} bytes of record {name!r}, which has {view.nbytes}")
    return view[:size]


def _tensor_of(storage):
    untyped = storage if isinstance(storage, UntypedStorage) else storage.untyped()
    return untyped.cpu()._tensor


class PyTorchFileWriter:
    """Writes records into a zip file, uncompressed and each at a multiple of ``storage_alignment`` bytes.

    The folder that all records are in has the name of the file, or ``archive``. The file is complete once
    :meth:`write_end_of_file` was called.

    Args:
        file: path, or object with ``write``.
        compute_crc32: whether readers can find damage.
        storage_alignment: in bytes.

    Raises:
        RuntimeError: the folder of the path does not exist.
        AttributeError: ``file`` cannot be written to.

    Example:
        >>> file = io.BytesIO()
        >>> writer = corten.PyTorchFileWriter(file)
        >>> writer.write_record("greeting", b"hello", 5)
        >>> writer.write_end_of_file()
        >>> file.seek(0)
        0
        >>> corten.PyTorchFileReader(file).get_record("greeting")
        b'hello'
    """

    def __init__(self, file, compute_crc32=True, storage_alignment=ALIGNMENT):
        if storage_alignment < 1:
            raise ValueError(f"PyTorchFileWriter: storage_alignment has to be positive, got {storage_alignment}")
        self._name, self._opened = "archive", None
        if isinstance(file, (str, os.PathLike)):
            path = os.path.abspath(file)
            if not os.path.isdir(os.path.dirname(path)):
                raise RuntimeError(f"Parent directory {os.path.dirname(path)} does not exist.")
            stem, _, extension = os.path.basename(path).rpartition(".")
            self._name = stem or extension
            file = open(path, "wb")  # noqa: SIM115  (open until the writer is done)
            self._opened = weakref.finalize(self, file.close)
        elif not hasattr(file, "write"):
            raise AttributeError(f"{type(file).__name__!r} object has no attribute 'write'")
        self._archive = ArchiveWriter(file, self._name, compute_crc32, storage_alignment)
        self._written: dict[str, None] = {}
        self._ended = False

    def archive_name(self):
        """The folder that all records are in."""
        return self._name

    def write_record(self, name, data, size):
        """Writes the first ``size`` bytes of a str, bytes, a storage, or of memory at an address.

        Raises:
            RuntimeError: there is a record of that name, or the file is complete.
            ValueError: there are less bytes.
        """
        self._begin(name)
        self._archive.add(name, _bytes_of(name, data, size))
        self._written[name] = None

    def write_record_metadata(self, name, size):
        """Leaves room for a record of ``size`` bytes, which are zero."""
        self._begin(name)
        if size:
            with mmap.mmap(-1, size) as zeros, memoryview(zeros) as view:
                self._archive.add(name, view)
        else:
            self._archive.add(name, b"")
        self._written[name] = None

    def _begin(self, name):
        if self._ended:
            raise RuntimeError(f"PyTorchFileWriter: record {name!r} comes after write_end_of_file()")
        if name in self._written or name in _LAST:
            raise RuntimeError(f"Tried to serialize file twice: {name}")

    def set_min_version(self, version):
        """Says that readers have to know a version of the format, where it is later than the usual one."""
        self._archive.version = max(self._archive.version, int(version), WRITE_VERSION)

    def write_end_of_file(self):
        """Writes the byte order, the version, the identification and the directory, and closes a file that it opened.

        Raises:
            RuntimeError: the file is complete.
        """
        if self._ended:
            raise RuntimeError("PyTorchFileWriter: write_end_of_file() was called before")
        self._ended = True
        self._archive.close(None if "byteorder" in self._written else sys.byteorder)
        self._written.update(dict.fromkeys(("byteorder", *_LAST)))
        if self._opened is not None:
            self._opened()

    def get_all_written_records(self):
        """The names of the records so far, as a set."""
        return set(self._written)

    def serialization_id(self):
        """40 digits that names and contents of the records decide; "" before the file is complete."""
        return self._archive.identification if self._ended else ""


class PyTorchFileReader:
    """Reads records of a zip file that :class:`PyTorchFileWriter`, `save` or PyTorch has written.

    Args:
        file: path, or object with ``read``, ``seek`` and ``tell``, which is read from its position to its end.

    Raises:
        RuntimeError: there is no such file, or it is damaged.
        AttributeError: ``file`` cannot be read.
    """

    def __init__(self, file):
        if isinstance(file, (str, os.PathLike)):
            try:
                file = open(file, "rb")  # noqa: SIM115  (open as long as the reader lives)
            except OSError as error:
                raise RuntimeError(f"PyTorchFileReader: {file} cannot be opened: {error.strerror}") from None
            weakref.finalize(self, file.close)
        for name in ("tell", "seek", "read"):
            if not hasattr(file, name):
                raise AttributeError(f"{type(file).__name__!r} object has no attribute {name!r}")
        self._archive = ArchiveReader(file)

    def get_all_records(self):
        """The names of all records."""
        return self._archive.names()

    def has_record(self, name):
        """Whether there is a record."""
        return name in self._archive

    def get_record(self, name):
        """The bytes of a record, whose checksum is compared.

        Raises:
            RuntimeError: there is none, or it is damaged; also in the other methods.
        """
        return bytes(self._archive.read(name))

    def get_record_size(self, name):
        """The number of bytes of a record."""
        return self._archive.size(name)

    def get_record_offset(self, name):
        """Where the bytes of a record begin in the file."""
        return self._archive.location(name)[0]

    def get_record_header_offset(self, name):
        """Where the header of a record begins in the archive."""
        return self._archive.header_offset(name)

    def get_record_offset_no_read(self, cursor, filename, size, storage_alignment):
        """Where the bytes of a record begin whose header is at ``cursor``, by the sizes alone."""
        return data_offset(cursor, f"{self._archive.name}/{filename}".encode(), size, storage_alignment)

    def get_storage_from_record(self, name, numel, dtype):
        """An empty tensor whose storage holds a record.

        Args:
            numel: the number of elements.
            dtype: their dtype, or `UntypedStorage` for bytes.

        Raises:
            RuntimeError: the record is of another size.
        """
        dtype = _core.uint8 if dtype is UntypedStorage else dtype
        size, expected = self._archive.size(name), numel * dtype.itemsize
        if size != expected:
            raise RuntimeError(
                f"record size ({size} bytes) does not match expected size ({expected} bytes = {numel} elements * "
                f"{dtype.itemsize} bytes/element) for dtype {dtype}"
            )
        return _core.tensor_from_bytes(bytes(self._archive.read(name)), dtype, 0, (0,), (1,))

    def serialization_id(self):
        """The identification that the writer made; "" where there is none."""
        name = ".data/serialization_id"
        return self.get_record(name).decode() if self.has_record(name) else ""
