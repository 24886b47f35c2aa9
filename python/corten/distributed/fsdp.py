"""Modules whose parameters are spread over processes, which corten does not have; packages ask whether one is."""

__all__ = ["FSDPModule", "FullyShardedDataParallel", "MixedPrecisionPolicy", "fully_shard"]

_INSTEAD = "every process keeps all parameters; use corten.nn.parallel.DistributedDataParallel"


class FSDPModule:
    """A module whose parameters are spread over processes; there is none."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(f"FSDPModule: {_INSTEAD}")


class FullyShardedDataParallel:
    """What wraps a module to spread its parameters; none is spread."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(f"FullyShardedDataParallel: {_INSTEAD}")


class MixedPrecisionPolicy:
    """The dtypes in which spread parameters are kept and sent; none is spread."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(f"MixedPrecisionPolicy: {_INSTEAD}, with corten.amp.autocast")


def fully_shard(module, **kwargs):
    """Would spread the module's parameters over processes."""
    raise NotImplementedError(f"fully_shard: {_INSTEAD}")


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name, _INSTEAD)
