"""The device `meta` beside PyTorch's: shapes, strides and dtypes of the operators' table, errors by class, texts, files both ways."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import corten
import pytest
import torch

from op_table import ROWS
from op_table.row import Row, Sample, build, tensors_in

# Rows that PyTorch has no meta kernel for, or whose meta kernel tells other strides than its CPU's kernel, with which
# corten agrees (`tests/test_meta.py`).
NOT_THERE: dict[str, str] = {}


def results(lib, row: Row, sample: Sample) -> list | type[BaseException]:
    """The results on `meta`, or the class of the error."""
    args, kwargs = sample.map(lambda o: build(lib, o, "cpu").to("meta"), lib)
    if row.creates:
        kwargs["device"] = "meta"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tensors_in(row.function(lib)(*args, **kwargs))
    except Exception as error:
        return type(error)


def facts(t) -> tuple:
    return tuple(t.shape), t.stride(), str(t.dtype).rpartition(".")[2], t.device.type


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_operators(row: Row) -> None:
    for sample in row.samples_of("float32" if "float32" in row.dtypes else row.dtypes[0]):
        theirs = results(torch, row, sample)
        mine = results(corten, row, sample)
        if isinstance(theirs, type):
            # Where PyTorch has no kernel, corten tells the shape; where nobody can, both refuse.
            continue
        assert not isinstance(mine, type), f"{row}{sample}: {mine}"
        assert [facts(t) for t in mine] == [facts(t) for t in theirs], f"{row}{sample}"
