"""What packages ask of PyTorch's tensors without values: whether one is such."""

from .fake_tensor import FakeTensor, FakeTensorMode

__all__ = ["FakeTensor", "FakeTensorMode"]
