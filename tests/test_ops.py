"""Every operator of the table against its numpy reference: values, dtypes, layouts, in-place and out= variants."""

from __future__ import annotations

import functools
import itertools
import operator

import corten
import numpy as np
import pytest

from op_table import ROWS
from op_table.row import (
    Operand,
    Row,
    Sample,
    assert_matches,
    build,
    dtype_name,
    dtypes_on,
    is_float,
    layouts_of,
    only_on,
    promote,
    promote_weak,
    resolve,
    round_to,
    tensors_in,
    to_numpy,
)

# Advice that PyTorch gives too, on arguments that are legal.
WARNS = pytest.mark.filterwarnings(
    "ignore:Using padding='same'",
    "ignore:reduction. 'mean' divides",
    "ignore:torch.searchsorted.*non-contiguous",
    "ignore:corten.searchsorted.*non-contiguous",
    "ignore:corten.* is deprecated in favor of",
)
BY_DTYPE = [pytest.param(row, dtype, id=f"{row}-{dtype}") for row in ROWS for dtype in row.dtypes]


def call(row: Row, sample: Sample, device: str, layout: str = "contiguous") -> list:
    """The operator's results on tensors; a layout that an operand cannot have leaves it contiguous."""

    def convert(operand: Operand):
        fits = layout in set(layouts_of(operand))
        return build(corten, operand, device, layout if fits else "contiguous")

    args, kwargs = sample.map(convert, corten)
    if row.creates:
        kwargs["device"] = device
    with only_on(device):
        return tensors_in(row.function(corten)(*args, **kwargs))


def check(row: Row, sample: Sample, results: list, dtype: str, context: str) -> None:
    expected = row.reference(sample)
    assert len(results) == len(expected), f"{context}: {len(results)} results, expected {len(expected)}"
    for actual, values, out_dtype in zip(results, expected, row.result_dtypes(dtype, len(expected)), strict=True):
        assert_matches(actual, values, out_dtype, row.tolerance.get(out_dtype, (0, 0)), context)


@WARNS
@pytest.mark.parametrize("row, dtype", BY_DTYPE)
def test_values(row: Row, dtype: str, device: str) -> None:
    samples = row.samples_of(dtype)
    assert samples, f"{row} has no sample for {dtype}"
    for sample in samples:
        check(row, sample, call(row, sample, device), dtype, f"{row}{sample}")


def expanded(sample: Sample) -> Sample:
    """The sample with every row of every operand equal, as its expanded tensor will be."""

    def repeat(operand: Operand) -> Operand:
        if "expanded" not in layouts_of(operand):
            return operand
        return operand.replaced(np.broadcast_to(operand.array[:1], operand.array.shape).copy())

    args, kwargs = sample.map(repeat)
    return Sample(*args, **kwargs)


def chosen(row: Row) -> str:
    """The dtype that stands for all others in suites about memory and calls."""
    return "float32" if "float32" in row.dtypes else row.dtypes[0]


@WARNS
@pytest.mark.parametrize("row", [row for row in ROWS if not (row.creates or row.dense)], ids=str)
def test_layout_of_operands_does_not_matter(row: Row, device: str) -> None:
    dtype = chosen(row)
    for sample in row.samples_of(dtype):
        layouts = {name for operand in sample.operands() for name in layouts_of(operand)}
        for layout in sorted(layouts - (set() if row.repeats else {"expanded"})):
            case = expanded(sample) if layout == "expanded" else sample
            check(row, case, call(row, case, device, layout), dtype, f"{row}{sample} {layout}")


ALIASED = [
    row for row in ROWS if row.elementwise or row.short_name() in ("matmul", "mm", "dot", "outer", "cat", "stack")
]


@pytest.mark.parametrize("row", ALIASED, ids=str)
def test_one_tensor_as_every_operand(row: Row, device: str) -> None:
    """x op x: the operands are one tensor, not two equal ones."""
    dtype = chosen(row)
    for sample in row.samples_of(dtype):
        operands = [o for o in sample.operands() if o.dtype == dtype]
        if len(operands) < 2:
            continue
        first = operands[0]
        same = [o.array.shape == first.array.shape for o in operands]
        shared = build(corten, first, device)
        replaced = {id(o) for o, equal in zip(operands, same) if equal}
        args, kwargs = sample.map(lambda o: first if id(o) in replaced else o)
        context = f"{row}{sample} aliased"
        tensors = Sample(*args, **kwargs).map(lambda o: shared if o is first else build(corten, o, device), corten)
        results = tensors_in(row.function(corten)(*tensors[0], **tensors[1]))
        check(row, Sample(*args, **kwargs), results, dtype, context)


@pytest.mark.parametrize("row", [row for row in ROWS if row.method], ids=str)
def test_method_agrees_with_function(row: Row, device: str) -> None:
    for sample in row.samples_of(chosen(row)):
        if not isinstance(sample.args[0], Operand):
            continue
        args, kwargs = sample.map(lambda o: build(corten, o, device), corten)
        for name in (row.short_name(), *row.aliases):
            expected = tensors_in(row.function(corten)(*args, **kwargs))
            actual = tensors_in(getattr(args[0], name)(*args[1:], **kwargs))
            for a, e in zip(actual, expected, strict=True):
                assert a.dtype == e.dtype, f"Tensor.{name}{sample}"
                np.testing.assert_array_equal(to_numpy(a), to_numpy(e), err_msg=f"Tensor.{name}{sample}")


@pytest.mark.parametrize("row", [row for row in ROWS if row.aliases], ids=str)
def test_other_names_do_the_same(row: Row, device: str) -> None:
    parent = row.call.rpartition(".")[0]
    sample = row.samples_of(chosen(row))[0]
    args, kwargs = sample.map(lambda o: build(corten, o, device), corten)
    expected = tensors_in(row.function(corten)(*args, **kwargs))
    for name in row.aliases:
        path = name if "." in name or not parent or name in ("cross", "prelu") else f"{parent}.{name}"
        actual = tensors_in(resolve(corten, path)(*args, **kwargs))
        for a, e in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(to_numpy(a), to_numpy(e), err_msg=name)


def fits_in_place(first: Operand, expected: list[np.ndarray], result: str) -> bool:
    """An in-place operator needs a result of its operand's shape, of a kind that its dtype can hold."""
    return first.array.shape == expected[0].shape and (is_float(first.dtype) or not is_float(result))


@pytest.mark.parametrize("row", [row for row in ROWS if row.inplace], ids=str)
def test_in_place_variant(row: Row, device: str) -> None:
    """op_ writes what op returns, returns its operand, and shows through a view and in the version."""
    tried = 0
    for dtype in dict.fromkeys((chosen(row), dtypes_on(device, row.dtypes)[-1])):
        for sample in row.samples_of(dtype):
            if not sample.args or not isinstance(sample.args[0], Operand):
                continue
            result = row.result_dtypes(dtype, 1)[0]
            if not fits_in_place(sample.args[0], row.reference(sample), result):
                continue
            args, kwargs = sample.map(lambda o: build(corten, o, device), corten)
            expected = row.function(corten)(*args, **kwargs).to(args[0].dtype)
            target, view, version = args[0], args[0].view(-1), args[0]._version
            returned = getattr(target, f"{row.short_name()}_")(*args[1:], **kwargs)
            context = f"{row.short_name()}_{sample}"
            assert returned is target, context
            assert target._version > version, context
            np.testing.assert_array_equal(to_numpy(target), to_numpy(expected), err_msg=context)
            np.testing.assert_array_equal(to_numpy(view), to_numpy(expected).reshape(-1), err_msg=context)
            tried += 1
    assert tried, f"{row} has no sample that can be computed in place"


@pytest.mark.parametrize("row", [row for row in ROWS if row.out], ids=str)
def test_out_variant(row: Row, device: str) -> None:
    """out= receives the result, whatever its layout, and an empty one is resized."""
    accepts = row.out if callable(row.out) else lambda sample: True
    sample = [s for s in row.samples_of(chosen(row)) if accepts(s)][-1]
    args, kwargs = sample.map(lambda o: build(corten, o, device), corten)
    expected = tensors_in(row.function(corten)(*args, **kwargs))
    for kind in ("contiguous", "strided", "empty"):
        outs = [out_tensor(e, kind, device) for e in expected]
        returned = row.function(corten)(*args, out=outs[0] if len(outs) == 1 else tuple(outs), **kwargs)
        for out, back, e in zip(outs, tensors_in(returned), expected, strict=True):
            context = f"{row}{sample} out={kind}"
            assert back is out, context
            assert tuple(out.shape) == tuple(e.shape), context
            np.testing.assert_array_equal(to_numpy(out), to_numpy(e), err_msg=context)


def out_tensor(like, kind: str, device: str):
    """A tensor for out= that holds ones."""
    if kind == "empty":
        return corten.empty(0, dtype=like.dtype, device=device)
    if kind == "contiguous" or like.dim() == 0:
        return corten.ones(tuple(like.shape), dtype=like.dtype, device=device)
    return corten.ones((*like.shape[:-1], 2 * like.shape[-1]), dtype=like.dtype, device=device)[..., ::2]


@pytest.mark.parametrize("row", [row for row in ROWS if row.views], ids=str)
def test_view_shares_memory(row: Row, device: str) -> None:
    """A write to the base shows in the view, and the view knows its base."""
    for sample in row.samples_of(chosen(row)):
        base, *rest = sample.map(lambda o: build(corten, o, device), corten)[0]
        kwargs = sample.kwargs
        views = tensors_in(row.function(corten)(base, *rest, **kwargs))
        base.mul_(2)
        doubled = Sample(sample.args[0].replaced(sample.args[0].array * 2), *sample.args[1:], **kwargs)
        for view, expected in zip(views, row.reference(doubled), strict=True):
            np.testing.assert_array_equal(to_numpy(view), expected, err_msg=f"{row}{sample}")
            if row.short_name() != "detach" and view is not base:
                assert view._base is base or view._is_view(), f"{row}{sample}"


SPECIAL_VALUES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-40, 3e38, -3e38, 1e-20, 88.8, -104.0, 7e8]
# Where PyTorch's answer is not numpy's: NaN has no sign and is not above zero, no remainder has the dividend's sign.
OWN_ANSWER = {
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)),
    "heaviside": lambda x, y: np.where(np.isnan(x), 0, np.heaviside(x, y)),
    "remainder": lambda x, y: np.where(np.remainder(x, y) == 0, np.copysign(0, x), np.remainder(x, y)),
}
NUMPY_TWINS = [
    row for row in ROWS
    if row.elementwise and row.name == row.call and isinstance(getattr(np, row.name, None), np.ufunc)
    and "float32" in row.dtypes and row.name != "ldexp"
]  # fmt: skip


def special_operands(row: Row) -> list[Operand]:
    """Every special value, or every pair of them."""
    if getattr(np, row.name).nin == 1:
        return [Operand(round_to(SPECIAL_VALUES, "float32"), "float32")]
    left, right = (round_to(v, "float32").reshape(-1) for v in np.meshgrid(SPECIAL_VALUES, SPECIAL_VALUES))
    if row.name in ("fmod", "remainder"):
        # A quotient past 2**24 leaves no digit of the remainder.
        with np.errstate(all="ignore"):
            sensible = ~(np.abs(left / right) >= 2**24) | np.isinf(left) | (right == 0)
        left, right = left[sensible], right[sensible]
    return [Operand(left, "float32"), Operand(right, "float32")]


def without_denormals(array: np.ndarray) -> np.ndarray:
    """Denormal numbers become zeros of their sign, as WGSL allows a device to treat operands and results."""
    array = array.astype(np.float32)
    return np.where(np.abs(array) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), array), array)


@pytest.mark.parametrize("row", NUMPY_TWINS, ids=str)
def test_nan_infinity_and_zeros(row: Row, device: str) -> None:
    """NaN and infinities pass through, and zeros keep their sign."""
    operands = special_operands(row)
    function = OWN_ANSWER.get(row.name, getattr(np, row.name))
    actual = to_numpy(call(row, Sample(*operands), device)[0])
    with np.errstate(all="ignore"):
        expected = np.asarray(function(*(o.array.astype(np.float32) for o in operands))).astype(actual.dtype)
        if device == "gpu":
            near = functools.partial(np.isclose, actual, rtol=1e-5, atol=1e-44, equal_nan=True)
            # Any of the operands may have been taken for zero.
            for ways in itertools.product((np.float32, without_denormals), repeat=len(operands)):
                flushed = function(*(way(o.array) for way, o in zip(ways, operands)))
                flushed = without_denormals(flushed).astype(actual.dtype)
                expected = np.where(near(flushed) & ~near(expected), flushed, expected)
    atol = 2e-8 if row.name.startswith("logaddexp") else 1e-44
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=atol, err_msg=str(row))
    if row.name not in ("fmax", "fmin", "maximum", "minimum", "logaddexp2", "logaddexp"):
        zero = (expected == 0) & (actual == 0)
        np.testing.assert_array_equal(
            np.signbit(actual[zero]), np.signbit(expected[zero]), err_msg=f"{row}: sign of zero"
        )


PROMOTING = [row for row in ROWS if row.promotes]


def operands_of(dtype: str, shape: tuple = (3,)) -> Operand:
    return Operand(round_to(np.ones(shape), dtype), dtype)


def expected_promotion(row: Row, promoted: str, *operands: str) -> str | None:
    """The result's dtype for operands promoted to `promoted`; None where the operator does not take them."""
    if row.short_name() in ("sub", "rsub") and "bool" in operands:
        return None
    return row.result_dtypes(promoted, 1)[0] if promoted in row.dtypes else None


@pytest.mark.parametrize("row", PROMOTING, ids=str)
def test_promotion_of_two_tensors(row: Row, device: str) -> None:
    for left, right in itertools.product(dtypes_on(device), repeat=2):
        expected = expected_promotion(row, promote(left, right), left, right)
        if expected is None:
            continue
        result = call(row, Sample(operands_of(left), operands_of(right)), device)[0]
        assert dtype_name(result.dtype) == expected, f"{row}({left}, {right})"


@pytest.mark.parametrize("row", [row for row in PROMOTING if row.name != "float_power"], ids=str)
def test_promotion_with_a_zero_dimensional_tensor(row: Row, device: str) -> None:
    """A 0-d tensor raises the other operand's dtype only when it is of a higher kind."""
    for left, right in itertools.product(dtypes_on(device), repeat=2):
        expected = expected_promotion(row, promote_weak(left, right), left, right)
        if expected is None:
            continue
        for sample in (
            Sample(operands_of(left), operands_of(right, ())),
            Sample(operands_of(right, ()), operands_of(left)),
        ):
            result = call(row, sample, device)[0]
            assert dtype_name(result.dtype) == expected, f"{row}{sample}"


SCALAR_OPERATORS = ("add", "sub", "mul", "div", "pow", "remainder", "floor_divide", "eq", "lt", "ge")


@pytest.mark.parametrize("name", SCALAR_OPERATORS)
def test_promotion_with_a_python_number(name: str, device: str) -> None:
    row = next(row for row in ROWS if row.name == name)
    for dtype, (number, kind) in itertools.product(dtypes_on(device), ((2, "int64"), (2.5, "float32"), (True, "bool"))):
        expected = expected_promotion(row, promote_weak(dtype, kind), dtype, kind)
        # bool has no powers, differences and remainders; pow and remainder of a bool by a bool raise.
        if expected is None:
            continue
        result = getattr(corten, name)(build(corten, operands_of(dtype), device), number)
        assert dtype_name(result.dtype) == expected, f"{name}({dtype}, {number!r})"


BINARY_SIGNS = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "pow": operator.pow,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "eq": operator.eq, "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le, "gt": operator.gt, "ge": operator.ge, "bitwise_and": operator.and_, "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor, "bitwise_left_shift": operator.lshift, "bitwise_right_shift": operator.rshift,
    "matmul": operator.matmul,
}  # fmt: skip
IN_PLACE_SIGNS = {
    "add": operator.iadd, "sub": operator.isub, "mul": operator.imul, "div": operator.itruediv,
    "bitwise_and": operator.iand, "bitwise_or": operator.ior, "bitwise_xor": operator.ixor,
    "bitwise_left_shift": operator.ilshift, "bitwise_right_shift": operator.irshift,
}  # fmt: skip


@pytest.mark.parametrize("name", BINARY_SIGNS)
def test_signs_of_python(name: str, device: str) -> None:
    """x + y is add(x, y), and so on; with a Python number on either side too."""
    row, sign = next(row for row in ROWS if row.name == name), BINARY_SIGNS[name]
    for sample in row.samples_of(chosen(row)):
        args, kwargs = sample.map(lambda o: build(corten, o, device))
        if len(args) != 2 or kwargs:
            continue
        expected = row.function(corten)(*args)
        np.testing.assert_array_equal(to_numpy(sign(*args)), to_numpy(expected), err_msg=f"{name}{sample}")


@pytest.mark.parametrize(
    "name", [name for name in BINARY_SIGNS if name not in ("matmul", "eq", "ne", "lt", "le", "gt", "ge")]
)
def test_signs_with_a_number_on_the_left(name: str, device: str) -> None:
    row, sign = next(row for row in ROWS if row.name == name), BINARY_SIGNS[name]
    values = operands_of(chosen(row)).replaced(np.array([1, 2, 3]).astype(operands_of(chosen(row)).array.dtype))
    result = sign(7, build(corten, values, device))
    expected = sign(np.array(7), values.array)
    assert_matches(result, expected, chosen(row), (1e-6, 0), f"7 {name} x")


@pytest.mark.parametrize("name", IN_PLACE_SIGNS)
def test_augmented_assignment_writes_in_place(name: str, device: str) -> None:
    row = next(row for row in ROWS if row.name == name)
    values = operands_of(chosen(row))
    tensor = build(corten, values, device)
    alias = tensor.view(-1)
    result = IN_PLACE_SIGNS[name](tensor, 3)
    assert result is tensor
    np.testing.assert_array_equal(to_numpy(alias), round_to(BINARY_SIGNS[name](values.array, 3), chosen(row)))


@pytest.mark.parametrize("name", ["any", "all"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_truth_over_no_dims_is_that_of_every_element(name: str, dtype: str, device: str) -> None:
    x = corten.tensor([[0, 2], [1, 0]], dtype=getattr(corten, dtype), device=device)
    truth = getattr(corten, name)(x, dim=())
    assert truth.tolist() == [[0, 1], [1, 0]]
    assert truth.dtype == (corten.uint8 if dtype == "uint8" else corten.bool)


def test_unary_signs(device: str) -> None:
    values = corten.tensor([-1.5, 2.0], device=device)
    assert (-values).tolist() == [1.5, -2.0]
    assert (+values).tolist() == [-1.5, 2.0]
    assert abs(values).tolist() == [1.5, 2.0]
    assert (~corten.tensor([True, False], device=device)).tolist() == [False, True]
    assert (~corten.tensor([0, 5], device=device)).tolist() == [-1, -6]


def test_inputs_are_large_enough_to_matter() -> None:
    """Every row has a sample with more than one element, or makes its tensor from numbers."""
    for row in ROWS:
        samples = row.samples_of(chosen(row))
        assert row.creates or any(o.array.size > 1 for s in samples for o in s.operands()), row
