"""Optimizers against formulas in numpy, their state, groups, hooks and errors, and weight averaging."""

from __future__ import annotations

import copy
import pickle

import corten
import numpy as np
import pytest
from corten import optim
from corten.optim.optimizer import Mirror

SHAPES = ((5, 4), (7,))
# The widest floats of the device, and how near to a formula several steps in them come.
WIDE, NEAR, LEAST = (np.float64, 1e-11, 0) if corten.get_default_device().type == "cpu" else (np.float32, 2e-5, 2e-7)


def start_values() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(WIDE) for shape in SHAPES]


def gradient(values: list[np.ndarray]) -> list[np.ndarray]:
    """Of the sum of x**4 / 4 + x**2 / 2, which has neither a constant nor a linear gradient."""
    return [value**3 + value for value in values]


def parameters(values: list[np.ndarray]) -> list[corten.nn.Parameter]:
    return [corten.nn.Parameter(corten.tensor(value)) for value in values]


def loss_of(params) -> corten.Tensor:
    return sum((param**4 / 4 + param**2 / 2).sum() for param in params)


def train(optimizer, params, steps: int) -> list[np.ndarray]:
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(params).backward()
        optimizer.step()
    return [param.detach().cpu().numpy() for param in params]


# Each reference is a generator of updates: it gets a gradient and gives what to add to the parameter.


def sgd(x, lr=0.01, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    buffer = None
    while True:
        grad = yield x
        grad = (-grad if maximize else grad) + weight_decay * x
        if momentum:
            buffer = grad if buffer is None else momentum * buffer + (1 - dampening) * grad
            grad = grad + momentum * buffer if nesterov else buffer
        x = x - lr * grad


def adam(x, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False, decoupled=False):
    mean = square = largest = np.zeros_like(x)
    step = 0
    while True:
        grad = yield x
        step += 1
        grad = -grad if maximize else grad
        if decoupled:
            x = x * (1 - lr * weight_decay)
        else:
            grad = grad + weight_decay * x
        mean = betas[0] * mean + (1 - betas[0]) * grad
        square = betas[1] * square + (1 - betas[1]) * grad**2
        largest = np.maximum(largest, square)
        root = np.sqrt((largest if amsgrad else square) / (1 - betas[1] ** step))
        x = x - lr * mean / (1 - betas[0] ** step) / (root + eps)


def adamw(x, weight_decay=1e-2, **options):
    return adam(x, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(x, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    square = mean = buffer = np.zeros_like(x)
    while True:
        grad = yield x
        grad = grad + weight_decay * x
        square = alpha * square + (1 - alpha) * grad**2
        mean = alpha * mean + (1 - alpha) * grad
        update = grad / (np.sqrt(square - mean**2 if centered else square) + eps)
        buffer = momentum * buffer + update
        x = x - lr * buffer


def adagrad(x, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
    total = np.full_like(x, initial_accumulator_value)
    step = 0
    while True:
        grad = yield x
        grad = grad + weight_decay * x
        total = total + grad**2
        x = x - lr / (1 + step * lr_decay) * grad / (np.sqrt(total) + eps)
        step += 1


def adadelta(x, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    square = moved = np.zeros_like(x)
    while True:
        grad = yield x
        grad = grad + weight_decay * x
        square = rho * square + (1 - rho) * grad**2
        delta = np.sqrt(moved + eps) / np.sqrt(square + eps) * grad
        moved = rho * moved + (1 - rho) * delta**2
        x = x - lr * delta


def adamax(x, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    mean = bound = np.zeros_like(x)
    step = 0
    while True:
        grad = yield x
        step += 1
        grad = grad + weight_decay * x
        mean = betas[0] * mean + (1 - betas[0]) * grad
        bound = np.maximum(betas[1] * bound, np.abs(grad) + eps)
        x = x - lr / (1 - betas[0] ** step) * mean / bound


def nadam(x, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3):
    mean = square = np.zeros_like(x)
    product, step = 1.0, 0
    while True:
        grad = yield x
        step += 1
        mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in (step, step + 1))
        product *= mu
        mean = betas[0] * mean + (1 - betas[0]) * grad
        square = betas[1] * square + (1 - betas[1]) * grad**2
        look_ahead = mu_next * mean / (1 - product * mu_next) + (1 - mu) * grad / (1 - product)
        x = x - lr * look_ahead / (np.sqrt(square / (1 - betas[1] ** step)) + eps)


def radam(x, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    mean = square = np.zeros_like(x)
    longest, step = 2 / (1 - betas[1]) - 1, 0
    while True:
        grad = yield x
        step += 1
        mean = betas[0] * mean + (1 - betas[0]) * grad
        square = betas[1] * square + (1 - betas[1]) * grad**2
        update = mean / (1 - betas[0] ** step)
        length = longest - 2 * step * betas[1] ** step / (1 - betas[1] ** step)
        if length > 5:
            scale = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            update = update * np.sqrt(scale * (1 - betas[1] ** step)) / (np.sqrt(square) + eps)
        x = x - lr * update


def asgd(x, lr=1e-2, lambd=1e-4, alpha=0.75, weight_decay=0.0):
    eta, step = lr, 0
    while True:
        grad = yield x
        grad = grad + weight_decay * x
        x = x * (1 - lambd * eta) - eta * grad
        step += 1
        eta = lr / (1 + lambd * lr * step) ** alpha


def rprop(x, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    before, size = np.zeros_like(x), np.full_like(x, lr)
    while True:
        grad = yield x
        agreement = grad * before
        size = np.clip(size * np.where(agreement > 0, etas[1], np.where(agreement < 0, etas[0], 1)), *step_sizes)
        before = np.where(agreement < 0, 0, grad)
        x = x - size * np.sign(before)


CASES = [
    ("SGD", sgd, {"lr": 0.01}),
    ("SGD", sgd, {"lr": 0.01, "momentum": 0.9}),
    ("SGD", sgd, {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", sgd, {"lr": 0.001, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", adam, {"lr": 0.01}),
    ("Adam", adam, {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", adam, {"lr": 0.01, "maximize": True, "eps": 1e-3}),
    ("AdamW", adamw, {"lr": 0.01}),
    ("AdamW", adamw, {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", rmsprop, {}),
    ("RMSprop", rmsprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", adagrad, {}),
    ("Adagrad", adagrad, {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}),
    ("Adadelta", adadelta, {"rho": 0.8, "weight_decay": 0.1}),
    ("Adamax", adamax, {"weight_decay": 0.1}),
    ("NAdam", nadam, {"lr": 0.01}),
    ("RAdam", radam, {"lr": 0.05}),
    ("RAdam", radam, {"betas": (0.9, 0.99)}),
    ("ASGD", asgd, {"lambd": 0.01, "weight_decay": 0.1}),
    ("Rprop", rprop, {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.05)}),
]


@pytest.mark.parametrize(("name", "reference", "options"), CASES)
def test_updates_follow_the_formula(name, reference, options):
    steps = 12
    expected = []
    for value in map(np.float64, start_values()):
        updates = reference(value, **options)
        x = next(updates)
        for _ in range(steps):
            x = updates.send(x**3 + x)
        expected.append(x)
    params = parameters(start_values())
    result = train(getattr(optim, name)(params, **options), params, steps)
    for got, wanted in zip(result, expected):
        # ASGD and NAdam keep a running number in float32, as PyTorch does.
        np.testing.assert_allclose(got, wanted, rtol=max(NEAR, 1e-6) if name in ("ASGD", "NAdam") else NEAR, atol=LEAST)


@pytest.mark.parametrize(
    ("name", "options", "state"),
    [
        ("SGD", {"momentum": 0.9}, ["momentum_buffer"]),
        ("Adam", {"amsgrad": True}, ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
        ("AdamW", {}, ["step", "exp_avg", "exp_avg_sq"]),
        (
            "RMSprop",
            {"momentum": 0.5, "centered": True},
            ["step", "square_avg", "momentum_buffer", "grad_avg"],
        ),
        ("Adagrad", {}, ["step", "sum"]),
        ("Adadelta", {}, ["step", "square_avg", "acc_delta"]),
        ("Adamax", {}, ["step", "exp_avg", "exp_inf"]),
        ("NAdam", {}, ["step", "mu_product", "exp_avg", "exp_avg_sq"]),
        ("RAdam", {}, ["step", "exp_avg", "exp_avg_sq"]),
        ("ASGD", {}, ["step", "eta", "mu", "ax"]),
        ("Rprop", {}, ["step", "prev", "step_size"]),
        ("Adafactor", {}, ["step", "row_var", "col_var"]),
    ],
)
def test_state_dict_has_the_published_layout_and_resumes_to_the_bit(name, options, state):
    def make():
        # In float32: loading casts all state to the parameters' dtype, which widens NAdam's running product in float64.
        params = parameters([value.astype(np.float32) for value in start_values()])
        return getattr(optim, name)(params, **options), params

    optimizer, params = make()
    train(optimizer, params, 3)
    saved = optimizer.state_dict()
    assert list(saved) == ["state", "param_groups"]
    assert saved["param_groups"][0]["params"] == [0, 1]
    assert list(saved["state"][0]) == state
    if "step" in state:
        step = saved["state"][1]["step"]
        assert step.dtype == corten.float32 and step.shape == () and step.item() == 3.0
    resumed, copies = make()
    with corten.no_grad():
        for own, other in zip(copies, params):
            own.copy_(other)
    resumed.load_state_dict(copy.deepcopy(saved))
    for got, wanted in zip(train(resumed, copies, 4), train(optimizer, params, 4)):
        np.testing.assert_array_equal(got, wanted)


def test_parameters_without_gradient_stay_and_get_no_state():
    first, second = parameters(start_values())
    optimizer = optim.Adam([first, second])
    before = second.detach().cpu().numpy().copy()
    (first**2).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(second.detach().cpu().numpy(), before)
    assert list(optimizer.state_dict()["state"]) == [0]


def test_groups_have_their_own_options():
    first, second = parameters(start_values())
    optimizer = optim.SGD([{"params": [first]}, {"params": second, "lr": 0.5}], lr=0.1)
    optimizer.zero_grad()
    (first.sum() + second.sum()).backward()
    before = [param.detach().cpu().numpy().copy() for param in (first, second)]
    optimizer.step()
    for param, old, lr in zip((first, second), before, (0.1, 0.5)):
        np.testing.assert_allclose(param.detach().cpu().numpy(), old - lr)
    assert [group["params"] for group in optimizer.state_dict()["param_groups"]] == [[0], [1]]


def test_groups_added_later_are_trained():
    first, second = parameters(start_values())
    optimizer = optim.SGD([first], lr=0.1)
    optimizer.add_param_group({"params": [second], "lr": 0.01})
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01]
    train(optimizer, [first, second], 1)
    assert not np.allclose(second.detach().cpu().numpy(), start_values()[1])


def test_names_are_kept_through_state_dicts():
    params = parameters(start_values())
    optimizer = optim.Adam(zip(("a", "b"), params))
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == ["a", "b"]
    del saved["param_groups"][0]["param_names"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["param_names"] == ["a", "b"]


def bad_group(group, **options):
    def use():
        optim.SGD(parameters(start_values()), **options).add_param_group(group)

    return use


W = corten.nn.Parameter(corten.ones(2))


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: optim.SGD(W), TypeError, "params argument given to the optimizer should be an iterable"),
        (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (lambda: optim.SGD([1.0]), TypeError, "optimizer can only optimize Tensors, but one of the params is float"),
        (lambda: optim.SGD([W * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.SGD([{"params": {W}}]), TypeError, "ordered collections"),
        (lambda: optim.SGD([("w", W), corten.nn.Parameter(corten.ones(1))]), ValueError, "names are missing"),
        (lambda: optim.SGD([{"params": [W]}, {"params": [W]}]), ValueError, "more than one parameter group"),
        (bad_group([W]), TypeError, "param_group must be a dict"),
        (bad_group({"params": [("w", W)]}), ValueError, "cannot add param group with names"),
        (lambda: optim.SGD([W], lr=-1.0), ValueError, "Invalid learning rate: -1.0"),
        (lambda: optim.SGD([W], momentum=-1.0), ValueError, "Invalid momentum value: -1.0"),
        (lambda: optim.SGD([W], nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
        (lambda: optim.SGD([W], lr=corten.ones(2)), ValueError, "Tensor lr must be 1-element"),
        (lambda: optim.SGD([W], fused=True, foreach=True), RuntimeError, "cannot be `True` together"),
        (lambda: optim.Adam([W], betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda: optim.Adam([W], betas=(0.9, corten.tensor(0.9))), ValueError, "either both floats or both Tensors"),
        (lambda: optim.Adam([W], eps=-1.0), ValueError, "Invalid epsilon value: -1.0"),
        (lambda: optim.AdamW([W], fused=True, differentiable=True), RuntimeError, "does not support `differentiable`"),
        (lambda: optim.RMSprop([W], alpha=-1.0), ValueError, "Invalid alpha value: -1.0"),
        (lambda: optim.Adagrad([W], lr_decay=-1.0), ValueError, "Invalid lr_decay value: -1.0"),
        (lambda: optim.Adadelta([W], rho=1.5), ValueError, "Invalid rho value: 1.5"),
        (lambda: optim.Rprop([W], etas=(1.1, 1.2)), ValueError, "Invalid eta values: 1.1, 1.2"),
        (lambda: optim.Muon([W]), ValueError, "Muon only supports 2D parameters"),
        (
            lambda: optim.LBFGS([{"params": [W]}, {"params": [corten.nn.Parameter(corten.ones(1))]}]),
            ValueError,
            "LBFGS",
        ),
    ],
)
def test_wrong_arguments_raise(use, error, message):
    with pytest.raises(error, match=message):
        use()


def test_duplicate_parameters_in_a_group_warn():
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([W, W])


def test_loading_checks_the_number_of_groups_and_parameters():
    optimizer = optim.SGD(parameters(start_values()))
    saved = optimizer.state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict({"state": {}, "param_groups": saved["param_groups"] * 2})
    saved["param_groups"][0]["params"] = [0]
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(saved)


@pytest.mark.cpu
def test_loaded_state_takes_the_parameters_dtype_and_old_steps_become_tensors():
    param = corten.nn.Parameter(corten.ones(3))
    optimizer = optim.Adam([param])
    saved = optimizer.state_dict()
    wide = corten.zeros(3, dtype=corten.float64, device="cpu")
    means = {"exp_avg": wide, "exp_avg_sq": wide.clone()}
    saved["state"] = {0: {"step": 7, **means}}
    optimizer.load_state_dict(saved)
    state = optimizer.state[param]
    assert state["exp_avg"].dtype == corten.float32
    assert state["step"].dtype == corten.float32 and state["step"].item() == 7.0
    param.sum().backward()
    optimizer.step()
    assert state["step"].item() == 8.0


def test_zero_grad_drops_or_clears():
    param = corten.nn.Parameter(corten.ones(3))
    optimizer = optim.SGD([param])
    param.sum().backward()
    grad = param.grad
    optimizer.zero_grad(set_to_none=False)
    assert param.grad is not None and not grad.cpu().numpy().any()
    optimizer.zero_grad()
    assert param.grad is None


def test_step_returns_the_closures_loss_computed_with_gradients():
    param = corten.nn.Parameter(corten.tensor([2.0]))
    optimizer = optim.SGD([param], lr=0.1)

    def closure():
        assert corten.is_grad_enabled()
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    with corten.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert param.item() == pytest.approx(1.6)


def test_hooks_run_in_order_and_can_be_removed():
    param = corten.nn.Parameter(corten.ones(1))
    optimizer = optim.SGD([param])
    calls = []

    def note(name):
        return lambda *args: calls.append(name)

    handles = [
        optim.optimizer.register_optimizer_step_pre_hook(note("all before")),
        optim.optimizer.register_optimizer_step_post_hook(note("all after")),
        optimizer.register_step_pre_hook(note("before")),
        optimizer.register_step_post_hook(note("after")),
    ]
    optimizer.step()
    assert calls == ["all before", "before", "after", "all after"]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(calls) == 4


def test_step_pre_hook_may_replace_arguments():
    param = corten.nn.Parameter(corten.ones(1))
    optimizer = optim.SGD([param])
    optimizer.register_step_pre_hook(lambda own, args, kwargs: ((own, lambda: 5.0), {}))
    assert optimizer.step() == 5.0
    wrong = optim.SGD([param])
    wrong.register_step_pre_hook(lambda own, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"None or a tuple of \(new_args, new_kwargs\)"):
        wrong.step()


def test_state_dict_hooks_see_and_replace_the_dictionary():
    optimizer = optim.SGD([corten.nn.Parameter(corten.ones(1))])
    seen = []
    optimizer.register_state_dict_pre_hook(lambda own: seen.append("second"))
    optimizer.register_state_dict_pre_hook(lambda own: seen.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda own, state: {**state, "extra": 1})
    saved = optimizer.state_dict()
    assert seen == ["first", "second"] and saved["extra"] == 1

    def keep_lr(own, state):
        groups = [{**group, "lr": 0.25} for group in state["param_groups"]]
        return {**state, "param_groups": groups}

    optimizer.register_load_state_dict_pre_hook(keep_lr)
    optimizer.register_load_state_dict_post_hook(lambda own: seen.append("loaded"))
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.25 and seen[-1] == "loaded"


def test_every_step_ends_with_one_flush(monkeypatch):
    class Own(optim.Optimizer):
        def step(self, closure=None):
            return "own"

    flushes = []
    monkeypatch.setattr(corten._core, "flush", lambda: flushes.append(1))
    param = corten.nn.Parameter(corten.ones(1))
    assert Own([param], {}).step() == "own"
    assert len(flushes) == 1


def test_mirror_reads_a_tensor_once_and_again_only_after_it_changed():
    class Counter:
        dtype = corten.float32

        def __init__(self):
            self.value, self._version, self.reads = 0.0, 0, 0

        def item(self):
            self.reads += 1
            return self.value

        def add_(self, amount):
            self.value += amount
            self._version += 1

    mirror, step = Mirror(), Counter()
    assert [mirror.advance(step) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert step.reads == 1
    step.add_(10)
    assert mirror.advance(step) == 14.0 and step.reads == 2


def test_adam_honours_a_step_count_that_the_user_changes():
    results = []
    for start in (0, 100):
        param = corten.nn.Parameter(corten.ones(3))
        optimizer = optim.Adam([param], lr=0.1)
        train(optimizer, [param], 1)
        optimizer.state[param]["step"].fill_(start)
        results.append(train(optimizer, [param], 1)[0])
    assert not np.allclose(*results)


def test_learning_rate_may_be_a_tensor_that_changes():
    lr = corten.tensor(0.5)
    param = corten.nn.Parameter(corten.zeros(1))
    optimizer = optim.SGD([param], lr=lr)
    for rate, expected in ((0.5, -0.5), (0.25, -0.75)):
        lr.fill_(rate)
        optimizer.zero_grad()
        param.sum().backward()
        optimizer.step()
        assert param.item() == expected


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("name", "options"),
    [
        # Not with momentum, whose first buffer is a detached copy, as in PyTorch.
        ("SGD", {}),
        ("Adam", {}),
        ("Adam", {"amsgrad": True}),
        ("AdamW", {}),
        ("RMSprop", {"momentum": 0.5}),
        ("Adagrad", {}),
        ("Adadelta", {}),
        ("Adamax", {}),
        ("NAdam", {}),
        ("RAdam", {}),
    ],
)
def test_differentiable_steps_carry_gradients_to_the_start(name, options):
    def end(value):
        """The start (first row) and gradient (second row) of a parameter, and a loss after two steps."""
        both = corten.tensor(value, requires_grad=True)
        param = both[0].clone()
        optimizer = getattr(optim, name)([param], lr=0.1, weight_decay=0.1, differentiable=True, **options)
        for step in (1, 2):
            param.grad = both[1] * step
            optimizer.step()
        return both, (param**2).sum()

    value = np.array([[0.7, -1.3], [0.4, 0.9]])
    both, loss = end(value)
    loss.backward()
    small = 1e-6
    for index in np.ndindex(2, 2):
        shift = np.zeros((2, 2))
        shift[index] = small
        slope = (end(value + shift)[1].item() - end(value - shift)[1].item()) / (2 * small)
        assert both.grad[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["Adam", "NAdam", "RAdam", "Adamax", "ASGD"])
def test_capturable_steps_give_the_same_result(name):
    results = []
    # Step counts in float64, so that corrections computed in tensors are as good as those in Python's doubles.
    corten.set_default_dtype(corten.float64)
    try:
        for capturable in (False, True):
            params = parameters(start_values())
            results.append(train(getattr(optim, name)(params, lr=0.01, capturable=capturable), params, 8))
    finally:
        corten.set_default_dtype(corten.float32)
    for plain, captured in zip(*results):
        np.testing.assert_allclose(captured, plain, rtol=1e-9)


@pytest.mark.cpu
@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_minimum_of_a_curved_valley(line_search):
    x = corten.nn.Parameter(corten.tensor([-1.2, 1.0], dtype=corten.float64))
    lr = 1 if line_search else 0.002
    optimizer = optim.LBFGS([x], lr=lr, max_iter=60, tolerance_change=1e-14, line_search_fn=line_search)

    def closure():
        optimizer.zero_grad()
        loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(10):
        optimizer.step(closure)
    if line_search:
        np.testing.assert_allclose(x.detach().cpu().numpy(), [1, 1], rtol=1e-5)
    else:
        assert closure().item() < first
    state = optimizer.state_dict()["state"][0]
    assert {"d", "t", "old_dirs", "old_stps", "ro", "H_diag", "al", "func_evals", "n_iter"} <= set(state)


def test_lbfgs_knows_one_line_search():
    x = corten.nn.Parameter(corten.ones(2))

    def closure():
        loss = (x**2).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optim.LBFGS([x], line_search_fn="golden").step(closure)


def test_muon_makes_updates_orthogonal():
    param = corten.nn.Parameter(corten.randn(6, 4))
    optimizer = optim.Muon([param], lr=0.1, weight_decay=0.0)
    before = param.detach().cpu().numpy().copy()
    (param**3).sum().backward()
    optimizer.step()
    singular = np.linalg.svd((before - param.detach().cpu().numpy()) / (0.1 * (6 / 4) ** 0.5), compute_uv=False)
    # Five iterations leave the singular values between about 0.7 and 1.2.
    assert 0.6 < singular.min() and singular.max() < 1.3


@pytest.mark.parametrize("together", [1, 40, 1 << 22])
def test_muon_moves_each_matrix_as_if_it_were_alone(monkeypatch, together):
    monkeypatch.setattr(optim.muon, "TOGETHER", together)
    shapes = [(6, 4), (4, 6), (3, 3), (4, 6), (4, 6), (1, 5)]
    values = [corten.randn(*shape) for shape in shapes]
    gradients = [corten.randn(*shape) for shape in shapes]

    def moved(numbers):
        params = [corten.nn.Parameter(values[number].clone()) for number in numbers]
        for param, number in zip(params, numbers):
            param.grad = gradients[number]
        optim.Muon(params, lr=0.1).step()
        return [param.detach() for param in params]

    for number, param in enumerate(moved(range(len(shapes)))):
        # What bfloat16 rounds differently is at most lr times its 8 bits.
        corten.testing.assert_close(param, moved([number])[0], rtol=0, atol=0.1 * 2**-6)


def test_adafactor_shrinks_a_loss_with_little_state():
    params = parameters(start_values())
    optimizer = optim.Adafactor(params, lr=0.05)
    first = loss_of(params).item()
    train(optimizer, params, 30)
    assert loss_of(params).item() < 0.3 * first
    state = optimizer.state[params[0]]
    assert state["row_var"].shape == (5, 1) and state["col_var"].shape == (1, 4)


def test_optimizers_can_be_pickled_and_copied():
    params = parameters(start_values())
    optimizer = optim.Adam(params, lr=0.01)
    train(optimizer, params, 2)
    for other in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        copies = other.param_groups[0]["params"]
        assert other.state[copies[0]]["step"].item() == 2.0
        for got, wanted in zip(train(other, copies, 1), parameters(start_values())):
            assert got.shape == tuple(wanted.shape)


def test_repr_lists_the_options():
    text = repr(optim.SGD([W], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n") and "\n    lr: 0.5\n" in text


# -- weight averaging ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["equal", "equal list", "ema", "ema list"])
def test_averaged_models_average(kind):
    from corten.optim import swa_utils

    options = {
        "equal": {},
        "equal list": {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()},
        "ema": {"avg_fn": swa_utils.get_ema_avg_fn(0.5)},
        "ema list": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.5)},
    }[kind]
    model = corten.nn.Linear(1, 1, bias=False)
    averaged = swa_utils.AveragedModel(model, **options)
    values = (1.0, 2.0, 6.0)
    for value in values:
        with corten.no_grad():
            model.weight.fill_(value)
        averaged.update_parameters(model)
    expected = 3.0 if kind.startswith("equal") else (1.5 + 6.0) / 2
    assert averaged.module.weight.item() == pytest.approx(expected)
    assert averaged.n_averaged.item() == 3
    assert averaged(corten.ones(1, 1)).item() == pytest.approx(expected)


def test_a_count_of_averages_that_somebody_resets_starts_them_anew():
    from corten.optim import swa_utils

    model = corten.nn.Linear(1, 1, bias=False)
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
    for value in (1.0, 2.0):
        model.weight.data.fill_(value)
        averaged.update_parameters(model)
    averaged.n_averaged.zero_()
    model.weight.data.fill_(8.0)
    averaged.update_parameters(model)
    assert averaged.module.weight.item() == 8.0 and averaged.n_averaged.item() == 1


def test_update_bn_takes_the_mean_over_all_batches():
    from corten.optim.swa_utils import update_bn

    norm = corten.nn.BatchNorm1d(2, momentum=0.3).eval()
    batches = [corten.randn(8, 2) + shift for shift in (0.0, 4.0)]
    update_bn([(batch, None) for batch in batches], norm)
    mean = np.mean([batch.cpu().numpy().mean(0) for batch in batches], axis=0)
    np.testing.assert_allclose(norm.running_mean.cpu().numpy(), mean, rtol=1e-5)
    assert norm.momentum == 0.3 and not norm.training


def test_swalr_moves_to_its_rate():
    from corten.optim.swa_utils import SWALR

    optimizer = optim.SGD([W], lr=1.0)
    schedule = SWALR(optimizer, swa_lr=0.2, anneal_epochs=4, anneal_strategy="linear")
    rates = []
    for _ in range(6):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
    with pytest.raises(ValueError, match="anneal_strategy must be one of"):
        SWALR(optimizer, 0.1, anneal_strategy="step")


def test_groups_print_apart():
    groups = [{"params": [corten.nn.Parameter(corten.ones(1))], "lr": rate} for rate in (0.5, 0.25)]
    text = repr(optim.Adadelta(groups))
    assert text.startswith("Adadelta (\nParameter Group 0\n    capturable: False\n")
    assert "    weight_decay: 0\n\nParameter Group 1\n" in text and text.endswith("    weight_decay: 0\n)")
