"""Every reason for which a compiled function runs in Python: a program that has it, and that none is forgotten here."""

import ast
import logging
import os
import random
import re
import time
from pathlib import Path

import corten
import numpy as np
import pytest
from corten.autograd import graph
from corten.compiler import statistics
from corten.compiler._function import WARM_UPS
from corten.overrides import TorchFunctionMode

from compiled import ones, step_with_closure

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = []


def reason(text, marks=()):
    """What follows makes a function and its arguments. `text` is the source's, with {} for what it fills in."""

    def add(make):
        PROGRAMS.append(pytest.param(text, make, id=make.__name__, marks=marks))
        return make

    return add


def matches(text, found):
    return re.search(re.escape(text).replace(r"\{\}", ".+"), found)


def leaf(*shape):
    return ones(*(shape or (2,)), requires_grad=True)


# What the code names


@reason("it uses objects that hold one another too deeply")
def a_long_chain():
    chain = []
    for _ in range(5000):
        chain = [chain]
    return lambda x: x * len(chain), [ones(2)]


@reason("it calls {}()")
def a_print():
    return lambda x: (print(end=""), x)[1], [ones(2)]


@reason("it calls {}()")
def a_builtin_of_another_name():
    say = print
    return lambda x: (say(end=""), x)[1], [ones(2)]


@reason("it calls {}()")
def an_evaluation():
    return lambda x: eval("x + 1"), [ones(2)]


@reason("it uses the module {}")
def a_clock():
    return lambda x: x * time.time(), [ones(2)]


@reason("it uses the module {}")
def a_method_of_a_generator():
    draw = random.random
    return lambda x: x * draw(), [ones(2)]


@reason("it uses the module {}")
def an_import_inside():
    def function(x):
        import random

        return x * random.random()

    return function, [ones(2)]


@reason("it uses {}")
def random_numbers_of_numpy():
    return lambda x: x * np.random.rand(), [ones(2)]


@reason("it uses {}")
def the_environment():
    return lambda x: x * len(os.environ), [ones(2)]


@reason("it uses __dict__")
def a_dictionary_of_attributes():
    return lambda x: x * len(ones.__dict__ or "a"), [ones(2)]


@reason("{} is an iterator ({})")
def an_iterator_around():
    numbers = iter([1.0] * 99)
    return lambda x: x * len(list(numbers)), [ones(2)]


@reason("{} is a {}.{}, whose content may change")
def an_array_around():
    array = np.ones(2, np.float32)
    return lambda x: x * array[0].item(), [ones(2)]


@reason("{} is a {}.{}, whose content may change")
def a_view_of_memory():
    view = memoryview(bytearray(b"ab"))
    return lambda x: x * view[0], [ones(2)]


@reason("{} holds {} items, too many to compare at every call")
def a_long_list():
    numbers = [1.0] * 5000
    return lambda x: x * numbers[0], [ones(2)]


@reason("it uses {}, which belongs to optimizers")
def groups_of_an_optimizer():
    optimizer = corten.optim.SGD([leaf()], lr=0.1)
    return lambda x: x * optimizer.param_groups[0]["lr"], [ones(2)]


# Arguments and results


@reason("a tensor among the arguments has attributes of its own")
def a_tensor_with_an_attribute():
    x = ones(2)
    x.rate = 2.0
    return lambda x: x * x.rate, [x]


@reason("an argument is an iterator ({})")
def an_iterator():
    return lambda items: sum(items), [iter([ones(2)] * 9)]


@reason("an argument is a {} of numpy, whose content may change")
def an_array():
    return lambda x, array: x * array[0].item(), [ones(2), np.ones(2, np.float32)]


@reason("an argument is, or shares memory with, a tensor that it uses otherwise")
def a_window_of_a_tensor_around():
    table = ones(4)
    return lambda x: x * table.sum(), [table[:2]]


@reason("it changes an argument that is a container")
def an_argument_that_collects():
    return lambda x, out: (out.append(1), x * 2)[1], [ones(2), []]


@reason("it returns a container that was there before")
def a_list_that_was_there():
    results = []
    return lambda x: results, [ones(2)]


@reason("it returns a {}")
def an_object():
    return lambda x: object(), [ones(2)]


@reason("it returns a tensor from outside that shares an argument's storage")
def another_window():
    table = ones(4)
    hidden = corten.jit.fork(lambda: table[2:])
    return lambda x: (x * 2, hidden.value()), [table[:2]]


# What is left behind


@reason("it leaves another gradient mode or default behind")
def a_mode():
    def function(x):
        corten.set_num_threads(corten.get_num_threads() + 1)
        return x * 2

    return function, [ones(2)]


@reason("it changes what it depends on: {}")
def a_count_that_is_read():
    counts = {"n": 0}

    def function(x):
        counts["n"] += 1
        return x * counts["n"]

    return function, [ones(2)]


@reason("a tensor that the function makes is kept outside of it")
def a_tensor_that_is_kept():
    kept = []
    return lambda x: (kept.append(x * 2), x)[1], [ones(2)]


@reason("it leaves a new leaf behind")
def a_new_leaf():
    weight = leaf()
    return lambda x: weight.clone().detach_().requires_grad_(False).requires_grad_(), [ones(2)]


@reason("it makes a new leaf")
def a_result_that_becomes_a_leaf():
    return lambda x: (x * 2).requires_grad_().sum(), [ones(2)]


@reason("it changes requires_grad")
def a_leaf_of_what_was_there():
    return lambda x: (x.requires_grad_(), x.requires_grad_(False))[0] * 2, [ones(2)]


@reason("it leaves a new tensor behind that has a .grad")
def a_result_with_a_gradient():
    def function(x):
        y = x * 2
        y.grad = ones(2)
        return y

    return function, [ones(2)]


@reason("it leaves a tensor behind that was made in another mode, or by .data")
def a_result_of_inference():
    def function(x):
        with corten.inference_mode():
            return x * 2

    return function, [ones(2)]


@reason("it gives a tensor from outside another storage, shape or history")
def data_that_is_swapped():
    def function(x):
        x.data = ones(2)
        return x * 2

    return function, [ones(2)]


@reason("it writes a value with a gradient history into a tensor from outside")
def a_history_for_a_tensor_around():
    table, weight = ones(2), leaf()

    def function(x):
        table.mul_(weight)
        return x * 2

    return function, [ones(2)]


# Values and places


@reason("it reads the value of a tensor or moves it to another device")
def a_value():
    return lambda x: x * x.sum().item(), [ones(2)]


@reason("it reads how often a tensor was written")
def a_version():
    return lambda x: x * x._version, [ones(2)]


@reason("it sets or reads the state of a random generator")
def a_seed():
    return lambda x: (corten.manual_seed(0), corten.rand(2) * x)[1], [ones(2)]


@reason("it makes a tensor on the device meta")
def a_tensor_without_values():
    return lambda x: x * corten.ones(2, device="meta").numel(), [ones(2)]


@reason("it reads memory that another library owns, or work of another thread", marks=pytest.mark.cpu)
def memory_of_numpy():
    return lambda x: x * corten.from_numpy(np.ones(2, np.float32)), [ones(2)]


@reason("it reaches the storage of an argument or a .grad through another tensor")
def the_whole_of_an_argument():
    return lambda x: x._base * 2, [ones(4)[:2]]


# Gradients


@reason("it registers a hook on a gradient")
def a_hook_on_a_result():
    weight = leaf()

    def function(x):
        y = x * weight
        y.register_hook(lambda g: g * 2)
        return y

    return function, [ones(2)]


def trains(weight):
    def function(x):
        weight.grad = None
        (x * weight).sum().backward()

    return function, [ones(2)]


@reason("a hook runs on a gradient")
def a_hook_of_a_leaf():
    weight = leaf()
    weight.register_hook(lambda g: g * 2)
    return trains(weight)


@reason("a hook runs after a gradient was accumulated")
def a_hook_after_accumulation():
    weight = leaf()
    weight.register_post_accumulate_grad_hook(lambda p: None)
    return trains(weight)


@reason("it keeps the gradient of a tensor that is no leaf")
def a_kept_gradient():
    weight = leaf()

    def function(x):
        y = x * weight
        y.retain_grad()
        return y

    return function, [ones(2)]


@reason("it uses a tensor from outside, other than an argument, that has a gradient history")
def a_history_around():
    around = leaf() * 2
    return lambda x: x * around, [ones(2)]


class Double(corten.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


@reason("{} is written in Python and runs after the function has returned")
def a_backward_in_python():
    return lambda x: Double.apply(x), [leaf()]


@reason("saved_tensors_hooks are active")
def hooks_on_what_is_kept():
    def function(x):
        with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            return x.exp()

    return function, [leaf()]


@reason("a value that a gradient needs was overwritten")
def a_kept_value_that_is_written():
    def function(x):
        y = x.exp()
        with corten.no_grad():
            y.mul_(2)
        return y

    return function, [leaf()]


@reason("it runs a backward pass through what was computed before it was called")
def a_backward_pass_of_before():
    weight = leaf()
    return lambda loss: loss.backward(retain_graph=True), [(weight * 2).sum()]


@reason(
    "a .grad has a history of its own (create_graph=True)",
    pytest.mark.filterwarnings("ignore:Using backward:UserWarning"),
)
def a_gradient_with_a_history():
    weight = leaf()

    def function(x):
        (weight * weight * x).sum().backward(create_graph=True)

    return function, [ones(2)]


# Calls that say so themselves


@reason("an optimizer's step is given a closure")
def a_closure_for_an_optimizer():
    return step_with_closure(), [ones(2)]


@reason("the step of a schedule is given an argument")
def a_metric_for_a_schedule():
    optimizer = corten.optim.SGD([leaf()], lr=0.1)
    schedule = corten.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    return lambda x: (schedule.step(1.0), x * 2)[1], [ones(2)]


@reason("it calls {}, which is not to be compiled")
def a_function_that_is_not_to_be_compiled():
    outside = corten.compiler.disable(lambda x: x * 2, reason="it is outside")
    return lambda x: outside(x), [ones(2)]


@pytest.mark.parametrize(("text", "make"), PROGRAMS)
def test_what_runs_in_python_says_why(text, make, caplog):
    function, arguments = make()
    compiled = corten.compile(function)
    with caplog.at_level(logging.WARNING, "corten.compiler"):
        for _ in range(WARM_UPS + 2):
            compiled(*arguments)
    found = statistics(compiled)
    assert (found.replays, found.eager) == (0, WARM_UPS + 2)
    assert matches(text, found.reasons[-1]), found.reasons
    assert found.reasons[-1] in caplog.text
    with pytest.raises(RuntimeError, match="cannot be compiled with fullgraph=True") as raised:
        function, arguments = make()
        compiled = corten.compile(function, fullgraph=True)
        for _ in range(WARM_UPS + 1):
            compiled(*arguments)
    assert matches(text, str(raised.value))


def test_a_mode_that_sees_calls_runs_in_python():
    """Not a program of the table: the mode is around the call."""

    class Doubles(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            return function(*args, **kwargs or {}) * (2 if function is corten.exp else 1)

    compiled = corten.compile(lambda x: corten.exp(x))
    for _ in range(2):
        assert compiled(corten.zeros(2)).tolist() == [1.0, 1.0]
    with Doubles():
        assert compiled(corten.zeros(2)).tolist() == [2.0, 2.0]
    assert statistics(compiled).reasons[-1] == BESIDES[0]
    assert (statistics(compiled).recordings, statistics(compiled).replays, statistics(compiled).eager) == (1, 1, 1)


# That no reason is forgotten

# What has a test of its own, and what only a GPU beside the CPU leads to (tests/test_gpu.py).
BESIDES = [
    "a TorchFunctionMode is active, which sees what Python calls",
    "it brings a number from {} to {}",
]


def texts_of(node):
    """Texts of an expression's ways to come out, with {} for what it fills in."""
    if isinstance(node, ast.JoinedStr):
        return ["".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def reasons_in_python(path):
    """What is given to the functions that refuse, directly or through a variable, and what tells why not."""
    found = []
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        given = []
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in REFUSING:
                given += node.args[:1]
            elif isinstance(node, ast.Return) and function.name == "_why_not" and node.value is not None:
                given += [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
        names = {node.id for node in given if isinstance(node, ast.Name)}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(
                target_name(target) in {*names, "refusal"} for target in node.targets
            ):
                given.append(node.value)
        found += [text for node in given for text in texts_of(node)]
    return found


REFUSING = {"_refuse", "_tell", "Unguardable", "capture_refuse"}


def target_name(target):
    return getattr(target, "id", getattr(target, "attr", None))


def reasons_in_rust(path):
    """The texts in every statement that calls `refuse`."""
    text = path.read_text(encoding="utf-8")
    calls = re.findall(r"\brefuse\((?!&)[^;]*;", text) if "capture" in text else []
    return [re.sub(r"\{[^}]*\}", "{}", found) for call in calls for found in re.findall(r'"([^"]*)"', call)]


def test_every_reason_of_the_source_has_a_program():
    python = ROOT / "python" / "corten"
    sources = [*python.glob("compiler/*.py"), *python.glob("optim/**/*.py")]
    texts = [text for path in sources for text in reasons_in_python(path)]
    texts += [text for path in ROOT.glob("rust/*/src/**/*.rs") for text in reasons_in_rust(path)]
    assert len(set(texts)) > 45
    assert set(texts) == {*BESIDES, *(program.values[0] for program in PROGRAMS)}
