"""What ``torch.distributed.rpc`` is where PyTorch was built without it: it can be imported, and is not available."""

__all__ = ["is_available"]


def is_available():
    """False: processes exchange tensors by the collectives of `corten.distributed`, and call nothing in each other."""
    return False


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name, "processes call nothing in each other; corten.distributed has collectives")
