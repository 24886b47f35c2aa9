"""What the engine was built with, and how many threads it uses."""

__all__ = ["parallel_info", "show"]


def _lines():
    from . import _core, version

    yield f"  - corten {version.__version__!s}, a {_core.build_profile()} build"
    yield f"  - CPU capability usage: {_core.simd_level()}"
    yield "  - Linear algebra, convolutions and random numbers of its own: no BLAS, LAPACK, MKL, oneDNN or CUDA"
    yield "  - GPUs through Vulkan, Metal and DX12"


def show():
    """What the engine was built with, as text."""
    return "\n".join(["corten built with:", *_lines(), ""])


def _cxx_flags():
    """Empty: no C++ is compiled."""
    return ""


def parallel_info():
    """How many threads operators use, as text."""
    import os

    from . import _core, get_num_interop_threads

    variable = os.environ.get("OMP_NUM_THREADS", "[not set]")
    return (
        "corten's thread pool:\n"
        f"\tget_num_threads() : {_core.get_num_threads()}\n"
        f"\tget_num_interop_threads() : {get_num_interop_threads()}\n"
        f"\tprocessors : {os.cpu_count()}\n"
        f"Environment variables:\n\tOMP_NUM_THREADS : {variable}\n"
    )
