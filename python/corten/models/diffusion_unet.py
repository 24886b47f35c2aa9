"""The U-Net of diffusion (Ho et al., arXiv:2006.11239), with attention to a text (Rombach et al., 2112.10752)."""

import math

from .. import arange, cat, exp, linspace, meshgrid, nn, ones, stack, zeros
from ..nn import functional as F

__all__ = ["DiffusionUNet", "TextEncoder", "ddpm_unet", "text_to_image_unet"]


def step_embedding(step, width):
    """Sines and cosines of steps ``(N,)`` at ``width / 2`` frequencies from 1 to 1e-4; ``(N, width)``."""
    half = width // 2
    frequencies = exp(arange(half, device=step.device) * (-math.log(10_000) / max(1, half - 1)))
    angles = step[:, None] * frequencies
    return cat([angles.sin(), angles.cos()], 1)


def with_coordinates(x):
    """Images ``(N, C, H, W)`` with two more channels: height and width, each from -1 to 1."""
    height, width = (linspace(-1, 1, size, dtype=x.dtype, device=x.device) for size in x.shape[2:])
    return cat([x, stack(meshgrid(height, width, indexing="ij")).expand(len(x), -1, -1, -1)], 1)


def _norm(channels):
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """Two convolutions beside an identity; the step shifts the channels between them."""

    def __init__(self, inputs, outputs, embedded, dropout):
        super().__init__()
        self.norm1, self.conv1 = _norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.step = nn.Linear(embedded, outputs)
        self.norm2, self.conv2 = _norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x, embedded):
        out = self.conv1(F.silu(self.norm1(x)))
        out = out + self.step(F.silu(embedded))[:, :, None, None]
        out = self.conv2(self.dropout(F.silu(self.norm2(out))))
        return self.skip(x) + out


class AttentionBlock(nn.Module):
    """Every pixel reads every other, and then the words of the text where ``text`` gives the width of theirs."""

    def __init__(self, channels, heads=1, text=0):
        super().__init__()
        self.norm = _norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.heads = heads
        if text:
            self.text_norm = nn.LayerNorm(channels)
            self.text_q, self.text_kv = nn.Linear(channels, channels), nn.Linear(text, 2 * channels)
            self.text_out = nn.Linear(channels, channels)

    def _attend(self, query, key, value, mask=None):
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)

    def forward(self, x, words=None, mask=None):
        pixels = x.flatten(2).mT
        told = self.norm(x).flatten(2).mT
        pixels = pixels + self.out(self._attend(*self.qkv(told).chunk(3, -1)))
        if words is not None:
            query = self.text_q(self.text_norm(pixels))
            pixels = pixels + self.text_out(self._attend(query, *self.text_kv(words).chunk(2, -1), mask))
        return pixels.mT.reshape(x.shape)


class TextEncoder(nn.Module):
    """Token ids ``(N, T)``, 0 where a text has ended, to words ``(N, T + 1, width)`` and which of them there are.

    The first word is a start that every text has, so the empty text has a meaning of its own, which is learned.

    Args:
        vocabulary: the number of ids.
        width: numbers of a word.
        layers, heads: of the Transformer.
        length: the most tokens of a text.
        init_std: the deviation of words and positions at the beginning. A small network hears what it is told much
            sooner from 1 on.

    Raises:
        ValueError: in `forward`, of longer texts.
    """

    def __init__(self, vocabulary, width=128, layers=2, heads=4, length=32, init_std=0.02):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.start = nn.Parameter(zeros(1, 1, width))
        self.position = nn.Parameter(zeros(1, length + 1, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        for parameter in (self.embedding.weight, self.start, self.position):
            nn.init.normal_(parameter, std=init_std)

    def forward(self, tokens):
        if tokens.shape[1] + 1 > self.position.shape[1]:
            raise ValueError(f"TextEncoder: {tokens.shape[1]} tokens, at most {self.position.shape[1] - 1} are allowed")
        words = cat([self.start.expand(len(tokens), -1, -1), self.embedding(tokens)], 1)
        there = cat([ones(len(tokens), 1, device=tokens.device).bool(), tokens != 0], 1)
        words = words + self.position[:, : words.shape[1]]
        return self.encoder(words, src_key_padding_mask=~there), there


class DiffusionUNet(nn.Module):
    """Images ``(N, channels, H, W)`` with noise, at steps ``(N,)``, and a text or none, to the noise in them.

    Args:
        channels: of the images.
        width: channels of the first stage.
        factors: those of the stages in multiples of ``width``; the size is halved between two stages.
        blocks: residual blocks of a stage on the way down; there is one more on the way up.
        attention: the stages, counted from 0, whose blocks are followed by attention, as is the middle.
        heads: of the attention.
        dropout: in the residual blocks.
        text_encoder: a `TextEncoder` of ``text_width``, or None for images without texts.
        coordinates: the first convolution is told where each pixel is, from -1 to 1 (Liu et al., arXiv:1807.03247);
            without, only the borders tell left from right.
    """

    def __init__(
        self,
        channels=3,
        width=128,
        factors=(1, 2, 2, 2),
        blocks=2,
        attention=(1,),
        heads=1,
        dropout=0.0,
        text_encoder=None,
        text_width=0,
        coordinates=False,
    ):
        super().__init__()
        self.width, self.coordinates = width, coordinates
        embedded = 4 * width
        self.embed = nn.Sequential(nn.Linear(width, embedded), nn.SiLU(), nn.Linear(embedded, embedded))
        self.text_encoder = text_encoder
        if text_encoder is not None:
            self.embed_text = nn.Linear(text_width, embedded)

        def block(inputs, outputs, attends):
            return Block(inputs, outputs, embedded, dropout, attends, heads, text_width)

        self.stem = nn.Conv2d(channels + 2 * coordinates, width, 3, padding=1)
        self.down, skips, here = nn.ModuleList(), [width], width
        for stage, factor in enumerate(factors):
            for _ in range(blocks):
                self.down.append(block(here, factor * width, stage in attention))
                here = factor * width
                skips.append(here)
            if stage + 1 < len(factors):
                self.down.append(nn.Conv2d(here, here, 3, stride=2, padding=1))
                skips.append(here)
        self.middle = nn.ModuleList([block(here, here, True), block(here, here, False)])
        self.up = nn.ModuleList()
        for stage, factor in reversed(list(enumerate(factors))):
            for _ in range(blocks + 1):
                self.up.append(block(here + skips.pop(), factor * width, stage in attention))
                here = factor * width
            if stage:
                self.up.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(here, here, 3, padding=1)))
        self.head = nn.Sequential(_norm(here), nn.SiLU(), nn.Conv2d(here, channels, 3, padding=1))
        # At the start every block is an identity and no noise is told.
        for name, module in self.named_modules():
            if name.endswith(("residual.conv2", "attention.out", "attention.text_out")):
                _silence(module)
        _silence(self.head[-1])

    def forward(self, x, step, tokens=None):
        embedded = self.embed(step_embedding(step, self.width))
        words = mask = None
        if self.text_encoder is not None:
            if tokens is None:
                tokens = zeros(len(x), 1, dtype=step.dtype, device=x.device)
            words, there = self.text_encoder(tokens)
            embedded = embedded + self.embed_text(words[:, 0])
            mask = there[:, None, None, :]
        x = self.stem(with_coordinates(x) if self.coordinates else x)
        skips = [x]
        for layer in self.down:
            x = layer(x, embedded, words, mask) if isinstance(layer, Block) else layer(x)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, embedded, words, mask)
        for layer in self.up:
            if isinstance(layer, Block):
                x = layer(cat([x, skips.pop()], 1), embedded, words, mask)
            else:
                x = layer(x)
        return self.head(x)


class Block(nn.Module):
    """A residual block, and attention behind it where ``attends`` is true."""

    def __init__(self, inputs, outputs, embedded, dropout, attends, heads, text):
        super().__init__()
        self.residual = ResidualBlock(inputs, outputs, embedded, dropout)
        self.attention = AttentionBlock(outputs, heads, text) if attends else None

    def forward(self, x, embedded, words, mask):
        x = self.residual(x, embedded)
        return x if self.attention is None else self.attention(x, words, mask)


def _silence(layer):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def ddpm_unet(channels=3, width=128, factors=(1, 2, 2, 2), blocks=2, attention=(1,), dropout=0.1):
    """DDPM's network for images of 32 × 32, with attention at 16 × 16; 35.7 million parameters."""
    return DiffusionUNet(channels, width, factors, blocks, attention, dropout=dropout)


def text_to_image_unet(vocabulary, channels=3, width=48, factors=(1, 2, 2), text_width=128, length=32, heads=4):
    """`DiffusionUNet` for images of 32 × 32 that a text describes, with attention at 8 × 8.

    3.1 million parameters with a vocabulary of 64 words.
    """
    encoder = TextEncoder(vocabulary, text_width, length=length)
    return DiffusionUNet(channels, width, factors, 1, (2,), heads, text_encoder=encoder, text_width=text_width)
