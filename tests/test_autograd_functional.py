"""`corten.autograd.functional`: Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

import corten
import numpy as np
import pytest
from corten.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp

X, ONES = corten.tensor([1.0, 2.0]), corten.ones(2)
MATRIX = corten.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def linear(x):
    return MATRIX @ x


def cubes(x):
    return (x**3).sum()


def test_products_of_a_linear_function_are_those_of_its_matrix() -> None:
    out, product = vjp(linear, X, corten.ones(3))
    assert out.tolist() == [5, 11, 17] and product.tolist() == [9, 12]
    out, product = jvp(linear, X, ONES)
    assert out.tolist() == [5, 11, 17] and product.tolist() == [3, 7, 11]
    assert jacobian(linear, X).tolist() == MATRIX.tolist()
    assert not product.requires_grad and not out.requires_grad


def test_jacobians_of_several_inputs_and_outputs_nest() -> None:
    (first, second), total = jacobian(lambda a, b: (a * b, a.sum()), (X, 3 * X))
    assert first.tolist() == [[3, 0], [0, 6]] and second.tolist() == [[1, 0], [0, 2]]
    assert [t.tolist() for t in total] == [[1, 1], [0, 0]]
    assert jacobian(lambda a: a.outer(a), X).shape == (2, 2, 2)


@pytest.mark.parametrize("options", [{}, {"vectorize": True}], ids=["plain", "vectorize"])
def test_hessian_of_cubes_is_diagonal(options: dict) -> None:
    assert hessian(cubes, X, **options).tolist() == [[6, 0], [0, 12]]
    ((aa, ab), (ba, bb)) = hessian(lambda a, b: (a * a * b).sum(), (X, X), **options)
    assert aa.tolist() == [[2, 0], [0, 4]] and bb.tolist() == [[0, 0], [0, 0]]
    assert ab.tolist() == ba.tolist() == [[2, 0], [0, 4]]


@pytest.mark.parametrize("product", [vhp, hvp])
def test_products_with_the_hessian(product) -> None:
    out, moved = product(cubes, X, corten.tensor([1.0, 10.0]))
    assert out.item() == 9 and moved.tolist() == [6, 120]
    _, moved = product(lambda a, b: (a * b).sum(), (X, X), (ONES, 2 * ONES))
    assert [t.tolist() for t in moved] == [[2, 2], [1, 1]]


def test_results_can_be_differentiated_where_a_graph_is_asked_for() -> None:
    x = X.clone().requires_grad_()
    for result in (
        jacobian(lambda a: a**3, x, create_graph=True),
        jvp(lambda a: a**3, x, ONES, create_graph=True)[1],
        vjp(lambda a: a**3, x, ONES, create_graph=True)[1],
    ):
        (g,) = corten.autograd.grad(result.sum(), x)
        np.testing.assert_allclose(g.cpu().numpy(), [6, 12])
    for result in (hessian(cubes, x, create_graph=True), hvp(cubes, x, ONES, True)[1], vhp(cubes, x, ONES, True)[1]):
        (g,) = corten.autograd.grad(result.sum(), x)
        np.testing.assert_allclose(g.cpu().numpy(), [6, 6])


def test_inputs_are_left_as_they_were() -> None:
    x = X.clone().requires_grad_()
    jacobian(cubes, x), hvp(cubes, x, ONES)
    assert x.grad is None and not X.requires_grad


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (RuntimeError, "returns a single Tensor with a single element", lambda: vjp(linear, X)),
        (RuntimeError, "the input to the user-provided function is a single", lambda: jvp(linear, X)),
        (
            RuntimeError,
            r"v has invalid size: should be .*\[2\].* but got .*\[3\]",
            lambda: jvp(linear, X, corten.ones(3)),
        ),
        (RuntimeError, "v should contain a single Tensor", lambda: jvp(linear, X, (ONES, ONES))),
        (RuntimeError, "tuple of invalid length: should be 2 but got 1", lambda: vhp(cubes, (X, X), (ONES,))),
        (TypeError, "inputs given to jacobian must be either a Tensor or a tuple", lambda: jacobian(cubes, [X])),
        (TypeError, "the value at index 1 has type <class 'int'>", lambda: jacobian(lambda a: (a, 3), X)),
        (AssertionError, "Expected strategy", lambda: jacobian(cubes, X, strategy="sideways")),
        (NotImplementedError, "vectorize=True", lambda: jacobian(cubes, X, strategy="forward-mode")),
        (RuntimeError, "not supported together", lambda: jacobian(cubes, X, strict=True, vectorize=True)),
        (RuntimeError, "should contain a single element", lambda: hessian(linear, X)),
        (RuntimeError, "should return a single Tensor", lambda: hessian(lambda a: (a.sum(), a.sum()), X)),
    ],
)
def test_wrong_calls_say_what_is_expected(error, text, call) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Output 0 .* does not require gradients", lambda s: vjp(lambda a: ONES, X, ONES, strict=s)),
        ("independent of input 1", lambda s: vjp(lambda a, b: a * 2, (X, X), ONES, strict=s)),
        ("Output 0 .* independent of input 1", lambda s: jacobian(lambda a, b: a * 2, (X, X), strict=s)),
        ("jacobian .* independent of input 0", lambda s: jacobian(linear, X, strict=s, create_graph=True)),
        ("input 0 is independent of the input", lambda s: hessian(lambda a: a.sum() * 3, X, strict=s)),
        ("input 0 is independent of the input", lambda s: hvp(lambda a: a.sum(), X, ONES, strict=s)),
    ],
)
def test_strict_mode_refuses_what_else_is_zero(text, call) -> None:
    call(False)
    with pytest.raises(RuntimeError, match=text):
        call(True)
