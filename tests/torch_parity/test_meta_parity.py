"""The device `meta` beside PyTorch's: shapes, strides and dtypes of the operators' table, errors, texts, files."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable

import corten
import numpy as np
import pytest
import torch

from op_table import ROWS
from op_table.row import Row, Sample, build, resolve, tensors_in

# Writes through masks: PyTorch does not look at what the index is, corten would have to know how many places it has.
BY_MASKS = ("index_put", "Tensor.__setitem__")


def results(lib, row: Row, sample: Sample) -> list | BaseException:
    """The results on `meta`, or the error."""
    args, kwargs = sample.map(lambda o: build(lib, o, "cpu").to("meta"), lib)
    if row.creates:
        kwargs["device"] = "meta"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function = resolve(lib, row.torch) if lib is torch and row.torch else row.function(lib)
            return tensors_in(function(*args, **kwargs))
    except Exception as error:
        return error


def facts(t) -> tuple:
    """Strides of what has no elements are left out: they follow numpy's where the operand came from there."""
    return tuple(t.shape), t.stride() if t.numel() else None, str(t.dtype).rpartition(".")[2], t.device.type


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_operators(row: Row) -> None:
    for sample in row.samples_of("float32" if "float32" in row.dtypes else row.dtypes[0]):
        theirs, mine = results(torch, row, sample), results(corten, row, sample)
        if isinstance(theirs, BaseException):
            # Without a kernel of PyTorch's there is nothing to compare; `tests/test_meta.py` compares with the CPU.
            continue
        if isinstance(mine, NotImplementedError) and str(row) in BY_MASKS:
            continue
        assert not isinstance(mine, BaseException), f"{row}{sample}: {mine!r}"
        assert [facts(t) for t in mine] == [facts(t) for t in theirs], f"{row}{sample}"


# What one library prints or raises, and the other as well: calls of the library, a tensor (2, 3) and a number on meta,
# and a tensor (2, 3) of the CPU.
CALLS: dict[str, Callable] = {
    "repr": lambda L, m, z, c: m,
    "repr of a number": lambda L, m, z, c: (z, f"{z}"),
    "repr of dtypes": lambda L, m, z, c: [m.to(getattr(L, d)) for d in ("int64", "bool", "float64", "complex64")],
    "repr of gradients": lambda L, m, z, c: (m.requires_grad_(), m * 2, L.nn.Parameter(m)),
    "storage": lambda L, m, z, c: (m.untyped_storage(), m.untyped_storage().nbytes(), m[1].storage_offset()),
    "facts": lambda L, m, z, c: (m.is_meta, m.is_cpu, m.get_device(), m.data_ptr(), m.nbytes, m.type(), len(m)),
    "device": lambda L, m, z, c: (m.device, L.device("meta", 0), L.empty(1, device="meta:3").device),
    "item": lambda L, m, z, c: z.item(),
    "item of many": lambda L, m, z, c: m.item(),
    "bool": lambda L, m, z, c: bool(z),
    "float": lambda L, m, z, c: float(z),
    "format": lambda L, m, z, c: f"{z:.3f}",
    "in": lambda L, m, z, c: 1.0 in m,
    "tolist": lambda L, m, z, c: m.tolist(),
    "tolist of a number": lambda L, m, z, c: z.tolist(),
    "numpy": lambda L, m, z, c: m.numpy(),
    "asarray": lambda L, m, z, c: np.asarray(m),
    "dlpack": lambda L, m, z, c: m.__dlpack__(),
    "dlpack device": lambda L, m, z, c: m.__dlpack_device__(),
    "cpu": lambda L, m, z, c: m.cpu(),
    "to like": lambda L, m, z, c: m.to(c),
    "to meta like": lambda L, m, z, c: (c.to(m), c.t().to("meta").stride()),
    "storage to cpu": lambda L, m, z, c: m.untyped_storage().cpu(),
    "storage element": lambda L, m, z, c: m.untyped_storage()[0],
    "share": lambda L, m, z, c: m.share_memory_(),
    "pin": lambda L, m, z, c: m.pin_memory(),
    "set": lambda L, m, z, c: m.set_(c),
    "generator": lambda L, m, z, c: L.Generator("meta"),
    "add cpu": lambda L, m, z, c: m + c,
    "add to cpu": lambda L, m, z, c: c + m,
    "add number of meta": lambda L, m, z, c: c + z,
    "add numbers": lambda L, m, z, c: (m + L.tensor(2.0), L.tensor(2.0) * m, m.add_(L.tensor(1)), m + z, m**2, 2**m),
    "cat": lambda L, m, z, c: L.cat([m, c]),
    "copy to cpu": lambda L, m, z, c: c.copy_(m),
    "copy from cpu": lambda L, m, z, c: m.copy_(c),
    "assign to cpu": lambda L, m, z, c: c.__setitem__(0, m[0]),
    "assign": lambda L, m, z, c: [m.__setitem__(0, 1), m.__setitem__(0, c[0]), m.__setitem__(m > 0, 1.0), m],
    "where": lambda L, m, z, c: (L.where(m > 0, m, L.tensor(2.0)), m.masked_fill(m > 0, z), m.clamp(min=z)),
    "index by the cpu": lambda L, m, z, c: (m[L.tensor([0, 1])], m[[0, 1]]),
    "nonzero": lambda L, m, z, c: m.nonzero(),
    "unique": lambda L, m, z, c: m.unique(),
    "masked select": lambda L, m, z, c: m.masked_select(m > 0),
    "mask": lambda L, m, z, c: m[m > 0],
    "equal": lambda L, m, z, c: L.equal(m, m),
    "allclose": lambda L, m, z, c: L.allclose(m, m),
    "one_hot": lambda L, m, z, c: L.nn.functional.one_hot(m.long()),
    "one_hot of five": lambda L, m, z, c: L.nn.functional.one_hot(m.long(), 5),
    "copies": lambda L, m, z, c: (copy.copy(m), copy.deepcopy(m), m.clone(), m.t().contiguous().stride()),
    "views": lambda L, m, z, c: (m.view(6).fill_(3), m.split(1), list(m), m.max(0)),
    "pickle": lambda L, m, z, c: pickle.loads(pickle.dumps(m)),
    "set gradient": lambda L, m, z, c: setattr(m.requires_grad_(), "grad", c),
    "gradient to cpu": lambda L, m, z, c: c.requires_grad_().to("meta").sum().backward(),
    "gradient": lambda L, m, z, c: L.autograd.grad((m.requires_grad_() ** 2).sum(), m),
    "module": lambda L, m, z, c: L.nn.Linear(2, 3, device="meta").to("cpu"),
    "module to meta": lambda L, m, z, c: L.nn.Linear(2, 3).to("meta").weight,
    "module filled": lambda L, m, z, c: L.nn.Linear(2, 3, device="meta").to_empty(device="cpu").weight.device,
    "load": lambda L, m, z, c: L.nn.Linear(2, 3).load_state_dict(L.nn.Linear(2, 3, device="meta").state_dict()),
    "batch norm": lambda L, m, z, c: L.nn.BatchNorm1d(3, device="meta")(m.detach()),
    "LSTM": lambda L, m, z, c: [t.shape for t in L.nn.LSTM(3, 4, device="meta")(m)[1]],
    "clip": lambda L, m, z, c: L.nn.utils.clip_grad_norm_([L.nn.Parameter(m)], 1.0),
}


@pytest.mark.parametrize("name", CALLS)
def test_answers_and_errors(name: str) -> None:
    def outcome(lib):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                m, z = lib.empty(2, 3, device="meta"), lib.empty((), device="meta")
                return repr(CALLS[name](lib, m, z, lib.ones(2, 3))).replace("corten", "torch")
            except Exception as error:
                return type(error)

    assert outcome(corten) == outcome(torch)


def test_warnings_of_loading_are_pytorchs() -> None:
    def texts(lib) -> list[str]:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            lib.nn.Linear(2, 3, device="meta").load_state_dict(lib.nn.Linear(2, 3).state_dict())
        return [str(warning.message) for warning in seen]

    assert texts(corten) == texts(torch) != []


@pytest.mark.parametrize("writer, reader", [(corten, torch), (torch, corten)], ids=["from corten", "from torch"])
def test_files_are_read_by_both(writer, reader) -> None:
    base = writer.empty(4, 6, device="meta")
    value = {
        "t": base, "part": base.t()[1:, ::2], "p": writer.nn.Parameter(base, requires_grad=False),
        "i": writer.empty(2, dtype=writer.int64, device="meta"), "c": writer.ones(2, 3),
        "g": writer.empty(1, device="meta", requires_grad=True),
    }  # fmt: skip
    file = io.BytesIO()
    writer.save(value, file)
    for place in (None, "cpu", "meta"):
        file.seek(0)
        loaded = reader.load(file, map_location=place)
        for key, t in value.items():
            other = facts(loaded[key])
            expected = (*facts(t)[:3], "meta") if place == "meta" else facts(t)
            assert other == expected and loaded[key].requires_grad == t.requires_grad, (place, key)
        assert isinstance(loaded["p"], reader.nn.Parameter)
