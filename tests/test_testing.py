"""corten.testing: what counts as close, what the errors say, and tensors drawn for tests."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from corten import nn
from corten.testing import FileCheck, assert_allclose, assert_close, make_tensor


def test_what_is_close_passes():
    x = corten.tensor([1.0, -2.0, math.inf])
    assert_close(x, x + 1e-6)
    assert_close({"a": [x, 1, None, True], "b": (2.5,)}, {"b": [2.5], "a": (x.clone(), 1, None, True)})
    assert_close(corten.tensor([math.nan]), corten.tensor([math.nan]), equal_nan=True)
    assert_close(nn.Parameter(x), x)
    assert_close(corten.empty(0), corten.empty(0))


@pytest.mark.cpu
def test_dtypes_may_differ_where_they_are_not_checked():
    assert_close(corten.ones(2), corten.ones(2).double(), check_dtype=False)
    assert_close(corten.ones(2).long(), corten.ones(2), check_dtype=False)
    assert_close(np.ones(2), np.ones(2, "float32"), check_dtype=False)


def test_differences_are_counted_and_the_greatest_are_located():
    with pytest.raises(AssertionError) as error:
        assert_close([corten.tensor([[1.0, 2.0], [3.0, 5.0]])], [corten.tensor([[1.0, 1.0], [3.0, 4.0]])])
    assert str(error.value) == (
        "Tensor-likes are not close!\n\nMismatched elements: 2 / 4 (50.0%)\n"
        "Greatest absolute difference: 1.0 at index (0, 1) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 1.0 at index (0, 1) (up to 1.3e-06 allowed)\n\n"
        "The failure occurred for item [0]"
    )


@pytest.mark.parametrize(
    "actual, expected, options, error, text",
    [
        (corten.ones(2), corten.ones(3), {}, AssertionError, "attribute 'shape' do not match"),
        (corten.ones(2), corten.ones(2).half(), {}, AssertionError, "attribute 'dtype' do not match"),
        (corten.ones(2, 3), corten.ones(3, 2).t(), {"check_stride": True}, AssertionError, r"'stride\(\)'"),
        (1.0, 1.1, {}, AssertionError, "Expected 1.1 but got 1.0"),
        (1, 1.0, {}, AssertionError, r"\(d\)types do not match"),
        (True, False, {}, AssertionError, "Booleans mismatch"),
        (None, 1, {}, AssertionError, "None mismatch"),
        ([1], [1, 2], {}, AssertionError, "length of the sequences mismatch: 1 != 2"),
        ({"a": 1}, {"b": 1}, {}, AssertionError, r"Missing keys in the actual mapping: \['b'\]"),
        (corten.tensor([math.nan]), corten.tensor([math.nan]), {}, AssertionError, "not close"),
        (corten.tensor([250], dtype=corten.uint8), corten.tensor([1], dtype=corten.uint8), {}, AssertionError, "249"),
        ("a", "a", {}, TypeError, "No comparison pair"),
        (corten.ones(1), [1.0], {}, TypeError, "No comparison pair"),
        (nn.Parameter(corten.ones(1)), corten.ones(1), {"allow_subclasses": False}, TypeError, "No comparison pair"),
        (1.0, 1.0, {"rtol": 1.0}, ValueError, "got no atol"),
        (1.0, 2.0, {"msg": "mine"}, AssertionError, "^mine$"),
        (1.0, 2.0, {"msg": lambda text: text.upper()}, AssertionError, "SCALARS ARE NOT CLOSE"),
    ],
)  # fmt: skip
def test_errors_say_what_differs(actual, expected, options, error, text):
    with pytest.raises(error, match=text):
        assert_close(actual, expected, **options)


def test_the_old_comparison_takes_lists_and_warns():
    with pytest.warns(FutureWarning, match="assert_close"):
        assert_allclose(corten.tensor([1.0, math.nan]), [1.00001, math.nan])
    with pytest.warns(FutureWarning), pytest.raises(AssertionError, match="not close"):
        assert_allclose(corten.tensor([1.0]), [1.1])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint8", "int64", "bool"])
def test_tensors_are_drawn_in_the_range_of_their_dtype(dtype, device):
    kind = getattr(corten, dtype)
    x = make_tensor((50, 3), dtype=kind, device=device)
    assert x.shape == (50, 3) and x.dtype == kind
    low, high = {"uint8": (0, 9), "bool": (0, 1)}.get(dtype, (-9, 9))
    drawn = x.flatten().tolist()
    assert low <= min(drawn) and max(drawn) <= high and len(set(drawn)) > 1
    narrow = make_tensor(40, dtype=kind, device=device, low=0, high=2, exclude_zero=True)
    assert bool((narrow != 0).all())


def test_options_of_drawn_tensors(device):
    x = make_tensor(4, 6, dtype=corten.float32, device=device, noncontiguous=True, requires_grad=True)
    assert not x.is_contiguous() and x.requires_grad and x.is_leaf
    y = make_tensor(2, 3, 4, 4, dtype=corten.float32, device=device, memory_format=corten.channels_last)
    assert y.is_contiguous(memory_format=corten.channels_last)
    assert make_tensor((), dtype=corten.int64, device=device).dim() == 0
    wide = make_tensor(9, dtype=corten.float16, device=device, low=-1e9, high=1e9)
    assert bool(wide.isfinite().all()) and wide.abs().max() > 100


@pytest.mark.parametrize(
    "options, text",
    [
        ({"low": 3, "high": 1}, "less than `high`"),
        ({"low": math.nan}, "cannot be NaN"),
        ({"dtype": corten.int64, "requires_grad": True}, "boolean and integral dtypes"),
        ({"noncontiguous": True, "memory_format": corten.channels_last}, "mutually exclusive"),
        ({"dtype": corten.bool, "low": 3, "high": 5}, "only supports"),
    ],
)
def test_ranges_that_cannot_be_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        make_tensor(3, **{"dtype": corten.float32, "device": "cpu", **options})


def test_texts_are_checked_in_order():
    text = "first line\nsecond line\nthird"
    FileCheck().check("first").check_same("line").check_next("second").check_not("line two").check("third").run(text)
    FileCheck().check_count("line", 2, exactly=True).run(text)
    FileCheck().check_dag("second").check_dag("first").check_regex("th.rd").run(text)
    for check in (
        FileCheck().check("second").check("first"),
        FileCheck().check("first").check_same("second"),
        FileCheck().check("first").check_next("third"),
        FileCheck().check_not("line").check("third"),
        FileCheck().check_count("line", 1, exactly=True),
    ):
        with pytest.raises(RuntimeError, match="FileCheck"):
            check.run(text)
