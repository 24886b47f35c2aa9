"""The gradient graph as its users see it: hooks, kept gradients, `grad`'s arguments, custom functions, errors."""

from __future__ import annotations

import gc
from collections.abc import Callable

import corten
import numpy as np
import pytest


def leaf(*values: float) -> corten.Tensor:
    return corten.tensor(values, requires_grad=True)


def left_behind(function: Callable[[], object]) -> int:
    """Megabytes that 20 calls of `function` leave behind."""
    before = corten._core.counters()["live_bytes"]
    for _ in range(20):
        function()
    gc.collect()
    return round((corten._core.counters()["live_bytes"] - before) / 1e6)


# -- hooks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "error", "text"),
    [
        (lambda g: 3, TypeError, "expected Variable, but hook returned 'int'"),
        (lambda g: g[:1], RuntimeError, "has changed the size of value"),
        (
            lambda g: g.half(),
            RuntimeError,
            "has changed the type of value .was corten.*FloatTensor got corten.*HalfTensor",
        ),
    ],
    ids=["number", "size", "dtype"],
)
def test_hook_that_returns_something_else_is_refused(hook, error, text) -> None:
    x = leaf(1.0, 2.0)
    x.register_hook(hook)
    with pytest.raises(error, match=text):
        (x * 2).sum().backward()
    assert x.grad is None


def test_kept_gradient_is_that_of_the_newest_value() -> None:
    x = leaf(1.0, 2.0)
    whole, part = x * 2, x * 2
    window = part[1:]
    whole.retain_grad(), part.retain_grad(), window.retain_grad()
    whole.mul_(3)
    window.mul_(3)
    (whole * 1).sum().backward()
    (part * 5).sum().backward()
    assert whole.grad.tolist() == [1, 1]
    assert part.grad.tolist() == [5, 5]
    assert x.grad.tolist() == [16, 36]


def test_gradient_of_a_value_that_keeps_none_warns() -> None:
    y = leaf(1.0) * 2
    with pytest.warns(UserWarning, match="not a leaf"):
        assert y.grad is None
    y.retain_grad()
    assert y.grad is None


def test_detach_in_place_gives_the_tensor() -> None:
    y = leaf(1.0) * 2
    assert y.detach_() is y
    assert y.is_leaf and not y.requires_grad


# -- grad ------------------------------------------------------------------------------------------------------------


def test_an_input_named_twice_gets_its_gradient_twice() -> None:
    x = leaf(1.0, 2.0)
    first, second = corten.autograd.grad((x * x).sum(), [x, x])
    assert first.tolist() == second.tolist() == [2, 4]


def test_grad_says_which_input_was_not_used() -> None:
    x, unused = leaf(1.0), leaf(2.0)
    with pytest.raises(RuntimeError, match="at index 1 appears to not have been used"):
        corten.autograd.grad(x * 2, [x, unused])
    with pytest.raises(RuntimeError, match="cannot be empty"):
        corten.autograd.grad(x * 2, [])
    with pytest.raises(ValueError, match="allow_unused=False"):
        corten.autograd.grad(x * 2, [x, unused], allow_unused=False, materialize_grads=True)
    assert corten.autograd.grad(x * 2, [x, unused], materialize_grads=True)[1].tolist() == [0]


def test_batched_seeds_give_a_jacobian_and_free_the_graph() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    assert corten.autograd.grad(y, x, corten.eye(2), is_grads_batched=True)[0].tolist() == [[2, 0], [0, 4]]
    with pytest.raises(RuntimeError, match="a second time"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="first dimension of each grad_output"):
        corten.autograd.grad(x * x, x, corten.ones(3, 3), is_grads_batched=True)
    with pytest.raises(RuntimeError, match="needs grad_outputs"):
        corten.autograd.grad((x * x).sum(), x, is_grads_batched=True)


def test_a_tensor_is_not_its_own_gradient() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="its own grad"):
        x.grad = x


# -- what errors name ------------------------------------------------------------------------------------------------


def test_stale_value_names_the_step_that_made_it() -> None:
    x, plain = leaf(1.0, 2.0), corten.ones(2)
    product = x * plain
    plain.add_(1)
    with pytest.raises(RuntimeError, match=r"FloatTensor \[2\]\] is at version 1"):
        product.sum().backward()
    doubled = x * 2
    sine = doubled.sin()
    doubled.add_(1)
    with pytest.raises(RuntimeError, match="which is output 0 of Add, is at version 1"):
        sine.sum().backward()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomaly_detection_names_the_line_of_a_stale_value() -> None:
    with corten.autograd.detect_anomaly():
        y = leaf(1.0, 2.0).exp()  # the line that is named
        y.add_(1)
        with (
            pytest.warns(UserWarning, match=r"(?s)Error detected in ExpBackward0\. Traceback of forward call.*named"),
            pytest.raises(RuntimeError, match=r"modified by an inplace.*backtrace further above") as error,
        ):
            y.sum().backward()
        assert "Traceback" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomaly_detection_warns_of_the_line_that_made_a_nan() -> None:
    with corten.autograd.detect_anomaly():
        y = (leaf(0.0) * 0).sqrt() * 0  # the line that is named
        with (
            pytest.warns(UserWarning, match=r"(?s)Error detected in SqrtBackward0\. Traceback of forward call.*named"),
            pytest.raises(RuntimeError, match=r"^Function 'SqrtBackward0' returned nan values in its 0th output\.$"),
        ):
            y.sum().backward()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_errors_of_other_kinds_keep_their_text_in_anomaly_mode() -> None:
    with corten.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="does not require grad"):
        corten.ones(2).sum().backward()


def test_anomaly_mode_can_be_asked_for() -> None:
    with corten.autograd.set_detect_anomaly(True, check_nan=False):
        assert corten.is_anomaly_enabled() and not corten.is_anomaly_check_nan_enabled()
    assert not corten.is_anomaly_enabled()


# -- custom functions ------------------------------------------------------------------------------------------------


class Exp(corten.autograd.Function):
    """Saves its own output."""

    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad):
        (result,) = ctx.saved_tensors
        return grad * result


@pytest.mark.parametrize("backward", [True, False], ids=["backward", "forward"])
def test_function_that_saves_its_output_keeps_no_memory(backward: bool) -> None:
    x = corten.ones(250_000, requires_grad=True)
    x.grad = corten.zeros_like(x)

    def use() -> None:
        total = Exp.apply(x).sum()
        total.backward() if backward else total.item()

    use()
    assert left_behind(use) <= 2


def test_saved_output_can_be_differentiated_again() -> None:
    x = leaf(1.0, 2.0)
    (first,) = corten.autograd.grad(Exp.apply(x).sum(), x, create_graph=True)
    (second,) = corten.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second.cpu().numpy(), np.exp([1.0, 2.0]), rtol=1e-6)


def test_saved_tensors_are_freed_with_the_graph() -> None:
    y = Exp.apply(leaf(1.0))
    assert y.grad_fn.saved_tensors[0] is y
    assert [node.name() for node, _ in y.grad_fn.next_functions] == ["corten::autograd::AccumulateGrad"]
    y.sum().backward()
    with pytest.raises(RuntimeError, match="have already been freed"):
        _ = y.grad_fn.saved_tensors


def test_node_of_a_function_takes_hooks() -> None:
    x = leaf(1.0)
    y = Exp.apply(x)
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 0 + 7,))
    y.sum().backward()
    assert x.grad.tolist() == [7]


class Scale(corten.autograd.Function):
    """Multiplies; the factor may come by keyword."""

    @staticmethod
    def forward(ctx, x, factor=None):
        ctx.save_for_backward(x, factor)
        return x * factor

    @staticmethod
    def backward(ctx, grad):
        x, factor = ctx.saved_tensors
        return grad * factor, grad * x


def test_tensors_given_by_keyword_get_gradients() -> None:
    x, factor = leaf(1.0, 2.0), leaf(3.0, 4.0)
    Scale.apply(x, factor=factor).sum().backward()
    assert x.grad.tolist() == [3, 4] and factor.grad.tolist() == [1, 2]


class Split(corten.autograd.Function):
    """A value and its whole part, as an integer."""

    @staticmethod
    def forward(ctx, x):
        return x.clone(), x.long()

    @staticmethod
    def backward(ctx, grad, whole):
        assert whole.dtype == corten.int64 and whole.tolist() == [0, 0]
        return grad


def test_outputs_without_gradient_arrive_as_zeros() -> None:
    x = leaf(1.5, 2.5)
    Split.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [1, 1]


class Double(corten.autograd.Function):
    """Writes into its input."""

    returned = True

    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x if Double.returned else x * 1

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def test_function_may_not_write_into_a_leaf_nor_hide_what_it_wrote(monkeypatch) -> None:
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad has been used in an in-place operation"):
        Double.apply(leaf(1.0))
    monkeypatch.setattr(Double, "returned", False)
    with pytest.raises(RuntimeError, match="marked as dirty during the forward method were not returned"):
        Double.apply(leaf(1.0) * 1)


class Wrong(corten.autograd.Function):
    """Returns whatever the test asks for."""

    results: tuple = ()

    @staticmethod
    def forward(ctx, x, other):
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        return Wrong.results


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ((3, None), r"expected Variable or None \(got int\)"),
        ((corten.ones(2), corten.ones(2)), "different than None at position 2"),
        ((corten.ones(3), None), r"WrongBackward returned an invalid gradient at index 0 - got \[3\]"),
    ],
    ids=["number", "extra", "shape"],
)
def test_wrong_results_of_backward_are_named(monkeypatch, results, text) -> None:
    monkeypatch.setattr(Wrong, "results", results)
    with pytest.raises(RuntimeError, match=text):
        Wrong.apply(leaf(1.0, 2.0), "other").sum().backward()
