"""Reads GGUF files, in which llama.cpp keeps networks: facts by name, then tensors, most of them quantised.

Source: the format's description at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; little-endian files of
versions 2 and 3.
"""

import math
import mmap
import struct

import corten
import numpy

from .archive import damaged

__all__ = ["GGUF"]

# By number of a value's type: how `struct` spells it.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# By number of a tensor's type: its name, the elements of a block, and the block's parts.
_PLAIN = {0: ("F32", "<f4"), 1: ("F16", "<f2"), 24: ("I8", "i1"), 26: ("I32", "<i4"), 28: ("F64", "<f8")}
_SCALE, _LEAST, _HIGH = ("scale", "<f2"), ("least", "<f2"), ("high", "<u4")
_BLOCKS = {
    2: ("Q4_0", [_SCALE, ("nibbles", "u1", 16)]),
    3: ("Q4_1", [_SCALE, _LEAST, ("nibbles", "u1", 16)]),
    6: ("Q5_0", [_SCALE, _HIGH, ("nibbles", "u1", 16)]),
    7: ("Q5_1", [_SCALE, _LEAST, _HIGH, ("nibbles", "u1", 16)]),
    8: ("Q8_0", [_SCALE, ("bytes", "i1", 32)]),
}
_BLOCK = 32  # elements that share a scale
_BFLOAT16 = 30


class GGUF:
    """The facts and tensors of a GGUF file, which is mapped: a tensor is read when it is asked for.

    Attributes:
        metadata: facts by name, such as ``"general.architecture"``.
        tensors: by name the shape, outermost dim first as in PyTorch, and the type, such as ``"Q4_1"``.

    Args:
        path: of the file.

    Raises:
        RuntimeError: for a damaged file, and for versions other than 2 and 3.
        FileNotFoundError: when there is no such file.
    """

    def __init__(self, path):
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                raise damaged("it does not begin as a GGUF file")
            self._memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._at = 4
        try:
            self._read_header()
        except (struct.error, UnicodeDecodeError, MemoryError, OverflowError):
            raise damaged("it ends within its header") from None

    def _read_header(self):
        version = self._scalar("I")
        if version not in (2, 3):
            raise RuntimeError(f"GGUF: versions 2 and 3 can be read, the file has version {version}")
        tensors, facts = self._scalar("Q"), self._scalar("Q")
        self.metadata = {}
        for _ in range(facts):
            name = self._string()
            self.metadata[name] = self._value(self._scalar("I"))
        self.tensors, self._places = {}, {}
        for _ in range(tensors):
            name, rank = self._string(), self._scalar("I")
            shape = tuple(self._scalar("Q") for _ in range(rank))[::-1]
            kind, offset = self._scalar("I"), self._scalar("Q")
            known = {**_PLAIN, **_BLOCKS, _BFLOAT16: ("BF16", "")}.get(kind)
            self.tensors[name] = (shape, known[0] if known else f"type {kind}")
            self._places[name] = (kind, offset)
        alignment = self.metadata.get("general.alignment", 32)
        self._start = -(-self._at // alignment) * alignment

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._memory = None

    def _scalar(self, spelled):
        (value,) = struct.unpack_from("<" + spelled, self._memory, self._at)
        self._at += struct.calcsize("<" + spelled)
        return value

    def _string(self):
        length = self._scalar("Q")
        if self._at + length > len(self._memory):
            raise damaged("it ends within a text")
        text = bytes(self._memory[self._at : self._at + length]).decode()
        self._at += length
        return text

    def _value(self, kind):
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, count = self._scalar("I"), self._scalar("Q")
            if inner in _SCALARS:
                values = struct.unpack_from(f"<{count}{_SCALARS[inner]}", self._memory, self._at)
                self._at += struct.calcsize(f"<{count}{_SCALARS[inner]}")
                return list(values)
            return [self._value(inner) for _ in range(count)]
        if kind not in _SCALARS:
            raise damaged(f"it holds a value of the unknown type {kind}")
        return self._scalar(_SCALARS[kind])

    def tensor(self, name):
        """A tensor of the file, widened to float32 where it is quantised.

        Raises:
            KeyError: where the file has no tensor of that name.
            RuntimeError: for quantisations other than Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0, and where the file ends early.
            ValueError: once the file is closed.
        """
        if self._memory is None:
            raise ValueError("the GGUF file is closed")
        if name not in self.tensors:
            raise KeyError(f"File does not contain tensor {name}")
        (shape, spelled), (kind, offset) = self.tensors[name], self._places[name]
        count = math.prod(shape)
        if kind in _PLAIN:
            values = self._array(name, _PLAIN[kind][1], offset, count)
        elif kind == _BFLOAT16:
            values = (self._array(name, "<u2", offset, count).astype("<u4") << 16).view("<f4")
        elif kind in _BLOCKS:
            values = _widened(self._array(name, _BLOCKS[kind][1], offset, count // _BLOCK), spelled)
        else:
            raise RuntimeError(f"tensor {name!r} has {spelled}, which corten does not support")
        return corten.from_numpy(numpy.array(values)).reshape(shape)

    def _array(self, name, dtype, offset, count):
        dtype = numpy.dtype(dtype)
        first = self._start + offset
        if first + count * dtype.itemsize > len(self._memory):
            raise damaged(f"it ends within tensor {name!r}")
        return numpy.frombuffer(self._memory, dtype, count, first)


def _widened(blocks, spelled):
    """The numbers of quantised blocks, ``scale * q + least`` or ``scale * (q - zero)``, as float32."""
    scale = blocks["scale"].astype(numpy.float32)[:, None]
    if spelled == "Q8_0":
        return scale * blocks["bytes"]
    nibbles = blocks["nibbles"]
    # The first half of a block lies in the lower four bits, the second half in the upper.
    codes = numpy.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(numpy.float32)
    zero = 8
    if spelled.startswith("Q5"):
        fifth = blocks["high"][:, None] >> numpy.arange(_BLOCK, dtype=numpy.uint32) & 1
        codes += 16 * fifth.astype(numpy.float32)
        zero = 16
    if spelled.endswith("_1"):
        return scale * codes + blocks["least"].astype(numpy.float32)[:, None]
    return scale * (codes - zero)
