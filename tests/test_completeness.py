"""The table is complete: every operator of the engine has a row, and every row names an operator that exists."""

from __future__ import annotations

import corten
import pytest

from op_table import ROWS
from op_table.row import FLOATS, Row, resolve

# Operators whose values cannot come from a table of references; each has tests of its own.
ELSEWHERE = {
    # Random numbers: tests of the generator's numbers and of distributions.
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "normal_", "uniform_",
    "bernoulli", "bernoulli_", "multinomial", "poisson", "exponential_", "geometric_", "cauchy_", "log_normal_",
    "random_",
    "rrelu", "dropout1d", "dropout3d", "native_dropout", "gumbel_softmax",
    # Memory and bookkeeping: tests of views, storage and autograd.
    "to", "from_numpy", "frombuffer", "as_tensor", "asarray", "from_dlpack", "empty_strided", "resize_", "set_",
    "requires_grad_",
    "detach_", "item", "tolist", "numpy", "data_ptr", "stride", "size",
    # Predicates that answer with a Python value.
    "equal", "allclose", "is_nonzero", "numel",
    # Layers of several operators: tests of torch.nn.
    "rnn", "lstm", "gru", "multi_head_attention_forward",
}  # fmt: skip


def table_names() -> set[str]:
    names = set().union(*(row.names() for row in ROWS))
    return names | {name.rsplit(".", 1)[-1] for name in names}


def test_every_operator_of_the_engine_has_a_row() -> None:
    missing = {name for name in corten._core.op_names() if name.rsplit(".", 1)[-1] not in table_names() | ELSEWHERE}
    assert not missing, f"operators without a row in tests/op_table: {sorted(missing)}"


def test_exceptions_are_not_in_the_table_as_well() -> None:
    assert not ELSEWHERE & {row.short_name() for row in ROWS} - {"rrelu", "to"}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row_names_an_operator(row: Row) -> None:
    if row.invoke is None and not row.call.startswith("Tensor."):
        assert callable(resolve(corten, row.call))
    name = row.short_name()
    if row.call.startswith("Tensor.") or row.method:
        assert hasattr(corten.Tensor, name), f"Tensor.{name}"
    if row.inplace:
        assert hasattr(corten.Tensor, f"{name}_"), f"Tensor.{name}_"


def test_names_of_rows_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_table_is_large_enough() -> None:
    assert len({row.call for row in ROWS}) >= 300


def test_tolerances_cover_the_floating_dtypes_of_every_row() -> None:
    for row in ROWS:
        results = {out for dtype in row.dtypes for out in row.result_dtypes(dtype, 1)}
        missing = {dtype for dtype in results if dtype in FLOATS and dtype not in row.tolerance}
        assert not missing, f"{row} has no tolerance for {missing}"
