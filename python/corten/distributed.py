"""What programs ask before they use several processes: whether they can. They cannot yet."""

__all__ = ["get_rank", "get_world_size", "is_available", "is_initialized"]


def is_available():
    """False: there is no way to train in several processes."""
    return False


def is_initialized():
    """False: there is no group of processes."""
    return False


def get_rank(group=None):
    """Raises ValueError: there is no group of processes."""
    raise ValueError("Default process group has not been initialized: training runs in one process")


def get_world_size(group=None):
    """Raises ValueError: there is no group of processes."""
    raise ValueError("Default process group has not been initialized: training runs in one process")


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name)
