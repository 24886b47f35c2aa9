"""Switches of CUDA's libraries (``torch.backends.cuda``), of which none is used."""

import contextlib

__all__ = [
    "cuBLASModule",
    "cudnn_sdp_enabled",
    "enable_cudnn_sdp",
    "enable_flash_sdp",
    "enable_math_sdp",
    "enable_mem_efficient_sdp",
    "flash_sdp_enabled",
    "is_built",
    "is_flash_attention_available",
    "math_sdp_enabled",
    "matmul",
    "mem_efficient_sdp_enabled",
    "preferred_linalg_library",
    "sdp_kernel",
]


def is_built():
    """False: a GPU is reached through Vulkan, Metal or DX12. `corten.cuda.is_available` tells whether there is one."""
    return False


class cuBLASModule:
    """Switches of products. Products of float32 keep their bits whatever they say."""

    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True
    allow_fp16_accumulation = False
    fp32_precision = "ieee"


matmul = cuBLASModule()

# Which kernels attention may use, by PyTorch's names for them; `corten.nn.attention.sdpa_kernel` sets them for a block.
_sdp = {"cudnn": True, "flash": True, "mem_efficient": True, "math": True, "overrideable": True}


def flash_sdp_enabled():
    """What `enable_flash_sdp` set."""
    return _sdp["flash"]


def enable_flash_sdp(enabled):
    """Keeps the switch; there is one kernel for attention, which keeps no matrix of scores."""
    _sdp["flash"] = bool(enabled)


def mem_efficient_sdp_enabled():
    """What `enable_mem_efficient_sdp` set."""
    return _sdp["mem_efficient"]


def enable_mem_efficient_sdp(enabled):
    """Keeps the switch."""
    _sdp["mem_efficient"] = bool(enabled)


def math_sdp_enabled():
    """What `enable_math_sdp` set."""
    return _sdp["math"]


def enable_math_sdp(enabled):
    """Keeps the switch."""
    _sdp["math"] = bool(enabled)


def cudnn_sdp_enabled():
    """What `enable_cudnn_sdp` set."""
    return _sdp["cudnn"]


def enable_cudnn_sdp(enabled):
    """Keeps the switch."""
    _sdp["cudnn"] = bool(enabled)


def is_flash_attention_available():
    """False: PyTorch's kernel of that name is not there; attention keeps no matrix of scores all the same."""
    return False


@contextlib.contextmanager
def sdp_kernel(enable_flash=True, enable_math=True, enable_mem_efficient=True, enable_cudnn=True):
    """Sets the switches of attention for a block."""
    before = dict(_sdp)
    _sdp.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _sdp.update(before)


def preferred_linalg_library(backend=None):
    """``"default"``: there is one implementation."""
    return "default"
