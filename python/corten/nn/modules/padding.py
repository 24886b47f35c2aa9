"""Padding modules: constant, zero, reflected, replicated and circular borders."""

from .. import functional as F
from .module import Module
from .utils import ntuple


class _PadNd(Module):
    """Pads the last ``_dims`` dimensions by ``padding``: (left, right[, top, bottom[, front, back]])."""

    _dims: int
    _mode: str

    def __init__(self, padding):
        super().__init__()
        self.padding = ntuple(padding, 2 * self._dims)

    def forward(self, input):
        """Returns the padded input."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self):
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    _mode = "constant"

    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        """Returns the padded input."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Pads ``(*, W)`` by ``(left, right)`` with ``value``."""

    _dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Pads ``(*, H, W)`` by ``(left, right, top, bottom)`` with ``value``."""

    _dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Pads ``(*, D, H, W)`` by ``(left, right, top, bottom, front, back)`` with ``value``."""

    _dims = 3


class ZeroPad1d(ConstantPad1d):
    """Pads ``(*, W)`` with zeros."""

    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Pads ``(*, H, W)`` with zeros."""

    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Pads ``(*, D, H, W)`` with zeros."""

    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


class _ReflectionPadNd(_PadNd):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """Pads ``(N, C, W)`` by mirroring, without repeating the edge."""

    _dims = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Pads ``(N, C, H, W)`` by mirroring, without repeating the edge."""

    _dims = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Pads ``(N, C, D, H, W)`` by mirroring, without repeating the edge."""

    _dims = 3


class _ReplicationPadNd(_PadNd):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """Pads ``(N, C, W)`` by repeating the edge."""

    _dims = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Pads ``(N, C, H, W)`` by repeating the edge."""

    _dims = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Pads ``(N, C, D, H, W)`` by repeating the edge."""

    _dims = 3


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def _check_input_dim(self, input):
        ranks = (self._dims + 1, self._dims + 2)
        if input.dim() not in ranks:
            raise ValueError(f"expected {ranks[0]}D or {ranks[1]}D input (got {input.dim()}D input)")

    def forward(self, input):
        """Returns the padded input."""
        self._check_input_dim(input)
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Pads ``(N, C, W)`` with the values of the opposite edge."""

    _dims = 1


class CircularPad2d(_CircularPadNd):
    """Pads ``(N, C, H, W)`` with the values of the opposite edges."""

    _dims = 2


class CircularPad3d(_CircularPadNd):
    """Pads ``(N, C, D, H, W)`` with the values of the opposite edges."""

    _dims = 3
