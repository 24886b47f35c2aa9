"""Feature pyramids."""

from collections import OrderedDict

from corten import nn

from .misc import Conv2dNormActivation

__all__ = ["FeaturePyramidNetwork", "ExtraFPNBlock", "LastLevelMaxPool", "LastLevelP6P7"]


class ExtraFPNBlock(nn.Module):
    """What adds levels to a pyramid: called with its results, the inputs and the names; returns results and names."""

    def forward(self, results, x, names):
        raise NotImplementedError(f"{type(self).__name__} has no forward(results, x, names)")


class LastLevelMaxPool(ExtraFPNBlock):
    """Adds a level ``"pool"``, every second pixel of the last one."""

    def forward(self, x, y, names):
        return [*x, nn.functional.max_pool2d(x[-1], 1, 2, 0)], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Adds two levels, ``"p6"`` and ``"p7"``, by convolutions of stride 2 (RetinaNet, Lin et al. 2017).

    Args:
        in_channels: of the last input.
        out_channels: of the pyramid.
    """

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for layer in (self.p6, self.p7):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.constant_(layer.bias, 0)
        self.use_P5 = in_channels == out_channels

    def forward(self, p, c, names):
        p6 = self.p6(p[-1] if self.use_P5 else c[-1])
        p7 = self.p7(nn.functional.relu(p6))
        return [*p, p6, p7], [*names, "p6", "p7"]


class FeaturePyramidNetwork(nn.Module):
    """Adds what coarser levels know to finer ones (FPN, Lin et al. 2017).

    Called with an ordered dict of ``(N, C_i, H_i, W_i)``, finest first; returns one of ``(N, out_channels, H_i, W_i)``.

    Args:
        in_channels_list: the channels ``C_i``.
        out_channels: those of every result.
        extra_blocks: an `ExtraFPNBlock` or None.
        norm_layer: the normalisation behind each convolution, or None.

    Raises:
        ValueError: an input without channels.
    """

    def __init__(self, in_channels_list, out_channels, extra_blocks=None, norm_layer=None):
        super().__init__()
        if extra_blocks is not None and not isinstance(extra_blocks, ExtraFPNBlock):
            raise TypeError(f"extra_blocks should be of type ExtraFPNBlock not {type(extra_blocks)}")
        if 0 in in_channels_list:
            raise ValueError("in_channels=0 is currently not supported")
        options = dict(norm_layer=norm_layer, activation_layer=None)
        self.inner_blocks = nn.ModuleList()
        self.layer_blocks = nn.ModuleList()
        for channels in in_channels_list:
            self.inner_blocks.append(Conv2dNormActivation(channels, out_channels, 1, padding=0, **options))
            self.layer_blocks.append(Conv2dNormActivation(out_channels, out_channels, 3, **options))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0)
        self.extra_blocks = extra_blocks

    def forward(self, x):
        names, inputs = list(x.keys()), list(x.values())
        coarser = None
        results = []
        for value, inner, layer in zip(reversed(inputs), reversed(self.inner_blocks), reversed(self.layer_blocks)):
            here = inner(value)
            if coarser is not None:
                here = here + nn.functional.interpolate(coarser, size=here.shape[-2:], mode="nearest")
            coarser = here
            results.insert(0, layer(here))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, inputs, names)
        return OrderedDict(zip(names, results))
