"""Arguments of vmap and of corten.func that few programs give, and wrong ones, beside PyTorch's."""

from __future__ import annotations

import warnings

import corten
import numpy as np
import pytest
import torch

LIBRARIES = (corten, torch)


def tensor(lib, *shape, seed=0):
    return lib.tensor(np.random.default_rng(sum(shape) + seed).standard_normal(shape).astype("float32"))


def vector(lib, seed=0):
    return tensor(lib, 3, seed=seed)


def product(x, y):
    return x * y


def curved(x):
    return x.sin() * x[0]


def squares(x):
    return (x**2).sum()


VMAP = {
    "tree of dicts": lambda lib: lib.vmap(lambda d: d["a"] * d["b"], in_dims=({"a": 0, "b": None},))(
        {"a": tensor(lib, 3, 2), "b": tensor(lib, 2)}
    ),
    "negative dims": lambda lib: lib.vmap(lambda a: a * 2, in_dims=-2, out_dims=-1)(tensor(lib, 3, 2, 4)),
    "keywords have no dims": lambda lib: lib.vmap(lambda a, b=None: a * b.sum())(
        tensor(lib, 3, 2), b=tensor(lib, 3, 2)
    ),
    "nested dims": lambda lib: lib.vmap(lambda t, c: t[0] * t[1][0] + c, in_dims=((0, [None]), 1))(
        (tensor(lib, 3, 2), [tensor(lib, 2)]), tensor(lib, 2, 3)
    ),
    "other things": lambda lib: lib.vmap(lambda a, s: a * len(s), in_dims=(0, None))(tensor(lib, 3), "abc"),
    "no examples": lambda lib: lib.vmap(lambda a: a.sum())(tensor(lib, 0, 3)),
    "tree of results": lambda lib: lib.vmap(lambda a: {"x": a, "y": (a * 2, a.sum())}, out_dims={"x": 1, "y": (0, 0)})(
        tensor(lib, 3, 2)
    ),
    "list of results": lambda lib: lib.vmap(lambda a: [a, a * 2], out_dims=[0, 1])(tensor(lib, 3, 2)),
    "constant result": lambda lib: lib.vmap(lambda a: (a, lib.ones(2)), out_dims=(0, None))(tensor(lib, 3, 2)),
    "named results": lambda lib: tuple(lib.vmap(lambda a: a.max(0))(tensor(lib, 3, 2))),
    "chunks with None": lambda lib: lib.vmap(product, in_dims=(0, None), chunk_size=2)(
        tensor(lib, 5, 2), tensor(lib, 2)
    ),
    "two levels": lambda lib: lib.vmap(
        lib.vmap(lambda a, b: a @ b, in_dims=(None, 0), out_dims=1), in_dims=(0, None), out_dims=-1
    )(tensor(lib, 3, 2, 2), tensor(lib, 4, 2, 5)),
    "list of dims": lambda lib: lib.vmap(product, in_dims=[0, 1])(tensor(lib, 3, 2), tensor(lib, 2, 3)),
    "dims of floats": lambda lib: lib.vmap(lambda a: a, in_dims=(0.0,))(tensor(lib, 3, 2)),
    "dims too deep": lambda lib: lib.vmap(lambda a: a, in_dims=((0, 0),))(tensor(lib, 3, 2)),
    "no dims": lambda lib: lib.vmap(lambda a: a)(lib.tensor(1.0)),
    "None with a dim": lambda lib: lib.vmap(lambda a, b: a, in_dims=0)(tensor(lib, 3), None),
    "out_dims of text": lambda lib: lib.vmap(lambda a: a, out_dims="x")(tensor(lib, 3, 2)),
    "result None": lambda lib: lib.vmap(lambda a: (a, None))(tensor(lib, 3, 2)),
    "number as a result": lambda lib: lib.vmap(lambda a: (a, 1))(tensor(lib, 3, 2)),
    "out_dim below": lambda lib: lib.vmap(lambda a: a, out_dims=-3)(tensor(lib, 3, 2)),
    "int()": lambda lib: lib.vmap(lambda a: int(a.sum()))(tensor(lib, 3, 2)),
    "mask": lambda lib: lib.vmap(lambda a: a[a > 0])(tensor(lib, 3, 2)),
    "masked_select without a batch": lambda lib: lib.vmap(lambda a: a.masked_select(lib.tensor([True, False])))(
        tensor(lib, 3, 2)
    ),
}
GRAD = {
    "argnums": lambda lib: lib.func.grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(vector(lib), vector(lib, 1)),
    "argnums from behind": lambda lib: lib.func.grad(lambda x, y: (x * y).sum(), argnums=-1)(
        vector(lib), vector(lib, 1)
    ),
    "one argnum": lambda lib: lib.func.grad(squares, argnums=(0,))(vector(lib)),
    "argnums twice": lambda lib: lib.func.grad(lambda x, y: (x * y).sum(), argnums=(0, -2))(
        vector(lib), vector(lib, 1)
    ),
    "argnum beyond": lambda lib: lib.func.grad(squares, argnums=1)(vector(lib)),
    "list of argnums": lambda lib: lib.func.grad(squares, argnums=[0])(vector(lib)),
    "argnum of text": lambda lib: lib.func.grad(squares, argnums="0")(vector(lib)),
    "no argnums": lambda lib: lib.func.grad(squares, argnums=())(vector(lib)),
    "several numbers": lambda lib: lib.func.grad(lambda x: x * 2)(vector(lib)),
    "no tensor": lambda lib: lib.func.grad(lambda x: 3)(vector(lib)),
    "integers": lambda lib: lib.func.grad(lambda x: x.float().sum())(lib.tensor([1, 2])),
    "aux": lambda lib: lib.func.grad(lambda x: (squares(x), {"a": x * 2}), has_aux=True)(vector(lib)),
    "aux missing": lambda lib: lib.func.grad(squares, has_aux=True)(vector(lib)),
    "constant": lambda lib: lib.func.grad(lambda x: lib.tensor(1.0))(vector(lib)),
    "leaf written": lambda lib: lib.func.grad(lambda x: x.mul_(3).sum())(vector(lib)),
    "autograd inside": lambda lib: lib.func.grad(
        lambda x: lib.autograd.grad((x**3).sum(), x, create_graph=True)[0].sum()
    )(vector(lib)),
    "vjp of a tuple": lambda lib: lib.func.vjp(lambda x: (x * 2, x**2), vector(lib))[1](
        (vector(lib, 1), vector(lib, 2))
    ),
    "vjp with loose vectors": lambda lib: lib.func.vjp(lambda x: (x * 2, x**2), vector(lib))[1](vector(lib, 1), True),
    "vjp of another shape": lambda lib: lib.func.vjp(lambda x: x * 2, vector(lib))[1](tensor(lib, 4)),
    "vjp of nothing": lambda lib: lib.func.vjp(lambda: 1),
    "vjp reads values": lambda lib: lib.vmap(lib.func.vjp(lambda x: x * 2 if x.sum() > -9 else x, vector(lib))[1])(
        tensor(lib, 4, 3)
    ),
    "jvp": lambda lib: lib.func.jvp(product, (vector(lib), vector(lib, 1)), (vector(lib, 2), vector(lib, 3))),
    "jvp of a constant": lambda lib: lib.func.jvp(lambda x: lib.ones(2), (vector(lib),), (vector(lib, 2),)),
    "jvp strict": lambda lib: lib.func.jvp(lambda x: lib.ones(2), (vector(lib),), (vector(lib, 2),), strict=True),
    "jvp of a list": lambda lib: lib.func.jvp(squares, [vector(lib)], [vector(lib)]),
    "jvp of another shape": lambda lib: lib.func.jvp(squares, (vector(lib),), (tensor(lib, 4),)),
    "linearize": lambda lib: lib.func.linearize(lambda x, y: (x * y, x.sin()), vector(lib), vector(lib, 1))[1](
        vector(lib, 2), vector(lib, 3)
    ),
    "linearize and vmap": lambda lib: lib.vmap(lib.func.linearize(lambda x: x.sin(), vector(lib))[1])(
        tensor(lib, 4, 3)
    ),
    "linearize of another dtype": lambda lib: lib.func.linearize(lambda x: x.sin(), vector(lib))[1](
        vector(lib).double()
    ),
    "linearize of another shape": lambda lib: lib.func.linearize(lambda x: x.sin(), vector(lib))[1](tensor(lib, 4)),
    "linearize of too many": lambda lib: lib.func.linearize(lambda x: x.sin(), vector(lib))[1](
        vector(lib), vector(lib)
    ),
    "chunks of rows": lambda lib: lib.func.jacrev(lambda x, y: (x * y, x.sum()), argnums=(0, 1), chunk_size=3)(
        tensor(lib, 5), tensor(lib, 5, seed=1)
    ),
    "chunks of none": lambda lib: lib.func.jacrev(curved, chunk_size=0),
    "hessian of blocks": lambda lib: lib.func.hessian(lambda x, y: (x**2 * y**2).sum(), argnums=(0, 1))(
        vector(lib), vector(lib, 1)
    ),
    "forward draws": lambda lib: lib.func.jacfwd(lambda x: x * lib.rand(3))(vector(lib)),
    "forward of integers": lambda lib: lib.func.jacfwd(lambda x: x.float())(lib.tensor([1, 2])),
}
# Of jacrev and jacfwd.
JACOBIANS = {
    "argnums": lambda lib, jac: jac(lambda x, y: (x * y, x.sum()), argnums=(0, 1))(vector(lib), vector(lib, 1)),
    "one argnum": lambda lib, jac: jac(product, argnums=(1,))(vector(lib), vector(lib, 1)),
    "argnum beyond": lambda lib, jac: jac(product, argnums=2)(vector(lib), vector(lib, 1)),
    "aux": lambda lib, jac: jac(lambda x: (x**2, {"k": x * 2}), has_aux=True)(vector(lib)),
    "aux missing": lambda lib, jac: jac(lambda x: x**2, has_aux=True)(vector(lib)),
    "dict of arguments": lambda lib, jac: jac(lambda p: p["a"] * p["b"])({"a": vector(lib), "b": vector(lib, 1)}),
    "dict of results": lambda lib, jac: jac(lambda x: {"a": x * 2, "b": x.sum()})(vector(lib)),
    "list of results": lambda lib, jac: jac(lambda x: [x, x * 2])(vector(lib)),
    "number": lambda lib, jac: jac(lambda x: x.sin())(lib.tensor(0.3)),
    "constant": lambda lib, jac: jac(lambda x: lib.ones(2))(vector(lib)),
    "no tensor": lambda lib, jac: jac(lambda x: (x, 3))(vector(lib)),
    "nothing": lambda lib, jac: jac(lambda x: x[:0])(vector(lib)),
    "of each example": lambda lib, jac: lib.vmap(jac(curved))(tensor(lib, 4, 3)),
    "reads values": lambda lib, jac: jac(lambda x: x * 2 * x.sum().item() if x.sum() > -9 else x)(vector(lib)),
    "chooses by a mask": lambda lib, jac: jac(lambda x: x * (x > 0))(vector(lib)),
    "of itself": lambda lib, jac: jac(jac(curved))(vector(lib)),
    "of what requires grad": lambda lib, jac: jac(curved)(vector(lib).requires_grad_()),
}
VECTORIZED = {
    "two of each": lambda lib, f, v: f.jacobian(
        lambda x, y: (x * y, x.sum()), (vector(lib), vector(lib, 1)), vectorize=v
    ),
    "unused": lambda lib, f, v: f.jacobian(lambda x, y: x * 2, (vector(lib), vector(lib, 1)), vectorize=v),
    "constant": lambda lib, f, v: f.jacobian(lambda x: lib.ones(2), vector(lib), vectorize=v),
    "number": lambda lib, f, v: f.jacobian(lambda x: x.sum(), vector(lib), vectorize=v),
    "create_graph": lambda lib, f, v: f.jacobian(curved, vector(lib).requires_grad_(), create_graph=True, vectorize=v),
    "hessian": lambda lib, f, v: f.hessian(lambda x, y: (x**2 * y).sum(), (vector(lib), vector(lib, 1)), vectorize=v),
    "hessian with create_graph": lambda lib, f, v: f.hessian(
        lambda x: (x**3).sum(), vector(lib).requires_grad_(), create_graph=True, vectorize=v
    ),
    "forward": lambda lib, f, v: f.jacobian(curved, vector(lib), vectorize=v, strategy="forward-mode"),
    "strict": lambda lib, f, v: f.jacobian(lambda x, y: x * 2, (vector(lib), vector(lib, 1)), strict=True, vectorize=v),
    "strict hessian": lambda lib, f, v: f.hessian(lambda x: (x * 2).sum(), vector(lib), strict=True, vectorize=v),
    "hessian of several": lambda lib, f, v: f.hessian(lambda x: x * 2, vector(lib), vectorize=v),
    "unknown strategy": lambda lib, f, v: f.jacobian(curved, vector(lib), vectorize=v, strategy="x"),
}
CASES = {
    **{f"vmap: {name}": call for name, call in VMAP.items()},
    **{f"grad: {name}": call for name, call in GRAD.items()},
    **{
        f"{transform}: {name}": lambda lib, call=call, transform=transform: call(lib, getattr(lib.func, transform))
        for transform in ("jacrev", "jacfwd")
        for name, call in JACOBIANS.items()
    },
    **{
        f"functional, vectorize={v}: {name}": lambda lib, call=call, v=v: call(lib, lib.autograd.functional, v)
        for v in (True, False)
        for name, call in VECTORIZED.items()
    },
}


def outcome(call, lib):
    """What a call gives, or the class of what it raises."""
    lib.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(lib)
    except Exception as error:
        return type(error)


def assert_same(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, corten.Tensor)
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        assert tuple(ours.shape) == tuple(theirs.shape) and ours.requires_grad == theirs.requires_grad
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert_same(ours[key], value)
    elif isinstance(theirs, (tuple, list)):
        assert type(ours) is type(theirs) and len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", CASES)
def test_arguments_do_what_pytorchs_do(name):
    ours, theirs = (outcome(CASES[name], lib) for lib in LIBRARIES)
    assert_same(ours, theirs)


# -- functions with rules of their own --------------------------------------------------------------------------------


def scaled(lib, own, made):
    """A function of two tensors with two results, with a rule for vmap of its own, or one made for it, or none."""

    class Scaled(lib.autograd.Function):
        generate_vmap_rule = made

        @staticmethod
        def forward(x, y):
            return x * y, x.sum()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, first, second):
            x, y = ctx.saved_tensors
            return first * y + second, first * x

        @staticmethod
        def jvp(ctx, dx, dy):
            x, y = ctx.saved_tensors
            return dx * y + dy * x, dx.sum()

    if own:

        def vmap(info, in_dims, x, y):
            x = x.expand(info.batch_size, *x.shape) if in_dims[0] is None else x.movedim(in_dims[0], 0)
            y = y if in_dims[1] is None else y.movedim(in_dims[1], 0)
            return (x * y, x.sum(1)), (0, 0)

        Scaled.vmap = staticmethod(vmap)
    return Scaled.apply


USES = {
    "vmap": lambda lib, f: lib.vmap(f, in_dims=(1, None))(tensor(lib, 3, 4), vector(lib)),
    "gradients of each": lambda lib, f: lib.vmap(
        lib.func.grad(lambda x, y: sum(t.sum() for t in f(x, y)), argnums=(0, 1)), in_dims=(1, None)
    )(tensor(lib, 3, 4), vector(lib)),
    "jacrev": lambda lib, f: lib.func.jacrev(f, argnums=(0, 1))(vector(lib), vector(lib, 1)),
    "jvp": lambda lib, f: lib.func.jvp(f, (vector(lib), vector(lib, 1)), (vector(lib, 2), vector(lib, 3))),
}


@pytest.mark.parametrize("own, made", [(False, True), (True, False), (False, False), (True, True)])
@pytest.mark.parametrize("use", USES)
def test_functions_do_what_pytorchs_do(use, own, made):
    ours, theirs = (outcome(lambda lib: USES[use](lib, scaled(lib, own, made)), lib) for lib in LIBRARIES)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "returned", [lambda x: x * 2, lambda x: (x * 2, (0,)), lambda x: (x[0], None), lambda x: (x.T, -1)]
)
def test_what_a_functions_own_rule_returns(returned):
    def call(lib):
        class Twice(lib.autograd.Function):
            @staticmethod
            def forward(x):
                return x * 2

            @staticmethod
            def setup_context(ctx, inputs, output):
                pass

            @staticmethod
            def backward(ctx, grad):
                return grad * 2

            @staticmethod
            def vmap(info, in_dims, x):
                return returned(x)

        return lib.vmap(Twice.apply)(tensor(lib, 4, 3))

    assert_same(*(outcome(call, lib) for lib in LIBRARIES))
