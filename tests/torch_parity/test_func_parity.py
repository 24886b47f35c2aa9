"""corten.func and trees beside PyTorch's: values, structures of results, and whether a result has a history."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple

import corten
import corten.utils._pytree
import numpy as np
import pytest
import torch
import torch.utils._pytree

LIBRARIES = (corten, torch)
# PyTorch's forward mode loads what it has deprecated itself.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch", "ignore:`torch.jit:DeprecationWarning", "ignore:Attempted to insert"
)


def tensor(lib, *shape):
    return lib.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype("float32"))


def network(lib):
    w, b = tensor(lib, 4, 3), tensor(lib, 4)
    return lambda x: (w @ x + b).tanh()


CALLS = {
    "grad": lambda lib, f: f.grad(lambda x: x.sin().sum())(tensor(lib, 3)),
    "grad of a tree": lambda lib, f: f.grad(lambda d: (d["a"] * d["b"][0]).sum())(
        {"a": tensor(lib, 3), "b": [tensor(lib, 3)]}
    ),
    "grad by numbers": lambda lib, f: f.grad(lambda x, y: (x * y).sum(), argnums=(1,))(tensor(lib, 3), tensor(lib, 3)),
    "grad and value": lambda lib, f: f.grad_and_value(lambda x: (x.exp().sum(), x), has_aux=True)(tensor(lib, 3)),
    "grad of grad": lambda lib, f: f.grad(lambda x: f.grad(lambda y: (x * y**3).sum())(x).sum())(tensor(lib, 3)),
    "vjp": lambda lib, f: f.vjp(network(lib), tensor(lib, 3))[1](tensor(lib, 4)),
    "vjp of two": lambda lib, f: f.vjp(lambda x, y: (x * y, x), tensor(lib, 3), tensor(lib, 3))[1](
        (tensor(lib, 3), tensor(lib, 3))
    ),
    "jvp": lambda lib, f: f.jvp(network(lib), (tensor(lib, 3),), (tensor(lib, 3),)),
    "linearize": lambda lib, f: f.linearize(network(lib), tensor(lib, 3))[1](tensor(lib, 3)),
    "jacrev": lambda lib, f: f.jacrev(network(lib))(tensor(lib, 3)),
    "jacrev of trees": lambda lib, f: f.jacrev(lambda x, y: (x * y, {"s": x.sum()}), argnums=(0, 1))(
        tensor(lib, 3), tensor(lib, 3)
    ),
    "jacfwd": lambda lib, f: f.jacfwd(network(lib))(tensor(lib, 3)),
    "jacfwd with aux": lambda lib, f: f.jacfwd(lambda x: (x.prod(), x), has_aux=True)(tensor(lib, 3)),
    "hessian": lambda lib, f: f.hessian(lambda x: network(lib)(x).square().sum())(tensor(lib, 3)),
    "hessian of two": lambda lib, f: f.hessian(lambda x, y: (x * y.exp()).sum(), (0, 1))(
        tensor(lib, 2), tensor(lib, 2)
    ),
    "rearrange": lambda lib, f: f.rearrange(tensor(lib, 2, 6, 3), "b (h w) c -> (b w) c h", h=2),
    "rearrange with dots": lambda lib, f: f.rearrange(tensor(lib, 2, 4, 3), "a ... -> ... 1 a"),
}


@pytest.mark.parametrize("name", CALLS)
def test_transformations_give_pytorchs_trees_and_values(name):
    mine, theirs = (CALLS[name](lib, lib.func) for lib in LIBRARIES)
    flat = corten.utils._pytree.tree_flatten(mine), torch.utils._pytree.tree_flatten(theirs)
    assert repr(flat[0][1]) == repr(flat[1][1])
    for a, b in zip(flat[0][0], flat[1][0], strict=True):
        assert a.requires_grad == b.requires_grad and a.shape == b.shape
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=1e-5)


ERRORS = {
    "vector": lambda lib, f: f.grad(lambda x: x)(tensor(lib, 3)),
    "number": lambda lib, f: f.grad(lambda x: x)(3),
    "argnums": lambda lib, f: f.grad(lambda x: x.sum(), argnums=4)(tensor(lib, 3)),
    "no argnums": lambda lib, f: f.grad(lambda x: x.sum(), argnums=())(tensor(lib, 3)),
    "integers": lambda lib, f: f.grad(lambda x: x.sum())(tensor(lib, 3).long()),
    "cotangents": lambda lib, f: f.vjp(lambda x: x, tensor(lib, 3))[1](tensor(lib, 2)),
    "tangents": lambda lib, f: f.jvp(lambda x: x, (tensor(lib, 3),), (tensor(lib, 3), tensor(lib, 3))),
    "no tuple": lambda lib, f: f.jvp(lambda x: x, tensor(lib, 3), (tensor(lib, 3),)),
    "no tensors": lambda lib, f: f.jacrev(lambda x: 3)(tensor(lib, 3)),
    "no models": lambda lib, f: f.stack_module_state([]),
    "strict": lambda lib, f: f.functional_call(lib.nn.Linear(3, 2), {}, tensor(lib, 3), strict=True),
    "not a tensor": lambda lib, f: f.functional_call(lib.nn.Linear(3, 2), {"weight": 2}, tensor(lib, 3)),
    "no submodule": lambda lib, f: f.functional_call(lib.nn.Linear(3, 2), {"a.b": tensor(lib, 3)}, tensor(lib, 3)),
    "pattern": lambda lib, f: f.rearrange(tensor(lib, 2, 3), "a b -> b c"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_pytorchs_classes(name):
    classes = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as error:
            ERRORS[name](lib, lib.func)
        classes.append(error.type)
    assert classes[0] is classes[1]


Point = namedtuple("Point", "x y")
TREES = [
    [1, (2, 3), {"b": 4, "a": [5, None]}],
    Point(1, [2]),
    OrderedDict(z=1, y=(2,)),
    defaultdict(list, {"q": [1]}),
    deque([1, 2], maxlen=3),
    [(), {}],
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_trees_are_described_as_by_pytorch(tree):
    described = []
    for lib in LIBRARIES:
        pytree = lib.utils._pytree
        spec = pytree.tree_structure(tree)
        paths = [(pytree.keystr(path), leaf) for path, leaf in pytree.tree_leaves_with_path(tree)]
        text = None if isinstance(tree, Point) else pytree.treespec_dumps(spec)
        described.append((repr(spec), spec.num_nodes, spec.num_leaves, paths, text, pytree.treespec_pprint(spec)))
    assert described[0] == described[1]
