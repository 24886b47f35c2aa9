"""`ThroughputBenchmark`: calls from several threads are made, counted and measured."""

import json
import threading
import time

import corten
import pytest
from corten.utils import ThroughputBenchmark
from corten.utils.throughput_benchmark import format_time

pytestmark = pytest.mark.cpu


class Sleeper(corten.nn.Module):
    """Takes 5 ms a call, and remembers who called with what."""

    def __init__(self):
        super().__init__()
        self.calls, self.lock = [], threading.Lock()

    def forward(self, x, scale=1):
        time.sleep(0.005)
        with self.lock:
            self.calls.append((threading.get_ident(), scale, corten.is_grad_enabled()))
        return x * scale


def test_calls_are_counted_and_their_time_is_measured():
    module = Sleeper()
    bench = ThroughputBenchmark(module)
    bench.add_input(corten.ones(2))
    bench.add_input(corten.ones(2), scale=3)
    assert bench.run_once(corten.ones(2), scale=2).tolist() == [2.0, 2.0]
    module.calls.clear()
    with corten.no_grad():
        stats = bench.benchmark(num_calling_threads=2, num_warmup_iters=3, num_iters=20)
    assert len(module.calls) == 2 * 3 + 20
    assert len({who for who, _, _ in module.calls}) == 2
    assert {scale for _, scale, _ in module.calls} == {1, 3}
    assert not any(grad for _, _, grad in module.calls)
    assert stats.num_iters == 20
    assert stats.latency_avg_ms >= 5
    assert stats.iters_per_second == pytest.approx(2000 / stats.latency_avg_ms)
    assert stats.total_time_seconds == pytest.approx(20 / stats.iters_per_second)
    assert str(stats).splitlines()[1] == "Total number of iterations: 20"


def test_work_that_was_recorded_is_part_of_the_call():
    x = corten.ones(300, 300)
    results = []
    bench = corten.ThroughputBenchmark(lambda x: results.append(x @ x))
    bench.add_input(x)
    config = corten.BenchmarkConfig()
    assert (config.num_calling_threads, config.num_iters, config.num_warmup_iters) == (1, 100, 1)
    config.num_iters, config.num_warmup_iters = 4, 0
    before = corten._core.counters()["flushes"]
    stats = bench.benchmark(config)
    assert isinstance(stats, corten.BenchmarkExecutionStats)
    assert corten._core.counters()["flushes"] - before >= 4
    assert len(results) == 4


def test_a_trace_is_written(tmp_path):
    bench = ThroughputBenchmark(corten.nn.Linear(3, 3))
    bench.add_input(corten.ones(1, 3))
    path = tmp_path / "trace.json"
    bench.benchmark(num_iters=2, profiler_output_path=str(path))
    assert json.loads(path.read_text())["traceEvents"]


def test_mistakes_are_told():
    bench = corten.ThroughputBenchmark(corten.nn.Linear(3, 3))
    config = corten.BenchmarkConfig()
    with pytest.raises(RuntimeError, match=r"forget to call add_input\(\)"):
        bench.benchmark(config)
    bench.add_input(corten.ones(1, 4))
    config.num_calling_threads = 2
    with pytest.raises(RuntimeError, match="4"):
        bench.benchmark(config)
    with pytest.raises(TypeError, match="num_iters has to be an int"):
        config.num_iters = "a"
    with pytest.raises(AttributeError):
        config.iterations = 3
    for name, value in (("num_calling_threads", 0), ("num_iters", 0), ("num_worker_threads", 2)):
        config = corten.BenchmarkConfig()
        setattr(config, name, value)
        with pytest.raises(RuntimeError, match=name):
            bench.benchmark(config)
    with pytest.raises(TypeError, match="not callable"):
        corten.ThroughputBenchmark(3)


def test_times_are_written_in_the_unit_that_fits():
    assert [format_time(time_us=3.5), format_time(time_ms=3.5), format_time(time_s=3.5)] == [
        "3.500us",
        "3.500ms",
        "3.500s",
    ]
    assert format_time(time_us=350000) == "350.000ms"
    with pytest.raises(AssertionError, match="only one of"):
        format_time(time_us=1, time_ms=2)
