"""corten.vmap beside loops over the examples, for every operator of the table that has a rule."""

from __future__ import annotations

import corten
import numpy as np
import pytest

from op_table import ROWS
from op_table.row import Operand, Row, Sample, build, is_float, tensors_in, to_numpy

SIZE = 3
# The shapes of their results depend on the data, or the operator draws: `test_vmap_transform.py` has these.
DEPENDS_ON_DATA: set[str] = set()
# Operators without a rule say so by name.
WITHOUT_RULE: set[str] = set()

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
        tensors = [
            build(corten, o.replaced(example(o, i)) if k in chosen else o) for k, o in enumerate(operands)
        ]
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
            call = corten.vmap(lambda *ts, sample=sample: run(row, sample, list(ts)), in_dims=dims, randomness="different")
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
                raise AssertionError(f"{context}: {type(error).__name__}: {error}") from error
            for actual, values in zip(found, expected, strict=True):
                assert tuple(actual.shape) == values.shape, f"{context}: {tuple(actual.shape)}, not {values.shape}"
                np.testing.assert_allclose(to_numpy(actual), values, rtol=2e-5, atol=2e-5, err_msg=context)
            compared += 1
    assert compared or row.name in WITHOUT_RULE | DEPENDS_ON_DATA
