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
    "binomial", "rrelu_", "alpha_dropout_", "dropout_", "feature_dropout", "feature_dropout_",
    "feature_alpha_dropout_",
    "rrelu", "dropout1d", "dropout3d", "native_dropout", "gumbel_softmax",
    # Memory and bookkeeping: tests of views, storage and autograd.
    "to", "from_numpy", "frombuffer", "as_tensor", "asarray", "from_dlpack", "empty_strided", "resize_", "set_",
    "requires_grad_",
    "detach_", "item", "tolist", "numpy", "data_ptr", "stride", "size",
    "empty_permuted", "new_empty_strided", "new_tensor", "cpu", "cuda", "gpu", "type_as",
    # Complex numbers: tests of complex tensors.
    "angle", "cdouble", "cfloat", "chalf", "complex", "conj", "conj_physical", "imag", "polar", "real", "resolve_conj",
    "resolve_neg", "view_as_complex", "view_as_real",
    # Predicates that answer with a Python value.
    "equal", "allclose", "is_nonzero", "numel",
    # A decomposition of the CPU alone: tests of linear algebra.
    "geqrf",
    # Layers of several operators: tests of torch.nn.
    "rnn", "lstm", "gru", "multi_head_attention_forward",
}  # fmt: skip


# Operators under a public function of another name, whose row tests them.
BEHIND = {
    "im2col": "nn.functional.unfold",
    "col2im": "nn.functional.fold",
    "interpolate_nd": "nn.functional.interpolate",
    "cross_entropy_loss": "nn.functional.cross_entropy",
    "nll_loss_nd": "nn.functional.nll_loss",
    "nll_loss2d": "nn.functional.nll_loss",
    "embedding_renorm_": "nn.functional.embedding",
    "max_pool1d_with_indices": "nn.functional.max_pool1d.indices",
    "max_pool2d_with_indices": "nn.functional.max_pool2d.indices",
    "max_pool3d_with_indices": "nn.functional.max_pool3d.indices",
    "unique_dim": "unique.dim",
}


def table_names() -> set[str]:
    names = set().union(*(row.names() for row in ROWS))
    return names | {name.rsplit(".", 1)[-1] for name in names} | set(BEHIND)


def test_operators_behind_functions_have_a_row_there() -> None:
    assert set(BEHIND.values()) <= {row.name for row in ROWS}


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
