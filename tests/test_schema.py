"""Schemas of operators and their types, without PyTorch beside them; `torch_parity` compares with it."""

import copy
import enum
import pickle

import corten
import pytest

pytestmark = pytest.mark.cpu


class Colour(enum.Enum):
    RED = 1


def test_a_schema_says_all_that_its_text_says():
    schema = corten.parse_schema("my::op.out(Tensor(a!) x, int[2] size=1, *, float? by=2) -> (Tensor(a!) y, int)")
    assert str(schema) == "my::op.out(Tensor(a!) x, int[2] size=1, *, float? by=2) -> (Tensor(a!) y, int)"
    assert (schema.name, schema.overload_name, schema.is_mutable) == ("my::op", "out", True)
    x, size, by = schema.arguments
    assert x.is_write and not x.is_out and x.alias_info.before_set == {"a"}
    assert (size.N, size.default_value, size.type.getElementType()) == (2, [1, 1], corten.IntType.get())
    assert by.kwarg_only and by.has_default_value() and by.type == corten.OptionalType(corten.FloatType.get())
    assert [r.name for r in schema.returns] == ["y", ""]


def test_schemas_are_compared_hashed_copied_and_pickled():
    schema = corten.parse_schema("f(Tensor x, Dict(str, int[])? d=None) -> ()")
    for other in (copy.deepcopy(schema), pickle.loads(pickle.dumps(schema))):
        assert other == schema and hash(other) == hash(schema)
    assert schema != corten.parse_schema("f(Tensor x, Dict(str, int[])? e=None) -> ()")
    with pytest.raises(TypeError):
        schema == "f"  # noqa: B015


def test_types_are_pickled_and_hashed():
    integer, tensor = corten.IntType.get(), corten.TensorType.get()
    made = [
        integer,
        corten.ListType(integer),
        corten.OptionalType(corten.UnionType([integer, corten.StringType.get()])),
        corten.DictType(integer, corten.TupleType([tensor, integer])),
        corten.TensorType.create_from_tensor(corten.ones(2, 3)),
        corten.parse_schema("f(t x) -> t").arguments[0].type,
    ]
    for kind in made:
        assert pickle.loads(pickle.dumps(kind)) == kind
    assert len({*made, *copy.deepcopy(made)}) == len(made)
    assert corten.OptionalType(corten.UnionType([integer, corten.StringType.get()])).isSubtypeOf(
        corten.UnionType([integer, corten.StringType.get(), corten.NoneType.get()])
    )


def test_an_error_points_at_the_line_of_the_mistake():
    with pytest.raises(RuntimeError) as error:
        corten.parse_schema("f(Tensor x,\n  Foo y) -> Tensor")
    assert str(error.value).splitlines()[-2:] == ["  Foo y) -> Tensor", "  ~~~ <--- HERE"]


def test_kernels_get_values_of_the_schemas_types():
    seen = []
    made = corten.library.Library("corten_tests_schema", "FRAGMENT")
    made.define(
        "f(Tensor x, (int, Tensor) p, Tensor?[] l, Scalar[] n, Device d, Union(int, str) u, int[2] s=1, "
        "ScalarType t=float, Layout o=strided, complex c=1j, bool b=True, *, Dict(str, Tensor)? q=None) -> int[]"
    )
    made.impl("f", lambda *args, **kwargs: seen.append((args, kwargs)) or [1, 2], "CompositeExplicitAutograd")
    f, x = corten.ops.corten_tests_schema.f, corten.ones(2)
    assert f(x, [1, x], (x, None), [1, 2.5, 1j], "cpu", "a", q={"k": x}) == [1, 2]
    args, kwargs = seen.pop()
    assert args[1] == (1, x) and args[3] == [1, 2.5, 1j] and args[4] == corten.device("cpu")
    assert args[5:] == ("a", [1, 1], corten.float32, corten.strided, 1j, True)
    assert kwargs["q"]["k"] is x
    f(x, (1, x), [], [], corten.device("cpu"), 3, 5, 7, b=0)
    assert seen.pop()[0][5:] == (3, [5, 5], corten.float64, corten.strided, 1j, False)
    for wrong, said in (
        ((1, 2), "type 'Tuple\\[int, Tensor\\]' for argument 'p'"),
        ((1, x, x), "had a different number of elements than type Tuple"),
    ):
        with pytest.raises(RuntimeError, match=said):
            f(x, wrong, [], [], "cpu", 3)
    with pytest.raises(RuntimeError, match="type 'Union\\[int, str\\]' for argument 'u'"):
        f(x, (1, x), [], [], "cpu", 1.5)
    made.impl("f", lambda *args, **kwargs: [1.5], "CompositeExplicitAutograd")
    with pytest.raises(RuntimeError, match=r"Unable to cast \[1.5\] to List\[int\]"):
        f(x, (1, x), [], [], "cpu", 3)
    with pytest.raises(RuntimeError, match="is of another one"):
        made.define("other::f(Tensor x) -> Tensor")
    with pytest.raises(RuntimeError, match="unknown type specifier"):
        made.define("g(t x) -> Tensor")
    made._destroy()


def test_types_know_their_enumerations_and_tensors():
    kind = corten.EnumType("Colour", corten.IntType.get(), list(Colour))
    assert kind.str() == "Enum<Colour>" and kind == corten.EnumType("Colour", corten.IntType.get(), list(Colour))
    matrix = corten.TensorType.create_from_tensor(corten.ones(3, 2).t())
    assert matrix.contiguous().strides() == [3, 1] and matrix.strides() == [1, 2]
    half = matrix.with_sizes([2, None])
    assert half.sizes() is None and half.varyingSizes() == [2, None] and half.symbolic_sizes() == [2, -2]
    with pytest.raises(RuntimeError, match="sizes have to be known"):
        half.contiguous()
    assert matrix.isSubtypeOf(half.with_dtype(corten.float32).with_sizes([2, None]))
    with pytest.raises(TypeError, match="expected a Tensor"):
        corten.TensorType.create_from_tensor(3)
