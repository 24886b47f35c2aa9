"""Classes and modes that take over operators: subclasses of Tensor, others with __torch_function__, and modes."""

from __future__ import annotations

import copy
import io
import pickle

import corten
import numpy as np
import pytest
from corten import nn, overrides


class Logged(corten.Tensor):
    """Notes the operators that it is in, and goes on."""

    log: list = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.log.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs)


class Plain(corten.Tensor):
    pass


class Other(corten.Tensor):
    pass


class Finer(Plain):
    pass


class Diagonal:
    """No tensor, but something that stands for one."""

    def __init__(self, count, value):
        self.count, self.value = count, value

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is corten.mean:
            return args[0].value / args[0].count
        if func is corten.Tensor.add or func is corten.add:
            return "added"
        return NotImplemented


def logged(*shape):
    x = corten.ones(shape).as_subclass(Logged)
    Logged.log.clear()
    return x


CALLS = [
    (lambda a, b: a + b, "add"),
    (lambda a, b: b + a, "add"),
    (lambda a, b: 2 + a, "add"),
    (lambda a, b: 2 - a, "__rsub__"),
    (lambda a, b: a / b, "div"),
    (lambda a, b: a // b, "__floordiv__"),
    (lambda a, b: a % b, "remainder"),
    (lambda a, b: a**2, "pow"),
    (lambda a, b: 2**a, "__rpow__"),
    (lambda a, b: b @ a, "matmul"),
    (lambda a, b: a == b, "__eq__"),
    (lambda a, b: a < b, "lt"),
    (lambda a, b: b < a, "gt"),
    (lambda a, b: -a, "neg"),
    (lambda a, b: abs(a), "abs"),
    (lambda a, b: a[0], "__getitem__"),
    (lambda a, b: a.sum(), "sum"),
    (lambda a, b: corten.stack([b, a]), "stack"),
    (lambda a, b: corten.add(b, other=a), "add"),
    (lambda a, b: corten.zeros_like(a), "zeros_like"),
    (lambda a, b: a.new_ones(2), "new_ones"),
    (lambda a, b: a.norm(), "norm"),
    (lambda a, b: a.T, "__get__"),
    (lambda a, b: a.data, "__get__"),
    (lambda a, b: a.detach(), "detach"),
    (lambda a, b: a.add_(b), "add_"),
    (lambda a, b: corten.where(b > 0, a, b), "where"),
]


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[f"{i}-{name}" for i, (_, name) in enumerate(CALLS)])
def test_an_operator_is_asked_for_once_and_gives_the_class(number):
    call, name = CALLS[number]
    result = call(logged(3, 3), corten.ones(3, 3))
    assert Logged.log == [name]
    assert type(result) is Logged


@pytest.mark.parametrize(
    ("call", "name", "value"),
    [
        (lambda a: a.shape, "__get__", (2,)),
        (lambda a: len(a), "__len__", 2),
        (lambda a: a.tolist(), "tolist", [1.0, 1.0]),
        (lambda a: 1.0 in a, "__contains__", True),
        (lambda a: a.dim(), "dim", 1),
        (lambda a: a.requires_grad, "__get__", False),
    ],
    ids=["shape", "len", "tolist", "contains", "dim", "requires_grad"],
)
def test_facts_are_asked_for_too(call, name, value):
    assert call(logged(2)) == value
    assert Logged.log == [name]


def test_writing_asks_whichever_side_the_class_is_on():
    a, b = logged(2), corten.zeros(2)
    a[0] = 5.0
    b[1] = a[0]
    b += a
    assert Logged.log == ["__setitem__", "__getitem__", "__setitem__", "add_"]
    assert b.tolist() == [5.0, 6.0] and type(b) is corten.Tensor


def test_iteration_gives_the_class():
    assert [type(part) for part in corten.ones(2, 2).as_subclass(Plain)] == [Plain, Plain]


def test_results_with_several_tensors_keep_their_names():
    values, indices = corten.tensor([[1.0, 3.0, 2.0]]).as_subclass(Plain).max(1)
    assert type(values) is Plain and type(indices) is Plain
    assert corten.ones(2).as_subclass(Plain).sort().values.__class__ is Plain


def test_the_finer_class_decides_and_strangers_do_not_mix():
    plain, finer, other = (corten.ones(2).as_subclass(cls) for cls in (Plain, Finer, Other))
    assert type(plain + finer) is Finer and type(finer + plain) is Finer
    with pytest.raises(TypeError, match=r"no implementation found for 'corten\.add'"):
        corten.add(plain, other)


def test_disabled_operators_give_plain_tensors():
    with overrides.DisableTorchFunctionSubclass():
        assert type(corten.ones(2).as_subclass(Plain) + 1) is corten.Tensor
    assert type(nn.Parameter(corten.ones(2)) + 1) is corten.Tensor


def test_an_object_that_is_no_tensor_takes_over():
    assert corten.mean(Diagonal(5, 10.0)) == 2.0
    assert corten.add(corten.ones(2), Diagonal(2, 1)) == "added"
    with pytest.raises(TypeError, match=r"no implementation found for 'corten\.sum'"):
        corten.sum(Diagonal(2, 1))
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        corten.mean("text")


def test_gradients_pass_through_a_subclass():
    x = corten.ones(3, requires_grad=True)
    y = (x.as_subclass(Plain) * 3).sum()
    assert type(y) is Plain and y.requires_grad
    y.backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.cpu
def test_copies_and_pickles_keep_class_and_attributes():
    x = corten.arange(3.0).as_subclass(Plain)
    x.mark = "seen"
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert type(y) is Plain and y.mark == "seen"
        np.testing.assert_array_equal(y.detach().as_subclass(corten.Tensor).numpy(), [0, 1, 2])


def test_a_parameter_of_a_subclass_keeps_its_class():
    x = nn.Parameter(corten.ones(2).as_subclass(Plain))
    assert type(x) is Plain and isinstance(x, nn.Parameter) and x.requires_grad and x.is_leaf
    module = nn.Module()
    module.weight = x
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    assert not isinstance(corten.ones(2).as_subclass(Plain), nn.Parameter)
    assert isinstance(nn.Parameter(corten.ones(2)), nn.Parameter)


class Counting(overrides.TorchFunctionMode):
    def __init__(self, log, mark):
        self.log, self.mark = log, mark

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.log.append((self.mark, func.__name__))
        return func(*args, **(kwargs or {}))


def test_modes_get_every_operator_the_innermost_first():
    log = []
    with Counting(log, "outer"), Counting(log, "inner"):
        corten.ones(2) + 1
    assert log == [("inner", "ones"), ("outer", "ones"), ("inner", "add"), ("outer", "add")]
    log.clear()
    corten.ones(2) + 1
    assert log == []


def test_a_mode_ends_when_its_block_raises():
    log = []
    with pytest.raises(ValueError, match="inside"), Counting(log, "mode"):
        raise ValueError("inside")
    corten.ones(1)
    assert log == [] and overrides._get_current_function_mode() is None


def test_modes_and_classes_are_disabled_together():
    log = []
    with Counting(log, "mode"), overrides.DisableTorchFunction():
        assert type(corten.ones(2).as_subclass(Plain) * 2) is corten.Tensor
    assert log == []


def test_python_functions_may_be_taken_over():
    class Taking:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func, types, args, kwargs

    def public(x, scale=1):
        if overrides.has_torch_function_unary(x):
            return overrides.handle_torch_function(public, (x,), x, scale=scale)
        return x * scale

    taking = Taking()
    assert public(taking, 3) == (public, (Taking,), (taking,), {"scale": 3})
    assert public(2, 3) == 6
    assert not overrides.has_torch_function((corten.ones(1), nn.Parameter(corten.ones(1)), 3))

    @overrides.wrap_torch_function(lambda x: (x,))
    def wrapped(x):
        return x

    assert wrapped(taking)[0] is wrapped and wrapped(4) == 4


def test_what_can_be_taken_over_is_listed_by_name():
    found = overrides.get_overridable_functions()
    assert corten.add in found[corten] and corten.Tensor.add in found[corten.Tensor]
    assert overrides.resolve_name(corten.Tensor.add) == "corten.Tensor.add"
    assert overrides.resolve_name(corten.matmul) == "corten.matmul"
    assert overrides.resolve_name(print) is None
    assert overrides.is_tensor_method_or_property(corten.Tensor.add)
    assert not overrides.is_tensor_method_or_property(corten.add)
    assert overrides.is_tensor_like(Diagonal(1, 1)) and not overrides.is_tensor_like(3)
    stand_in = overrides.get_testing_overrides()[corten.matmul]
    assert stand_in(1, 2) == -1
    assert corten.tensor in overrides.get_ignored_functions()


def test_redispatch_skips_one_level():
    log = []

    class Tracing(corten.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            log.append(func.__name__)
            return overrides.redispatch_function(func, types, args, kwargs)

    def scaled(a, b):
        if overrides.has_torch_function((a, b)):
            return overrides.handle_torch_function(scaled, (a, b), a, b)
        return a * b + 1

    x = corten.tensor([3.0]).as_subclass(Tracing)
    log.clear()
    assert scaled(x, x).tolist() == [10.0]
    assert log == ["scaled", "mul"]


def test_a_saved_subclass_loads_where_it_is_trusted():
    file = io.BytesIO()
    corten.save({"weight": corten.ones(2).as_subclass(Plain)}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        corten.load(file)
    file.seek(0)
    with corten.serialization.safe_globals([Plain]):
        assert type(corten.load(file)["weight"]) is Plain


def test_a_module_trains_a_parameter_of_a_subclass():
    module = nn.Linear(2, 2, bias=False)
    module.weight = nn.Parameter(corten.ones(2, 2).as_subclass(Plain))
    out = module(corten.ones(1, 2))
    assert type(out) is Plain
    out.sum().backward()
    corten.optim.SGD(module.parameters(), 0.5).step()
    assert type(module.weight) is Plain and module.weight.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_functions_of_networks_are_handed_over_as_a_whole_to_classes_and_modes():
    functional = corten.nn.functional
    calls = []

    class Noted(corten.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            calls.append((func, len(args), kwargs))
            return super().__torch_function__(func, types, args, kwargs)

    class Mode(corten.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            calls.append((func, len(args), kwargs))
            return func(*args, **(kwargs or {}))

    x = corten.ones(2, 3)
    assert type(functional.softmax(x.as_subclass(Noted), 1)) is Noted
    with Mode():
        functional.softmax(x, 1)
    assert calls == [(functional.softmax, 1, {"dim": 1, "_stacklevel": 3, "dtype": None})] * 2
    # Inside a vmap, whose random numbers ask a mode of their own, functions run as they are.
    calls.clear()
    assert corten.vmap(functional.relu)(x).tolist() == x.tolist() and calls == []
