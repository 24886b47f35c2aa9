"""Learning-rate schedules against closed formulas: chaining, momentum, metrics, warnings, and resumed runs."""

from __future__ import annotations

import math
import warnings

import corten
import pytest
from corten import optim
from corten.optim import lr_scheduler as schedules

BASE = 0.4


def make(kind="SGD", lr=BASE):
    params = [corten.nn.Parameter(corten.ones(1)) for _ in range(2)]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(optim, kind)([{"params": params[:1]}, {"params": params[1:], "lr": 2 * lr}], lr=lr, **options)


def rates(optimizer, schedule, epochs):
    """The first group's rate in each epoch; the second group's is checked to be what the schedule reports."""
    result = [optimizer.param_groups[0]["lr"]]
    for _ in range(epochs - 1):
        optimizer.step()
        schedule.step()
        assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        result.append(optimizer.param_groups[0]["lr"])
    return result


def cosine(t, length, low=0.0):
    return low + (BASE - low) * (1 + math.cos(math.pi * t / length)) / 2


def triangle(t, up=4, down=4):
    place = t % (up + down)
    return place / up if place <= up else 1 - (place - up) / down


CASES = {
    "StepLR": (dict(step_size=3, gamma=0.5), lambda t: BASE * 0.5 ** (t // 3)),
    "MultiStepLR": (dict(milestones=[2, 5, 5], gamma=0.5), lambda t: BASE * 0.5 ** sum(t >= m for m in (2, 5, 5))),
    "ExponentialLR": (dict(gamma=0.9), lambda t: BASE * 0.9**t),
    "ConstantLR": (dict(factor=0.5, total_iters=4), lambda t: BASE * (0.5 if t < 4 else 1)),
    "LinearLR": (dict(start_factor=0.25, total_iters=6), lambda t: BASE * (0.25 + 0.75 * min(t, 6) / 6)),
    "PolynomialLR": (dict(total_iters=8, power=2.0), lambda t: BASE * (1 - min(t, 8) / 8) ** 2),
    "CosineAnnealingLR": (dict(T_max=5, eta_min=0.01), lambda t: cosine(t, 5, 0.01)),
    "LambdaLR": (dict(lr_lambda=lambda t: 1 / (1 + t)), lambda t: BASE / (1 + t)),
    "MultiplicativeLR": (dict(lr_lambda=lambda t: 0.5 if t == 3 else 1), lambda t: BASE * (0.5 if t >= 3 else 1)),
    "CosineAnnealingWarmRestarts": (dict(T_0=4), lambda t: cosine(t % 4, 4)),
    "CyclicLR": (
        dict(base_lr=0.1, max_lr=0.5, step_size_up=4, step_size_down=2),
        lambda t: 0.1 + 0.4 * triangle(t, 4, 2),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rates_follow_the_formula(name):
    options, formula = CASES[name]
    optimizer = make()
    schedule = getattr(schedules, name)(optimizer, **options)
    assert rates(optimizer, schedule, 13) == pytest.approx([formula(t) for t in range(13)], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_rates_in_tensors_are_changed_in_place(name):
    options, formula = CASES[name]
    lr = corten.tensor(BASE, dtype=corten.float64, device="cpu")
    optimizer = optim.SGD([corten.nn.Parameter(corten.ones(1))], lr=lr, momentum=0.9)
    schedule = getattr(schedules, name)(optimizer, **options)
    for t in range(1, 8):
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["lr"] is lr
        assert lr.item() == pytest.approx(formula(t), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_schedule_goes_on_where_it_was(name):
    options, _ = CASES[name]
    optimizer = make()
    schedule = getattr(schedules, name)(optimizer, **options)
    rates(optimizer, schedule, 4)
    saved = optimizer.state_dict(), schedule.state_dict()
    other = make()
    resumed = getattr(schedules, name)(other, **options)
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert rates(other, resumed, 8) == rates(optimizer, schedule, 8)


@pytest.mark.parametrize("name", ["StepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR", "PolynomialLR"])
def test_stepping_to_an_epoch_uses_the_closed_form_and_warns(name):
    options, formula = CASES[name]
    optimizer = make()
    schedule = getattr(schedules, name)(optimizer, **options)
    optimizer.step()
    for epoch in (3, 1):
        with pytest.warns(UserWarning, match="epoch parameter"):
            schedule.step(epoch)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(formula(epoch))


@pytest.mark.parametrize(("kind", "option"), [("SGD", "momentum"), ("Adam", "betas")])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_rises_falls_and_moves_the_momentum_against_the_rate(kind, option, three_phase):
    optimizer = make(kind)
    schedule = schedules.OneCycleLR(optimizer, max_lr=[1.0, 2.0], total_steps=20, three_phase=three_phase)

    def momentum():
        value = optimizer.param_groups[0][option]
        return value if option == "momentum" else value[0]

    seen = [(optimizer.param_groups[0]["lr"], momentum())]
    for _ in range(19):
        optimizer.step()
        schedule.step()
        seen.append((optimizer.param_groups[0]["lr"], momentum()))
    lrs, momenta = zip(*seen)
    assert lrs[0] == pytest.approx(1 / 25) and momenta[0] == pytest.approx(0.95)
    assert lrs[5] == pytest.approx(1.0) and momenta[5] == pytest.approx(0.85)
    assert lrs[-1] == pytest.approx(1 / 25 / 1e4) and momenta[-1] == pytest.approx(0.95)
    if three_phase:
        assert lrs[10] == pytest.approx(1 / 25)
    middle = 0.5 * (1 - math.cos(math.pi * 2 / 5))
    assert lrs[2] == pytest.approx(1 / 25 + (1 - 1 / 25) * middle)
    optimizer.step()
    schedule.step()
    with pytest.raises(ValueError, match="Tried to step 21 times"):
        schedule.step()


def test_one_cycle_in_lines():
    optimizer = make()
    schedule = schedules.OneCycleLR(
        optimizer, max_lr=1.0, epochs=2, steps_per_epoch=5, anneal_strategy="linear", cycle_momentum=False
    )
    found = rates(optimizer, schedule, 10)
    rise = [0.04 + (1 - 0.04) * t / 2 for t in range(3)]
    fall = [1 + (4e-6 - 1) * t / 7 for t in range(1, 8)]
    assert found == pytest.approx(rise + fall)


@pytest.mark.parametrize(
    ("options", "height"),
    [
        (dict(mode="triangular2"), lambda t: 0.5 ** (t // 8)),
        (dict(mode="exp_range", gamma=0.9), lambda t: 0.9**t),
        (dict(scale_fn=lambda t: 1 / (t + 1), scale_mode="iterations"), lambda t: 1 / (t + 1)),
    ],
)
def test_cycles_change_their_height_and_move_the_momentum(options, height):
    optimizer = make()
    schedule = schedules.CyclicLR(optimizer, base_lr=0.1, max_lr=0.5, step_size_up=4, **options)
    for t in range(1, 20):
        optimizer.step()
        schedule.step()
        scaled = triangle(t) * height(t)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 + 0.4 * scaled)
        assert optimizer.param_groups[1]["momentum"] == pytest.approx(0.9 - 0.1 * scaled)


def test_warm_restarts_get_longer_and_take_fractions():
    optimizer = make()
    schedule = schedules.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2)
    expected = [cosine(t, 3) for t in range(3)] + [cosine(t, 6) for t in range(6)] + [cosine(0, 12)]
    assert rates(optimizer, schedule, 10) == pytest.approx(expected)
    schedule.step(4.5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(cosine(1.5, 6))
    with pytest.raises(ValueError, match="non-negative epoch"):
        schedule.step(-1)


def test_schedules_chain():
    optimizer = make()
    members = [schedules.ConstantLR(optimizer, 0.1, 2), schedules.ExponentialLR(optimizer, 0.9)]
    schedule = schedules.ChainedScheduler(members)
    expected = [BASE * (0.1 if t < 2 else 1) * 0.9**t for t in range(6)]
    assert rates(optimizer, schedule, 6) == pytest.approx(expected)
    other = make()
    again = schedules.ChainedScheduler([schedules.ConstantLR(other, 0.1, 2), schedules.ExponentialLR(other, 0.9)])
    other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(schedule.state_dict())
    assert rates(other, again, 4) == rates(optimizer, schedule, 4)


def test_schedules_follow_each_other():
    optimizer = make()
    members = [schedules.ConstantLR(optimizer, 0.1, 20), schedules.ExponentialLR(optimizer, 0.9)]
    schedule = schedules.SequentialLR(optimizer, members, milestones=[3])
    assert rates(optimizer, schedule, 7) == pytest.approx([0.1 * BASE] * 3 + [BASE * 0.9**t for t in range(4)])
    other = make()
    members = [schedules.ConstantLR(other, 0.1, 20), schedules.ExponentialLR(other, 0.9)]
    again = schedules.SequentialLR(other, members, milestones=[3])
    other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(schedule.state_dict())
    assert rates(other, again, 4) == rates(optimizer, schedule, 4)


def test_plateau_waits_reduces_cools_down_and_stops_at_the_bound():
    optimizer = make(lr=1.0)
    schedule = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1, min_lr=[0.3, 0.0])
    found = []
    for metric in (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5):
        schedule.step(metric)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]
    assert optimizer.param_groups[1]["lr"] == 0.25
    again = schedules.ReduceLROnPlateau(make(lr=1.0))
    again.load_state_dict(schedule.state_dict())
    assert (again.best, again.patience, again.num_bad_epochs) == (0.5, 1, schedule.num_bad_epochs)


@pytest.mark.parametrize(
    ("options", "metrics", "bad"),
    [
        (dict(mode="min", threshold=0.1), (1.0, 0.91, 0.89), [0, 1, 0]),
        (dict(mode="min", threshold=0.1, threshold_mode="abs"), (1.0, 0.91, 0.89), [0, 1, 0]),
        (dict(mode="max", threshold=0.1), (1.0, 1.09, 1.11), [0, 1, 0]),
        (dict(mode="max", threshold=0.1, threshold_mode="abs"), (10.0, 10.05, 10.2), [0, 1, 0]),
    ],
)
def test_plateau_knows_what_is_better(options, metrics, bad):
    schedule = schedules.ReduceLROnPlateau(make(), **options)
    found = []
    for metric in metrics:
        schedule.step(corten.tensor(metric))
        found.append(schedule.num_bad_epochs)
    assert found == bad


def test_stepping_before_the_optimizer_warns_once():
    optimizer = make()
    schedule = schedules.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()


def test_an_optimizer_whose_step_was_replaced_warns():
    optimizer = make()
    schedule = schedules.StepLR(optimizer, 2)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match=r"`optimizer.step\(\)` has been overridden"):
        schedule.step()


def test_asking_for_rates_outside_a_step_warns():
    schedule = schedules.StepLR(make(), 2)
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        schedule.get_lr()


def test_user_functions_with_state_are_saved():
    class Decay:
        def __init__(self, base):
            self.base = base

        def __call__(self, epoch):
            return self.base**epoch

    schedule = schedules.LambdaLR(make(), [Decay(0.5), lambda epoch: 1.0])
    saved = schedule.state_dict()
    assert saved["lr_lambdas"] == [{"base": 0.5}, None]
    other = schedules.LambdaLR(make(), [Decay(0.1), lambda epoch: 1.0])
    other.load_state_dict(saved)
    assert other.lr_lambdas[0].base == 0.5


def test_resuming_needs_the_initial_rates():
    with pytest.raises(KeyError, match="initial_lr"):
        schedules.StepLR(make(), 2, last_epoch=3)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: schedules.StepLR("sgd", 2), TypeError, "str is not an Optimizer"),
        (lambda: schedules.LambdaLR(make(), [abs]), ValueError, "Expected 2 lr_lambdas, but got 1"),
        (lambda: schedules.MultiplicativeLR(make(), 3), TypeError, "should be a function, but got int"),
        (lambda: schedules.ConstantLR(make(), 2.0), ValueError, "between 0 and 1"),
        (lambda: schedules.LinearLR(make(), 0.0), ValueError, "Starting multiplicative factor"),
        (lambda: schedules.LinearLR(make(), end_factor=2.0), ValueError, "Ending multiplicative factor"),
        (lambda: schedules.CosineAnnealingWarmRestarts(make(), 0), ValueError, "positive integer T_0"),
        (lambda: schedules.CosineAnnealingWarmRestarts(make(), 2, 0), ValueError, "T_mult >= 1"),
        (lambda: schedules.CyclicLR(make(), [0.1], 1.0), ValueError, "base_lr has 1 values"),
        (lambda: schedules.CyclicLR(make(), 0.1, 1.0, mode="square"), ValueError, "mode is invalid"),
        (lambda: schedules.CyclicLR(make("Adagrad"), 0.1, 1.0), ValueError, "momentum or beta1"),
        (lambda: schedules.OneCycleLR(make(), 1.0), ValueError, "either total_steps OR"),
        (lambda: schedules.OneCycleLR(make(), 1.0, total_steps=0), ValueError, "positive integer total_steps"),
        (lambda: schedules.OneCycleLR(make(), 1.0, 9, pct_start=2.0), ValueError, "between 0 and 1 pct_start"),
        (lambda: schedules.OneCycleLR(make(), 1.0, 9, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        (lambda: schedules.ReduceLROnPlateau(make(), factor=1.0), ValueError, "Factor should be < 1.0"),
        (lambda: schedules.ReduceLROnPlateau(make(), mode="up"), ValueError, "mode up is unknown"),
        (lambda: schedules.ReduceLROnPlateau(make(), min_lr=[0]), ValueError, "expected 2 min_lrs, got 1"),
        (lambda: schedules.SequentialLR(make(), [], []), ValueError, "at least one scheduler"),
        (lambda: schedules.ChainedScheduler([]), ValueError, "at least one scheduler"),
        (
            lambda: schedules.ChainedScheduler([schedules.StepLR(make(), 2), schedules.StepLR(make(), 2)]),
            ValueError,
            "same optimizer",
        ),
    ],
)
def test_wrong_arguments_raise(use, error, message):
    with pytest.raises(error, match=message):
        use()


def test_wrong_members_of_a_sequence_raise():
    optimizer = make()
    member = schedules.StepLR(optimizer, 2)
    with pytest.raises(ValueError, match="one more than the number of milestone points"):
        schedules.SequentialLR(optimizer, [member], [1])
    with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
        schedules.SequentialLR(optimizer, [member, schedules.ReduceLROnPlateau(optimizer)], [1])
