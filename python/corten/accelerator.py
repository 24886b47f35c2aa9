"""The GPU under the names that do not depend on its maker (``torch.accelerator``)."""

from . import _core, gpu
from ._streams import current_stream as _current_stream
from ._streams import set_stream

__all__ = [
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "device_index",
    "empty_cache",
    "empty_host_cache",
    "get_device_capability",
    "get_memory_info",
    "is_available",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
    "set_device_idx",
    "set_device_index",
    "set_stream",
    "synchronize",
]


def _present(device=None):
    """The number of a GPU, which has to be there."""
    if not _core.gpu_count():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return gpu._index(device)


def is_available():
    """Whether there is a GPU that can be used."""
    return gpu.is_available()


def device_count():
    """The number of GPUs."""
    return gpu.device_count()


def current_accelerator(check_available=False):
    """The device of the GPUs, without a number; None where there is none."""
    return _core.device("gpu") if gpu.is_available() else None


def current_device_index():
    """The number of the GPU that a device without a number means."""
    return _present()


def set_device_index(device):
    """Choose the GPU that a device without a number means; nothing for a negative number."""
    gpu.set_device(_present(device))


current_device_idx = current_device_index
set_device_idx = set_device_index


class device_index:
    """A context in which a device without a number means the GPU with this number; nothing changes for None."""

    def __init__(self, device):
        self.idx = device
        self.prev_idx = None

    def __enter__(self):
        if self.idx is not None:
            self.prev_idx = _present()
            gpu.set_device(self.idx)

    def __exit__(self, *exception):
        if self.idx is not None:
            gpu.set_device(self.prev_idx)
        return False


def current_stream(device=None):
    """The stream that work goes to: a GPU has one queue."""
    return _current_stream(_present(device))


def synchronize(device=None):
    """Wait until everything that was recorded for a GPU is done."""
    gpu.synchronize(_present(device))


def get_device_capability(device=None):
    """What a GPU supports: ``supported_dtypes``, a set of dtypes."""
    _present(device)
    from . import bfloat16, float16, float32, int8, int16, int32, int64, uint8

    return {"supported_dtypes": {_core.bool, bfloat16, float16, float32, int8, int16, int32, int64, uint8}}


def empty_cache():
    """Give the memory that no tensor uses back to the driver."""
    gpu.empty_cache(_present())


def empty_host_cache():
    """Nothing: no memory of the host is kept for transfers."""


def memory_stats(device_index=None):
    """Bytes and events since a GPU was first used (`corten.gpu.memory_stats`)."""
    return gpu.memory_stats(_present(device_index))


def memory_allocated(device_index=None):
    """Bytes that tensors hold."""
    return gpu.memory_allocated(_present(device_index))


def max_memory_allocated(device_index=None):
    """The most bytes that tensors held since the last reset."""
    return gpu.max_memory_allocated(_present(device_index))


def memory_reserved(device_index=None):
    """Bytes held from the driver, for tensors and for reuse."""
    return gpu.memory_reserved(_present(device_index))


def max_memory_reserved(device_index=None):
    """As `memory_reserved`: memory goes back to the driver in `empty_cache` only."""
    return gpu.max_memory_reserved(_present(device_index))


def get_memory_info(device_index=None):
    """Bytes that are free and bytes in all (`corten.gpu.mem_get_info`)."""
    return gpu.mem_get_info(_present(device_index))


def reset_accumulated_memory_stats(device_index=None):
    """Nothing: what is counted since the GPU was opened is never reset."""
    _present(device_index)


def reset_peak_memory_stats(device_index=None):
    """Let `max_memory_allocated` start anew."""
    gpu.reset_peak_memory_stats(_present(device_index))
