"""Every sample of the operator table in PyTorch and here: values, dtypes, strides, aliasing and gradients."""

from __future__ import annotations

import warnings
from typing import Any

import corten
import numpy as np
import pytest
import torch

from op_table import ROWS
from op_table.row import Operand, Row, Sample, build, dtype_name, is_float, layouts_of, resolve, tensors_in, to_numpy

BY_DTYPE = [pytest.param(row, dtype, id=f"{row}-{dtype}") for row in ROWS for dtype in row.dtypes]


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def function_of(row: Row, module: Any) -> Any:
    if module is torch and row.torch:
        return resolve(torch, row.torch)
    return row.function(module)


def call(row: Row, module: Any, sample: Sample, layout: str = "contiguous") -> list[Any]:
    def convert(operand: Operand) -> Any:
        return build(module, operand, "cpu", layout if layout in set(layouts_of(operand)) else "contiguous")

    args, kwargs = sample.map(convert, module)
    return tensors_in(function_of(row, module)(*args, **kwargs))


def strides(tensor: Any) -> list[int]:
    """Strides that are stepped over."""
    return [s for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1] if tensor.numel() else []


# PyTorch's relative distance from SciPy's values, which corten's agree with, for shapes of 150 to 400.
INEXACT = {"igamma": 1e-9, "igammac": 1e-9}


def tolerance_of(row: Row, dtype: str) -> tuple[float, float]:
    """Two correct implementations may each be off by the row's tolerance."""
    rtol, atol = row.tolerance.get(dtype, (0.0, 0.0))
    if row.name.startswith(("special.bessel_", "special.airy_ai")) and dtype == "float64":
        # PyTorch's are off by so much between 5 and 8 and around -2.5, by scipy's and mpmath's values.
        rtol, atol = 1e-5, 1e-5
    if dtype == "float64" and row.name in INEXACT:
        rtol = max(rtol, INEXACT[row.name])
    return 2 * rtol, 2 * atol


def compare(row: Row, ours: list[Any], theirs: list[Any], context: str, values: bool = True) -> None:
    assert len(ours) == len(theirs), context
    for mine, their in zip(ours, theirs, strict=True):
        assert tuple(mine.shape) == tuple(their.shape), context
        assert dtype_name(mine.dtype) == dtype_name(their.dtype), context
        if not values:
            continue
        left, right = to_numpy(mine), to_numpy(their)
        if not is_float(dtype_name(mine.dtype)):
            np.testing.assert_array_equal(left, right, err_msg=context)
        else:
            rtol, atol = tolerance_of(row, dtype_name(mine.dtype))
            np.testing.assert_allclose(left, right, rtol=rtol, atol=atol, err_msg=context)


@pytest.mark.parametrize("row, dtype", BY_DTYPE)
def test_values_dtypes_and_shapes(row: Row, dtype: str) -> None:
    for sample in row.samples_of(dtype):
        compare(row, call(row, corten, sample), call(row, torch, sample), f"{row}{sample}")


LAYOUT_ROWS = [row for row in ROWS if not (row.creates or row.dense) and "float32" in row.dtypes]


@pytest.mark.parametrize("row", LAYOUT_ROWS, ids=str)
def test_strides_of_results(row: Row) -> None:
    """Strides are observable: they follow those of the operands as PyTorch's do."""
    for sample in row.samples_of("float32"):
        layouts = {name for operand in sample.operands() for name in layouts_of(operand)} - {"expanded"}
        for layout in ("contiguous", *sorted(layouts)):
            ours, theirs = call(row, corten, sample, layout), call(row, torch, sample, layout)
            for mine, their in zip(ours, theirs, strict=True):
                assert strides(mine) == strides(their), f"{row}{sample} {layout}"


def leaf_gradients(row: Row, module: Any, sample: Sample) -> tuple[list[Any], list[Any]]:
    leaves: list[Any] = []

    def convert(operand: Operand) -> Any:
        tensor = build(module, operand)
        if operand.differentiable:
            leaves.append(tensor.detach().requires_grad_())
            return leaves[-1]
        return tensor

    args, kwargs = sample.map(convert, module)
    results = tensors_in(function_of(row, module)(*args, **kwargs))
    differentiable = [r for r in results if r.requires_grad]
    total = sum((r.double() * r.double()).sum() for r in differentiable)
    return results, list(module.autograd.grad(total, leaves, allow_unused=True)) if differentiable else []


@pytest.mark.parametrize("row", [row for row in ROWS if row.grad and "float32" in row.dtypes], ids=str)
def test_gradients(row: Row) -> None:
    for sample in row.samples_of("float32"):
        if not any(o.differentiable for o in sample.operands()):
            continue
        ours, theirs = leaf_gradients(row, corten, sample), leaf_gradients(row, torch, sample)
        assert [r.requires_grad for r in ours[0]] == [r.requires_grad for r in theirs[0]], f"{row}{sample}"
        for mine, their in zip(ours[1], theirs[1], strict=True):
            assert (mine is None) == (their is None), f"{row}{sample}: one gradient is None"
            if mine is None:
                continue
            left, right = to_numpy(mine.clone()), to_numpy(their.clone())
            scale = float(np.max(np.abs(right[np.isfinite(right)]), initial=1.0))
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5 * scale, err_msg=f"{row}{sample}")


@pytest.mark.parametrize("row", [row for row in ROWS if row.views], ids=str)
def test_views_share_memory_as_in_pytorch(row: Row) -> None:
    for sample in row.samples_of("float32"):
        offsets = []
        for module in (corten, torch):
            base, *rest = sample.map(lambda o, module=module: build(module, o), module)[0]
            views = tensors_in(row.function(module)(base, *rest, **sample.kwargs))
            apart = [v.data_ptr() - base.data_ptr() if v.numel() else 0 for v in views]
            offsets.append(
                [(d, v.storage_offset(), strides(v), v._is_view()) for d, v in zip(apart, views, strict=True)]
            )
        assert offsets[0] == offsets[1], f"{row}{sample}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.promotes], ids=str)
def test_promotion_table(row: Row) -> None:
    """All pairs of dtypes, 0-d tensors and Python numbers: the same dtype or the same refusal."""
    dtypes = ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool"]
    for left in dtypes:
        for right, size in [(d, s) for d in dtypes for s in ((2,), ())] + [(n, None) for n in (2, 2.5, True)]:
            answers = []
            for module in (corten, torch):
                a = module.ones(2, dtype=getattr(module, left))
                b = right if size is None else module.ones(size, dtype=getattr(module, right))
                try:
                    answers.append(dtype_name(function_of(row, module)(a, b).dtype))
                except (RuntimeError, TypeError, NotImplementedError) as error:
                    answers.append(type(error).__name__)
            if answers[1] in ("NotImplementedError", "TypeError"):
                # What PyTorch has not written for a dtype may work here.
                continue
            assert answers[0] == answers[1], f"{row}({left}, {right}{size if size is not None else ' number'})"
