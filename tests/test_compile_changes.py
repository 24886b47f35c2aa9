"""What a recording of `corten.compile` depends on: where it changes there is another recording, and otherwise none."""

import collections
import contextlib
import copy
import dataclasses
import enum
import functools
import sys
import types

import corten
import pytest
from corten import nn
from corten.compiler import statistics
from corten.compiler._function import _modes
from corten.models.generation import KVCache

from compiled import ones

DEVICE = corten.get_default_device()


def assert_serves(compiled, function, recordings):
    """Two calls do as Python does, and after each there are so many recordings."""
    for _ in range(2):
        x = ones(2, device=DEVICE)
        found, expected = compiled(x), function(x)
        assert corten.equal(found, expected)
        assert (found.dtype, found.requires_grad) == (expected.dtype, expected.requires_grad)
        assert found.is_inference() == expected.is_inference()
        assert (statistics(compiled).recordings, statistics(compiled).eager) == (recordings, 0)


# Modes


def asks(question):
    """A function whose result tells the answer."""
    return lambda x: x * (1.0 + question())


@contextlib.contextmanager
def setting(read, write, value):
    before = read()
    write(value)
    yield
    write(before)


def autocast(dtype):
    return corten.autocast(corten.get_default_device().type, dtype=dtype)


def more_threads():
    return setting(corten.get_num_threads, corten.set_num_threads, corten.get_num_threads() + 1)


WEIGHT = ones(2, requires_grad=True)
# By mode: what sets it, and a function that it matters to.
MODES = {
    "grad": (corten.no_grad, lambda x: x * WEIGHT),
    "inference mode": (corten.inference_mode, lambda x: x + 1),
    "default dtype": (
        lambda: setting(corten.get_default_dtype, corten.set_default_dtype, corten.float16),
        lambda x: x.half() + corten.ones(2),
    ),
    "default device": (lambda: corten.device("meta"), lambda x: x * 2),
    "autocast": (lambda: autocast(corten.bfloat16), lambda x: x[None] @ x[:, None]),
    "another autocast": (lambda: autocast(corten.float16), lambda x: x[None] @ x[:, None]),
    "threads": (more_threads, asks(corten.get_num_threads)),
    "anomaly mode": (corten.autograd.detect_anomaly, asks(corten.is_anomaly_enabled)),
    "anomaly mode without NaN": (
        lambda: corten.autograd.detect_anomaly(check_nan=False),
        asks(corten.is_anomaly_check_nan_enabled),
    ),
    "determinism": (
        lambda: setting(corten.get_deterministic_debug_mode, corten.set_deterministic_debug_mode, 2),
        asks(corten.are_deterministic_algorithms_enabled),
    ),
    "precision of products": (
        lambda: setting(corten.get_float32_matmul_precision, corten.set_float32_matmul_precision, "high"),
        asks(lambda: len(corten.get_float32_matmul_precision())),
    ),
    "warnings": (
        lambda: setting(corten.is_warn_always_enabled, corten.set_warn_always, False),
        asks(corten.is_warn_always_enabled),
    ),
    "threads between operators": (
        lambda: setting(corten.get_num_interop_threads, corten.set_num_interop_threads, 5),
        asks(corten.get_num_interop_threads),
    ),
}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("mode", MODES)
def test_another_mode_is_recorded_anew_and_the_one_before_is_known(mode):
    context, function = MODES[mode]
    compiled = corten.compile(function)
    assert_serves(compiled, function, 1)
    with context():
        assert_serves(compiled, function, 2)
    assert_serves(compiled, function, 2)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_the_table_has_every_mode_of_a_recording():
    before, changed = _modes(), set()
    for context, _ in MODES.values():
        with context():
            changed |= {k for k, (old, new) in enumerate(zip(before, _modes())) if old != new}
    assert changed == set(range(len(before)))


# Values and objects. By name: what makes a function, and what changes something that it depends on.

CHANGES = {}


def change(make):
    CHANGES[make.__name__.replace("_", " ")] = make
    return make


def an_item(name, container, read, write):
    def make():
        own = copy.deepcopy(container)
        return lambda x: x * read(own), lambda: write(own)

    CHANGES[name] = make


@change
def a_positional_default():
    def function(x, factor=2.0):
        return x * factor

    return function, lambda: setattr(function, "__defaults__", (3.0,))


@change
def a_tensor_as_default():
    def function(x, factor=WEIGHT):
        return x * factor

    return function, lambda: setattr(function, "__defaults__", (WEIGHT.detach() * 3,))


@change
def an_item_of_a_default():
    def function(x, factors=(2.0, [3.0])):
        return x * factors[1][0]

    return function, lambda: function.__defaults__[0][1].append(function.__defaults__[0][1].pop() + 1)


@change
def a_keyword_default_of_a_function_that_is_called():
    def scaled(x, *, factor=2.0):
        return x * factor

    return lambda x: scaled(x), lambda: scaled.__kwdefaults__.update(factor=3.0)


@change
def the_code_of_a_function_that_is_called():
    def scaled(x):
        return x * 2

    return lambda x: scaled(x), lambda: setattr(scaled, "__code__", (lambda x: x * 3).__code__)


@change
def an_attribute_of_a_function():
    def scaled(x):
        return x * scaled.rate

    scaled.rate = 2.0
    return lambda x: scaled(x), lambda: setattr(scaled, "rate", 3.0)


@change
def a_keyword_of_a_partial():
    scaled = functools.partial(lambda x, factor: x * factor, factor=2.0)
    return lambda x: scaled(x), lambda: scaled.keywords.update(factor=3.0)


@change
def what_a_cached_function_reads():
    rates = [2.0]
    rate = functools.lru_cache(lambda: rates[-1])
    return lambda x: x * rate(), lambda: (rates.append(3.0), rate.cache_clear())


an_item("an item of a list", [2.0], lambda c: c[0], lambda c: c.__setitem__(0, 3.0))
an_item("the length of a list", [2.0], sum, lambda c: c.append(3.0))
an_item("an item of a dict", {"rate": 2.0}, lambda c: c["rate"], lambda c: c.update(rate=3.0))
an_item("a member of a set", {2.0}, sum, lambda c: c.add(3.0))
an_item("an item of a deque", collections.deque([2.0, 1.0], 2), lambda c: c[0], lambda c: c.append(3.0))
an_item("a list in a tuple", ([2.0],), lambda c: c[0][0], lambda c: c[0].__setitem__(0, 3.0))
an_item("a dict in lists", [[{"rate": 2.0}]], lambda c: c[0][0]["rate"], lambda c: c[0][0].update(rate=3.0))
an_item("an item of a slice's end", slice([2.0]), lambda c: c.stop[0], lambda c: c.stop.__setitem__(0, 3.0))
an_item("a byte", bytearray([2]), lambda c: c[0], lambda c: c.__setitem__(0, 3))
an_item("a zero's sign", [0.0], lambda c: 1 / float("inf") if str(c[0]) == "0.0" else 5, lambda c: c.append(-c.pop()))
an_item("a number's type", [1], lambda c: len(str(c[0])), lambda c: c.append(float(c.pop())))


@change
def what_a_read_only_view_shows():
    rates = {"rate": 2.0}
    view = types.MappingProxyType(rates)
    return lambda x: x * view["rate"], lambda: rates.update(rate=3.0)


@change
def the_values_of_a_dict():
    rates = {"rate": 2.0}
    values = rates.values()
    return lambda x: x * sum(values), lambda: rates.update(rate=3.0)


@change
def the_container_of_a_bound_method():
    get = {"rate": 2.0}.get
    return lambda x: x * get("rate"), lambda: get.__self__.update(rate=3.0)


class Rates(list):
    pass


@change
def an_attribute_of_a_container():
    rates = Rates([1.0])
    rates.rate = 2.0
    return lambda x: x * rates.rate, lambda: setattr(rates, "rate", 3.0)


# Names: globals and modules get theirs from a scope of their own.


def scope_of(code, **names):
    exec(code, names)
    return names


@change
def a_global():
    scope = scope_of("def function(x):\n    return x * rate", rate=2.0)
    return scope["function"], lambda: scope.update(rate=3.0)


@change
def a_global_that_hides_a_builtin():
    scope = scope_of("def function(x):\n    return x * max(2, 3)")
    return scope["function"], lambda: scope.update(max=lambda a, b: a + b)


@change
def a_global_that_is_there_at_last():
    code = "def function(x):\n    try:\n        return x * rate\n    except NameError:\n        return x"
    scope = scope_of(code)
    return scope["function"], lambda: scope.update(rate=3.0)


@change
def a_cell_of_a_closure():
    rate = 2.0

    def function(x):
        return x * rate

    def change():
        nonlocal rate
        rate = 3.0

    return function, change


@change
def a_function_in_a_closure():
    scaled = [lambda x: x * 2]
    return lambda x: scaled[0](x), lambda: scaled.insert(0, lambda x: x * 3)


# A module of the program's own.
SETTINGS = types.ModuleType("settings_of_a_program")
exec("rate = 2.0\n\ndef scaled(x, factor=2.0):\n    return x * factor", vars(SETTINGS))
sys.modules[SETTINGS.__name__] = SETTINGS


def another_rate():
    SETTINGS.rate += 1.0


@change
def an_attribute_of_a_module():
    return lambda x: x * SETTINGS.rate, another_rate


@change
def an_attribute_that_a_module_did_not_have():
    return lambda x: x * getattr(SETTINGS, "fresh", 2.0), lambda: setattr(SETTINGS, "fresh", 3.0)


@change
def a_default_of_a_modules_function():
    return lambda x: SETTINGS.scaled(x), lambda: setattr(SETTINGS.scaled, "__defaults__", (3.0,))


@change
def an_attribute_of_a_module_that_the_function_imports():
    def function(x):
        import settings_of_a_program

        return x * settings_of_a_program.rate

    return function, another_rate


@change
def a_name_that_the_function_imports():
    def function(x):
        from settings_of_a_program import rate

        return x * rate

    return function, another_rate


# Objects and classes


class Config:
    rate = 2.0

    def __init__(self):
        self.own = 2.0

    def scaled(self, x):
        return x * self.own

    @property
    def doubled(self):
        return self.own * 2

    def __call__(self, x):
        return x * self.own


class Slots:
    __slots__ = ("rate",)


class MoreSlots(Slots):
    __slots__ = ("more",)


@dataclasses.dataclass
class Record:
    own: float = 2.0


def an_attribute(name, make, read, key="own"):
    def make_change():
        thing = make()
        return lambda x: read(thing, x), lambda: setattr(thing, key, 3.0)

    CHANGES[name] = make_change


an_attribute("an attribute", Config, lambda thing, x: x * thing.own)
an_attribute("what a method reads", Config, lambda thing, x: thing.scaled(x))
an_attribute("what a property reads", Config, lambda thing, x: x * thing.doubled)
an_attribute("what a call reads", Config, lambda thing, x: thing(x))
an_attribute("an attribute that hides the class's", Config, lambda thing, x: x * thing.rate, "rate")
an_attribute("an attribute that was not there", Config, lambda thing, x: x * getattr(thing, "more", 2.0), "more")
an_attribute("an attribute of computed name", Config, lambda thing, x: x * getattr(thing, "o" + "wn"[x.dim() - 1 :]))
an_attribute("a field of a dataclass", Record, lambda thing, x: x * thing.own)
an_attribute("a name of a namespace", lambda: types.SimpleNamespace(own=2.0), lambda thing, x: x * thing.own)
an_attribute("a slot that was empty", Slots, lambda thing, x: x * getattr(thing, "rate", 2.0), "rate")
an_attribute("an inherited slot", MoreSlots, lambda thing, x: x * getattr(thing, "rate", 2.0), "rate")
an_attribute("an attribute of a tensor", lambda: own_attribute(ones(2)), lambda thing, x: x * thing.own)
an_attribute("a distribution's parameter", lambda: spread(), lambda thing, x: thing.log_prob(x), "loc")


def own_attribute(tensor):
    tensor.own = 2.0
    return tensor


def spread():
    return corten.distributions.Normal(0.0, 1.0, validate_args=False)


@change
def a_slot():
    slots = Slots()
    slots.rate = 2.0
    return lambda x: x * slots.rate, lambda: setattr(slots, "rate", 3.0)


@change
def the_attributes_that_a_list_names():
    config, names = Config(), ["own"]
    return lambda x: sum(x * getattr(config, name) for name in names), lambda: setattr(config, "own", 3.0)


@change
def a_cache_of_the_librarys():
    cache = KVCache(1)
    return lambda x: x * (1 + cache.length), lambda: cache.update(0, ones(1, 1, 3, 2), ones(1, 1, 3, 2))


@change
def a_class_attribute():
    class Local(Config):
        pass

    return lambda x: x * Local.rate, lambda: setattr(Local, "rate", 3.0)


@change
def a_method_that_comes_to_be_overridden():
    class Local(Config):
        pass

    config = Local()
    return lambda x: config.scaled(x), lambda: setattr(Local, "scaled", lambda self, x: x * 3)


@change
def a_static_method():
    class Local:
        @staticmethod
        def rate():
            return 2.0

    return lambda x: x * Local.rate(), lambda: setattr(Local, "rate", staticmethod(lambda: 3.0))


@change
def an_attribute_of_a_metaclass():
    class Meta(type):
        rate = 2.0

    class Local(metaclass=Meta):
        pass

    return lambda x: x * Local.rate, lambda: setattr(Meta, "rate", 3.0)


@change
def the_class_of_an_object():
    class Tripled(Config):
        rate = 3.0

    config = Config()
    return lambda x: x * config.rate, lambda: setattr(config, "__class__", Tripled)


@change
def the_bases_of_a_class():
    class Doubled:
        def scaled(self, x):
            return x * 2

    class Tripled:
        def scaled(self, x):
            return x * 3

    class Local(Doubled):
        pass

    local = Local()
    return lambda x: local.scaled(x), lambda: setattr(Local, "__bases__", (Tripled,))


@change
def the_value_of_a_member_of_an_enumeration():
    class Rates(enum.Enum):
        ONE = [2.0]

    return lambda x: x * Rates.ONE.value[0], lambda: Rates.ONE.value.insert(0, 3.0)


# Tensors, parameters and modules


def a_tensor(name, change):
    def make():
        weight = nn.Parameter(ones(2, 2))
        return lambda x: weight.sum() * x, lambda: change(weight)

    CHANGES[name] = make


a_tensor("a parameter's shape", lambda weight: setattr(weight, "data", ones(3)))
a_tensor("a parameter's dtype", lambda weight: setattr(weight, "data", ones(2, 2).half()))
a_tensor("a parameter's strides", lambda weight: setattr(weight, "data", ones(2, 4)[:, ::2]))
a_tensor("a parameter's requires_grad", lambda weight: weight.requires_grad_(False))


@change
def which_parameter_it_is():
    weights = [nn.Parameter(ones(2))]
    return lambda x: x * weights[0], lambda: weights.insert(0, nn.Parameter(ones(2) * 3))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.drop, self.rates = nn.Linear(2, 2), nn.Dropout(1.0), [2.0]
        self.register_buffer("shift", ones(2))

    def forward(self, x):
        return self.drop(self.inner(x)) * self.rates[0] + self.shift


def a_module(name, change):
    def make():
        layer = Layer()
        return lambda x: layer(x), lambda: change(layer)

    CHANGES[name] = make


a_module("the training flag", lambda layer: layer.eval())
a_module("the training flag of a child", lambda layer: layer.drop.eval())
a_module("a list that a module has", lambda layer: layer.rates.insert(0, 3.0))
a_module("a buffer", lambda layer: setattr(layer, "shift", ones(2) * 3))
a_module("a child", lambda layer: setattr(layer, "drop", nn.Identity()))
a_module("an option of a child", lambda layer: setattr(layer.drop, "p", 0.0))
a_module("a parameter that is taken away", lambda layer: setattr(layer.inner, "bias", None))
a_module("the forward of an object", lambda layer: setattr(layer, "forward", lambda x: x * 3))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_recorded_anew_and_no_change_is_not(name):
    function, change = CHANGES[name]()
    compiled = corten.compile(function)
    assert_serves(compiled, function, 1)
    change()
    assert_serves(compiled, function, 2)


# Optimizers


def trained(compiled, change):
    """The parameters after steps before and after a change, and the compiled step."""
    weights = [ones(2, requires_grad=True), ones(2, requires_grad=True)]
    optimizer = corten.optim.SGD(weights[:1], lr=0.1, momentum=0.5)

    def step(x):
        for weight in weights:
            weight.grad = None
        (weights[0] * weights[1] * x).square().sum().backward()
        optimizer.step()

    run = corten.compile(step) if compiled else step
    for k in range(6):
        if k == 3:
            change(optimizer, weights)
        run(ones(2))
    return [weight.tolist() for weight in weights], run


def option_of(key, value):
    return lambda optimizer, weights: optimizer.param_groups[0].update({key: value})


OPTIONS = {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.1, "dampening": 0.3, "maximize": True}


@pytest.mark.parametrize("key", OPTIONS)
def test_options_of_an_optimizer_are_read_at_every_call(key):
    (expected, _), (found, step) = (trained(compiled, option_of(key, OPTIONS[key])) for compiled in (False, True))
    assert found == expected
    assert statistics(step).recordings == 1 and statistics(step).replays >= 4


def test_more_parameters_of_an_optimizer_are_recorded_anew():
    def add(optimizer, weights):
        optimizer.add_param_group({"params": weights[1:], "lr": 0.3})

    (expected, _), (found, step) = (trained(compiled, add) for compiled in (False, True))
    assert found == expected
    assert statistics(step).recordings == 2 and statistics(step).replays >= 2


# What a function makes for itself


def test_an_attribute_that_the_first_call_makes_is_recorded_with_the_second():
    config = Config()

    def function(x):
        if not hasattr(config, "made"):
            config.made = 4.0
        return x * config.made

    compiled = corten.compile(function)
    for _ in range(4):
        assert compiled(ones(2)).tolist() == [4.0, 4.0]
    assert (statistics(compiled).eager, statistics(compiled).recordings, statistics(compiled).replays) == (1, 1, 2)


def test_a_module_that_the_first_call_imports_is_guarded(tmp_path, monkeypatch):
    (tmp_path / "rates_of_a_program.py").write_text("rate = 2.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "rates_of_a_program", None)
    monkeypatch.delitem(sys.modules, "rates_of_a_program")

    def function(x):
        import rates_of_a_program

        return x * rates_of_a_program.rate

    compiled = corten.compile(function)
    for _ in range(3):
        assert compiled(ones(1)).item() == 2.0
    monkeypatch.setattr("rates_of_a_program.rate", 3.0)
    assert compiled(ones(1)).item() == 3.0
    assert statistics(compiled).recordings == 2
