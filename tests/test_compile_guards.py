"""When a compiled function is recorded anew, and what keeps it from being recorded."""

import builtins
import contextlib
import logging
import random
import re
import threading
from typing import TypeVar, cast

import corten
import numpy as np
import pytest
from corten import nn
from corten.compiler import statistics
from corten.compiler._effects import watch

from compiled import Counter, network, ones, step_with_closure

BIAS = corten.tensor([1.0, 2.0, 3.0])


# What makes another recording


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((ones(2, 3),), (ones(3, 3),), id="shape"),
        pytest.param((ones(2, 3),), (ones(2, 3, dtype=corten.float16),), id="dtype"),
        pytest.param((ones(2, 3),), (ones(3, 2).t(),), id="strides"),
        pytest.param((ones(2, 3),), (ones(2, 3, requires_grad=True),), id="requires_grad"),
        pytest.param((ones(2, 3), 2), (ones(2, 3), 3), id="number"),
        pytest.param((ones(2, 3), 1), (ones(2, 3), True), id="type of a number"),
        pytest.param((ones(2, 3), [1, 2]), (ones(2, 3), [1, 2, 3]), id="length of a list"),
        pytest.param((ones(2, 3), {"a": 1}), (ones(2, 3), {"b": 1}), id="keys"),
        pytest.param((ones(2, 3), (1,)), (ones(2, 3), [1]), id="kind of container"),
    ],
)
def test_other_arguments_are_recorded_anew(first, second):
    f = Counter(lambda x, more=None: x * 2)
    for arguments in (first, second, first, second):
        assert corten.equal(f(*arguments), arguments[0] * 2)
    assert f.runs == 2


def test_a_tensor_that_a_global_names_is_guarded_and_read_afresh(monkeypatch):
    def function(x):
        return x + BIAS

    f, x = Counter(function), corten.zeros(3)
    f(x)
    with corten.no_grad():
        BIAS.mul_(2)
    assert f(x).tolist() == [2.0, 4.0, 6.0]
    BIAS.div_(2)
    assert f.runs == 1
    monkeypatch.setitem(globals(), "BIAS", corten.tensor([5.0, 5.0, 5.0]))
    assert f(x).tolist() == [5.0] * 3
    assert f.runs == 2


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.scale = 2.0
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.linear(x)) * self.scale


def test_attributes_and_modes_of_modules_are_guarded():
    model, hooks = Scaled().eval(), []
    f, x = corten.compile(lambda x: model(x)), corten.randn(2, 3)
    changes = [
        lambda: setattr(model, "scale", 3.0),
        lambda: setattr(model.linear, "weight", nn.Parameter(ones(3, 3))),
        lambda: setattr(model.linear.bias, "data", ones(3)),
        lambda: model.linear.weight.requires_grad_(False),
        lambda: setattr(model, "linear", nn.Linear(3, 3, bias=False)),
        lambda: hooks.append(model.register_forward_hook(lambda module, args, result: result + 1)),
        lambda: hooks[0].remove(),
        lambda: hooks.append(nn.modules.module.register_module_forward_hook(lambda module, args, result: result * 2)),
        lambda: model.half(),
    ]
    recorded = 0
    for change in [lambda: None, *changes]:
        change()
        x = x.to(model.linear.weight.dtype)
        for _ in range(3):
            expected = model(x)
            found = f(x)
            assert corten.equal(expected, found)
            assert expected.requires_grad == found.requires_grad
        # Without the hook everything is as an earlier recording saw it.
        recorded += change is not changes[6]
        assert statistics(f).recordings == recorded
    hooks[-1].remove()
    model.train()
    corten.manual_seed(0)
    expected = model(x)
    corten.manual_seed(0)
    assert corten.equal(expected, f(x))
    assert statistics(f).recordings == recorded + 1


def test_values_loaded_into_a_model_are_read_afresh():
    model, other = network(dropout=0.0).eval(), network(1, dropout=0.0).eval()
    f, x = corten.compile(model), corten.randn(5, 8)
    f(x)
    model.load_state_dict(other.state_dict())
    assert corten.equal(f(x), other(x))
    assert statistics(f).recordings <= 2


# What is not recorded


def noise():
    return random.random()


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        pytest.param(lambda x: x * x.sum().item(), "reads the value", id="item"),
        pytest.param(lambda x: x * 2 if x.sum() > 0 else x, "reads the value", id="bool"),
        pytest.param(lambda x: x[x > 0], "reads the value", id="mask"),
        pytest.param(lambda x: x + float(np.ones(3, np.float32) @ x.cpu().numpy()), "reads the value", id="numpy"),
        pytest.param(lambda x: (print("here"), x * 2)[1], r"calls print\(\)", id="print"),
        pytest.param(lambda x: x * noise(), "module 'random'", id="random"),
        pytest.param(lambda x: x * 2 + np.random.rand() * 0, "numpy's random", id="numpy.random"),
        pytest.param(lambda x: disabled(x), "not to be compiled", id="disabled"),
    ],
)
def test_what_cannot_be_recorded_runs_in_python_and_says_why(function, reason, caplog, capsys):
    f = Counter(function)
    with caplog.at_level(logging.WARNING, "corten.compiler"):
        for _ in range(3):
            f(ones(3))
    assert f.runs == 3
    assert statistics(f.function).replays == 0
    assert len(caplog.records) == 1
    assert re.search(reason, caplog.text)
    with pytest.raises(RuntimeError, match=reason):
        Counter(function, fullgraph=True)(ones(3))


emit = print


def talks(x, loud):
    if loud:
        print("loud")
    return x * 2


def test_a_call_with_an_effect_counts_only_where_it_is_reached(capsys):
    f = Counter(talks, fullgraph=True)
    for i in range(4):
        assert f(ones(3) * i, False).tolist() == [2.0 * i] * 3
    assert statistics(f.function).replays == 3
    with pytest.raises(RuntimeError, match=r"cannot be compiled with fullgraph=True: it calls print\(\)"):
        f(ones(3), True)
    assert capsys.readouterr().out == ""
    assert f(ones(3), False).tolist() == [2.0] * 3
    assert print is builtins.print and print.__module__ == "builtins" and not hasattr(print, "__wrapped__")


def test_without_fullgraph_what_prints_runs_in_python_for_its_arguments_alone(capsys):
    f = Counter(talks)
    for loud in (True, False, True, False, False):
        f(ones(3), loud)
    assert capsys.readouterr().out == "loud\n" * 2
    assert f.runs == 3 and statistics(f.function).replays == 2


def test_an_error_at_such_a_call_is_raised_though_the_program_hides_it():
    def function(x):
        with contextlib.suppress(RuntimeError):
            print("never")
        return x + 1

    with pytest.raises(RuntimeError, match=r"it calls print\(\)"):
        Counter(function, fullgraph=True)(ones(2))


def test_a_name_that_comes_to_hide_the_builtin_is_noticed():
    scope = {}
    exec("def function(x, loud):\n    return print(x) if loud else x + 1", scope)
    said = []
    f = Counter(scope["function"])
    f(ones(2), False)
    scope["print"] = lambda x: said.append(1) or x * 5
    assert f(ones(2), True).tolist() == [5.0] * 2
    assert f(ones(2), False).tolist() == [2.0] * 2
    assert f.runs == 3


def test_other_threads_print_beside_a_recording(capsys):
    with watch(["print"], lambda *call: pytest.fail("this thread prints nothing")):
        thread = threading.Thread(target=lambda: print("beside"))
        thread.start()
        thread.join()
    assert capsys.readouterr().out == "beside\n"


def test_a_builtin_under_another_name_is_refused(capsys):
    f = Counter(lambda x: (emit("here"), x * 2)[1])
    for _ in range(3):
        f(ones(2))
    assert capsys.readouterr().out == "here\n" * 3 and f.runs == 3


@corten.compiler.disable
def disabled(x):
    return x * 2


def test_an_iterator_among_the_arguments_runs_in_python():
    f = Counter(lambda items: sum(items))
    assert f(iter([ones(2), ones(2)])).tolist() == [2.0, 2.0]
    assert "iterator" in statistics(f.function).reasons[-1]


def test_a_tensor_kept_outside_is_no_constant():
    kept = []

    def function(x):
        y = x * 2
        kept.append(y)
        return y + 1

    f = Counter(function)
    for i in range(6):
        f(ones(2) * i)
    assert [t.tolist() for t in kept] == [[2.0 * i] * 2 for i in range(6)]


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += 1
        return x * self.count


def test_an_attribute_that_the_function_changes_keeps_it_in_python():
    model = Stateful()
    f = corten.compile(model)
    assert [f(ones(1)).item() for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]
    assert "changes what it depends on" in statistics(f).reasons[-1]


class Double(corten.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_functions_with_a_backward_in_python():
    f = Counter(lambda x: Double.apply(x))
    for _ in range(2):
        x = ones(2, requires_grad=True)
        f(x).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0]
    assert "written in Python" in statistics(f.function).reasons[-1]

    def whole(x):
        x = x.detach() * w
        Double.apply(x).sum().backward()

    w = ones(2, requires_grad=True)
    g = Counter(whole)
    for i in range(3):
        g(ones(2))
        assert w.grad.tolist() == [2.0 * (i + 1)] * 2


def test_hooks_on_gradients_run_each_time():
    seen = []
    w = ones(2, requires_grad=True)
    w.register_hook(lambda g: seen.append(g.sum().item()))

    def function(x):
        w.grad = None
        (x * w).sum().backward()

    f = Counter(function)
    for _ in range(3):
        f(ones(2))
    assert seen == [2.0, 2.0, 2.0]


def test_a_closure_for_the_optimizer_runs_in_python():
    f = Counter(step_with_closure())
    for _ in range(3):
        f(ones(2))
    assert f.runs == 3
    assert statistics(f.function).reasons == ["an optimizer's step is given a closure"]


T = TypeVar("T")


def test_names_of_typing_keep_no_function_in_python():
    def double(x: T) -> T:
        return cast(T, x * 2)

    f = Counter(double)
    for _ in range(3):
        assert f(ones(2)).tolist() == [2.0, 2.0]
    assert f.runs == 1
