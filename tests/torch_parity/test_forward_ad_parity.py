"""Dual numbers beside PyTorch's: primals, tangents, what has a history, and what is an error."""

from __future__ import annotations

import importlib

import corten
import numpy as np
import pytest
import torch

LIBRARIES = (corten, torch)
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch", "ignore:`torch.jit:DeprecationWarning", "ignore:Attempted to insert"
)


def modes(lib):
    return importlib.import_module(f"{lib.__name__}.autograd.forward_ad")


def tensor(lib, *shape, seed=0):
    return lib.from_numpy(np.random.default_rng(sum(shape) + seed).standard_normal(shape))


def dual(lib, *shape, grad=False):
    return modes(lib).make_dual(tensor(lib, *shape).requires_grad_(grad), tensor(lib, *shape, seed=1))


def network(lib, x):
    w, b = tensor(lib, 4, 3), tensor(lib, 4)
    return lib.nn.functional.softmax((w @ x + b).tanh(), 0)


def complex_dual(lib):
    parts = [lib.complex(tensor(lib, 2, 2, seed=i), tensor(lib, 2, 2, seed=i + 1)) for i in (0, 2)]
    return modes(lib).make_dual(*parts)


def written(lib):
    x = modes(lib).make_dual(lib.zeros(3, dtype=lib.float64), lib.zeros(3, dtype=lib.float64))
    x[1:] = dual(lib, 3)[:2]
    x.mul_(dual(lib, 3)).add_(1)
    x[0].fill_(7.0)
    return x


def forward_over_reverse(lib):
    x = dual(lib, 3, grad=True)
    return lib.autograd.grad((x**3).sum() * x[0], x)[0]


CALLS = {
    "itself": lambda lib: dual(lib, 3),
    "network": lambda lib: network(lib, dual(lib, 3)),
    "with history": lambda lib: network(lib, dual(lib, 3, grad=True)),
    "plain": lambda lib: tensor(lib, 3) * 2,
    "detach": lambda lib: dual(lib, 3).detach() * 2,
    "comparison": lambda lib: (dual(lib, 3) > 0).double(),
    "where": lambda lib: lib.where(dual(lib, 3) > 0, dual(lib, 3) * 2, 1.0),
    "stack": lambda lib: lib.stack([dual(lib, 3), tensor(lib, 3)]),
    "sort": lambda lib: lib.sort(dual(lib, 5))[0],
    "max": lambda lib: dual(lib, 3, 4).max(1)[0],
    "transposed": lambda lib: dual(lib, 3, 4).T @ dual(lib, 3, 4),
    "einsum": lambda lib: lib.einsum("ij,kj->ik", dual(lib, 3, 4), tensor(lib, 2, 4)),
    "norm": lambda lib: lib.linalg.norm(dual(lib, 3, 4)),
    "solve": lambda lib: lib.linalg.solve(dual(lib, 3, 3), tensor(lib, 3)),
    "conv": lambda lib: lib.nn.functional.conv1d(dual(lib, 2, 3, 8), tensor(lib, 4, 3, 3), padding=1),
    "layer norm": lambda lib: lib.nn.functional.layer_norm(dual(lib, 3, 4), (4,)),
    "cross entropy": lambda lib: lib.nn.functional.cross_entropy(dual(lib, 3, 4), lib.tensor([0, 3, 1])),
    "parts": lambda lib: complex_dual(lib).real * complex_dual(lib).imag,
    "adjoint": lambda lib: complex_dual(lib) @ complex_dual(lib).mH,
    "absolute": lambda lib: complex_dual(lib).abs() + complex_dual(lib).conj().exp().angle(),
    "made complex": lambda lib: lib.polar(dual(lib, 3).exp(), dual(lib, 3)) * 1j,
    "written": written,
    "forward over reverse": forward_over_reverse,
    "in no_grad": lambda lib: lib.no_grad()(lambda: network(lib, dual(lib, 3)))(),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_tangents_and_histories_agree(name):
    found = []
    for lib in LIBRARIES:
        with modes(lib).dual_level():
            primal, tangent = modes(lib).unpack_dual(CALLS[name](lib))
        found.append((primal, tangent))
    (value, move), (other, other_move) = found
    assert np.allclose(value.detach().numpy(), other.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert value.requires_grad == other.requires_grad
    assert (move is None) == (other_move is None)
    if move is not None:
        assert np.allclose(move.detach().numpy(), other_move.detach().numpy(), rtol=1e-10, atol=1e-12)
        assert move.requires_grad == other_move.requires_grad


def seldom(lib):
    with modes(lib).dual_level():
        modes(lib).enter_dual_level()


ERRORS = {
    "no level": lambda lib: dual(lib, 3),
    "nested": seldom,
    "not open": lambda lib: modes(lib).exit_dual_level(),
    "shape": lambda lib: modes(lib).dual_level()(lambda: modes(lib).make_dual(tensor(lib, 3), tensor(lib, 2)))(),
    "twice": lambda lib: modes(lib).dual_level()(lambda: modes(lib).make_dual(dual(lib, 3), tensor(lib, 3)))(),
    "integers": lambda lib: modes(lib).dual_level()(lambda: modes(lib).make_dual(lib.arange(3), tensor(lib, 3)))(),
    "out": lambda lib: modes(lib).dual_level()(lambda: lib.sin(dual(lib, 3), out=tensor(lib, 3)))(),
    "no tensor": lambda lib: modes(lib).dual_level()(lambda: modes(lib).unpack_dual(3))(),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_one_class(name):
    classes = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as caught:
            ERRORS[name](lib)
        classes.append(caught.type)
    assert classes[0] is classes[1]


def test_a_gradient_check_takes_forward_mode():
    for lib in LIBRARIES:
        x = tensor(lib, 3).requires_grad_()
        assert lib.autograd.gradcheck(lambda t: network(lib, t), (x,), check_forward_ad=True)
        assert lib.autograd.gradgradcheck(lambda t: t.sin() * t, (x,), check_fwd_over_rev=True)
