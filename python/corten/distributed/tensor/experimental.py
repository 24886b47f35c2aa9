"""What PyTorch tries out on tensors spread over devices, which corten does not have."""

from . import _refused

__all__ = ["implicit_replication"]


def implicit_replication():
    """A context in which tensors count as wholes on every process; none is spread."""
    raise _refused("implicit_replication")
