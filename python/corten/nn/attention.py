"""Which kernels attention may use: `sdpa_kernel` and its kin, accepted. Every device has one kernel, which fits all."""

import contextlib
import enum

WARN_FOR_UNFUSED_KERNELS = False

__all__ = [
    "SDPBackend",
    "sdpa_kernel",
    "WARN_FOR_UNFUSED_KERNELS",
    "register_flash_attention_impl",
    "activate_flash_attention_impl",
    "list_flash_attention_impls",
    "current_flash_attention_impl",
    "restore_flash_attention_impl",
]


class SDPBackend(enum.IntEnum):
    """PyTorch's names for its kernels of scaled dot product attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __repr__(self):
        return f"<{type(self).__name__}.{self.name}: {self.value}>"


_DEFAULT = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.OVERRIDEABLE,
]
_allowed = list(_DEFAULT)


def _cur_sdpa_kernel_backends(with_priority=False):
    """The kernels that the innermost block names."""
    return list(_allowed)


@contextlib.contextmanager
def sdpa_kernel(backends, set_priority=False):
    """Notes which kernels attention may use inside the block; the one that there is computes all of them.

    Args:
        backends: a kernel or a list of them.
        set_priority: whether the order of the list counts.

    Raises:
        AssertionError: something else is given.
    """
    assert isinstance(backends, (list, SDPBackend)), "Backend must be an instance of SDPBackend or a list of them"
    chosen = [backends] if isinstance(backends, SDPBackend) else list(dict.fromkeys(backends))
    assert all(isinstance(backend, SDPBackend) for backend in chosen), "every backend must be an SDPBackend"
    before = list(_allowed)
    _allowed[:] = chosen
    try:
        yield {}
    finally:
        _allowed[:] = before


_implementations: dict = {}
_current: list[str] = []


def register_flash_attention_impl(impl, *, register_fn):
    """Notes a function under a name; :func:`activate_flash_attention_impl` calls it.

    Args:
        impl: the name.
        register_fn: called without arguments when the name is activated.
    """
    _implementations[impl] = register_fn


def activate_flash_attention_impl(impl):
    """Calls the function that was registered under the name.

    Raises:
        ValueError: there is none.
    """
    if impl not in _implementations:
        raise ValueError(
            f"Unknown flash attention impl '{impl}'. Available implementations: {sorted(_implementations)}"
        )
    _implementations[impl]()
    _current[:] = [impl]


def list_flash_attention_impls():
    """The names that were registered, sorted."""
    return sorted(_implementations)


def current_flash_attention_impl():
    """The name that was activated last, or None."""
    return _current[0] if _current else None


def restore_flash_attention_impl():
    """Forgets what was activated."""
    _current.clear()
