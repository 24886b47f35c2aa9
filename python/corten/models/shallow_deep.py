"""Networks of 1 to 8 layers with as many parameters as each other: what depth alone does (Ba and Caruana, 2014)."""

from .. import nn

__all__ = ["mlp", "cnn", "count_parameters"]


def count_parameters(module):
    """The number of learned numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _widest(numbers, parameters):
    """The largest width whose network has at most ``parameters``; ``numbers`` tells them by the width.

    Raises:
        ValueError: a width of 1 has more.
    """
    low, high = 0, 1
    while numbers(high) <= parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if numbers(middle) <= parameters else (low, middle)
    if low == 0:
        raise ValueError(f"parameters={parameters} are too few: a network of width 1 has {numbers(1)}")
    return low


def mlp(depth, parameters=200_000, in_features=784, num_classes=10):
    """Linear layers with ReLUs between them: ``(N, ...)`` of ``in_features`` numbers to scores ``(N, num_classes)``.

    Args:
        depth: hidden layers, all of one width, which is the largest that ``parameters`` allow.
        parameters: the most that the network may have.

    Raises:
        ValueError: ``depth`` is below 1, or ``parameters`` allow no width.
    """
    _check_depth(depth)

    def numbers(width):
        return (in_features + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * num_classes

    width = _widest(numbers, parameters)
    layers = [nn.Flatten(), nn.Linear(in_features, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


def cnn(depth, parameters=50_000, in_channels=1, num_classes=10, grid=7):
    """Convolutions of 3 × 3 with ReLUs: images ``(N, in_channels, H, W)`` to scores ``(N, num_classes)``.

    All have one width, the largest that ``parameters`` allow. The size is halved behind the first and the middle
    layer of networks with more than one, and means over a grid of ``grid`` × ``grid`` parts are what the linear layer
    reads, so networks of all depths see the same part of it.

    Args:
        depth: convolutions.
        parameters: the most that the network may have.

    Raises:
        ValueError: ``depth`` is below 1, or ``parameters`` allow no width.
    """
    _check_depth(depth)

    def numbers(width):
        convolutions = (9 * in_channels + 1) * width + (depth - 1) * (9 * width + 1) * width
        return convolutions + (width * grid * grid + 1) * num_classes

    width = _widest(numbers, parameters)
    layers, channels = [], in_channels
    for number in range(depth):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] * (number in {0, depth // 2} and depth > 1)
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten(), nn.Linear(width * grid * grid, num_classes))


def _check_depth(depth):
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
