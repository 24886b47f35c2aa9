"""What this installation is: the lines of `python -m corten info`."""

import os
import platform
import sys

import corten

from . import _core
from ._as_torch import PYTORCH

# What changes how the engine runs; python/corten/gpu.py explains those of GPUs.
_VARIABLES = ("CORTEN_SIMD", "CORTEN_DEBUG", "CORTEN_CACHE", "CORTEN_GPU_")


def describe():
    """Versions, build, threads, instruction set, devices with their features, and settings, a line each."""
    return "\n".join(f"{name + ':':14}{value}" for name, value in _facts())


def _facts():
    import numpy

    own = str(corten.__version__).partition("+corten")
    yield "corten", f"{own[2] or own[0]}, with the interface of PyTorch {PYTORCH}"
    yield "package", os.path.dirname(os.path.abspath(corten.__file__))
    yield "engine", f"{_core.build_profile()} build, {os.path.basename(_core.__file__)}"
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "numpy", numpy.__version__
    yield "system", platform.platform()
    yield "threads", f"{corten.get_num_threads()} of {os.cpu_count()} processors"
    yield "device cpu", f"{platform.machine()}, instruction set {_core.simd_level()}"
    yield from _gpus()
    for name in sorted(os.environ):
        if name.startswith(_VARIABLES):
            yield name, os.environ[name]


def _gpus():
    count = corten.gpu.device_count()
    if not count:
        yield "device gpu", "none found"
    for index in range(count):
        found = corten.gpu.get_device_properties(index)
        features = ", ".join(found.features) or "WebGPU's defaults"
        yield f"device gpu:{index}", f"{found.name}; features: {features}"
