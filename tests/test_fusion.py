"""Fusion, plans and flushing change no bit of any value, and counters prove what they save."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import corten
import numpy as np
import pytest

from op_table import ROWS
from op_table.row import Operand, Row, Sample, build, dtypes_on, is_float, tensors_in, to_numpy
from random_programs import same_bits

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same'", "ignore:reduction. 'mean' divides", "ignore:.*non-contiguous"
)

# Integer and bool operators are fused by the same program as float32 ones: one integer dtype stands for all.
FUSED = [
    pytest.param(row, dtype, id=f"{row}-{dtype}")
    for row in ROWS
    for dtype in ("float32", "float16", "bfloat16", "int32")
    if dtype in row.dtypes and not row.creates and (dtype == "float32" or row.elementwise)
]


def agree(left: Any, right: Any, device: str) -> bool:
    """To the bit on the CPU. A GPU's driver may contract and reorder float32 arithmetic inside one kernel."""
    if same_bits(left, right):
        return True
    if device == "cpu" or len(left) != len(right):
        return False
    pairs = list(zip(left, right, strict=True))
    scales = [np.max(np.abs(b[np.isfinite(b)]), initial=1.0) for _, b in pairs]
    return all(np.allclose(*p, rtol=1e-6, atol=1e-6 * s, equal_nan=True) for p, s in zip(pairs, scales, strict=True))


def in_the_middle(row: Row, sample: Sample, device: str) -> list[np.ndarray]:
    """The operator with work before it and after it that can be fused into it."""

    def prepared(operand: Operand) -> Any:
        tensor = build(corten, operand, device)
        if not is_float(operand.dtype) or row.name.startswith(("searchsorted", "bucketize")):
            return tensor
        # Halving and doubling changes no bit of these values, so the operator sees what its row says.
        return tensor * 2 * 0.5

    args, kwargs = sample.map(prepared, corten)
    results = tensors_in(row.function(corten)(*args, **kwargs))
    after = [(r.to(r.dtype) * 3 - r).abs() if r.is_floating_point() else r for r in results]
    return [to_numpy(t) for t in (*results, *after)]


@pytest.mark.parametrize("row, dtype", FUSED)
def test_fused_equals_unfused(row: Row, dtype: str, device: str, option: Callable) -> None:
    for sample in row.samples_of(dtype)[-6:]:
        option("fusion", True)
        fused = in_the_middle(row, sample, device)
        option("fusion", False)
        unfused = in_the_middle(row, sample, device)
        assert agree(tuple(fused), tuple(unfused), device), f"{row}{sample}"


BACKWARD = [row for row in ROWS if row.grad and "float32" in row.dtypes]


@pytest.mark.parametrize("row", BACKWARD, ids=str)
def test_fused_backward_equals_unfused(row: Row, device: str, option: Callable) -> None:
    samples = [s for s in row.samples_of("float32") if any(o.differentiable and o.array.size for o in s.operands())]
    for sample in samples[:4]:
        grads = []
        for fusion in (True, False):
            option("fusion", fusion)
            grads.append(gradients(row, sample, device))
        assert agree(*grads, device), f"{row}{sample}"


def gradients(row: Row, sample: Sample, device: str) -> tuple:
    leaves = []

    def leaf(operand: Operand) -> Any:
        tensor = build(corten, operand, device)
        if not operand.differentiable:
            return tensor
        leaves.append(tensor.detach().requires_grad_())
        return leaves[-1] * 2 * 0.5

    args, kwargs = sample.map(leaf, corten)
    results = [r for r in tensors_in(row.function(corten)(*args, **kwargs)) if r.requires_grad]
    total = sum((r.float() * r.float()).sum() for r in results)
    grads = corten.autograd.grad(total, leaves, allow_unused=True)
    return tuple(np.zeros(0) if g is None else to_numpy(g.clone()) for g in grads)


UNARY_LINKS = (
    "abs",
    "neg",
    "square",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "exp2",
    "atan",
    "erf",
    "floor",
    "frac",
    "sign",
    "expm1",
)
BINARY_LINKS = ("add", "sub", "mul", "maximum", "minimum", "atan2", "copysign", "fmod", "hypot", "logaddexp")


def random_chain(seed: int, device: str) -> list[np.ndarray]:
    """A few dozen elementwise operators with broadcasting, casts, comparisons and values used more than once."""
    draw, generator = random.Random(seed), np.random.default_rng(seed)
    shapes = [(17, 33), (33,), (17, 1), (), (1, 33), (17, 33)]
    pool = [corten.tensor(generator.uniform(-2, 2, s), dtype=corten.float32, device=device) for s in shapes]
    for _ in range(draw.randint(10, 40)):
        a, b = draw.choice(pool), draw.choice(pool)
        kind = draw.random()
        if kind < 0.35:
            pool.append(getattr(corten, draw.choice(UNARY_LINKS))(a))
        elif kind < 0.75:
            name = draw.choice(BINARY_LINKS)
            pool.append(getattr(corten, name)(a, b.to(a.dtype)))
        elif kind < 0.85:
            name = draw.choice(dtypes_on(device, ("float16", "bfloat16", "float32", "float64")))
            pool.append(a.to(getattr(corten, name)))
        elif kind < 0.93:
            pool.append(corten.where(a > b, a, b.to(a.dtype)))
        else:
            pool.append(corten.clamp(a, -4, 4))
    return [to_numpy(t) for t in pool]


def joins_products_with_sums(device: str) -> bool:
    """Whether the driver may compute a·b + c with one rounding where it sees both operators, as WGSL allows it to.
    The drivers that compute on the processor do not."""
    return device == "gpu" and corten.gpu.get_device_properties().type != "Cpu"


@pytest.mark.parametrize("seed", range(40))
def test_random_chains_fused_equal_unfused(seed: int, device: str, option: Callable) -> None:
    fused = random_chain(seed, device)
    option("fusion", False)
    unfused = random_chain(seed, device)
    for place, (left, right) in enumerate(zip(fused, unfused, strict=True)):
        tolerance = {"float32": 1e-5, "float16": 2e-3}.get(str(left.dtype))
        if tolerance and joins_products_with_sums(device):
            np.testing.assert_allclose(left, right, tolerance, tolerance, err_msg=f"value {place} of the chain")
        else:
            assert same_bits(left, right), f"value {place} of the chain"


@pytest.mark.parametrize("name, start, expected", [("float16", 60000.0, np.inf), ("bfloat16", 257.0, 256.0)])
def test_every_operator_rounds_to_its_own_dtype(name: str, start: float, expected: float, device: str) -> None:
    """Inside a fused chain too: 60000 * 2 overflows float16, and 257 is not a bfloat16."""
    x = corten.full((33,), start, dtype=getattr(corten, name), device=device)
    assert to_numpy(x * 2 / 2).tolist() == [expected] * 33


def test_product_and_sum_are_not_contracted(device: str) -> None:
    """x * x - round(x * x) is zero when the product was rounded first; a fused multiply-add would show its error."""
    x = corten.tensor(np.random.default_rng(0).uniform(1, 2, 257), dtype=corten.float32, device=device)
    product = x * x
    assert to_numpy(product).tolist() == to_numpy(x * x + 0.0).tolist()
    rounded = corten.tensor(to_numpy(product), dtype=corten.float32, device=device)
    assert not to_numpy(x * x - rounded).any()


@pytest.mark.parametrize("every", [1, 2, 5, 1000])
def test_values_do_not_depend_on_when_they_are_flushed(every: int, device: str, option: Callable) -> None:
    lazy = random_chain(99, device)
    option("flush_every", every)
    assert same_bits(tuple(random_chain(99, device)), tuple(lazy))


def counted(work: Callable[[], Any]) -> dict[str, int]:
    """How far each counter moved while `work` ran."""
    before = dict(corten._core.counters())
    work()
    after = corten._core.counters()
    return {name: after[name] - before[name] for name in after}


def chain(x: Any, length: int) -> Any:
    for _ in range(length):
        x = (x * 0.5 + 1).abs()
    return x


def test_chain_becomes_one_kernel(option: Callable) -> None:
    x = corten.ones(1000)
    assert counted(lambda: chain(x, 5).sum().item())["kernels"] <= 2
    option("fusion", False)
    assert counted(lambda: chain(x, 5).sum().item())["kernels"] >= 15


def test_nothing_runs_before_it_is_read() -> None:
    x = corten.ones(1000)
    x.tolist()
    moved = counted(lambda: chain(x, 5))
    assert moved["flushes"] == 0
    assert moved["kernels"] == 0
    assert moved["nodes"] >= 15


def test_unread_results_are_not_computed() -> None:
    x = corten.ones(1000)
    x.tolist()

    def forget() -> None:
        chain(x, 5)
        x.sum().item()

    assert counted(forget)["kernels"] <= 2


def training_step(batch: int) -> Callable[[], None]:
    generator = corten.Generator(corten.get_default_device()).manual_seed(0)
    weight = corten.randn(16, 8, generator=generator).requires_grad_()
    bias = corten.zeros(8).requires_grad_()
    data = corten.randn(batch, 16, generator=generator)

    def step() -> None:
        loss = ((data @ weight + bias).relu() ** 2).mean()
        loss.backward()
        with corten.no_grad():
            for parameter in (weight, bias):
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
        loss.item()

    return step


def test_third_identical_step_misses_no_plan() -> None:
    step = training_step(32)
    step()
    step()
    moved = counted(step)
    assert moved["plan_misses"] == 0
    assert moved["plan_hits"] >= 1


def test_another_size_is_planned_once_at_most() -> None:
    """Sizes are parameters of a plan: a neighbour in the same bucket finds the plan that is there."""
    for _ in range(3):
        training_step(33)()
    first = counted(training_step(34))
    again = counted(training_step(34))
    assert again["plan_misses"] == 0
    # Forward and backward, and the update: each segment of the step may be planned anew once.
    assert first["plan_misses"] <= 3


def test_updates_in_place_reuse_memory() -> None:
    """A loop of updates that nobody reads keeps memory flat and copies nothing."""
    x = corten.zeros(10_000)
    x.add_(1)
    before = corten._core.counters()["live_bytes"]
    moved = counted(lambda: [x.add_(1) for _ in range(20_000)])
    assert x[0].item() == 20_001
    assert corten._core.counters()["live_bytes"] <= before + 2 * 40_000
    assert moved["copies_on_write"] == 0


def test_reader_recorded_before_a_write_sees_the_old_value() -> None:
    x = corten.arange(1000.0)
    old = x * 2
    x.add_(1)
    new = x * 2
    assert old[10].item() == 20
    assert new[10].item() == 22


def test_long_chain_neither_overflows_the_stack_nor_slows_down() -> None:
    x = corten.zeros(4)
    for _ in range(100_000):
        x = x + 1
    assert x.tolist() == [100_000.0] * 4


def test_long_chain_is_differentiated_and_dropped() -> None:
    x = corten.ones(4, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y + x
    y.sum().backward()
    assert x.grad.tolist() == [50_001.0] * 4
    del y


def test_long_chain_that_is_never_read_is_dropped() -> None:
    x = corten.zeros(4)
    for _ in range(100_000):
        x = x * 1.0
    del x


@pytest.mark.parametrize("size", [3, 5000])
def test_a_copy_survives_when_its_source_gives_its_memory_away(option: Callable, size: int) -> None:
    """A copy costs nothing until it is stored; by then another result may be on the source's memory."""

    def run(fusion: bool) -> list[Any]:
        option("fusion", fusion)
        x = corten.linspace(0.1, 2.0, size, requires_grad=True)
        largest, total = corten.zeros(size), corten.zeros(size)
        for step in (1, 2, 3):
            scaled = x * step
            largest = corten.maximum(largest.clone(), scaled.clone())
            total = total + largest
            corten._core.flush()
        total.sum().backward()
        return [total.tolist(), x.grad.tolist()]

    assert run(True) == run(False)
    assert run(True)[1] == [6.0] * size


def test_two_values_may_change_places(option: Callable) -> None:
    def run(fusion: bool) -> list[Any]:
        option("fusion", fusion)
        a, b = corten.arange(4.0) + 1, corten.arange(4.0) * 10
        for _ in range(3):
            corten._core.flush()
            a, b = b.clone(), a.clone()
            c = a + b
        return [a.tolist(), b.tolist(), c.tolist()]

    assert run(True) == run(False)
