"""Mixed precision and checkpointing on a GPU: its own lists of operators, and a run that learns."""

from __future__ import annotations

import os

import corten
import corten.nn.functional as F
import pytest
from corten.utils.checkpoint import checkpoint

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

needs_gpu = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")


def full(*shape):
    return corten.rand(*shape, device="cuda") + 0.1


def half(*shape):
    return full(*shape).half()


LOWER = {
    "matmul": lambda: full(4, 4) @ full(4, 4),
    "mv": lambda: corten.mv(full(4, 4), full(4)),
    "linear": lambda: F.linear(full(4, 4), full(4, 4)),
    "conv2d": lambda: F.conv2d(full(1, 2, 5, 5), full(3, 2, 3, 3)),
    "attention": lambda: F.scaled_dot_product_attention(*[full(1, 2, 4, 8)] * 3),
    "lstm": lambda: corten.nn.LSTM(4, 4).to("cuda")(full(2, 1, 4))[0],
    "gru": lambda: corten.nn.GRU(4, 4).to("cuda")(full(2, 1, 4))[0],
    "relu": lambda: half(4).relu(),
}
FULL = {
    "exp": lambda: half(4).exp(),
    "pow": lambda: half(4) ** 2,
    "division": lambda: 1 / half(4),
    "softmax": lambda: half(4).softmax(0),
    "sum": lambda: half(4).sum(),
    "norm": lambda: half(4).norm(),
    "layer_norm": lambda: F.layer_norm(half(4, 4), (4,)),
    "cross_entropy": lambda: F.cross_entropy(half(4, 4), corten.arange(4, device="cuda")),
    "cat": lambda: corten.cat([half(4), full(4)]),
    "addcmul": lambda: corten.addcmul(half(4), full(4), half(4)),
    "dot": lambda: corten.dot(half(4), full(4)),
}


@needs_gpu
@pytest.mark.parametrize("name", [*LOWER, *FULL])
def test_results_have_the_dtype_of_the_lists(name):
    with corten.autocast("cuda"):
        result = {**LOWER, **FULL}[name]()
    assert result.dtype is (corten.float16 if name in LOWER else corten.float32)
    assert result.isfinite().all()


@needs_gpu
def test_what_the_cpu_gets_is_left_alone_and_a_loss_is_refused():
    x = corten.ones(2, 2)
    with corten.autocast("cuda"):
        assert (x @ x).dtype is corten.float32
        with pytest.raises(RuntimeError, match="unsafe to autocast"):
            F.binary_cross_entropy(full(3) * 0.5, full(3) * 0.5)


@needs_gpu
def test_a_network_learns_in_float16_with_scaled_losses_and_checkpoints():
    corten.manual_seed(0)
    parts = corten.nn.Linear(16, 32), corten.nn.ReLU(), corten.nn.Dropout(0.1), corten.nn.Linear(32, 4)
    model = corten.nn.Sequential(*parts).to("cuda")
    optimizer = corten.optim.Adam(model.parameters(), lr=0.01)
    scaler = corten.amp.GradScaler(growth_interval=5)
    x = corten.randn(256, 16, device="cuda")
    y = x[:, :4].argmax(1)
    losses = []
    for _ in range(40):
        with corten.autocast("cuda"):
            loss = F.cross_entropy(checkpoint(model, x, use_reentrant=False), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0] and scaler.get_scale() >= 2.0**16


@needs_gpu
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_the_second_run_of_a_checkpoint_draws_the_same_numbers(use_reentrant):
    x = corten.randn(200, 200, device="cuda", requires_grad=True)
    y = checkpoint(lambda a: F.dropout(a * 1.0, 0.5), x, use_reentrant=use_reentrant)
    y.sum().backward()
    assert ((x.grad != 0) == (y != 0)).all()
