"""Whether there is a GPU for mixed precision."""

__all__ = ["amp_definitely_not_available"]


def amp_definitely_not_available():
    """Whether there is no GPU."""
    from corten import gpu

    return not gpu.is_available()
