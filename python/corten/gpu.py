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
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "is_available",
    "kernel",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
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


def __getattr__(name):
    if name == "default_generators":
        return tuple(_core.gpu_generator(i) for i in range(device_count()))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def manual_seed(seed):
    """Restart the current GPU's default generator from ``seed`` (``torch.cuda.manual_seed``)."""
    _core.gpu_generator(current_device()).manual_seed(int(seed))


def manual_seed_all(seed):
    """Restart the default generators of all GPUs from ``seed`` (``torch.cuda.manual_seed_all``)."""
    _core.seed_gpus(int(seed))


def seed():
    """Restart the current GPU's default generator from the system's entropy (``torch.cuda.seed``)."""
    _core.gpu_generator(current_device()).seed()


def seed_all():
    """Restart the default generators of all GPUs from one seed of the system's entropy (``torch.cuda.seed_all``)."""
    manual_seed_all(_core.Generator().seed())


def initial_seed():
    """The seed of the current GPU's default generator (``torch.cuda.initial_seed``)."""
    return _core.gpu_generator(current_device()).initial_seed()


def get_rng_state(device="cuda"):
    """
    The state of a GPU's default generator (``torch.cuda.get_rng_state``).

    Returns:
        A uint8 tensor of 16 elements on the CPU: the seed and the offset.
    """
    return _core.gpu_generator(_index(device)).get_state()


def get_rng_state_all():
    """The states of all GPUs' default generators, in a list (``torch.cuda.get_rng_state_all``)."""
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state(new_state, device="cuda"):
    """Continue a GPU's default generator from a state of `get_rng_state` (``torch.cuda.set_rng_state``)."""
    _core.gpu_generator(_index(device)).set_state(new_state)


def set_rng_state_all(new_states):
    """Continue all GPUs' default generators from their states (``torch.cuda.set_rng_state_all``)."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)
