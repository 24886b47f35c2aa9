"""Rare forms of arguments that PyTorch's own samples use: scalars, empty tensors, more dims, infinite norms."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest


def test_gradient_takes_a_spacing_of_none_for_one():
    x = corten.tensor([1.0, 4.0, 9.0, 16.0])
    (slope,) = corten.gradient(x, spacing=None, dim=None)
    assert slope.tolist() == [3, 4, 6, 7]


def test_bools_are_close_where_they_are_equal():
    a, b = corten.tensor([True, False]), corten.tensor([True, True])
    assert corten.isclose(a, b).tolist() == [True, False]
    assert corten.allclose(a, a) and not corten.allclose(a, b)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_sum_to_size_of_integers_is_int64_where_it_sums(dtype):
    x = corten.ones((2, 3), dtype=getattr(corten, dtype))
    assert x.sum_to_size(3).dtype == x.sum_to_size(2, 1).dtype == x.sum_to_size(()).dtype == corten.int64
    assert x.sum_to_size(2, 1).tolist() == [[3], [3]] and x.sum_to_size(()).item() == 6
    assert x.sum_to_size(2, 3).dtype == x.dtype


def test_vandermonde_matrix_of_a_number_has_one_row():
    assert corten.linalg.vander(corten.tensor(2.0), N=3).tolist() == [[1, 2, 4]]
    with pytest.raises(RuntimeError, match="N must be greater than 1"):
        corten.linalg.vander(corten.tensor([2.0, 3.0]), N=1)


def test_zeroth_power_of_a_matrix_has_a_gradient_of_zeros():
    x = corten.ones((2, 3, 3), requires_grad=True)
    power = corten.linalg.matrix_power(x, 0)
    assert np.array_equal(power.detach().cpu().numpy(), np.broadcast_to(np.eye(3), (2, 3, 3)))
    power.sum().backward()
    assert x.grad.count_nonzero() == 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sinc_of_half_precision_is_rounded_once(dtype):
    x = corten.linspace(-9, 9, 37).to(getattr(corten, dtype))
    exact = corten.tensor(np.sinc(x.float().cpu().numpy()).astype(np.float32)).to(x.dtype)
    assert corten.sinc(x).dtype == x.dtype
    np.testing.assert_allclose(corten.sinc(x).float().cpu().numpy(), exact.float().cpu().numpy(), rtol=1e-2, atol=1e-6)


def test_power_pooling_of_infinite_order_is_the_largest_or_smallest_magnitude():
    x = corten.tensor([[[1.0, -5.0, 2.0, -3.0]]])
    F = corten.nn.functional
    assert F.lp_pool1d(x, math.inf, 2).tolist() == [[[5, 3]]]
    assert F.lp_pool1d(x, -math.inf, 2).tolist() == [[[1, 2]]]


def test_power_pooling_passes_nan_on_to_the_gradient():
    x = corten.tensor([[[-1.0, 1.0, 4.0, 9.0]]], requires_grad=True)
    corten.nn.functional.lp_pool1d(x, 1.5, 2).sum().backward()
    assert np.isnan(x.grad.cpu().numpy()).tolist() == [[[True, True, False, False]]]


def test_fractional_pooling_in_three_dims_takes_samples_in_order():
    x = corten.arange(5 * 5 * 5, dtype=corten.float32).reshape(1, 1, 5, 5, 5)
    samples = corten.tensor([[[0.1, 0.5, 0.9]]])
    pooled, indices = corten.nn.functional.fractional_max_pool3d(
        x, 2, output_size=(3, 3, 3), return_indices=True, _random_samples=samples
    )
    starts = [[int((i + s) * 1.5) - int(s * 1.5) if i < 2 else 3 for i in range(3)] for s in (0.1, 0.5, 0.9)]
    expected = [[[25 * (t + 1) + 5 * (h + 1) + w + 1 for w in starts[2]] for h in starts[1]] for t in starts[0]]
    assert indices.tolist() == [[expected]] and pooled.long().tolist() == [[expected]]


def test_fractional_pooling_refuses_samples_that_do_not_fit():
    x = corten.zeros((2, 3, 5, 5))
    pool = corten.nn.functional.fractional_max_pool2d
    for shape, message in (((1, 3, 2), "no less then"), ((2, 4, 2), r"size\(1\)"), ((2, 3, 3), r"equals to 2; got 3")):
        with pytest.raises(RuntimeError, match=message):
            pool(x, 2, output_size=2, _random_samples=corten.zeros(shape))
    assert pool(x[:0], 2, output_size=2).shape == (0, 3, 2, 2)


def test_unpooling_keeps_channels_last():
    x = corten.arange(16, dtype=corten.float32).reshape(1, 2, 2, 4).contiguous(memory_format=corten.channels_last)
    pooled, indices = corten.nn.functional.max_pool2d(x, 2, return_indices=True)
    unpooled = corten.nn.functional.max_unpool2d(pooled, indices, 2)
    assert unpooled.is_contiguous(memory_format=corten.channels_last) and unpooled.stride() == x.stride()
    assert unpooled.sum() == pooled.sum()


def test_batch_norm_of_nothing_is_nothing_with_a_gradient():
    x = corten.empty(0, requires_grad=True)
    for training in (True, False):
        result = corten.nn.functional.batch_norm(x, corten.empty(0), corten.empty(0), training=training)
        assert result.shape == (0,) and result.requires_grad


def test_linear_cross_entropy_of_weights_with_more_dims():
    rng = np.random.default_rng(3)
    x, weight, bias = (corten.tensor(rng.standard_normal(s).astype(np.float32)) for s in ((4, 3), (5, 2, 3), (5, 2)))
    target = corten.tensor(rng.integers(0, 5, (4, 2)))
    loss = corten.nn.functional.linear_cross_entropy(x, weight, target, linear_bias=bias)
    logits = np.einsum("ni,cdi->ncd", x.cpu().numpy(), weight.cpu().numpy()) + bias.cpu().numpy()
    expected = corten.nn.functional.cross_entropy(corten.tensor(logits.astype(np.float32)), target)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-5)


def test_reflected_division_has_its_old_name_too():
    assert corten.tensor([2.0, 4.0]).__rdiv__(8).tolist() == [4, 2]


def test_tensor_is_resized_within_its_storage_on_every_device():
    x = corten.arange(6, dtype=corten.float32)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(6).tolist() == [0, 1, 2, 3, 4, 5]


def test_lazy_modules_stay_lazy_when_they_are_converted():
    norm = corten.nn.LazyBatchNorm1d().half().float()
    assert norm.has_uninitialized_params()
    norm(corten.ones(3, 4, dtype=corten.float32))
    assert norm.running_mean.shape == (4,) and norm.running_mean.dtype == corten.float32


def test_converted_module_keeps_its_parameters_and_their_gradients():
    layer = corten.nn.Linear(2, 2)
    weight = layer.weight
    layer(corten.ones(1, 2)).sum().backward()
    layer.half()
    assert layer.weight is weight and weight.dtype == weight.grad.dtype == corten.float16


def test_linear_cross_entropy_refuses_other_ranks():
    loss = corten.nn.functional.linear_cross_entropy
    with pytest.raises(RuntimeError, match="expected input with dimensionality 1 or 2, got 3"):
        loss(corten.ones(1, 1, 3), corten.ones(5, 3), corten.zeros(1, dtype=corten.int64))
    with pytest.raises(RuntimeError, match="expected linear_weight with dimensionality at least 2, got 1"):
        loss(corten.ones(1, 3), corten.ones(3), corten.zeros(1, dtype=corten.int64))


@pytest.mark.parametrize(
    "name, of_tensor, of_numbers",
    [
        ("add", [8, 12], 7), ("sub", [2, -2], 3), ("subtract", [2, -2], 3), ("mul", [15, 35], 10),
        ("multiply", [15, 35], 10), ("div", [5 / 3, 5 / 7], 2.5), ("divide", [5 / 3, 5 / 7], 2.5),
        ("true_divide", [5 / 3, 5 / 7], 2.5), ("floor_divide", [1, 0], 2),
    ],
)  # fmt: skip
def test_arithmetic_takes_numbers_in_the_place_of_tensors(name, of_tensor, of_numbers):
    function, x = getattr(corten, name), corten.tensor([3.0, 7.0])
    np.testing.assert_allclose(function(5, x).cpu().numpy(), of_tensor, rtol=1e-6)
    both = function(5, 2)
    assert both.shape == () and both.item() == of_numbers
    assert both.dtype == (corten.float32 if isinstance(of_numbers, float) else corten.int64)
    assert function(5.0, 2).dtype == corten.float32


def test_a_number_is_shifted_by_a_tensor():
    bits = corten.tensor([1, 3])
    assert corten.bitwise_left_shift(5, bits).tolist() == [10, 40]
    assert corten.bitwise_right_shift(40, bits).tolist() == [20, 5]


def test_scaled_differences_of_a_number_and_a_tensor():
    x = corten.tensor([3, 7])
    assert corten.sub(5, x, alpha=2).tolist() == [-1, -9]
    assert corten.div(9, x, rounding_mode="floor").tolist() == [3, 1]


def test_a_range_starts_at_an_integer_that_is_a_tensor():
    x = corten.arange(5)
    assert corten.narrow(x, 0, corten.tensor(-2), 2).tolist() == x.narrow(0, corten.tensor(3), 2).tolist() == [3, 4]
    for start in (corten.tensor([1]), corten.tensor(1.0)):
        with pytest.raises(RuntimeError, match="start must be an 0-dim integral Tensor"):
            corten.narrow(x, 0, start, 2)


def test_ends_of_spaced_numbers_may_be_tensors_of_no_dims():
    assert corten.linspace(corten.tensor(0.0), 2, 3).tolist() == [0, 1, 2]
    assert corten.logspace(0, corten.tensor(2), 3).tolist() == [1, 10, 100]
    with pytest.raises(RuntimeError, match=r"linspace only supports 0-dimensional .* got end with 1 dim"):
        corten.linspace(0, corten.ones(1), 3)


def test_margins_make_losses_of_integers_floating():
    a, b, target = corten.tensor([1, 2]), corten.tensor([3, 1]), corten.tensor([1, 1])
    loss = corten.nn.functional.margin_ranking_loss(a, b, target, reduction="sum")
    assert loss.dtype == corten.float32 and loss.item() == 2


def test_a_slice_leads_back_to_what_it_was_cut_from():
    x = corten.arange(10.0)
    whole = corten.slice_inverse(x[2:5], x, 0, 2, 5)
    assert corten.equal(whole, x) and whole.data_ptr() == x.data_ptr()
