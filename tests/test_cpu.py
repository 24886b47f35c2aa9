"""The CPU under the names of `torch.cpu`, and the bytes that its tensors and operators hold."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

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


def peak_over(call, *inputs) -> int:
    """The most bytes that a call holds besides what was there before it, and besides what it is given."""
    for tensor in inputs:
        tensor.sum().item()
    corten.cpu.synchronize()
    before = corten.cpu.memory_allocated()
    corten.cpu.reset_peak_memory_stats()
    kept = call()
    corten.cpu.synchronize()
    del kept
    return corten.cpu.max_memory_allocated() - before


MASKS = {
    "causal": lambda length: {"is_causal": True},
    "no mask": lambda length: {},
    "a bool mask": lambda length: {"attn_mask": corten.ones(length, length, dtype=corten.bool).tril()},
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("backward", [False, True])
def test_attention_never_holds_the_whole_matrix(mask: str, kv_heads: int, backward: bool) -> None:
    length, heads, width = 1024, 4, 16
    q = corten.randn(1, heads, length, width, requires_grad=backward)
    k, v = (corten.randn(1, kv_heads, length, width, requires_grad=backward) for _ in range(2))
    options = MASKS[mask](length)

    def call():
        y = corten.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=kv_heads != heads, **options)
        return corten.autograd.grad(y.sum(), (q, k, v)) if backward else y

    inputs = [q, k, v, *(value for value in options.values() if isinstance(value, corten.Tensor))]
    whole = 4 * heads * length * length
    assert peak_over(call, *inputs) < whole / 8
    # What a mask lets pass is right as well: the same by the whole matrix.
    scores = q @ k.repeat_interleave(heads // kv_heads, 1).mT / 4
    if options:
        scores = scores.masked_fill(~corten.ones(length, length, dtype=corten.bool).tril(), -float("inf"))
    expected = scores.softmax(-1) @ v.repeat_interleave(heads // kv_heads, 1)
    if backward:
        expected = corten.autograd.grad(expected.sum(), (q, k, v))
    for found, wanted in zip(call() if backward else [call()], expected if backward else [expected]):
        assert corten.allclose(found, wanted, atol=1e-4)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell the peak")
def test_attention_takes_no_such_memory_beside_tensors_either() -> None:
    """What kernels work in is no tensor's: the peak of the process tells. The whole matrix has 256 MiB."""
    code = """
        import corten

        def peak():
            (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024

        q = corten.randn(1, 4, 4096, 16, requires_grad=True)
        k, v = (corten.randn(1, 2, 4096, 16, requires_grad=True) for _ in range(2))
        mask = corten.arange(4096)[:, None] >= corten.arange(4096)
        corten.cpu.synchronize()
        before = peak()
        for options in ({"is_causal": True}, {"attn_mask": mask}):
            y = corten.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True, **options)
            y.sum().backward()
            q.grad.sum().item()
        print(peak() - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 64 * MIB


def test_dropout_keeps_no_mask() -> None:
    x = corten.ones(1 << 20, requires_grad=True)
    saved = []
    with corten.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t.numel()), t)[1], lambda t: t):
        corten.nn.functional.dropout(x, 0.5)
    assert sum(saved) <= 16

    def forward():
        return corten.nn.functional.dropout(x, 0.5)

    # The result alone, of 4 MiB: a mask would take 1 MiB, or 4 as numbers.
    assert peak_over(forward, x) < 4 * MIB + MIB // 4
    y = forward()
    y.sum().backward()
    assert corten.equal(x.grad, y.detach())
    assert 0.49 < (x.grad == 0).float().mean().item() < 0.51
