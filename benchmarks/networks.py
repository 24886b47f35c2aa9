"""The networks of the benchmarks, written once in PyTorch's names: `m` is corten or PyTorch, sizes are arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def residual_block(m: ModuleType, into: int, out: int, stride: int, bottleneck: bool):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 with a fourth of the channels in between (He et al., 2015)."""
    nn = m.nn
    inner = out // 4 if bottleneck else out
    # Kernel, channels, stride.
    shapes = [(1, inner, 1), (3, inner, stride), (1, out, 1)] if bottleneck else [(3, out, stride), (3, out, 1)]
    layers: list[Any] = []
    channels = into
    for kernel, width, step in shapes:
        layers += [nn.Conv2d(channels, width, kernel, step, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(*layers[:-1])
            self.shortcut = nn.Identity()
            if stride != 1 or into != out:
                self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x):
            return m.relu(self.body(x) + self.shortcut(x))

    return Block()


def resnet(m: ModuleType, counts: tuple[int, ...], width: int, bottleneck: bool, small: bool, classes: int):
    """A residual network; `small` images (32x32) enter through a 3x3 convolution, others through 7x7 and a pool."""
    nn = m.nn
    if small:
        layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    else:
        layers = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = width
    for stage, count in enumerate(counts):
        out = width * 2**stage * (4 if bottleneck else 1)
        for k in range(count):
            layers.append(residual_block(m, channels, out, 2 if stage > 0 and k == 0 else 1, bottleneck))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def self_attention(m: ModuleType, width: int, heads: int, causal: bool):
    nn = m.nn

    class SelfAttention(nn.Module):
        """`cache` holds the keys and values of the positions before, and gets those of these."""

        def __init__(self):
            super().__init__()
            self.into = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)

        def forward(self, x, cache=None):
            count, length, _ = x.shape
            parts = self.into(x).view(count, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            q, k, v = parts[0], parts[1], parts[2]
            if cache is not None:
                if cache:
                    k, v = m.cat([cache[0], k], 2), m.cat([cache[1], v], 2)
                cache[:] = [k, v]
            # A single position sees all before it.
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal and length > 1)
            return self.out(y.transpose(1, 2).reshape(count, length, width))

    return SelfAttention()


def transformer_block(m: ModuleType, width: int, heads: int, causal: bool, norm_first: bool):
    nn = m.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = self_attention(m, width, heads, causal)
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x, cache=None):
            if norm_first:
                x = x + self.attention(self.norm1(x), cache)
                return x + self.mlp(self.norm2(x))
            x = self.norm1(x + self.attention(x))
            return self.norm2(x + self.mlp(x))

    return Block()


def gpt(m: ModuleType, layers: int, width: int, heads: int, vocabulary: int, length: int):
    """A decoder as GPT-2 has it (Radford et al., 2019), without dropout; the embedding is the head's weight too."""
    nn = m.nn

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(length, width)
            self.blocks = nn.ModuleList([transformer_block(m, width, heads, True, True) for _ in range(layers)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.tokens.weight

        def hidden(self, tokens, caches=None, start=0):
            """`caches` holds a list for each block; `start` is the position of the first token."""
            positions = m.arange(start, start + tokens.shape[1])
            x = self.tokens(tokens) + self.positions(positions)
            for i, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[i])
            return self.norm(x)

        def forward(self, tokens):
            return self.head(self.hidden(tokens))

        def next_token(self, tokens, caches, start=0):
            """The likeliest token after these, of shape (N, 1)."""
            last = self.hidden(tokens, caches, start)[:, -1:]
            return self.head(last).argmax(-1)

    return GPT()


def bert(m: ModuleType, layers: int, width: int, heads: int, vocabulary: int, length: int):
    """An encoder (Devlin et al., 2018) without dropout and segments; returns every position, and the pooled first."""
    nn = m.nn

    class BERT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(length, width)
            self.norm = nn.LayerNorm(width)
            self.blocks = nn.ModuleList([transformer_block(m, width, heads, False, False) for _ in range(layers)])
            self.pool = nn.Linear(width, width)

        def forward(self, tokens):
            x = self.norm(self.tokens(tokens) + self.positions(m.arange(tokens.shape[1])))
            for block in self.blocks:
                x = block(x)
            return x, m.tanh(self.pool(x[:, 0]))

    return BERT()


def lstm(m: ModuleType, layers: int, width: int, vocabulary: int):
    """A language model of characters: an embedding, LSTM layers, a linear layer."""
    nn = m.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.lstm = nn.LSTM(width, width, layers, batch_first=True)
            self.head = nn.Linear(width, vocabulary)

        def forward(self, tokens):
            return self.head(self.lstm(self.tokens(tokens))[0])

    return Model()


def unet(m: ModuleType, width: int, depth: int, classes: int):
    """Down and up again with shortcuts (Ronneberger et al., 2015), padded so that the size stays."""
    nn = m.nn

    def twice(into, out):
        return nn.Sequential(
            nn.Conv2d(into, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        )

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [width * 2**k for k in range(depth + 1)]
            self.down = nn.ModuleList([twice(a, b) for a, b in zip([3, *widths], widths)])
            self.pool = nn.MaxPool2d(2)
            self.grow = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1]])
            self.up = nn.ModuleList([twice(2 * w, w) for w in widths[-2::-1]])
            self.head = nn.Conv2d(width, classes, 1)

        def forward(self, x):
            shortcuts = []
            for k, layer in enumerate(self.down):
                x = layer(x if k == 0 else self.pool(x))
                shortcuts.append(x)
            for grow, layer, shortcut in zip(self.grow, self.up, shortcuts[-2::-1]):
                x = layer(m.cat([shortcut, grow(x)], 1))
            return self.head(x)

    return UNet()
