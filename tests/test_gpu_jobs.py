"""Launches of one elementwise program become one on a GPU: how many there are, and that no result tells."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap

import corten
import numpy as np
import pytest
from corten import optim, profiler

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")

# Optimizers with the tensors that the kernel of a parameter reads or writes.
OPTIMIZERS = {
    "Adam": (optim.Adam, {}, 4),
    "AdamW": (optim.AdamW, {}, 4),
    "SGD": (optim.SGD, {}, 2),
    "SGD with momentum": (optim.SGD, {"momentum": 0.9}, 3),
    "RMSprop": (optim.RMSprop, {}, 3),
}
DTYPES = ["float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def bindings() -> int:
    return corten._core.gpu_info(0)["max_storage_buffers"]


def launches(work) -> int:
    corten.gpu.synchronize()
    before = corten.gpu.memory_stats()["dispatches"]
    work()
    corten.gpu.synchronize()
    return corten.gpu.memory_stats()["dispatches"] - before


def values(size: int, start: float, device: str) -> corten.Tensor:
    return ((corten.arange(size).float() + start).sin() * 0.7).to(device)


def train(device: str, optimizer, options, sizes, steps: int = 3) -> tuple[list, list[int]]:
    params = [values(size, i, device).requires_grad_() for i, size in enumerate(sizes)]
    updates = optimizer(params, lr=1e-2, **options)
    counts = []
    for step in range(steps):
        for i, p in enumerate(params):
            p.grad = values(p.numel(), 3 * i + step, device)
        if device == "gpu":
            counts.append(launches(updates.step))
        else:
            updates.step()
    return [p.tolist() for p in params], counts


def assert_agree(got: list[list[float]], want: list[list[float]]) -> None:
    """To a few last bits: WGSL lets a driver contract products and sums, and divide with an error of 2.5 units."""
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_takes_as_few_launches_as_bindings_allow(name: str) -> None:
    optimizer, options, buffers = OPTIMIZERS[name]
    sizes = [1 + 37 * i for i in range(21)]
    want, _ = train("cpu", optimizer, options, sizes)
    got, counts = train("gpu", optimizer, options, sizes)
    assert_agree(got, want)
    assert set(counts[1:]) == {-(-len(sizes) // (bindings() // buffers))}


def test_a_large_parameter_does_not_part_the_small_ones() -> None:
    sizes = [5, 2_000_000, 7, 9]
    params = [corten.ones(n, device="gpu").requires_grad_() for n in sizes]
    updates = optim.SGD(params, lr=0.5)
    for p in params:
        p.grad = corten.ones(p.numel(), device="gpu")
    assert launches(updates.step) == 2
    assert [float(p.detach().sum()) for p in params] == [n / 2 for n in sizes]


def test_with_the_bindings_that_webgpu_promises() -> None:
    script = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import test_gpu_jobs as t
    assert t.bindings() == 8
    for name in ("Adam", "SGD"):
        optimizer, options, _ = t.OPTIMIZERS[name]
        sizes = [3, 70, 1, 1024, 9]
        got, counts = t.train("gpu", optimizer, options, sizes)
        t.assert_agree(got, t.train("cpu", optimizer, options, sizes)[0])
        print(name, *counts)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), os.path.dirname(__file__)]
    environment = {**os.environ, "CORTEN_GPU_FEATURES": "core"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert run.stdout.split("\n")[:2] == ["Adam 3 3 3", "SGD 2 2 2"], run.stderr


def test_one_coefficient_for_all_is_bound_once() -> None:
    """What `clip_grad_norm_` multiplies every gradient with."""
    count = bindings() - 1
    grads = [values(10 + i, i, "gpu") for i in range(count)]
    want = [g.cpu() * 0.25 for g in grads]
    factor = corten.tensor(0.25, device="gpu")

    def clip() -> None:
        for g in grads:
            g.mul_(factor)

    assert launches(clip) == 1
    assert [g.tolist() for g in grads] == [w.tolist() for w in want]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_their_own_and_every_dtype(dtype: str) -> None:
    def program(device: str) -> list:
        inputs = [(corten.arange(n) % 5).to(getattr(corten, dtype)).to(device) for n in (3, 64, 1000, 2, 4097)]
        return [corten.where(x == i % 3, x, x.logical_not().to(x.dtype)) for i, x in enumerate(inputs)]

    got = []
    count = launches(lambda: got.extend(program("gpu")))
    assert [x.tolist() for x in got] == [x.tolist() for x in program("cpu")]
    assert count <= 5


def test_random_numbers_of_several_tensors_are_what_each_draws_alone() -> None:
    sizes = (3, 1000, 17)
    corten.manual_seed(5)
    together = [corten.rand(n, device="gpu") for n in sizes]
    corten.manual_seed(5)
    alone = [corten.rand(n, device="gpu").tolist() for n in sizes]
    assert [x.tolist() for x in together] == alone


@pytest.mark.parametrize("seed", range(6))
def test_launches_that_depend_on_each_other_stay_in_order(seed: int, option) -> None:
    """Without fusion every operator is a launch of its own, and few programs occur often: tensors written twice,
    read after they were written, written after they were read, views, and memory that the pool hands out again."""
    option("fusion", False)

    def program(device: str) -> list:
        draw = random.Random(seed)
        tensors = [values(draw.choice([8, 8, 300]), i, device) for i in range(6)]
        for _ in range(150):
            kind, i = draw.randrange(6), draw.randrange(len(tensors))
            x = tensors[i]
            same = [t for t in tensors if t.shape == x.shape]
            if kind == 0:
                x.mul_(draw.choice([0.5, -1.5]))
            elif kind == 1:
                x.add_(draw.choice(same))
            elif kind == 2:
                tensors[i] = x * 0.5
            elif kind == 3:
                tensors[i] = draw.choice(same) + (x * 0.5)
            elif kind == 4:
                half = x.numel() // 2
                x[:half].mul_(0.5)
                tensors[i] = x.view(2, half)[1].repeat(2) + x
            else:
                tensors[i] = (x + draw.choice(same)) * -1.5
            tensors[i].clamp_(-4, 4)
        return [t.tolist() for t in tensors]

    assert program("gpu") == program("cpu")


def test_a_copy_follows_what_waits() -> None:
    x, y = values(50, 0, "gpu"), values(50, 1, "gpu")
    want = (x.cpu() * 2).tolist(), (y.cpu() * 2).tolist()
    x.mul_(2)
    y.mul_(2)
    kept = x.clone()
    x.mul_(2)
    assert (kept.tolist(), y.tolist()) == want


def test_a_steady_loop_makes_nothing_new() -> None:
    params = [values(5 + i, i, "gpu").requires_grad_() for i in range(11)]
    updates = optim.Adam(params, lr=1e-2)

    def step() -> None:
        updates.zero_grad()
        sum((p * p).sum() for p in params).backward()
        updates.step()

    for _ in range(8):
        step()
    before = corten.gpu.memory_stats()
    for _ in range(8):
        step()
    after = corten.gpu.memory_stats()
    for name in ("shaders_compiled", "buffers_created", "bind_groups_created", "allocated_bytes", "reserved_bytes"):
        assert after[name] == before[name], name


def test_a_profile_divides_a_launch_among_its_kernels() -> None:
    params = [corten.ones(n, device="gpu").requires_grad_() for n in (30, 1000)]
    updates = optim.SGD(params, lr=0.5)
    for p in params:
        p.grad = corten.ones(p.numel(), device="gpu")
    updates.step()
    with profiler.profile() as p:
        updates.step()
    on_gpu = [e for e in p.events() if e.device_type is profiler.DeviceType.GPU]
    assert [e.name for e in on_gpu] == ["elementwise_jobs 1 of 2", "elementwise_jobs 2 of 2"]
    first, second = on_gpu
    assert first.cpu_launcher is not second.cpu_launcher
    assert first.time_range.end == second.time_range.start
    # Each is one workgroup.
    assert second.self_device_time_total == pytest.approx(first.self_device_time_total, rel=0.05, abs=0.01)
