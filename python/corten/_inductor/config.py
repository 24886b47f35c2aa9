"""Switches of PyTorch's compiler, kept without an effect: the engine fuses what it can in any case.

``config.triton``, ``config.cpp`` and the like are groups of switches; every name may be set, read back and patched.
"""

import sys
import types

from .._dynamo import _Config

_SWITCHES = {
    "allow_buffer_reuse": True,
    "compile_threads": 1,
    "conv_1x1_as_mm": False,
    "coordinate_descent_check_all_directions": False,
    "coordinate_descent_tuning": False,
    "cpp_wrapper": False,
    "debug": False,
    "disable_progress": True,
    "dce": False,
    "epilogue_fusion": True,
    "force_disable_caches": False,
    "force_fuse_int_mm_with_mul": False,
    "force_same_precision": False,
    "fx_graph_cache": True,
    "max_autotune": False,
    "max_autotune_gemm": False,
    "max_autotune_gemm_backends": "ATEN,TRITON,CPP",
    "permute_fusion": False,
    "shape_padding": True,
    "size_asserts": True,
    "split_reductions": True,
    "use_mixed_mm": False,
    "verbose_progress": False,
}
_GROUPS: dict[str, dict] = {
    "aot_inductor": {"output_path": "", "debug_compile": False},
    "cpp": {"threads": -1, "simdlen": None, "enable_kernel_profile": False},
    "cuda": {"arch": None, "version": None},
    "trace": {"enabled": False, "debug_dir": None, "graph_diagram": False},
    "triton": {"cudagraphs": False, "cudagraph_trees": True, "unique_kernel_names": True, "max_tiles": None},
}


class _Module(types.ModuleType):
    """The module, with `patch` as its groups of switches have it."""

    patch = _Config.patch


globals().update(_SWITCHES)
globals().update({name: _Config(**switches) for name, switches in _GROUPS.items()})
sys.modules[__name__].__class__ = _Module
