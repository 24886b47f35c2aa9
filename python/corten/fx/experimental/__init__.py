"""What ``torch.fx.experimental`` has that programs use."""

__all__ = ["optimization", "proxy_tensor"]


def __getattr__(name):
    if name in __all__:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    from ..._missing import missing

    raise missing(__name__, name, "corten.fx.symbolic_trace makes graphs; sizes are numbers, and nothing is lowered")
