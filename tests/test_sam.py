"""SAM against its formula, what it shares with the optimizer that it wraps, and that `fit` drives it."""

from __future__ import annotations

import copy
import pickle

import corten
import numpy as np
import pytest
from corten import nn, optim
from corten.training import Averages


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3), (5,))]


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(corten.tensor(value)) for value in start()]


def gradients(values: list[np.ndarray]) -> list[np.ndarray]:
    """Of the sum of x**4 / 4."""
    return [value**3 for value in values]


def closure_of(optimizer, params):
    def closure():
        optimizer.zero_grad()
        loss = sum((param**4 / 4).sum() for param in params)
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_is_its_formula(adaptive):
    params = parameters()
    optimizer = optim.SAM(optim.SGD(params, lr=0.1), rho=0.3, adaptive=adaptive)
    closure = closure_of(optimizer, params)
    values = [value.astype(np.float64) for value in start()]
    for _ in range(3):
        loss = optimizer.step(closure)
        np.testing.assert_allclose(loss.item(), sum((value**4 / 4).sum() for value in values), rtol=1e-5)
        grads = gradients(values)
        scales = [np.abs(value) if adaptive else np.ones_like(value) for value in values]
        norm = np.sqrt(sum(((scale * grad) ** 2).sum() for scale, grad in zip(scales, grads)))
        worst = [value + 0.3 * scale**2 * grad / norm for value, scale, grad in zip(values, scales, grads)]
        values = [value - 0.1 * grad for value, grad in zip(values, gradients(worst))]
    for param, value in zip(params, values, strict=True):
        np.testing.assert_allclose(param.detach().cpu().numpy(), value, rtol=1e-4, atol=1e-6)


def test_without_a_distance_it_is_the_wrapped_optimizer_to_the_bit():
    ours, plain = parameters(), parameters()
    wrapped, alone = optim.SAM(optim.AdamW(ours, lr=0.1), rho=0.0), optim.AdamW(plain, lr=0.1)
    for _ in range(4):
        wrapped.step(closure_of(wrapped, ours))
        closure_of(alone, plain)()
        alone.step()
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(one.detach().cpu().numpy(), other.detach().cpu().numpy())


def test_groups_may_have_distances_of_their_own():
    still, moved = (nn.Parameter(corten.tensor([2.0])) for _ in range(2))
    base = optim.SGD([{"params": [still], "rho": 0.0}, {"params": [moved]}], lr=1.0)
    optimizer = optim.SAM(base, rho=np.sqrt(2.0))
    optimizer.zero_grad()
    ((still**2 + moved**2) / 2).sum().backward()
    before = optimizer.first_step()
    assert still.item() == 2.0 and moved.item() == pytest.approx(3.0)
    optimizer.second_step(before)
    assert moved.item() == still.item() == 0.0


def test_schedules_and_checkpoints_see_one_optimizer():
    params = parameters()
    optimizer = optim.SAM(optim.Adam(params, lr=0.1), rho=0.2)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        optimizer.step(closure_of(optimizer, params))
        schedule.step()
    assert optimizer.base.param_groups[0]["lr"] == 0.025 and optimizer.param_groups is optimizer.base.param_groups
    others = [nn.Parameter(param.detach().clone()) for param in params]
    other = optim.SAM(optim.Adam(others, lr=9.0), rho=0.0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.param_groups[0]["rho"] == 0.2 and other.base.param_groups[0]["lr"] == 0.025
    for one, ps in ((optimizer, params), (other, others)):
        one.step(closure_of(one, ps))
    for one, two in zip(params, others, strict=True):
        np.testing.assert_array_equal(one.detach().cpu().numpy(), two.detach().cpu().numpy())


def test_a_group_is_added_to_the_wrapped_optimizer():
    params = parameters()
    optimizer = optim.SAM(optim.SGD(params[:1], lr=0.1))
    optimizer.add_param_group({"params": params[1:], "lr": 0.5})
    assert [group["lr"] for group in optimizer.base.param_groups] == [0.1, 0.5]
    assert optimizer.param_groups[1]["rho"] == 0.05 and "SAM" in repr(optimizer)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_whole(duplicate):
    optimizer = duplicate(optim.SAM(optim.SGD(parameters(), lr=0.1), rho=0.3))
    params = optimizer.param_groups[0]["params"]
    optimizer.step(closure_of(optimizer, params))
    assert optimizer.param_groups[0]["rho"] == 0.3 and params[0] is optimizer.base.param_groups[0]["params"][0]


def test_fit_gives_it_a_closure():
    results = []
    for by_fit in (True, False):
        corten.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 1))
        data = [(corten.randn(6, 3), corten.randn(6, 1)) for _ in range(3)]
        optimizer = optim.SAM(optim.SGD(model.parameters(), lr=0.1), rho=0.2)
        corten.manual_seed(1)
        averages = Averages()
        if by_fit:
            history = corten.fit(model, data, nn.MSELoss(), optimizer, progress=False, check_every=1)
        else:
            for inputs, target in data:

                def closure():
                    optimizer.zero_grad()
                    loss = nn.functional.mse_loss(model(inputs), target)
                    loss.backward()
                    return loss

                averages.add({"loss": optimizer.step(closure)}, 6)
            assert history["loss"] == pytest.approx([averages.values()["loss"]], rel=1e-6)
        results.append([param.detach().cpu().numpy().copy() for param in model.parameters()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_wrong_is_told():
    params = parameters()
    with pytest.raises(TypeError, match="SAM wraps an optimizer, but got list"):
        optim.SAM(params)
    with pytest.raises(ValueError, match="Invalid rho value: -1"):
        optim.SAM(optim.SGD(params, lr=0.1), rho=-1)
    with pytest.raises(RuntimeError, match=r"SAM\.step needs a closure"):
        optim.SAM(optim.SGD(params, lr=0.1)).step()
