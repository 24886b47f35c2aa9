"""Rules of the gradient graph that are about storages: views, writes, versions, what is kept, where gradients lie."""

from __future__ import annotations

from collections.abc import Callable

import corten
import numpy as np
import pytest


def leaf(*values: float) -> corten.Tensor:
    return corten.tensor(values, dtype=corten.float32, requires_grad=True)


# What is overwritten has gradient zero, and what is written gets all of it.


@pytest.mark.parametrize(
    "write",
    [
        lambda y: y.fill_(3),
        lambda y: y.zero_(),
        lambda y: y.uniform_(),
        lambda y: y.normal_(),
        lambda y: y.copy_(corten.ones(3)),
        lambda y: y.__setitem__(slice(None), 2.0),
    ],
)
def test_overwritten_values_get_zero(write: Callable) -> None:
    x = leaf(1, 2, 3)
    y = x * 2
    write(y)
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_a_written_value_gets_the_gradient_of_its_window() -> None:
    x, value = leaf(1, 2, 3), leaf(5, 7)
    y = x * 2
    y[1:] = value
    (y * corten.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [2, 0, 0]
    assert value.grad.tolist() == [10, 100]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_writes_into_views_of_any_dense_base_reach_it(order: tuple[int, int]) -> None:
    x = corten.arange(6.0).reshape(2, 3).requires_grad_()
    y = x.permute(order).sin()
    row = y[0]
    row.mul_(3)
    y[:, 1] = 7
    (y * y).sum().backward()
    angle = np.arange(6.0).reshape(2, 3).transpose(order)
    expected = 2 * np.sin(angle) * np.cos(angle)
    expected[0] *= 9
    expected[:, 1] = 0
    np.testing.assert_allclose(x.grad.permute(order).cpu().numpy(), expected, rtol=1e-5)


def test_a_graph_with_a_written_view_is_walked_once() -> None:
    x = leaf(1, 2)
    y = x + 0
    y[0] = 5
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


@pytest.mark.parametrize("view", [False, True])
def test_an_in_place_operator_is_differentiated_twice(view: bool) -> None:
    x, k = leaf(-0.25, 1.5, 2), leaf(2)
    y = x * 1
    y = y.view(3, 1).t() if view else y
    y *= k
    (g,) = corten.autograd.grad((y * y).sum(), k, create_graph=True)
    g.backward()
    squares = 0.25**2 + 1.5**2 + 2**2
    assert g.item() == 2 * 2 * squares
    assert k.grad.tolist() == [2 * squares]
    assert x.grad.tolist() == [-2, 12, 16]


# Versions.


def test_writes_through_data_are_not_held_against_saved_values() -> None:
    x = leaf(1, 2)
    y = x * x
    x.data.mul_(10)
    y.sum().backward()
    assert x.grad.tolist() == [20, 40]
    assert x.data.detach()[0].item() == 10


def test_writes_through_detach_are() -> None:
    x = leaf(1, 2)
    y = x * x
    x.detach().mul_(10)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_an_operand_is_kept_as_it_was_given() -> None:
    """An integer that was promoted is read again in the backward pass, so writing it is noticed."""
    x, count = leaf(1, 2), corten.tensor([3, 4])
    y = x * count
    count.fill_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_the_result_of_an_in_place_operator_is_kept_where_it_lies() -> None:
    y = leaf(0.5, 1) + 0
    y.sigmoid_()
    y[:1] += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_factor_that_no_gradient_reads_may_be_written() -> None:
    x, weight = leaf(1, 2), corten.tensor([[1.0], [2.0]])
    y = (x * 3).unsqueeze(0)
    z = y @ weight
    y += 1
    z.sum().backward()
    assert x.grad.tolist() == [3, 6]


def test_positions_of_maxima_are_gone_after_the_backward_pass() -> None:
    largest = leaf(1, 2).max(0).values
    largest.backward()
    with pytest.raises(RuntimeError, match="second time"):
        largest.backward()


# Views.


def test_a_view_of_a_leaf_is_not_written_even_if_the_leaf_is_a_view() -> None:
    x = corten.zeros(4)[:2].requires_grad_()
    for write in (lambda: x[:1].mul_(2), lambda: x.mul_(2)):
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
            write()


def test_one_of_many_views_is_refused_once_its_storage_was_written() -> None:
    y = leaf(1, 2) * 2
    first, _ = y.unbind(0)
    y.add_(1)
    assert first.requires_grad
    assert first.item() == 3
    assert "grad_fn=<Invalid>" in repr(first)
    for use in (
        lambda: first.grad_fn,
        lambda: first.is_leaf,
        lambda: first + 1,
        lambda: first.sum(),
        lambda: first.view(1),
        lambda: first[None],
        lambda: first.backward(),
    ):
        with pytest.raises(RuntimeError, match="base or another view of its base has been modified inplace"):
            use()
    with corten.no_grad():
        assert (first + 1).item() == 4


def test_a_view_made_without_gradients_is_refused_once_its_base_was_written() -> None:
    p = leaf(1, 2)
    with corten.no_grad():
        view = p[0]
        p.add_(1)
    with pytest.raises(RuntimeError, match="created in no_grad mode"):
        view + 1


def test_a_view_follows_its_base_after_a_write_without_gradients() -> None:
    x = leaf(1, 2, 3)
    y = x * 2
    view = y[:2]
    with corten.no_grad():
        y.mul_(3)
    assert view.grad_fn.name() == "AsStridedBackward0"
    view.sum().backward()
    assert x.grad.tolist() == [2, 2, 0]


# Where gradients lie, and whose they are.


def test_a_gradient_is_laid_out_like_its_leaf() -> None:
    x = corten.ones(2, 3, requires_grad=True)
    (x.t() * 2).exp().sum().backward()
    assert x.grad.stride() == (3, 1)
    x = corten.ones(3, 2).t().requires_grad_()
    (x.contiguous() * 2).sum().backward()
    assert x.grad.stride() == (1, 2)
    x = corten.ones(2, 4)[:, ::2].requires_grad_()
    x.mul(2).sum().backward()
    assert x.grad.stride() == (2, 1)


@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
def test_gradients_with_a_graph_share_no_memory() -> None:
    x, y = leaf(1, 2), leaf(3, 4)
    (x + y).sum().backward(create_graph=True)
    x.grad.detach().add_(1)
    assert y.grad.tolist() == [1, 1]


def test_a_retained_gradient_is_not_the_one_that_was_asked_for() -> None:
    y = leaf(1, 2) * 1
    y.retain_grad()
    (g,) = corten.autograd.grad((y * y).sum(), y, create_graph=True)
    (g * g).sum().backward()
    assert g.tolist() == [2, 4]
    assert y.grad.tolist() == [2 + 8, 4 + 16]


def test_a_gradient_is_taken_at_a_result_without_running_its_own_rule() -> None:
    x = leaf(3, 1, 2)
    smallest = x.amin(0)
    smallest.backward()  # frees what the rule of amin needs
    z = smallest * smallest
    (g,) = corten.autograd.grad(z, smallest)
    assert g.item() == 2


def test_backward_accumulates_into_results_that_are_named() -> None:
    x = leaf(1, 2)
    y = x * 2
    (y * y).sum().backward(inputs=[y])
    assert y.grad.tolist() == [4, 8]
    assert x.grad is None
