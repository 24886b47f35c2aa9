"""Checkpoints that travel between corten and PyTorch, both ways and in both formats."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import fractions
import io
import mmap
import os
import pathlib
import pickle
import uuid
import zipfile

import corten
import numpy as np
import pytest
import torch

DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool"]


def content(lib):
    """The same checkpoint made with either library."""
    base = lib.arange(12, dtype=lib.float32).reshape(3, 4)
    tensors = {name: lib.tensor([0, 1, 2, 3]).to(getattr(lib, name)) for name in DTYPES}
    return {
        "base": base,
        "view": base[1:, ::2],
        "transposed": base.t(),
        "expanded": lib.ones(1).expand(1000),
        "parameter": lib.nn.Parameter(lib.ones(2, dtype=lib.float16)),
        "frozen": lib.nn.Parameter(lib.ones(2), requires_grad=False),
        "grad": lib.ones(3, requires_grad=True),
        "scalar": lib.tensor(2.5),
        "empty": lib.empty(2, 0),
        "channels": lib.ones(2, 3, 4, 5).to(memory_format=lib.channels_last),
        "tensors": tensors,
        "size": base.shape,
        "dtypes": [getattr(lib, name) for name in DTYPES],
        "device": lib.device("cpu"),
        "numbers": [0, -1, 2**40, -(2**70), 1.5, True, None, 1 + 2j],
        "texts": ["", "héllo", b"\x00\xff", bytearray(b"a")],
        "nested": collections.OrderedDict(a=(1, [2, {"b": {3}}])),
        "counter": collections.Counter("aab"),
    }


def assert_equal(found, wanted):
    """Compares a value of one library with the same value of either."""
    if isinstance(wanted, (torch.Tensor, corten.Tensor)):
        assert type(found).__name__ == type(wanted).__name__
        assert str(found.dtype).rpartition(".")[2] == str(wanted.dtype).rpartition(".")[2]
        assert tuple(found.shape) == tuple(wanted.shape) and tuple(found.stride()) == tuple(wanted.stride())
        assert found.storage_offset() == wanted.storage_offset() and found.requires_grad == wanted.requires_grad
        assert found.untyped_storage().nbytes() == wanted.untyped_storage().nbytes()
        assert found.tolist() == wanted.tolist()
    elif isinstance(wanted, dict):
        assert type(found) is type(wanted) and list(found) == list(wanted)
        for key in wanted:
            assert_equal(found[key], wanted[key])
    elif isinstance(wanted, (torch.Size, corten.Size)):
        assert tuple(found) == tuple(wanted) and type(found).__name__ == "Size"
    elif isinstance(wanted, (list, tuple)):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for own, other in zip(found, wanted):
            assert_equal(own, other)
    elif isinstance(wanted, (torch.dtype, torch.device, corten.dtype, corten.device)):
        assert str(found).rpartition(".")[2] == str(wanted).rpartition(".")[2]
    else:
        assert type(found) is type(wanted) and found == wanted


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("writer", "reader"), [(corten, torch), (torch, corten), (corten, corten)])
def test_checkpoints_travel(writer, reader, zipped):
    buffer = io.BytesIO()
    writer.save(content(writer), buffer, _use_new_zipfile_serialization=zipped)
    buffer.seek(0)
    found = reader.load(buffer)
    assert_equal(found, content(writer))
    with reader.no_grad():
        found["base"][1, 0] = 99
    assert found["view"][0, 0].item() == found["transposed"][0, 1].item() == 99


@pytest.mark.parametrize(("writer", "reader"), [(corten, torch), (torch, corten)])
def test_mapped_checkpoints_travel(tmp_path, writer, reader):
    writer.save(content(writer), tmp_path / "x.pt")
    assert_equal(reader.load(tmp_path / "x.pt", mmap=True), content(writer))


def test_pytorch_finds_storages_by_the_layout_alone(tmp_path, monkeypatch):
    # PyTorch can compute where each record is from sizes and alignment; in debugging it checks that against the file.
    from torch.utils.serialization import config

    corten.save(content(corten), tmp_path / "x.pt")
    monkeypatch.setenv("TORCH_SERIALIZATION_DEBUG", "1")
    with config.patch("load.calculate_storage_offsets", True):
        assert_equal(torch.load(tmp_path / "x.pt", mmap=True), content(corten))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_values_of_pytorch_are_read(protocol):
    values = {"s": np.float32(2.5), "a": np.arange(6).reshape(2, 3), "t": np.array(["ab", "c"]), "b": np.bool_(True)}
    buffer = io.BytesIO()
    torch.save(values, buffer, pickle_protocol=protocol)
    buffer.seek(0)
    found = corten.load(buffer)
    for name, wanted in values.items():
        np.testing.assert_array_equal(found[name], wanted)


@pytest.mark.parametrize(("writer", "reader"), [(corten, torch), (torch, corten)])
def test_files_without_a_byte_order_are_little_endian(writer, reader):
    buffer = io.BytesIO()
    writer.save(writer.arange(5, dtype=writer.int32), buffer, _disable_byteorder_record=True)
    buffer.seek(0)
    assert reader.load(buffer).tolist() == list(range(5))


@pytest.mark.parametrize(("writer", "reader"), [(corten, torch), (torch, corten)])
def test_models_and_optimizers_go_on_in_the_other_library(writer, reader):
    def network(lib):
        lib.manual_seed(0)
        model = lib.nn.Sequential(
            lib.nn.Linear(3, 8, bias=False), lib.nn.BatchNorm1d(8), lib.nn.ReLU(), lib.nn.Linear(8, 1)
        )
        optimizer = lib.optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
        schedule = lib.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=20)
        return model, optimizer, schedule

    def train(lib, parts, steps):
        model, optimizer, schedule = parts
        inputs = lib.tensor(np.random.default_rng(1).standard_normal((16, 3)).astype(np.float32))
        for _ in range(steps):
            optimizer.zero_grad()
            (model(inputs) - inputs.sum(1, keepdim=True)).pow(2).mean().backward()
            optimizer.step()
            schedule.step()
        return [param.detach().numpy() for param in model.parameters()]

    first = network(writer)
    train(writer, first, 5)
    buffer = io.BytesIO()
    writer.save([part.state_dict() for part in first], buffer)
    buffer.seek(0)
    second = network(reader)
    for part, state in zip(second, reader.load(buffer)):
        part.load_state_dict(state)
    for own, other in zip(train(reader, second, 5), train(writer, first, 5)):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-6)


def test_whole_modules_of_pytorch_are_read_without_running_code():
    buffer = io.BytesIO()
    corten.save(corten.nn.Linear(2, 3), buffer)
    buffer.seek(0)
    found = torch.load(buffer, weights_only=False)
    assert isinstance(found, torch.nn.Linear)
    buffer = io.BytesIO()
    torch.save(torch.nn.Linear(2, 3), buffer)
    buffer.seek(0)
    assert isinstance(corten.load(buffer, weights_only=False), corten.nn.Linear)


def test_checksums_that_pytorch_left_out_are_not_missed():
    torch.serialization.set_crc32_options(False)
    try:
        buffer = io.BytesIO()
        torch.save(content(torch), buffer)
    finally:
        torch.serialization.set_crc32_options(True)
    buffer.seek(0)
    assert_equal(corten.load(buffer), content(torch))


def test_attributes_of_tensors_travel():
    for writer, reader in ((corten, torch), (torch, corten)):
        tensor, param = writer.ones(2), writer.nn.Parameter(writer.ones(2))
        tensor.label, param.rank = "x", [1]
        buffer = io.BytesIO()
        writer.save([tensor, param], buffer)
        buffer.seek(0)
        found = reader.load(buffer)
        assert found[0].label == "x" and found[1].rank == [1]


def test_large_offsets_use_eight_bytes(tmp_path):
    """A sparse file of more than four gigabytes: only its ends are written."""
    from corten.utils.serialization.archive import ArchiveWriter

    class Sparse:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            view = memoryview(data)
            if view.nbytes > 1 << 24:
                self.file.seek(view.nbytes, os.SEEK_CUR)
            else:
                self.file.write(view)
            return view.nbytes

    path = tmp_path / "huge.pt"
    size = (1 << 32) + 64
    template = io.BytesIO()
    corten.save({"huge": corten.zeros(4, dtype=corten.uint8), "last": corten.ones(3)}, template)
    with zipfile.ZipFile(template) as old:
        pickled = old.read("archive/data.pkl").replace(b"K\x04", b"\x8a\x08" + size.to_bytes(8, "little"))
        last = old.read("archive/data/1")
    with open(path, "wb") as file, mmap.mmap(-1, size) as zeros:
        archive = ArchiveWriter(Sparse(file), "archive", checksum=False)
        archive.add("data.pkl", pickled)
        archive.add("byteorder", b"little")
        archive.add("data/0", zeros)
        archive.add("data/1", last)
        archive.close()
    for lib in (torch, corten):
        found = lib.load(path, mmap=True)
        assert found["last"].tolist() == [1, 1, 1] and found["huge"].shape == (size,)
        del found
    path.unlink()


def sparse_content(lib):
    """Sparse tensors made with either library: with equal places, coalesced, a parameter, with an attribute, empty."""
    places = lib.tensor([[0, 1, 0], [1, 0, 1]])
    matrix = lib.sparse_coo_tensor(places, lib.tensor([1.0, 2.0, 3.0]), (2, 3), requires_grad=True)
    rows = lib.sparse_coo_tensor(lib.tensor([[0, 1, 1]]), lib.ones(3, 2, dtype=lib.float64), (4, 2))
    labelled = lib.sparse_coo_tensor(places, lib.ones(3), (2, 3))
    labelled.label = "x"
    nothing = lib.sparse_coo_tensor(places[:, :0], lib.ones(0), (2, 3))
    parameter = lib.nn.Parameter(rows)
    return dict(matrix=matrix, rows=rows.coalesce(), parameter=parameter, labelled=labelled, nothing=nothing)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("writer", "reader"), [(corten, torch), (torch, corten), (corten, corten)])
def test_sparse_tensors_travel(writer, reader, zipped):
    buffer = io.BytesIO()
    writer.save(sparse_content(writer), buffer, _use_new_zipfile_serialization=zipped)
    buffer.seek(0)
    found, wanted = reader.load(buffer), sparse_content(torch)
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        own = found[name]
        assert isinstance(own, reader.nn.Parameter) == isinstance(tensor, torch.nn.Parameter)
        assert own.is_sparse and own.is_coalesced() == tensor.is_coalesced() and tuple(own.shape) == tuple(tensor.shape)
        assert own._indices().tolist() == tensor._indices().tolist()
        assert own._values().tolist() == tensor._values().tolist()
        assert str(own.dtype).partition(".")[2] == str(tensor.dtype).partition(".")[2]
        # Files say it of parameters alone.
        assert own.requires_grad == isinstance(tensor, torch.nn.Parameter)
        assert getattr(own, "label", None) == getattr(tensor, "label", None)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_compressed_sparse_tensors_raise(layout):
    buffer = io.BytesIO()
    torch.save(getattr(torch.eye(2), f"to_sparse_{layout}")(), buffer)
    buffer.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=f"torch.sparse_{layout}.*to_sparse_coo"):
        corten.load(buffer)


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e8m0fnu", "complex32"])
def test_dtypes_without_storages_of_their_own_are_read_from_the_older_format(dtype):
    # PyTorch's own files of that format with such dtypes are read here, by PyTorch itself they are not.
    for writer, readers in ((corten, (corten, torch)), (torch, (corten,))):
        content = writer.tensor([1.0, 2.0, 4.0]).to(getattr(writer, dtype))
        buffer = io.BytesIO()
        writer.save([content, content[1:]], buffer, _use_new_zipfile_serialization=False)
        for reader in readers:
            buffer.seek(0)
            found = reader.load(buffer)
            assert found[0].dtype == getattr(reader, dtype)
            assert found[0].to(reader.complex64 if dtype == "complex32" else reader.float32).tolist() == [1, 2, 4]
            assert found[1].untyped_storage().data_ptr() == found[0].untyped_storage().data_ptr()


def test_modules_with_functions_travel_whole():
    buffer = io.BytesIO()
    layer = torch.nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True).eval()
    torch.save(layer, buffer)
    buffer.seek(0)
    input = torch.ones(1, 3, 4)
    found = corten.load(buffer, weights_only=False)(corten.ones(1, 3, 4))
    np.testing.assert_allclose(found.detach().numpy(), layer(input).detach().numpy(), rtol=1e-4, atol=1e-6)
    buffer = io.BytesIO()
    own = corten.nn.Sequential(corten.nn.Linear(2, 2))
    own.activation = corten.nn.functional.relu
    corten.save(own, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False).activation is torch.nn.functional.relu


@pytest.mark.parametrize("protocol", [2, 4])
def test_plain_values_of_the_standard_library_are_read(protocol):
    values = [
        datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), pathlib.Path("a"), range(3), uuid.UUID(int=5),
        argparse.Namespace(a=1), collections.deque([1], 2), decimal.Decimal("1.5"), fractions.Fraction(1, 3),
        np.float32(1.5), np.dtype("float32"),
    ]  # fmt: skip
    buffer = io.BytesIO()
    torch.save(values, buffer, pickle_protocol=protocol)
    buffer.seek(0)
    assert corten.load(buffer, weights_only=False) == values


@pytest.mark.parametrize(("writer", "reader"), [(corten, torch), (torch, corten)])
def test_lazy_modules_travel(writer, reader):
    buffer = io.BytesIO()
    writer.save(writer.nn.LazyBatchNorm1d().state_dict(), buffer)
    buffer.seek(0)
    module = reader.nn.LazyBatchNorm1d()
    module.load_state_dict(reader.load(buffer, weights_only=False))
    assert module.has_uninitialized_params() and module(reader.ones(2, 3)).shape == (2, 3)
