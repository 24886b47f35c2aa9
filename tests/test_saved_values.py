"""What checkpoints hold besides dense tensors: modules, plain values, sparse tensors; and archives packed again."""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import types
import uuid
import zipfile
import zlib

import corten
import pytest
from corten import serialization

from saved_files import loaded, saved


def repacked(content: bytes, compression=zipfile.ZIP_STORED, **records) -> bytes:
    """The file with some records replaced, named without their folder."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, records.get(name.partition("/")[2], old.read(name)))
    return result.getvalue()


# -- modules and plain values ----------------------------------------------------------------------------------------


class OwnNet(corten.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.activation = corten.nn.Linear(2, 2), corten.nn.functional.relu

    def forward(self, input):
        return self.activation(self.layer(input))


def test_an_own_module_comes_back_whole_once_its_class_is_allowed():
    model = OwnNet()
    content = saved(model)
    with pytest.raises(pickle.UnpicklingError, match=r"OwnNet.*state_dict"):
        loaded(content, weights_only=False)
    with serialization.safe_globals([OwnNet]):
        found = loaded(content, weights_only=False)
    assert found(corten.ones(1, 2)).tolist() == model(corten.ones(1, 2)).tolist()


PLAIN_VALUES = [
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    datetime.datetime(2024, 1, 2),
    datetime.date(2020, 2, 29),
    datetime.time(1, 2, 3),
    datetime.timedelta(3, 4, 5),
    datetime.timezone(datetime.timedelta(hours=2), "there"),
    pathlib.Path("a/b"),
    pathlib.PurePosixPath("/x"),
    range(1, 9, 2),
    argparse.Namespace(lr=0.1, sizes=[1]),
    types.SimpleNamespace(a=1),
    collections.deque([1, 2], maxlen=3),
    collections.deque(),
    decimal.Decimal("1.50"),
    fractions.Fraction(-3, 4),
    uuid.UUID(int=2**127 + 5),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
def test_plain_values_of_the_standard_library_come_back_where_weights_only_is_off(value, protocol):
    content = saved({"value": value}, pickle_protocol=protocol)
    found = loaded(content, weights_only=False)["value"]
    assert type(found) is type(value) and found == value
    assert getattr(found, "maxlen", None) == getattr(value, "maxlen", None)
    with pytest.raises(pickle.UnpicklingError):
        loaded(content)


# -- sparse tensors --------------------------------------------------------------------------------------------------


def sparse_example():
    places = corten.tensor([[0, 2, 0], [1, 0, 1]])
    return corten.sparse_coo_tensor(places, corten.tensor([1.0, 2.0, 3.0]), (3, 2))


@pytest.mark.parametrize("zipped", [True, False])
def test_sparse_tensors_come_back(zipped):
    module = corten.nn.Module()
    module.register_buffer("graph", sparse_example())
    module.weight = corten.nn.Parameter(sparse_example())
    content = saved({**module.state_dict(), "sum": sparse_example().coalesce()}, _use_new_zipfile_serialization=zipped)
    found = loaded(content)
    for tensor in found.values():
        assert tensor.is_sparse and tensor.to_dense().tolist() == [[0, 4], [0, 0], [2, 0]]
    assert found["graph"]._nnz() == 3 and not found["graph"].is_coalesced()
    assert found["sum"]._nnz() == 2 and found["sum"].is_coalesced()
    module.graph.mul_(0)
    module.load_state_dict({name: found[name] for name in ("graph", "weight")})
    assert module.graph.to_dense().tolist() == [[0, 4], [0, 0], [2, 0]]
    assert loaded(saved(module.weight)).requires_grad
    assert loaded(content, map_location="meta")["graph"].is_meta


def test_sparse_tensors_are_copied_and_pickled():
    tensor = sparse_example().requires_grad_()
    for found in (copy.deepcopy(tensor), pickle.loads(pickle.dumps(tensor))):
        assert found.to_dense().tolist() == tensor.to_dense().tolist()
        assert found._values().data_ptr() != tensor._values().data_ptr()
    assert copy.deepcopy(tensor).requires_grad
    with pytest.raises(RuntimeError, match="leaf Variable"):
        tensor.mul_(2)


def test_places_outside_of_a_sparse_tensor_raise():
    content = saved(sparse_example(), pickle_protocol=2)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert loaded(repacked(content)).shape == (3, 2)
        places = bytearray(file.read("archive/data/0"))
    for place in (-1, 3, 2**40):
        places[:8] = place.to_bytes(8, "little", signed=True)
        with pytest.raises(RuntimeError, match="lies outside"):
            loaded(repacked(content, **{"data/0": bytes(places)}))


# -- archives that somebody packed again -----------------------------------------------------------------------------


def test_an_archive_that_was_compressed_is_read():
    weights = corten.randn(300, 100)
    content = saved({"weights": weights, "zeros": corten.zeros(1000, 1000)})
    found = loaded(repacked(content, zipfile.ZIP_DEFLATED))
    assert corten.equal(found["weights"], weights) and found["zeros"].shape == (1000, 1000)


@pytest.mark.parametrize("filling", [b"]", b"N", b"(", b"\x00", b"X\x00\x00\x00\x00"])
@pytest.mark.parametrize("size", [4 << 20, 32 << 20])
def test_a_pickle_that_swells_is_refused_before_it_is_decompressed(filling, size, monkeypatch):
    bomb = b"\x80\x02" + filling * (size // len(filling)) + b"."
    content = repacked(saved(1), zipfile.ZIP_DEFLATED, **{"data.pkl": bomb})
    assert len(content) < size // 100
    monkeypatch.setattr(zlib, "decompressobj", None)
    for read in (corten.load, serialization.get_unsafe_globals_in_checkpoint):
        with pytest.raises(RuntimeError, match=r"record '.*data\.pkl' of \d+ compressed bytes claims to hold"):
            read(io.BytesIO(content))


def test_records_that_swell_together_are_refused(monkeypatch):
    # Each would be small enough.
    names = {f"data/{key}": bytes(16 << 20) for key in range(6)}
    content = repacked(saved([corten.zeros(1) for _ in names]), zipfile.ZIP_DEFLATED, **names)
    monkeypatch.setattr(zlib, "decompressobj", None)
    with pytest.raises(RuntimeError, match=r"claim to hold \d+ once decompressed.*zip -0"):
        loaded(content)


def test_sizes_that_lie_are_noticed():
    """A directory may claim less than the data has: no more than the claim is decompressed."""
    bomb = b"\x80\x02" + b"]" * (8 << 20) + b"."
    content = repacked(saved(1), zipfile.ZIP_DEFLATED, **{"data.pkl": bomb})
    for claim in (0, 1, 100, 1 << 19):
        changed = bytearray(content)
        at = changed.index(b"PK\x01\x02")
        assert changed[at + 24 : at + 28] == len(bomb).to_bytes(4, "little")
        changed[at + 24 : at + 28] = claim.to_bytes(4, "little")
        with pytest.raises(RuntimeError, match="does not have the size it claims"):
            loaded(bytes(changed))
