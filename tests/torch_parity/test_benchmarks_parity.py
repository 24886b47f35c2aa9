"""The benchmarks with PyTorch: every case runs in tiny sizes, and networks with its weights give its results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import corten
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = (torch, corten)

IMAGES = (2, 3, 32, 32)
TOKENS = (2, 16)
NETWORKS = {
    "resnet": (dict(counts=(2, 2), width=8, bottleneck=False, small=True, classes=10), IMAGES),
    "resnet of bottlenecks": (dict(counts=(1, 2), width=8, bottleneck=True, small=False, classes=10), IMAGES),
    "gpt": (dict(layers=2, width=16, heads=2, vocabulary=50, length=32), TOKENS),
    "bert": (dict(layers=2, width=16, heads=2, vocabulary=50, length=32), TOKENS),
    "lstm": (dict(layers=2, width=16, vocabulary=50), TOKENS),
    "unet": (dict(width=4, depth=2, classes=2), IMAGES),
}


@pytest.fixture
def networks(program):
    return program("networks")


def pair(make):
    """A network of both, with PyTorch's weights."""
    torch.manual_seed(0)
    theirs, ours = make(torch), make(corten)
    ours.load_state_dict({name: corten.from_numpy(value.numpy()) for name, value in theirs.state_dict().items()})
    return theirs, ours


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree(name, networks):
    sizes, shape = NETWORKS[name]
    numbers = np.random.default_rng(0)
    inputs = numbers.standard_normal(shape, np.float32) if shape == IMAGES else numbers.integers(0, 50, shape)
    found = []
    for m, network in zip(MODULES, pair(lambda m: getattr(networks, name.split()[0])(m, **sizes))):
        results = network(m.from_numpy(inputs))
        results = results if isinstance(results, tuple) else (results,)
        sum((y * y).mean() for y in results).backward()
        found.append([y.detach().numpy() for y in results] + [p.grad.numpy() for p in network.parameters()])
    theirs, ours = found
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-5 * np.abs(a).max())


def test_tokens_after_a_cache_are_those_of_the_whole_text(networks):
    sizes, _ = NETWORKS["gpt"]
    for m, network in zip(MODULES, pair(lambda m: networks.gpt(m, **sizes))):
        tokens = m.arange(12).reshape(1, 12) % 50
        caches = [[] for _ in network.blocks]
        with m.no_grad():
            token = network.next_token(tokens, caches)
            for position in range(12, 16):
                assert token.item() == network(tokens)[0, -1].argmax().item()
                tokens = m.cat([tokens, token], 1)
                token = network.next_token(token, caches, position)
        assert caches[0][0].shape[2] == 16


def counted(network, inputs) -> int:
    """The floating-point operations that PyTorch counts; attention is not among them on the CPU, nor are LSTMs."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    return counter.get_total_flops()


@pytest.mark.parametrize("name", [name for name in NETWORKS if "resnet" in name or name == "unet"])
def test_operations_of_convolutional_networks_are_those_that_pytorch_counts(name, networks, program):
    sizes, shape = NETWORKS[name]
    kind = name.split()[0]
    found = counted(getattr(networks, kind)(torch, **sizes), torch.ones(shape))
    assert found == shape[0] * getattr(program("network_flops"), kind)(**sizes, side=shape[-1])


def test_operations_of_transformers_are_those_that_pytorch_counts_and_attention(networks, program):
    work, (count, length), tokens = program("network_flops"), TOKENS, torch.zeros(TOKENS, dtype=torch.int64)
    sizes = {"layers": 2, "width": 16, "heads": 2}
    attention = 2 * 4 * count * length**2 * 16
    gpt = counted(networks.gpt(torch, **sizes, vocabulary=50, length=32), tokens)
    assert gpt + attention / 2 == work.gpt(**sizes, vocabulary=50, count=count, length=length, scored=length)
    bert = counted(networks.bert(torch, **sizes, vocabulary=50, length=32), tokens)
    assert bert + attention == work.bert(**sizes, count=count, length=length)


def test_every_case_of_the_comparison_runs_on_both_sides(program, tmp_path):
    path = tmp_path / "run.json"
    command = [sys.executable, str(BENCHMARKS / "compare.py"), "--scale=tiny", "--dry-run", "--rounds=1", "--seconds=0"]
    done = subprocess.run([*command, "--threads=1", f"--save={path}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    keys = [case.key for case in program("compare").cases("tiny") if not case.compiled]
    assert list(found["measured"]["torch"]) == keys
    assert [key for key in found["measured"]["corten"] if key in keys] == keys
    steps = [key for key in keys if key.startswith("training step")]
    assert list(found["peak_bytes"]["torch"]) == steps and set(steps) <= set(found["peak_bytes"]["corten"])
    assert re.search(r"PyTorch's ratios in \d+ cases: .*; of products", done.stdout)


def test_the_bytes_of_pytorch_are_what_its_allocator_gave(program):
    def build(m):
        x = m.ones(1 << 18)

        def call():
            y = x + 1
            z = y.relu()
            del y
            return (z * 2).sum().item()

        return call

    assert program("memory").peak_bytes(torch, build) == pytest.approx(3 << 20, abs=1024)


@pytest.mark.parametrize("scale", ["tiny", pytest.param("full", marks=pytest.mark.slow)])
def test_a_training_step_holds_no_more_bytes_than_with_pytorch(program, scale):
    memory, theirs = program("memory"), {}
    for case in program("network_cases").training(scale == "tiny"):
        if case.compiled:
            name = case.name.removesuffix(", compiled")
        else:
            name = case.name
            theirs[name] = memory.peak_bytes(torch, case.build)
        assert memory.peak_bytes(corten, case.build) <= theirs[name], case.name
