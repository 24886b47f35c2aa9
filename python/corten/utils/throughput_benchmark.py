"""`ThroughputBenchmark`: how long calls of a module take that several threads make at once, as a server makes them."""

from . import _throughput

__all__ = ["ExecutionStats", "ThroughputBenchmark", "format_time"]


def format_time(time_us=None, time_ms=None, time_s=None):
    """A time in the unit that fits it; one of microseconds, milliseconds and seconds is given.

    >>> format_time(time_us=350000)
    '350.000ms'
    """
    given = [(time_us, 1.0), (time_ms, 1e3), (time_s, 1e6)]
    if sum(value is not None for value, _ in given) != 1:
        raise AssertionError("Expected only one of time_us, time_ms, time_s is given.")
    microseconds = next(value * scale for value, scale in given if value is not None)
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


class ExecutionStats:
    """What was measured, with what follows from it; prints as a table."""

    def __init__(self, c_stats, benchmark_config):
        self._c_stats = c_stats
        self.benchmark_config = benchmark_config

    @property
    def latency_avg_ms(self):
        """Milliseconds that a call took, on average."""
        return self._c_stats.latency_avg_ms

    @property
    def num_iters(self):
        """How many calls were measured."""
        return self._c_stats.num_iters

    @property
    def iters_per_second(self):
        """Calls of all threads in a second."""
        return self.benchmark_config.num_calling_threads * 1000 / self.latency_avg_ms

    @property
    def total_time_seconds(self):
        """Seconds of all measured calls."""
        return self.num_iters / self.iters_per_second

    def __str__(self):
        return "\n".join(
            [
                f"Average latency per example: {format_time(time_ms=self.latency_avg_ms)}",
                f"Total number of iterations: {self.num_iters}",
                f"Total number of iterations per second (across all threads): {self.iters_per_second:.2f}",
                f"Total time: {format_time(time_s=self.total_time_seconds)}",
            ]
        )


class ThroughputBenchmark:
    """Measures calls of a module that several threads make at once.

    A call is over when its values are there: what was recorded runs before the thread's next call.

    Args:
        module: a module or a function.

    Example:
        >>> bench = ThroughputBenchmark(corten.nn.Linear(4, 4))
        >>> bench.add_input(corten.ones(1, 4))
        >>> stats = bench.benchmark(num_calling_threads=2, num_warmup_iters=2, num_iters=20)
        >>> stats.num_iters
        20
    """

    def __init__(self, module):
        self._benchmark = _throughput.ThroughputBenchmark(module)

    def run_once(self, *args, **kwargs):
        """The result of a call with arguments of its own."""
        return self._benchmark.run_once(*args, **kwargs)

    def add_input(self, *args, **kwargs):
        """The arguments of a call; of several, each call takes one at random."""
        self._benchmark.add_input(*args, **kwargs)

    def benchmark(self, num_calling_threads=1, num_warmup_iters=10, num_iters=100, profiler_output_path=""):
        """Calls the module.

        Args:
            num_calling_threads: how many threads call it.
            num_warmup_iters: calls of each thread that are not measured.
            num_iters: calls of all threads together that are measured.
            profiler_output_path: where a trace of the calls is written, "" for none.

        Returns:
            An :class:`ExecutionStats`.
        """
        config = _throughput.BenchmarkConfig()
        config.num_calling_threads, config.num_warmup_iters = num_calling_threads, num_warmup_iters
        config.num_iters, config.profiler_output_path = num_iters, profiler_output_path
        return ExecutionStats(self._benchmark.benchmark(config), config)
