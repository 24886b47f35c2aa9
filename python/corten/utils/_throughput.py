"""Calls of a module by several threads at once, measured: `torch.ThroughputBenchmark` and its configuration."""

import random
import threading
import time

from .. import _core


class BenchmarkConfig:
    """What a benchmark does.

    Attributes:
        num_calling_threads: how many threads call the module.
        num_worker_threads: has to be 1; operators use the threads of `set_num_threads`.
        num_warmup_iters: calls of each thread that are not measured.
        num_iters: calls of all threads together that are measured.
        profiler_output_path: where a trace of the measured calls is written, "" for none.
    """

    _COUNTS = ("num_calling_threads", "num_worker_threads", "num_warmup_iters", "num_iters")

    def __init__(self):
        self.num_calling_threads, self.num_worker_threads = 1, 1
        self.num_warmup_iters, self.num_iters = 1, 100
        self.profiler_output_path = ""

    def __setattr__(self, name, value):
        if name in self._COUNTS:
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"BenchmarkConfig.{name} has to be an int, got {type(value).__name__}")
            value = int(value)
        elif name != "profiler_output_path":
            raise AttributeError(f"BenchmarkConfig has no attribute {name!r}")
        elif not isinstance(value, str):
            raise TypeError(f"BenchmarkConfig.{name} has to be a str, got {type(value).__name__}")
        object.__setattr__(self, name, value)

    def _check(self):
        if self.num_worker_threads != 1:
            raise RuntimeError("Only parallelization by callers is supported: num_worker_threads has to be 1")
        if self.num_calling_threads < 1 or self.num_iters < 1 or self.num_warmup_iters < 0:
            raise RuntimeError(
                "a benchmark needs a thread and a call: num_calling_threads and num_iters have to be positive and "
                f"num_warmup_iters not negative, got {self.num_calling_threads}, {self.num_iters} and "
                f"{self.num_warmup_iters}"
            )


class BenchmarkExecutionStats:
    """What was measured.

    Attributes:
        latency_avg_ms: milliseconds that a call took, on average.
        num_iters: how many calls were measured.
    """

    __slots__ = ("latency_avg_ms", "num_iters")

    def __init__(self, latency_avg_ms, num_iters):
        self.latency_avg_ms, self.num_iters = latency_avg_ms, num_iters


class ThroughputBenchmark:
    """Measures calls of a module that several threads make at once; see `utils.ThroughputBenchmark`.

    A call is over when its values are there: what was recorded runs before the next.

    Args:
        module: a module or a function.
    """

    def __init__(self, module):
        if not callable(module):
            raise TypeError(f"ThroughputBenchmark: {type(module).__name__} is not callable")
        self._module, self._inputs = module, []

    def add_input(self, *args, **kwargs):
        """The arguments of a call; of several, each call takes one at random."""
        self._inputs.append((args, kwargs))

    def run_once(self, *args, **kwargs):
        """The result of a call with arguments of its own."""
        return self._module(*args, **kwargs)

    def benchmark(self, config):
        """Calls the module as a :class:`BenchmarkConfig` says.

        Returns:
            A :class:`BenchmarkExecutionStats`.

        Raises:
            RuntimeError: no arguments were given, or the configuration makes no sense; what a call raised.
        """
        config._check()
        if not self._inputs:
            raise RuntimeError("Please provide benchmark inputs. Did you forget to call add_input()?")
        if config.profiler_output_path:
            from ..profiler import profile

            with profile() as found:
                stats = self._measure(config)
            found.export_chrome_trace(config.profiler_output_path)
            return stats
        return self._measure(config)

    def _measure(self, config):
        run = _Run(self._module, self._inputs, config)
        threads = [threading.Thread(target=run.calls, args=(i,)) for i in range(config.num_calling_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if run.errors:
            raise run.errors[0]
        milliseconds = (run.end - run.begin) * 1e3
        return BenchmarkExecutionStats(milliseconds * config.num_calling_threads / config.num_iters, config.num_iters)


class _Run:
    """One measurement: threads that warm up, wait for each other, and share the calls."""

    def __init__(self, module, inputs, config):
        self.module, self.inputs, self.config = module, inputs, config
        self.left, self.lock = config.num_iters, threading.Lock()
        self.begin = self.end = 0.0
        self.errors: list[BaseException] = []
        self.start = threading.Barrier(config.num_calling_threads, action=self._began)
        self.finish = threading.Barrier(config.num_calling_threads, action=self._ended)
        self.grad = _core.is_grad_enabled()

    def _began(self):
        self.begin = time.perf_counter()

    def _ended(self):
        self.end = time.perf_counter()

    def _call(self, choose):
        args, kwargs = choose.choice(self.inputs)
        self.module(*args, **kwargs)
        _core.flush()

    def _take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def calls(self, number):
        """What a thread does."""
        choose = random.Random(number)
        _core.set_grad_enabled(self.grad)
        try:
            for _ in range(self.config.num_warmup_iters):
                self._call(choose)
            self.start.wait()
            while self._take():
                self._call(choose)
            _wait_for_gpus()
            self.finish.wait()
        except threading.BrokenBarrierError:
            return  # another thread's call failed
        except BaseException as error:
            self.errors.append(error)
            self.start.abort()
            self.finish.abort()


def _wait_for_gpus():
    if _core.gpu_count():
        _core.synchronize()
