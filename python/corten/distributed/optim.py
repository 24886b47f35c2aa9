"""Optimizers that share their state among processes, which corten does not have; packages ask whether one is."""

__all__ = ["ZeroRedundancyOptimizer"]


class ZeroRedundancyOptimizer:
    """An optimizer whose state is spread over processes; there is none."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(
            "ZeroRedundancyOptimizer: every process keeps the whole state; use an optimizer of corten.optim with "
            "corten.nn.parallel.DistributedDataParallel"
        )


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name, "use an optimizer of corten.optim with corten.nn.parallel.DistributedDataParallel")
