"""Rules of single operators: the overload a call means, result dtypes, rounding, strides, gradients at the edges."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from corten.nn import functional as F
from scipy import special, stats

INT = corten.int64


def numbers(t):
    return t.detach().cpu().double().numpy() if t.device.type == "cpu" else t.detach().cpu().numpy()


@pytest.mark.parametrize("name, want", [("max", [3, 7]), ("min", [2, 3])])
def test_a_second_tensor_without_dims_is_an_operand_and_not_a_dim(name, want):
    x = corten.tensor([2, 7])
    assert getattr(corten, name)(x, corten.tensor(3)).tolist() == want
    assert getattr(x, name)(corten.tensor(3)).tolist() == want
    assert getattr(x, name)(0).values.item() == (7 if name == "max" else 2)


def test_tensor_split_takes_sections_and_indices_from_tensors():
    x = corten.arange(7)
    for given, want in ((3, [[0, 1, 2], [3, 4], [5, 6]]), ([2, -1], [[0, 1], [2, 3, 4, 5], [6]])):
        pieces = corten.tensor_split(x, corten.tensor(given, device="cpu"))
        assert [p.tolist() for p in pieces] == want
        assert [
            p.tolist() for p in x.tensor_split(tensor_indices_or_sections=corten.tensor(given, device="cpu"))
        ] == want
    with pytest.raises(RuntimeError, match="dtype of long, but got Int"):
        corten.tensor_split(x, corten.tensor([2], dtype=corten.int32, device="cpu"))
    with pytest.raises(RuntimeError, match="zero-dimensional or one-dimensional tensor, but got a tensor with 2 dims"):
        corten.tensor_split(x, corten.tensor([[2]], device="cpu"))
    with pytest.raises(RuntimeError, match="number of sections must be larger than 0, got 0"):
        corten.tensor_split(x, corten.tensor(0, device="cpu"))


def test_take_along_dim_counts_negative_indices_from_the_end():
    x = corten.arange(6.0).reshape(2, 3).requires_grad_()
    taken = corten.take_along_dim(x, corten.tensor([[-1], [-3]]), 1)
    assert taken.tolist() == [[2], [3]]
    taken.sum().backward()
    assert x.grad.tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("arguments, want", [((0.5, 3.7), [0, 1, 2]), ((3.7,), [0, 1, 2]), ((4.9, 0.2, -2.5), [4, 2])])
def test_arange_of_int64_drops_fractions_before_it_counts(arguments, want):
    assert corten.arange(*arguments, dtype=INT).tolist() == want


def test_arange_of_other_dtypes_counts_fractions():
    assert corten.arange(0.5, 3.7, dtype=corten.int32).tolist() == [0, 1, 2, 3]
    with pytest.raises((RuntimeError, ValueError), match="step must be nonzero"):
        corten.arange(0.5, 3.7, 0.5, dtype=INT)


def test_factors_of_products_of_integers_become_integers():
    matrix, vector = corten.arange(6).reshape(2, 3), corten.tensor([1, 2, 3])
    result = corten.addmv(corten.tensor([1, 2]), matrix, vector, alpha=2.6, beta=1.2)
    assert result.dtype == INT and result.tolist() == [17, 54]
    batch = corten.arange(12).reshape(2, 2, 3)
    for function, c in (
        (corten.baddbmm, corten.ones(2, 2, 2, dtype=INT)),
        (corten.addbmm, corten.ones(2, 2, dtype=INT)),
    ):
        products = batch @ batch.mT
        want = (products if function is corten.baddbmm else products.sum(0)) * 2 + c
        found = function(c, batch, batch.mT, alpha=2.6, beta=1.2)
        assert found.dtype == INT and corten.equal(found, want)


def test_addr_of_bools_is_bool_and_of_integers_takes_no_fractions():
    c, x, y = corten.ones(2, 3, dtype=corten.bool), corten.tensor([True, False]), corten.tensor([True, False, True])
    assert corten.addr(c, x, y, beta=0, alpha=2).tolist() == [[True, False, True], [False] * 3]
    assert corten.addr(c, x, y).dtype == corten.bool and corten.addr(c, x, y).all()
    with pytest.raises(RuntimeError, match="alpha must not be a floating point number"):
        corten.addr(corten.ones(2, 3, dtype=INT), corten.arange(2), corten.arange(3), alpha=0.5)


def test_square_of_bools_is_int64():
    squares = corten.tensor([True, False]).square()
    assert squares.dtype == INT and squares.tolist() == [1, 0]


def test_threshold_of_integers_takes_its_numbers_as_integers():
    x = corten.arange(4)
    found = F.threshold(x, 1.5, 7.9)
    assert found.dtype == INT and found.tolist() == [7, 7, 2, 3]
    assert F.threshold(x.float(), 1.5, 7.5).tolist() == [7.5, 7.5, 2, 3]


@pytest.mark.parametrize("name", ["softplus", "elu", "celu", "selu", "leaky_relu", "hardshrink", "softshrink", "silu"])
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_activations_refuse_integers(name, dtype):
    with pytest.raises(NotImplementedError, match=r"not implemented for '(Long|Bool)'"):
        getattr(F, name)(corten.ones(3, dtype=getattr(corten, dtype)))


def test_unfold_of_a_matrix_is_an_index_error():
    for shape in ((3,), (3, 3)):
        with pytest.raises(IndexError, match=r"Expected 3D or 4D .*input, but got"):
            F.unfold(corten.ones(shape), 2)


def test_gather_of_nothing_has_a_gradient_of_zeros():
    x = corten.ones(2, 3, requires_grad=True)
    nothing = corten.gather(x, 0, corten.empty(0, dtype=INT))
    assert nothing.shape == (0,) and nothing.grad_fn is not None
    nothing.sum().backward()
    assert x.grad.tolist() == [[0] * 3] * 2


def test_nextafter_passes_its_gradient_to_the_first_argument_where_it_moves():
    x = corten.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = corten.tensor([1.0, 5.0, 0.0], requires_grad=True)
    corten.nextafter(x, y).sum().backward()
    assert x.grad.tolist() == [0, 1, 1] and y.grad.tolist() == [0, 0, 0]


def test_relu_passes_the_gradient_of_nan():
    x = corten.tensor([math.nan, -1.0, 0.0, 2.0], requires_grad=True)
    F.relu(x).sum().backward()
    assert x.grad.tolist() == [1, 0, 0, 1]


GRADIENTS = {
    "gelu": lambda x: special.ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "hardswish": lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    "silu": lambda x: special.expit(x) * (1 + x * (1 - special.expit(x))),
    "softplus": special.expit,
    "logsigmoid": lambda x: special.expit(-x),
}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradients_of_activations_in_half_types_are_rounded_once(name, dtype):
    x = corten.linspace(-5, 5, 301).to(getattr(corten, dtype)).requires_grad_()
    getattr(F, name)(x).sum().backward()
    want = GRADIENTS[name](x.detach().float().cpu().numpy().astype(np.float64))
    exact = corten.tensor(want.astype(np.float32)).to(x.dtype).float().cpu().numpy()
    step = 2.0**-8 if dtype == "bfloat16" else 2.0**-11
    # Half a unit in the last place, and what float32 loses where terms cancel.
    np.testing.assert_allclose(x.grad.float().cpu().numpy(), want, rtol=1.02 * step, atol=4e-7)
    assert np.mean(x.grad.float().cpu().numpy() == exact) > 0.97


def test_gradient_of_logaddexp_in_bfloat16_does_not_read_the_rounded_result():
    x = corten.linspace(-6, 6, 101).to(corten.bfloat16).requires_grad_()
    y = corten.linspace(9, -7, 101).to(corten.bfloat16).requires_grad_()
    corten.logaddexp(x, y).sum().backward()
    wide_x, wide_y = (t.detach().float().cpu().numpy().astype(np.float64) for t in (x, y))
    for t, want in ((x, special.expit(wide_x - wide_y)), (y, special.expit(wide_y - wide_x))):
        np.testing.assert_allclose(t.grad.float().cpu().numpy(), want, rtol=1.02 * 2.0**-8)


def test_logspace_of_bfloat16_has_exponents_of_that_precision():
    found = corten.logspace(-3, 4.3, 6, base=2.7, dtype=corten.bfloat16)
    step = corten.tensor(4.296875 + 3).to(corten.bfloat16) / corten.tensor(5.0).to(corten.bfloat16)
    exponents = corten.arange(6).to(corten.bfloat16)
    exponents = corten.where(exponents < 3, exponents * step - 3, 4.296875 - (5 - exponents) * step)
    want = np.power(2.7, exponents.float().cpu().numpy().astype(np.float64))
    np.testing.assert_allclose(found.float().cpu().numpy(), want, rtol=2.0**-8)


@pytest.mark.parametrize("dim", range(4))
def test_cat_of_channels_last_images_is_channels_last(dim):
    values = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    plain = corten.tensor(values)
    image = plain.to(memory_format=corten.channels_last).requires_grad_()
    joined = corten.cat((image, image), dim)
    assert joined.is_contiguous(memory_format=corten.channels_last) and not joined.is_contiguous()
    assert np.array_equal(joined.detach().cpu().numpy(), np.concatenate((values, values), dim))
    weight = corten.arange(float(joined.numel())).reshape(joined.shape)
    (joined * weight).sum().backward()
    first, second = corten.chunk(weight, 2, dim)
    assert corten.equal(image.grad, first + second)
    for parts in ((image, plain), (plain, image)):
        assert corten.cat(parts, dim).is_contiguous()
    other = corten.cat((image.detach()[:, :2], image.detach()[:, 1:]), 1)
    assert other.stride() == (80, 1, 20, 4)


@pytest.mark.parametrize("name", ["tril_indices", "triu_indices"])
@pytest.mark.parametrize("dtype", [corten.int64, corten.int32])
def test_triangle_indices_lie_where_they_are_asked_for(name, dtype, device):
    function = getattr(corten, name)
    found = function(3, 4, 1, dtype=dtype, device=device)
    want = getattr(np, name)(3, 1, 4)
    assert found.device.type == corten.device(device).type and found.dtype == dtype
    assert found.is_contiguous() and np.array_equal(found.cpu().numpy(), want)
    before = corten.get_default_device()
    corten.set_default_device(device)
    try:
        assert function(3, 4).device.type == corten.device(device).type
    finally:
        corten.set_default_device(before)


def test_incomplete_gamma_functions_have_limits():
    inf, nan = math.inf, math.nan
    a = corten.tensor([0.0, 1.0, 1.0, inf, 0.0, inf, -1.0, 1.0])
    x = corten.tensor([1.0, 0.0, inf, 1.0, 0.0, inf, 1.0, -1.0])
    lower = [1, 0, 1, 0, nan, nan, nan, nan]
    np.testing.assert_array_equal(corten.igamma(a, x).cpu().numpy(), lower)
    np.testing.assert_array_equal(corten.special.gammaincc(a, x).cpu().numpy(), [1 - p for p in lower])


def test_incomplete_gamma_functions_have_no_derivative_by_the_shape():
    a, x = corten.tensor(2.0, requires_grad=True), corten.tensor(3.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="igamma: input"):
        corten.igamma(a, x).backward()
    corten.special.gammainc(a.detach(), x).backward()
    np.testing.assert_allclose(x.grad.item(), 3 * math.exp(-3), rtol=1e-6)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_incomplete_gamma_functions_are_scipys_from_tiny_to_huge(name):
    a = np.repeat(np.exp(np.linspace(-12, 16, 29)), 31)
    near = np.tile(np.linspace(-5, 5, 31), 29)
    x = np.maximum(a + near * np.sqrt(a), a * np.exp(near))
    found = getattr(corten, name)(corten.tensor(a, dtype=corten.float32), corten.tensor(x, dtype=corten.float32))
    a, x = (v.astype(np.float32).astype(np.float64) for v in (a, x))
    want = getattr(special, "gammainc" if name == "igamma" else "gammaincc")(a, x)
    np.testing.assert_allclose(found.cpu().numpy(), want, rtol=2e-5, atol=2e-6)


def test_gradients_of_incomplete_gamma_functions_keep_their_digits_for_large_shapes():
    a = np.repeat([0.5, 3.0, 15.9, 16.0, 40.0, 351.0, 20000.0], 9)
    x = a + np.tile(np.linspace(-3, 3, 9), 7) * np.sqrt(a)
    a, x = a[x > 0].astype(np.float32), x[x > 0].astype(np.float32)
    point = corten.tensor(x, requires_grad=True)
    corten.special.gammainc(corten.tensor(a), point).sum().backward()
    want = stats.gamma(a.astype(np.float64)).pdf(x.astype(np.float64))
    np.testing.assert_allclose(point.grad.cpu().numpy(), want, rtol=2e-5)


def test_the_only_exponent_of_logspace_is_not_rounded():
    assert corten.logspace(4.3, 9, 1, base=2.0, dtype=corten.bfloat16).item() == 19.75
    assert corten.logspace(4.3, 9, 1, base=2.0, dtype=INT).item() == 19


def test_linear_cross_entropy_with_options_computes_half_types_in_float32():
    x, w = corten.randn(5, 8).to(corten.bfloat16), corten.randn(4, 8).to(corten.bfloat16)
    target = corten.tensor([0, 3, 1, 2, 2])
    options = corten.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    found = F.linear_cross_entropy(x, w, target, options=options)
    want = F.cross_entropy(x.float() @ w.float().T, target)
    assert found.dtype == corten.bfloat16 and found.item() == want.to(corten.bfloat16).item()


@pytest.mark.parametrize("name", ["maximum", "minimum", "max", "min"])
def test_an_extremum_of_nan_gives_both_operands_the_gradient(name):
    x = corten.tensor([math.nan, 1.0, 2.0], requires_grad=True)
    y = corten.tensor([1.0, math.nan, 2.0], requires_grad=True)
    getattr(corten, name)(x, y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [1, 1, 0.5]


@pytest.mark.parametrize("name", ["hardtanh", "relu6", "hardshrink", "softshrink"])
def test_what_is_cut_off_has_no_gradient_at_nan(name):
    x = corten.tensor([math.nan, 0.75], requires_grad=True)
    getattr(F, name)(x).sum().backward()
    assert x.grad.tolist() == [0, 1]


def test_an_angle_has_no_gradient_at_the_origin():
    y, x = (corten.tensor([0.0, 3.0], requires_grad=True) for _ in range(2))
    corten.atan2(y, x).sum().backward()
    np.testing.assert_allclose(numbers(y.grad), [0, 1 / 6], rtol=1e-6)
    np.testing.assert_allclose(numbers(x.grad), [0, -1 / 6], rtol=1e-6)


def test_a_copied_sign_has_no_slope_at_infinity_and_nan():
    x = corten.tensor([math.inf, math.nan, 0.0, -2.0], requires_grad=True)
    corten.copysign(x, corten.tensor(1.0)).sum().backward()
    np.testing.assert_array_equal(numbers(x.grad), [math.nan, math.nan, 0, -1])


def test_logit_has_an_infinite_slope_at_its_ends_and_none_outside():
    x = corten.tensor([0.0, 0.25, 1.0, -1.0, 2.0], requires_grad=True)
    corten.logit(x).sum().backward()
    np.testing.assert_allclose(numbers(x.grad), [math.inf, 16 / 3, math.inf, math.nan, math.nan], rtol=1e-6)
    y = corten.tensor([0.0, 0.5], requires_grad=True)
    corten.logit(y, 0.1).sum().backward()
    assert y.grad.tolist() == [0, 4]


def test_the_slope_of_sinc_is_exact_near_zero():
    x = corten.tensor([0.0, 1e-3, -1e-3, 0.1, 0.3], requires_grad=True)
    corten.sinc(x).sum().backward()
    at = math.pi * numbers(x)[1:].astype(np.float64)
    exact = math.pi * (np.cos(at) - np.sin(at) / at) / at
    np.testing.assert_allclose(numbers(x.grad), [0, *exact], rtol=2e-6)


def test_prelu_shows_no_gradient_of_a_slope_that_is_not_taken():
    x = corten.tensor([2.0, math.inf], requires_grad=True)
    weight = corten.tensor([math.nan], requires_grad=True)
    F.prelu(x, weight).sum().backward()
    assert x.grad.tolist() == [1, 1] and weight.grad.tolist() == [0]


def test_attention_of_half_types_without_heads_rounds_its_gradients_once():
    rng = np.random.default_rng(0)
    values = [corten.tensor(rng.standard_normal((2, n, 8)).astype(np.float32)).bfloat16() for n in (3, 5, 5)]
    half = [x.clone().requires_grad_() for x in values]
    full = [x.float().requires_grad_() for x in values]
    F.scaled_dot_product_attention(*half, is_causal=True).sum().backward()
    F.scaled_dot_product_attention(*full, is_causal=True).sum().backward()
    for mine, exact in zip(half, full, strict=True):
        assert mine.grad.dtype == corten.bfloat16 and corten.equal(mine.grad, exact.grad.bfloat16())


def test_samples_of_half_types_are_taken_at_positions_in_float32():
    rng = np.random.default_rng(0)
    image = corten.tensor(rng.standard_normal((1, 2, 5, 20)).astype(np.float32)).bfloat16()
    grid = corten.tensor(rng.uniform(-1, 1, (1, 4, 4, 2)).astype(np.float32)).bfloat16()
    exact = F.grid_sample(image.float(), grid.float(), align_corners=True)
    assert corten.equal(F.grid_sample(image, grid, align_corners=True), exact.bfloat16())


def test_samples_at_positions_that_are_no_numbers_are_nan_without_padding_and_the_first_pixel_with():
    image = corten.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    grid = corten.zeros(1, 2, 2, 2)
    grid[0, 0, 0, 0], grid[0, 1, 1, 0] = math.nan, math.inf

    def at(**how):
        return numbers(F.grid_sample(image, grid, align_corners=True, **how)).ravel().tolist()

    for mode in ("bilinear", "bicubic"):
        first, *middle, last = at(mode=mode)
        assert math.isnan(first) and math.isnan(last) and middle == [5, 5]
    assert at(mode="nearest") == [0, 5, 5, 0]
    assert at(padding_mode="border") == [4, 5, 5, 6] and at(padding_mode="reflection") == [4, 5, 5, 4]


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_with_one_window_is_the_sum_over_its_input(spatial, transposed):
    rng = np.random.default_rng(spatial)
    kernel, letters = (3, 2, 4)[:spatial], "xyz"[:spatial]
    image = rng.standard_normal((2, 3, *kernel))
    points, bias = rng.standard_normal((2, 5)), rng.standard_normal(3 if transposed else 5)
    weight = rng.standard_normal((5, 3, *kernel))
    if transposed:
        x, rule = points.reshape(2, 5, *[1] * spatial), f"nm,mc{letters}->nc{letters}"
        want = np.einsum(rule, points, weight) + bias.reshape(-1, *[1] * spatial)
        f = getattr(F, f"conv_transpose{spatial}d")
    else:
        x, rule = image, f"nc{letters},mc{letters}->nm"
        want = (np.einsum(rule, image, weight) + bias).reshape(2, 5, *[1] * spatial)
        f = getattr(F, f"conv{spatial}d")
    operands = [corten.tensor(v, dtype=corten.float32, requires_grad=True) for v in (x, weight, bias)]
    out = f(*operands, stride=2)
    np.testing.assert_allclose(numbers(out), want, rtol=1e-4, atol=1e-5)
    (f(*operands, stride=2) * f(*operands, stride=2)).sum().backward()
    slope = corten.tensor(2 * want, dtype=corten.float32)
    inner = out.dim() - 2
    np.testing.assert_allclose(
        numbers(operands[2].grad), numbers(slope.sum((0, *range(2, 2 + inner)))), rtol=1e-4, atol=1e-4
    )
    # Of the product's two factors each is the gradient's coefficient of the other.
    for operand in operands[:2]:
        gradient = (operand.grad * operand).sum().item()
        rest = (slope * (out - operands[2].reshape(-1, *[1] * spatial))).sum().item()
        assert gradient == pytest.approx(rest, rel=1e-3)


@pytest.mark.parametrize("name", ["addmm", "addmv", "baddbmm", "addbmm"])
def test_factors_and_what_is_added_share_a_dtype(name):
    matrix = corten.ones(2, 2)
    first = matrix if name in ("addmm", "addmv") else matrix.unsqueeze(0)
    second = matrix[0] if name == "addmv" else first
    added = {"addmv": matrix[0], "baddbmm": first}.get(name, matrix).bfloat16()
    with pytest.raises(RuntimeError, match=f"{name}.*must have the same dtype, but got BFloat16 and Float"):
        getattr(corten, name)(added, first, second)


def test_draws_of_bernoulli_are_written_in_the_dtype_of_the_output():
    out = corten.empty(4, dtype=INT)
    assert corten.bernoulli(corten.tensor([0.0, 1.0, 1.0, 0.0]), out=out) is out
    assert out.tolist() == [0, 1, 1, 0]


def test_abs_of_complex_numbers_has_no_in_place_form():
    with pytest.raises(RuntimeError, match="In-place abs is not supported for complex tensors"):
        corten.tensor([3 + 4j]).abs_()


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_one_size_are_the_bags_that_offsets_make(mode):
    table = corten.tensor([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0], [4.0, 2.0]])
    index = corten.tensor([[0, 1, 3], [2, 2, 0]])
    starts = corten.tensor([0, 3])
    weights = {"per_sample_weights": corten.tensor([[1.0, 2.0, 0.5], [1.0, 1.0, 3.0]])} if mode == "sum" else {}
    flat = {key: value.reshape(-1) for key, value in weights.items()}
    got = F.embedding_bag(index, table, mode=mode, **weights)
    assert got.tolist() == F.embedding_bag(index.reshape(-1), table, starts, mode=mode, **flat).tolist()
    skipped = F.embedding_bag(index, table, mode=mode, padding_idx=2, **weights)
    assert skipped[1].tolist() == F.embedding_bag(corten.tensor([[0]]), table, mode="sum")[0].tolist() or mode == "sum"
