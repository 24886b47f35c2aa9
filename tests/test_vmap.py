"""Every operator of the table inside vmap beside loops over the examples: its values, gradients and Jacobians."""

from __future__ import annotations

import re

import corten
import numpy as np
import pytest
from corten.func import _jacobians

from op_table import ROWS
from op_table.row import Operand, Row, Sample, build, dtypes_on, is_float, tensors_in, to_numpy

SIZE = 3
# The shapes of their results depend on the data, so that examples may differ in them: they say so.
DEPENDS_ON_DATA = {
    "argwhere",
    "nonzero",
    "unique",
    "unique.counts",
    "unique.dim",
    "unique.inverse",
    "unique_consecutive",
    "unique_consecutive.counts",
}
# Some of their forms cannot be, for the reason in the comment; what they say.
PARTLY = {
    # The mask of each example has as many elements as it likes.
    "Tensor.__getitem__": "indexing with a batched mask",
    # As a batch of masks, beside a batch of values; and a tensor without a batch dim has no room for a batch.
    "Tensor.__setitem__": "inplace arithmetic|no rule for writing a tensor where a batched mask holds",
    "Tensor.copy_": "inplace arithmetic",
    # Looks at values for the number of classes.
    "nn.functional.one_hot": "without num_classes",
    # With a mask of each example.
    "masked_select": "attempting to use masked_select",
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides"),
    pytest.mark.filterwarnings("ignore:.*searchsorted.*non-contiguous"),
    pytest.mark.filterwarnings("ignore:Using padding='same'"),
]


def example(operand: Operand, i: int) -> np.ndarray:
    """The operand of another example: other values of the same kind, in the same range."""
    if is_float(operand.dtype):
        return operand.array * (1.0, 0.75, 0.5)[i]
    return np.roll(operand.array.reshape(-1), i).reshape(operand.array.shape)


def make(operand: Operand):
    return build(corten, operand, str(corten.get_default_device()))


def batch(operand: Operand, dim: int = 0):
    return make(operand.replaced(np.stack([example(operand, i) for i in range(SIZE)], dim)))


# What an example's memory looks like is part of what they compute.
LOOKS_AT_MEMORY = {"as_strided"}


def choices(row: Row, count: int):
    """Which operands have a batch dim, and where: all, first and last, and each one alone."""
    yield tuple(range(count)), 0
    if row.name not in LOOKS_AT_MEMORY:
        yield tuple(range(count)), -1
    if count > 1:
        yield from (((i,), 0) for i in range(count))


def run(row: Row, sample: Sample, tensors: list):
    """The operator on these tensors in the places of the sample's operands."""
    rest = iter(tensors)
    args, kwargs = sample.map(lambda _: next(rest), corten)
    return tuple(tensors_in(row.function(corten)(*args, **kwargs)))


def looped(row: Row, sample: Sample, operands: list, chosen: tuple):
    columns = []
    for i in range(SIZE):
        tensors = [make(o.replaced(example(o, i)) if k in chosen else o) for k, o in enumerate(operands)]
        columns.append(run(row, sample, tensors))
    return [np.stack([to_numpy(part) for part in parts]) for parts in zip(*columns, strict=True)]


TAKING_TENSORS = [row for row in ROWS if not row.creates]


def dtype_of(row: Row) -> str:
    return "float32" if "float32" in row.dtypes else row.dtypes[0]


NO_EXAMPLE = (RuntimeError, IndexError, ValueError, TypeError)


@pytest.mark.parametrize("row", TAKING_TENSORS, ids=str)
def test_every_operator_gives_what_a_loop_gives(row):
    compared, refused = 0, 0
    for sample in row.samples_of(dtype_of(row)):
        operands, expected = sample.operands(), {}
        for chosen, dim in choices(row, len(operands)):
            try:
                expected[chosen] = expected.get(chosen) or looped(row, sample, operands, chosen)
            except NO_EXAMPLE:
                continue  # another example is none that the operator takes, or has another shape
            tensors = [batch(o, dim) if k in chosen else make(o) for k, o in enumerate(operands)]
            dims = tuple(dim if k in chosen else None for k in range(len(operands)))
            call = corten.vmap(
                lambda *ts, sample=sample: run(row, sample, list(ts)), in_dims=dims, randomness="different"
            )
            if row.name in DEPENDS_ON_DATA:
                with pytest.raises(RuntimeError, match="vmap: It looks like"):
                    call(*tensors)
                continue
            context = f"{row}{sample} with batches of {chosen} at {dim}"
            try:
                found = call(*tensors)
            except Exception as error:
                if row.name in PARTLY and re.search(PARTLY[row.name], str(error)):
                    refused += 1
                    continue
                raise AssertionError(f"{context}: {type(error).__name__}: {error}") from error
            for actual, values in zip(found, expected[chosen], strict=True):
                assert tuple(actual.shape) == values.shape, f"{context}: {tuple(actual.shape)}, not {values.shape}"
                np.testing.assert_allclose(to_numpy(actual), values, rtol=2e-5, atol=2e-5, err_msg=context)
            compared += 1
    assert compared or row.name in DEPENDS_ON_DATA
    assert bool(refused) == (row.name in PARTLY), "the list of forms that cannot be is out of date"


def one_number(results):
    """A number that depends on all floating results, each element with a weight of its own."""
    total = 0.0
    for part in results:
        if part.is_floating_point():
            weights = corten.arange(1.0, part.numel() + 1.0).reshape(part.shape).cos()
            total = total + (part * weights).sum()
    return total


# Gradients are compared where numbers have the most places.
def precise(row: Row) -> str:
    device = corten.get_default_device().type
    return next(d for d in ("float64", "float32", dtype_of(row)) if d in row.dtypes and d in dtypes_on(device))


def close(actual, expected, context: str) -> None:
    places = 1e-6 if actual.dtype == corten.float64 else 2e-4
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=places, atol=places, err_msg=context)


def of_one_number(row: Row, sample: Sample):
    """The sample's function to one number, its operands, and the places of those with a derivative."""
    operands = sample.operands()
    wanted = tuple(k for k, o in enumerate(operands) if o.differentiable and is_float(o.dtype))
    return (lambda *tensors: one_number(run(row, sample, list(tensors)))), operands, wanted


DIFFERENTIABLE = [row for row in TAKING_TENSORS if row.grad]


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=str)
def test_gradients_of_examples_are_those_of_a_loop(row):
    for sample in row.samples_of(precise(row)):
        number, operands, wanted = of_one_number(row, sample)
        if not wanted:
            continue
        gradient = corten.func.grad(number, argnums=wanted)
        # What is not differentiated is the same for all examples.
        dims = tuple(0 if k in wanted else None for k in range(len(operands)))
        try:
            rows = [
                gradient(*[make(o.replaced(example(o, i)) if k in wanted else o) for k, o in enumerate(operands)])
                for i in range(SIZE)
            ]
        except NO_EXAMPLE:
            continue
        tensors = [batch(o) if k in wanted else make(o) for k, o in enumerate(operands)]
        context = f"{row}{sample}"
        try:
            found = corten.vmap(gradient, in_dims=dims, randomness="different")(*tensors)
        except Exception as error:
            if row.name in DEPENDS_ON_DATA or (row.name in PARTLY and re.search(PARTLY[row.name], str(error))):
                continue
            raise AssertionError(f"{context}: {type(error).__name__}: {error}") from error
        for actual, parts in zip(found, zip(*rows, strict=True), strict=True):
            close(actual, np.stack([to_numpy(part) for part in parts]), context)


@pytest.mark.parametrize("row", TAKING_TENSORS, ids=str)
def test_levels_inside_each_other_are_loops_inside_each_other(row):
    if row.name in DEPENDS_ON_DATA or row.name in PARTLY:
        return
    sample = next(iter(row.samples_of(dtype_of(row))))
    operands = sample.operands()
    try:
        expected = looped(row, sample, operands, tuple(range(len(operands))))
    except NO_EXAMPLE:
        return
    tensors = [batch(o) for o in operands]
    twice = [corten.stack([t, t.flip(0)], 1) for t in tensors]

    def inner(*ts):
        return run(row, sample, list(ts))

    both = corten.vmap(corten.vmap(inner, randomness="different"), in_dims=1, out_dims=1, randomness="different")
    for actual, values in zip(both(*twice), expected, strict=True):
        want = np.stack([values, values[::-1]], 1)
        np.testing.assert_allclose(to_numpy(actual), want, rtol=2e-5, atol=2e-5, err_msg=f"{row}{sample}")


# -- Jacobians --------------------------------------------------------------------------------------------------------

MOST = 60


def jacobian_cases(row: Row):
    """Samples small enough for a Jacobian: a function of the first operand with a derivative, and that operand."""
    found = 0
    for sample in row.samples_of(precise(row)):
        _, operands, wanted = of_one_number(row, sample)
        if not wanted or operands[wanted[0]].array.size > MOST or found == 2:
            continue
        tensors = [make(o) for o in operands]

        def function(x, sample=sample, tensors=tensors, k=wanted[0]):
            results = run(row, sample, [*tensors[:k], x, *tensors[k + 1 :]])
            return tuple(part for part in results if part.is_floating_point())

        x = tensors[wanted[0]]
        parts = function(x)
        if 1 < sum(part.numel() for part in parts) <= MOST and x.numel() > 1:
            found += 1
            yield f"{row}{sample}", function, x, operands[wanted[0]]


@pytest.fixture
def all_together(monkeypatch):
    """Jacobians row by row, or column by column, raise."""

    def refuse(*args):
        raise AssertionError("one row at a time")

    def begin():
        monkeypatch.setattr(_jacobians, "_alone", refuse)
        monkeypatch.setattr(_jacobians, "_columns_alone", refuse)

    return begin


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=str)
def test_jacobians_by_one_pass_are_those_row_by_row(row, all_together):
    cases = [(*case, corten.func.jacrev(case[1], chunk_size=1)(case[2])) for case in jacobian_cases(row)]
    all_together()
    for context, function, x, _, expected in cases:
        for transform in (corten.func.jacrev, corten.func.jacfwd):
            if transform is corten.func.jacfwd and row.grad < 2:
                continue
            for actual, values in zip(transform(function)(x), expected, strict=True):
                close(actual, to_numpy(values), f"{transform.__name__} of {context}")


@pytest.mark.parametrize("row", [row for row in DIFFERENTIABLE if row.grad > 1], ids=str)
def test_second_derivatives_of_examples_are_those_of_a_loop(row):
    for context, function, x, operand in jacobian_cases(row):
        second = corten.func.hessian(lambda t, function=function: one_number(function(t)))
        slow = corten.func.jacrev(corten.func.grad(lambda t, function=function: one_number(function(t))), chunk_size=1)
        close(second(x), to_numpy(slow(x)), f"hessian of {context}")
        if x.numel() > 12:
            continue
        try:
            expected = np.stack([to_numpy(slow(make(operand.replaced(example(operand, i))))) for i in range(SIZE)])
        except NO_EXAMPLE:
            continue
        if not np.isfinite(expected).all():
            continue  # another example lies where the operator has no derivative
        close(corten.vmap(second)(batch(operand)), expected, f"vmap of the hessian of {context}")
