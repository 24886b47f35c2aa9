"""Deformable convolution: each tap reads where an offset says."""

import math

import corten
from corten import nn
from corten.nn._functional.grid_sample import _linear_taps, _read
from corten.nn.modules.utils import _pair

__all__ = ["deform_conv2d", "DeformConv2d"]


def deform_conv2d(input, offset, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), mask=None):
    """Convolution with displaced taps (Dai et al. 2017), scaled ones with a mask (Zhu et al. 2019).

    Args:
        input: ``(N, C, H, W)``.
        offset: displacements in pixels, ``(N, 2 * groups * KH * KW, OH, OW)``, row before column for each tap; the
            groups divide the channels.
        weight: ``(D, C / convolution groups, KH, KW)``.
        bias: ``(D,)`` or None.
        stride, padding, dilation: a number or one for each axis.
        mask: factors ``(N, groups * KH * KW, OH, OW)``, or None.

    Returns:
        ``(N, D, OH, OW)``. Pixels outside the image count as 0. Gradients reach every tensor.

    Raises:
        ValueError: an input that is not 4-d.
        RuntimeError: offsets, mask or weight of a shape that does not fit.
    """
    if input.dim() != 4 or weight.dim() != 4 or offset.dim() != 4:
        shapes = ", ".join(str(tuple(t.shape)) for t in (input, offset, weight))
        raise ValueError(f"deform_conv2d: input, offset and weight are 4-d, got shapes {shapes}")
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    kernel, batch = weight.shape[2:], input.shape[0]
    taps = kernel[0] * kernel[1]
    out = [
        (size + 2 * pad - step * (k - 1) - 1) // jump + 1
        for size, pad, step, k, jump in zip(input.shape[2:], padding, dilation, kernel, stride)
    ]
    groups = _check(input, offset, weight, mask, taps, out)
    displaced = offset.reshape(batch * groups, taps, 2, *out)
    positions = []
    for axis, tap_shape, out_shape in ((0, (-1, 1), (-1, 1)), (1, (1, -1), (1, -1))):
        tap = corten.arange(kernel[axis], device=input.device) * dilation[axis] - padding[axis]
        tap = tap.reshape(tap_shape).expand(*kernel).reshape(taps, 1, 1)
        place = (corten.arange(out[axis], device=input.device) * stride[axis]).reshape(out_shape)
        positions.append((displaced[:, :, axis] + (tap + place)).flatten(1))
    values = _read(input.reshape(batch * groups, -1, *input.shape[2:]), _linear_taps(positions))
    values = values.reshape(batch, groups, -1, taps, out[0] * out[1])
    if mask is not None:
        values = values * mask.reshape(batch, groups, 1, taps, out[0] * out[1])
    shares = input.shape[1] // weight.shape[1]
    columns = values.reshape(batch, shares, weight.shape[1] * taps, out[0] * out[1])
    result = (weight.reshape(shares, -1, weight.shape[1] * taps) @ columns).reshape(batch, -1, *out)
    return result if bias is None else result + bias.reshape(1, -1, 1, 1)


def _check(input, offset, weight, mask, taps, out):
    """How many groups of channels have displacements of their own."""
    if offset.shape[1] % (2 * taps) or not offset.shape[1]:
        raise RuntimeError(
            "the shape of the offset tensor at dimension 1 is not valid. It should be a multiple of 2 * weight.size[2] "
            f"* weight.size[3].\nGot offset.shape[1]={offset.shape[1]}, while 2 * weight.size[2] * weight.size[3]="
            f"{2 * taps}"
        )
    groups, channels = offset.shape[1] // (2 * taps), input.shape[1]
    if channels % weight.shape[1] or channels % groups or weight.shape[0] % (channels // weight.shape[1]):
        raise RuntimeError(
            f"deform_conv2d: input has {channels} channels, which weight of shape {tuple(weight.shape)} and "
            f"{groups} offset groups do not divide"
        )
    if mask is not None and mask.shape[1] != groups * taps:
        raise RuntimeError(f"mask.shape[1] is not valid: got: {mask.shape[1]} expected: {groups * taps}")
    for name, given in (("offset", offset), ("mask", mask)):
        if given is not None and tuple(given.shape[2:]) != tuple(out):
            raise RuntimeError(f"{name} output dims: {tuple(given.shape[2:])} - computed output dims: {tuple(out)}")
        if given is not None and given.shape[0] != input.shape[0]:
            raise RuntimeError(f"deform_conv2d: {name} has batch size {given.shape[0]}, input {input.shape[0]}")
    return groups


class DeformConv2d(nn.Module):
    """`deform_conv2d` with a weight and a bias, called with ``input``, ``offset`` and perhaps ``mask``.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: those of `nn.Conv2d`.

    Raises:
        ValueError: channels that the groups do not divide.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True):
        super().__init__()
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.dilation = _pair(dilation)
        self.groups = groups
        self.weight = nn.Parameter(corten.empty(out_channels, in_channels // groups, *self.kernel_size))
        if bias:
            self.bias = nn.Parameter(corten.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draws weight and bias as `nn.Conv2d` does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input, offset, mask=None):
        return deform_conv2d(input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)

    def __repr__(self):
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if getattr(self, name) != usual:
                shown += f", {name}={getattr(self, name)}"
        return f"{type(self).__name__}({shown}{', bias=False' if self.bias is None else ''})"
