"""Operands of the GPU whose neighbours lie along another dim than the result's, read in blocks of 4 × 4 elements,
beside operands read one by one; and copies and fills of windows, in elements of up to 16 bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys

import corten
import numpy as np
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")

DTYPES = ["float32", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool"]
SIZES = [(4, 4), (8, 4), (4, 8), (60, 64), (64, 68), (132, 8), (8, 1028), (64, 64), (62, 64), (64, 62), (7, 4), (1, 4)]


def numbers(shape, dtype: str, seed: int = 11) -> corten.Tensor:
    count = int(np.prod(shape, dtype=int))
    values = ((corten.arange(count) * 37 + seed) % 97 - 48).reshape(shape)
    return values % 3 == 0 if dtype == "bool" else values.to(getattr(corten, dtype))


def check(work, *inputs: corten.Tensor) -> None:
    """The GPU computes what the CPU computes, in the same layout."""
    results = []
    for device in ("cpu", "gpu"):
        made = work(*[x.to(device) for x in inputs])
        results.append(made if isinstance(made, tuple) else (made,))
    for want, got in zip(*results, strict=True):
        assert got.stride() == want.stride() and got.dtype == want.dtype
        assert corten.equal(got.cpu(), want)


def together(a: corten.Tensor, b: corten.Tensor) -> corten.Tensor:
    return a ^ b if a.dtype == corten.bool else a + b


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_a_matrix_beside_a_transposed_one(dtype: str, rows: int, columns: int) -> None:
    x, y = numbers((rows, columns), dtype), numbers((columns, rows), dtype, 5)
    check(lambda a, b: together(a, b.T), x, y)
    check(lambda a, b: together(b.T, a), x, y)
    check(lambda b: b.T.contiguous(), y)
    check(lambda b: b.clone(), y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_batches_of_transposed_matrices(dtype: str, rows: int, columns: int) -> None:
    x, y = numbers((3, rows, columns), dtype), numbers((3, columns, rows), dtype, 5)
    check(lambda a, b: together(a, b.transpose(1, 2)), x, y)
    for order in [(0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0), (1, 0, 2)]:
        check(lambda b, order=order: b.permute(order).contiguous(), y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 8, 12, 12), (3, 4, 2, 2), (2, 3, 4, 4), (1, 64, 5, 4), (5, 16, 7, 3)])
def test_channels_come_last_and_go_back(dtype: str, shape: tuple[int, ...]) -> None:
    x, bias = numbers(shape, dtype), numbers((shape[1], 1, 1), dtype, 5)
    last = x.permute(0, 2, 3, 1).contiguous()
    check(lambda a: a.permute(0, 2, 3, 1).contiguous(), x)
    check(lambda a: a.permute(0, 3, 1, 2).contiguous(), last)
    check(lambda a: a.contiguous(memory_format=corten.channels_last), x)
    check(lambda a, b, c: together(together(a, b.permute(0, 3, 1, 2)), c), x, last, bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("first", [0, 1, 2, 4, 8])
def test_windows_that_begin_anywhere(dtype: str, first: int) -> None:
    x, y = numbers((16, 24), dtype), numbers((40, 32), dtype, 5)
    check(lambda a, b: together(a, b[first : first + 24, 4:20].T), x, y)
    check(lambda a, b: together(a, b[4:28, first : first + 16].T), x, y)
    check(lambda a, b: together(a[:, first : first + 16], b[:16, first : first + 16].T), x, y)
    check(lambda b: b[::2, first : first + 16].T.contiguous(), y)
    check(lambda b: b[:20, first::2].T.contiguous(), y)
    # Rows whose length is no multiple of four, so that columns begin anywhere.
    check(lambda b: b.flatten()[: 33 * 35].reshape(35, 33)[:32, first : first + 24].T.contiguous(), y)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8"])
def test_operands_of_every_kind_in_one_kernel(dtype: str) -> None:
    x, y, z = numbers((12, 16), dtype), numbers((16, 12), dtype, 5), numbers((24, 32), dtype, 7)
    row, column, one = numbers((16,), dtype, 3), numbers((12, 1), dtype, 2), numbers((), dtype, 1)
    check(lambda a, b, c, d, e, f: a + b.T + c[::2, ::2] + d + e * f, x, y, z, row, column, one)
    # Two orders that are turned differently: one of them is read one by one.
    cube = numbers((8, 8, 8), dtype)
    check(lambda a: a + a.transpose(0, 2) + a.permute(0, 2, 1) + a.permute(1, 2, 0), cube)
    # Several results of several dtypes.
    check(lambda a, b: (a + b.T, (a + b.T) > 3, (a * b.T).float(), (b.T - a).to(corten.int64)), x, y)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int16"])
@pytest.mark.parametrize("size", [4, 7, 64, 68])
def test_a_square_matrix_and_its_own_transpose(dtype: str, size: int) -> None:
    def added(a: corten.Tensor) -> corten.Tensor:
        a += a.T.clone()
        return a

    def replaced(a: corten.Tensor) -> corten.Tensor:
        a.copy_(a * 2 + a.T)
        return a.add_((a - 1).T)

    x = numbers((size, size), dtype)
    check(lambda a: added(a.clone()), x)
    check(lambda a: replaced(a.clone()), x)
    check(lambda a: (a + a.T) - (a + a.T).T, x)
    with pytest.raises(RuntimeError, match="single memory location"):
        there = x.to("gpu")
        there += there.T


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(64, 36), (62, 7)])
def test_dropout_draws_by_element_whatever_the_order_of_reading(dtype: str, shape: tuple[int, int]) -> None:
    x = numbers(shape, dtype).to("gpu") + 100
    masks = []
    for turned in (x.T, x.T.contiguous()):
        corten.gpu.manual_seed(3)
        # Beside a dense tensor, so that the result is dense in its order.
        dense = corten.zeros(turned.shape, device="gpu", dtype=x.dtype)
        masks.append(corten.nn.functional.dropout(dense + turned, 0.5) * 1)
    assert corten.equal(masks[0], masks[1])
    kept = (masks[0] != 0).float().mean().item()
    assert 0.4 < kept < 0.6
    assert corten.equal(masks[0], corten.where(masks[0] != 0, x.T * 2, corten.zeros_like(x.T)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_and_fills_of_windows(dtype: str) -> None:
    def written(place, value):
        def work(a: corten.Tensor, b: corten.Tensor) -> corten.Tensor:
            a = a.clone()
            a[place].copy_(value(b)) if callable(value) else a[place].fill_(value)
            return a

        return work

    every = slice(None)
    places = [every, slice(4, None), slice(1, 5), (every, slice(8, 16)), (every, slice(1, 9)), (every, slice(3, 4))]
    places += [slice(None, None, 2), (every, slice(None, None, 2)), (slice(2, 6), slice(2, 10)), (slice(0, 0),)]
    for columns in (16, 17, 20):
        x, y = numbers((12, columns), dtype), numbers((12, columns), dtype, 5)
        for place in places:
            check(written(place, 1), x, y)
            check(written(place, lambda b, place=place: b[place]), x, y)
            shape = x[place].shape
            check(written(place, lambda b, shape=shape: b.flatten()[: shape.numel()].reshape(shape[::-1]).T), x, y)
        check(lambda a, b: corten.cat([a, b], 0), x, y)
        check(lambda a, b: corten.cat([a, b[:, :4], b.T.reshape(12, columns)], 1), x, y)


SCRIPT = """
import corten
x, y = (corten.ones(64, 128).to(dtype=getattr(corten, {dtype!r}), device="gpu") for _ in range(2))
(x.reshape(128, 64) + y.T).cpu()
"""


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_no_operand_of_a_sum_is_read_word_by_word(dtype: str, tmp_path) -> None:
    environment = {**os.environ, "CORTEN_GPU_SHADERS": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SCRIPT.format(dtype=dtype)], check=True, env=environment, timeout=300)
    texts = [path.read_text() for path in tmp_path.glob("elementwise*.wgsl")]
    sums = [text for text in texts if text.count("var<storage, read>") == 2]
    assert len(sums) == 1
    assert sums[0].count("array<vec") >= 3 and "array<u32>" not in sums[0]
