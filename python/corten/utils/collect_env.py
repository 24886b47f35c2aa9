"""What a report of a mistake should say of the machine: `python -m corten.utils.collect_env`."""

import importlib.metadata
import os
import platform
import sys
from collections import namedtuple

import corten

__all__ = ["SystemEnv", "get_env_info", "get_pretty_env_info", "main"]

SystemEnv = namedtuple(
    "SystemEnv",
    [
        "torch_version",
        "is_debug_build",
        "cuda_compiled_version",
        "gcc_version",
        "clang_version",
        "cmake_version",
        "os",
        "libc_version",
        "python_version",
        "python_platform",
        "is_cuda_available",
        "cuda_runtime_version",
        "cuda_module_loading",
        "nvidia_driver_version",
        "nvidia_gpu_models",
        "cudnn_version",
        "is_xpu_available",
        "pip_version",
        "pip_packages",
        "conda_packages",
        "hip_compiled_version",
        "hip_runtime_version",
        "miopen_runtime_version",
        "caching_allocator_config",
        "is_xnnpack_available",
        "cpu_info",
    ],
)
_ABSENT = "N/A"
# Packages whose versions matter beside corten's.
_RELATED = ("numpy", "torch", "torchvision", "safetensors", "pillow", "tensorboard", "wgpu", "einops", "torchmetrics")


def _packages():
    found = []
    for name in _RELATED:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return "\n".join(found)


def _gpus():
    names = [corten.gpu.get_device_name(i) for i in range(corten.gpu.device_count())]
    return "\n".join(f"GPU {i}: {name}" for i, name in enumerate(names)) or "none found"


def _cpu():
    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, instruction set "
        f"{corten._core.simd_level()}"
    )


def get_env_info():
    """The facts as a `SystemEnv`; what corten has no part in, such as CUDA and compilers, is ``"N/A"``."""
    known = {
        "torch_version": str(corten.__version__),
        "is_debug_build": str(corten._core.build_profile() == "debug"),
        "os": platform.platform(),
        "libc_version": "-".join(filter(None, platform.libc_ver())) or _ABSENT,
        "python_version": f"{sys.version.splitlines()[0]} ({sys.maxsize.bit_length() + 1}-bit runtime)",
        "python_platform": platform.platform(),
        "is_cuda_available": str(corten.cuda.is_available()),
        "nvidia_gpu_models": _gpus(),
        "is_xpu_available": "False",
        "pip_packages": _packages(),
        "is_xnnpack_available": "False",
        "cpu_info": _cpu(),
    }
    return SystemEnv(**{**dict.fromkeys(SystemEnv._fields, _ABSENT), **known})


def get_pretty_env_info():
    """The facts as text, for a report."""
    info = get_env_info()
    packages = "\n".join(f"[pip] {line}" for line in info.pip_packages.splitlines())
    return "\n".join(
        [
            f"corten version: {info.torch_version}",
            f"Is debug build: {info.is_debug_build}",
            "",
            f"OS: {info.os}",
            f"Libc version: {info.libc_version}",
            "",
            f"Python version: {info.python_version}",
            f"Is a GPU available: {info.is_cuda_available}",
            f"GPU models: {info.nvidia_gpu_models}",
            f"CPU: {info.cpu_info}",
            "",
            "Versions of relevant libraries:",
            packages,
        ]
    )


def main():
    """Prints the text of :func:`get_pretty_env_info`."""
    print("Collecting environment information...")
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
