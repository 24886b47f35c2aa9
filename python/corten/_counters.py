"""`torch.jit._logging`: counters with names, which programs add to and a `LockingLogger` keeps."""

import enum
import threading
import time

__all__ = ["AggregationType", "LockingLogger", "NoopLogger", "add_stat_value", "set_logger", "time_point"]


class AggregationType(enum.Enum):
    """How a `LockingLogger` joins the values of a counter; :data:`AVG` and :data:`SUM`."""

    SUM = 0
    AVG = 1


AVG, SUM = AggregationType.AVG, AggregationType.SUM


class LoggerBase:
    """What `set_logger` takes."""

    def add_stat_value(self, stat_name, value):
        """Adds a value to a counter, where one is kept."""


class NoopLogger(LoggerBase):
    """Forgets every value."""


class LockingLogger(LoggerBase):
    """Keeps the sum of the values of each counter, or their mean; threads may add at the same time.

    Example:
        >>> logger = corten.LockingLogger()
        >>> previous = corten.jit._logging.set_logger(logger)
        >>> corten.jit._logging.add_stat_value("steps", 3)
        >>> corten.jit._logging.add_stat_value("steps", 4)
        >>> logger.get_counter_val("steps")
        7
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._counters: dict[str, tuple[int, int]] = {}
        self._kinds: dict[str, AggregationType] = {}

    def add_stat_value(self, stat_name, value):
        """Adds a value, an int, to a counter."""
        with self._lock:
            total, count = self._counters.get(stat_name, (0, 0))
            self._counters[stat_name] = (total + int(value), count + 1)

    def set_aggregation_type(self, stat_name, aggregation_type):
        """Whether a counter is the ``SUM`` of its values, as it is at first, or their mean, ``AVG``.

        Raises:
            TypeError: ``aggregation_type`` is no `AggregationType`.
        """
        if not isinstance(aggregation_type, AggregationType):
            raise TypeError(f"set_aggregation_type: expected an AggregationType, got {type(aggregation_type).__name__}")
        with self._lock:
            self._kinds[stat_name] = aggregation_type

    def get_counter_val(self, stat_name):
        """The sum of a counter's values, or their mean rounded towards zero; 0 where there are none."""
        with self._lock:
            total, count = self._counters.get(stat_name, (0, 0))
            mean = self._kinds.get(stat_name) is AggregationType.AVG
        return int(total / count) if mean and count else total


for _class in (LoggerBase, LockingLogger, NoopLogger):
    _class.__module__ = "corten"

_logger: LoggerBase = NoopLogger()


def set_logger(logger):
    """Makes a logger the one that values are added to; returns the one before.

    Raises:
        TypeError: it is none.
    """
    global _logger
    if not isinstance(logger, LoggerBase):
        raise TypeError(f"set_logger: expected a LockingLogger or a NoopLogger, got {type(logger).__name__}")
    previous, _logger = _logger, logger
    return previous


def add_stat_value(stat_name, value):
    """Adds a value to a counter of the logger that was set.

    Raises:
        RuntimeError: the value is no int.
    """
    if not hasattr(value, "__index__"):
        raise RuntimeError(f"add_stat_value: expected a value of type 'int', got {type(value).__name__}")
    _logger.add_stat_value(stat_name, value)


def time_point():
    """The time in nanoseconds, of which differences count."""
    return time.perf_counter_ns()
