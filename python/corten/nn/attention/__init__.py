"""Which kernels attention may use: `sdpa_kernel` and its kin, accepted. Every device has one kernel, which fits all."""

import contextlib
import enum

from ...backends.cuda import _sdp

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

    def __str__(self):
        return f"{type(self).__name__}.{self.name}"


_BY_SWITCH = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "mem_efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
    "overrideable": SDPBackend.OVERRIDEABLE,
}
# Which would be tried first; sdpa_kernel(..., set_priority=True) sets it.
_priority = [_BY_SWITCH[name] for name in ("flash", "mem_efficient", "math", "cudnn", "overrideable")]


def _cur_sdpa_kernel_backends(with_priority=False):
    """The kernels that are allowed, in the order in which they would be tried where that is asked for."""
    allowed = [kernel for name, kernel in _BY_SWITCH.items() if _sdp[name]]
    return sorted(allowed, key=_priority.index) if with_priority else allowed


@contextlib.contextmanager
def sdpa_kernel(backends, set_priority=False):
    """Notes which kernels attention may use inside the block; the one that there is computes all of them.

    The switches of ``corten.backends.cuda`` say the same.

    Args:
        backends: a kernel or a list of them.
        set_priority: whether the order of the list counts.

    Raises:
        AssertionError: something else is given.
    """
    assert isinstance(backends, (list, SDPBackend)), "Backend must be an instance of SDPBackend or a list of them"
    chosen = [backends] if isinstance(backends, SDPBackend) else list(dict.fromkeys(backends))
    assert all(isinstance(backend, SDPBackend) for backend in chosen), "every backend must be an SDPBackend"
    before = dict(_sdp), list(_priority)
    _sdp.update({name: kernel in chosen for name, kernel in _BY_SWITCH.items()})
    if set_priority:
        first = [kernel for kernel in chosen if kernel in _priority]
        _priority[:] = first + [kernel for kernel in before[1] if kernel not in first]
    try:
        yield {}
    finally:
        _sdp.update(before[0])
        _priority[:] = before[1]


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
