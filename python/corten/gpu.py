"""GPUs of any make: which there are, what they hold, and waiting for them (the functions of ``torch.cuda``).

A GPU is reached through Vulkan, Metal or DX12. These environment variables choose among what the system has, and are
read when the first GPU is looked for:

* ``CORTEN_GPU_BACKEND``: comma-separated backends that may be used (``vulkan``, ``metal``, ``dx12``).
* ``CORTEN_GPU_ADAPTER``: part of an adapter's name, or its number.
* ``CORTEN_GPU_SOFTWARE=1``: admit adapters that compute on the CPU. They are slower than device ``cpu``, for tests.
* ``CORTEN_GPU_FEATURES``: comma-separated features that kernels may use (``immediates``, ``subgroups``, ``f16``,
  ``matrices``, ``limits``, …); ``core`` for none.
* ``CORTEN_GPU_TILES``: ``staged`` or ``direct``, whether products pass through workgroup memory; else as suits the GPU.

These are read when a GPU is opened, at its first use:

* ``CORTEN_GPU_MEMORY``: the most bytes to hold on a GPU, such as ``500M`` or ``4G``. What does not fit raises
  `corten.OutOfMemoryError`.
* ``CORTEN_CACHE``: the folder of compiled shaders, by default ``corten`` in the user's cache; an empty text keeps none.
* ``CORTEN_GPU_LIMITS``: comma-separated ``name=value`` pairs that lower the device's limits: for tests.
* ``CORTEN_GPU_CHECKS=1``: keep the runtime's bounds checks in the shaders: for tests.
* ``CORTEN_GPU_SHADERS``: a folder that gets the text of every shader that is compiled.
"""

from types import SimpleNamespace

from . import _core
from ._gpu_kernel import Kernel, kernel
from ._streams import Event, Stream, StreamContext, current_stream, default_stream, set_stream, stream
from ._streams import index_of as _index

__all__ = [
    "Event",
    "Kernel",
    "OutOfMemoryError",
    "Stream",
    "StreamContext",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "device_of",
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
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
]

OutOfMemoryError = _core.OutOfMemoryError

_VENDORS = {
    0x1002: "AMD",
    0x1010: "ImgTec",
    0x106B: "Apple",
    0x10DE: "NVIDIA",
    0x13B5: "ARM",
    0x5143: "Qualcomm",
    0x8086: "Intel",
}


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
    index = _index(device)
    if index >= 0:
        _core.set_current_gpu(index)


class device:
    """
    A context in which a device without a number means the given GPU (``torch.cuda.device``).

    Nothing changes where the number is negative.
    """

    def __init__(self, device):
        self.idx = _index(device)

    def __enter__(self):
        self.prev_idx = _core.current_gpu_index()
        set_device(self.idx)

    def __exit__(self, *exception):
        if self.idx >= 0:
            _core.set_current_gpu(self.prev_idx)
        return False


class device_of(device):
    """As `device` with the GPU of a tensor; nothing for one on the CPU (``torch.cuda.device_of``)."""

    def __init__(self, obj):
        super().__init__(obj.device if obj.is_cuda else -1)


class _Properties(SimpleNamespace):
    def __getattr__(self, name):
        hints = {
            "total_memory": "drivers do not tell it; CORTEN_GPU_MEMORY sets what may be used",
            "multi_processor_count": "drivers do not tell it",
        }
        text = f"the properties of a GPU have no {name!r}"
        raise AttributeError(f"{text}: {hints[name]}" if name in hints else text, name=name)


def get_device_name(device=None):
    """The name of a GPU (``torch.cuda.get_device_name``)."""
    return _core.gpu_info(_index(device))["name"]


def get_device_properties(device=None):
    """
    What is known of a GPU (``torch.cuda.get_device_properties``).

    The result has ``name``, ``vendor``, ``type`` (``DiscreteGpu``, ``IntegratedGpu``, ``VirtualGpu``, ``Cpu`` for
    software, or ``Other``), ``backend``, ``driver``, ``features`` (those in use), the limits in bytes and counts, and
    ``total_memory`` where ``CORTEN_GPU_MEMORY`` sets it. ``major`` and ``minor`` are those of
    `corten.cuda.get_device_capability`.
    """
    info = dict(_core.gpu_info(_index(device)))
    info["vendor"] = _VENDORS.get(info["vendor"], hex(info["vendor"]))
    limit = info.pop("memory_limit")
    if limit is not None:
        info["total_memory"] = limit
    return _Properties(major=8, minor=0, **info)


def synchronize(device=None):
    """Wait until everything that was recorded for a GPU is done (``torch.cuda.synchronize``)."""
    _core.gpu_synchronize(_index(device))


def memory_stats(device=None):
    """
    Bytes and events since the GPU was first used; empty where there is no GPU.

    Bytes that tensors hold now (``allocated_bytes``) and held at most (``peak_bytes``), bytes held from the driver
    (``reserved_bytes``), and how many buffers, bind groups and shaders were made, kernels encoded, submissions sent and
    waited for. The first three also under PyTorch's names (``allocated_bytes.all.current``, ``.peak``, …).
    """
    if not _core.gpu_count():
        return {}
    stats = dict(_core.gpu_counters(_index(device)))
    for name in ("allocated_bytes", "active_bytes"):
        stats[f"{name}.all.current"] = stats["allocated_bytes"]
        stats[f"{name}.all.peak"] = stats["peak_bytes"]
    for when in ("current", "peak"):
        stats[f"reserved_bytes.all.{when}"] = stats["reserved_bytes"]
    return stats


def memory_allocated(device=None):
    """Bytes that tensors hold (``torch.cuda.memory_allocated``)."""
    return memory_stats(device).get("allocated_bytes", 0)


def max_memory_allocated(device=None):
    """The most bytes that tensors held since the last reset (``torch.cuda.max_memory_allocated``)."""
    return memory_stats(device).get("peak_bytes", 0)


def memory_reserved(device=None):
    """Bytes held from the driver, for tensors and for reuse (``torch.cuda.memory_reserved``)."""
    return memory_stats(device).get("reserved_bytes", 0)


def memory_summary(device=None, abbreviated=False):
    """The numbers of `memory_stats` as a text (``torch.cuda.memory_summary``)."""
    own = {name: value for name, value in memory_stats(device).items() if "." not in name}
    return "".join(f"{name.replace('_', ' '):20} {value:>16,}\n" for name, value in own.items())


def mem_get_info(device=None):
    """
    Bytes that are free and bytes in all, of what ``CORTEN_GPU_MEMORY`` allows (``torch.cuda.mem_get_info``).

    Raises:
        NotImplementedError: where it is not set, since drivers do not tell.
    """
    limit = _core.gpu_info(_index(device))["memory_limit"]
    if limit is None:
        raise NotImplementedError(
            "drivers do not tell how much memory a GPU has: set CORTEN_GPU_MEMORY to what may be used, or see "
            "corten.gpu.memory_reserved for what is"
        )
    return limit - memory_reserved(device), limit


def max_memory_reserved(device=None):
    """As `memory_reserved`: memory goes back to the driver in `empty_cache` only."""
    return memory_reserved(device)


def reset_peak_memory_stats(device=None):
    """Let `max_memory_allocated` start anew (``torch.cuda.reset_peak_memory_stats``)."""
    if _core.gpu_count():
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
