"""The CPU under the names that do not depend on the device (``torch.cpu``), and what its tensors hold."""

from .. import _core

__all__ = [
    "is_available",
    "is_initialized",
    "synchronize",
    "current_device",
    "current_stream",
    "stream",
    "set_device",
    "device_count",
    "Stream",
    "StreamContext",
    "Event",
    "get_capabilities",
    "max_memory_allocated",
    "memory_allocated",
    "memory_stats",
    "reset_peak_memory_stats",
]


def is_available():
    """True."""
    return True


def is_initialized():
    """True: nothing has to be initialised."""
    return True


def device_count():
    """1, however many cores there are."""
    return 1


def current_device():
    """The text ``"cpu"``."""
    return "cpu"


def set_device(device):
    """Nothing: there is one CPU."""


synchronize = _core.synchronize


class Stream:
    """The CPU's order of work, which is the program's; every wait is fulfilled already."""

    def __init__(self, priority=-1):
        pass

    def wait_stream(self, stream):
        """Nothing: later work runs after earlier work."""

    def record_event(self):
        """Nothing: later work runs after earlier work."""

    def wait_event(self, event):
        """Nothing: later work runs after earlier work."""


class Event:
    """A point in the CPU's order of work."""

    def query(self):
        """True."""
        return True

    def record(self, stream=None):
        """Nothing: later work runs after earlier work."""

    def synchronize(self):
        """Compute everything that was recorded."""
        _core.flush()

    def wait(self, stream=None):
        """Nothing: later work runs after earlier work."""


_current = Stream()


def current_stream(device=None):
    """The stream of the innermost `stream` context."""
    return _current


class StreamContext:
    """A context in which `current_stream` is the given stream; nothing where it is None."""

    def __init__(self, stream):
        self.stream = stream
        self.prev_stream = None

    def __enter__(self):
        global _current
        if self.stream is not None:
            self.prev_stream, _current = _current, self.stream

    def __exit__(self, *exception):
        global _current
        if self.stream is not None:
            _current = self.prev_stream


def stream(stream):
    """A context in which `current_stream` is the given stream (``torch.cpu.stream``)."""
    return StreamContext(stream)


def __getattr__(name):
    if name == "amp":
        import importlib

        return importlib.import_module(f"{__name__}.amp")
    from .._missing import missing

    raise missing(__name__, name)


_AVX2 = ("avx2", "fma3", "f16c")
_AVX512 = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq")


def get_capabilities():
    """
    The processor's architecture and the instruction sets that kernels use, by the names of ``torch.cpu``.

    ``CORTEN_SIMD`` takes away from them. Extensions that no kernel uses are not listed.
    """
    import platform
    import types

    machine, level = platform.machine().lower(), _core.simd_level()
    if machine not in ("x86_64", "amd64"):
        return types.MappingProxyType({"architecture": machine, "neon": level == "neon"})
    features = {"architecture": "x86_64", "sse2": True}
    features |= dict.fromkeys(_AVX2, level in ("avx2", "avx512")) | dict.fromkeys(_AVX512, level == "avx512")
    return types.MappingProxyType(features)


def memory_stats(device=None):
    """
    The bytes that the engine's tensors and temporary values on the CPU hold now, and held at most.

    They are ``allocated_bytes`` and ``peak_bytes``, and under PyTorch's names ``allocated_bytes.all.current`` and
    ``.peak``. Results that were recorded and not computed hold nothing yet; memory from outside, as of numpy's arrays,
    is not counted.
    """
    counters = _core.counters()
    allocated, peak = counters["live_bytes"], counters["peak_bytes"]
    return {
        "allocated_bytes": allocated,
        "peak_bytes": peak,
        "allocated_bytes.all.current": allocated,
        "allocated_bytes.all.peak": peak,
    }


def memory_allocated(device=None):
    """The bytes that tensors hold now."""
    return memory_stats()["allocated_bytes"]


def max_memory_allocated(device=None):
    """The most bytes that tensors held since the last reset."""
    return memory_stats()["peak_bytes"]


def reset_peak_memory_stats(device=None):
    """Let `max_memory_allocated` start anew."""
    _core.reset_peak()
