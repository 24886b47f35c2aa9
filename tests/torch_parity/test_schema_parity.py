"""Schemas of operators and their types beside PyTorch's: every schema that it has registered, every pair of types."""

import enum
import itertools
import re

import corten
import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.cpu


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


def described(schema):
    """All that a schema says of itself."""
    alias = lambda a: a.alias_info and (a.alias_info.before_set, a.alias_info.after_set, a.alias_info.is_write)  # noqa: E731
    parts = [
        (
            a.name,
            repr(a.type),
            a.type.str(),
            a.type.annotation_str,
            repr(a.real_type),
            a.real_type.kind(),
            a.N,
            repr(a.default_value),
            a.has_default_value(),
            a.kwarg_only,
            a.is_write,
            a.is_out,
            alias(a),
        )
        for a in (*schema.arguments, *schema.returns)
    ]
    return schema.name, schema.overload_name, schema.is_mutable, schema._is_view_op(), parts


def test_every_registered_schema_is_read_and_printed_as_pytorch_does():
    texts = sorted({str(s) for s in torch._C._jit_get_all_schemas()})
    # Those of TorchScript's classes, and those that PyTorch registers with types which it does not read itself.
    texts = [text for text in texts if "__torch__" not in text and "PyObject " not in text]
    assert len(texts) > 3000
    for text in texts:
        expected, found = torch._C.parse_schema(text), corten.parse_schema(text)
        assert described(found) == described(expected), text
        # Of several sets of memory PyTorch prints whichever comes first in its hash table.
        assert "|" in text or str(found) == str(expected), text
        assert found == corten.parse_schema(str(found)) and hash(found) == hash(corten.parse_schema(text))


SPELLINGS = """
foo() -> None|foo(Tensor x) -> (Tensor)|foo.a(Tensor(a!) x, *, int? y=None, float z=2) -> Tensor(a!)
foo(Tensor(*) z) -> Tensor(a -> *)|foo(Tensor(a! -> a) x) -> Tensor|foo(Tensor[](a) x) -> Tensor
foo(Tensor(a!)[](b!) x) -> ()|foo(Tensor(a)?[] x, Tensor?[] y, Tensor[]? z, Tensor(b!)? w) -> Tensor(a)
foo(int[2] x, int[2]? y=None, int[1] z=0, bool[3] m=[True,False], int[2] q=[1, 2]) -> (Tensor a, Tensor b)
foo(Scalar x=1, Scalar y=1.0, Scalar z=True, str t='a"b', str? u=None, bool c=False) -> str
foo(str s="a\\nb\\\\") -> str|foo(str x="it's") -> ()|foo(str x=3) -> ()|foo(int x="a") -> Tensor
foo(ScalarType d=float, ScalarType? e=None, Layout l=strided, MemoryFormat f=contiguous_format) -> Device
foo(Device x="cuda:1", Device? y="cpu", int r=Mean) -> ()|foo(complex c=1j, complex d=-2.5j, Scalar e=1e5j) -> ()
foo(Dict(str, Tensor) x, Dict(int, int[]) y, (int, Tensor) t, (int, Tensor)[] u) -> ()
foo(Future(int) f, RRef(Tensor) r, Await(int) w, Any a, t v, t[] v2, AnyClassType c, AnyEnumType e) -> ()
foo(Future(int[])[] f, RRef(int?)? r, Dict(int, Future(Scalar)) d, (Future(int), int) t) -> ()
foo(...) -> ...|foo(Tensor x, ...) -> (Tensor, ...)|foo(Tensor x, *, *, int y) -> Tensor|foo(Tensor x, *) -> Tensor
foo(SymInt x, SymInt[] y, SymBool s, SymInt? z, SymInt[2]? w=None, SymInt[1] v=0, SymInt[2] u=1) -> SymInt
foo(Generator? g, Storage s, Stream t, QScheme q, NoneType e, Device[] dd, Capsule c) -> ()
foo(int[][] x, int[]?[] y, int?[] z, ScalarType?[] w) -> Tensor[]|foo(Tensor?? x) -> Tensor?
foo(Tensor x) -> (Tensor(a!) y, int)|foo(Tensor x) -> ((Tensor, Tensor))|foo(Tensor x) -> Tensor y # why
foo(int x=- 1, int[] y=[-1,-1], int[] z=[], float[2] w=1, int[] v=[float]) -> ()|foo(int x=1., int y=1e3) -> ()
foo(Union(int, str, NoneType) x, Union(int,str)? y, Union(int, NoneType) z) -> Union(int, str)
foo(float a=1e20, float b=.5, float c=0.1, float d=-1e-8, float e=1e16, float f=1234567.25, float g=1E5) -> ()
foo(Tensor self, int print, int lambda, Tensor int) -> ()|_foo(Tensor _x,int[]  y) -> Tensor|foo(Tensor! x) -> ()
foo(Dict(str, Tensor)(a!) x, (Tensor(b), int) y) -> Tensor(a)
"""


@pytest.mark.parametrize("text", [part for line in SPELLINGS.strip().splitlines() for part in line.split("|")])
def test_what_schemas_may_say_is_read_as_pytorch_reads_it(text):
    expected, found = torch._C.parse_schema(text), corten.parse_schema(text)
    assert described(found) == described(expected)
    assert str(found) == str(expected)


MISTAKES = """
foo(Tensor) -> Tensor|foo(Tensor x,) -> Tensor|foo(Foo x) -> Tensor|foo(Tensor x) Tensor|foo(Tensor x -> Tensor
foo(Tensor x) -> Tensor trailing more|foo(int x=) -> Tensor|foo(Tensor x=3) -> Tensor|foo(int[] x=[1,2.5]) -> Tensor
foo(int[] x=5) -> Tensor|foo(int[] x=None) -> Tensor|foo(Tensor(a x) -> Tensor|foo(int?[] z=[None]) -> ()|foo|foo(
a.b.c(Tensor x) -> Tensor|a::b::c(Tensor x) -> Tensor|::c(Tensor x) -> ()|foo.default(Tensor x) -> ()|foo.0() -> ()
1foo(Tensor x) -> Tensor|foo-bar(Tensor x) -> Tensor|foo(int x=1, int y) -> Tensor|foo(Union[int, str] x) -> ()
foo(str[] x=["a"]) -> ()|foo(Device d=cpu) -> ()|foo(Device x="zzz") -> ()|foo(Tensor in) -> ()|foo(T x) -> T
foo(float x=inf) -> ()|foo(int x=9223372036854775808) -> ()|foo(float x=1e400) -> ()|foo(..., Tensor x) -> ()
foo(Tensor$ x) -> ()|foo(Tensor x) @ -> ()|foo(Tensor 'x') -> ()|foo(int[] x=[1,,2]) -> ()|foo(int[a] x) -> ()
foo(int[-1] x) -> ()|foo(int[2][] x) -> ()|foo(Union(int) x) -> ()|foo(Tensor(a, b) x) -> ()|foo(bool[] x=[1]) -> ()
foo(Tensor x) -> (Tensor,)|foo(Tensor x) -> Tensor, Tensor|foo(Future x) -> ()|foo(bool x=true) -> ()|foo(Any x=3) -> ()
foo(__torch__.Foo x) -> ()|foo(Dict(int[], int) x) -> ()|foo(int x=--1) -> ()|foo(Tensor(->a) x) -> ()
"""


@pytest.mark.parametrize("text", [part for line in MISTAKES.strip().splitlines() for part in line.split("|")])
def test_what_is_no_schema_raises_pytorchs_class_and_points_at_the_place(text):
    with pytest.raises(Exception) as expected:
        torch._C.parse_schema(text)
    with pytest.raises(type(expected.value)) as found:
        corten.parse_schema(text)
    said, theirs = str(found.value).splitlines(), str(expected.value).splitlines()
    if theirs[0].startswith("expected"):
        assert said == [line for line in theirs if line]


SINGLE = "Any Bool Int Float Complex Number String None Tensor DeviceObj StreamObj PyObject SymInt SymBool"
FACTS = "sizes strides dim scalarType requires_grad undefined varyingSizes dtype device"


def types_of(package):
    """By a name: types of every kind, and tensors' types with facts."""
    c = package._C if package is torch else package
    made = {name: getattr(c, "NoneType" if name == "None" else f"{name}Type").get() for name in SINGLE.split()}
    i, t, s, f = made["Int"], made["Tensor"], made["String"], made["Float"]
    optional, listed = c.OptionalType(i), c.ListType(i)
    matrix = c.TensorType.create_from_tensor(package.zeros(2, 3))
    made |= {
        "list": listed,
        "list of lists": c.ListType(listed),
        "list of optionals": c.ListType(c.OptionalType(t)),
        "optional list": c.OptionalType(listed),
        "dict": c.DictType(s, t),
        "dict of optionals": c.DictType(i, optional),
        "tuple": c.TupleType([i, t]),
        "tuple of optionals": c.TupleType([optional, t]),
        "no tuple": c.TupleType([]),
        "optional": optional,
        "optional optional": c.OptionalType(c.OptionalType(i)),
        "optional any": c.OptionalType(made["Any"]),
        "optional number": c.OptionalType(made["Number"]),
        "union": c.UnionType([s, i]),
        "union with none": c.UnionType([i, s, made["None"]]),
        "int or none": c.UnionType([i, made["None"]]),
        "numbers": c.UnionType([i, f, made["Complex"]]),
        "number or text": c.UnionType([made["Number"], s]),
        "nested union": c.UnionType([c.OptionalType(i), c.UnionType([s, f])]),
        "lists": c.UnionType([listed, c.ListType(f)]),
        "future": c.FutureType(i),
        "future of optional": c.FutureType(optional),
        "await": c.AwaitType(i),
        "await of optional": c.AwaitType(optional),
        "reference": c.RRefType(i),
        "reference of optional": c.RRefType(optional),
        "enum": c.EnumType("tests.Colour", i, list(Colour)),
        "matrix": matrix,
        "turned": c.TensorType.create_from_tensor(package.zeros(3, 2).t()),
        "sized": t.with_sizes([2, 3]),
        "half sized": t.with_sizes([2, None]),
        "float32": t.with_dtype(package.float32),
        "on the cpu": t.with_device(package.device("cpu")),
        "matrices": c.ListType(matrix),
        "floats": c.ListType.ofFloats(),
        "tensors": c.ListType.ofTensors(),
        "texts": c.ListType.ofStrings(),
        "bools": c.ListType.ofBools(),
        "complex numbers": c.ListType.ofComplexDoubles(),
        "optional tensor": c.OptionalType.ofTensor(),
    }
    return made


THEIRS, OURS = types_of(torch), types_of(corten)


@pytest.mark.parametrize("name", OURS)
def test_types_say_of_themselves_what_pytorchs_do(name):
    ours, theirs = OURS[name], THEIRS[name]
    for said in (repr, lambda t: t.kind(), lambda t: t.str(), lambda t: t.annotation_str):
        assert said(ours) == said(theirs).replace("[, ", "[").replace("(, ", "(")
    assert repr(ours.containedTypes()) == repr(theirs.containedTypes())
    assert ours.is_interface_type() is theirs.is_interface_type()
    for method in ("getElementType", "getKeyType", "getValueType", "elements"):
        assert not hasattr(theirs, method) or repr(getattr(ours, method)()) == repr(getattr(theirs, method)())
    if ours.kind() == "TensorType":
        for fact in FACTS.split():
            expected, found = getattr(theirs, fact)(), getattr(ours, fact)()
            assert found == expected or str(found).rpartition(".")[2] == str(expected).rpartition(".")[2]
    else:
        with pytest.raises(RuntimeError):
            theirs.sizes()
        with pytest.raises(RuntimeError, match=r"only tensors' types have it"):
            ours.sizes()


def test_every_pair_of_types_compares_as_pytorchs_pair():
    for a, b in itertools.product(OURS, OURS):
        assert OURS[a].isSubtypeOf(OURS[b]) == THEIRS[a].isSubtypeOf(THEIRS[b]), (a, b)
        assert (OURS[a] == OURS[b]) == (THEIRS[a] == THEIRS[b]), (a, b)
        if OURS[a] == OURS[b]:
            assert hash(OURS[a]) == hash(OURS[b])


def outcome(function, *args):
    """What a function makes of types; of unions the words, since PyTorch sorts members of one kind in no fixed way."""
    try:
        shown = repr(function(*args))
        return sorted(re.findall(r"\w+", shown.replace("number", " number"))) if "Union" in shown else shown
    except RuntimeError:
        return "refused"


def test_every_pair_of_types_unifies_and_unites_as_pytorchs_pair():
    for a, b in itertools.product(OURS, OURS):
        ours, theirs = [OURS[a], OURS[b]], [THEIRS[a], THEIRS[b]]
        assert outcome(corten.unify_type_list, ours) == outcome(torch._C.unify_type_list, theirs), (a, b)
        assert outcome(corten.UnionType, ours) == outcome(torch._C.UnionType, theirs), (a, b)
        assert outcome(corten.DictType, *ours) == outcome(torch._C.DictType, *theirs), (a, b)
    assert outcome(corten.unify_type_list, []) == outcome(torch._C.unify_type_list, []) == "refused"


COMPATIBLE = [
    "foo(Tensor x, int y=1, *, float z=2.) -> Tensor",
    "foo(Tensor x, int y=1, int w=2, *, float z=2.) -> Tensor",
    "foo(Tensor x, int y=2, *, float z=2.) -> Tensor",
    "foo(Tensor x, int y, *, float z=2.) -> Tensor",
    "foo(Tensor x, int? y=1, *, float z=2.) -> Tensor",
    "foo(Tensor? x, int y=1, *, float z=2.) -> Tensor",
    "bar(Tensor x, int y=1, *, float z=2.) -> Tensor",
    "foo.o(Tensor x, int y=1, *, float z=2.) -> Tensor",
    "foo(Tensor x, int y=1, float z=2.) -> Tensor",
    "foo(Tensor x, *, int y=1, float z=2.) -> Tensor",
    "foo(Tensor x, int y=1, *, float z=2., int q=3) -> Tensor",
    "foo(Tensor x, int y=1, *, float z=2., int q) -> Tensor",
    "foo(Tensor x, int y=1, *, float z=2., int[] q=[]) -> Tensor",
    "foo(Tensor x, int y=1, *, float z=2.) -> Tensor?",
    "foo(Tensor x, int y=1, *, float z=2.) -> (Tensor, Tensor)",
    "foo(Tensor x, int y=1) -> Tensor",
    "foo(Tensor(a) x, int y=1, *, float z=2.) -> Tensor(a)",
    "foo(Tensor(a!) x, int y=1, *, float z=2.) -> Tensor",
    "foo(Tensor w, int y=1, *, float z=2.) -> Tensor",
    "foo(Tensor x, int y=1, *, float z=2.) -> Tensor out",
    "foo(Tensor x, int y=1, *, float z=2., Tensor(a!) out) -> Tensor",
    "foo(Tensor x, *, Tensor(a!) out) -> Tensor",
    "foo(Tensor x, int[2] y) -> Tensor",
    "foo(Tensor x, int[] y) -> Tensor",
    "foo(Tensor x, SymInt y=1, *, float z=2.) -> Any",
    "foo(...) -> Tensor",
]


def test_changes_of_schemas_are_judged_as_pytorch_judges_them():
    for a, b in itertools.product(COMPATIBLE, COMPATIBLE):
        ours, theirs = [corten.parse_schema(t) for t in (a, b)], [torch._C.parse_schema(t) for t in (a, b)]
        assert (ours[0] == ours[1]) == (theirs[0] == theirs[1]), (a, b)
        for judge in ("is_backward_compatible_with", "check_forward_compatible_with"):
            found = getattr(ours[0], judge)(ours[1])
            try:
                assert found == getattr(theirs[0], judge)(theirs[1]), (judge, a, b)
            except IndexError:
                continue  # PyTorch reads past the end of the other schema's list


def test_an_argument_and_a_schema_are_made_of_their_parts():
    for package in (torch._C, corten):
        size = package.Argument("size", package.ListType.ofInts(), 3, [1, 2], True, None)
        result = package.Argument("", package.TensorType.get(), None, None, False, None)
        assert not result.has_default_value() and size.N == 3
        assert str(package.FunctionSchema("a::b", "o", [size], [result], False, False)) == (
            "a::b.o(*, int[3] size=[1, 2]) -> Tensor"
        )
        assert str(package.FunctionSchema("a", "", [], [], True, True)) == "a(...) -> ..."
        with pytest.raises(TypeError):
            package.Argument("q", int, 3, 4, True, None)
        with pytest.raises(TypeError):
            package.IntType()


def test_tags_have_pytorchs_numbers():
    assert {tag.name: int(tag) for tag in corten.Tag} == {name: int(tag) for name, tag in torch.Tag.__members__.items()}


def test_calls_that_do_not_fit_say_the_schema_as_pytorch_does():
    operators = []
    for package in (torch, corten):
        made = package.library.Library("corten_parity_schema", "FRAGMENT")
        made.define("call(Tensor x, int[2] size=1, ScalarType? d=None, *, Dict(str, Tensor)? q=None) -> Tensor")
        made.impl("call", lambda x, *args, **kwargs: x + 1, "CompositeExplicitAutograd")
        operators.append((made, package.ops.corten_parity_schema.call, package.ones(2), package.float64))
    calls = [
        lambda op, x, d: op(),
        lambda op, x, d: op("a"),
        lambda op, x, d: op(x, "ab"),
        lambda op, x, d: op(x, [1.5]),
        lambda op, x, d: op(x, [1], d, 3),
        lambda op, x, d: op(x, other=1),
        lambda op, x, d: op(x, x=x),
        lambda op, x, d: op(x, q={"a": 1}),
    ]
    for call in calls:
        said = []
        for _, op, x, dtype in operators:
            with pytest.raises(RuntimeError) as error:
                call(op, x, dtype)
            lines = [line for line in str(error.value).splitlines() if "error details" not in line]
            said.append([line for line in lines if not line.startswith("Value: ")])
        assert said[0] == said[1]
    for _, op, x, dtype in operators:
        assert op(x, 5, dtype, q={"a": x}).tolist() == [2.0, 2.0]
        assert str(op.default._schema) == (
            "corten_parity_schema::call(Tensor x, int[2] size=1, ScalarType? d=None, *, Dict(str, Tensor)? q=None) -> "
            "Tensor"
        )
