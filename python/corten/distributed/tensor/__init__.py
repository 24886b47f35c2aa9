"""Tensors spread over devices, which corten does not have; packages ask whether a tensor is one."""

__all__ = ["DTensor", "Replicate", "Shard"]


def _refused(name):
    return NotImplementedError(
        f"{name}: a tensor lies on one device; processes of one machine average gradients with "
        "corten.nn.parallel.DistributedDataParallel"
    )


class DTensor:
    """A tensor of which every process has a part; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused("DTensor")


class Shard:
    """How a tensor is cut up for processes; none is."""

    def __init__(self, *args, **kwargs):
        raise _refused("Shard")


class Replicate:
    """What says that every process has the whole tensor; none is spread."""

    def __init__(self, *args, **kwargs):
        raise _refused("Replicate")
