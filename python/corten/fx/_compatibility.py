"""The decorator that marks what stays as it is in later versions; it changes nothing."""

__all__ = ["compatibility"]


def compatibility(is_backward_compatible):
    """A decorator that returns what it is given."""
    return lambda value: value
