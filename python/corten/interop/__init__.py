"""Tensors to and from other libraries: `corten.interop.wgpu`. numpy and DLPack are in `corten` itself."""

__all__ = ["wgpu"]


def __getattr__(name):
    if name == "wgpu":
        import importlib

        return importlib.import_module(f"{__name__}.wgpu")
    from .._missing import missing

    raise missing(__name__, name)


def __dir__():
    return sorted({*globals(), "wgpu"})
