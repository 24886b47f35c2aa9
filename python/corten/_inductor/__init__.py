"""The names of ``torch._inductor`` that programs set: the switches of its compiler."""

from . import config

__all__ = ["config"]


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
