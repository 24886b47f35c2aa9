"""Python's `multiprocessing` with tensors that share their memory, and `spawn`: training in several processes.

A tensor of the CPU that is put into a queue, sent through a pipe or given to a process is moved into shared memory, as
`Tensor.share_memory_` does: all processes see what any of them writes to it. Tensors of a GPU are copied.
"""

import multiprocessing as _multiprocessing
from multiprocessing import *  # noqa: F403

from . import reductions
from .spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)

__all__ = ["get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn"]
__all__ += _multiprocessing.__all__

_strategy = "file_descriptor"


def get_all_sharing_strategies():
    """The names that `set_sharing_strategy` takes."""
    return {"file_descriptor", "file_system"}


def get_sharing_strategy():
    """The name that was set last."""
    return _strategy


def set_sharing_strategy(new_strategy):
    """Accepts PyTorch's names; memory is always shared by descriptors of files that have no name.

    Raises:
        AssertionError: for another name.
    """
    global _strategy
    assert new_strategy in get_all_sharing_strategies(), f"no sharing strategy is called {new_strategy!r}"
    _strategy = new_strategy


reductions.init_reductions()
