"""The GPU under PyTorch's names: `corten.accelerator`, `corten.cuda`, streams, events, arguments of transfers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import corten
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

needs_gpu = pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")


def run_script(text: str, **environment: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(text)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    assert result.returncode == 0, result.stderr
    return result.stdout


@needs_gpu
def test_the_accelerator_is_the_gpu() -> None:
    accelerator = corten.accelerator
    assert accelerator.is_available() and accelerator.device_count() == corten.gpu.device_count()
    assert accelerator.current_accelerator() == corten.device("gpu")
    assert accelerator.current_device_index() == accelerator.current_device_idx() == corten.cuda.current_device() == 0
    accelerator.set_device_index(0)
    accelerator.set_device_index(-1)
    with accelerator.device_index(0), accelerator.device_index(None):
        assert accelerator.current_device_index() == 0
    with pytest.raises(RuntimeError, match="numbered from 0"):
        accelerator.set_device_index(99)
    x = corten.ones(3, device=accelerator.current_accelerator())
    accelerator.synchronize()
    accelerator.synchronize("gpu:0")
    assert x.is_cuda and corten.bfloat16 in accelerator.get_device_capability()["supported_dtypes"]
    with pytest.raises(ValueError, match="Expected a gpu device"):
        accelerator.synchronize("cpu")


@needs_gpu
def test_memory_is_counted_under_every_name() -> None:
    corten.accelerator.empty_cache()
    corten.cuda.reset_peak_memory_stats()
    before = corten.cuda.memory_allocated()
    x = corten.zeros(1 << 16, device="cuda")
    corten.cuda.synchronize()
    for home in (corten.cuda, corten.gpu, corten.accelerator):
        assert home.memory_allocated() - before >= 1 << 18
        assert home.memory_reserved() >= home.max_memory_allocated() >= home.memory_allocated()
        stats = home.memory_stats()
        assert stats["allocated_bytes.all.current"] == stats["allocated_bytes"] == home.memory_allocated()
        assert stats["allocated_bytes.all.peak"] == home.max_memory_allocated()
    assert "allocated bytes" in corten.cuda.memory_summary()
    del x
    corten.accelerator.reset_peak_memory_stats()
    assert corten.cuda.max_memory_allocated() == before
    with pytest.raises(NotImplementedError, match="CORTEN_GPU_MEMORY"):
        corten.cuda.mem_get_info()


def test_without_a_gpu_names_are_there_and_say_so() -> None:
    out = run_script(
        """
        import corten
        assert corten.accelerator.current_accelerator() is None and not corten.accelerator.is_available()
        assert corten.cuda.memory_allocated() == corten.cuda.max_memory_allocated() == corten.gpu.memory_reserved() == 0
        corten.cuda.empty_cache()
        corten.cuda.reset_peak_memory_stats()
        assert corten.cuda.memory_stats() == {} and corten.cuda.get_arch_list() == []
        with corten.cuda.stream(None), corten.accelerator.device_index(None), corten.cuda.device(-1):
            pass
        for call in (
            corten.accelerator.synchronize, corten.accelerator.memory_allocated,
            corten.accelerator.current_device_index, corten.accelerator.current_stream,
        ):
            try:
                call()
            except RuntimeError as e:
                print(e)
        """,
        CORTEN_GPU_ADAPTER="no adapter has this name",
    )
    assert out.splitlines() == ["Cannot access accelerator device when none is available."] * 4


def test_no_driver_is_no_gpu() -> None:
    out = run_script(
        """
        import corten
        print(corten.gpu.device_count())
        try:
            corten.ones(1).cuda()
        except RuntimeError as e:
            print("Install a driver" in str(e))
        print(corten.ones(2).sum().item())
        """,
        VK_ICD_FILENAMES="/nowhere.json",
        VK_DRIVER_FILES="/nowhere.json",
    )
    assert out.split() == ["0", "True", "2.0"]


@needs_gpu
def test_programs_for_cuda_find_what_they_ask_for() -> None:
    cuda = corten.cuda
    assert cuda.is_available() and cuda.device_count() >= 1 and cuda.is_initialized() and cuda.is_bf16_supported()
    assert cuda.get_device_name() == cuda.get_device_properties(0).name
    assert cuda.get_device_capability() == (8, 0) and not cuda.is_tf32_supported()
    with pytest.raises(AttributeError, match="CORTEN_GPU_MEMORY"):
        _ = cuda.get_device_properties().total_memory
    assert cuda.OutOfMemoryError is corten.OutOfMemoryError
    with cuda.device(0), cuda.device("cuda:0"), cuda.device(corten.device("cuda")), cuda.device(-1):
        assert corten.ones(2, device="cuda").get_device() == cuda.current_device() == 0
    with cuda.device_of(corten.ones(1)), cuda.device_of(corten.ones(1, device="cuda")):
        assert cuda.current_device() == 0
    cuda.init(), cuda.ipc_collect(), cuda.set_device(-1), cuda.set_device("cuda:0")


def test_what_there_is_no_way_to_do_names_what_is_nearest() -> None:
    for name, hint in (
        ("CUDAGraph", "fused"),
        ("memory_snapshot", "memory_stats"),
        ("set_per_process_memory_fraction", "CORTEN_GPU_MEMORY"),
        ("utilization", "tools"),
    ):
        with pytest.raises(NotImplementedError, match=hint):
            getattr(corten.cuda, name)(0.5)
    with pytest.raises(NotImplementedError, match="CORTEN_DEBUG"):
        corten.cuda.nvtx.range_push("forward")


@needs_gpu
def test_streams_are_the_one_queue_in_order() -> None:
    first, second = corten.cuda.Stream(), corten.cuda.Stream(priority=-1)
    assert first == second == corten.cuda.current_stream() == corten.cuda.default_stream() and len({first, second}) == 1
    assert first.device == corten.device("gpu:0") and isinstance(first, corten.Stream)
    x = corten.ones(4, device="cuda")
    with corten.cuda.stream(first):
        y = x + 1
    second.wait_stream(first)
    with second:
        z = y * 2
    z.record_stream(second)
    event = second.record_event()
    first.wait_event(event)
    event.synchronize()
    assert event.query() and second.query() and z.tolist() == [4.0] * 4
    corten.accelerator.set_stream(first)
    assert corten.accelerator.current_stream() == first


@needs_gpu
def test_events_time_what_lies_between_them() -> None:
    start, end = corten.cuda.Event(enable_timing=True), corten.Event(enable_timing=True)
    x = corten.ones(64, 64, device="cuda")
    start.record()
    before = time.perf_counter()
    for _ in range(5):
        x = (x @ x) / 64
    time.sleep(0.02)
    end.record()
    spent = 1000 * (time.perf_counter() - before)
    end.synchronize()
    assert 20 <= start.elapsed_time(end) <= spent + 5
    assert end.elapsed_time(start) == -start.elapsed_time(end)
    with pytest.raises(ValueError, match="enable_timing"):
        corten.cuda.Event().elapsed_time(end)
    with pytest.raises(ValueError, match="must be recorded"):
        start.elapsed_time(corten.Event(enable_timing=True))
    with pytest.raises(NotImplementedError, match="multiprocessing"):
        corten.cuda.Event(interprocess=True)


@needs_gpu
def test_arguments_of_transfers_are_accepted_wherever_pytorch_has_them() -> None:
    x = corten.arange(4.0, pin_memory=True)
    same = x.pin_memory()
    there = [
        x.to("cuda", non_blocking=True),
        same.to("cuda", corten.float32, True),
        x.cuda(non_blocking=True),
        x.cuda(0, True),
        x.to(device="cuda", non_blocking=True, copy=True),
        x.to(corten.ones(1, device="cuda"), non_blocking=True),
        corten.empty(4, device="cuda").copy_(x, non_blocking=True),
        corten.empty(4, device="cuda").copy_(x, True),
        corten.tensor([0.0, 1.0, 2.0, 3.0], pin_memory=True).cuda(),
    ]
    # Work that is queued behind a transfer sees what the source held when the transfer was called.
    x += 1
    for t in there:
        assert t.is_cuda and (t * 2).to("cpu", non_blocking=True).tolist() == [0.0, 2.0, 4.0, 6.0]
    back = corten.empty(4, pin_memory=True)
    back.copy_(there[0], non_blocking=True)
    assert back.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert there[0].to(corten.float16, non_blocking=True).dtype == corten.float16
    module = corten.nn.Linear(2, 2).to("cuda", non_blocking=True)
    assert module.weight.is_cuda and not module.to(device="cpu", non_blocking=True).weight.is_cuda
    for make in (corten.zeros, corten.ones, corten.empty, corten.rand, corten.randn):
        assert make(2, pin_memory=True).shape == (2,)


@needs_gpu
def test_pinned_memory_is_told_from_other_memory() -> None:
    x = corten.arange(4.0)
    pinned = x.pin_memory()
    x[0] = 5
    assert pinned.is_pinned() and pinned[1:].is_pinned() and pinned.view(2, 2).detach().is_pinned()
    assert not x.is_pinned() and pinned.tolist() == [0.0, 1.0, 2.0, 3.0] and pinned.pin_memory() is pinned
    assert not pinned.clone().is_pinned() and not (pinned + 1).is_pinned() and not pinned.cuda().is_pinned()
    assert corten.zeros(2, pin_memory=True).is_pinned() and corten.tensor([1.0], pin_memory=True).is_pinned()
    assert corten.empty_like(x, pin_memory=True).is_pinned() and not corten.empty_like(pinned).is_pinned()
    assert x.requires_grad_().pin_memory().requires_grad
    pinned += 1
    assert pinned.is_pinned() and pinned.untyped_storage().is_pinned()
    for call in (lambda: pinned.cuda().pin_memory(), lambda: corten.zeros(2, device="cuda", pin_memory=True)):
        with pytest.raises(RuntimeError, match="only tensors of the CPU can be pinned"):
            call()


class Batch:
    """What a collate function of one's own may make."""

    def __init__(self, samples: list) -> None:
        self.data = corten.stack(samples)
        self.pins = 0

    def pin_memory(self) -> Batch:
        self.pins += 1
        return self


@needs_gpu
def test_a_loader_pins_what_it_yields() -> None:
    from corten.utils.data import DataLoader, TensorDataset

    data = TensorDataset(corten.arange(6.0).reshape(6, 1), corten.arange(6))
    for workers in (0, 1):
        loader = DataLoader(data, batch_size=3, pin_memory=True, num_workers=workers)
        got = [(x.cuda(non_blocking=True), y.cuda(non_blocking=True)) for x, y in loader]
        assert [y.tolist() for _, y in got] == [[0, 1, 2], [3, 4, 5]]
        assert all(x.is_pinned() and y.is_pinned() for x, y in loader)
    assert not any(x.is_pinned() for x, _ in DataLoader(data, batch_size=3))
    own = DataLoader(corten.arange(4.0).unbind(), batch_size=2, pin_memory=True, collate_fn=Batch)
    assert [(b.pins, b.data.tolist()) for b in own] == [(1, [0.0, 1.0]), (1, [2.0, 3.0])]
    nested = DataLoader([{"a": i, "b": (i, "text")} for i in range(2)], batch_size=2, pin_memory=True)
    assert [b["b"][1] for b in nested] == [["text", "text"]]
