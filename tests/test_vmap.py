"""corten.vmap beside loops over the examples, for every operator of the table that has a rule."""

from __future__ import annotations

import re

import corten
import numpy as np
import pytest

from op_table import ROWS
from op_table.row import Operand, Row, Sample, build, is_float, tensors_in, to_numpy

SIZE = 3
# Their results have shapes that depend on the data, or their Python reads values: they say so.
DEPENDS_ON_DATA = {
    "argwhere",
    "bincount",
    "bincount.weights",
    "masked_select",
    "nonzero",
    "unique",
    "unique.counts",
    "unique.dim",
    "unique.inverse",
    "unique_consecutive",
    "unique_consecutive.counts",
}
# Operators without a rule say so by name.
WITHOUT_RULE = {"histc"}
# Some of their forms say that they cannot be; what they say.
PARTLY = {
    "Tensor.__getitem__": "indexing with a batched mask",
    "index_put": "indexing with a batched mask",
    "Tensor.__setitem__": "inplace arithmetic|no rule for",
    "Tensor.copy_": "inplace arithmetic",
    "nn.functional.one_hot": "without num_classes",
    "nn.functional.cross_entropy": "smooth labels",
    "nn.functional.ctc_loss": "tolist|inplace arithmetic",
    "nn.functional.gaussian_nll_loss": "data-dependent control flow",
    "repeat_interleave": "no rule for repeat_interleave",
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


def batch(operand: Operand):
    stacked = np.stack([example(operand, i) for i in range(SIZE)])
    return build(corten, operand.replaced(stacked))


def choices(count: int):
    """Which operands have a batch dim: all, and each one alone."""
    yield tuple(range(count))
    if count > 1:
        yield from ((i,) for i in range(count))


def run(row: Row, sample: Sample, tensors: list):
    """The operator on these tensors in the places of the sample's operands."""
    rest = iter(tensors)
    args, kwargs = sample.map(lambda _: next(rest), corten)
    return tuple(tensors_in(row.function(corten)(*args, **kwargs)))


def looped(row: Row, sample: Sample, operands: list, chosen: tuple):
    columns = []
    for i in range(SIZE):
        tensors = [build(corten, o.replaced(example(o, i)) if k in chosen else o) for k, o in enumerate(operands)]
        columns.append(run(row, sample, tensors))
    return [np.stack([to_numpy(part) for part in parts]) for parts in zip(*columns, strict=True)]


TAKING_TENSORS = [row for row in ROWS if not row.creates]


def dtype_of(row: Row) -> str:
    return "float32" if "float32" in row.dtypes else row.dtypes[0]


@pytest.mark.parametrize("row", TAKING_TENSORS, ids=str)
def test_every_operator_gives_what_a_loop_gives(row):
    compared = 0
    for sample in row.samples_of(dtype_of(row)):
        operands = sample.operands()
        for chosen in choices(len(operands)):
            try:
                expected = looped(row, sample, operands, chosen)
            except (RuntimeError, IndexError, ValueError, TypeError):
                continue  # another example is none that the operator takes, or has another shape
            tensors = [batch(o) if k in chosen else build(corten, o) for k, o in enumerate(operands)]
            dims = tuple(0 if k in chosen else None for k in range(len(operands)))
            call = corten.vmap(
                lambda *ts, sample=sample: run(row, sample, list(ts)), in_dims=dims, randomness="different"
            )
            if row.name in WITHOUT_RULE:
                with pytest.raises(NotImplementedError, match="no rule for"):
                    call(*tensors)
                continue
            if row.name in DEPENDS_ON_DATA:
                with pytest.raises(RuntimeError, match="vmap: It looks like"):
                    call(*tensors)
                continue
            context = f"{row}{sample} with batches of {chosen}"
            try:
                found = call(*tensors)
            except Exception as error:
                if row.name in PARTLY and re.search(PARTLY[row.name], str(error)):
                    continue
                raise AssertionError(f"{context}: {type(error).__name__}: {error}") from error
            for actual, values in zip(found, expected, strict=True):
                assert tuple(actual.shape) == values.shape, f"{context}: {tuple(actual.shape)}, not {values.shape}"
                np.testing.assert_allclose(to_numpy(actual), values, rtol=2e-5, atol=2e-5, err_msg=context)
            compared += 1
    assert compared or row.name in WITHOUT_RULE | DEPENDS_ON_DATA


def one_number(results):
    """A number that depends on all floating results, each element with a weight of its own."""
    total = 0.0
    for part in results:
        if part.is_floating_point():
            weights = corten.arange(1.0, part.numel() + 1.0).reshape(part.shape).cos()
            total = total + (part * weights).sum()
    return total


@pytest.mark.parametrize("row", [row for row in TAKING_TENSORS if row.grad], ids=str)
def test_gradients_of_examples_are_those_of_a_loop(row):
    for sample in row.samples_of("float64" if "float64" in row.dtypes else dtype_of(row)):
        operands = sample.operands()
        wanted = [k for k, o in enumerate(operands) if o.differentiable and is_float(o.dtype)]
        if not wanted:
            continue

        def number(*tensors, sample=sample):
            return one_number(run(row, sample, list(tensors)))

        gradient = corten.func.grad(number, argnums=tuple(wanted))
        # What is not differentiated is the same for all examples.
        dims = tuple(0 if k in wanted else None for k in range(len(operands)))
        try:
            rows = [
                gradient(
                    *[build(corten, o.replaced(example(o, i)) if k in wanted else o) for k, o in enumerate(operands)]
                )
                for i in range(SIZE)
            ]
        except (RuntimeError, IndexError, ValueError, TypeError):
            continue
        tensors = [batch(o) if k in wanted else build(corten, o) for k, o in enumerate(operands)]
        context = f"{row}{sample}"
        try:
            found = corten.vmap(gradient, in_dims=dims, randomness="different")(*tensors)
        except Exception as error:
            if row.name in PARTLY and re.search(PARTLY[row.name], str(error)):
                continue
            if row.name in WITHOUT_RULE | DEPENDS_ON_DATA:
                continue
            raise AssertionError(f"{context}: {type(error).__name__}: {error}") from error
        for actual, parts in zip(found, zip(*rows, strict=True), strict=True):
            expected = np.stack([to_numpy(part) for part in parts])
            np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-6, atol=1e-6, err_msg=context)


@pytest.mark.parametrize("row", TAKING_TENSORS, ids=str)
def test_levels_inside_each_other_are_loops_inside_each_other(row):
    if row.name in WITHOUT_RULE | DEPENDS_ON_DATA or row.name in PARTLY:
        return
    sample = next(iter(row.samples_of(dtype_of(row))))
    operands = sample.operands()
    try:
        expected = looped(row, sample, operands, tuple(range(len(operands))))
    except (RuntimeError, IndexError, ValueError, TypeError):
        return
    tensors = [batch(o) for o in operands]
    twice = [corten.stack([t, t.flip(0)], 1) for t in tensors]

    def inner(*ts):
        return run(row, sample, list(ts))

    both = corten.vmap(corten.vmap(inner, randomness="different"), in_dims=1, out_dims=1, randomness="different")
    for actual, values in zip(both(*twice), expected, strict=True):
        want = np.stack([values, values[::-1]], 1)
        np.testing.assert_allclose(to_numpy(actual), want, rtol=2e-5, atol=2e-5, err_msg=f"{row}{sample}")
