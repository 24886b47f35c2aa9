"""Records of zip files: what one package's writer writes the other's reader reads, at the same places."""

import io
import zipfile

import corten
import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.cpu
LIBRARIES = (corten, torch)


def write(library, file, **options):
    writer = (torch._C if library is torch else corten).PyTorchFileWriter(file, **options)
    writer.write_record("folder/bytes", b"hello", 5)
    writer.write_record("text", "hello", 3)
    writer.write_record("storage", library.arange(4.0).untyped_storage(), 16)
    kept = library.arange(6, dtype=library.int16)
    writer.write_record("address", kept.data_ptr(), 12)
    writer.write_record_metadata("room", 100)
    writer.write_record("empty", b"", 0)
    writer.set_min_version(5)
    before = writer.serialization_id(), writer.get_all_written_records()
    writer.write_end_of_file()
    return writer, before


@pytest.mark.parametrize("alignment", [64, 4096])
@pytest.mark.parametrize("on_disk", [True, False], ids=["path", "buffer"])
@pytest.mark.parametrize("writes, reads", [(corten, torch), (torch, corten), (corten, corten)])
def test_files_of_one_package_are_read_by_the_other(writes, reads, on_disk, alignment, tmp_path):
    file = str(tmp_path / "some.records.pt") if on_disk else io.BytesIO()
    writer, _ = write(writes, file, storage_alignment=alignment)
    assert writer.archive_name() == ("some.records" if on_disk else "archive")
    if not on_disk:
        file.seek(0)
    reader = (torch._C if reads is torch else corten).PyTorchFileReader(file)
    assert reader.get_record("folder/bytes") == b"hello"
    assert reader.get_record("text") == b"hel"
    assert reader.get_record("room") == bytes(100)
    assert reader.get_record("empty") == b""
    assert reader.get_record("address") == bytes([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0])
    assert reader.get_record("version") == b"5\n"
    assert reader.get_record("byteorder") == b"little"
    assert reader.get_record_size("storage") == 16
    assert reader.has_record("text") and not reader.has_record("absent")
    assert set(reader.get_all_records()) == writer.get_all_written_records()
    assert reader.serialization_id() == writer.serialization_id()
    found = reader.get_storage_from_record("storage", 4, reads.float32)
    assert found.shape == (0,) and found.dtype == reads.float32
    assert list(found.untyped_storage()) == list(reads.arange(4.0).untyped_storage())
    for name in reader.get_all_records():
        at, header, size = (getattr(reader, f"get_record_{w}")(name) for w in ("offset", "header_offset", "size"))
        assert at % alignment == 0
        assert reader.get_record_offset_no_read(header, name, size, alignment) == at
    raw = (tmp_path / "some.records.pt").read_bytes() if on_disk else file.getvalue()
    at = reader.get_record_offset("folder/bytes")
    assert raw[at : at + 5] == b"hello"
    # PyTorch leaves out the checksum of the room that it leaves.
    assert writes is torch or zipfile.ZipFile(io.BytesIO(raw)).testzip() is None


def test_both_packages_put_records_at_the_same_places():
    places = []
    for library in LIBRARIES:
        file = io.BytesIO()
        writer, (identification, written) = write(library, file)
        assert identification == "" and written == {"folder/bytes", "text", "storage", "address", "room", "empty"}
        assert len(writer.serialization_id()) == 40 and writer.serialization_id().isdigit()
        file.seek(0)
        reader = (torch._C if library is torch else corten).PyTorchFileReader(file)
        places.append({name: reader.get_record_offset(name) for name in reader.get_all_records()})
    assert places[0] == places[1]


def test_checkpoints_are_read_record_by_record(tmp_path):
    path = str(tmp_path / "weights.pt")
    for library, other in (LIBRARIES, LIBRARIES[::-1]):
        library.save({"weight": library.arange(3.0)}, path)
        reader = (torch._C if other is torch else corten).PyTorchFileReader(path)
        found = reader.get_storage_from_record("data/0", 3, other.float32)
        assert found.untyped_storage().nbytes() == 12
        assert reader.get_record("data/0") == bytes(library.arange(3.0).untyped_storage().tolist())


def test_the_same_records_have_the_same_identification():
    def identify(data):
        writer = corten.PyTorchFileWriter(io.BytesIO())
        writer.write_record("a", data, 3)
        writer.write_end_of_file()
        return writer.serialization_id()

    assert identify(b"xyz") == identify(b"xyz") != identify(b"xyy")


def test_mistakes_raise_pytorchs_classes(tmp_path):
    path = str(tmp_path / "file.pt")
    for package in (torch._C, corten):
        writer = package.PyTorchFileWriter(path)
        writer.write_record("a", b"xyz", 3)
        with pytest.raises(RuntimeError, match="Tried to serialize file twice: a"):
            writer.write_record("a", b"xyz", 3)
        with pytest.raises(TypeError):
            writer.write_record("b", 1.5, 3)
        writer.write_end_of_file()
        for late in (writer.write_end_of_file, lambda w=writer: w.write_record("c", b"", 0)):
            with pytest.raises(RuntimeError):
                late()
        reader = package.PyTorchFileReader(path)
        for asks in ("get_record", "get_record_offset", "get_record_size"):
            with pytest.raises(RuntimeError):
                getattr(reader, asks)("absent")
        library = torch if package is torch._C else corten
        with pytest.raises(RuntimeError, match="does not match expected size"):
            reader.get_storage_from_record("a", 4, library.float32)
        for wrong, kind in ((str(tmp_path / "no" / "file"), RuntimeError), (io.BytesIO(b"abc"), RuntimeError)):
            with pytest.raises(kind):
                package.PyTorchFileReader(wrong)
        with pytest.raises(AttributeError):
            package.PyTorchFileReader(3)
        with pytest.raises(RuntimeError, match="Parent directory"):
            package.PyTorchFileWriter(str(tmp_path / "no" / "file"))
    with pytest.raises(ValueError, match="which has 3"):
        corten.PyTorchFileWriter(io.BytesIO()).write_record("a", b"xyz", 4)
