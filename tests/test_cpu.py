"""The CPU under the names of `torch.cpu`, and the bytes that its tensors hold."""

from __future__ import annotations

import os
import subprocess
import sys

import corten
import pytest

MIB = 1 << 20


def megabytes(count: int) -> corten.Tensor:
    """Computed, so that it holds its memory."""
    x = corten.randn(count * MIB // 4)
    corten.cpu.synchronize()
    return x


def test_there_is_one_cpu() -> None:
    cpu = corten.cpu
    assert cpu.is_available() and cpu.is_initialized()
    assert cpu.device_count() == 1 and cpu.current_device() == "cpu"
    cpu.set_device("cpu")
    assert cpu.Event().query() and cpu.Event().record() is None


def test_a_stream_is_the_current_one_inside_its_context() -> None:
    cpu = corten.cpu
    outer, own = cpu.current_stream(), cpu.Stream()
    with cpu.stream(own):
        assert cpu.current_stream() is own
        with cpu.stream(None):
            assert cpu.current_stream() is own
    assert cpu.current_stream() is outer


def test_names_of_the_cpu_that_are_missing_are_told() -> None:
    with pytest.raises(AttributeError, match=r"corten\.cpu.*no attribute 'empty_cache'"):
        _ = corten.cpu.empty_cache


@pytest.mark.parametrize("level", ["portable", "avx2"])
def test_capabilities_are_those_that_kernels_use(level: str) -> None:
    code = (
        "import corten; c = corten.cpu.get_capabilities(); print(c['architecture'], c.get('avx2'), c.get('avx512_f'))"
    )
    environment = {**os.environ, "CORTEN_SIMD": level}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    architecture, avx2, avx512 = done.stdout.split()
    if architecture == "x86_64":
        assert avx512 == "False" and (avx2 == "False" or level == "avx2")
    else:
        assert avx2 == avx512 == "None"


def test_synchronize_computes_what_was_recorded() -> None:
    x = corten.ones(4) + 1
    flushes = corten._core.counters()["flushes"]
    corten.cpu.synchronize()
    assert corten._core.counters()["flushes"] == flushes + 1
    assert x.tolist() == [2.0] * 4


def test_memory_is_counted_while_tensors_hold_it() -> None:
    cpu = corten.cpu
    cpu.synchronize()
    cpu.reset_peak_memory_stats()
    before = cpu.memory_allocated()
    assert cpu.max_memory_allocated() == before
    x = megabytes(4)
    y = megabytes(2)
    assert cpu.memory_allocated() - before == 6 * MIB
    del x
    assert cpu.memory_allocated() - before == 2 * MIB
    assert cpu.max_memory_allocated() - before >= 6 * MIB
    stats = cpu.memory_stats()
    assert stats["allocated_bytes"] == stats["allocated_bytes.all.current"] == cpu.memory_allocated()
    assert stats["peak_bytes"] == stats["allocated_bytes.all.peak"] == cpu.max_memory_allocated()
    cpu.reset_peak_memory_stats()
    assert cpu.max_memory_allocated() == cpu.memory_allocated()
    assert y.numel() == 2 * MIB // 4


def test_what_was_recorded_and_not_computed_holds_nothing() -> None:
    x = megabytes(1)
    before = corten.cpu.memory_allocated()
    y = x.exp()
    assert corten.cpu.memory_allocated() == before
    y.sum().item()
    assert corten.cpu.memory_allocated() - before in (MIB, MIB + 4)
