"""Whole training steps find their plans again: the third one plans nothing, another batch size little."""

from __future__ import annotations

from collections.abc import Callable

import corten
import pytest
from corten import nn


def moved(run: Callable[[], object]) -> dict[str, int]:
    """What the engine's counters rose by."""
    before = corten._core.counters()
    run()
    after = corten._core.counters()
    return {name: after[name] - before[name] for name in after}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 16, batch_first=True)
        self.out = nn.Linear(16, 10)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8 * 6 * 6, 10),
    )


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(5 * 16, 10))


NETWORKS = {
    "convolutional": (convolutional, (1, 12, 12)),
    "transformer": (transformer, (5, 16)),
    "recurrent": (Recurrent, (5, 8)),
}
OPTIMIZERS = {
    "sgd": lambda p: corten.optim.SGD(p, lr=0.01, momentum=0.9),
    "adam": corten.optim.Adam,
    "adamw": corten.optim.AdamW,
    "rmsprop": corten.optim.RMSprop,
    "adagrad": corten.optim.Adagrad,
}


def training(network: str, optimizer: str) -> Callable[[int], None]:
    """A function that takes one step on a random batch of the given size."""
    make, shape = NETWORKS[network]
    model = make()
    chosen = OPTIMIZERS[optimizer](model.parameters())

    def step(batch: int) -> None:
        x, y = corten.randn(batch, *shape), corten.randint(0, 10, (batch,))
        loss = nn.functional.cross_entropy(model(x), y)
        chosen.zero_grad()
        loss.backward()
        chosen.step()
        loss.item()

    return step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_third_step_plans_nothing(network: str, optimizer: str) -> None:
    step = training(network, optimizer)
    step(6)
    step(6)
    for _ in range(3):
        counters = moved(lambda: step(6))
        assert counters["plan_misses"] == 0
        assert counters["plan_hits"] >= 2


@pytest.mark.parametrize("network", NETWORKS)
def test_another_batch_size_plans_nothing(network: str) -> None:
    """Sizes are parameters of a plan, so only a batch of one, which broadcasts, is another structure."""
    step = training(network, "adamw")
    for _ in range(3):
        step(6)
    for batch in (7, 24, 3):
        assert moved(lambda batch=batch: step(batch))["plan_misses"] == 0
    step(1)
    assert moved(lambda: step(1))["plan_misses"] == 0


def test_steps_keep_memory_flat() -> None:
    step = training("convolutional", "adam")
    for _ in range(3):
        step(6)
    live = corten._core.counters()["live_bytes"]
    for _ in range(50):
        step(6)
    assert corten._core.counters()["live_bytes"] <= live


def test_rows_written_one_by_one_are_written_in_place() -> None:
    table, row = corten.zeros(5000, 100), corten.ones(100)
    corten._core.flush()

    def write() -> None:
        for i in range(len(table)):
            table[i] = row
        assert table[-1, -1].item() == 1

    counters = moved(write)
    assert counters["copies_on_write"] == 0
    assert counters["flushes"] <= 5000 // 1000
    assert table.sum().item() == table.numel()


def test_a_full_recorder_is_flushed_before_a_write_joins_it(option: Callable) -> None:
    """The writer would otherwise be computed while its cell still holds the old value, and copy all of it."""
    option("flush_every", 4)
    x = corten.zeros(1000)
    corten._core.flush()

    def update() -> None:
        for i in range(100):
            x[i] = i

    assert moved(update)["copies_on_write"] == 0
    assert x[:100].tolist() == list(range(100))


def test_a_million_updates_that_nobody_reads_keep_memory_flat() -> None:
    x = corten.zeros(8)
    x += 1
    corten._core.flush()
    live = corten._core.counters()["live_bytes"]
    for _ in range(1_000_000):
        x += 1
    assert corten._core.counters()["live_bytes"] <= live + 10_000
    assert x[0].item() == 1_000_001


def peak_of(step: Callable) -> float:
    """The most bytes in MiB that tensors hold during the third step, beyond those that there were before it."""
    for _ in range(2):
        step()
        corten.cpu.synchronize()
    before = corten.cpu.memory_allocated()
    corten.cpu.reset_peak_memory_stats()
    step()
    corten.cpu.synchronize()
    return (corten.cpu.max_memory_allocated() - before) / (1 << 20)


@pytest.mark.cpu
def test_results_of_one_operator_are_freed_one_by_one() -> None:
    """The gradient keeps the statistics of a normalisation, and nobody its first result."""
    norm, x = nn.BatchNorm1d(64), corten.randn(4096, 64)
    norm(x)
    corten.cpu.synchronize()
    before = corten.cpu.memory_allocated()
    y = norm(x).relu()
    corten.cpu.synchronize()
    assert y.requires_grad
    assert corten.cpu.memory_allocated() - before < 1.1 * (1 << 20)


@pytest.mark.cpu
def test_results_of_one_operator_are_freed_one_by_one_within_a_flush() -> None:
    layers = nn.Sequential(*[nn.BatchNorm1d(64) if k % 2 == 0 else nn.ReLU() for k in range(16)])
    x = corten.randn(4096, 64)

    def step() -> None:
        layers(x).sum().backward()

    # Eight results of 1 MiB are kept, and a gradient is made from another.
    assert 8 < peak_of(step) < 11


@pytest.mark.cpu
def test_what_the_backward_pass_needs_is_computed_there_if_its_operands_are_kept() -> None:
    layers = nn.Sequential(*[nn.Linear(64, 64) if k % 2 == 0 else nn.ReLU() for k in range(32)])
    x = corten.randn(4096, 64)

    def step() -> None:
        layers(x).sum().backward()

    # Signs of the sixteen results, of a byte each, would be 4 MiB more.
    assert 16 < peak_of(step) < 19


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.cpu
def test_a_compiled_step_lets_go_of_gradients_where_the_function_does(option: Callable, begun: bool) -> None:
    layers, x = nn.Sequential(nn.Linear(1024, 1024), nn.Tanh(), nn.Linear(1024, 1024)), corten.randn(16, 1024)

    def step() -> None:
        layers.zero_grad()
        layers(x).square().sum().backward()

    # So that much runs before the new gradients are assigned, as in large programs.
    option("flush_every", 4)
    if begun:
        assert peak_of(step) < 1
    compiled = corten.compile(step)
    assert peak_of(compiled) < 1
    assert corten.compiler.statistics(compiled).replays == 2
