"""Products and convolutions on a GPU in every form that devices choose among, and elementwise work in other kernels.

The device chooses the forms; environment variables force them, so each test runs programs in processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import corten
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")

# The rungs of features, from WebGPU's defaults up, and both ways of tiles.
RUNGS = {
    "core": {"CORTEN_GPU_FEATURES": "core", "CORTEN_GPU_TILES": "staged"},
    "immediates": {"CORTEN_GPU_FEATURES": "immediates,limits", "CORTEN_GPU_TILES": "staged"},
    "subgroups": {"CORTEN_GPU_FEATURES": "immediates,subgroups,limits", "CORTEN_GPU_TILES": "direct"},
    "f16": {"CORTEN_GPU_FEATURES": "immediates,subgroups,f16,limits", "CORTEN_GPU_TILES": "staged"},
    "all": {"CORTEN_GPU_TILES": "direct"},
}

PRELUDE = """
import itertools
import corten
import corten.nn.functional as F
corten.manual_seed(0)
wrong = []
def check(name, ours, expected, tolerance=1e-4):
    ours, expected = ours.detach().cpu().double(), expected.detach().double()
    bound = tolerance * max(1.0, expected.abs().max().item()) if expected.numel() else 0
    if ours.shape != expected.shape or ((ours - expected).abs() > bound).any().item():
        wrong.append(name)
def both(name, f, *tensors, tolerance=2e-4):
    expected, ours = f(*[t.clone() for t in tensors]), f(*[t.to("gpu") for t in tensors])
    pairs = zip(ours, expected) if isinstance(expected, tuple) else [(ours, expected)]
    for a, b in pairs:
        check(name, a, b, tolerance)
"""


def run(text: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(text) + "\nprint('wrong:', wrong)"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "wrong: []", lines
    return lines[:-1]


MATRICES = """
sizes = [(1, 1, 1), (5, 7, 9), (64, 64, 64), (33, 100, 70), (128, 64, 256), (1, 300, 50), (50, 300, 1), (3, 1000, 100),
         (16, 2000, 16), (200, 8, 4), (130, 36, 140), (4, 4096, 4), (10, 20, 300), (300, 20, 10), (7, 0, 5)]
def matrix(rows, columns, turned, dtype):
    shape = (columns, rows) if turned else (rows, columns)
    if dtype.is_floating_point:
        x = (corten.randn(shape) / 4).to(dtype)
    else:
        x = corten.randint(-5, 6, shape, dtype=dtype)
    return (x.t(), x.to("gpu").t()) if turned else (x, x.to("gpu"))
for dtype in (corten.float32, corten.float16, corten.int64, corten.int32):
    for (m, k, n), a_turned, b_turned in itertools.product(sizes, (False, True), (False, True)):
        (a, a_gpu), (b, b_gpu) = matrix(m, k, a_turned, dtype), matrix(k, n, b_turned, dtype)
        half = dtype == corten.float16
        expected = a.float() @ b.float() if half else a @ b
        check((str(dtype), m, k, n, a_turned, b_turned), a_gpu @ b_gpu, expected, 2e-3 if half else 1e-4)
both("batches", lambda a, b: a @ b, corten.randn(3, 1, 20, 33), corten.randn(4, 33, 18))
both("a slice", lambda a, b: a[1:, 3:] @ b[:, 1:], corten.randn(20, 39), corten.randn(36, 18))
"""


@pytest.mark.parametrize("rung", RUNGS)
def test_products_of_any_layout_and_size_on_every_rung(rung: str) -> None:
    run(MATRICES, **RUNGS[rung])


CONVOLUTIONS = """
cases = [(2, 3, (9, 9), 16, (3, 3), 1, 1, 1, 1, True), (2, 16, (8, 8), 32, (1, 1), 1, 0, 1, 1, False),
         (2, 16, (8, 8), 32, (1, 1), 1, 0, 1, 1, True), (1, 8, (10, 12), 24, (3, 3), 2, 1, 1, 2, True),
         (2, 16, (7, 7), 16, (3, 2), 1, 2, 2, 1, False), (2, 12, (9, 9), 12, (3, 3), 1, 1, 1, 12, True),
         (1, 32, (12, 12), 64, (3, 3), 2, 0, 1, 1, False), (4, 16, (16, 16), 20, (5, 5), 3, 2, 1, 1, True),
         (2, 64, (8, 8), 64, (3, 3), 1, 1, 1, 1, True), (2, 16, (30,), 24, (5,), 1, 2, 1, 1, True),
         (1, 12, (5, 6, 7), 16, (3, 3, 3), 1, 1, 1, 1, False)]
layouts = (corten.contiguous_format, corten.channels_last)
for case, layout in itertools.product(cases, layouts):
    n, c, size, m, kernel, stride, padding, dilation, groups, biased = case
    if layout == corten.channels_last and len(size) != 2:
        continue
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(size)]
    x, w = corten.randn(n, c, *size).contiguous(memory_format=layout), corten.randn(m, c // groups, *kernel)
    b = corten.randn(m) if biased else None
    results = []
    for device in ("cpu", "gpu"):
        own = [t.detach().to(device).requires_grad_() for t in (x, w)]
        y = convolve(*own, None if b is None else b.to(device), stride, padding, dilation, groups)
        g = corten.cos(corten.arange(y.numel()).float()).view(y.shape).to(device)
        y.backward(g)
        results.append((y, own[0].grad, own[1].grad))
    for what, ours, expected in zip(("y", "dx", "dw"), results[1], results[0]):
        check((what, case, layout), ours, expected)
half = [corten.randn(2, 40, 12, 12).half(), (corten.randn(48, 40, 3, 3) / 10).half()]
expected = F.relu(F.conv2d(*[t.float() for t in half], padding=1))
check("half", F.relu(F.conv2d(*[t.to("gpu") for t in half], padding=1)), expected, 2e-3)
"""


@pytest.mark.parametrize("rung", ["core", "f16", "all"])
def test_convolutions_and_their_gradients_in_every_form(rung: str) -> None:
    run(CONVOLUTIONS, **RUNGS[rung])


JOINED = """
x, w, b, r = corten.randn(20, 36), corten.randn(48, 36), corten.randn(48), corten.randn(20, 48)
both("activation", lambda x, w, b: F.gelu(F.linear(x, w, b)), x, w, b)
both("kept", lambda x, w, b: (lambda y: (y, F.relu(y)))(F.linear(x, w, b)), x, w, b)
both("residual", lambda x, w, b, r: F.relu(F.linear(x, w, b) + r) * 2, x, w, b, r)
both("before a sum", lambda x: ((x - 1) ** 2).sum(), x)
both("around a sum", lambda x: (x * x + 1).sum(0).sqrt(), x)
both("around a mean", lambda x: (x.exp().mean(1) + 1e-5).rsqrt(), x)
both("before a product", lambda x, w: (x * 2) @ (w.t() + 1), x, w)
both("half", lambda x, w: F.relu(x.half() @ w.half().t() + 1), x / 4, w / 4, tolerance=2e-3)
three = lambda y: (y, y > 0, y.float() * 2)
both("half kept", lambda x, w: three(x.half() @ w.half().t()), x / 4, w / 4, tolerance=2e-3)
both("odd sizes", lambda x, w: F.silu(x[:7, :5] @ w[:9, :5].t()), x, w)
both("a vector", lambda x, w: corten.tanh(x[:1] @ w.t()), x, w)
both("a square", lambda x: (lambda y: y @ y + y)(x[:20, :20] * 2), x)
both("long sums", lambda x, w: F.relu(x @ w) + 1, corten.randn(8, 2000), corten.randn(2000, 6))
both("many elements", lambda x: (x * 2).sum() + 1, corten.randn(300000))
both("expanded", lambda x: (x + 1).expand(5, 20, 36).sum((0, 2)) * 2, x)
both("written over", lambda x: (lambda total, _: total)((x * 2 + 1).sum(1), x.mul_(0)), x)
both("written in part", lambda x: (lambda total, _: total)((x * 2 + 1).sum(1), x[3:7].fill_(5)), x)
both("positions", lambda x: (x + 1).argmax(1) + 1, x)
both("logic", lambda x: ~(x > 2).any(1), x)
image, k = corten.randn(2, 3, 10, 10), corten.randn(16, 3, 3, 3)
last = lambda t: t.contiguous(memory_format=corten.channels_last)
both("convolution", lambda i, k: F.relu(F.conv2d(i, k, padding=1)), image, k)
both("channels last", lambda i, k: F.relu(F.conv2d(last(i), k, padding=1) + 1), image, k)
both("one point", lambda i, k: F.relu(F.conv2d(i, k[:, :, :1, :1]) + 1), image, k)
m, v = b[:16], b[:16].abs() + 1
both("normalised", lambda i, k, m, v: F.relu(F.batch_norm(F.conv2d(i, k, padding=1), m, v)), image, k, m, v)
"""


@pytest.mark.parametrize("rung", ["core", "all"])
def test_elementwise_work_before_and_after_other_operators_is_part_of_their_kernels(rung: str) -> None:
    run(JOINED, **RUNGS[rung])


def kernels_of(program: str) -> list[str]:
    """The kernels that a program of two lines runs on the GPU, by name."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(program)]
    environment = {**os.environ, "CORTEN_DEBUG": "4"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr
    graphs = result.stderr.split("corten: kernels\n")[1:]
    # The list ends where the next message begins.
    lists = [graph.split("corten:")[0].splitlines() for graph in graphs]
    return [line.split("%")[0].strip() for lines in lists for line in lines]


def test_a_linear_layer_with_its_activation_is_one_kernel() -> None:
    made = kernels_of(
        """
        x, w, b = (corten.ones(*s, device="gpu") for s in ((4, 8), (6, 8), (6,)))
        corten.gpu.synchronize()
        F.gelu(F.linear(x, w, b)).cpu()
        """
    )
    assert "matmul + fused(add, gelu)" in made, made


def test_a_mean_of_squares_reads_its_operands_once() -> None:
    made = kernels_of(
        """
        x, y = corten.ones(40, device="gpu"), corten.zeros(40, device="gpu")
        corten.gpu.synchronize()
        F.mse_loss(x, y).cpu()
        """
    )
    assert len([name for name in made if "+" in name or "mean" in name]) == 1, made


def test_where_buffers_are_too_many_or_too_large_the_parts_run_one_after_the_other() -> None:
    text = """
    many = [corten.randn(12, 12) for _ in range(9)]
    both("many", lambda *t: F.relu(t[0] @ t[1] + t[2]) * t[3] + t[4] * t[5] - t[6] * t[7] + t[8], *many)
    big = corten.randn(300, 64)
    both("large", lambda t: F.relu(t @ t[:20].t()) + 1, big)
    both("large sum", lambda t: (t * 2).sum(1).sqrt().nan_to_num(), big)
    """
    run(text, CORTEN_GPU_FEATURES="core")
    run(text, CORTEN_GPU_LIMITS="max_storage_buffer_binding_size=65536")


def test_a_new_size_compiles_nothing() -> None:
    lines = run(
        """
        w, b = corten.randn(24, 40, device="gpu"), corten.randn(24, device="gpu")
        def compiled():
            corten.gpu.synchronize()
            return corten.gpu.memory_stats()["shaders_compiled"]
        def step(n):
            F.relu(F.linear(corten.randn(n, 40, device="gpu"), w, b)).sum().item()
        for n in (32, 48, 64, 80, 96):  # of every tile that the sizes between them choose
            step(n)
        print(compiled())
        for n in range(36, 96, 4):
            step(n)
        print(compiled())
        """
    )
    assert lines[0] == lines[1]


MESA = os.environ.get("CORTEN_TEST_MATRIX_UNITS")


@pytest.mark.slow
@pytest.mark.skipif(not MESA, reason="CORTEN_TEST_MATRIX_UNITS says that the adapter has matrix units; few have")
def test_products_on_matrix_units() -> None:
    lines = run(MATRICES + CONVOLUTIONS + JOINED + "\nprint('matrices' in corten.gpu.get_device_properties().features)")
    assert lines[-1] == "True"


def test_the_folder_of_shaders_holds_the_forms() -> None:
    folder = Path(__file__).resolve().parent.parent / "shaders" / "product"
    assert {"staged.wgsl", "direct.wgsl", "dot.wgsl", "cooperative.wgsl"} <= {f.name for f in folder.iterdir()}
