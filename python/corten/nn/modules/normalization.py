"""Layer, group, RMS and local response normalisation."""

import corten

from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module


class LocalResponseNorm(Module):
    """Divides ``(N, C, *)`` by ``(k + alpha/size * sum of squares over size neighbouring channels)^beta``."""

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input):
        """Returns the normalised input."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self):
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """Local response normalisation of images ``(N, C, H, W)`` whose window is ``(size - 1) // 2`` either side.

    The first channel stays in the running sum of squares once it has entered, as in the implementation that
    published networks were trained with.
    """

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1):
        super().__init__(size, alpha, beta, k)

    def forward(self, input):
        """Returns the normalised input."""
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        reach = (self.size - 1) // 2
        squares = input.mul(input)
        padded = F.pad(squares, (0, 0, 0, 0, reach, reach))
        total = sum(padded.narrow(1, offset, input.shape[1]) for offset in range(2 * reach + 1))
        late = corten.arange(input.shape[1], device=input.device) > reach
        total = total + squares[:, :1] * late.to(input.dtype).reshape(-1, 1, 1)
        return input / total.mul(self.alpha / self.size).add(self.k).pow(self.beta)


def _shape(normalized_shape):
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """Normalises over the last dimensions (Ba et al. 2016).

    Args:
        normalized_shape: the sizes of those dimensions; a number means the last one.
        eps: added to the variance.
        elementwise_affine: whether to scale and shift by learned ``weight`` and ``bias`` of that shape.
        bias: whether the affine map has a shift.
    """

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = bias_value = None
        if elementwise_affine:
            weight = Parameter(corten.empty(self.normalized_shape, device=device, dtype=dtype))
            if bias:
                bias_value = Parameter(corten.empty(self.normalized_shape, device=device, dtype=dtype))
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias_value)
        self.reset_parameters()

    def reset_parameters(self):
        """Sets the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input):
        """Returns the normalised input."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """Normalises groups of channels of every sample of ``(N, C, *)`` (Wu & He 2018).

    Args:
        num_groups: groups into which the channels are divided.
        num_channels: the number of channels C.
        eps: added to the variance.
        affine: whether to scale and shift by learned ``weight`` and ``bias`` of shape ``(C,)``.
        bias: whether the affine map has a shift.
    """

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, device=None, dtype=None, *, bias=True):
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        weight = bias_value = None
        if affine:
            weight = Parameter(corten.empty(num_channels, device=device, dtype=dtype))
            if bias:
                bias_value = Parameter(corten.empty(num_channels, device=device, dtype=dtype))
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias_value)
        self.reset_parameters()

    def reset_parameters(self):
        """Sets the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input):
        """Returns the normalised input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divides by the root mean square over the last dimensions (Zhang & Sennrich 2019).

    Args:
        normalized_shape: the sizes of those dimensions; a number means the last one.
        eps: added to the mean square; the dtype's machine epsilon by default.
        elementwise_affine: whether to scale by a learned ``weight`` of that shape.
    """

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = None
        if elementwise_affine:
            weight = Parameter(corten.empty(self.normalized_shape, device=device, dtype=dtype))
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self):
        """Sets the weight to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x):
        """Returns the normalised input."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
