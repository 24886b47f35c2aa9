"""Blocks that networks for images are built of."""

import corten
from corten import nn

__all__ = [
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "FrozenBatchNorm2d",
    "MLP",
    "Permute",
    "SqueezeExcitation",
]


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation of ``(N, C, H, W)`` whose statistics and affine parameters are constants.

    Args:
        num_features: the channels C.
        eps: added to the variance.
    """

    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", corten.ones(num_features))
        self.register_buffer("bias", corten.zeros(num_features))
        self.register_buffer("running_mean", corten.zeros(num_features))
        self.register_buffer("running_var", corten.ones(num_features))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        # Checkpoints of `BatchNorm2d` count batches, which nothing here reads.
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x):
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)

    def __repr__(self):
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"


class ConvNormActivation(nn.Sequential):
    """A convolution, a normalisation and an activation; each but the first may be None.

    ``padding`` None keeps the size at stride 1, ``bias`` None has one where there is no normalisation.
    """

    _convolution: type[nn.Module] = nn.Conv2d
    _dims = 2

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size=3,
        stride=1,
        padding=None,
        groups=1,
        norm_layer=nn.BatchNorm2d,
        activation_layer=nn.ReLU,
        dilation=1,
        inplace=True,
        bias=None,
    ):
        if padding is None:
            kernels, dilations = (
                (value,) * self._dims if isinstance(value, int) else tuple(value) for value in (kernel_size, dilation)
            )
            padding = tuple((kernel - 1) // 2 * step for kernel, step in zip(kernels, dilations))
        bias = norm_layer is None if bias is None else bias
        layers = [
            self._convolution(
                in_channels, out_channels, kernel_size, stride, padding, dilation=dilation, groups=groups, bias=bias
            )
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**({} if inplace is None else {"inplace": inplace})))
        super().__init__(*layers)
        self.out_channels = out_channels


class Conv2dNormActivation(ConvNormActivation):
    """Convolution of ``(N, C, H, W)``, normalisation and activation in a row.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: those of `nn.Conv2d`.
        padding: None keeps the size at stride 1.
        norm_layer: called with the channels; None for none.
        activation_layer: called with ``inplace=``; None for none.
        inplace: given to the activation unless it is None.
        bias: of the convolution; None for one where there is no normalisation.
    """


class Conv3dNormActivation(ConvNormActivation):
    """`Conv2dNormActivation` for volumes ``(N, C, D, H, W)``."""

    _convolution = nn.Conv3d
    _dims = 3

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size=3,
        stride=1,
        padding=None,
        groups=1,
        norm_layer=nn.BatchNorm3d,
        activation_layer=nn.ReLU,
        dilation=1,
        inplace=True,
        bias=None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            groups,
            norm_layer,
            activation_layer,
            dilation,
            inplace,
            bias,
        )


class SqueezeExcitation(nn.Module):
    """Channels scaled by what their means say (Squeeze-and-Excitation, Hu et al. 2018); ``(N, C, H, W)``.

    Args:
        input_channels: C.
        squeeze_channels: channels between the two layers.
        activation: the class of the activation between them.
        scale_activation: the class of the activation of the scales.
    """

    def __init__(self, input_channels, squeeze_channels, activation=nn.ReLU, scale_activation=nn.Sigmoid):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input):
        squeezed = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(squeezed)) * input


class MLP(nn.Sequential):
    """Linear layers with normalisation, activation and dropout between them; ``(*, in_channels)``.

    Args:
        in_channels: features of the input.
        hidden_channels: features after each layer; the last are the output's.
        norm_layer: called with the features; None for none.
        activation_layer: called with ``inplace=``; None for none.
        inplace: given to activation and dropout unless it is None.
        bias: whether the layers have one.
        dropout: its probability.
    """

    def __init__(
        self,
        in_channels,
        hidden_channels,
        norm_layer=None,
        activation_layer=nn.ReLU,
        inplace=None,
        bias=True,
        dropout=0.0,
    ):
        options = {} if inplace is None else {"inplace": inplace}
        layers = []
        features = in_channels
        for hidden in hidden_channels[:-1]:
            layers.append(nn.Linear(features, hidden, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(hidden))
            if activation_layer is not None:
                layers.append(activation_layer(**options))
            layers.append(nn.Dropout(dropout, **options))
            features = hidden
        layers.append(nn.Linear(features, hidden_channels[-1], bias=bias))
        layers.append(nn.Dropout(dropout, **options))
        super().__init__(*layers)


class Permute(nn.Module):
    """`permute` as a module.

    Args:
        dims: the new order of the dims.
    """

    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.permute(self.dims)
