"""Tensors without values, which corten does not have."""

__all__ = ["FakeTensor", "FakeTensorMode", "is_fake"]


def _refused(name):
    return NotImplementedError(f"{name}: tensors without values are those of corten.device('meta')")


class FakeTensor:
    """A tensor of a device that computes no values; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused("FakeTensor")


class FakeTensorMode:
    """A context in which no values are computed; there is none."""

    def __init__(self, *args, **kwargs):
        raise _refused("FakeTensorMode")


def is_fake(x):
    """False: every tensor has values."""
    return False
