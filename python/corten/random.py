"""The default random generators, and running code without leaving traces in it."""

import contextlib

from . import gpu
from ._core import GpuGenerators, default_generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]
__all__ += ["thread_safe_generator"]


def thread_safe_generator():
    """None, which stands for the default generator: workers of a DataLoader are processes, each with its own."""


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, device_type="cuda"):
    """
    Restores the default generators' states when the block ends.

    Args:
        devices: the GPUs whose generators are restored beside the CPU's; all where not given.
        enabled: whether anything is done.
        device_type: there for programs that pass it; GPUs are meant whatever they are called.
    """
    if not enabled:
        yield
        return
    state = get_rng_state()
    if devices is None:
        restore = GpuGenerators().restore
    else:
        states = [(gpu.get_rng_state(device), device) for device in devices]

        def restore():
            for saved in states:
                gpu.set_rng_state(*saved)

    try:
        yield
    finally:
        set_rng_state(state)
        restore()
