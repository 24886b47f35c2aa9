"""What packages ask of the part of ``torch._dynamo`` that calls compiled code."""

from ..compiler import OptimizedModule

__all__ = ["OptimizedModule", "is_dynamo_supported"]


def is_dynamo_supported():
    """True: `corten.compile` works wherever corten does."""
    return True
