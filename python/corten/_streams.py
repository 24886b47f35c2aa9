"""Streams and events of a GPU, which has one queue: everything runs in the order in which the program called it."""

import time

from . import _core

__all__ = ["Event", "Stream", "StreamContext", "current_stream", "default_stream", "set_stream", "stream"]


def index_of(device):
    """The number of a GPU: None is the current one; an int, a text or a device name one."""
    if device is None:
        return _core.current_gpu_index()
    if isinstance(device, int):
        return device
    device = _core.device(device)
    if device.type not in ("gpu", "cuda"):
        raise ValueError(f"Expected a gpu device, but got: {device}")
    return _core.current_gpu_index() if device.index is None else device.index


class Stream:
    """
    A GPU's queue (``torch.Stream``, ``torch.cuda.Stream``).

    A GPU has one queue here, in which work runs in the program's order. Every stream of a GPU is that queue: work on
    two streams never overlaps, and waiting for a stream or an event inside the queue is always fulfilled already.

    Args:
        device: the GPU, the current one where None.
        priority: accepted; there is nothing to be first of.
    """

    def __init__(self, device=None, priority=0, **kwargs):
        self._index = index_of(device)
        self.priority = priority
        self._outer = []

    @property
    def device(self):
        """The stream's GPU."""
        return _core.device("gpu", self._index)

    @property
    def device_index(self):
        """The number of the stream's GPU."""
        return self._index

    @property
    def stream_id(self):
        """0: the one queue."""
        return 0

    @property
    def cuda_stream(self):
        """0, as the default stream of CUDA has it."""
        return 0

    def synchronize(self):
        """Wait until everything that was recorded for the GPU is done."""
        _core.gpu_synchronize(self._index)

    def query(self):
        """Whether everything that was recorded is done: it waits until it is, and returns True."""
        self.synchronize()
        return True

    def wait_stream(self, stream):
        """Nothing: later work of the queue waits for earlier work."""

    def wait_event(self, event):
        """Nothing: later work of the queue waits for earlier work."""

    def record_event(self, event=None):
        """Record an event, a new one where none is given, and return it."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __enter__(self):
        self._outer.append(_core.current_gpu_index())
        _core.set_current_gpu(self._index)
        return self

    def __exit__(self, *exception):
        _core.set_current_gpu(self._outer.pop())
        return False

    def __eq__(self, other):
        return isinstance(other, Stream) and other._index == self._index

    def __hash__(self):
        return hash(("stream", self._index))

    def __repr__(self):
        return f"corten.Stream(device={str(self.device)!r})"


class Event:
    """
    A point in a GPU's queue (``torch.Event``, ``torch.cuda.Event``).

    Args:
        enable_timing: whether `elapsed_time` will be asked for. Then `record` waits for the GPU and takes the time,
            since the queue itself has no clock that every GPU offers.
        blocking: accepted; waiting always lets other threads run.
        interprocess: must be false.

    Raises:
        NotImplementedError: for ``interprocess``; processes tell each other with ``multiprocessing.Event``.
    """

    def __init__(self, device=None, enable_timing=False, blocking=False, interprocess=False):
        if isinstance(device, bool):
            # torch.cuda.Event has no device in front.
            device, enable_timing, blocking, interprocess = None, device, enable_timing, blocking
        if interprocess:
            raise NotImplementedError("events between processes are not there: use multiprocessing.Event")
        self.enable_timing = enable_timing
        self._device = device
        self._index = None
        self._time = None

    @property
    def device(self):
        """The GPU that the event was recorded on or made for; None before that."""
        index = self._index if self._index is not None or self._device is None else index_of(self._device)
        return None if index is None else _core.device("gpu", index)

    def record(self, stream=None):
        """Mark the point behind everything that was recorded so far."""
        self._index = index_of(self._device) if stream is None else stream._index
        if self.enable_timing:
            _core.gpu_synchronize(self._index)
            self._time = time.perf_counter()
        else:
            _core.flush()

    def synchronize(self):
        """Wait until the point is reached."""
        if self._index is not None and self._time is None:
            _core.gpu_synchronize(self._index)

    def query(self):
        """Whether the point is reached: it waits until it is, and returns True."""
        self.synchronize()
        return True

    def wait(self, stream=None):
        """Nothing: later work of the queue waits for earlier work."""

    def elapsed_time(self, end_event):
        """
        Milliseconds from this event to ``end_event``, from when the one was reached until the other was.

        Raises:
            ValueError: unless both were made with ``enable_timing=True`` and recorded.
        """
        if not self.enable_timing or not end_event.enable_timing:
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._time is None or end_event._time is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._time - self._time) * 1000.0


class StreamContext:
    """A context in which a stream's GPU is the current one; nothing where it is None (``torch.cuda.StreamContext``)."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        if self.stream is not None:
            self.stream.__enter__()

    def __exit__(self, *exception):
        if self.stream is not None:
            self.stream.__exit__()
        return False


def stream(stream):
    """A context in which work goes to a stream, which is the GPU's one queue (``torch.cuda.stream``)."""
    return StreamContext(stream)


def current_stream(device=None):
    """The stream that work goes to (``torch.cuda.current_stream``)."""
    return Stream(device)


def default_stream(device=None):
    """The stream that work goes to (``torch.cuda.default_stream``)."""
    return Stream(device)


def set_stream(stream):
    """Let the stream's GPU be the current one (``torch.cuda.set_stream``)."""
    if stream is not None:
        _core.set_current_gpu(stream._index)
