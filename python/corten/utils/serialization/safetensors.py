"""Reads the safetensors format: a JSON header that describes the tensors, then their bytes.

The file is mapped, not read: what a tensor needs is read when the tensor is made, or with its pages. Source: the
format's description at https://huggingface.co/docs/safetensors.
"""

import json
import math
import mmap
import os
import struct
import sys

import corten

from .archive import damaged
from .memory import contiguous_stride, placed, tensor_of

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "BOOL": "bool",
    "C64": "complex64",
}
# The format's own limit.
_MAX_HEADER = 100_000_000


class safe_open:
    """The tensors of a safetensors file, each read when it is asked for; the name and methods are the format's own.

    The header is read and checked at once, the rest of the file is mapped.

    Args:
        filename: path.
        framework: accepted and ignored: tensors are corten's.
        device: where tensors go; those on the CPU use the file's pages, and changes to them stay in memory.

    Raises:
        RuntimeError: for a damaged file, for dtypes that corten does not have, and for devices that are not there.
        FileNotFoundError: when there is no such file.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "x.safetensors")
        >>> header = b'{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
        >>> _ = path.write_bytes(len(header).to_bytes(8, "little") + header + bytes([3, 4]))
        >>> with corten.serialization.safe_open(path) as file:
        ...     print(file.keys(), file.get_slice("w").get_shape(), file.get_tensor("w"))
        ['w'] [2] tensor([3, 4], dtype=uint8)
    """

    def __init__(self, filename, framework="pt", device=None):
        self._device = device
        with open(filename, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 8:
                raise damaged("it is too short for a safetensors file")
            # Changes stay in this process.
            self._memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        self._entries, self._metadata = _entries(self._memory)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        # Tensors keep the mapping for as long as they need it.
        self._memory = None

    def keys(self):
        """The names of the tensors, in alphabetical order."""
        return sorted(self._entries)

    def offset_keys(self):
        """The names of the tensors, in the order of the file."""
        return list(self._entries)

    def metadata(self):
        """The texts that the file holds beside tensors, a dictionary; None where it holds none."""
        return self._metadata

    def get_tensor(self, name):
        """A tensor of the file.

        Raises:
            KeyError: where the file has no tensor of that name.
            ValueError: once the file is closed.
        """
        return placed(self._map(name), self._device)

    def get_slice(self, name):
        """A tensor of which only what an index picks is read: ``file.get_slice("w")[:10]``."""
        self._find(name)
        return _Slice(self, name)

    def _find(self, name):
        if self._memory is None:
            raise ValueError("the safetensors file is closed")
        if name not in self._entries:
            raise KeyError(f"File does not contain tensor {name}")
        return self._entries[name]

    def _map(self, name):
        _, dtype, shape, first, last = self._find(name)
        big = sys.byteorder == "big"
        return tensor_of(self._memory[first:last], dtype, shape, contiguous_stride(shape), swap=big, share=True)


class _Slice:
    """A tensor of a file before it is indexed."""

    def __init__(self, file, name):
        self._file, self._name = file, name

    def get_shape(self):
        """The sizes of the whole tensor, a list."""
        return list(self._file._find(self._name)[2])

    def get_dtype(self):
        """The dtype as the file spells it, such as ``"F32"``."""
        return self._file._find(self._name)[0]

    def __getitem__(self, index):
        return placed(self._file._map(self._name)[index], self._file._device)


def load(path, device, mapped):
    """All tensors of a file by name.

    Args:
        device: where they go; None leaves them on the CPU.
        mapped: let them use the file's pages, so that reading begins with their use.

    Raises:
        RuntimeError: as :class:`safe_open`.
    """
    with safe_open(path) as file:
        whole = {name: file.get_tensor(name) for name in file.offset_keys()}
    if not mapped and (device is None or corten.device(device).type == "cpu"):
        whole = {name: tensor.clone() for name, tensor in whole.items()}
    return {name: placed(tensor, device) for name, tensor in whole.items()}


def _entries(memory):
    """What the header says, checked: by name the spelled dtype, dtype, shape, first byte and last; and the metadata."""
    header_size = struct.unpack_from("<Q", memory)[0]
    if header_size > min(_MAX_HEADER, len(memory) - 8):
        raise damaged("its header is longer than the file")
    try:
        header = json.loads(bytes(memory[8 : 8 + header_size]), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise damaged(f"its header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise damaged("its header is not an object")
    metadata = header.pop("__metadata__", None)
    if metadata is not None and not (isinstance(metadata, dict) and all(type(v) is str for v in metadata.values())):
        raise damaged("its metadata are no texts")
    start = end = 8 + header_size
    entries = {}
    # Tensors follow each other without gaps or overlaps, so no byte is read twice.
    for name, entry in sorted(header.items(), key=lambda item: _offsets(*item)):
        first, last = (start + offset for offset in _offsets(name, entry))
        shape, spelled = entry.get("shape"), entry.get("dtype")
        dtype = _DTYPES.get(spelled) if isinstance(spelled, str) else None
        if dtype is None:
            raise RuntimeError(f"tensor {name!r} has dtype {spelled!r}, which corten does not support")
        if not isinstance(shape, list) or not all(type(count) is int and 0 <= count < 2**63 for count in shape):
            raise damaged(f"tensor {name!r} has no shape")
        dtype = getattr(corten, dtype)
        if first != end or last - first != dtype.itemsize * math.prod(shape) or last > len(memory):
            raise damaged(f"tensor {name!r} does not lie where it should")
        end = last
        entries[name] = (spelled, dtype, tuple(shape), first, last)
    if end != len(memory):
        raise damaged("it has bytes that belong to no tensor")
    return entries, metadata


def _without_repetition(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _offsets(name, entry):
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(at) is int and at >= 0 for at in offsets):
        raise damaged(f"tensor {name!r} has no place")
    return offsets
