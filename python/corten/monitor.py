"""Events and statistics of a running program, ``torch.monitor``: handlers get what the program logs."""

import datetime
import enum
import math
import threading
import time
from collections.abc import Mapping, Sequence

__all__ = [
    "Aggregation",
    "Event",
    "EventHandlerHandle",
    "Stat",
    "TensorboardEventHandler",
    "data_value_t",
    "log_event",
    "register_event_handler",
    "unregister_event_handler",
]

# The name of the events that a `Stat` logs.
STAT_EVENT = "torch.monitor.Stat"

data_value_t = str | float | int | bool


class Aggregation(enum.Enum):
    """How a `Stat` joins the values of a window: the last one, their mean, count, sum, largest or smallest."""

    VALUE = 0
    MEAN = 2
    COUNT = 3
    SUM = 4
    MAX = 5
    MIN = 6

    def __int__(self):
        return self.value


VALUE, MEAN, COUNT, SUM, MAX, MIN = Aggregation


def _checked(where, what, value, kinds):
    if not isinstance(value, kinds):
        named = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise TypeError(f"{where}: {what} must be {named}, not {type(value).__name__}")
    return value


class Event:
    """
    Something that happened, for handlers to write down; events of one kind have the same name.

    Args:
        name: the kind.
        timestamp: when, a `datetime.datetime`.
        data: values by name; each is a str, float, int or bool.

    Raises:
        TypeError: another class of one of them.
    """

    def __init__(self, name, timestamp, data):
        self.name = name
        self.timestamp = timestamp
        self.data = data

    @property
    def name(self):
        """The kind of event."""
        return self._name

    @name.setter
    def name(self, name):
        self._name = _checked("Event", "name", name, str)

    @property
    def timestamp(self):
        """When it happened, a `datetime.datetime`."""
        return self._timestamp

    @timestamp.setter
    def timestamp(self, timestamp):
        self._timestamp = _checked("Event", "timestamp", timestamp, datetime.datetime)

    @property
    def data(self):
        """Values by name, in a dictionary of their own."""
        return dict(self._data)

    @data.setter
    def data(self, data):
        for key, value in _checked("Event", "data", data, Mapping).items():
            _checked("Event", "a name of data", key, str)
            _checked("Event", f"the value of {key!r}", value, (str, float, int, bool))
        self._data = dict(data)


class EventHandlerHandle:
    """What `register_event_handler` gives and `unregister_event_handler` takes."""

    def __init__(self):
        raise TypeError("EventHandlerHandle: register_event_handler makes them")


# Handlers by handle, in the order in which they came.
_handlers: dict = {}
# A garbage collection in the middle of this may delete a `Stat`, which logs.
_lock = threading.RLock()


def register_event_handler(callback):
    """
    Has a function called with every event that is logged, in the thread that logs it.

    Returns:
        The handle for `unregister_event_handler`.

    Raises:
        TypeError: ``callback`` cannot be called.
    """
    if not callable(callback):
        raise TypeError(f"register_event_handler: callback must be a function, not {type(callback).__name__}")
    handle = EventHandlerHandle.__new__(EventHandlerHandle)
    with _lock:
        _handlers[handle] = callback
    return handle


def unregister_event_handler(handler):
    """Ends what `register_event_handler` began; nothing where it has ended.

    Raises:
        TypeError: ``handler`` is no `EventHandlerHandle`.
    """
    _checked("unregister_event_handler", "handler", handler, EventHandlerHandle)
    with _lock:
        _handlers.pop(handler, None)


def log_event(event):
    """Hands an event to every handler; what one raises is raised, and those after it hear nothing.

    Raises:
        TypeError: ``event`` is no `Event`.
    """
    _checked("log_event", "event", event, Event)
    with _lock:
        handlers = list(_handlers.values())
    for handler in handlers:
        handler(event)


class Stat:
    """
    Joins the values that are added during a window of time, and logs them as one event when it is over.

    The window ends with the first value after it, with its ``max_samples``-th value, and when the Stat is deleted. The
    event is called ``"torch.monitor.Stat"``; its data are floats by ``"{name}.{aggregation}"``.

    Args:
        name: what the values are.
        aggregations: how they are joined, a sequence of `Aggregation`.
        window_size: how long a window is, a `datetime.timedelta` or seconds.
        max_samples: how many values of a window count; those after them are left out.

    Raises:
        TypeError: another class of one of them.
        ValueError: a negative window.

    >>> handle = register_event_handler(lambda event: print(event.data))
    >>> loss = Stat("loss", [MEAN, COUNT], datetime.timedelta(minutes=1), max_samples=2)
    >>> loss.add(1.0)
    >>> loss.add(2.0)
    {'loss.mean': 1.5, 'loss.count': 2.0}
    >>> unregister_event_handler(handle)
    """

    # What `__del__` reads where the constructor raised.
    _count = 0

    def __init__(self, name, aggregations, window_size, max_samples=2**63 - 1):
        if isinstance(window_size, (int, float)):
            window_size = datetime.timedelta(seconds=window_size)
        self._name = _checked("Stat", "name", name, str)
        self._seconds = _checked("Stat", "window_size", window_size, datetime.timedelta).total_seconds()
        if self._seconds < 0:
            raise ValueError(f"Stat: window_size must not be negative, got {window_size}")
        self._limit = _checked("Stat", "max_samples", max_samples, int)
        self._kinds = [
            _checked("Stat", "an aggregation", kind, Aggregation)
            for kind in _checked("Stat", "aggregations", aggregations, Sequence)
        ]
        self._lock = threading.RLock()
        self._told = dict.fromkeys(self._kinds, 0.0)
        self._full = False
        self._begin = time.monotonic()
        self._clear()

    def _clear(self):
        self._count, self._sum, self._last = 0, 0.0, 0.0
        self._low, self._high = math.inf, -math.inf

    @property
    def name(self):
        """What the values are."""
        return self._name

    @property
    def count(self):
        """How many values the window has, 0 once they are logged."""
        return self._count

    def add(self, v):
        """Adds a value, a number.

        Raises:
            TypeError: it is no number.
        """
        try:
            value = float(v)
        except ValueError:
            raise TypeError(f"Stat.add: v must be a number, not {type(v).__name__}") from None
        with self._lock:
            now = time.monotonic()
            if now - self._begin >= self._seconds:
                self._log()
                self._begin, self._full = now, False
            if self._full:
                return
            self._count, self._sum, self._last = self._count + 1, self._sum + value, value
            self._low, self._high = min(self._low, value), max(self._high, value)
            if self._count >= self._limit:
                self._log()
                self._full = True

    def get(self):
        """What the window before told, floats by `Aggregation`; zeros before there was one."""
        with self._lock:
            return dict(self._told)

    def _log(self):
        if not self._count:
            return
        joined = {VALUE: self._last, MEAN: self._sum / self._count, COUNT: float(self._count)}
        joined |= {SUM: self._sum, MAX: self._high, MIN: self._low}
        self._told = {kind: joined[kind] for kind in self._kinds}
        self._clear()
        data = {f"{self._name}.{kind.name.lower()}": value for kind, value in self._told.items()}
        log_event(Event(STAT_EVENT, datetime.datetime.now(), data))

    def __del__(self):
        if self._count:
            self._log()


class TensorboardEventHandler:
    """
    A handler that writes what every `Stat` logs as scalars; other events are left out.

    Args:
        writer: a `corten.utils.tensorboard.SummaryWriter`.
    """

    def __init__(self, writer):
        self._writer = writer

    def __call__(self, event):
        if event.name == STAT_EVENT:
            for key, value in event.data.items():
                self._writer.add_scalar(key, value, walltime=event.timestamp.timestamp())
