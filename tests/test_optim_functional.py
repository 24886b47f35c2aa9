"""Optimizers' steps as functions of lists of tensors, SparseAdam, and what optimizers written for PyTorch import."""

from __future__ import annotations

import importlib
import inspect

import corten
import pytest
from corten import nn, optim
from corten.optim import _functional, optimizer

# By function: its optimizer, the options of both, and the state by the function's argument.
STEPS = {
    "sgd": (
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1, "nesterov": False, "maximize": True},
        {"momentum_buffer_list": "momentum_buffer"},
    ),
    "adam": (
        "Adam",
        {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "amsgrad": True, "maximize": False},
        {"exp_avgs": "exp_avg", "exp_avg_sqs": "exp_avg_sq", "max_exp_avg_sqs": "max_exp_avg_sq"},
    ),
    "adamw": (
        "AdamW",
        {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "amsgrad": False, "maximize": False},
        {"exp_avgs": "exp_avg", "exp_avg_sqs": "exp_avg_sq", "max_exp_avg_sqs": None},
    ),
    "adadelta": (
        "Adadelta",
        {"lr": 0.1, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.1, "maximize": False},
        {"square_avgs": "square_avg", "acc_deltas": "acc_delta"},
    ),
    "adagrad": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-6, "weight_decay": 0.1, "maximize": False},
        {"state_sums": "sum"},
    ),
    "adamax": (
        "Adamax",
        {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1},
        {"exp_avgs": "exp_avg", "exp_infs": "exp_inf"},
    ),
    "asgd": (
        "ASGD",
        {"lr": 0.1, "lambd": 0.01, "alpha": 0.75, "t0": 1, "weight_decay": 0.1},
        {"axs": "ax", "mus": "mu", "etas": "eta"},
    ),
    "nadam": (
        "NAdam",
        {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "momentum_decay": 0.01},
        {"exp_avgs": "exp_avg", "exp_avg_sqs": "exp_avg_sq", "mu_products": "mu_product"},
    ),
    "radam": (
        "RAdam",
        {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1},
        {"exp_avgs": "exp_avg", "exp_avg_sqs": "exp_avg_sq"},
    ),
    "rmsprop": (
        "RMSprop",
        {"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.1, "momentum": 0.9, "centered": True},
        {"square_avgs": "square_avg", "grad_avgs": "grad_avg", "momentum_buffer_list": "momentum_buffer"},
    ),
    "rprop": ("Rprop", {"etas": (0.5, 1.2), "step_sizes": (1e-6, 50)}, {"prevs": "prev", "step_sizes": "step_size"}),
}
PAIRS = {"betas": ("beta1", "beta2"), "etas": ("etaminus", "etaplus"), "step_sizes": ("step_size_min", "step_size_max")}


def arguments(options: dict) -> dict:
    """The options of an optimizer as its function takes them."""
    flat = {}
    for name, value in options.items():
        flat.update(zip(PAIRS[name], value, strict=True) if name in PAIRS else {name: value})
    return flat


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("dtype", [corten.float32, pytest.param(corten.complex64, marks=pytest.mark.cpu)], ids=str)
def test_a_function_does_the_step_of_its_optimizer(name, dtype) -> None:
    kind, options, state = STEPS[name]
    corten.manual_seed(0)
    starts = [corten.randn(3, 2, dtype=dtype), corten.randn(4, dtype=dtype)]
    ours, theirs = ([nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    reference = getattr(optim, kind)(theirs, **options)
    grads = [[corten.randn_like(start) for start in starts] for _ in range(4)]

    def step_reference(step: int) -> None:
        for param, grad in zip(theirs, grads[step], strict=True):
            param.grad = grad.clone()
        reference.step()

    step_reference(0)
    for mine, other in zip(ours, theirs, strict=True):
        mine.data.copy_(other.detach())
    lists = {
        argument: [reference.state[param][key].clone() for param in theirs] if key else []
        for argument, key in state.items()
    }
    if name != "sgd":
        lists["state_steps"] = [reference.state[param]["step"].clone() for param in theirs]
    function = getattr(importlib.import_module(f"corten.optim.{name}"), name)
    assert function is getattr(_functional, name)
    gradients = next(p for p in inspect.signature(function).parameters if p in ("grads", "d_p_list"))
    flat = arguments(options)
    for step in range(1, 4):
        step_reference(step)
        function(params=ours, **{gradients: [g.clone() for g in grads[step]]}, **lists, **flat)
    for mine, other in zip(ours, theirs, strict=True):
        corten.testing.assert_close(mine, other)
        assert mine.grad is None
    for argument, key in state.items():
        for mine, param in zip(lists[argument], theirs, strict=False):
            corten.testing.assert_close(mine, reference.state[param][key])


def test_the_first_step_of_sgd_makes_its_buffers() -> None:
    params, buffers = [corten.ones(2)], [None]
    options = {"weight_decay": 0, "momentum": 0.9, "lr": 1.0, "dampening": 0, "nesterov": False, "maximize": False}
    for _ in range(2):
        _functional.sgd(params, [corten.ones(2)], buffers, **options)
    assert params[0].tolist() == pytest.approx([-1.9] * 2) and buffers[0].tolist() == pytest.approx([1.9] * 2)


def test_a_step_is_recorded_where_it_is_asked_for() -> None:
    param = corten.ones(2, requires_grad=True)
    moved = param.clone()
    state = {"exp_avgs": [corten.zeros(2)], "exp_avg_sqs": [corten.zeros(2)], "state_steps": [corten.zeros(())]}
    options = {"beta1": 0.9, "beta2": 0.99, "lr": 0.1, "weight_decay": 0.0, "eps": 1e-8}
    _functional.radam([moved], [param * 2], **state, **options, differentiable=True)
    moved.sum().backward()
    # The first steps of RAdam are those of momentum: the corrected mean is the gradient, 2 * param.
    assert param.grad.tolist() == pytest.approx([1 - 0.1 * 2] * 2)


def test_wrong_lists_are_refused() -> None:
    options = {"lr": 0.1, "rho": 0.9, "eps": 1e-6, "weight_decay": 0, "maximize": False}
    one, steps = [corten.ones(1)], [corten.zeros(())]
    with pytest.raises(RuntimeError, match="adadelta: 1 parameters and 0 gradients"):
        _functional.adadelta(one, [], one, one, steps, **options)
    with pytest.raises(RuntimeError, match="singleton tensors"):
        _functional.adadelta(one, one, one, one, [1], **options)
    momentum = {"weight_decay": 0, "momentum": 0, "lr": 1, "dampening": 0, "nesterov": False, "maximize": False}
    with pytest.raises(NotImplementedError, match="unscale"):
        _functional.sgd(one, one, [None], grad_scale=corten.ones(1), **momentum)


def test_sparse_adam_moves_the_rows_that_were_used() -> None:
    with pytest.warns(UserWarning, match="gradients are dense"):
        table = nn.Embedding(5, 2, sparse=True)
    start = table.weight.detach().clone()
    steps = optim.SparseAdam(table.parameters(), lr=0.1, betas=(0.9, 0.99))
    for used in ([1, 1], [3]):
        steps.zero_grad()
        table(corten.tensor(used)).sum().backward()
        steps.step()
    moved = table.weight.detach() - start
    assert moved[[0, 2, 4]].abs().max() == 0
    # Row 1 in step 1: both corrected means are the gradient's; row 3 in step 2 has means of one gradient.
    assert moved[1].tolist() == pytest.approx([-0.1] * 2, rel=1e-4)
    size = 0.1 * (1 - 0.99**2) ** 0.5 / (1 - 0.9**2)
    assert moved[3].tolist() == pytest.approx([-size * 0.1 / 0.01**0.5] * 2, rel=1e-4)
    state = steps.state_dict()["state"][0]
    assert state["step"] == 2 and state["exp_avg"][1].tolist() == pytest.approx([0.2] * 2)
    again = optim.SparseAdam(table.parameters())
    again.load_state_dict(steps.state_dict())
    assert again.state[table.weight]["step"] == 2


def test_sparse_adam_takes_sparse_gradients_and_closures() -> None:
    param = nn.Parameter(corten.zeros(3, 2))
    steps = optim.SparseAdam([param], lr=0.5, maximize=True)
    grad = corten.sparse_coo_tensor(corten.tensor([[2, 0]]), corten.tensor([[1.0, 0.0], [2.0, 2.0]]), (3, 2))
    means = corten.zeros(3, 2), corten.zeros(3, 2)
    _functional.sparse_adam(
        [param], [grad], [means[0]], [means[1]], [1], eps=1e-8, beta1=0.9, beta2=0.99, lr=0.5, maximize=True
    )
    corten.testing.assert_close(param.detach(), corten.tensor([[0.5, 0.5], [0.0, 0.0], [0.5, 0.0]]))

    def closure():
        steps.zero_grad()
        loss = param[1].sum()
        loss.backward()
        return loss

    assert steps.step(closure).item() == 0 and param[1].tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("options", "text"),
    [({"lr": 0.0}, "learning rate"), ({"eps": 0.0}, "epsilon"), ({"betas": (1.0, 0.9)}, "beta parameter at index 0")],
)
def test_sparse_adam_refuses_options_out_of_range(options, text) -> None:
    with pytest.raises(ValueError, match=text):
        optim.SparseAdam([nn.Parameter(corten.ones(1))], **options)


def test_optimizers_written_for_pytorch_find_what_they_import() -> None:
    class Descent(optim.Optimizer):
        def __init__(self, params: optimizer.ParamsT, differentiable: bool = False) -> None:
            super().__init__(params, {"lr": 0.5, "differentiable": differentiable})

        @optimizer._use_grad_for_differentiable
        def step(self, closure=None) -> bool:
            for param in self.param_groups[0]["params"]:
                param.add_(param.grad, alpha=-optimizer._get_value(self.param_groups[0]["lr"]))
            return corten.is_grad_enabled()

    param = nn.Parameter(corten.ones(2))
    param.grad = corten.ones(2)
    assert Descent([param]).step() is False and param.tolist() == [0.5, 0.5]
    moved = param.clone()
    moved.retain_grad()
    moved.grad = corten.ones(2)
    assert Descent([moved], differentiable=True).step() is True and moved.requires_grad
    assert optimizer._default_to_fused_or_foreach([param], False) == (False, False)
    assert optimizer._get_value(corten.tensor(3.0)) == 3 and optimizer._stack_if_compiling([1]) == [1]


@pytest.mark.cpu
def test_complex_tensors_are_replaced_by_their_parts() -> None:
    params, grads = (
        [corten.ones(2, dtype=corten.complex64), corten.ones(2)],
        [corten.ones(2, dtype=corten.complex64), corten.ones(2)],
    )
    optimizer._view_as_real(params, grads)
    assert [p.shape for p in params + grads] == [(2, 2), (2,), (2, 2), (2,)]
