"""ResNet (He et al., arXiv:1512.03385), ResNeXt (Xie et al., arXiv:1611.05431) and Wide ResNet (arXiv:1605.07146)."""

from ... import nn
from ._api import build, imagenet, register_model

# By network: its block, the blocks in each stage, groups, width of a group, and the names of its files of weights.
_NETWORKS = {
    "resnet18": ("BasicBlock", (2, 2, 2, 2), 1, 64, "f37072fd"),
    "resnet34": ("BasicBlock", (3, 4, 6, 3), 1, 64, "b627a593"),
    "resnet50": ("Bottleneck", (3, 4, 6, 3), 1, 64, "0676ba61 11ad3fa6"),
    "resnet101": ("Bottleneck", (3, 4, 23, 3), 1, 64, "63fe2227 cd907fc2"),
    "resnet152": ("Bottleneck", (3, 8, 36, 3), 1, 64, "394f9c45 f82ba261"),
    "resnext50_32x4d": ("Bottleneck", (3, 4, 6, 3), 32, 4, "7cdf4587 1a0047aa"),
    "resnext101_32x8d": ("Bottleneck", (3, 4, 23, 3), 32, 8, "8ba56ff5 110c445d"),
    "wide_resnet50_2": ("Bottleneck", (3, 4, 6, 3), 1, 128, "95faca4d 9ba9bcbe"),
    "wide_resnet101_2": ("Bottleneck", (3, 4, 23, 3), 1, 128, "32ee1156 d733dc28"),
}

__all__ = ["ResNet"]


def conv3x3(in_planes, out_planes, stride=1, groups=1, dilation=1):
    """A 3 × 3 convolution that keeps the size where ``stride`` is 1."""
    return nn.Conv2d(
        in_planes, out_planes, 3, stride=stride, padding=dilation, groups=groups, bias=False, dilation=dilation
    )


def conv1x1(in_planes, out_planes, stride=1):
    """A 1 × 1 convolution."""
    return nn.Conv2d(in_planes, out_planes, kernel_size=1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside an identity.

    Raises:
        ValueError: groups, or a width other than 64.
        NotImplementedError: a dilation.
    """

    expansion = 1

    def __init__(
        self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64, dilation=1, norm_layer=None
    ):
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise NotImplementedError("Dilation > 1 not supported in BasicBlock")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    """Convolutions of 1 × 1, 3 × 3 and 1 × 1 beside an identity; the stride is that of the middle one."""

    expansion = 4

    def __init__(
        self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64, dilation=1, norm_layer=None
    ):
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """Images ``(N, 3, H, W)`` to scores ``(N, num_classes)``.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: the blocks in each of the four stages.
        num_classes: the number of scores.
        zero_init_residual: let each block begin as the identity (Goyal et al., arXiv:1706.02677).
        groups, width_per_group: of the middle convolution of a `Bottleneck`.
        replace_stride_with_dilation: for each of the last three stages, whether it keeps the size.
        norm_layer: what normalises; `nn.BatchNorm2d` by default.

    Raises:
        ValueError: ``replace_stride_with_dilation`` has not three elements.
    """

    def __init__(
        self,
        block,
        layers,
        num_classes=1000,
        zero_init_residual=False,
        groups=1,
        width_per_group=64,
        replace_stride_with_dilation=None,
        norm_layer=None,
    ):
        super().__init__()
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        dilate = replace_stride_with_dilation or (False, False, False)
        if len(dilate) != 3:
            raise ValueError(
                f"replace_stride_with_dilation should be None or a 3-element tuple, got {replace_stride_with_dilation}"
            )
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2, dilate=dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2, dilate=dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2, dilate=dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        if zero_init_residual:
            for module in self.modules():
                last = {Bottleneck: "bn3", BasicBlock: "bn2"}.get(type(module))
                if last:
                    nn.init.zeros_(getattr(module, last).weight)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        before = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                conv1x1(self.inplanes, planes * block.expansion, stride), self._norm_layer(planes * block.expansion)
            )
        common = dict(groups=self.groups, base_width=self.base_width, norm_layer=self._norm_layer)
        stage = [block(self.inplanes, planes, stride, downsample, dilation=before, **common)]
        self.inplanes = planes * block.expansion
        stage += [block(self.inplanes, planes, dilation=self.dilation, **common) for _ in range(1, blocks)]
        return nn.Sequential(*stage)

    def _forward_impl(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))

    def forward(self, x):
        return self._forward_impl(x)


def _enter(name, block, layers, groups, width, files):
    spelled = name.replace("resne", "ResNe").replace("next", "NeXt").replace("wide", "Wide").replace("x4d", "X4D")
    spelled = spelled.replace("x8d", "X8D").replace("ResNext", "ResNeXt")
    enumeration = imagenet(f"{spelled}_Weights", [f"{name}-{file}" for file in files.split()])

    def builder(*, weights=None, progress=True, **kwargs):
        kwargs.setdefault("groups", groups)
        kwargs.setdefault("width_per_group", width)
        return build(ResNet, weights, enumeration, progress, globals()[block], list(layers), **kwargs)

    builder.__name__ = builder.__qualname__ = name
    builder.__doc__ = f"A `ResNet` of {block} in stages of {layers}, trained where ``weights`` are given."
    globals()[name] = register_model(enumeration)(builder)
    globals()[enumeration.__name__] = enumeration
    __all__.extend([name, enumeration.__name__])


for _name, _facts in _NETWORKS.items():
    _enter(_name, *_facts)
