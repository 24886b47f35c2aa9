"""Errors of processes: each prints its own traceback, and `corten.distributed.run` says which failed."""


def record(fn, error_handler=None):
    """The function itself: a decorator of the main functions of programs for torchrun. ``error_handler`` is accepted."""
    return fn
