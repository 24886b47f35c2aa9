"""The zip container of checkpoints: records stored uncompressed, each starting at a multiple of 64 bytes.

Layout: .ZIP File Format Specification 6.3.10 (APPNOTE.TXT). Readers trust nothing: every offset and length is checked
against the size of the file before anything is read or allocated.
"""

import bisect
import io
import struct
import zlib

ALIGNMENT = 64
# Version of the container: what is written, and the newest that is read.
WRITE_VERSION = 3
MAX_VERSION = 10

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_MAX32 = 0xFFFFFFFF
_MAX16 = 0xFFFF
# Sizes follow the data in a descriptor, names are UTF-8.
_FLAG_DESCRIPTOR = 0x0008
_FLAG_UTF8 = 0x0800
# Deflate cannot shrink anything by more than this factor.
_MAX_RATIO = 1032
# Checkpoints store their records as they are; somebody may have packed them again. Weights hardly shrink and pickles do
# by 20, but not by 1000: (bytes that are always allowed, bytes for each one in the file).
_PICKLE_LIMIT = (1 << 20, 64)
_ARCHIVE_LIMIT = (64 << 20, 100)

_DAMAGED = (
    "The checkpoint file is damaged: {}. This can happen if it was not saved completely, was transferred incorrectly, "
    "or was modified after saving."
)


def damaged(what):
    """The error for a file that is not what it should be."""
    return RuntimeError(_DAMAGED.format(what))


def _zip64_extra(size, header_at):
    """The field with eight-byte sizes and offset, for records that four bytes cannot describe."""
    values = [size, size] if size >= _MAX32 else []
    if header_at >= _MAX32:
        values.append(header_at)
    if not values:
        return b""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def data_offset(header_at, full_name, size, alignment):
    """Where the data of a record begins, by where its header does; ``full_name`` has the folder, as bytes."""
    start = header_at + _LOCAL.size + len(full_name) + len(_zip64_extra(size, header_at)) + 4
    return start + -start % alignment


class ArchiveWriter:
    """Writes records one after another to anything with ``write``; nothing is ever sought.

    Args:
        file: where to write.
        name: folder that all records are put into.
        checksum: computes CRC-32; without it the field is zero, which readers take as "unknown".
        alignment: what the offsets of records' data are multiples of.
    """

    def __init__(self, file, name, checksum=True, alignment=ALIGNMENT):
        self._file = file
        self._name = name
        self._checksum = checksum
        self._alignment = alignment
        self.version = WRITE_VERSION
        self._position = 0
        self._directory = []
        self._name_hash = 0
        self._data_hash = 0

    def add(self, name, data):
        """Writes a record; ``data`` is any buffer of bytes."""
        view = memoryview(data).cast("B")
        size = view.nbytes
        header_at = self._position
        full_name = f"{self._name}/{name}".encode()
        extra64 = _zip64_extra(size, header_at)
        flags = _FLAG_UTF8 | (_FLAG_DESCRIPTOR if size else 0)
        # Padding is an extra field of four bytes or more that brings the data to an aligned offset.
        start = data_offset(header_at, full_name, size, self._alignment)
        padding = start - (header_at + _LOCAL.size + len(full_name) + len(extra64) + 4)
        extra = extra64 + b"FB" + struct.pack("<H", padding) + b"Z" * padding
        self._write(
            _LOCAL.pack(b"PK\x03\x04", 0, flags, 0, 0, 0, 0, 0, 0, len(full_name), len(extra)) + full_name + extra
        )
        crc = zlib.crc32(view) if self._checksum else 0
        self._write(view)
        if size:
            self._write(struct.pack("<4sI2Q" if extra64 else "<4s3I", b"PK\x07\x08", crc, size, size))
        shown_size, shown_offset = min(size, _MAX32), min(header_at, _MAX32)
        self._directory.append(
            _CENTRAL.pack(
                *(b"PK\x01\x02", 0, 0, flags, 0, 0, 0, crc, shown_size, shown_size),
                *(len(full_name), len(extra64), 0, 0, 0, 0, shown_offset),
            )
            + full_name
            + extra64
        )
        self._name_hash = zlib.crc32(full_name, self._name_hash)
        self._data_hash = zlib.crc32(struct.pack("<IQ", crc, size), self._data_hash)

    def close(self, byteorder=None):
        """Writes the version, the byte order if given, an identification by names and contents, and the directory."""
        self.add("version", f"{self.version}\n".encode())
        if byteorder is not None:
            self.add("byteorder", byteorder.encode())
        self.identification = f"{self._name_hash:020d}{self._data_hash:020d}"
        self.add(".data/serialization_id", self.identification.encode())
        start, count = self._position, len(self._directory)
        self._write(b"".join(self._directory))
        size, end = self._position - start, self._position
        self._write(_END64.pack(b"PK\x06\x06", _END64.size - 12, 0x031E, 45, 0, 0, count, count, size, start))
        self._write(_LOCATOR64.pack(b"PK\x06\x07", 0, end, 1))
        shown_count = min(count, _MAX16)
        self._write(_END.pack(b"PK\x05\x06", 0, 0, shown_count, shown_count, min(size, _MAX32), min(start, _MAX32), 0))

    def _write(self, data):
        view = memoryview(data)
        self._position += view.nbytes
        while view.nbytes:
            written = self._file.write(view)
            # Raw files may take less than they are given.
            view = view[written:] if isinstance(written, int) else view[view.nbytes :]


class _Record:
    __slots__ = ("header_at", "stored", "size", "crc", "method")

    def __init__(self, header_at, stored, size, crc, method):
        self.header_at, self.stored, self.size, self.crc, self.method = header_at, stored, size, crc, method


class ArchiveReader:
    """Reads records of a zip file, from the file's current position to its end.

    Args:
        file: can be read and sought.
        checkpoint: records lie in one folder, and one of them tells the version of the container.

    Raises:
        RuntimeError: for anything that is damaged, contradictory, encrypted or of a later version.
    """

    def __init__(self, file, checkpoint=True):
        self._file = file
        self._base = file.tell()
        self._size = file.seek(0, io.SEEK_END) - self._base
        directory = self._find_directory()
        self._records = self._parse_directory(directory)
        if not self._records:
            raise damaged("it has no records")
        self._folder = self._find_folder() if checkpoint else ""
        # Records may not overlap: overlapping ones would let a small file ask for endless memory.
        self._starts = sorted(record.header_at for record in self._records.values())
        if any(a == b for a, b in zip(self._starts, self._starts[1:])):
            raise damaged("two records start at the same place")
        if checkpoint:
            self._check_expansion()
            self._check_version()

    def _check_expansion(self):
        """Refuses a small file whose compressed records would fill the memory."""
        packed = [(name, record) for name, record in self._records.items() if record.method]
        for name, record in packed:
            free, ratio = _PICKLE_LIMIT
            if name.endswith(".pkl") and record.size > free + ratio * record.stored:
                raise damaged(f"record {name!r} of {record.stored} compressed bytes claims to hold {record.size}")
        free, ratio = _ARCHIVE_LIMIT
        stored = sum(record.stored for record in self._records.values())
        total = sum(record.size for _, record in packed)
        if total > free + ratio * stored:
            raise damaged(
                f"its {stored} bytes claim to hold {total} once decompressed; if you trust it, unpack it and pack it "
                "without compression (zip -0)"
            )

    @property
    def name(self):
        """The folder of the records."""
        return self._folder.removesuffix("/")

    def __contains__(self, name):
        return self._folder + name in self._records

    def names(self):
        """The names of all records, in the order of the directory."""
        return [name.removeprefix(self._folder) for name in self._records]

    def read(self, name):
        """The bytes of a record, checked against its CRC-32."""
        record = self._record(name)
        data = self._read_at(self._data_start(name, record), record.stored)
        if record.method:
            data = self._inflate(name, record, data)
        if record.crc and zlib.crc32(data) != record.crc:
            raise damaged(f"record {name!r} does not match its checksum")
        return data

    def header_offset(self, name):
        """Where the header of a record is in the archive."""
        return self._record(name).header_at

    def size(self, name):
        """Bytes in a record once read."""
        return self._record(name).size

    def location(self, name):
        """Where the bytes of an uncompressed record are in the file: offset and size."""
        record = self._record(name)
        if record.method:
            raise RuntimeError(f"record {name!r} is compressed and cannot be memory-mapped")
        return self._base + self._data_start(name, record), record.size

    def _record(self, name):
        record = self._records.get(self._folder + name)
        if record is None:
            raise damaged(f"it has no record {name!r}")
        return record

    def _find_folder(self):
        first = next(iter(self._records))
        if "/" not in first:
            raise damaged(f"record {first!r} is in no folder")
        return first.partition("/")[0] + "/"

    def _read_at(self, offset, size):
        if isinstance(self._file, io.BytesIO):
            # A view of the buffer instead of a copy.
            return self._file.getbuffer()[self._base + offset : self._base + offset + size]
        self._file.seek(self._base + offset)
        data = self._file.read(size)
        if len(data) != size:
            raise damaged("it ends too early")
        return data

    def _find_directory(self):
        """Locates and reads the central directory; remembers where the records end."""
        tail_size = min(self._size, _END.size + _MAX16)
        tail = bytes(self._read_at(self._size - tail_size, tail_size))
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END.size:
            raise damaged("it ends without a central directory")
        end_at = self._size - tail_size + at
        *_, count, size, start, _ = _END.unpack_from(tail, at)
        locator_at = end_at - _LOCATOR64.size
        directory_end = end_at
        if locator_at >= _END64.size:
            signature, _, end64_at, _ = _LOCATOR64.unpack(self._read_at(locator_at, _LOCATOR64.size))
            if signature == b"PK\x06\x07":
                if end64_at > locator_at - _END64.size:
                    raise damaged("its central directory is misplaced")
                fields = _END64.unpack(self._read_at(end64_at, _END64.size))
                if fields[0] != b"PK\x06\x06":
                    raise damaged("its central directory is misplaced")
                count, size, start = fields[7:]
                directory_end = end64_at
        if start + size > directory_end or count * _CENTRAL.size > size:
            raise damaged("its central directory is misplaced")
        self._directory_start = start
        self._count = count
        return bytes(self._read_at(start, size))

    def _parse_directory(self, directory):
        records = {}
        at = 0
        for _ in range(self._count):
            if at + _CENTRAL.size > len(directory) or directory[at : at + 4] != b"PK\x01\x02":
                raise damaged("its central directory is cut short")
            fields = _CENTRAL.unpack_from(directory, at)
            flags, method, crc, stored, size = fields[3], fields[4], fields[7], fields[8], fields[9]
            name_size, extra_size, comment_size, header_at = fields[10], fields[11], fields[12], fields[16]
            at += _CENTRAL.size
            raw_name = directory[at : at + name_size]
            extra = directory[at + name_size : at + name_size + extra_size]
            at += name_size + extra_size + comment_size
            try:
                name = raw_name.decode()
            except UnicodeDecodeError:
                raise damaged("a record's name is not text") from None
            size, stored, header_at = _widen(extra, size, stored, header_at)
            if flags & 1:
                raise RuntimeError(f"record {name!r} is encrypted, which is not supported")
            if method not in (0, 8):
                raise RuntimeError(f"record {name!r} uses compression method {method}, which is not supported")
            if header_at + _LOCAL.size + stored > self._directory_start or (method == 0 and stored != size):
                raise damaged(f"record {name!r} does not fit into it")
            if size > stored * _MAX_RATIO + _MAX_RATIO:
                raise damaged(f"record {name!r} claims a size that its data cannot have")
            if name in records:
                raise damaged(f"it has two records {name!r}")
            records[name] = _Record(header_at, stored, size, crc, method)
        return records

    def _data_start(self, name, record):
        """Offset of a record's data, from its local header; checked not to run into the next record."""
        fields = _LOCAL.unpack(self._read_at(record.header_at, _LOCAL.size))
        if fields[0] != b"PK\x03\x04":
            raise damaged(f"record {name!r} has no header")
        start = record.header_at + _LOCAL.size + fields[9] + fields[10]
        index = bisect.bisect_right(self._starts, record.header_at)
        limit = self._starts[index] if index < len(self._starts) else self._directory_start
        if start + record.stored > limit:
            raise damaged(f"record {name!r} overlaps the next")
        return start

    def _inflate(self, name, record, data):
        decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            result = decompressor.decompress(data, record.size + 1)
        except zlib.error as error:
            raise damaged(f"record {name!r} cannot be decompressed ({error})") from None
        if len(result) != record.size:
            raise damaged(f"record {name!r} does not have the size it claims")
        return result

    def _check_version(self):
        name = next((name for name in ("version", ".data/version") if name in self), None)
        if name is None:
            raise damaged("it has no record 'version'")
        text = bytes(self.read(name)).strip()
        if not text.isdigit() or len(text) > 18:
            raise RuntimeError(f"Couldn't parse the version {text[:40]!r} of the checkpoint file as a number.")
        if not 1 <= int(text) <= MAX_VERSION:
            raise RuntimeError(
                f"Attempted to read a checkpoint file with version {int(text)}, but the maximum supported version for "
                f"reading is {MAX_VERSION} and the minimum is 1."
            )


def _widen(extra, size, stored, header_at):
    """Replaces four-byte values that are all ones by the eight-byte ones of the zip64 field."""
    if _MAX32 not in (size, stored, header_at):
        return size, stored, header_at
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == 1:
            wide = list(struct.unpack_from(f"<{length // 8}Q", extra[at : at + length].ljust(length, b"\0")))
            try:
                return tuple(wide.pop(0) if value == _MAX32 else value for value in (size, stored, header_at))
            except IndexError:
                raise damaged("a zip64 field is incomplete") from None
        at += length
    raise damaged("a zip64 field is missing")
