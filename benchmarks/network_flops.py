"""The floating-point operations of the networks' products and convolutions, from their sizes; a multiply-add is two.

Arguments are those that make the network, behind them how many inputs of which size it is given.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from shared_cases import attention_flops


def step_flops(forward: float, first: float = 0.0) -> float:
    """Of a training step: backward costs twice the forward pass, but the first layer needs no gradient of its input."""
    return 3 * forward - first


def convolution(into: int, out: int, kernel: int, pixels: int) -> int:
    """Of one image with so many pixels in the result, two dimensions, one group."""
    return 2 * pixels * into * out * kernel**2


def linear(*widths: int) -> int:
    """Of one sample through layers of these widths."""
    return 2 * sum(prod(pair) for pair in pairwise(widths))


def resnet(counts: tuple[int, ...], width: int, bottleneck: bool, small: bool, classes: int, side: int) -> int:
    """Of one image."""
    kernel = 3 if small else 7
    side = side if small else side // 2
    total = convolution(3, width, kernel, side * side)
    side = side if small else side // 2
    channels = width
    for stage, count in enumerate(counts):
        out = width * 2**stage * (4 if bottleneck else 1)
        for k in range(count):
            before = side * side
            side = side // 2 if stage > 0 and k == 0 else side
            after = side * side
            if bottleneck:
                inner = out // 4
                total += convolution(channels, inner, 1, before) + convolution(inner, inner, 3, after)
                total += convolution(inner, out, 1, after)
            else:
                total += convolution(channels, out, 3, after) + convolution(out, out, 3, after)
            if before != after or channels != out:
                total += convolution(channels, out, 1, after)
            channels = out
    return total + linear(channels, classes)


def transformer(layers: int, width: int, heads: int, count: int, length: int, causal: bool) -> float:
    """Of the blocks alone."""
    attention = attention_flops((count, heads, length, width // heads), causal)
    return layers * (attention + count * length * 2 * 12 * width**2)


def gpt(layers: int, width: int, heads: int, vocabulary: int, count: int, length: int, scored: int) -> float:
    """Of `count` texts, the scores of the last `scored` positions of each."""
    blocks = transformer(layers, width, heads, count, length, causal=True)
    return blocks + count * scored * linear(width, vocabulary)


def bert(layers: int, width: int, heads: int, count: int, length: int) -> float:
    return transformer(layers, width, heads, count, length, causal=False) + count * linear(width, width)


def lstm(layers: int, width: int, vocabulary: int, count: int, length: int) -> int:
    return count * length * (layers * linear(2 * width, 4 * width) + linear(width, vocabulary))


def unet(width: int, depth: int, classes: int, side: int) -> int:
    """Of one image."""

    def twice(into: int, level: int) -> int:
        out, pixels = width * 2**level, (side >> level) ** 2
        return convolution(into, out, 3, pixels) + convolution(out, out, 3, pixels)

    total = twice(3, 0) + convolution(width, classes, 1, side * side)
    for level in range(1, depth + 1):
        out = width * 2**level
        grown = convolution(out, out // 2, 2, (side >> level) ** 2)
        total += twice(out // 2, level) + grown + twice(out, level - 1)
    return total
