"""Numbers out of range, draws into strided memory, `out=`, old forms of arguments: results, errors, warnings."""

from __future__ import annotations

import warnings
from typing import Any

import corten
import numpy as np
import pytest
import torch

FRAMEWORKS = (corten, torch)
INF, NAN = float("inf"), float("nan")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")


def described(found: Any) -> Any:
    """A result as what can be compared: dtype, shape, strides and numbers."""
    if isinstance(found, (corten.Tensor, torch.Tensor)):
        # NaN is equal to nothing, but its text to itself.
        return str(found.dtype).split(".")[1], tuple(found.shape), found.stride(), repr(found.detach().tolist())
    return [described(part) for part in found] if isinstance(found, (list, tuple)) else found


def outcome(framework: Any, text: str) -> tuple[Any, list[str]]:
    """What the last of some statements, an expression, gives or raises, and the categories of its warnings."""
    names = {"f": framework, "F": framework.nn.functional, "inf": INF, "nan": NAN}
    *statements, expression = text.split("; ")
    framework.manual_seed(0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            for statement in statements:
                exec(statement, names)
            found = described(eval(expression, names))
        except Exception as error:
            found = type(error).__name__
    return found, [w.category.__name__ for w in told]


def assert_alike(text: str) -> Any:
    mine, other = (outcome(framework, text) for framework in FRAMEWORKS)
    assert mine == other, text
    return mine[0]


BEYOND = [
    NAN,
    INF,
    -INF,
    1e30,
    -1e30,
    3e9,
    -3e9,
    300.0,
    -1.0,
    -129.0,
    40000.0,
    1e10,
    2.0**31,
    2.0**63,
    -(2.0**63),
    -0.5,
]


@pytest.mark.parametrize("source", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("target", INTEGERS)
def test_floats_out_of_range_become_pytorchs_integers(source: str, target: str) -> None:
    results = []
    for framework in FRAMEWORKS:
        values = framework.tensor(BEYOND, dtype=framework.float64).to(getattr(framework, source))
        dtype = getattr(framework, target)
        # PyTorch's vectorised conversion to uint32 differs from its scalar one, which a strided source takes.
        long, strided = values.repeat(9), framework.stack([values, values], 1)[:, 0]
        forms = [strided] if target == "uint32" else [values, long, strided]
        results.append([form.to(dtype).tolist() for form in forms])
    assert results[0] == results[1]


def test_written_numbers_are_converted_as_copies_are() -> None:
    for dtype in ("uint8", "int16", "int32", "int64"):
        assert_alike(f"x = f.zeros(16, 2, dtype=f.{dtype})[:, 0]; x.copy_(f.tensor({BEYOND}))".replace("nan", "nan"))


NUMBERS = ("300", "-1", "-300", "200", "2**31", "2**63", "-1.0", "2.5", "300.0", "1e40", "inf", "nan", "1+1j", "1+0j")


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", "float16", "bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_a_dtype_cannot_hold_are_refused(number: str, dtype: str) -> None:
    kept = f"x = f.zeros(2, dtype=f.{dtype})"
    assert_alike(f"f.full((2,), {number}, dtype=f.{dtype})")
    assert_alike(f"{kept}; x.fill_({number})")
    assert_alike(f"f.full_like(f.zeros(2, dtype=f.{dtype}), {number})")
    # PyTorch has no masked_fill of the wide unsigned dtypes.
    if "j" not in number and dtype not in ("uint16", "uint32", "uint64"):
        assert_alike(f"{kept}; x.masked_fill(f.tensor([True, False]), {number})")
    if "j" not in number:
        assert_alike(f"f.tensor([{number}], dtype=f.{dtype})")


@pytest.mark.parametrize(
    "text",
    [
        "f.tensor([2**63])",
        "f.tensor(2**64)",
        "f.tensor([2**64], dtype=f.float32)",
        "f.tensor([2**64], dtype=f.uint64)",
        "f.tensor([-1], dtype=f.uint64)",
        "f.tensor([1.5], dtype=f.uint64)",
        "f.tensor([1j], dtype=f.float32)",
        "f.tensor([1j], dtype=f.int32)",
        "f.tensor([10**400], dtype=f.float32)",
        "f.scalar_tensor(300, dtype=f.uint8)",
        "f.zeros(2, dtype=f.uint8).new_full((2,), 300)",
        "f.zeros(2, dtype=f.uint8).index_fill(0, f.tensor([0]), 300)",
        "f.zeros(2, dtype=f.int32).scatter(0, f.tensor([0]), nan)",
        "f.zeros(2, dtype=f.uint8).clamp(0, 300)",
        "f.zeros(2, dtype=f.uint8).clamp(0.0, 300.0)",
        "f.zeros(2).clamp(-1e40, 1e40)",
        "f.where(f.tensor([True, False]), f.zeros(2, dtype=f.uint8), 300)",
        "f.where(f.tensor([True, False]), f.zeros(2, dtype=f.uint8), -1)",
        "F.pad(f.zeros(2, dtype=f.uint8), (1, 1), value=300)",
        "x = f.zeros(2, dtype=f.uint8); x[0] = 300; x",
        "x = f.zeros(2, dtype=f.uint8); x[f.tensor([0])] = 300; x",
        "x = f.zeros(2, dtype=f.uint8); x[0] = -1; x",
        "x = f.zeros(2, dtype=f.float16); x[0] = 1e6; x",
        "f.zeros(2, dtype=f.uint8) + 300",
        "f.zeros(2, dtype=f.uint8) == 300",
    ],
)
def test_where_numbers_are_checked_and_where_they_wrap(text: str) -> None:
    assert_alike(text)


STRIDED = ("f.zeros(5, 5).t()", "f.zeros(5, 10)[:, ::2]", "f.zeros(2, 3).t()", "f.zeros(5, 5)")


@pytest.mark.parametrize("target", STRIDED)
@pytest.mark.parametrize(
    "text",
    [
        "f.rand(*b.shape, out=b)",
        "f.randn(*b.shape, out=b)",
        "f.randint(10, b.shape, out=b)",
        "f.normal(0.0, 1.0, b.shape, out=b)",
        "f.normal(b.clone() + 1, 1.0)",
        "f.normal(1.0, b.clone() + 1)",
        "f.normal(b.clone(), b.clone() + 1, out=b)",
        "f.bernoulli(b + 0.5)",
        "f.bernoulli(b, 0.5)",
        "f.bernoulli(b + 0.5, out=b)",
        "f.multinomial(f.rand(b.shape[1], b.shape[0]).t(), 2)",
        "f.multinomial(f.rand(b.shape[1], b.shape[0]).t(), 2, True)",
    ],
)
def test_draws_fill_strided_memory_in_pytorchs_order(text: str, target: str) -> None:
    results = []
    for framework in FRAMEWORKS:
        found, _ = outcome(framework, f"b = {target}; {text}")
        results.append(found)
    (mine, other) = results
    assert mine[:3] == other[:3]
    np.testing.assert_allclose(eval(mine[3]), eval(other[3]), 3e-6, 1e-6)


def test_both_parts_of_complex_normal_numbers_have_the_mean() -> None:
    parts = [outcome(f, "f.view_as_real(f.empty(2, 2, dtype=f.complex64).normal_(-2, 0.5))")[0] for f in FRAMEWORKS]
    np.testing.assert_allclose(eval(parts[0][3]), eval(parts[1][3]), 1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "f.ones(2, dtype=f.complex64).geometric_(0.5)",
        "f.ones(2, dtype=f.complex64).random_()",
        "f.ones(2, dtype=f.complex64).random_(3)",
        "f.ones(2, dtype=f.complex64).bernoulli_(0.5)",
        "f.ones(2, dtype=f.complex64).exponential_()",
        "f.ones(2, dtype=f.complex64).cauchy_()",
        "f.ones(2, dtype=f.complex64).log_normal_()",
        "f.randint_like(f.ones(2, dtype=f.complex64), 3)",
        "f.randperm(4, dtype=f.complex64)",
        "f.tensor(1.0).unflatten(0, (1,))",
        "f.tensor(1.0).view_as(f.ones(0))",
        "f.tensor(1.0).flatten(1)",
        "f.tensor(1.0).flatten(0, -1)",
        "f.take_along_dim(f.tensor(1.0), f.tensor(0), 0)",
        "f.take_along_dim(f.tensor(1.0), f.tensor(0))",
        "f.ones(2).to(memory_format=f.channels_last)",
        "f.ones(2).contiguous(memory_format=f.channels_last)",
        "f.ones(2).double(memory_format=f.channels_last)",
        "f.ones(2, 2, 2, 2).contiguous(memory_format=f.channels_last_3d)",
        "f.device('cpu', index=-1)",
        "f.device('cpu', -2)",
        "f.Size(['a'])",
        "f.Size([1.0])",
        "f.Size([True, 2])",
        "f.Size([f.tensor(3), 2])",
        "f.Size(range(3))",
        "f.set_num_threads(0)",
        "f.set_num_threads(-1)",
        "f.cat([f.ones(2)], out=3)",
        "f.cat([f.ones(2)], out=[f.ones(2)])",
        "f.cat([f.ones(2)], out=f.ones(0, dtype=f.int64))",
    ],
)
def test_what_is_refused(text: str) -> None:
    assert_alike(text)


SPREADS = [
    "zeros(0), correction=-5",
    "zeros(3), correction=5",
    "zeros(0, 3), 0, correction=-5",
    "zeros(1, 3), 0",
    "zeros(2, 0), 0",
    "tensor(1.0), correction=1",
    "zeros(3), 0, correction=3",
    "zeros(3), 0, False",
    "zeros(1), True",
    "zeros(1, 2), 0, True, True",
]


@pytest.mark.parametrize(
    "text",
    [
        *(f"f.{name}(f.{call})" for name in ("var", "std") for call in SPREADS),
        "f.tensor(1.0).mT",
        "f.tensor(1.0).T",
        "f.ones(3).T",
        "f.ones(3, 2).T",
    ],
)
def test_warnings_of_degrees_of_freedom_and_of_transposes(text: str) -> None:
    assert_alike(text)


RESIZED = [
    "zeros(2, 2",
    "ones(2, 2",
    "full((2, 2), 3.0",
    "eye(2",
    "linspace(0, 1, 5",
    "logspace(0, 1, 4",
    "arange(5",
    "rand(2, 2",
    "randint(3, (2, 2)",
    "randperm(5",
    "empty(0",
    "normal(0.0, 1.0, (1, 2)",
    "bernoulli(f.full((2, 2), 0.5)",
    "addbmm(f.ones(2, 2), f.ones(1, 2, 2), f.ones(1, 2, 2)",
    "addmm(f.ones(2, 2), f.ones(2, 2), f.ones(2, 2)",
    "add(f.ones(2, 2), 1",
    "cat([f.ones(2, 2)]",
    "sum(f.ones(2, 2), 0",
    "kron(f.ones(2), f.ones(2)",
]


@pytest.mark.parametrize("call", RESIZED)
def test_out_of_another_shape_is_resized_with_pytorchs_warnings(call: str) -> None:
    assert_alike(f"b = f.ones(3); f.{call}, out=b)")


def test_out_of_multinomial_is_resized_without_a_warning() -> None:
    assert_alike("b = f.ones(3, dtype=f.int64); f.multinomial(f.ones(4), 2, out=b)")


def test_warnings_of_resized_outputs_name_no_operator_of_the_engine() -> None:
    for call in ("kron(f.ones(2), f.ones(2)", "linalg.inv(f.eye(2)", "quantile(f.ones(2), 0.5"):
        with pytest.warns(UserWarning, match="^An output with one or more elements was resized"):
            eval(f"f.{call}, out=f.ones(7))", {"f": corten})


TURNED, DEEP = "f.ones(3, 2).t()", "f.ones(3, 2, 4).permute(2, 1, 0)"


@pytest.mark.parametrize(
    "call",
    [
        "linalg.inv(f.eye(2) * 2",
        "linalg.solve(f.eye(2) * 2, f.ones(2, 2)",
        "linalg.cholesky(f.eye(2)",
        "cholesky_inverse(f.eye(2)",
        "linalg.solve_triangular(f.eye(3), f.ones(3, 3), upper=True",
        "linalg.householder_product(f.ones(3, 2), f.ones(2)",
        "linalg.matrix_power(f.eye(3), 3",
        f"add({TURNED}, 1",
        f"sin({TURNED}",
        f"mm({TURNED}, f.ones(3, 2)",
        f"sum({DEEP}, 0",
        f"var({DEEP}, 0",
        f"norm({DEEP}, 2, 0",
        f"logsumexp({DEEP}, 0",
        f"cumsum({TURNED}, 0",
        f"cat([{TURNED}, {TURNED}]",
        f"stack([{TURNED}, {TURNED}]",
        "tril(f.ones(3, 3).t()",
        f"where({TURNED} > 0, {TURNED}, {TURNED}",
        f"index_select({TURNED}, 0, f.tensor([0, 1])",
        f"softmax({TURNED}, 0",
        f"clamp({TURNED}, 0, 1",
        f"abs({TURNED}",
        f"nan_to_num({TURNED}",
        f"lerp({TURNED}, {TURNED}, 0.5",
        f"addcmul({TURNED}, {TURNED}, {TURNED}",
        f"take_along_dim({TURNED}, f.zeros(2, 3, dtype=f.int64), 0",
        f"gather({TURNED}, 0, f.zeros(2, 2, dtype=f.int64).t()",
        f"renorm({TURNED}, 1, 0, 1",
        f"scatter({TURNED}, 0, f.zeros(1, 1, dtype=f.int64), 1.0",
    ],
)
def test_a_resized_output_takes_pytorchs_strides(call: str) -> None:
    strides = [eval(f"f.{call}, out=f.empty(0))", {"f": framework}).stride() for framework in FRAMEWORKS]
    assert strides[0] == strides[1]


@pytest.mark.parametrize(
    "text",
    [
        "f.nonzero(f.ones(2, 3), out=f.empty(0, dtype=f.int64))",
        "f.fft.ifft(f.ones(3, 4, 5), dim=1, out=f.empty(0, dtype=f.complex64)).stride()",
        "[x.stride() for x in f.linalg.qr(f.ones(2, 3), out=(f.empty(0), f.empty(0)))]",
        "[x.stride() for x in f.linalg.svd(f.ones(2, 3), out=(f.empty(0), f.empty(0), f.empty(0)))]",
        "[x.stride() for x in f.linalg.eigh(f.ones(3, 3), out=(f.empty(0), f.empty(0)))]",
        "[x.stride() for x in f.sort(f.ones(3, 2).t(), 0, out=(f.empty(0), f.empty(0, dtype=f.int64)))]",
        "[x.stride() for x in f.topk(f.ones(3, 2).t(), 1, 0, out=(f.empty(0), f.empty(0, dtype=f.int64)))]",
    ],
)
def test_resized_outputs_of_other_dtypes_and_of_tuples(text: str) -> None:
    assert_alike(text)


@pytest.mark.parametrize(
    "call",
    [
        "softmax(f.ones(2), 0",
        "log_softmax(f.ones(2), 0",
        "bitwise_not(f.ones(2, dtype=f.int32)",
        "conj_physical(f.ones(2)",
        "histc(f.ones(2), 2",
        "inner(f.ones(2), f.ones(2)",
        "searchsorted(f.ones(2), f.ones(2)",
        "searchsorted(f.ones(2), f.ones(2), out_int32=True",
        "bucketize(f.ones(2), f.ones(2)",
        "cumsum(f.ones(2), 0",
        "sum(f.ones(2), 0",
    ],
)
def test_which_operators_want_the_dtype_of_their_result(call: str) -> None:
    for dtype in ("float64",) if "sum" in call else ("float64", "int64", "int32"):
        mine, other = (outcome(f, f"f.{call}, out=f.empty(0, dtype=f.{dtype}))")[0] for f in FRAMEWORKS)
        assert isinstance(mine, str) == isinstance(other, str), (call, dtype)


CHANNELS_LAST = "x = f.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=f.channels_last)"


@pytest.mark.parametrize(
    "text",
    [
        *(f"{CHANNELS_LAST}; f.stack([x, x + 1], {d})" for d in range(-5, 5)),
        f"{CHANNELS_LAST}; f.stack([x, x.contiguous()])",
        "x = f.ones(3, 4, 5).permute(2, 0, 1); f.stack([x, x], 1)",
        "x = f.ones(2, 3, 4, 5, 6).to(memory_format=f.channels_last_3d); f.stack([x, x], 2).stride()",
        *(
            f"{CHANNELS_LAST}; x.roll({a})"
            for a in ("1, 1", "(1, 2), (1, 2)", "1", "0, 0", "3, 1", "(1, 0), (0, 1)", "(1, -1), (0, 3)")
        ),
        "x = f.ones(3, 5).t(); x.roll(1, 0)",
        "x = f.ones(3, 5, dtype=f.complex64).t(); f.conj_physical(x)",
    ],
)
def test_strides_of_stacked_and_rolled_tensors(text: str) -> None:
    assert_alike(text)


@pytest.mark.parametrize(
    "text",
    [
        "F.embedding(f.tensor([[0, 1], [2, 0]]), f.arange(6.0).reshape(3, 2) * (1 + 1j))",
        "w = f.ones(3, 2, dtype=f.complex64, requires_grad=True); F.embedding(f.tensor([0]), w).abs().sum().backward()",
        *(
            f"f.ones(4, dtype=f.complex64).scatter_reduce(0, f.tensor([0, 2, 0, 2, 0]), "
            f"f.tensor([1j, 2 + 1j, 1 - 1j, 3 + 0j, 2j]), 'prod', include_self={keep})"
            for keep in (True, False)
        ),
        "f.full((2, 3), 2j).scatter_reduce(1, f.tensor([[0, 0], [1, 1]]), f.full((2, 2), 1 + 1j), 'prod')",
        "f.prod(f.tensor([1, 2, 3]), dtype=f.complex64)",
        "f.prod(f.tensor([[1 + 1j, 2j]]), 1, dtype=f.complex128)",
    ],
)
def test_complex_lookups_and_products(text: str) -> None:
    assert_alike(text)


@pytest.mark.parametrize(
    "text",
    [
        "f.add(x1=f.ones(2), x2=f.ones(2))",
        "f.add(f.ones(2), x2=f.ones(2))",
        "f.ones(2).add(x2=f.ones(2))",
        "f.add(a=f.ones(2), b=f.ones(2))",
        *(f"f.sum({name}=f.ones(2))" for name in ("a", "x", "x1", "b")),
        "f.matmul(x1=f.ones(2), x2=f.ones(2))",
        "f.reshape(a=f.ones(2), shape=(1, 2))",
        "f.argmax(a=f.ones(2))",
        "f.squeeze(a=f.ones(2, 1), axis=1)",
        "f.maximum(x1=f.ones(2), x2=f.ones(2))",
        "f.zeros_like(a=f.ones(2))",
        "f.pow(x1=f.ones(2), x2=f.ones(2))",
        "f.flip(a=f.ones(2), axis=0)",
    ],
)
def test_numpys_names_of_arguments(text: str) -> None:
    assert_alike(text)


OLD = [
    "x.addcmul_(2, x + 1, x)",
    "x.addcmul(2, x + 1, x)",
    "f.addcmul(x, 2, x, x)",
    "x.addcdiv_(2, x + 1, x + 2)",
    "x.addcdiv(2, x, x)",
    "f.addcdiv(x, 2, x, x)",
    "x.add_(2, x + 1)",
    "x.add(2, x)",
    "f.add(x, 2, x)",
    "x.sub_(2, x + 1)",
    "x.sub(2, x)",
    "f.sub(x, 2, x)",
    "x.add(2, other=x)",
    "f.addmm(2, x, 3, x, x)",
    "x.addmm(2, 3, x, x)",
    "x.addmm(2, x, x)",
    "f.addmm(2, x, x, x)",
    "x.clone().addmm_(2, 3, x, x)",
    "f.addmv(2, x[0], 3, x, x[0])",
    "x[0].addmv(2, x, x[0])",
    "f.addr(2, x, 3, x[0], x[0])",
    "x.addr(2, 3, x[0], x[0])",
    "f.baddbmm(2, x[None], 3, x[None], x[None])",
    "x[None].baddbmm(2, x[None], x[None])",
    "f.addbmm(2, x, 3, x[None], x[None])",
    "x.subtract(2, x)",
]


@pytest.mark.parametrize("text", OLD)
def test_the_old_order_of_arguments(text: str) -> None:
    mine, other = (outcome(framework, f"x = f.tensor([[1.0, 2.0], [3.0, 4.0]]); {text}") for framework in FRAMEWORKS)
    assert mine[0] == other[0]
    if isinstance(mine[0], tuple):
        # PyTorch says so once in a process, of whichever operator.
        assert mine[1] == ["UserWarning"]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("corners", [False, True])
def test_images_of_bytes_are_resized_bit_for_bit(mode: str, antialias: bool, corners: bool) -> None:
    draw = np.random.default_rng(0)
    for _ in range(12):
        channels, *sizes = (int(draw.integers(1, high)) for high in (6, 20, 20, 30, 30))
        image = draw.integers(0, 256, (2, channels, *sizes[:2])).astype(np.uint8)
        results = []
        for framework in FRAMEWORKS:
            pixels = framework.from_numpy(image.copy())
            options = {"mode": mode, "align_corners": corners, "antialias": antialias}
            results.append(framework.nn.functional.interpolate(pixels, tuple(sizes[2:]), **options).numpy())
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_of_convolutions_as_functions(rank: int) -> None:
    draw = np.random.default_rng(rank)
    x, w = draw.standard_normal((2, 4, *[7, 6, 5][:rank])), draw.standard_normal((6, 2, *[3, 2, 1][:rank]))
    found = []
    for framework in FRAMEWORKS:
        grad, f = framework.nn.grad, framework
        a, b = f.tensor(x), f.tensor(w)
        options = {"stride": 2, "padding": 1, "groups": 2}
        y = getattr(f, f"conv{rank}d")(a, b, None, 2, 1, 1, 2)
        g = f.arange(float(y.numel()), dtype=f.float64).reshape(y.shape)
        found.append(getattr(grad, f"conv{rank}d_input")(a.shape, b, g, **options).numpy())
        found.append(getattr(grad, f"conv{rank}d_weight")(a, b.shape, g, **options).numpy())
    for mine, other in zip(found[:2], found[2:], strict=True):
        np.testing.assert_allclose(mine, other, 1e-10)


@pytest.mark.parametrize(
    "text",
    [
        "n = f.empty(0); n.set_(source=f.arange(8.0).untyped_storage()[:16]); (n.untyped_storage().nbytes(), n.shape)",
        "m = f.arange(8.0); s = m.untyped_storage()[4:16]; (s.nbytes(), s.size(), len(s), s.tolist())",
        "m = f.arange(8.0); n = f.empty(0).set_(m.untyped_storage()[4:16], 0, (3,), (1,)); n.add_(1); m",
        "m = f.arange(8.0); n = f.empty(0).set_(m.untyped_storage()[4:16], 0, (3,), (1,)); m.mul_(2); n",
        "m = f.arange(8.0); n = f.empty(0).set_(m.untyped_storage()[:16]); n.untyped_storage().resize_(32)",
        "m = f.arange(8.0); m.untyped_storage()[::2]",
    ],
)
def test_slices_of_storages_have_their_own_size(text: str) -> None:
    assert_alike(text)
