"""The names of ``torch.cuda`` for programs written for CUDA: device ``cuda`` is the first GPU, whoever made it."""

from .. import gpu as _gpu
from ..gpu import *  # noqa: F403
from . import nvtx

__all__ = [
    *_gpu.__all__,
    "can_device_access_peer",
    "get_arch_list",
    "get_device_capability",
    "get_gencode_flags",
    "init",
    "ipc_collect",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "is_tf32_supported",
    "nvtx",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
]

has_half = True
has_magma = False

# What there is no way to do, and what is nearest to it.
_GRAPH = "no call is needed: programs are fused, and planned once for all their steps"
_POOL = "memory is pooled by itself; corten.gpu.empty_cache gives it back"
_SENSOR = "the tools of the GPU's maker tell it"
_INSTEAD = {
    "CUDAGraph": _GRAPH,
    "graph": _GRAPH,
    "make_graphed_callables": _GRAPH,
    "graph_pool_handle": _GRAPH,
    "MemPool": _POOL,
    "use_mem_pool": _POOL,
    "CUDAPluggableAllocator": _POOL,
    "change_current_allocator": _POOL,
    "caching_allocator_alloc": _POOL,
    "caching_allocator_delete": _POOL,
    "memory_snapshot": "see corten.gpu.memory_stats",
    "set_per_process_memory_fraction": "the environment variable CORTEN_GPU_MEMORY sets how many bytes may be used",
    "get_per_process_memory_fraction": "the environment variable CORTEN_GPU_MEMORY sets how many bytes may be used",
    "set_sync_debug_mode": "corten.gpu.memory_stats()['waits'] counts how often the program waited",
    "cudart": "the GPU is reached through Vulkan, Metal or DX12",
    "current_blas_handle": "the GPU is reached through Vulkan, Metal or DX12",
    "ExternalStream": "a GPU has one queue",
    "get_stream_from_external": "a GPU has one queue",
    "jiterator": "write the function with operators: it is fused into one kernel",
    "nccl": "training runs in one process",
    "utilization": _SENSOR,
    "temperature": _SENSOR,
    "power_draw": _SENSOR,
    "clock_rate": _SENSOR,
    "memory_usage": _SENSOR,
    "device_memory_used": _SENSOR,
    "list_gpu_processes": _SENSOR,
}
# Those of them that are classes, of which annotations speak.
_CLASSES = ("CUDAGraph", "graph", "MemPool", "CUDAPluggableAllocator", "ExternalStream")


def _refuses(name):
    def refused(*args, **kwargs):
        raise NotImplementedError(f"torch.cuda.{name} is not there: {_INSTEAD[name]}")

    refused.__name__ = refused.__qualname__ = name
    refused.__doc__ = f"Raises NotImplementedError: {_INSTEAD[name]}."
    if name in _CLASSES:
        return type(name, (), {"__init__": refused, "__doc__": refused.__doc__, "__module__": __name__})
    return refused


def __getattr__(name):
    if name == "default_generators":
        return _gpu.default_generators
    if name.endswith("Tensor"):
        from .._typed_tensors import GPU

        if name in GPU:
            return GPU[name]
    if name == "amp":
        import importlib

        return importlib.import_module(f"{__name__}.amp")
    if name in _INSTEAD:
        return _refuses(name)
    from .._missing import missing

    raise missing(__name__, name)


def is_initialized():
    """Whether GPUs can be used: nothing has to be initialised."""
    return True


def init():
    """Nothing: a GPU is opened when it is first used."""


def get_device_capability(device=None):
    """(8, 0) whatever the GPU: programs ask for it before they use what it stands for, and that is there.

    8.0 is the first capability of CUDA with both float16 (from 7.0) and bfloat16, so programs choose these, and not
    float8 (8.9). Neither is faster than float32 here: they take half the memory and are computed in float32. How a GPU
    computes is told by `is_tf32_supported` and ``get_device_properties().features``.
    """
    properties = _gpu.get_device_properties(device)
    return properties.major, properties.minor


def get_arch_list():
    """The architectures of CUDA that kernels were compiled for: none, they are compiled for the GPU that is found."""
    return []


def get_gencode_flags():
    """The options of CUDA's compiler: none."""
    return ""


def can_device_access_peer(device, peer_device):
    """False: values go from one GPU to another by way of the CPU."""
    return False


def is_bf16_supported(including_emulation=True):
    """Whether tensors may be bfloat16: they may, computed in float32."""
    return including_emulation


def is_tf32_supported():
    """False: float32 is computed in full precision."""
    return False


def is_current_stream_capturing():
    """False: there are no graphs to capture."""
    return False


def get_sync_debug_mode():
    """0: waiting for the GPU is not reported."""
    return 0


def ipc_collect():
    """Nothing: memory is not shared between processes."""


def reset_accumulated_memory_stats(device=None):
    """Nothing: what is counted since the GPU was opened is never reset."""


def reset_max_memory_allocated(device=None):
    """As `reset_peak_memory_stats`."""
    _gpu.reset_peak_memory_stats(device)


reset_max_memory_cached = reset_max_memory_allocated
memory_cached = _gpu.memory_reserved
max_memory_cached = _gpu.max_memory_reserved
