"""Intel's own route to its GPUs, which is not taken: an Intel GPU is device `gpu`; see `corten.gpu`."""

__all__ = ["device_count", "is_available"]


def is_available():
    """False: an Intel GPU is device `gpu`."""
    return False


def device_count():
    """0: an Intel GPU is device `gpu`."""
    return 0


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name, "an Intel GPU is device 'gpu'; see corten.gpu")
