"""Operators of a program's own: schemas from annotations, kernels, gradients, batches, and what `opcheck` finds."""

from __future__ import annotations

from typing import Optional

import corten
import numpy as np
import pytest
from corten import Tensor, library
from corten._library.checks import OpCheckError

pytestmark = pytest.mark.cpu


@pytest.fixture
def sine():
    """An operator that nobody can look into, with its gradient."""

    @library.custom_op("corten_tests::sine", mutates_args=())
    def sine(x: Tensor, scale: float = 1.0) -> Tensor:
        return corten.from_numpy(np.asarray(np.sin(x.numpy(force=True)) * scale, dtype=np.float64))

    def setup_context(ctx, inputs, output):
        x, ctx.scale = inputs
        ctx.save_for_backward(x)

    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.cos() * ctx.scale, None

    sine.register_autograd(backward, setup_context=setup_context)
    return sine


def values(*shape):
    return corten.from_numpy(np.random.default_rng(3).standard_normal(shape))


def test_an_operator_is_called_by_itself_and_through_ops(sine):
    x = values(4)
    assert corten.equal(sine(x, 2.0), x.sin() * 2)
    assert corten.equal(corten.ops.corten_tests.sine(x, scale=2), x.sin() * 2)
    assert corten.equal(corten.ops.corten_tests.sine.default(x), x.sin())
    assert repr(sine) == "<CustomOpDef(corten_tests::sine)>"
    assert str(corten.ops.corten_tests.sine) == "corten_tests.sine"
    assert corten.ops.corten_tests.sine.overloads() == ["default"]


def test_its_gradient_is_the_registered_one_of_every_order(sine):
    x = values(3).requires_grad_()
    assert corten.autograd.gradcheck(lambda t: sine(t, 1.5), (x,))
    assert corten.autograd.gradgradcheck(lambda t: sine(t, 1.5), (x,))
    assert type(sine(x).grad_fn).__name__ == "GeneratedBackwardFor_corten_tests_sine_defaultBackward"
    with corten.no_grad():
        assert not sine(x).requires_grad


def test_without_a_formula_only_the_backward_pass_raises():
    @library.custom_op("corten_tests::silent", mutates_args=())
    def silent(x: Tensor) -> Tensor:
        return x.clone()

    y = silent(values(2).requires_grad_())
    assert y.requires_grad
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        y.sum().backward()


def test_lists_of_tensors_get_lists_of_gradients():
    @library.custom_op("corten_tests::scaled", mutates_args=())
    def scaled(tensors: list[Tensor], by: list[float]) -> list[Tensor]:
        return [t * b for t, b in zip(tensors, by, strict=True)]

    seen = []

    def setup_context(ctx, inputs, output):
        seen.append(ctx.needs_input_grad)
        ctx.by = inputs[1]

    scaled.register_autograd(
        lambda ctx, grads: ([g * b for g, b in zip(grads, ctx.by, strict=True)], None), setup_context=setup_context
    )
    x, y = values(2).requires_grad_(), values(3)
    found = scaled([x, y], [2.0, 3.0])
    assert isinstance(found, list)
    assert seen[0][0] == [True, False]
    (grad,) = corten.autograd.grad(found[0].sum() + found[1].sum(), x)
    assert corten.equal(grad, corten.full_like(x, 2.0))


def test_a_list_of_gradients_of_the_wrong_length_is_refused():
    @library.custom_op("corten_tests::pair", mutates_args=())
    def pair(tensors: list[Tensor]) -> Tensor:
        return tensors[0] + tensors[1]

    pair.register_autograd(lambda ctx, grad: ([grad],))
    x = values(2).requires_grad_()
    with pytest.raises(RuntimeError, match="a list of 2 gradients"):
        pair([x, x]).sum().backward()


def test_arguments_by_name_only_reach_the_context_apart():
    @library.custom_op("corten_tests::times", mutates_args=())
    def times(x: Tensor, *, by: float = 2.0) -> Tensor:
        return x * by

    times.register_autograd(
        lambda ctx, grad: grad * ctx.by,
        setup_context=lambda ctx, inputs, keyword_only_inputs, output: setattr(ctx, "by", keyword_only_inputs["by"]),
    )
    x = values(2).requires_grad_()
    (grad,) = corten.autograd.grad(times(x, by=5).sum(), x)
    assert corten.equal(grad, corten.full_like(x, 5.0))
    with pytest.raises(RuntimeError, match=r"takes 1 positional argument\(s\) but 2"):
        times(x, 3.0)


def test_a_write_is_counted_even_if_numpy_did_it():
    @library.custom_op("corten_tests::fill", mutates_args={"x"})
    def fill(x: Tensor, value: float) -> None:
        x.numpy(force=True)[...] = value

    x, w = values(3), values(3).requires_grad_()
    product = x * w
    assert fill(x, 4.0) is None
    assert x.tolist() == [4.0, 4.0, 4.0]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_tags_say_that_results_are_the_written_arguments():
    @library.custom_op("corten_tests::sine_", mutates_args={"x"}, tags=corten.Tag.inplace)
    def sine_(x: Tensor) -> Tensor:
        return x.sin_()

    @library.custom_op("corten_tests::sine_out", mutates_args={"out"}, tags=corten.Tag.out)
    def sine_out(x: Tensor, *, out: Tensor) -> Tensor:
        return out.copy_(x.sin())

    x, out = values(3), corten.zeros(3, dtype=corten.float64)
    expected = x.sin()
    assert sine_out(x, out=out) is out
    assert corten.equal(out, expected)
    assert sine_(x) is x
    assert corten.equal(x, expected)
    assert str(sine_._schema) == "corten_tests::sine_(Tensor(a0!) x) -> Tensor(a0!)"
    assert str(sine_out._schema) == "corten_tests::sine_out(Tensor x, *, Tensor(a1!) out) -> Tensor(a1!)"


@pytest.mark.parametrize("body", [lambda x: x, lambda x: x[:1], lambda x: x.detach()])
def test_results_that_share_memory_with_arguments_are_refused(body):
    @library.custom_op("corten_tests::shares", mutates_args=())
    def shares(x: Tensor) -> Tensor:
        return body(x)

    with pytest.raises(RuntimeError, match="may not alias any inputs"):
        shares(values(3))


def test_kernels_are_chosen_by_device_and_can_be_switched_off():
    @library.custom_op("corten_tests::where", mutates_args=())
    def where(x: Tensor) -> int:
        return 0

    where.register_kernel("cpu")(lambda x: 1)
    x = values(1)
    assert where(x) == 1
    with where.set_kernel_enabled("cpu", False):
        assert where(x) == 0
    assert where(x) == 1

    @library.custom_op("corten_tests::gpu_only", mutates_args=(), device_types="cuda")
    def gpu_only(x: Tensor) -> Tensor:
        return x.clone()

    with pytest.raises(NotImplementedError, match=r"'CPU' backend.*\[gpu\]"):
        gpu_only(x)


def test_without_tensors_an_operator_needs_a_device():
    def ones(n: int) -> Tensor:
        return corten.ones(n)

    with pytest.raises(ValueError, match=r"torch\.device` argument"):
        library.custom_op("corten_tests::ones", ones, mutates_args=(), device_types="cpu")

    @library.custom_op("corten_tests::ones_on", mutates_args=(), device_types="cpu")
    def ones_on(n: int, device: corten.device) -> Tensor:
        return corten.ones(n, device=device)

    assert ones_on(2, "cpu").tolist() == [1.0, 1.0]


def test_schemas_say_what_annotations_say():
    def function(
        x: list[Tensor],
        n: int,
        y: Optional[Tensor] = None,  # noqa: UP045  (the older form is meant)
        z: Tensor | None = None,
        *,
        eps: float = 1e-5,
        mode: str = "mean",
        by: int | float | bool = 2,
        dtype: corten.dtype = corten.float32,
        sizes: list[int] | None = None,
    ) -> tuple[Tensor, list[Tensor], float]: ...

    text = library.infer_schema(function, op_name="f", mutates_args=("y",))
    assert text == (
        'f(Tensor[] x, SymInt n, Tensor(a2!)? y=None, Tensor? z=None, *, float eps=1e-05, str mode="mean", '
        "Scalar by=2, ScalarType dtype=float32, SymInt[]? sizes=None) -> (Tensor, Tensor[], float)"
    )


def untyped(x): ...
def no_result(x: Tensor): ...
def mapping(x: dict) -> Tensor: ...
def many(*x: Tensor) -> Tensor: ...
def result_mapping(x: Tensor) -> dict: ...
def number(x: Tensor, n: int) -> Tensor: ...
def listed(x: Tensor, n: list[int] = [1]) -> Tensor: ...  # noqa: B006


@pytest.mark.parametrize(
    "function, mutates, text",
    [
        (untyped, (), "x must have a type annotation"),
        (no_result, (), "No return type annotation"),
        (mapping, (), "Parameter x has unsupported type"),
        (many, (), "do not support positional-only args, varargs"),
        (result_mapping, (), "Return has unsupported type"),
        (number, ("n",), "only Tensors or collections of Tensors can be mutated"),
        (number, ("m",), "not found in the custom op's signature"),
        (number, "x", "must either be a sequence"),
        (listed, (), "unsupported default value type <class 'list'>"),
    ],
)
def test_what_no_schema_can_say_is_refused(function, mutates, text):
    with pytest.raises(ValueError, match=text):
        library.custom_op("corten_tests::refused", function, mutates_args=mutates)


def test_arguments_are_checked_against_the_schema(sine):
    x = values(2)
    with pytest.raises(RuntimeError, match="missing value for argument 'x'"):
        sine()
    with pytest.raises(RuntimeError, match=r"at most 2 argument\(s\) but received 3"):
        sine(x, 1.0, 2.0)
    with pytest.raises(RuntimeError, match="type 'Tensor' for argument 'x' but instead found type 'int'"):
        sine(3)
    with pytest.raises(RuntimeError, match=r"Unknown keyword argument 'other'.*Schema: corten_tests::sine"):
        sine(x, other=2)
    with pytest.raises(RuntimeError, match="operator corten_tests::absent does not exist"):
        library.register_fake("corten_tests::absent", lambda: None)
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        corten.ops.corten_tests.absent  # noqa: B018


def test_a_registered_rule_serves_vmap_and_gradients_go_through_it(sine):
    calls = []

    @sine.register_vmap
    def rule(info, in_dims, x, scale):
        calls.append((info.batch_size, in_dims))
        return sine(x, scale), in_dims[0]

    x = values(5, 3)
    assert corten.equal(corten.vmap(sine, in_dims=(0, None))(x, 2.0), x.sin() * 2)
    assert calls == [(5, (0, None))]
    each = corten.vmap(corten.func.grad(lambda row: sine(row).sum()))(x)
    assert corten.allclose(each, x.cos())


def test_without_a_rule_vmap_runs_example_by_example(sine):
    x = values(4, 3)
    with pytest.warns(UserWarning, match="no batching rule"):
        found = corten.vmap(sine)(x)
    assert corten.equal(found, x.sin())


def test_autocast_converts_the_arguments():
    @library.custom_op("corten_tests::kind", mutates_args=())
    def kind(x: Tensor) -> Tensor:
        return x.clone()

    kind.register_autocast("cpu", corten.bfloat16)
    x = corten.ones(2)
    assert kind(x).dtype == corten.float32
    with corten.autocast("cpu"):
        assert kind(x).dtype == corten.bfloat16
        assert kind(x.double()).dtype == corten.float64


def test_a_library_defines_operators_that_live_as_long_as_it():
    made = library.Library("corten_tests_lib", "DEF")
    with pytest.raises(RuntimeError, match="Only a single library"):
        library.Library("corten_tests_lib", "DEF")
    assert made.define("shift(Tensor x, *, int by=2) -> Tensor") == "shift"
    x = values(2).requires_grad_()
    with pytest.raises(NotImplementedError, match="no kernel was registered"):
        corten.ops.corten_tests_lib.shift(x)
    made.impl("shift", lambda x, *, by=2: x * by, "CompositeImplicitAutograd")
    (grad,) = corten.autograd.grad(corten.ops.corten_tests_lib.shift(x, by=3).sum(), x)
    assert grad.tolist() == [3.0, 3.0]
    made.define("shift.two(Tensor x, Tensor by) -> Tensor")
    made.impl("shift.two", lambda x, by: x + by, "CPU")
    assert corten.equal(corten.ops.corten_tests_lib.shift(x, x), x + x)
    with pytest.raises(RuntimeError, match="multiple times"):
        made.define("shift(Tensor x) -> Tensor")
    with pytest.raises(NotImplementedError, match="register_autograd"):
        made.impl("shift", lambda x: x, "Autograd")
    made._destroy()
    with pytest.raises(AttributeError):
        corten.ops.corten_tests_lib.shift  # noqa: B018


def test_define_and_impl_make_an_operator_of_two_parts():
    library.define("corten_tests::halved", "(Tensor x) -> Tensor")
    library.impl("corten_tests::halved", "cpu")(lambda x: x / 2)
    assert corten.equal(corten.ops.corten_tests.halved(values(3)), values(3) / 2)
    with pytest.raises(ValueError, match="namespace::name"):
        library.define("halved", "(Tensor x) -> Tensor")


def test_opcheck_finds_what_the_schema_hides(sine):
    x = values(3).requires_grad_()
    with pytest.raises(OpCheckError, match="no fake impl"):
        library.opcheck(sine, (x,), test_utils="test_faketensor")
    sine.register_fake(lambda x, scale=1.0: corten.empty_like(x))
    assert set(library.opcheck(sine, (x, 2.0)).values()) == {"SUCCESS"}

    @library.custom_op("corten_tests::sly", mutates_args=())
    def sly(x: Tensor) -> Tensor:
        x.add_(1)
        return x.clone()

    sly.register_fake(lambda x: x.new_empty(7))
    found = library.opcheck(sly, (values(3),), raise_exception=False)
    assert "x is not defined as mutable but was mutated" in str(found["test_schema"])
    assert "shape" in str(found["test_faketensor"])
    found = library.opcheck(sly, (x,), raise_exception=False)
    assert "no formula is registered" in str(found["test_autograd_registration"])
