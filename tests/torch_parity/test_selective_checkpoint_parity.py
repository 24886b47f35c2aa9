"""Policies of selective checkpointing are asked of the operators of which PyTorch asks them."""

import functools
import importlib

import corten
import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.cpu
# What is done apart from views, which programs seldom name, and which differ.
VIEWS = {"t", "view", "_unsafe_view", "expand", "transpose", "permute", "reshape", "unsqueeze", "squeeze", "detach"}

FUNCTIONS = {
    "products": lambda lib, x, w: (x @ w, x.mm(w), x[0] @ w[0], x @ w[0], lib.nn.functional.linear(x, w)),
    "batches": lambda lib, x, w: (x.reshape(1, 4, 4).expand(2, 4, 4) @ w.reshape(1, 4, 4).expand(2, 4, 4),),
    "bias": lambda lib, x, w: (lib.nn.functional.linear(x, w, w[0]),),
    "arithmetic": lambda lib, x, w: (x + w, x - 1, x * 2, x / w, x.exp(), x**2, x**w, -x),
    "reductions": lambda lib, x, w: (x.sum(), x.sum(-1), x.mean(), x.mean(0), x.max(), x.softmax(-1)),
    "activations": lambda lib, x, w: (lib.relu(x), lib.nn.functional.gelu(x), lib.sigmoid(x), lib.tanh(x)),
    "norms": lambda lib, x, w: (lib.nn.functional.layer_norm(x, (4,)), lib.nn.functional.log_softmax(x, -1)),
    "convolution": lambda lib, x, w: (lib.nn.functional.conv1d(x.reshape(1, 4, 4), w.reshape(4, 4, 1)),),
    "comparisons": lambda lib, x, w: (lib.where(x > 0, x, w), x * (x == w)),
    "joined": lambda lib, x, w: (lib.cat([x, w]), lib.stack([x, w])),
}


def asked(library, function):
    names = []
    module = importlib.import_module(f"{library.__name__}.utils.checkpoint")

    def policy(ctx, op, *args, **kwargs):
        names.append(str(op))
        return module.CheckpointPolicy.PREFER_RECOMPUTE

    x, w = (library.ones(4, 4, requires_grad=True) for _ in range(2))
    contexts = functools.partial(module.create_selective_checkpoint_contexts, policy)
    module.checkpoint(lambda x, w: function(library, x, w), x, w, use_reentrant=False, context_fn=contexts)
    return [name for name in names if name.split(".")[1] not in VIEWS]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operators_have_pytorchs_names(name):
    assert asked(corten, FUNCTIONS[name]) == asked(torch, FUNCTIONS[name])
