"""What ``torch._dynamo.exc`` has of errors that programs catch."""

__all__ = ["InvalidBackend", "TorchDynamoException", "Unsupported"]


class TorchDynamoException(RuntimeError):
    """The base of the errors of `corten.compile` that PyTorch has names for."""


class InvalidBackend(TorchDynamoException, NotImplementedError):
    """`corten.compile` was asked for a backend that is not there."""


class Unsupported(TorchDynamoException):
    """A function that is to be recorded whole, by ``fullgraph=True``, does what cannot be recorded."""
