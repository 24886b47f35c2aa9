"""Switches of the order of contractions in `einsum` (``torch.backends.opt_einsum``)."""

__all__ = ["enabled", "is_available", "strategy"]

enabled = False
strategy = None


def is_available():
    """False: the package opt_einsum is not asked; `einsum` contracts from left to right."""
    return False


def get_opt_einsum():
    """None: the package is not asked."""
