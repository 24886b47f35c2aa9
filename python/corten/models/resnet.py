"""ResNet (He et al., arXiv:1512.03385), ResNeXt (Xie et al., arXiv:1611.05431) and Wide ResNet (arXiv:1605.07146)."""

from .. import nn
from ..nn import functional as F

__all__ = [
    "ResNet",
    "CifarResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
]


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


class CifarBlock(nn.Module):
    """Two 3 × 3 convolutions beside an identity that skips pixels and fills new channels with zeros (option A)."""

    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.new_channels = stride, planes - inplanes

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or self.new_channels:
            before = self.new_channels // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new_channels - before))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """The ResNet for small images of section 4.2 of the paper: ``(N, in_channels, H, W)`` to ``(N, num_classes)``.

    Three stages of widths ``width``, ``2 width`` and ``4 width``; made for 32 × 32 pixels, 28 × 28 will do.

    Args:
        depth: layers with weights, ``6 n + 2``.
        num_classes: the number of scores.
        in_channels: 1 for grey images.
        width: channels of the first stage.

    Raises:
        ValueError: another depth.
    """

    def __init__(self, depth=20, num_classes=10, in_channels=3, width=16):
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth must be 6 n + 2 with n of at least 1, got {depth}")
        blocks = (depth - 2) // 6
        self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, blocks, 1)
        self.layer2 = self._stage(width, 2 * width, blocks, 2)
        self.layer3 = self._stage(2 * width, 4 * width, blocks, 2)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def _stage(self, inplanes, planes, blocks, stride):
        rest = [CifarBlock(planes, planes) for _ in range(1, blocks)]
        return nn.Sequential(CifarBlock(inplanes, planes, stride), *rest)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def resnet18(num_classes=1000, **options):
    """ResNet-18; 11.7 million parameters. Options are those of `ResNet`."""
    return ResNet(BasicBlock, [2, 2, 2, 2], num_classes, **options)


def resnet34(num_classes=1000, **options):
    """ResNet-34; 21.8 million parameters."""
    return ResNet(BasicBlock, [3, 4, 6, 3], num_classes, **options)


def resnet50(num_classes=1000, **options):
    """ResNet-50; 25.6 million parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, **options)


def resnet101(num_classes=1000, **options):
    """ResNet-101; 44.5 million parameters."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, **options)


def resnet152(num_classes=1000, **options):
    """ResNet-152; 60.2 million parameters."""
    return ResNet(Bottleneck, [3, 8, 36, 3], num_classes, **options)


def resnext50_32x4d(num_classes=1000, groups=32, width_per_group=4, **options):
    """ResNeXt-50 with 32 groups of 4 channels; 25.0 million parameters."""
    options |= dict(groups=groups, width_per_group=width_per_group)
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, **options)


def resnext101_32x8d(num_classes=1000, groups=32, width_per_group=8, **options):
    """ResNeXt-101 with 32 groups of 8 channels; 88.8 million parameters."""
    options |= dict(groups=groups, width_per_group=width_per_group)
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, **options)


def resnext101_64x4d(num_classes=1000, groups=64, width_per_group=4, **options):
    """ResNeXt-101 with 64 groups of 4 channels; 83.5 million parameters."""
    options |= dict(groups=groups, width_per_group=width_per_group)
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, **options)


def wide_resnet50_2(num_classes=1000, width_per_group=128, **options):
    """Wide ResNet-50-2, whose middle convolutions are twice as wide; 68.9 million parameters."""
    return ResNet(Bottleneck, [3, 4, 6, 3], num_classes, width_per_group=width_per_group, **options)


def wide_resnet101_2(num_classes=1000, width_per_group=128, **options):
    """Wide ResNet-101-2; 126.9 million parameters."""
    return ResNet(Bottleneck, [3, 4, 23, 3], num_classes, width_per_group=width_per_group, **options)


def resnet20(num_classes=10, in_channels=3, width=16):
    """`CifarResNet` of 20 layers; 0.27 million parameters."""
    return CifarResNet(20, num_classes, in_channels, width)


def resnet32(num_classes=10, in_channels=3, width=16):
    """`CifarResNet` of 32 layers; 0.46 million parameters."""
    return CifarResNet(32, num_classes, in_channels, width)


def resnet44(num_classes=10, in_channels=3, width=16):
    """`CifarResNet` of 44 layers; 0.66 million parameters."""
    return CifarResNet(44, num_classes, in_channels, width)


def resnet56(num_classes=10, in_channels=3, width=16):
    """`CifarResNet` of 56 layers; 0.85 million parameters."""
    return CifarResNet(56, num_classes, in_channels, width)


def resnet110(num_classes=10, in_channels=3, width=16):
    """`CifarResNet` of 110 layers; 1.7 million parameters."""
    return CifarResNet(110, num_classes, in_channels, width)
