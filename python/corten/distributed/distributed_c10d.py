"""The module in which PyTorch keeps what `corten.distributed` names, for programs that import from there."""

from . import *  # noqa: F403
from ._group import resolve


def _get_default_group():
    """The group of all processes.

    Raises:
        ValueError: there is none.
    """
    return resolve(None)
