"""`corten.multiprocessing`: processes that share the memory of tensors, and errors that reach who started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import corten
import corten.multiprocessing as mp
import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="memory is shared by descriptors")
METHODS = ["spawn", "fork", "forkserver"]


def write(index: int, shared: corten.Tensor, model: corten.nn.Module, queue, done) -> None:
    shared[index] = index + 1
    with corten.no_grad():
        model.weight[index].add_(10.0)
    queue.put((index, corten.full((3,), float(index), dtype=corten.bfloat16), shared[1:].view(3, 1)))
    done.wait(60)


@pytest.mark.parametrize("method", METHODS)
def test_processes_write_into_one_tensor(method: str) -> None:
    shared, model = corten.zeros(4).share_memory_(), corten.nn.Linear(2, 2).share_memory()
    view, before = shared[1:3], model.weight.detach().clone()
    context = mp.get_context(method)
    queue, done = context.SimpleQueue(), context.Event()
    processes = mp.start_processes(write, (shared, model, queue, done), 2, join=False, start_method=method)
    received = sorted((queue.get() for _ in range(2)), key=lambda one: one[0])
    done.set()
    while not processes.join(60):
        pass
    assert shared.tolist() == [1, 2, 0, 0] and view.tolist() == [2, 0] and shared.is_shared()
    assert corten.equal(model.weight - before, corten.full((2, 2), 10.0))
    for index, values, rows in received:
        assert values.dtype == corten.bfloat16 and values.tolist() == [index] * 3
        assert rows.shape == (3, 1) and rows.is_shared()
    # What was received is the same memory.
    received[0][2][2] = 9
    assert shared.tolist() == [1, 2, 0, 9] and (shared * 2).sum().item() == 24


def test_a_tensor_that_is_sent_moves_to_shared_memory() -> None:
    base = corten.arange(6.0)
    parameter = corten.nn.Parameter(base[2:4].clone())
    queue = mp.get_context("fork").SimpleQueue()
    for sent in (base[::2], parameter, corten.tensor(3, dtype=corten.int8), corten.empty(0, 2), corten.ones(2).bool()):
        queue.put(sent)
        taken = queue.get()
        assert type(taken) is type(sent) and taken.dtype == sent.dtype and taken.shape == sent.shape
        assert corten.equal(taken, sent) and taken.requires_grad == sent.requires_grad
        assert taken.stride() == sent.stride()
    assert base.is_shared() and base.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(RuntimeError, match="refusing to serialize non-leaf tensor which requires_grad"):
        queue.put(parameter * 2)


def test_descriptors_go_with_their_tensors() -> None:
    def count() -> int:
        return len(os.listdir("/dev/fd"))

    corten.zeros(1).share_memory_()
    before = count()
    for _ in range(20):
        corten.zeros(10).share_memory_()
    assert count() == before


def fail(index: int, how: str) -> None:
    if index == 1 and how == "raise":
        raise ValueError("no luck")
    if index == 1 and how == "exit":
        os._exit(5)
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("raise", mp.ProcessRaisedException, r"-- Process 1 terminated with the following error:[\s\S]*no luck"),
        ("exit", mp.ProcessExitedException, "process 1 terminated with exit code 5"),
        ("kill", mp.ProcessExitedException, "process 1 terminated with signal SIGKILL"),
    ],
)
def test_the_first_failure_ends_the_others_and_is_raised(how: str, kind: type, text: str) -> None:
    before = time.monotonic()
    with pytest.raises(kind, match=text) as caught:
        mp.start_processes(fail, (how,), nprocs=2, start_method="fork")
    assert caught.value.error_index == 1 and time.monotonic() - before < 60
    assert not multiprocessing.active_children()


def test_the_names_of_multiprocessing_are_there() -> None:
    assert all(hasattr(mp, name) for name in multiprocessing.__all__)
    assert mp.Queue is multiprocessing.Queue and mp.get_context("fork").Process is not None
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_system")
    assert mp.get_sharing_strategy() == "file_system"
    mp.set_sharing_strategy("file_descriptor")
    with pytest.raises(AssertionError, match="no sharing strategy"):
        mp.set_sharing_strategy("post")
    with pytest.raises(ValueError, match="start_method must be"):
        mp.start_processes(fail, start_method="thread")
