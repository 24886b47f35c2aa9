"""``torch.cuda.nvtx``: marks for the tools of a GPU's maker, which there is no way to make.

As with a PyTorch that was built without them, the names can be imported and their calls raise.
"""

import contextlib

__all__ = ["range_push", "range_pop", "range_start", "range_end", "mark", "range"]

_INSTEAD = "CORTEN_DEBUG=2 prints every kernel with its time; corten.profiler.record_function names a part of a profile"


def range_push(msg):
    """Raises NotImplementedError, which is a RuntimeError: there is no NVTX."""
    raise NotImplementedError(f"torch.cuda.nvtx.range_push is not there: {_INSTEAD}")


def range_pop():
    """Raises NotImplementedError, which is a RuntimeError: there is no NVTX."""
    raise NotImplementedError(f"torch.cuda.nvtx.range_pop is not there: {_INSTEAD}")


def range_start(msg):
    """Raises NotImplementedError, which is a RuntimeError: there is no NVTX."""
    raise NotImplementedError(f"torch.cuda.nvtx.range_start is not there: {_INSTEAD}")


def range_end(range_id):
    """Raises NotImplementedError, which is a RuntimeError: there is no NVTX."""
    raise NotImplementedError(f"torch.cuda.nvtx.range_end is not there: {_INSTEAD}")


def mark(msg):
    """Raises NotImplementedError, which is a RuntimeError: there is no NVTX."""
    raise NotImplementedError(f"torch.cuda.nvtx.mark is not there: {_INSTEAD}")


@contextlib.contextmanager
def range(msg, *args, **kwargs):
    """A context manager and decorator around `range_push` and `range_pop`: entering it raises as they do."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
