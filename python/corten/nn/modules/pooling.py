"""Pooling modules; the functions they call are documented in nn.functional."""

from .. import functional as F
from .module import Module
from .utils import ntuple


class _MaxPoolNd(Module):
    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input):
        """Returns the maxima, and with ``return_indices`` their positions too."""
        return self._pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self):
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """Takes the maximum over windows of ``(N, C, L)`` or ``(C, L)``.

    Args:
        kernel_size: extent of a window.
        stride: step between windows; the extent by default.
        padding: positions of -inf added on both sides, at most half the extent.
        dilation: distance between a window's elements.
        return_indices: also return the positions of the maxima, for :class:`MaxUnpool1d`.
        ceil_mode: keep the last window when it runs over the edge.
    """

    _pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPoolNd):
    """Takes the maximum over windows of ``(N, C, H, W)`` or ``(C, H, W)``; arguments as in :class:`MaxPool1d`."""

    _pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPoolNd):
    """Takes the maximum over windows of ``(N, C, D, H, W)``; arguments as in :class:`MaxPool1d`."""

    _pool = staticmethod(F.max_pool3d)


class _MaxUnpoolNd(Module):
    _dims: int

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size = ntuple(kernel_size, self._dims)
        self.stride = ntuple(stride if stride is not None else kernel_size, self._dims)
        self.padding = ntuple(padding, self._dims)

    def forward(self, input, indices, output_size=None):
        """Puts the maxima ``input`` at ``indices`` among zeros."""
        return self._unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Undoes :class:`MaxPool1d` up to the values that were not maxima, which become zero; ``(N, C, L)``."""

    _dims = 1
    _unpool = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpoolNd):
    """Undoes :class:`MaxPool2d` up to the values that were not maxima, which become zero; ``(N, C, H, W)``."""

    _dims = 2
    _unpool = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpoolNd):
    """Undoes :class:`MaxPool3d` up to the values that were not maxima, which become zero."""

    _dims = 3
    _unpool = staticmethod(F.max_unpool3d)


class _AvgPoolNd(Module):
    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """Averages windows of ``(N, C, L)`` or ``(C, L)``.

    Args:
        kernel_size: extent of a window.
        stride: step between windows; the extent by default.
        padding: zeros added on both sides.
        ceil_mode: keep the last window when it runs over the edge.
        count_include_pad: whether the added zeros count in the average.
    """

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__()
        self.kernel_size = ntuple(kernel_size, 1)
        self.stride = ntuple(stride if stride is not None else kernel_size, 1)
        self.padding = ntuple(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input):
        """Returns the averages."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPool2dOr3d(_AvgPoolNd):
    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input):
        """Returns the averages."""
        return self._pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool2d(_AvgPool2dOr3d):
    """Averages windows of ``(N, C, H, W)``; arguments as in :class:`AvgPool1d`, and ``divisor_override``, the number
    to divide by instead of the window's size."""

    _pool = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool2dOr3d):
    """Averages windows of ``(N, C, D, H, W)``; arguments as in :class:`AvgPool2d`."""

    _pool = staticmethod(F.avg_pool3d)


class _FractionalMaxPoolNd(Module):
    _dims: int

    def __init__(self, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        super().__init__()
        dims = self._dims
        name = type(self).__name__
        self.kernel_size = ntuple(kernel_size, dims)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else ntuple(output_size, dims)
        self.output_ratio = None if output_ratio is None else ntuple(output_ratio, dims)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError(f"only one of output_size and output_ratio may be specified to {name}")
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input):
        """Returns the maxima, and with ``return_indices`` their positions too."""
        return self._pool(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """Takes maxima over pseudo-random windows of ``(N, C, H, W)`` (Graham 2014).

    Args:
        kernel_size: extent of a window.
        output_size: the output's spatial size, or
        output_ratio: its ratio to the input's, between 0 and 1.
        return_indices: also return the positions of the maxima.
    """

    _dims = 2
    _pool = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """Takes maxima over pseudo-random windows of ``(N, C, D, H, W)``; as :class:`FractionalMaxPool2d`."""

    _dims = 3
    _pool = staticmethod(F.fractional_max_pool3d)


class _LPPoolNd(Module):
    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input):
        """Returns the power sums' roots."""
        return self._pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self):
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """Computes ``(sum x^p)^(1/p)`` over windows of ``(N, C, L)``."""

    _pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPoolNd):
    """Computes ``(sum x^p)^(1/p)`` over windows of ``(N, C, H, W)``."""

    _pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPoolNd):
    """Computes ``(sum x^p)^(1/p)`` over windows of ``(N, C, D, H, W)``."""

    _pool = staticmethod(F.lp_pool3d)


class _AdaptiveAvgPoolNd(Module):
    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input):
        """Returns the averages."""
        return self._pool(input, self.output_size)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Averages ``(N, C, L)`` over windows chosen to give ``output_size`` positions."""

    _pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Averages ``(N, C, H, W)`` over windows chosen to give ``output_size``; a None in it keeps that extent."""

    _pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Averages ``(N, C, D, H, W)`` over windows chosen to give ``output_size``; a None in it keeps that extent."""

    _pool = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMaxPoolNd(Module):
    def __init__(self, output_size, return_indices=False):
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input):
        """Returns the maxima, and with ``return_indices`` their positions too."""
        return self._pool(input, self.output_size, self.return_indices)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Takes the maximum of ``(N, C, L)`` over windows chosen to give ``output_size`` positions."""

    _pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Takes the maximum of ``(N, C, H, W)`` over windows chosen to give ``output_size``."""

    _pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Takes the maximum of ``(N, C, D, H, W)`` over windows chosen to give ``output_size``."""

    _pool = staticmethod(F.adaptive_max_pool3d)
