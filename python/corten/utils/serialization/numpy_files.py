"""Reads numpy's files: a ``.npy`` file holds one array, an ``.npz`` file is a zip archive of such files.

Arrays of Python objects are pickles and are refused, so nothing in a file runs. Source: the format's description in
NEP 1, https://numpy.org/neps/nep-0001-npy-format.html.
"""

import ast
import io
import math
import mmap
import struct
import sys

import corten

from .archive import ArchiveReader, damaged
from .memory import contiguous_stride, placed, tensor_of

MAGIC = b"\x93NUMPY"
_DTYPES = {
    "b1": "bool",
    "u1": "uint8",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "c8": "complex64",
    "c16": "complex128",
}
# numpy's own limit: parsing costs much more memory than the text has.
_MAX_HEADER = 10_000


def is_archive(head):
    """Whether a file that begins with these bytes, a hundred or more, is an ``.npz`` archive."""
    if head[:4] != b"PK\x03\x04" or len(head) < 30:
        return False
    return head[30 : 30 + struct.unpack_from("<H", head, 26)[0]].endswith(b".npy")


def load_archive(file, device):
    """The arrays of an ``.npz`` archive as tensors, by name.

    Raises:
        RuntimeError: for a damaged file, and for dtypes that corten does not have.
        UnpicklingError: for arrays of Python objects.
    """
    archive = ArchiveReader(file, checkpoint=False)
    found = {}
    for record in archive.names():
        if not record.endswith(".npy"):
            raise damaged(f"record {record!r} is no array")
        found[record.removesuffix(".npy")] = placed(_tensor(archive.read(record), share=False), device)
    return found


def load_array(file, device, mapped):
    """The array of an ``.npy`` file as a tensor.

    Args:
        mapped: let it use the file's pages, so that reading begins with its use.

    Raises:
        RuntimeError, UnpicklingError: as :func:`load_archive`.
    """
    if mapped:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))[file.tell() :]
        return placed(_tensor(memory, share=True), device)
    return placed(_tensor(file.read(), share=False), device)


def _tensor(data, share):
    dtype, swap, shape, stride, start = _header(data)
    payload = memoryview(data)[start:]
    if len(payload) != dtype.itemsize * math.prod(shape):
        raise damaged(f"an array of shape {list(shape)} and {dtype} has {len(payload)} bytes")
    return tensor_of(payload, dtype, shape, stride, swap=swap, share=share)


def _header(data):
    """The dtype, whether numbers have the other byte order, the shape, the strides, and where the numbers begin."""
    if bytes(data[:6]) != MAGIC or len(data) < 12:
        raise damaged("an array has no header")
    version = data[6]
    if version not in (1, 2, 3):
        raise RuntimeError(f"version {version} of numpy's format is not supported")
    start = 10 if version == 1 else 12
    size = struct.unpack_from("<H" if version == 1 else "<I", data, 8)[0]
    if size > min(_MAX_HEADER, len(data) - start):
        raise damaged("the header of an array is longer than the file, or than 10000 bytes")
    try:
        header = ast.literal_eval(
            bytes(data[start : start + size]).decode("utf-8" if version == 3 else "latin1").strip()
        )
    except (ValueError, SyntaxError, RecursionError, MemoryError, UnicodeDecodeError):
        raise damaged("the header of an array cannot be read") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise damaged("the header of an array does not describe it")
    shape, columns = header["shape"], header["fortran_order"]
    fits = isinstance(shape, tuple) and all(type(count) is int and 0 <= count < 2**63 for count in shape)
    if not fits or type(columns) is not bool:
        raise damaged("the header of an array has no shape")
    dtype, swap = _dtype(header["descr"])
    stride = contiguous_stride(shape[::-1])[::-1] if columns else contiguous_stride(shape)
    return dtype, swap, shape, stride, start + size


def _dtype(text):
    """The dtype that numpy spells so, and whether its numbers have the other byte order."""
    from pickle import UnpicklingError

    order, name = (text[:1], text[1:]) if isinstance(text, str) else ("", "")
    if name == "O" or (isinstance(text, str) and text == "O"):
        raise UnpicklingError("arrays of Python objects are pickles, which are never executed; save numbers instead")
    if name not in _DTYPES or order not in "<>|=":
        raise RuntimeError(f"an array has dtype {text!r}, which corten does not support")
    other = ">" if sys.byteorder == "little" else "<"
    return getattr(corten, _DTYPES[name]), order == other


def readable(file):
    """The first bytes of a file, which stays where it is."""
    start = file.tell()
    head = file.read(300)
    file.seek(start, io.SEEK_SET)
    return head
