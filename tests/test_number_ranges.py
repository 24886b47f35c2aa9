"""Numbers beyond a dtype, draws and results in given memory, arguments by old and by numpy's names."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from corten.nn import functional as F

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "dtype, want",
    [
        ("int8", [0, 0, 0, 0, 44, 127]),
        ("uint8", [0, 0, 0, 0, 44, 127]),
        ("int16", [0, 0, 0, 0, 300, -129]),
        ("uint16", [0, 0, 0, 0, 300, 65407]),
        ("int32", [-(2**31)] * 4 + [300, -129]),
        ("int64", [-(2**63), -(2**63), -(2**63), 3 * 10**9, 300, -129]),
    ],
)
def test_floats_out_of_range_become_the_smallest_integer_or_its_low_bits(dtype, want):
    x = corten.tensor([NAN, INF, -1e30, 3e9, 300.5, -129.5])
    assert x.to(getattr(corten, dtype)).tolist() == want
    # Long enough for vectors, from memory with gaps, and fused with what follows.
    assert x.repeat(40).to(getattr(corten, dtype))[-6:].tolist() == want
    wide = corten.stack([x, x], 1)[:, 1]
    assert wide.to(getattr(corten, dtype)).tolist() == want


@pytest.mark.parametrize(
    "call",
    [
        lambda: corten.full((2,), 300, dtype=corten.uint8),
        lambda: corten.zeros(2, dtype=corten.uint8).fill_(-256),
        lambda: corten.zeros(2, dtype=corten.int32).masked_fill(corten.tensor([True, False]), INF),
        lambda: corten.zeros(2).fill_(1e40),
        lambda: corten.zeros(2).fill_(1 + 1j),
        lambda: corten.tensor([1e10], dtype=corten.int32),
        lambda: corten.tensor([NAN], dtype=corten.int64),
        lambda: corten.zeros(2, dtype=corten.uint8).clamp(max=300),
    ],
)
def test_numbers_that_do_not_fit_are_refused(call):
    with pytest.raises(RuntimeError, match=r"value cannot be converted to type .* without overflow"):
        call()


def test_negative_integers_wrap_where_there_is_no_sign():
    assert corten.full((2,), -1, dtype=corten.uint8).tolist() == [255, 255]
    assert (corten.zeros(1, dtype=corten.uint8) + 300).tolist() == [44]


def test_integers_beyond_int64_are_refused_but_for_floats():
    with pytest.raises(ValueError, match="Overflow when unpacking long long"):
        corten.tensor([2**64])
    assert corten.tensor([2**64], dtype=corten.float32).tolist() == [2.0**64]


def test_products_of_halves_with_numbers_take_the_number_in_float32():
    x = corten.arange(100).to(corten.bfloat16)
    want = (corten.arange(100, dtype=corten.float32) * 0.1).to(corten.bfloat16)
    assert corten.equal(x * 0.1, want)
    assert (corten.zeros(2, dtype=corten.float16) * 70000).tolist() == [0, 0]


def test_the_variance_of_nothing_is_nan_whatever_the_correction():
    assert math.isnan(corten.var(corten.zeros(0), correction=-5).item())
    with pytest.warns(UserWarning, match=r"std\(\): degrees of freedom is <= 0"):
        corten.std(corten.zeros(1, 2), 0)
    with pytest.warns(UserWarning, match=r"var_mean\(\): degrees of freedom is <= 0"):
        corten.var_mean(corten.zeros(1, 2), 0)


@pytest.mark.cpu
def test_draws_follow_the_addresses_of_the_target_and_the_rows_of_a_parameter():
    corten.manual_seed(0)
    rows = corten.rand(3, 2)
    corten.manual_seed(0)
    assert corten.equal(corten.rand(2, 3, out=corten.empty(3, 2).t()), rows.t())
    corten.manual_seed(0)
    dense = corten.normal(corten.ones(3, 2), 1.0)
    corten.manual_seed(0)
    assert corten.equal(corten.normal(corten.ones(2, 3).t(), 1.0), dense)


def test_complex_draws_that_there_are_not_are_refused():
    with pytest.raises(NotImplementedError, match="geometric_cpu"):
        corten.ones(2, dtype=corten.complex64).geometric_(0.5)
    with pytest.raises(RuntimeError, match="check_random_bounds handles only integral"):
        corten.randint_like(corten.ones(2, dtype=corten.complex64), 3)


def test_resized_outputs_have_the_strides_of_results_and_creations_say_nothing():
    assert corten.linalg.inv(corten.eye(2), out=corten.empty(0)).stride() == (1, 2)
    assert corten.cat([corten.ones(3, 2).t()], out=corten.empty(0)).stride() == (3, 1)
    assert corten.zeros(2, 2, out=corten.ones(3)).tolist() == [[0, 0], [0, 0]]
    with pytest.warns(UserWarning, match="^An output with one or more elements was resized"):
        corten.kron(corten.ones(2), corten.ones(2), out=corten.ones(3))


@pytest.mark.cpu
def test_outputs_that_must_have_the_dtype_of_the_result():
    with pytest.raises(RuntimeError, match="softmax: Expected out tensor to have dtype float32, but got float64"):
        corten.softmax(corten.ones(2), 0, out=corten.empty(0, dtype=corten.float64))
    with pytest.raises(TypeError, match=r"torch.cat\(\): input types can't be cast to the desired output type Long"):
        corten.cat([corten.ones(2)], out=corten.empty(0, dtype=corten.int64))
    with pytest.raises(TypeError, match=r"cat\(\): argument 'out' must be Tensor, not int"):
        corten.cat([corten.ones(2)], out=3)


def test_old_and_numpys_arguments():
    x = corten.ones(2, 2)
    with pytest.warns(UserWarning, match="This overload of addmm is deprecated"):
        assert corten.addmm(2, x, 3, x, x).tolist() == [[8, 8], [8, 8]]
    with pytest.warns(UserWarning, match="This overload of addcmul is deprecated"):
        assert corten.ones(1).addcmul_(2, corten.ones(1), corten.ones(1)).tolist() == [3]
    assert corten.add(x1=x, x2=x).tolist() == corten.sum(a=x.expand(2, 2, 2), axis=0).tolist()


def test_the_modulus_of_a_class_that_takes_over_is_not_looked_at():
    class Zero:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__

    class Taken(corten.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__

    zero = corten.zeros(1, dtype=corten.int64).as_subclass(Taken)
    assert corten.ones(1, dtype=corten.int64) % Zero() == corten.ones(1, dtype=corten.int64) % zero == "remainder"


def test_sizes_are_ints():
    assert corten.Size([True, corten.tensor(3)]) == (1, 3)
    with pytest.raises(TypeError, match=r"takes an iterable of 'int' \(item 1 is 'str'\)"):
        corten.Size([1, "a"])
    assert type(corten.ones(2, 3).shape) is corten.Size


def test_readonly_memory_that_is_not_aligned_is_copied_and_other_memory_refused():
    memory = b"x" + np.arange(3, dtype=np.float32).tobytes()
    with pytest.warns(UserWarning, match="not writable"):
        assert corten.frombuffer(memory, dtype=corten.float32, offset=1).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="are not aligned to 4 bytes"):
        corten.frombuffer(bytearray(memory), dtype=corten.float32, offset=1)


def test_the_gradient_of_a_convolution_alone_is_one_kernel():
    x, w = corten.rand(2, 3, 8, 8), corten.rand(4, 3, 3, 3)
    g = corten.rand(2, 4, 6, 6)
    corten._core.flush()
    for call in (
        lambda: corten.nn.grad.conv2d_input(x.shape, w, g),
        lambda: corten.nn.grad.conv2d_weight(x, w.shape, g),
    ):
        before = corten._core.counters()["kernels"]
        call().sum().item()
        assert corten._core.counters()["kernels"] - before <= 2


@pytest.mark.cpu
def test_images_of_bytes_are_resized_in_fixed_point():
    image = corten.tensor([[[[0, 255, 10], [3, 77, 200]]]], dtype=corten.uint8)
    # As PyTorch 2.13 and Pillow round on the CPU: each axis to bytes, the width first.
    want = [[0, 102, 255, 108, 10], [2, 68, 166, 130, 105], [3, 33, 77, 151, 200]]
    assert F.interpolate(image, (3, 5), mode="bilinear")[0, 0].tolist() == want


HUGE = {
    "zeros": lambda: corten.zeros(1 << 62, 4),
    "empty": lambda: corten.empty(1 << 62, 4),
    "empty strided": lambda: corten.empty_strided((1 << 62, 4), (0, 0)),
    "expand": lambda: corten.ones(1, 1).expand(1 << 33, 1 << 33),
    "as_strided of sizes": lambda: corten.as_strided(corten.ones(10), (1 << 33, 1 << 33), (0, 0)),
    "as_strided of strides": lambda: corten.as_strided(corten.ones(10), (5,), (1 << 62,)),
    "repeat": lambda: corten.ones(4).repeat(1 << 62),
    "repeat_interleave": lambda: corten.ones(4).repeat_interleave(1 << 62),
    "broadcast": lambda: corten.ones(1).expand(1 << 33, 1) + corten.ones(1).expand(1, 1 << 33),
    "outer": lambda: corten.ones(1).expand(1 << 33).outer(corten.ones(1).expand(1 << 33)),
    "matmul": lambda: corten.ones(1).expand(1 << 33, 1) @ corten.ones(1).expand(1, 1 << 33),
    "interpolate": lambda: corten.nn.functional.interpolate(corten.ones(1, 1, 2, 2), size=(1 << 32, 1 << 32)),
    "tril_indices": lambda: corten.tril_indices(1 << 33, 1 << 33),
    "meta": lambda: corten.empty(1 << 62, 4, device="meta"),
}


@pytest.mark.parametrize("name", HUGE)
def test_more_elements_than_can_be_counted_are_refused(name):
    with pytest.raises(RuntimeError, match=r"overflow|out of memory|out of bounds"):
        HUGE[name]()


def test_the_constructor_takes_a_size_for_sizes_and_no_number_but_whole_ones():
    assert corten.Tensor(corten.Size([2, 3])).shape == (2, 3) and corten.Tensor(2, 3).shape == (2, 3)
    assert corten.Tensor((2, 3)).tolist() == [2.0, 3.0]
    with pytest.raises(TypeError, match="data must be a sequence"):
        corten.Tensor(3.5)
