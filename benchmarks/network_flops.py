"""The floating-point operations of the networks' products and convolutions, from their sizes; a multiply-add is two.

Arguments are those that make the network, behind them how many inputs of which size it is given, and `saved`: how many
times fewer operations an algorithm needs for convolutions of 3x3 with stride 1.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from shared_cases import attention_flops


def step_flops(forward: float, first: float = 0.0) -> float:
    """Of a training step: backward costs twice the forward pass, but the first layer needs no gradient of its input."""
    return 3 * forward - first


def convolution(into: int, out: int, kernel: int, pixels: int, saved: float = 1.0, stride: int = 1) -> float:
    """Of one image with so many pixels in the result, two dimensions, one group."""
    return 2 * pixels * into * out * kernel**2 / (saved if (kernel, stride) == (3, 1) else 1.0)


def linear(*widths: int) -> int:
    """Of one sample through layers of these widths."""
    return 2 * sum(prod(pair) for pair in pairwise(widths))


def resnet(
    counts: tuple[int, ...], width: int, bottleneck: bool, small: bool, classes: int, side: int, saved: float = 1.0
) -> float:
    """Of one image."""
    kernel = 3 if small else 7
    side = side if small else side // 2
    total = convolution(3, width, kernel, side * side, saved)
    side = side if small else side // 2
    channels = width
    for stage, count in enumerate(counts):
        out = width * 2**stage * (4 if bottleneck else 1)
        for k in range(count):
            before, stride = side * side, 2 if stage > 0 and k == 0 else 1
            side //= stride
            after = side * side
            if bottleneck:
                inner = out // 4
                total += convolution(channels, inner, 1, before) + convolution(inner, inner, 3, after, saved, stride)
                total += convolution(inner, out, 1, after)
            else:
                total += convolution(channels, out, 3, after, saved, stride) + convolution(out, out, 3, after, saved)
            if stride != 1 or channels != out:
                total += convolution(channels, out, 1, after)
            channels = out
    return total + linear(channels, classes)


def small_cnn(side: int, classes: int, saved: float = 1.0) -> float:
    """Of one image, by `shared_cases.convolutional`."""
    forward = convolution(1, 16, 3, side**2, saved) + convolution(16, 32, 3, (side // 2) ** 2, saved)
    return forward + linear(32 * (side // 4) ** 2, classes)


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


def kept(layers: int, width: int, prompt: int, tokens: int) -> float:
    """Numbers in the keys and values that a token reads, in the mean of so many tokens after a prompt."""
    return layers * 2 * width * (prompt + (tokens - 1) / 2)


def lstm(layers: int, width: int, vocabulary: int, count: int, length: int) -> int:
    return count * length * (layers * linear(2 * width, 4 * width) + linear(width, vocabulary))


def unet(width: int, depth: int, classes: int, side: int, saved: float = 1.0) -> float:
    """Of one image."""

    def twice(into: int, level: int) -> float:
        out, pixels = width * 2**level, (side >> level) ** 2
        return convolution(into, out, 3, pixels, saved) + convolution(out, out, 3, pixels, saved)

    total = twice(3, 0) + convolution(width, classes, 1, side * side)
    for level in range(1, depth + 1):
        out = width * 2**level
        grown = convolution(out, out // 2, 2, (side >> level) ** 2)
        total += twice(out // 2, level) + grown + twice(out, level - 1)
    return total
