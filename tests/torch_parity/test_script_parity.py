"""Typed lists and dicts, types of classes, and counters, beside PyTorch's scripts."""

import copy
import enum
import pickle

import corten
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch.jit._logging")

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore")]
LIBRARIES = (corten, torch)


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Counter:
    def __init__(self, start: int):
        self.value = start

    def add(self, by: int) -> int:
        return self.value + by


class Adder:
    def add(self, by: int) -> int:
        pass


class Subtractor:
    def sub(self, by: int) -> int:
        pass


class TextAdder:
    def add(self, by: str) -> int:
        pass


def outcome(call, library):
    """What a call gives, or the class of its error."""
    try:
        return call(library)
    except Exception as error:
        return type(error).__name__


def script(library, value):
    return library.jit.script(value)


def after(change, value):
    """A container's elements after a change, and what the change returned."""

    def call(library):
        made = script(library, copy.deepcopy(value))
        returned = change(made)
        return (list(made.items()) if isinstance(value, dict) else list(made)), returned, repr(made), len(made)

    return call


CALLS = {
    "append": after(lambda s: s.append(4), [1, 2, 3]),
    "append another type": after(lambda s: s.append("a"), [1, 2, 3]),
    "append an int to floats": after(lambda s: s.append(1), [1.5]),
    "append a float to ints": after(lambda s: s.append(1.5), [1]),
    "append an int to bools": after(lambda s: s.append(1), [True, False]),
    "optional": after(lambda s: s.append(None), [1, None]),
    "extend": after(lambda s: s.extend([8]), [1, 2]),
    "extend with another type": after(lambda s: s.extend(["a"]), [1, 2]),
    "insert": after(lambda s: s.insert(0, 9), [1, 2]),
    "pop": after(lambda s: s.pop(), [1, 2]),
    "pop in front": after(lambda s: s.pop(0), [1, 2]),
    "pop of nothing": after(lambda s: s.pop(), []),
    "remove": after(lambda s: s.remove(2), [1, 2, 2]),
    "remove what is not there": after(lambda s: s.remove(7), [1, 2]),
    "count": after(lambda s: s.count(2), [1, 2, 2]),
    "clear": after(lambda s: s.clear(), [1, 2]),
    "get": after(lambda s: (s[0], s[-1]), [1, 2, 3]),
    "get a slice": after(lambda s: (list(s[1:]), type(s[1:]).__name__), [1, 2, 3]),
    "get too far": after(lambda s: s[7], [1, 2]),
    "get by a text": after(lambda s: s["a"], [1, 2]),
    "set": after(lambda s: s.__setitem__(0, 5), [1, 2]),
    "set another type": after(lambda s: s.__setitem__(0, "x"), [1, 2]),
    "set a slice": after(lambda s: s.__setitem__(slice(0, 2), [5, 6]), [1, 2, 3]),
    "set a longer slice": after(lambda s: s.__setitem__(slice(0, 2), [5, 6, 7]), [1, 2, 3]),
    "delete": after(lambda s: s.__delitem__(0), [1, 2]),
    "delete too far": after(lambda s: s.__delitem__(9), [1, 2]),
    "contains": after(lambda s: (1 in s, 7 in s, bool(s), s == [1, 2]), [1, 2]),
    "nested": after(lambda s: s[0], [[1], [2]]),
    "texts": after(lambda s: s.append("c"), ["a", "b"]),
    "iterator": after(lambda s: (type(iter(s)).__name__, next(iter(s))), [1, 2]),
    "dict set": after(lambda s: s.__setitem__("b", 2), {"a": 1}),
    "dict set another value": after(lambda s: s.__setitem__("b", "c"), {"a": 1}),
    "dict set another key": after(lambda s: s.__setitem__(1, 1), {"a": 1}),
    "dict get": after(lambda s: s["a"], {"a": 1}),
    "dict get what is not there": after(lambda s: s["z"], {"a": 1}),
    "dict delete": after(lambda s: s.__delitem__("a"), {"a": 1, "b": 2}),
    "dict delete what is not there": after(lambda s: s.__delitem__("z"), {"a": 1}),
    "dict contains": after(lambda s: ("a" in s, "z" in s, bool(s)), {"a": 1}),
    "dict iterators": after(
        lambda s: (type(iter(s)).__name__, type(s.keys()).__name__, type(s.items()).__name__, list(s)), {"a": 1}
    ),
    "dict of floats": after(lambda s: s.__setitem__(2, 3), {1.5: 2}),
    "list of two types": lambda lib: script(lib, [1, "a"]),
    "list of numbers": lambda lib: script(lib, [1, 2.5]),
    "dict of tuples": lambda lib: script(lib, {(1,): 2}),
    "list of a tuple": lambda lib: (torch._C if lib is torch else lib).ScriptList((1,)),
    "copy": lambda lib: list(copy.copy(script(lib, [1, 2]))),
    "pickle": lambda lib: list(pickle.loads(pickle.dumps(script(lib, [1, 2])))),
    "hash": lambda lib: isinstance(hash(script(lib, [1])), int),
    "identity": lambda lib: script(lib, [1]) == script(lib, [1]),
}


@pytest.mark.parametrize("name", CALLS)
def test_typed_containers_do_what_pytorchs_do(name):
    ours, theirs = (outcome(CALLS[name], library) for library in LIBRARIES)
    assert ours == (theirs if theirs != "Error" else "JITException")


def test_a_container_holds_its_elements_by_value():
    for library in LIBRARIES:
        items = [1, 2]
        made = library.jit.script(items)
        made.append(3)
        assert items == [1, 2]
    # PyTorch raises KeyError.
    assert 1 not in corten.jit.script({"a": 1})
    for library in LIBRARIES:
        assert list(library.jit.script([library.ones(1)])[0]) == [1.0]


VALUES = [
    [1, 2],
    [1, "a"],
    (1, "a", None),
    [],
    {},
    {"a": 1, "b": "c"},
    [1, None],
    1j,
    [[1.5], [2.5]],
    {"a": [1]},
    object(),
    True,
    "text",
    None,
    [True, 1],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_types_of_values_are_inferred_as_pytorch_infers_them(value):
    ours, theirs = corten._C._jit_try_infer_type(value), torch._C._jit_try_infer_type(value)
    assert ours.success() == theirs.success()
    if ours.success():
        assert repr(ours.type()) == repr(theirs.type())
        with pytest.raises(RuntimeError):
            ours.reason()
    else:
        assert ours.reason() == theirs.reason()
        with pytest.raises(RuntimeError, match="the type is null"):
            ours.type()


def test_types_of_tensors_devices_and_members_are_inferred():
    for library in LIBRARIES:
        infer = library._C._jit_try_infer_type
        for value in (library.ones(2), library.float32, library.device("cpu"), {"a": library.ones(1)}):
            assert infer(value).success()
        assert repr(infer({"a": library.ones(1)}).type()) == "Dict[str, Tensor]"
        assert infer(Colour.RED).type().kind() == "EnumType"
        assert repr(infer(Colour.RED).type()).endswith("Colour")


def test_types_of_classes_and_interfaces_are_pytorchs():
    found = []
    for library in LIBRARIES:
        c = library._C
        library.jit.script(Counter)
        names = [f"__torch__.{Counter.__module__}.{cls}" for cls in ("Counter", "Adder", "Subtractor", "TextAdder")]
        for cls in (Adder, Subtractor, TextAdder):
            library.jit.interface(cls)
        counter = c.ClassType(names[0])
        adder, subtractor, text_adder = map(c.InterfaceType, names[1:])
        schema = adder.getMethod("add")
        found.append(
            [
                [counter.name(), counter.qualified_name(), counter.method_names(), counter.str(), repr(counter)],
                [adder.getMethodNames(), adder.getMethod("absent"), adder.str(), repr(adder), adder.kind()],
                [adder.is_interface_type(), counter.is_interface_type(), counter.kind()],
                [counter.isSubtypeOf(other) for other in (counter, adder, subtractor, text_adder)],
                [adder.isSubtypeOf(other) for other in (counter, adder, subtractor, text_adder)],
                [(a.name, a.type.str()) for a in schema.arguments] + [str(schema)],
                repr(c._jit_try_infer_type(Counter(3)).type()),
            ]
        )
        for kind in (c.ClassType, c.InterfaceType):
            with pytest.raises(TypeError):
                kind("__torch__.Absent")
    assert found[0] == found[1]


def test_counters_are_kept_as_pytorch_keeps_them():
    found = []
    for library in LIBRARIES:
        logging, c = library.jit._logging, library._C
        logger = c.LockingLogger()
        previous = logging.set_logger(logger)
        seen = [type(previous).__name__, isinstance(logger, c.LoggerBase)]
        for value in (3, 4):
            logging.add_stat_value("steps", value)
        seen.append(logger.get_counter_val("steps"))
        logger.set_aggregation_type("steps", c.AggregationType.AVG)
        seen += [logger.get_counter_val("steps"), logger.get_counter_val("absent")]
        assert logging.set_logger(previous) is logger
        logging.add_stat_value("steps", 100)
        seen.append(logger.get_counter_val("steps"))
        with pytest.raises(TypeError):
            logging.set_logger(3)
        with pytest.raises(TypeError):
            logger.set_aggregation_type("steps", 3)
        with pytest.raises(RuntimeError, match="type 'int'"):
            logging.add_stat_value("steps", 1.5)
        assert logging.time_point() <= logging.time_point()
        found.append(seen)
    assert found[0] == found[1] == ["NoopLogger", True, 7, 3, 0, 3]
