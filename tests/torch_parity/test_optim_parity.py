"""Optimizers and schedules beside PyTorch's: parameters, state, options, warnings and errors, step by step."""

from __future__ import annotations

import inspect
import warnings

import corten
import numpy as np
import pytest
import torch

LIBRARIES = (corten, torch)
RNG = np.random.default_rng(0)
START = [RNG.standard_normal((5, 4)), RNG.standard_normal(7), RNG.standard_normal(3)]
INPUTS = RNG.standard_normal((6, 5))

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.01, "momentum": 0.9}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.9), "amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "maximize": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.3}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"weight_decay": 0.1, "betas": (0.9, 0.99)}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "lr": 0.05}),
    ("ASGD", {}),
    ("ASGD", {"t0": 3, "weight_decay": 0.1, "lambd": 0.01}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.05)}),
    ("Adafactor", {}),
    ("Adafactor", {"weight_decay": 0.1, "d": 1.5, "eps": (1e-5, 1e-2), "maximize": True}),
    # Short steps: near the minimum a long history makes the last bit of an input 1e-10 of a result, in PyTorch too.
    ("LBFGS", {"lr": 0.2, "max_iter": 3}),
    ("LBFGS", {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 2}),
    ("LBFGS", {"lr": 0.5, "history_size": 3, "max_iter": 7, "line_search_fn": "strong_wolfe"}),
]


def run(lib, name, options, dtype, steps=12):
    """Trains on a small smooth problem and reloads the state in the middle; returns parameters and state_dict."""
    kind = getattr(lib, dtype)
    # The last parameter never gets a gradient.
    params = [lib.nn.Parameter(lib.tensor(value).to(kind)) for value in START]
    inputs = lib.tensor(INPUTS).to(kind)
    optimizer = getattr(lib.optim, name)(params, **options)

    def closure():
        optimizer.zero_grad()
        first = ((inputs @ params[0]) ** 2).sum() * 0.1
        loss = first + (params[1].sin() * params[1]).sum() + (params[1] ** 4).sum() * 0.1
        loss.backward()
        return loss

    for step in range(steps):
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        if step == 5:
            saved = optimizer.state_dict()
            optimizer = getattr(lib.optim, name)(params, **options)
            optimizer.load_state_dict(saved)
    return params, optimizer.state_dict()


def assert_close(found, wanted, tolerance):
    """Compares values of the two libraries: tensors and numbers closely, everything else exactly."""
    if isinstance(wanted, torch.Tensor):
        assert str(found.dtype).rpartition(".")[2] == str(wanted.dtype).rpartition(".")[2]
        assert tuple(found.shape) == tuple(wanted.shape)
        np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), **tolerance)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_close(found[key], wanted[key], tolerance)
    elif isinstance(wanted, (list, tuple)):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for own, other in zip(found, wanted):
            assert_close(own, other, tolerance)
    elif isinstance(wanted, float):
        np.testing.assert_allclose(found, wanted, **tolerance)
    else:
        assert found == wanted


# L-BFGS branches on differences of rounding: its path is compared where they are smallest.
DTYPES = [
    (*case, dtype) for case in CASES for dtype in ("float32", "float64") if (case[0], dtype) != ("LBFGS", "float32")
]


@pytest.mark.parametrize(("name", "options", "dtype"), DTYPES)
def test_steps_and_state_are_pytorchs(name, options, dtype):
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    (params, state), (torch_params, torch_state) = (run(lib, name, options, dtype) for lib in LIBRARIES)
    assert_close(params, torch_params, tolerance)
    assert_close(state, torch_state, tolerance)


@pytest.mark.parametrize("options", [{}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "lr": 0.1}])
def test_muon_is_pytorchs_to_bfloat16(options):
    results = []
    for lib in LIBRARIES:
        params = [lib.nn.Parameter(lib.tensor(RNG_MATRIX).float()), lib.nn.Parameter(lib.tensor(RNG_MATRIX.T).float())]
        optimizer = lib.optim.Muon(params, **options)
        for _ in range(3):
            optimizer.zero_grad()
            sum((param**4).sum() for param in params).backward()
            optimizer.step()
        results.append([param.detach().numpy() for param in params])
    for own, other in zip(*results):
        # An update is at most lr times a matrix whose entries are known to the 8 bits of bfloat16.
        np.testing.assert_allclose(own, other, atol=3 * options.get("lr", 1e-3) * 2**-6)


RNG_MATRIX = RNG.standard_normal((5, 4))


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES} | {"Muon"}))
def test_signatures_and_options_are_pytorchs(name):
    own, other = (inspect.signature(getattr(lib.optim, name)).parameters for lib in LIBRARIES)
    assert [(p.name, p.kind, p.default) for p in own.values()] == [(p.name, p.kind, p.default) for p in other.values()]
    groups = [
        getattr(lib.optim, name)([lib.nn.Parameter(lib.ones(2, 2))]).state_dict()["param_groups"] for lib in LIBRARIES
    ]
    assert groups[0] == groups[1] and list(groups[0][0]) == list(groups[1][0])
    texts = [repr(getattr(lib.optim, name)([lib.nn.Parameter(lib.ones(2, 2))])) for lib in LIBRARIES]
    assert texts[0] == texts[1]


def w(lib):
    return lib.nn.Parameter(lib.ones(2, 2))


ERRORS = [
    lambda lib: lib.optim.SGD([]),
    lambda lib: lib.optim.SGD([1.0]),
    lambda lib: lib.optim.SGD([w(lib) * 2]),
    lambda lib: lib.optim.SGD([{"params": {w(lib)}}]),
    lambda lib: lib.optim.SGD([("w", w(lib)), w(lib)]),
    lambda lib: lib.optim.SGD([{"params": [("w", w(lib))]}, {"params": [w(lib)]}]),
    lambda lib: lib.optim.SGD([{"params": [p := w(lib)]}, {"params": [p]}]),
    lambda lib: lib.optim.SGD([w(lib)]).add_param_group([w(lib)]),
    lambda lib: lib.optim.SGD([w(lib)]).load_state_dict({"state": {}, "param_groups": []}),
    lambda lib: lib.optim.SGD([w(lib)]).load_state_dict({"state": {}, "param_groups": [{"params": []}]}),
    lambda lib: lib.optim.SGD([w(lib)], lr=-1.0),
    lambda lib: lib.optim.SGD([w(lib)], lr=lib.ones(2)),
    lambda lib: lib.optim.SGD([w(lib)], momentum=-1.0),
    lambda lib: lib.optim.SGD([w(lib)], weight_decay=-1.0),
    lambda lib: lib.optim.SGD([w(lib)], nesterov=True),
    lambda lib: lib.optim.SGD([w(lib)], fused=True, foreach=True),
    lambda lib: lib.optim.SGD([w(lib)], fused=True, differentiable=True),
    lambda lib: lib.optim.Adam([w(lib)], lr=-1.0),
    lambda lib: lib.optim.Adam([w(lib)], eps=-1.0),
    lambda lib: lib.optim.Adam([w(lib)], betas=(1.0, 0.9)),
    lambda lib: lib.optim.Adam([w(lib)], betas=(0.9, -0.1)),
    lambda lib: lib.optim.Adam([w(lib)], betas=(0.9, lib.tensor(0.9))),
    lambda lib: lib.optim.Adam([w(lib)], lr=lib.tensor(0.1), foreach=True),
    lambda lib: lib.optim.AdamW([w(lib)], weight_decay=-1.0),
    lambda lib: lib.optim.RMSprop([w(lib)], alpha=-1.0),
    lambda lib: lib.optim.RMSprop([w(lib)], momentum=-1.0),
    lambda lib: lib.optim.Adagrad([w(lib)], lr_decay=-1.0),
    lambda lib: lib.optim.Adagrad([w(lib)], initial_accumulator_value=-1.0),
    lambda lib: lib.optim.Adadelta([w(lib)], rho=1.5),
    lambda lib: lib.optim.NAdam([w(lib)], momentum_decay=-1.0),
    lambda lib: lib.optim.Rprop([w(lib)], etas=(1.1, 1.2)),
    lambda lib: lib.optim.Muon([lib.nn.Parameter(lib.ones(2))]),
    lambda lib: lib.optim.Muon([w(lib)], adjust_lr_fn="x"),
    lambda lib: lib.optim.Adafactor([w(lib)], d=0.5),
    lambda lib: lib.optim.Adafactor([w(lib)], beta2_decay=0.5),
    lambda lib: lib.optim.LBFGS([{"params": [w(lib)]}, {"params": [w(lib)]}]),
]


@pytest.mark.parametrize("index", range(len(ERRORS)))
def test_errors_are_pytorchs(index):
    caught = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as error:
            ERRORS[index](lib)
        # Both print their own names of classes.
        caught.append((error.type, str(error.value).replace(f"{lib.__name__}.", "")))
    assert caught[0] == caught[1]


# -- schedules -------------------------------------------------------------------------------------------------------


class Decay:
    def __init__(self):
        self.base = 0.9

    def __call__(self, epoch):
        return self.base**epoch


SCHEDULES = [
    ("StepLR", dict(step_size=3)),
    ("MultiStepLR", dict(milestones=[3, 3, 7])),
    ("ExponentialLR", dict(gamma=0.9)),
    ("CosineAnnealingLR", dict(T_max=5, eta_min=0.01)),
    ("OneCycleLR", dict(max_lr=1.0, total_steps=21)),
    ("OneCycleLR", dict(max_lr=[1.0, 2.0], epochs=3, steps_per_epoch=7, three_phase=True, anneal_strategy="linear")),
    ("OneCycleLR", dict(max_lr=1.0, total_steps=21, cycle_momentum=False)),
    ("LambdaLR", dict(lr_lambda=lambda epoch: 0.9**epoch)),
    ("LambdaLR", dict(lr_lambda=[Decay(), lambda epoch: 1])),
    ("MultiplicativeLR", dict(lr_lambda=lambda epoch: 0.9)),
    ("ConstantLR", dict(factor=0.5, total_iters=3)),
    ("LinearLR", dict(start_factor=0.1, end_factor=0.5, total_iters=7)),
    ("PolynomialLR", dict(power=2.0)),
    ("CosineAnnealingWarmRestarts", dict(T_0=3, T_mult=2, eta_min=0.001)),
    ("CyclicLR", dict(base_lr=[0.1, 0.2], max_lr=1.0, step_size_up=4, step_size_down=3, mode="triangular2")),
    ("CyclicLR", dict(base_lr=0.1, max_lr=1.0, step_size_up=4, mode="exp_range", gamma=0.9)),
    ("CyclicLR", dict(base_lr=0.1, max_lr=1.0, step_size_up=4, scale_fn=Decay(), scale_mode="iterations")),
]


def make(lib, kind, in_tensors=False):
    def rate(value):
        return lib.tensor(value, dtype=lib.float64) if in_tensors else value

    params = [lib.nn.Parameter(lib.ones(2)) for _ in range(2)]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": rate(0.3)}]
    return getattr(lib.optim, kind)(groups, lr=rate(0.1), **options)


def drive(optimizer, schedule, steps, epochs=False):
    """Steps a schedule; notes all options of all groups, the reported rates and the number of warnings."""
    seen = []
    for step in range(steps):
        optimizer.step()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            schedule.step(step // 2) if epochs else schedule.step()
        groups = [
            {key: float(value) if hasattr(value, "item") else value for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ]
        seen.append((groups, [float(rate) for rate in schedule.get_last_lr()], len(caught)))
    return seen


def plain(value):
    """A state with tensors replaced by numbers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("in_tensors", [False, True])
@pytest.mark.parametrize("epochs", [False, True])
@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules_are_pytorchs(name, options, kind, in_tensors, epochs):
    results = []
    for lib in LIBRARIES:
        optimizer = make(lib, kind, in_tensors)
        schedule = getattr(lib.optim.lr_scheduler, name)(optimizer, **options)
        found = drive(optimizer, schedule, 8, epochs)
        other = make(lib, kind, in_tensors)
        resumed = getattr(lib.optim.lr_scheduler, name)(other, **options)
        other.load_state_dict(optimizer.state_dict())
        resumed.load_state_dict(schedule.state_dict())
        found += drive(other, resumed, 8, epochs)
        results.append((found, plain(resumed.state_dict())))
    assert results[0] == results[1]


def composed(lib):
    schedules = lib.optim.lr_scheduler
    optimizer = make(lib, "SGD")
    members = [
        schedules.LinearLR(optimizer, 0.1, total_iters=4),
        schedules.ExponentialLR(optimizer, 0.8),
        schedules.CosineAnnealingLR(optimizer, 5),
    ]
    sequence = schedules.SequentialLR(optimizer, members, [4, 9])
    yield drive(optimizer, sequence, 18), sequence.state_dict()
    optimizer = make(lib, "SGD")
    chain = schedules.ChainedScheduler(
        [schedules.LinearLR(optimizer, 0.1, total_iters=4), schedules.StepLR(optimizer, 3, 0.5)]
    )
    yield drive(optimizer, chain, 18), chain.state_dict()
    for options in (
        {},
        dict(mode="max", threshold_mode="abs", threshold=0.1, cooldown=2, min_lr=[0.01, 0.001], patience=1),
        dict(patience=0, factor=0.5),
    ):
        optimizer = make(lib, "SGD")
        plateau = schedules.ReduceLROnPlateau(optimizer, **options)
        for step in range(40):
            plateau.step([1, 0.9, 0.95, 0.9, 0.899, 0.8, 0.8, 0.8, 0.85, 1][step % 10])
            yield plateau.get_last_lr(), plateau.num_bad_epochs
        yield plateau.state_dict()


def test_composed_schedules_are_pytorchs():
    assert list(composed(corten)) == list(composed(torch))


@pytest.mark.parametrize("kind", ["equal", "ema", "ema list", "buffers"])
def test_weight_averaging_is_pytorchs(kind):
    results = []
    for lib in LIBRARIES:
        tools = lib.optim.swa_utils
        options = {
            "equal": {},
            "ema": dict(avg_fn=tools.get_ema_avg_fn(0.9)),
            "ema list": dict(multi_avg_fn=tools.get_ema_multi_avg_fn(0.9)),
            "buffers": dict(avg_fn=tools.get_swa_avg_fn(), use_buffers=True),
        }[kind]
        lib.manual_seed(0)
        model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4))
        averaged = tools.AveragedModel(model, **options)
        optimizer = lib.optim.SGD(model.parameters(), 0.1)
        schedule = tools.SWALR(optimizer, 0.05, 3)
        batches = [lib.tensor(np.random.default_rng(n).standard_normal((5, 3)).astype(np.float32)) for n in range(6)]
        rates = []
        for batch in batches:
            optimizer.zero_grad()
            model(batch).pow(2).mul(batch.sum(1, keepdim=True)).sum().backward()
            optimizer.step()
            averaged.update_parameters(model)
            schedule.step()
            rates.append(schedule.get_last_lr())
        tools.update_bn(batches, averaged)
        results.append((rates, schedule.state_dict(), averaged.state_dict()))
    assert results[0][:2] == results[1][:2]
    assert_close(dict(results[0][2]), dict(results[1][2]), {"rtol": 2e-5, "atol": 2e-6})
