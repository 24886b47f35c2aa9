"""Errors of processes: each prints its own traceback, and `corten.distributed.run` says which failed."""


def record(fn, error_handler=None):
    """The function itself: a decorator of main functions for torchrun. ``error_handler`` is accepted."""
    return fn
