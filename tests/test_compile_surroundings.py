"""Compiled functions in surroundings that change: what they share, name, keep and leave behind.

Each program runs as it is and compiled, and does the same.
"""

import argparse
import dataclasses
import functools
import types

import corten
import pytest
from corten import nn
from corten.compiler import statistics

PROGRAMS = []
NUMBERS = types.SimpleNamespace(rate=2.0)


def program(function):
    PROGRAMS.append(pytest.param(function, id=function.__name__))
    return function


def tensor(*values):
    return corten.tensor(values)


def plain(value):
    """A result in a form that can be compared."""
    if isinstance(value, corten.Tensor):
        return value.detach().tolist(), value.requires_grad
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@pytest.mark.parametrize("function", PROGRAMS)
def test_a_compiled_program_does_the_same(function):
    corten.manual_seed(0)
    expected = plain(function(lambda f: f))
    corten.manual_seed(0)
    assert plain(function(corten.compile)) == expected


# Storages that are shared


@program
def windows_of_a_global(compiled):
    buffer = corten.arange(8.0)
    f = compiled(lambda x: x + buffer.sum())
    return [f(buffer[2:4]), f(buffer[4:6]), f(tensor(1.0, 2.0))]


@program
def a_global_as_argument(compiled):
    bias = tensor(1.0, 2.0)
    f = compiled(lambda x: x + bias)
    return [f(bias), f(tensor(5.0, 5.0)), f(bias), f(tensor(6.0, 6.0))]


@program
def an_argument_that_is_a_buffer_later(compiled):
    state = tensor(0.0, 0.0)

    def function(x):
        x.add_(1)
        return state * 1

    f = compiled(function)
    return [f(corten.zeros(2)), f(state), f(corten.zeros(2))]


@program
def a_parameter_whose_data_is_swapped(compiled):
    layer = nn.Linear(2, 2, bias=False)
    f, results = compiled(lambda x: layer(x)), []
    for i in range(12):
        layer.weight.data = corten.ones(2, 2) * i
        results.append(f(tensor(1.0, 1.0)))
    return results


@program
def results_on_the_storage_of_an_argument(compiled):
    f = compiled(lambda x: (x.detach(), x[0:1], x))
    results = []
    for i in range(3):
        x = tensor(float(i), 1.0)
        detached, view, same = f(x)
        x.add_(10)
        results.append((detached, view, same is x))
    return results


@program
def results_that_are_views_of_each_other(compiled):
    def function(x):
        y = x * 2
        return y, y[0:1], y

    f, results = compiled(function), []
    for _ in range(3):
        x = corten.ones(2, requires_grad=True)
        a, b, c = f(x)
        b.mul_(5)
        a.sum().backward()
        results.append((x.grad, a is c))
    return results


@program
def the_gradient_that_was_there(compiled):
    w = corten.ones(2, requires_grad=True)
    f, results = compiled(lambda: w.grad), []
    for i in range(3):
        w.grad = tensor(float(i), 0.0)
        results.append((f() is w.grad, f()))
    return results


# Gradients


@program
def backward_through_what_was_there(compiled):
    w = corten.ones(2, requires_grad=True)

    def function(h):
        h.sum().backward()

    f, results = compiled(function), []
    for k in (1.0, 2.0, 3.0):
        w.grad = None
        f((w * k).exp())
        results.append(w.grad)
    return results


@program
def hooks_that_come_later(compiled):
    layer, results = nn.Linear(2, 1, bias=False), []
    nn.init.ones_(layer.weight)

    def function(x):
        layer.zero_grad()
        layer(x).sum().backward()

    f = compiled(function)
    for i in range(4):
        if i == 2:
            layer.weight.register_hook(lambda g: g * 10)
        f(tensor(1.0, 2.0))
        results.append(layer.weight.grad)
    return results


@program
def a_global_that_gets_a_history(compiled):
    b, w = tensor(1.0), corten.ones(1, requires_grad=True)
    f = compiled(lambda x: b * x)
    results = [f(tensor(2.0))]
    b.mul_(w)
    return [*results, f(tensor(2.0))]


@program
def shapes_changed_in_place(compiled):
    def function(x):
        x.unsqueeze_(0)
        return x * 2

    f, results = compiled(function), []
    for _ in range(3):
        x = tensor(1.0, 2.0)
        results.append((f(x), list(x.shape)))
    return results


@program
def seeds_inside(compiled):
    def function(x):
        corten.manual_seed(3)
        return x + corten.rand(2)

    f = compiled(function)
    return [f(corten.zeros(2)) for _ in range(3)] + [corten.rand(2)]


@program
def what_happens_before_an_error_has_happened(compiled):
    count, table = tensor(0.0), corten.randn(4, 2)

    def function(i):
        count.add_(1)
        y = table.index_select(0, i) * 1
        count.add_(10)
        return y

    f, results = compiled(function), []
    for index in ([0, 1], [2, 3], [0, 9], [1, 1]):
        try:
            results.append(f(corten.tensor(index)).tolist())
        except IndexError:
            results.append("IndexError")
        results.append(count.clone())
    return results


@program
def a_value_that_decides(compiled):
    def function(x):
        y = corten.empty(1)
        y.copy_(x)
        return x * 2 if y.item() > 0 else x * 3

    f = compiled(function)
    return [f(tensor(1.0)), f(tensor(-1.0)), f(tensor(2.0))]


# Names


def scaled(x, config):
    return x * config.rate


class Config:
    rate = 2.0

    def __init__(self):
        self.name = "a"


@program
def a_class_attribute(compiled):
    class Local(Config):
        rate = 3.0

    config = Local()
    f = compiled(lambda x: scaled(x, config))
    results = [f(tensor(1.0))]
    Local.rate = 4.0
    results.append(f(tensor(1.0)))
    config.rate = 5.0
    return [*results, f(tensor(1.0))]


@program
def namespaces_and_partials(compiled):
    options = argparse.Namespace(rate=2.0)
    f = compiled(lambda x: scaled(x, options) + scaled(x, NUMBERS))
    g = compiled(functools.partial(scaled, config=options))
    results = [f(tensor(1.0)), g(tensor(1.0))]
    options.rate, NUMBERS.rate = 7.0, 9.0
    results += [f(tensor(1.0)), g(tensor(1.0))]
    NUMBERS.rate = 2.0
    return results


@program
def functions_of_a_module_that_are_replaced(compiled):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = corten.relu

        def forward(self, x):
            return self.act(x)

    net = Net()
    f = compiled(lambda x: net(x))
    results = [f(tensor(-1.0))]
    net.act = corten.abs
    results.append(f(tensor(-1.0)))
    Net.forward = lambda self, x: x * 100
    return [*results, f(tensor(-1.0))]


@program
def a_number_that_is_counted_and_used(compiled):
    counts = {"n": 0}

    def function(x):
        counts["n"] += 1
        return x * counts["n"]

    f = compiled(function)
    return [f(tensor(1.0)) for _ in range(4)]


@program
def an_argument_that_collects(compiled):
    def function(x, out):
        out.append(1)
        return x * len(out)

    f, out = compiled(function), []
    return [f(tensor(1.0), out) for _ in range(3)], out


@program
def the_parameters_of_an_optimizer(compiled):
    a, b = (corten.ones(1, requires_grad=True) for _ in range(2))
    optimizer = corten.optim.SGD([a], lr=0.1)

    def function(x):
        optimizer.zero_grad()
        (a * b * x).sum().backward()
        optimizer.step()

    f, results = compiled(function), []
    for i in range(4):
        if i == 2:
            optimizer.add_param_group({"params": [b], "lr": 0.5})
        optimizer.param_groups[0]["lr"] *= 0.9
        f(tensor(1.0))
        results.append((a.clone(), b.clone(), b.grad))
    return results


@program
def options_that_the_function_sets(compiled):
    a = corten.ones(1, requires_grad=True)
    optimizer = corten.optim.SGD([a], lr=0.1)

    def function(x, lr):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        (a * x).sum().backward()
        optimizer.step()

    f, results = compiled(function), []
    for lr in (0.1, 0.2, 0.1, 0.2):
        f(tensor(1.0), lr)
        optimizer.param_groups[0]["lr"] = 5.0
        results.append(a.clone())
    return results


# Arguments and results


@dataclasses.dataclass
class Output:
    value: corten.Tensor


@program
def results_that_are_objects(compiled):
    f = compiled(lambda x: Output(x * 2))
    return [f(tensor(float(i))).value for i in range(3)]


@program
def numbers_that_look_alike(compiled):
    f = compiled(lambda x, n: x / n if isinstance(n, float) else x * str(n).count("1"))
    return [f(tensor(1.0), n) for n in (0.0, -0.0, 1, 1.0, True)]


@program
def modes_left_behind(compiled):
    def function(x):
        corten.set_grad_enabled(False)
        return x * 2

    f, results = compiled(function), []
    for _ in range(3):
        x = corten.ones(1, requires_grad=True)
        results.append((f(x), corten.is_grad_enabled()))
        corten.set_grad_enabled(True)
    return results


@program
def hooks_of_the_compiled_module(compiled):
    layer = nn.Linear(1, 1)
    f, seen = compiled(layer), []
    f.register_forward_hook(lambda module, args, result: seen.append(1))
    for _ in range(3):
        f(tensor(1.0))
    return len(seen)


def test_one_kind_of_arguments_that_cannot_be_recorded_leaves_the_others_alone():
    f = corten.compile(lambda x, check=False: x * (x.sum().item() if check else 2))
    f(corten.ones(2))
    f(corten.ones(2), check=True)
    f(corten.ones(2))
    assert (statistics(f).recordings, statistics(f).replays, statistics(f).eager) == (1, 1, 1)


def test_a_compiled_function_in_the_step_of_an_optimizer():
    w = corten.ones(1, requires_grad=True)
    optimizer = corten.optim.SGD([w], lr=0.1)
    decay = corten.compile(lambda p: p * 0.5)
    optimizer.register_step_post_hook(lambda *_: w.data.copy_(decay(w.data)))

    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    f, expected = corten.compile(step), 1.0
    for _ in range(4):
        f(corten.ones(1))
        expected = (expected - 0.1) * 0.5
        assert w.item() == pytest.approx(expected)
    assert statistics(f).replays == 3
