"""Regularisers that drop whole branches or whole patches."""

import corten
from corten import nn

__all__ = [
    "stochastic_depth",
    "StochasticDepth",
    "drop_block2d",
    "DropBlock2d",
    "drop_block3d",
    "DropBlock3d",
]


def _check_probability(p):
    if p < 0.0 or p > 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")


def stochastic_depth(input, p, mode, training=True):
    """Zeroes the whole input or rows of it (Huang et al. 2016), and scales what stays by ``1 / (1 - p)``.

    Args:
        input: ``(N, ...)``.
        p: the probability of zeroing.
        mode: ``"batch"`` decides once, ``"row"`` for each row of the batch.
        training: if false, the input is returned.

    Raises:
        ValueError: a probability outside [0, 1] or an unknown mode.
    """
    _check_probability(p)
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    rows = input.shape[0] if mode == "row" else 1
    noise = corten.empty([rows] + [1] * (input.dim() - 1), dtype=input.dtype, device=input.device).bernoulli_(1 - p)
    return input * (noise / (1 - p) if p < 1.0 else noise)


class StochasticDepth(nn.Module):
    """`stochastic_depth` as a module.

    Args:
        p: the probability of zeroing.
        mode: ``"batch"`` or ``"row"``.
    """

    def __init__(self, p, mode):
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input):
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"


def _drop_block(input, p, block_size, inplace, eps, training, spatial):
    _check_probability(p)
    if input.dim() != spatial + 2:
        raise ValueError(f"input should be {spatial + 2} dimensional. Got {input.dim()} dimensions.")
    if not training or p == 0.0:
        return input
    sizes = input.shape[2:]
    block = min(block_size, *sizes)
    if block % 2 == 0:
        raise ValueError(f"block size should be odd. Got {block} which is even.")
    places = [size - block + 1 for size in sizes]
    # So many block centres that a share p of all pixels is dropped, were there no overlaps.
    gamma = p / block**spatial
    for size, place in zip(sizes, places):
        gamma *= size / place
    centres = corten.empty([*input.shape[:2], *places], dtype=input.dtype, device=input.device).bernoulli_(gamma)
    centres = nn.functional.pad(centres, [block // 2] * (2 * spatial), value=0)
    pool = nn.functional.max_pool2d if spatial == 2 else nn.functional.max_pool3d
    noise = 1 - pool(centres, kernel_size=block, stride=1, padding=block // 2)
    noise = noise * (noise.numel() / (eps + noise.sum()))
    return input.mul_(noise) if inplace else input * noise


def drop_block2d(input, p, block_size, inplace=False, eps=1e-6, training=True):
    """Zeroes square blocks of ``(N, C, H, W)`` at random (DropBlock, Ghiasi et al. 2018) and rescales the rest.

    Args:
        input: ``(N, C, H, W)``.
        p: the share of pixels to drop.
        block_size: the blocks' edge in pixels, at most the image's.
        inplace: writes into the input.
        eps: added to the number of pixels that stay.
        training: if false, the input is returned.

    Raises:
        ValueError: a probability outside [0, 1], not four dims, or blocks of an even edge.
    """
    return _drop_block(input, p, block_size, inplace, eps, training, 2)


def drop_block3d(input, p, block_size, inplace=False, eps=1e-6, training=True):
    """`drop_block2d` of volumes ``(N, C, D, H, W)`` in cubes."""
    return _drop_block(input, p, block_size, inplace, eps, training, 3)


class DropBlock2d(nn.Module):
    """`drop_block2d` as a module, with its arguments."""

    def __init__(self, p, block_size, inplace=False, eps=1e-6):
        super().__init__()
        self.p = p
        self.block_size = block_size
        self.inplace = inplace
        self.eps = eps

    def forward(self, input):
        return drop_block2d(input, self.p, self.block_size, self.inplace, self.eps, self.training)

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p}, block_size={self.block_size}, inplace={self.inplace})"


class DropBlock3d(DropBlock2d):
    """`drop_block3d` as a module, with its arguments."""

    def forward(self, input):
        return drop_block3d(input, self.p, self.block_size, self.inplace, self.eps, self.training)
