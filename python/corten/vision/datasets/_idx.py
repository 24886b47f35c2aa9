"""IDX files, the format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import corten

if TYPE_CHECKING:
    import os

__all__ = ["read_idx"]

# Third byte of an IDX file: element type as numpy spells it, most significant byte first. Source: the format's
# description on the page of the MNIST database (LeCun, Cortes, Burges).
_IDX_ELEMENTS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_DIMS_MAX = 8
# How many bytes one byte may stand for, which bounds what a header may announce: deflate's limit, and above LZMA's.
_DEFLATE_MAX = 1032
_LZMA_MAX = 8192


def read_idx(path: str | os.PathLike[str]) -> corten.Tensor:
    """Reads one IDX file, raw or compressed by gzip or xz, into a tensor of the type and shape that its header names.

    The header is checked before memory is taken, and the file must hold exactly the elements that it announces.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not IDX, is cut short, or holds more than it announces.
    """
    path = Path(path)
    with open(path, "rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        size = path.stat().st_size
        try:
            if magic[:2] == b"\x1f\x8b":
                with gzip.open(raw) as stream:
                    return _parse_idx(stream, path, available=_DEFLATE_MAX * size)
            if magic == b"\xfd7zXZ\0":
                with lzma.open(raw) as stream:
                    return _parse_idx(stream, path, available=_LZMA_MAX * size)
        except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            kind = "gzip" if magic[0] == 0x1F else "xz"
            raise ValueError(f"{path}: the {kind} stream is damaged or cut short ({error})") from error
        return _parse_idx(raw, path, available=size)


def _parse_idx(stream: IO[bytes] | gzip.GzipFile, path: Path, available: int) -> corten.Tensor:
    import numpy as np

    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_ELEMENTS:
        raise ValueError(f"{path}: not an IDX file, it begins with {magic.hex(' ') or 'nothing'}")
    element, ndim = np.dtype(_IDX_ELEMENTS[magic[2]]), magic[3]
    if not 1 <= ndim <= _IDX_DIMS_MAX:
        raise ValueError(f"{path}: an IDX file of {ndim} dimensions, 1 to {_IDX_DIMS_MAX} are read")
    header = stream.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise ValueError(f"{path}: cut short inside the header")
    shape = struct.unpack(f">{ndim}I", header)
    expected = element.itemsize
    for size in shape:
        expected *= size
    if expected > available:
        raise ValueError(f"{path}: the header announces {expected:,} bytes of shape {shape}, the file cannot hold them")
    content = stream.read(expected + 1)
    if len(content) != expected:
        found = "more" if len(content) > expected else f"{len(content):,}"
        raise ValueError(f"{path}: the header announces {expected:,} bytes of shape {shape}, the file holds {found}")
    values = np.frombuffer(content, element).reshape(shape)
    return corten.from_numpy(values.astype(element.newbyteorder("=")))
