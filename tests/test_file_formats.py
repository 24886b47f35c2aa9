"""Files of numpy and safetensors: what is read, lazily where it can be, and that damaged and hostile ones raise."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import struct
import zipfile

import corten
import numpy as np
import pytest

# Files are read and copied by the CPU.
pytestmark = pytest.mark.cpu

CLEAR = (EOFError, RuntimeError, pickle.UnpicklingError)
ARRAYS = {
    "f": np.arange(6, dtype="<f4").reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "swapped": np.arange(4, dtype=">i2"),
    "complex": np.array([1 + 2j], dtype="<c8"),
    "bool": np.array([[True], [False]]),
    "half": np.array([1.5, -2], dtype="f2"),
    "scalar": np.array(7, dtype="i8"),
    "empty": np.zeros((0, 3), dtype="u1"),
}


def npz(compressed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **ARRAYS)
    return file.getvalue()


def npy(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def safetensors(entries: dict[str, object], body: bytes) -> bytes:
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + body


WEIGHTS = {
    "__metadata__": {"made": "here"},
    "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "a": {"dtype": "C64", "shape": [2], "data_offsets": [24, 40]},
    "n": {"dtype": "U8", "shape": [], "data_offsets": [40, 41]},
    "odd": {"dtype": "F32", "shape": [1], "data_offsets": [41, 45]},
    "none": {"dtype": "BF16", "shape": [0, 4], "data_offsets": [45, 45]},
}
BODY = np.arange(10, dtype="<f4").tobytes() + b"\x07" + np.float32(2.5).tobytes()


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors(WEIGHTS, BODY))
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_of_an_npz_file_are_tensors_by_name(tmp_path, compressed):
    path = tmp_path / "x.npz"
    path.write_bytes(npz(compressed))
    for found in (corten.load(path), corten.load(io.BytesIO(npz(compressed)))):
        assert list(found) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert found[name].tolist() == array.tolist() and tuple(found[name].shape) == array.shape
            assert str(found[name].dtype) == f"corten.{array.dtype.newbyteorder('=').name}"
    assert found["columns"].stride() == (1, 2)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", ARRAYS)
def test_an_npy_file_is_a_tensor_that_can_be_written_and_leaves_the_file_alone(tmp_path, name, mmap):
    path = tmp_path / "x.npy"
    path.write_bytes(npy(ARRAYS[name]))
    found = corten.load(path, mmap=mmap)
    assert found.tolist() == ARRAYS[name].tolist()
    found.zero_()
    assert corten.load(path).tolist() == ARRAYS[name].tolist()


def test_arrays_of_objects_are_never_unpickled():
    calls: list[int] = []

    class Evil:
        def __reduce__(self):
            return calls.append, (1,)

    hostile = npy(np.array([Evil()], dtype=object), allow_pickle=True)
    for content in (hostile, zipped(("x.npy", hostile))):
        with pytest.raises(pickle.UnpicklingError, match="never executed"):
            corten.load(io.BytesIO(content), weights_only=False)
    assert calls == []


def zipped(*records: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in records:
            archive.writestr(name, data)
    return file.getvalue()


def described(header: str, payload: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode() + payload


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (described("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", b"1234"), "has 4 bytes"),
        (described("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"), "no shape"),
        (described("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}"), "no shape"),
        (described("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}"), "does not describe"),
        (described("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}"), "has 0 bytes"),
        (described("__import__('os').system('true')"), "cannot be read"),
        (described("{'descr': '<U4', 'fortran_order': False, 'shape': (2,)}"), "dtype '<U4'"),
        (described("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), "does not support"),
        (described(" " * 9, version=b"\x09\x00"), "version 9"),
        (b"\x93NUMPY\x01\x00\xff\xff", "no header"),
        (zipped(("x.npy", npy(np.ones(2))), ("y.txt", b"x")), "is no array"),
    ],
)
def test_arrays_that_are_not_what_they_say_raise(content, message):
    with pytest.raises(RuntimeError, match=message):
        corten.load(io.BytesIO(content))


@pytest.mark.parametrize("content", [npz(), npz(True), npy(ARRAYS["f"])], ids=["npz", "compressed", "npy"])
def test_files_of_numpy_that_are_damaged_anywhere_never_crash(content):
    for size in range(1, len(content)):
        with pytest.raises(CLEAR):
            corten.load(io.BytesIO(content[:size]))
    draws = random.Random(0)
    for _ in range(600):
        damaged = bytearray(content)
        for _ in range(draws.choice((1, 1, 2, 5))):
            damaged[draws.randrange(len(damaged))] ^= 1 << draws.randrange(8)
        with contextlib.suppress(*CLEAR):
            corten.load(io.BytesIO(bytes(damaged)))


@pytest.mark.parametrize("mmap", [False, True])
def test_tensors_of_a_safetensors_file_come_back_wherever_they_lie(weights, mmap):
    found = corten.load(weights, mmap=mmap)
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["n"].item() == 7 and found["odd"].tolist() == [2.5]
    assert found["a"].tolist() == [6 + 7j, 8 + 9j] and found["none"].shape == (0, 4)
    found["w"].zero_()
    assert corten.load(weights)["w"].sum().item() == 15


def test_mapped_tensors_are_read_when_they_are_used(tmp_path):
    path = tmp_path / "x.safetensors"
    size = 1 << 20
    path.write_bytes(
        safetensors({"w": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}}, bytes(4 * size))
    )
    content = bytearray(path.read_bytes())
    mapped, copied = corten.load(path, mmap=True)["w"], corten.load(path)["w"]
    # Pages that nobody has touched show what the file holds now.
    content[-4:] = np.float32(3).tobytes()
    with open(path, "r+b") as file:
        file.write(content)
    assert mapped[-1].item() == 3 and copied[-1].item() == 0


def test_a_safetensors_file_is_opened_for_one_tensor_at_a_time(weights):
    with corten.serialization.safe_open(weights, framework="pt", device="cpu") as file:
        assert file.keys() == ["a", "n", "none", "odd", "w"] and file.offset_keys()[0] == "w"
        assert file.metadata() == {"made": "here"}
        part = file.get_slice("w")
        assert part.get_shape() == [2, 3] and part.get_dtype() == "F32" and part[:, 1:].tolist() == [[1, 2], [4, 5]]
        kept = file.get_tensor("w")
        with pytest.raises(KeyError, match="tensor absent"):
            file.get_tensor("absent")
    assert kept.sum().item() == 15
    with pytest.raises(ValueError, match="closed"):
        file.get_tensor("w")


def changed(**entries: object) -> dict[str, object]:
    return {"w": {**WEIGHTS["w"], **entries}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (changed(shape=[2, 4]), "does not lie"),
        (changed(shape=[-2, -3]), "no shape"),
        (changed(shape=[2**62, 2**62]), "does not lie"),
        (changed(shape=[2.0, 3]), "no shape"),
        (changed(dtype="F4"), "dtype 'F4'"),
        (changed(dtype=["F32"]), "does not support"),
        (changed(data_offsets=[-24, 0]), "no place"),
        (changed(data_offsets=[1, 25]), "does not lie"),
        ({**changed(), "v": WEIGHTS["w"]}, "does not lie"),
        ({"w": 3}, "no place"),
        ({**changed(), "__metadata__": {"a": 1}}, "no texts"),
        ({}, "belong to no tensor"),
    ],
)
def test_headers_that_contradict_the_file_raise(tmp_path, entries, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors(entries, BODY[:24]))
    for mmap in (False, True):
        with pytest.raises(RuntimeError, match=message):
            corten.load(path, mmap=mmap)


def test_names_that_occur_twice_raise(tmp_path):
    entry = json.dumps(WEIGHTS["n"] | {"data_offsets": [0, 1]})
    header = f'{{"a":{entry},"a":{entry}}}'.encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"1")
    with pytest.raises(RuntimeError, match="twice"):
        corten.load(path)


def test_safetensors_files_that_are_damaged_anywhere_never_crash(weights):
    content = weights.read_bytes()
    for size in range(len(content)):
        weights.write_bytes(content[:size])
        with pytest.raises(RuntimeError):
            corten.load(weights, mmap=True)
    draws = random.Random(0)
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(draws.choice((1, 1, 2, 5))):
            damaged[draws.randrange(len(damaged))] ^= 1 << draws.randrange(8)
        weights.write_bytes(damaged)
        with contextlib.suppress(RuntimeError):
            corten.load(weights)
