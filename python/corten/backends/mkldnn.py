"""Switches of oneDNN (``torch.backends.mkldnn``), which is not used."""

import contextlib

__all__ = ["deterministic", "enabled", "flags", "is_available"]

enabled = True
deterministic = False
allow_tf32 = True
fp32_precision = "none"


def is_available():
    """False: oneDNN is not used."""
    return False


@contextlib.contextmanager
def flags(enabled=False, deterministic=False, allow_tf32=True, fp32_precision="none"):
    """Sets the switches for a block."""
    given = {"enabled": enabled, "deterministic": deterministic}
    given |= {"allow_tf32": allow_tf32, "fp32_precision": fp32_precision}
    before = {name: globals()[name] for name in given}
    globals().update(given)
    try:
        yield
    finally:
        globals().update(before)
