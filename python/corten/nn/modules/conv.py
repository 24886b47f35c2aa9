"""Convolutions and transposed convolutions over one to three spatial dimensions."""

import math

import corten

from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module
from .utils import ntuple, reverse_repeat

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _check_channels(in_channels, out_channels, groups):
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if in_channels % groups != 0:
        raise ValueError("in_channels must be divisible by groups")
    if out_channels % groups != 0:
        raise ValueError("out_channels must be divisible by groups")


def _check_padding(padding, stride, padding_mode):
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}")
        if padding == "same" and any(step != 1 for step in stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
    if padding_mode not in _PADDING_MODES:
        names = ", ".join(repr(mode) for mode in _PADDING_MODES)
        raise ValueError(f"padding_mode must be one of {{{names}}}, but got padding_mode={padding_mode!r}")


class _ConvNd(Module):
    """What all convolutions share: checked arguments, parameters and their initial values."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        bias,
        padding_mode,
        device=None,
        dtype=None,
    ):
        super().__init__()
        _check_channels(in_channels, out_channels, groups)
        _check_padding(padding, stride, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._explicit_padding()
        weight_shape = self._weight_shape()
        self.weight = Parameter(corten.empty(weight_shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(corten.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _weight_shape(self):
        if self.transposed:
            return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def _explicit_padding(self):
        """The padding as :func:`pad` takes it: two entries a dimension, last dimension first."""
        if not isinstance(self.padding, str):
            return reverse_repeat(self.padding, 2)
        widths = [0, 0] * len(self.kernel_size)
        if self.padding == "same":
            spans = zip(self.dilation, self.kernel_size, strict=True)
            for i, (dilation, kernel) in enumerate(reversed(list(spans))):
                total = dilation * (kernel - 1)
                widths[2 * i], widths[2 * i + 1] = total // 2, total - total // 2
        return widths

    def reset_parameters(self):
        """Draws weight and bias uniformly in ``±1/sqrt(fan_in)``."""
        # With a = sqrt(5) the bound of kaiming_uniform_ is 1 / sqrt(fan_in).
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _convolve(self, convolution, input, weight, bias):
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0,) * len(self.kernel_size)
        return convolution(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self):
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        dims = len(self.kernel_size)
        if self.padding != (0,) * len(self.padding):
            text += f", padding={self.padding}"
        if self.dilation != (1,) * dims:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * dims:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text

    def __setstate__(self, state):
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


class _PlainConvNd(_ConvNd):
    """A convolution whose number of spatial dimensions is the class attribute ``_dims``."""

    _dims: int

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        dims = self._dims
        super().__init__(
            in_channels,
            out_channels,
            ntuple(kernel_size, dims),
            ntuple(stride, dims),
            padding if isinstance(padding, str) else ntuple(padding, dims),
            ntuple(dilation, dims),
            False,
            (0,) * dims,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_PlainConvNd):
    """Convolves ``(N, C_in, L)`` or ``(C_in, L)`` with ``weight`` ``(C_out, C_in / groups, K)``.

    Args:
        in_channels, out_channels: channels of input and output.
        kernel_size: extent of the kernel.
        stride: step between windows.
        padding: positions added on both sides, or ``"same"`` or ``"valid"``.
        dilation: distance between the kernel's elements.
        groups: channel groups that do not see each other.
        bias: whether to add a learned bias.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Output: ``(N, C_out, (L + 2 padding - dilation (K - 1) - 1) // stride + 1)``.
    """

    _dims = 1

    def _conv_forward(self, input, weight, bias):
        return self._convolve(F.conv1d, input, weight, bias)

    def forward(self, input):
        """Returns the convolution of ``input``."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv2d(_PlainConvNd):
    """Convolves ``(N, C_in, H, W)`` or ``(C_in, H, W)`` with ``weight`` ``(C_out, C_in / groups, kH, kW)``.

    Arguments as in :class:`Conv1d`; numbers or pairs ``(height, width)``.

    Example:
        >>> nn.Conv2d(16, 33, 3, stride=2)(corten.randn(20, 16, 50, 100)).shape
        corten.Size([20, 33, 24, 49])
    """

    _dims = 2

    def _conv_forward(self, input, weight, bias):
        return self._convolve(F.conv2d, input, weight, bias)

    def forward(self, input):
        """Returns the convolution of ``input``."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv3d(_PlainConvNd):
    """Convolves ``(N, C_in, D, H, W)`` or ``(C_in, D, H, W)``; arguments as in :class:`Conv1d`, numbers or triples."""

    _dims = 3

    def _conv_forward(self, input, weight, bias):
        return self._convolve(F.conv3d, input, weight, bias)

    def forward(self, input):
        """Returns the convolution of ``input``."""
        return self._conv_forward(input, self.weight, self.bias)


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution whose number of spatial dimensions is the class attribute ``_dims``."""

    _dims: int

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        dims = self._dims
        super().__init__(
            in_channels,
            out_channels,
            ntuple(kernel_size, dims),
            ntuple(stride, dims),
            ntuple(padding, dims),
            ntuple(dilation, dims),
            True,
            ntuple(output_padding, dims),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input, output_size):
        """The output padding that gives ``output_size``; without one, what the module was made with."""
        if output_size is None:
            return self.output_padding
        dims = self._dims
        leading = input.dim() - dims
        output_size = list(output_size)
        if len(output_size) == dims + leading:
            output_size = output_size[leading:]
        if len(output_size) != dims:
            raise ValueError(
                f"ConvTranspose{dims}D: for {input.dim()}D input, output_size must have {dims} or {dims + leading} "
                f"elements (got {len(output_size)})"
            )
        smallest = [
            (input.shape[d + leading] - 1) * self.stride[d]
            - 2 * self.padding[d]
            + self.dilation[d] * (self.kernel_size[d] - 1)
            + 1
            for d in range(dims)
        ]
        largest = [size + stride - 1 for size, stride in zip(smallest, self.stride, strict=True)]
        for size, low, high in zip(output_size, smallest, largest, strict=True):
            if not low <= size <= high:
                raise ValueError(
                    f"requested an output size of {output_size}, but valid sizes range from {smallest} to {largest} "
                    f"(for an input of {input.shape[2:]})"
                )
        return [size - low for size, low in zip(output_size, smallest, strict=True)]

    def _transpose(self, convolution, input, output_size):
        output_padding = self._output_padding(input, output_size)
        return convolution(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution of ``(N, C_in, L)`` with ``weight`` ``(C_in, C_out / groups, K)``.

    It maps sizes the way back that the convolution with the same arguments maps them forth.

    Args:
        in_channels, out_channels: channels of input and output.
        kernel_size, stride, padding, dilation, groups, bias: those of the convolution that it transposes.
        output_padding: positions added on one side of the output, which several sizes share otherwise.
    """

    _dims = 1

    def forward(self, input, output_size=None):
        """Returns the transposed convolution; ``output_size`` picks among the possible sizes."""
        return self._transpose(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution of ``(N, C_in, H, W)``; arguments as in :class:`ConvTranspose1d`, numbers or pairs."""

    _dims = 2

    def forward(self, input, output_size=None):
        """Returns the transposed convolution; ``output_size`` picks among the possible sizes."""
        return self._transpose(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution of ``(N, C_in, D, H, W)``; as :class:`ConvTranspose1d`, numbers or triples."""

    _dims = 3

    def forward(self, input, output_size=None):
        """Returns the transposed convolution; ``output_size`` picks among the possible sizes."""
        return self._transpose(F.conv_transpose3d, input, output_size)


class _LazyConvXdMixin(LazyModuleMixin):
    """A convolution that takes ``in_channels`` from its first input."""

    def __init__(self, out_channels, *args, **kwargs):
        # The base is made with no channels and no bias; both follow once the input is seen.
        names = ("kernel_size", "stride", "padding")
        names += (
            ("output_padding", "groups", "bias", "dilation") if self._is_transposed else ("dilation", "groups", "bias")
        )
        names += ("padding_mode", "device", "dtype")
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} takes at most {len(names) + 1} positional arguments")
        options = dict(zip(names, args, strict=False))
        options.update(kwargs)
        bias, groups = options.pop("bias", True), options.get("groups", 1)
        # Zero output channels with one group: checked against the real numbers at initialisation.
        options["groups"] = 1
        super().__init__(0, 0, bias=False, **options)
        self.groups = groups
        self.out_channels = out_channels
        tensor_options = {"device": options.get("device"), "dtype": options.get("dtype")}
        self.weight = UninitializedParameter(**tensor_options)
        if bias:
            self.bias = UninitializedParameter(**tensor_options)

    _is_transposed = False

    def reset_parameters(self):
        """Draws the parameters once the sizes are known."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input, *args, **kwargs):
        """Allocates the parameters for ``input``'s channels."""
        if not self.has_uninitialized_params():
            return
        dims = self._dims
        if input.dim() not in (dims + 1, dims + 2):
            raise RuntimeError(
                f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {type(self).__name__}, but got "
                f"input of size: {input.shape}"
            )
        self.in_channels = input.shape[-dims - 1]
        _check_channels(self.in_channels, self.out_channels, self.groups)
        self.weight.materialize(self._weight_shape())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class LazyConv1d(_LazyConvXdMixin, Conv1d):
    """A :class:`Conv1d` without ``in_channels``, which it takes from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvXdMixin, Conv2d):
    """A :class:`Conv2d` without ``in_channels``, which it takes from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvXdMixin, Conv3d):
    """A :class:`Conv3d` without ``in_channels``, which it takes from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvXdMixin, ConvTranspose1d):
    """A :class:`ConvTranspose1d` without ``in_channels``, which it takes from its first input."""

    cls_to_become = ConvTranspose1d
    _is_transposed = True


class LazyConvTranspose2d(_LazyConvXdMixin, ConvTranspose2d):
    """A :class:`ConvTranspose2d` without ``in_channels``, which it takes from its first input."""

    cls_to_become = ConvTranspose2d
    _is_transposed = True


class LazyConvTranspose3d(_LazyConvXdMixin, ConvTranspose3d):
    """A :class:`ConvTranspose3d` without ``in_channels``, which it takes from its first input."""

    cls_to_become = ConvTranspose3d
    _is_transposed = True
