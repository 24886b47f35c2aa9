"""Tensors as Python objects: how they print, copies of them, and what they take their dtype from."""

from __future__ import annotations

import copy
import re

import corten
import numpy as np
import pytest
from corten import _missing, nn

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, NAN], "tensor([1., nan])"),
        ([0.0, -0.0], "tensor([0., -0.])"),
        ([1.5, -INF, 0.0], "tensor([1.5000,   -inf, 0.0000])"),
        ([-INF, NAN], "tensor([-inf, nan])"),
        ([1e10, NAN], "tensor([1.0000e+10,        nan])"),
        ([-0.0, 1.5], "tensor([-0.0000, 1.5000])"),
    ],
)
def test_zeros_and_what_is_not_finite_take_the_width_of_the_numbers(values, text) -> None:
    assert repr(corten.tensor(values)) == text


def test_parameters_print_as_such() -> None:
    parameter = nn.Parameter(corten.ones(1))
    assert str(parameter) == repr(parameter) == "Parameter containing:\ntensor([1.], requires_grad=True)"


def test_shallow_copy_shares_memory() -> None:
    for original in (corten.zeros(2, 3).t(), nn.Parameter(corten.zeros(2))):
        shallow = copy.copy(original)
        assert type(shallow) is type(original) and shallow is not original
        assert shallow.stride() == original.stride() and shallow.requires_grad == original.requires_grad
        shallow.detach().fill_(5)
        assert original.detach().unique().tolist() == [5]


def test_deep_copy_of_a_parameter_starts_without_gradient() -> None:
    layer = nn.Linear(2, 2)
    layer(corten.ones(1, 2)).sum().backward()
    assert copy.deepcopy(layer).weight.grad is None
    assert layer.weight.grad is not None


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([np.float64(0.1)], corten.float64),
        ([np.float16(1), 2], corten.float16),
        ([np.float16(1), 2.5], corten.float32),
        ([[np.int32(1), True]], corten.int32),
        ([np.int32(1), 2], corten.int64),
        ([np.uint8(1), np.int8(1)], corten.int16),
        pytest.param([corten.tensor(1, dtype=corten.int32), 1], corten.int64, marks=pytest.mark.cpu),
        pytest.param([corten.tensor(1, dtype=corten.float16), 1.5], corten.float32, marks=pytest.mark.cpu),
        ([1, 2.5], corten.float32),
        ([True, 2], corten.int64),
        ([], corten.float32),
    ],
)
def test_lists_promote_the_dtypes_of_their_elements(values, dtype) -> None:
    made = corten.tensor(values)
    assert made.dtype == dtype
    assert made.flatten().tolist() == np.ravel([float(v) for v in np.ravel(values)]).tolist()


def test_batches_of_numpy_scalars_keep_their_dtype() -> None:
    assert corten.utils.data.default_collate([np.int32(3), np.int32(4)]).dtype == corten.int32


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        (corten.mps, "synchronize", "device 'gpu'"),
        (corten.xpu, "synchronize", "device 'gpu'"),
        (corten, "export", "keeps weights"),
        (corten, "sparse_csr_tensor", "sparse_coo_tensor"),
        (corten.distributed, "TCPStore", "init_method"),
        (corten, "ao", "not quantized"),
        (corten, "masked", "corten.where"),
        (corten.utils, "cpp_extension", "corten.library"),
        (corten.utils.data, "IterDataPipe", "IterableDataset"),
        (corten.nn.parallel, "comm", "one device"),
    ],
)
def test_missing_names_point_at_what_is_there(module, name, hint) -> None:
    assert not hasattr(module, name)
    for error in (AttributeError, NotImplementedError):
        with pytest.raises(error, match=f"has no attribute '{name}': .*{hint}"):
            getattr(module, name)


def test_hints_are_for_what_is_not_there() -> None:
    def is_there(path: str) -> bool:
        target = corten
        for part in path.split(".")[1:]:
            target = getattr(target, part, None)
        return target is not None

    # Programs ask corten.distributed whether it is available; its hint is for what it lacks.
    assert [path for path in _missing._HINTS if is_there(path)] == ["corten.distributed"]


def test_hints_name_only_what_exists() -> None:
    for text in _missing._HINTS.values():
        for path in re.findall(r"corten(?:\.\w+)+", text):
            target = corten
            for part in path.split(".")[1:]:
                target = getattr(target, part)


def test_map_location_of_another_type_is_refused(tmp_path) -> None:
    corten.save(corten.ones(2), tmp_path / "x.pt")
    with pytest.raises(TypeError, match=r"map_location must be .* not int"):
        corten.load(tmp_path / "x.pt", map_location=3)
