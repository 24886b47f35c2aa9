"""corten.vmap and classes that take over operators, beside PyTorch's: values, shapes, who is asked, errors."""

from __future__ import annotations

import operator

import corten
import numpy as np
import pytest
import torch

LIBRARIES = (corten, torch)
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch", "ignore:`torch.jit:DeprecationWarning", "ignore:There is a performance drop"
)


def tensor(lib, *shape):
    return lib.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype("float32"))


def whole(lib, *values):
    return lib.tensor(values)


VMAPS = {
    "dot": lambda lib: lib.vmap(lib.dot)(tensor(lib, 4, 3), tensor(lib, 4, 3)),
    "in_dims": lambda lib: lib.vmap(lib.mm, in_dims=(1, None), out_dims=2)(tensor(lib, 2, 4, 3), tensor(lib, 3, 5)),
    "nested": lambda lib: lib.vmap(lib.vmap(lambda a, b: a * b, (0, None)), (None, 0))(tensor(lib, 3), tensor(lib, 4)),
    "promotion": lambda lib: lib.vmap(lambda a, b: a * b)(tensor(lib, 3, 2), lib.ones(3, dtype=lib.float64)),
    "var": lambda lib: lib.vmap(lambda a: a.var(0, keepdim=True))(tensor(lib, 3, 4)),
    "max": lambda lib: lib.vmap(lambda a: a.max(-1))(tensor(lib, 3, 4)),
    "sort": lambda lib: lib.vmap(lambda a: a.sort(descending=True))(tensor(lib, 3, 4)),
    "topk": lambda lib: lib.vmap(lambda a: a.topk(2))(tensor(lib, 3, 4)),
    "softmax": lambda lib: lib.vmap(lambda a: a.softmax(0))(tensor(lib, 3, 4)),
    "index": lambda lib: lib.vmap(lambda a, i: a[i])(tensor(lib, 3, 4, 2), whole(lib, [0, 1], [3, 3], [2, 0])),
    "gather": lambda lib: lib.vmap(lambda a, i: a.gather(0, i))(tensor(lib, 2, 4), whole(lib, [0, 1], [3, 3])),
    "conv2d": lambda lib: lib.vmap(lib.nn.functional.conv2d)(tensor(lib, 3, 1, 2, 5, 5), tensor(lib, 3, 4, 2, 3, 3)),
    "linear": lambda lib: lib.vmap(lib.nn.functional.linear)(
        tensor(lib, 3, 5), tensor(lib, 3, 2, 5), tensor(lib, 3, 2)
    ),
    "cross_entropy": lambda lib: lib.vmap(lib.nn.functional.cross_entropy)(
        tensor(lib, 2, 3, 4), whole(lib, [0, 1, 3], [2, -100, 0])
    ),
    "batch_norm": lambda lib: lib.vmap(lambda a: lib.nn.functional.batch_norm(a, None, None, training=True))(
        tensor(lib, 2, 6, 3)
    ),
    "einsum": lambda lib: lib.vmap(lambda a, b: lib.einsum("ij,kj->ik", a, b))(
        tensor(lib, 2, 3, 4), tensor(lib, 2, 5, 4)
    ),
    "where": lambda lib: lib.vmap(lambda a: lib.where(a > 0, a, 0.0))(tensor(lib, 3, 4)),
    "chunks": lambda lib: lib.vmap(lambda a: a.sin(), chunk_size=2)(tensor(lib, 5, 3)),
    "grad": lambda lib: lib.vmap(lib.func.grad(lambda w, x: (w @ x).tanh().sum()), (None, 0))(
        tensor(lib, 2, 3), tensor(lib, 4, 3)
    ),
    "hessian": lambda lib: lib.vmap(lib.func.hessian(lambda x: (x**3).sum()))(tensor(lib, 4, 3)),
    "jacfwd": lambda lib: lib.vmap(lib.func.jacfwd(lambda x: x.sin() * x[0]))(tensor(lib, 4, 3)),
    "vjp outside": lambda lib: lib.vmap(lib.func.vjp(lambda x: x.sin(), tensor(lib, 3))[1])(lib.eye(3)),
    "tree": lambda lib: lib.vmap(lambda d: {"r": d["a"] + d["b"]}, in_dims=({"a": 0, "b": None},))(
        {"a": tensor(lib, 2, 3), "b": tensor(lib, 3)}
    ),
}


def leaves(result):
    if isinstance(result, dict):
        return [leaf for key in sorted(result) for leaf in leaves(result[key])]
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, (tuple, list)) else [result]


@pytest.mark.parametrize("name", VMAPS)
def test_vmap_gives_what_pytorch_gives(name):
    ours, theirs = (leaves(VMAPS[name](lib)) for lib in LIBRARIES)
    for a, b in zip(ours, theirs, strict=True):
        assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1]
        assert tuple(a.shape) == tuple(b.shape) and a.requires_grad == b.requires_grad
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-6)


ERRORS = {
    "no inputs": lambda lib: lib.vmap(lambda: 1)(),
    "in_dims of a list": lambda lib: lib.vmap(lambda a: a, in_dims="x")(lib.ones(2)),
    "in_dim beyond": lambda lib: lib.vmap(lambda a: a, in_dims=3)(lib.ones(2)),
    "structure": lambda lib: lib.vmap(lambda a, b: a, in_dims=(0,))(lib.ones(2), lib.ones(2)),
    "number": lambda lib: lib.vmap(lambda a, b: a)(lib.ones(2), 3),
    "sizes": lambda lib: lib.vmap(lambda a, b: a)(lib.ones(2), lib.ones(3)),
    "no batch": lambda lib: lib.vmap(lambda a: a, in_dims=(None,))(lib.ones(2)),
    "result": lambda lib: lib.vmap(lambda a: "text")(lib.ones(2)),
    "out_dims": lambda lib: lib.vmap(lambda a: (a, a), out_dims=(0, 0, 0))(lib.ones(2)),
    "out_dim beyond": lambda lib: lib.vmap(lambda a: a, out_dims=4)(lib.ones(2)),
    "out_dim None": lambda lib: lib.vmap(lambda a: a, out_dims=None)(lib.ones(2)),
    "randomness": lambda lib: lib.vmap(lambda a: a, randomness="x")(lib.ones(2)),
    "drawing": lambda lib: lib.vmap(lambda a: a + lib.randn(()))(lib.ones(2)),
    "chunk": lambda lib: lib.vmap(lambda a: a, chunk_size=0)(lib.ones(2)),
    "item": lambda lib: lib.vmap(lambda a: a.item())(lib.ones(2)),
    "control flow": lambda lib: lib.vmap(lambda a: a if a else -a)(lib.ones(2)),
    "nonzero": lambda lib: lib.vmap(lambda a: a.nonzero())(lib.ones(2, 3)),
    "in place": lambda lib: lib.vmap(lambda a: lib.ones(3).add_(a))(lib.ones(2, 3)),
    "different in place": lambda lib: lib.vmap(lambda a: lib.ones(3).normal_(), randomness="different")(lib.ones(2)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_pytorchs_class(name):
    raised = []
    for lib in LIBRARIES:
        with pytest.raises((ValueError, RuntimeError, IndexError)) as caught:
            ERRORS[name](lib)
        raised.append(caught.type)
    assert raised[0] is raised[1]


# -- classes that take over ------------------------------------------------------------------------------------------

BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "lt",
    "le",
    "eq",
    "ne",
    "gt",
    "ge",
    "iadd",
    "isub",
    "imul",
    "itruediv",
    "ifloordiv",
    "imod",
    "ipow",
]


def logging(lib):
    class Logged(lib.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            log.append((func.__name__, len(args)))
            return super().__torch_function__(func, types, args, kwargs)

    log: list = []
    return Logged, log


@pytest.mark.parametrize("name", BINARY)
def test_operators_ask_for_pytorchs_functions(name):
    logs = []
    for lib in LIBRARIES:
        cls, log = logging(lib)
        call = getattr(operator, name)
        pairs = [(True, False), (False, True)]
        for left, right in pairs:
            a, b = (lib.full((3,), 2.0).as_subclass(cls) if own else lib.full((3,), 2.0) for own in (left, right))
            log.append("begin")
            result = call(a, b)
            # A plain tensor that is written in place stays what it is here; PyTorch gives another object in its place.
            log.append(type(result) is cls or (name.startswith("i") and not left))
        logs.append(log)
    assert logs[0] == logs[1]


FACTS = {
    "neg": lambda lib, a: -a,
    "rsub": lambda lib, a: 2 - a,
    "rpow": lambda lib, a: 2**a,
    "item": lambda lib, a: a[0].item(),
    "T": lambda lib, a: a.T,
    "shape": lambda lib, a: a.shape,
    "sum": lambda lib, a: a.sum(0),
    "stack": lambda lib, a: lib.stack([a, a]),
    "zeros_like": lambda lib, a: lib.zeros_like(a),
    "new_zeros": lambda lib, a: a.new_zeros(3),
    "detach": lambda lib, a: a.detach(),
    "requires_grad_": lambda lib, a: a.requires_grad_(),
    "norm": lambda lib, a: a.norm(),
    "len": lambda lib, a: len(a),
    "tolist": lambda lib, a: a.tolist(),
    "contains": lambda lib, a: 2.0 in a,
    "linear": lambda lib, a: lib.nn.functional.linear(lib.ones(2, 3), a),
}


@pytest.mark.filterwarnings("ignore:The use of `x.T`")
@pytest.mark.parametrize("name", FACTS)
def test_methods_and_attributes_ask_for_pytorchs_functions(name):
    found = []
    for lib in LIBRARIES:
        cls, log = logging(lib)
        a = lib.ones(3).as_subclass(cls)
        log.clear()
        result = FACTS[name](lib, a)
        found.append((log, type(result) is cls))
    assert found[0] == found[1]


def test_strangers_do_not_mix_and_the_finer_class_decides():
    for lib in LIBRARIES:
        plain = type("Plain", (lib.Tensor,), {})
        finer, other = type("Finer", (plain,), {}), type("Other", (lib.Tensor,), {})
        a, b, c = (lib.ones(2).as_subclass(cls) for cls in (plain, finer, other))
        assert type(a + b) is finer and type(b + a) is finer
        with pytest.raises(TypeError, match="Multiple dispatch failed"):
            lib.add(a, c)
