"""Threads, processes and interruptions: pending work belongs to a thread, results to nobody's number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import corten
import numpy as np
import pytest
from corten import nn


@pytest.fixture
def threads():
    """Sets the number of threads for the rest of the test."""
    before = corten.get_num_threads()
    yield corten.set_num_threads
    corten.set_num_threads(before)


def large(*shape: int) -> corten.Tensor:
    return corten.randn(*shape)


WORK: dict[str, Callable[[], object]] = {
    "elementwise": lambda: (large(700, 700) * 1.5 + 2).tanh(),
    "sum": lambda: large(1_000_003).sum(),
    "sum of a dim": lambda: large(1001, 777).sum(0),
    "mean of rows": lambda: large(1001, 777).mean(1),
    "logsumexp": lambda: large(64, 20_001).logsumexp(1),
    "norm": lambda: large(500_009).norm(),
    "matmul": lambda: large(300, 517) @ large(517, 255),
    "matrix-vector": lambda: large(2000, 1003) @ large(1003),
    "conv": lambda: nn.functional.conv2d(large(4, 16, 40, 40), large(32, 16, 3, 3)),
    "softmax": lambda: large(300, 2001).softmax(1),
    "layer_norm": lambda: nn.functional.layer_norm(large(600, 513), (513,)),
    "attention": lambda: nn.functional.scaled_dot_product_attention(*(large(2, 4, 100, 32) for _ in range(3))),
    "cumsum": lambda: large(100_003).cumsum(0),
    "sort": lambda: large(200_003).sort().values,
    "index_add": lambda: corten.zeros(50).index_add(0, corten.randint(0, 50, (100_000,)), large(100_000)),
    "random": lambda: corten.rand(300_001),
    "dropout": lambda: nn.functional.dropout(large(300_001), 0.5),
}


def gradients() -> list[corten.Tensor]:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 30 * 30, 10))
    loss = nn.functional.cross_entropy(model(large(8, 3, 32, 32)), corten.arange(8))
    loss.backward()
    return [p.grad for p in model.parameters()]


def recurrent_layer(kind: str) -> list[corten.Tensor]:
    """Results and gradients, in sizes whose steps are cut into several blocks of units and of rows."""
    layer, x = getattr(nn, kind)(20, 200, bidirectional=True), large(5, 70, 20).requires_grad_()
    output, state = layer(x)
    states = state if kind == "LSTM" else (state,)
    sum((y * large(*y.shape)).sum() for y in (output, *states)).backward()
    return [output, *states, x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("work", WORK)
def test_results_do_not_depend_on_the_number_of_threads(work: str, threads: Callable) -> None:
    results = []
    for count in (1, 2, 3, 7):
        threads(count)
        corten.manual_seed(1)
        results.append(WORK[work]().numpy().copy())
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_gradients_do_not_depend_on_the_number_of_threads(threads: Callable) -> None:
    results = []
    for count in (1, 2, 5):
        threads(count)
        corten.manual_seed(1)
        results.append([g.numpy().copy() for g in gradients()])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_do_not_depend_on_the_number_of_threads(kind: str, threads: Callable) -> None:
    results = []
    for count in (1, 2, 3):
        threads(count)
        corten.manual_seed(1)
        results.append([t.detach().numpy().copy() for t in recurrent_layer(kind)])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_record_and_read_on_their_own() -> None:
    def program(seed: int) -> float:
        x = corten.full((50,), float(seed))
        for _ in range(300):
            x = x * 1.0 + 1
        return x.sum().item()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(program, range(64)))
    assert results == [50.0 * (seed + 300) for seed in range(64)]


def test_work_that_is_pending_in_another_thread_is_computed_when_it_is_read() -> None:
    made: list[corten.Tensor] = []
    ready, done = threading.Event(), threading.Event()

    def record() -> None:
        made.append(corten.arange(5) * 2 + 1)
        ready.set()
        done.wait()

    thread = threading.Thread(target=record)
    thread.start()
    ready.wait()
    assert (made[0] + 1).tolist() == [2, 4, 6, 8, 10]
    done.set()
    thread.join()


def test_work_outlives_the_thread_that_recorded_it() -> None:
    made: list[corten.Tensor] = []
    thread = threading.Thread(target=lambda: made.append(corten.ones(3) + 1))
    thread.start()
    thread.join()
    assert made[0].tolist() == [2, 2, 2]


def test_threads_write_to_one_tensor_without_losing_updates() -> None:
    """Python's lock makes one in-place operator one step, as in PyTorch."""
    x = corten.zeros(4)

    def add() -> None:
        for _ in range(500):
            x.add_(1)

    workers = [threading.Thread(target=add) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert x.tolist() == [2000.0] * 4


def test_backward_runs_in_several_threads_at_once() -> None:
    weight = corten.ones(16, 16, requires_grad=True)

    def run(seed: int) -> float:
        x = corten.full((4, 16), float(seed))
        (g,) = corten.autograd.grad((x @ weight).sum(), weight)
        return g.sum().item()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(16))) == [seed * 4.0 * 256 for seed in range(16)]


def test_modes_belong_to_a_thread() -> None:
    seen: list[bool] = []
    with corten.no_grad():
        thread = threading.Thread(target=lambda: seen.append(corten.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes_on_what_was_pending() -> None:
    big = corten.randn(400, 400)
    (big @ big).sum().item()  # the pool's threads exist, and will be gone in the child
    pending = corten.arange(6) * 7
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            total = int(pending.sum().item()) + int((corten.ones(300, 300) @ corten.ones(300, 300)).sum().item())
            os.write(write, str(total).encode())
        finally:
            os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 100) == str(105 + 300**3).encode()
    os.close(read)
    assert pending.tolist() == [0, 7, 14, 21, 28, 35]


def run_script(text: str, **options: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to the process itself")
def test_an_interruption_stops_long_work_and_loses_nothing() -> None:
    result = run_script(
        """
        import signal, time
        import corten

        kept = corten.arange(4)
        x = corten.randn(1000, 1000)
        kept += 1
        # Less than what is recorded before it runs by itself.
        for _ in range(60):
            x = (x @ x).tanh()
        # The kernel's own timer, which a busy machine does not hold up.
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        started = time.perf_counter()
        try:
            x.sum().item()
            print("not interrupted")
        except KeyboardInterrupt:
            stopped = time.perf_counter()
        print(kept.tolist())
        print(bool(x.isfinite().all()))
        # Most of the work was still to do, however fast the machine is.
        print("the rest took longer:", time.perf_counter() - stopped > stopped - started)
        """
    )
    assert result.stdout.splitlines() == ["[1, 2, 3, 4]", "True", "the rest took longer: True"], result.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to the process itself")
def test_a_program_ends_while_work_is_pending() -> None:
    result = run_script("import corten; x = corten.randn(50, 50); y = [x @ x for _ in range(50)]; print('end')")
    assert (result.returncode, result.stdout) == (0, "end\n"), result.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such call")
@pytest.mark.parametrize("more", [False, True])
def test_there_are_as_many_threads_as_processors_that_the_process_may_use(more: bool) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    chosen = allowed if more else allowed[-1:]
    result = run_script(
        f"""
        import os
        os.sched_setaffinity(0, {chosen})
        import corten
        print(corten.get_num_threads())
        x = corten.ones(1000, 1000)
        print((x @ x)[0, 0].item(), len(os.listdir("/proc/self/task")) <= {len(chosen)} + 1)
        """,
        env={key: value for key, value in os.environ.items() if key != "CORTEN_NUM_THREADS"},
    )
    assert result.stdout.splitlines() == [str(len(chosen)), "1000.0 True"], result.stderr
