"""Parametrizations, pruning and calls with other parameters beside PyTorch's: state, numbers, reprs and errors."""

from __future__ import annotations

import re

import corten
import numpy as np
import pytest
import torch
import torch.nn.utils.prune

LIBRARIES = (corten, torch)


def state(module):
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def compare(states):
    mine, theirs = states
    assert list(mine) == list(theirs)
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=2e-5, atol=2e-6, err_msg=name)


WRAPPERS = {
    "weight_norm": lambda lib, p: p.weight_norm(lib.nn.Linear(3, 4)),
    "weight_norm of all": lambda lib, p: p.weight_norm(lib.nn.Conv2d(2, 3, 3), dim=None),
    "weight_norm dim 1": lambda lib, p: p.weight_norm(lib.nn.Conv1d(2, 3, 3), dim=1),
    "spectral_norm": lambda lib, p: p.spectral_norm(lib.nn.Linear(3, 4)),
    "spectral_norm of a transposed convolution": lambda lib, p: p.spectral_norm(lib.nn.ConvTranspose2d(2, 3, 3)),
    "spectral_norm of a bias": lambda lib, p: p.spectral_norm(lib.nn.Linear(3, 4), "bias"),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_parametrized_modules_are_trained_as_pytorchs_are(name):
    states, reprs, weights = [], [], []
    for lib in LIBRARIES:
        lib.manual_seed(4)
        module = WRAPPERS[name](lib, lib.nn.utils.parametrizations)
        reprs.append(re.sub(r"\btorch\b", "corten", repr(module)))
        optimizer = lib.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (module.weight.square().sum() + module.bias.sin().sum()).backward()
            optimizer.step()
        states.append(state(module))
        weights.append({"weight": module.weight.detach().numpy(), "bias": module.bias.detach().numpy()})
    compare(states)
    compare(weights)
    assert reprs[0] == reprs[1]


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("orthogonal_map", [None, "matrix_exp", "cayley", "householder"])
def test_orthogonal_modules_map_pytorchs_states_to_pytorchs_weights(orthogonal_map, shape):
    source = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(*shape), orthogonal_map=orthogonal_map)
    with torch.no_grad():
        source.parametrizations.weight.original += torch.randn(shape[::-1]).tril(-1)
    target = corten.nn.utils.parametrizations.orthogonal(corten.nn.Linear(*shape), orthogonal_map=orthogonal_map)
    target.load_state_dict({k: corten.from_numpy(v) for k, v in state(source).items()})
    weights, gradients = [], []
    for module, lib in ((target, corten), (source, torch)):
        weights.append({"weight": module.weight.detach().numpy()})
        (module.weight * lib.arange(module.weight.numel()).reshape(module.weight.shape)).sum().backward()
        gradients.append({"original": module.parametrizations.weight.original.grad.numpy()})
    compare(weights)
    np.testing.assert_allclose(gradients[0]["original"], gradients[1]["original"], rtol=1e-3, atol=1e-4)


def test_an_orthogonal_module_begins_with_pytorchs_numbers():
    states = []
    for lib in LIBRARIES:
        lib.manual_seed(2)
        module = lib.nn.utils.parametrizations.orthogonal(lib.nn.Linear(3, 5))
        states.append({"weight": module.weight.detach().numpy(), **state(module)})
    compare(states)


PRUNINGS = {
    "l1": lambda p, m: p.l1_unstructured(m, "weight", 5),
    "l1 share": lambda p, m: p.l1_unstructured(m, "weight", 0.35),
    "random": lambda p, m: p.random_unstructured(m, "weight", 0.5),
    "random structured": lambda p, m: p.random_structured(m, "weight", 2, 0),
    "ln": lambda p, m: p.ln_structured(m, "weight", 0.4, 2, -1),
    "ln of infinity": lambda p, m: p.ln_structured(m, "weight", 1, float("inf"), 0),
    "twice": lambda p, m: p.ln_structured(p.l1_unstructured(m, "weight", 4), "weight", 1, 2, 0),
    "thrice": lambda p, m: p.l1_unstructured(
        p.random_structured(p.l1_unstructured(m, "weight", 4), "weight", 1, 1), "weight", 0.5
    ),
    "identity": lambda p, m: p.identity(m, "bias"),
    "removed": lambda p, m: p.remove(p.l1_unstructured(m, "weight", 4), "weight"),
    "global": lambda p, m: p.global_unstructured([(m, "weight"), (m, "bias")], p.L1Unstructured, amount=0.4) or m,
}


@pytest.mark.parametrize("name", PRUNINGS)
def test_pruning_leaves_what_pytorchs_leaves(name):
    states = []
    for lib in LIBRARIES:
        lib.manual_seed(6)
        module = PRUNINGS[name](lib.nn.utils.prune, lib.nn.Linear(5, 4))
        states.append({**state(module), "used": module.weight.detach().numpy()})
    compare(states)


def test_the_loss_of_a_linear_layer_is_pytorchs():
    losses = []
    for lib in LIBRARIES:
        lib.manual_seed(3)
        loss = lib.nn.LinearCrossEntropyLoss(5, 4, out_features=(2,), bias=True, label_smoothing=0.1)
        x, target = lib.randn(6, 5), lib.randint(4, (6, 2))
        value = loss(x, target)
        value.backward()
        grad = loss.linear.weight.grad.numpy()
        losses.append((state(loss), value.detach().numpy(), grad, re.sub(r"\btorch\b", "corten", repr(loss))))
    compare([losses[0][0], losses[1][0]])
    np.testing.assert_allclose(losses[0][1], losses[1][1], rtol=2e-6)
    np.testing.assert_allclose(losses[0][2], losses[1][2], rtol=2e-5, atol=1e-7)
    assert losses[0][3] == losses[1][3]


def test_converted_batch_norms_print_and_compute_as_pytorchs():
    results = []
    for lib in LIBRARIES:
        inner = lib.nn.Sequential(lib.nn.BatchNorm1d(2, affine=False))
        model = lib.nn.SyncBatchNorm.convert_sync_batchnorm(lib.nn.Sequential(lib.nn.BatchNorm2d(3), inner)).eval()
        x = lib.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 2, 2)).astype("float32"))
        results.append((repr(model), list(model.state_dict()), model[0](x).detach().numpy()))
    assert results[0][:2] == results[1][:2]
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=1e-5)
