"""The older name of `corten.distributed.tensor`."""

from ..tensor import DTensor, Replicate, Shard

__all__ = ["DTensor", "Replicate", "Shard"]
