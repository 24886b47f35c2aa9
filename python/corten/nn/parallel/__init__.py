"""Training on several devices: what there is of it on one."""

from .data_parallel import DataParallel, data_parallel

__all__ = ["DataParallel", "data_parallel"]


def __getattr__(name):
    from ..._missing import missing

    raise missing(__name__, name)
