"""Reads the safetensors format: a JSON header that describes the tensors, then their bytes.

Source: the format's description at https://huggingface.co/docs/safetensors.
"""

import io
import json
import struct

import corten

from .archive import damaged

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
}
# The format's own limit.
_MAX_HEADER = 100_000_000


def _contiguous_stride(shape):
    stride = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        stride[axis] = stride[axis + 1] * max(1, shape[axis + 1])
    return tuple(stride)


def read(file):
    """Yields name, name of the dtype, shape, stride and bytes of each tensor.

    Raises:
        RuntimeError: for a damaged file and for dtypes that corten does not have.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size < 8:
        raise damaged("it is too short for a safetensors file")
    header_size = struct.unpack("<Q", file.read(8))[0]
    if header_size > min(_MAX_HEADER, size - 8):
        raise damaged("its header is longer than the file")
    try:
        header = json.loads(file.read(header_size))
    except (ValueError, RecursionError) as error:
        raise damaged(f"its header is not JSON ({error})") from None
    if not isinstance(header, dict):
        raise damaged("its header is not an object")
    header.pop("__metadata__", None)
    start = 8 + header_size
    end = 0
    # Tensors follow each other without gaps or overlaps, so no byte is read twice.
    for name, entry in sorted(header.items(), key=lambda item: _offsets(*item)):
        first, last = _offsets(name, entry)
        shape, dtype = entry.get("shape"), _DTYPES.get(entry.get("dtype"))
        if dtype is None or not hasattr(corten, dtype):
            raise RuntimeError(f"tensor {name!r} has dtype {entry.get('dtype')!r}, which corten does not support")
        if not isinstance(shape, list) or not all(type(count) is int and count >= 0 for count in shape):
            raise damaged(f"tensor {name!r} has no shape")
        expected = getattr(corten, dtype).itemsize
        for count in shape:
            expected *= count
        if first != end or last - first != expected or start + last > size:
            raise damaged(f"tensor {name!r} does not lie where it should")
        end = last
        file.seek(start + first)
        yield name, dtype, tuple(shape), _contiguous_stride(shape), file.read(expected)


def _offsets(name, entry):
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(at) is int and at >= 0 for at in offsets):
        raise damaged(f"tensor {name!r} has no place")
    return tuple(offsets)
