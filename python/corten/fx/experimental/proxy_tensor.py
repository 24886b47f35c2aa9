"""Tracing with tensors that stand for values, which corten does not do; `corten.fx.symbolic_trace` traces Python."""

__all__ = ["get_proxy_mode", "make_fx"]


def get_proxy_mode():
    """None: no program is traced."""


def make_fx(f, *args, **kwargs):
    """Raises NotImplementedError: graphs are made by calls on proxies, not by operators on tensors."""
    raise NotImplementedError(
        "make_fx: operators on tensors are not written down as a graph; corten.fx.symbolic_trace traces the function, "
        "corten.compile records what it does"
    )
