"""Elementwise work that the CPU does on parts of a product or a convolution while they are in cache."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import corten
import corten.nn.functional as F
import pytest
from corten.profiler import profile

pytestmark = pytest.mark.cpu


def kernels(f: Callable[[], object]) -> list[str]:
    """The kernels that a program runs."""
    corten.flush()
    with profile() as p:
        made = f()
        corten.cpu.synchronize()
    del made
    return sorted(row.key.replace("aten::", "").replace("mm", "matmul") for row in p.key_averages())


def randn(*shape: int, dtype: corten.dtype = corten.float32) -> corten.Tensor:
    return corten.randn(*shape).to(dtype)


def check(option, f: Callable[..., object], *tensors: corten.Tensor) -> None:
    """The same to the last bit as with every operator by itself."""
    option("fusion", True)
    joined = f(*(t.clone() for t in tensors))
    corten.flush()
    option("fusion", False)
    expected = f(*(t.clone() for t in tensors))
    corten.flush()
    pairs = zip(joined, expected, strict=True) if isinstance(joined, tuple) else [(joined, expected)]
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape and ours.stride() == theirs.stride()
        corten.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_a_linear_layer_and_what_follows_is_one_kernel() -> None:
    x, w, b, y = randn(4, 5, 32), randn(48, 32), randn(48), randn(4, 5, 48)
    assert kernels(lambda: F.gelu(F.linear(x, w, b))) == ["matmul + fused(add, gelu)"]
    assert kernels(lambda: F.linear(x, w, b) + y) == ["matmul + fused(add, add)"]
    assert kernels(lambda: F.linear(x[0], w, b)) == ["matmul + add"]


def test_a_convolution_takes_in_what_follows() -> None:
    x, rest = randn(2, 8, 20, 20), randn(2, 16, 20, 20)
    conv, norm = corten.nn.Conv2d(8, 16, 1, bias=False), corten.nn.BatchNorm2d(16).eval()
    with corten.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        made = kernels(lambda: F.relu(norm(conv(x)) + rest))
        assert "convolution + fused(mul, add, add, relu)" in made and "batch_norm" not in " ".join(made)


def test_a_batch_norm_by_running_statistics_is_the_same_with_and_without_gradient() -> None:
    x = randn(3, 6, 5, 7)
    for dtype, affine, format in itertools.product(
        (corten.float32, corten.float64, corten.bfloat16),
        (False, True),
        (corten.contiguous_format, corten.channels_last),
    ):
        norm = corten.nn.BatchNorm2d(6, affine=affine, dtype=dtype).eval()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        one = x.to(dtype).contiguous(memory_format=format)
        with corten.no_grad():
            ours = norm(one)
        expected = norm(one.requires_grad_())
        assert ours.stride() == expected.stride() and ours.dtype == dtype
        corten.testing.assert_close(ours, expected.detach())


FORMS = {
    "bias of rows": lambda a, b, c: a @ b + c[:1, :1],
    "scale and shift": lambda a, b, c: (a @ b) * 0.5 + 1,
    "the product itself is needed as well": lambda a, b, c: (lambda y: (y, y.tanh() + c))(a @ b),
    "a copy of the product and more": lambda a, b, c: (lambda y: (y.clone(), y.exp(), y + c))(a @ b),
    "comparisons and conversions": lambda a, b, c: (lambda y: (y > 0, y.double(), y.to(corten.int32), y.bfloat16()))(
        a @ b
    ),
    "an operand that the product reads too": lambda a, b, c: (a.sum(0, keepdim=True) @ b) + a.sum(0)[: b.shape[1]],
    "an operand that lies across": lambda a, b, c: a @ b + corten.where(c > 0, c, -c).t().contiguous().t(),
    "two products": lambda a, b, c: (a @ b) * (c + 1) + (a + 1) @ b,
    "a write into the result": lambda a, b, c: (a @ b).relu_().add_(c),
    "another shape": lambda a, b, c: ((a @ b).view(-1, 1, b.shape[1]) + 1, (a @ b).flatten() * 2),
    "two shapes": lambda a, b, c: (lambda y: (y.view(1, -1) + 1, y.flatten() * 2, y * 3))(a @ b),
    "transposed": lambda a, b, c: ((b.t() @ a.t()).t() + c).relu(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_what_the_parts_give(form: str, option) -> None:
    sizes = [(1, 40, 70), (70, 40, 1), (7, 9, 5), (33, 100, 130), (3, 700, 9), (260, 64, 300), (5, 0, 6)]
    for (m, k, n), dtype in itertools.product(sizes, (corten.float32, corten.float64, corten.bfloat16, corten.int64)):
        a, b, c = randn(m, k, dtype=dtype), randn(k, n, dtype=dtype), randn(m, n, dtype=dtype)
        if dtype == corten.int64 and form != "scale and shift":
            a, b, c = (corten.randint(-5, 6, t.shape) for t in (a, b, c))
        if (form == "an operand that the product reads too" and k < n) or (dtype == corten.int64 and "copy" in form):
            continue
        check(option, FORMS[form], a, b, c)


def test_batches_of_products(option) -> None:
    mask, q, k = randn(6, 6), randn(2, 3, 6, 8), randn(2, 3, 6, 8)
    check(option, lambda q, k, mask: (q @ k.transpose(-2, -1)) / 8**0.5 + mask, q, k, mask)
    check(option, lambda x, w, b: (x @ w + b).relu(), randn(5, 1, 7, 6), randn(4, 6, 9), randn(9))
    check(option, lambda x, w, b: (x @ w + b).relu(), randn(50, 64, 20), randn(20, 30), randn(30))


CONVOLUTIONS = [
    # Channels, kernel, stride, padding, groups.
    ((8, 16), 3, 1, 1, 1),
    ((3, 12), 3, 2, 1, 1),
    ((6, 6), 3, 1, 1, 6),
    ((6, 12), 3, 2, 1, 6),
    ((8, 4), 1, 1, 0, 2),
    ((8, 40), 1, 2, 0, 1),
    ((40, 33), 1, 1, 0, 1),
    ((4, 8), 5, 1, 2, 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions_of_every_kind(case, option) -> None:
    (into, out), kernel, stride, padding, groups = case
    weight, bias, scale = randn(out, into // groups, kernel, kernel), randn(out), randn(out, 1, 1)
    for (count, height, width), dtype in itertools.product(
        [(1, 7, 9), (2, 40, 33), (3, 12, 12)], (corten.float32, corten.float64, corten.float16)
    ):
        x, w, b, s = (t.to(dtype) for t in (randn(count, into, height, width), weight, bias, scale))
        for biased in (False, True):
            given = b if biased else None
            check(
                option, lambda x, w, s, g=given: F.relu(F.conv2d(x, w, g, stride, padding, 1, groups) * s + 1), x, w, s
            )
    if groups == 1:
        x, turned = randn(2, into, 9, 8), weight.transpose(0, 1).contiguous()
        check(option, lambda x, w: F.silu(F.conv_transpose2d(x, w, stride=stride)), x, turned)


def test_gradients_pass_through(option) -> None:
    def step(x, w, b):
        x, w, b = (t.requires_grad_() for t in (x, w, b))
        h = F.relu(F.linear(x, w, b))
        F.gelu(F.linear(h, w)).square().mean().backward()
        return x.grad, w.grad, b.grad

    check(option, step, randn(9, 16), randn(16, 16), randn(16))
    check(option, step, randn(4, 9, 64), randn(64, 64), randn(64))


def test_what_the_result_replaces_is_read_before(option) -> None:
    """The memory of an operand that nobody else reads is taken for a result, but not where the product reads it."""

    def step(x, w):
        for _ in range(3):
            x = (x @ w) * 0.1 + x
        return x

    check(option, step, randn(40, 40), randn(40, 40))
    check(option, lambda x, w: (lambda y: ((x @ w) + y, y.sum()))(x * 2), randn(40, 40), randn(40, 40))
