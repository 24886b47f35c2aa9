"""Dual numbers written into plain tensors beside PyTorch: what is dual afterwards, and how it moves."""

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


def setitem(lib, a):
    y = lib.zeros(4)
    y[:2] = a
    return y, y * 2, y[1:3]


def setitem_twice(lib, a):
    y = lib.zeros(4)
    y[:2] = a
    y[2:] = a * 3
    y[0] = 5.0
    return y


def copy(lib, a):
    y = lib.zeros(2)
    r = y.copy_(a)
    assert r is y
    return y


def add(lib, a):
    y = lib.ones(2)
    y.add_(a)
    y += a
    y *= 2
    return y


def mul(lib, a):
    y = lib.ones(2) * 3
    y.mul_(a)
    return y


def iop(lib, a):
    y = lib.ones(2) * 3
    y *= a
    y -= a
    y /= a
    return y


def broadcast(lib, a):
    y = lib.ones(2, 2) * 3
    y.mul_(a)
    return y


def index_put(lib, a):
    y = lib.zeros(4)
    y.index_put_((lib.tensor([1, 3]),), a)
    return y


def index_put_acc(lib, a):
    y = lib.ones(4)
    y.index_put_((lib.tensor([1, 1]),), a, accumulate=True)
    return y


def masked_fill(lib, a):
    y = lib.zeros(3)
    y.masked_fill_(lib.tensor([True, False, True]), a[1])
    return y


def index_copy(lib, a):
    y = lib.zeros(3)
    y.index_copy_(0, lib.tensor([2, 0]), a)
    return y


def index_add(lib, a):
    y = lib.zeros(3)
    y.index_add_(0, lib.tensor([2, 0]), a)
    return y


def scatter(lib, a):
    y = lib.zeros(3)
    y.scatter_(0, lib.tensor([2, 0]), a)
    return y


def fill(lib, a):
    y = lib.zeros(3)
    y.fill_(a[1])
    return y


def where_mask_set(lib, a):
    y = lib.zeros(3)
    y[lib.tensor([True, False, True])] = a
    return y


def view_before(lib, a):
    y = lib.zeros(4)
    v = y[1:3]
    w = y.view(2, 2)
    y[:2] = a
    return y, v, w, v * 2, w.t(), v + y[:2]


def write_view(lib, a):
    y = lib.zeros(4)
    v = y[1:3]
    v.copy_(a)
    return y, v, y * y


def write_chained_view(lib, a):
    y = lib.zeros(2, 3)
    y.t()[1].mul_(a).add_(a)
    return y


def select_view_in_list(lib, a):
    y = lib.zeros(2, 2)
    u = list(y.unbind(0))
    u[0].add_(a)
    return y, u[0], u[1]


def copy_partial_then_native_write(lib, a):
    y = lib.zeros(4)
    v = y[:2]
    y[:2] = a
    v.zero_()
    return y, v


def plain_write_through_view_after(lib, a):
    y = lib.zeros(4)
    v = y[:2]
    y[:] = lib.cat([a, a])
    v.copy_(lib.ones(2))
    return y


def plain_mul_through_view_after(lib, a):
    y = lib.zeros(4)
    v = y[:2]
    y[:] = lib.cat([a, a])
    v.mul_(2)
    return y


def detach_view(lib, a):
    y = lib.zeros(4)
    v = y.detach()
    y[:2] = a
    return y, v


def data(lib, a):
    y = lib.zeros(4)
    y[:2] = a
    return y.data, y.detach()


def int_target(lib, a):
    y = lib.zeros(2, dtype=lib.int64)
    y.copy_(a)
    return y


def double_target(lib, a):
    y = lib.zeros(2, dtype=lib.float64)
    y.copy_(a)
    return y


def leaf(lib, a):
    y = lib.zeros(2, requires_grad=True)
    y.add_(a)
    return y


def nograd_leaf(lib, a):
    y = lib.zeros(2, requires_grad=True)
    with lib.no_grad():
        y.add_(a)
    return y


def nonleaf(lib, a):
    x = lib.ones(2, requires_grad=True)
    y = x * 2
    y.mul_(a)
    (g,) = lib.autograd.grad(y.sum(), x)
    return y, g


def dual_needs_grad(lib, a):
    x = lib.ones(2, requires_grad=True)
    b = modes(lib).make_dual(x * 2, lib.tensor([1.0, 3.0]))
    y = lib.zeros(3)
    v = y[:2]
    y[1:] = b * b
    (g,) = lib.autograd.grad((v * v).sum(), x)
    return y, v, g


def into_older_dual(lib, a):
    y = lib.zeros(4)
    y[:2] = a
    z = y.clone()
    z[2:] = a
    return y, z


def addcmul(lib, a):
    y = lib.ones(2)
    y.addcmul_(a, a)
    return y


def pow(lib, a):
    y = lib.ones(2) * 3
    y.pow_(a)
    return y


def clamp(lib, a):
    y = lib.ones(2) * 3
    y.clamp_(max=a)
    return y


def lerp(lib, a):
    y = lib.ones(2)
    y.lerp_(a, 0.5)
    return y


def fill_diagonal(lib, a):
    y = lib.ones(2, 2)
    y.diagonal().copy_(a)
    return y


def stack_ctx(lib, a):
    y = lib.empty(2, 2)
    for i in range(2):
        y[i] = a * i
    return y.sum(0)


def setitem_scalar_dual(lib, a):
    y = lib.zeros(2, 2)
    y[0, 1] = a[1]
    return y, y.sum()


def baddbmm(lib, a):
    y = lib.zeros(2, 2)
    y.addmm_(a.view(2, 1), a.view(1, 2))
    return y


def foreach(lib, a):
    y = lib.zeros(2)
    lib._foreach_add_([y], [a])
    return y


def expanded_src_int_idx(lib, a):
    y = lib.zeros(3, 2)
    y[[0, 2]] = a
    return y


def real_view(lib, a):
    y = lib.zeros(2, dtype=lib.complex64)
    r = y.real
    r.copy_(a)
    return y, r, y.imag


def param_data(lib, a):
    p = lib.nn.Parameter(lib.zeros(2))
    p.data.copy_(a)
    return p, p.data


CASES = [
    setitem,
    setitem_twice,
    copy,
    add,
    mul,
    iop,
    broadcast,
    index_put,
    index_put_acc,
    masked_fill,
    index_copy,
    index_add,
    scatter,
    fill,
    where_mask_set,
    view_before,
    write_view,
    write_chained_view,
    select_view_in_list,
    copy_partial_then_native_write,
    plain_write_through_view_after,
    plain_mul_through_view_after,
    detach_view,
    data,
    int_target,
    double_target,
    leaf,
    nograd_leaf,
    nonleaf,
    dual_needs_grad,
    into_older_dual,
    addcmul,
    pow,
    clamp,
    lerp,
    fill_diagonal,
    stack_ctx,
    setitem_scalar_dual,
    baddbmm,
    foreach,
    expanded_src_int_idx,
    real_view,
    param_data,
]


def outcome(lib, case):
    """Values and tangents of what a case returns, within the level; or the class of its error."""
    with modes(lib).dual_level():
        a = modes(lib).make_dual(lib.tensor([1.0, 2.0]), lib.tensor([10.0, 20.0]))
        try:
            results = case(lib, a)
        except (RuntimeError, NotImplementedError) as error:
            return type(error).__name__
        results = results if isinstance(results, tuple) else (results,)
        pairs = [modes(lib).unpack_dual(result) for result in results]
        return [
            (
                p.detach().tolist(),
                t if t is None else t.detach().tolist(),
                t is not None and t.requires_grad,
                str(p.dtype).partition(".")[2],
            )
            for p, t in pairs
        ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_writing_a_dual_number_into_a_plain_tensor(case):
    own, wanted = (outcome(lib, case) for lib in LIBRARIES)
    if isinstance(wanted, str):
        assert own == wanted
        return
    assert len(own) == len(wanted)
    for mine, other in zip(own, wanted, strict=True):
        assert mine[2:] == other[2:] and (mine[1] is None) == (other[1] is None)
        for value, expected in zip(mine[:2], other[:2], strict=True):
            if expected is not None:
                np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_tensors_are_plain_again_after_the_level():
    for lib in LIBRARIES:
        y, parameter = lib.zeros(2), lib.nn.Parameter(lib.zeros(2))
        view = y[:1]
        with modes(lib).dual_level():
            a = modes(lib).make_dual(lib.ones(2), lib.ones(2))
            y.copy_(a)
            assert modes(lib).unpack_dual(view * 2).tangent.tolist() == [2]
            with lib.no_grad():
                parameter.mul_(a)
            assert isinstance(parameter, lib.nn.Parameter) and parameter.requires_grad and parameter.is_leaf
        assert type(y) is type(view) is lib.Tensor and type(parameter) is lib.nn.Parameter
        with modes(lib).dual_level():
            assert all(modes(lib).unpack_dual(x).tangent is None for x in (y, view, y * 2, view * 2, parameter))
            y.mul_(modes(lib).make_dual(lib.ones(2), lib.ones(2)))
            assert modes(lib).unpack_dual(view).tangent.tolist() == [1]
