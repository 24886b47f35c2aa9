"""GPUs of any make: which there are, what they hold, and waiting for them (the functions of ``torch.cuda``).

A GPU is reached through Vulkan, Metal or DX12. These environment variables choose among what the system has, and are
read when the first GPU is looked for:

* ``CORTEN_GPU_BACKEND``: comma-separated backends that may be used (``vulkan``, ``metal``, ``dx12``).
* ``CORTEN_GPU_ADAPTER``: part of an adapter's name, or its number.
* ``CORTEN_GPU_SOFTWARE=1``: admit adapters that compute on the CPU. They are slower than device ``cpu``, for tests.
* ``CORTEN_GPU_FEATURES``: comma-separated features that kernels may use; ``core`` for none.
"""

from types import SimpleNamespace

from . import _core
from ._gpu_kernel import Kernel, kernel

__all__ = [
    "Kernel",
    "current_device",
    "device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "kernel",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_peak_memory_stats",
    "set_device",
    "synchronize",
]

_VENDORS = {
    0x1002: "AMD",
    0x1010: "ImgTec",
    0x106B: "Apple",
    0x10DE: "NVIDIA",
    0x13B5: "ARM",
    0x5143: "Qualcomm",
    0x8086: "Intel",
}


def _index(device):
    if device is None:
        return _core.current_gpu_index()
    if isinstance(device, int):
        return device
    device = _core.device(device)
    if device.type not in ("gpu", "cuda"):
        raise ValueError(f"Expected a gpu device, but got: {device}")
    return _core.current_gpu_index() if device.index is None else device.index


def is_available():
    """Whether there is a GPU that can be used (``torch.cuda.is_available``)."""
    return device_count() > 0


def device_count():
    """The number of GPUs (``torch.cuda.device_count``)."""
    return _core.gpu_count()


def current_device():
    """The number of the GPU that a device without a number means (``torch.cuda.current_device``)."""
    return _core.current_gpu_index()


def set_device(device):
    """Choose the GPU that a device without a number means (``torch.cuda.set_device``)."""
    _core.set_current_gpu(_index(device))


class device:
    """A context in which a device without a number means the given GPU (``torch.cuda.device``)."""

    def __init__(self, device):
        self.idx = _index(device)

    def __enter__(self):
        self.prev_idx = _core.current_gpu_index()
        _core.set_current_gpu(self.idx)

    def __exit__(self, *exception):
        _core.set_current_gpu(self.prev_idx)
        return False


def get_device_name(device=None):
    """The name of a GPU (``torch.cuda.get_device_name``)."""
    return _core.gpu_info(_index(device))["name"]


def get_device_properties(device=None):
    """
    What is known of a GPU (``torch.cuda.get_device_properties``).

    The result has ``name``, ``vendor``, ``type`` (``DiscreteGpu``, ``IntegratedGpu``, ``VirtualGpu``, ``Cpu`` for
    software, or ``Other``), ``backend``, ``driver``, ``features`` (those in use), and the limits in bytes and counts.
    """
    info = dict(_core.gpu_info(_index(device)))
    info["vendor"] = _VENDORS.get(info["vendor"], hex(info["vendor"]))
    return SimpleNamespace(**info)


def synchronize(device=None):
    """Wait until everything that was recorded for a GPU is done (``torch.cuda.synchronize``)."""
    _core.gpu_synchronize(_index(device))


def memory_stats(device=None):
    """
    Bytes and events since the GPU was first used.

    Bytes that tensors hold now (``allocated_bytes``) and held at most (``peak_bytes``), bytes held from the driver
    (``reserved_bytes``), and how many buffers, bind groups and shaders were made, kernels encoded, submissions sent and
    waited for.
    """
    return dict(_core.gpu_counters(_index(device)))


def memory_allocated(device=None):
    """Bytes that tensors hold (``torch.cuda.memory_allocated``)."""
    return memory_stats(device)["allocated_bytes"]


def max_memory_allocated(device=None):
    """The most bytes that tensors held since the last reset (``torch.cuda.max_memory_allocated``)."""
    return memory_stats(device)["peak_bytes"]


def memory_reserved(device=None):
    """Bytes held from the driver, for tensors and for reuse (``torch.cuda.memory_reserved``)."""
    return memory_stats(device)["reserved_bytes"]


def max_memory_reserved(device=None):
    """As `memory_reserved`: memory goes back to the driver in `empty_cache` only."""
    return memory_reserved(device)


def reset_peak_memory_stats(device=None):
    """Let `max_memory_allocated` start anew (``torch.cuda.reset_peak_memory_stats``)."""
    _core.gpu_reset_peak(_index(device))


def empty_cache(device=None):
    """Give the memory that no tensor uses back to the driver (``torch.cuda.empty_cache``)."""
    if _core.gpu_count():
        _core.gpu_empty_cache(_index(device))
