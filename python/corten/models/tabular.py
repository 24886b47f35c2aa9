"""Tables: an MLP with embedded categories, FT-Transformer, and an autoencoder that tells what is unusual."""

import itertools

import corten

from .. import nn
from ..nn import functional as F
from ._mlp import mlp

__all__ = ["AnomalyAutoencoder", "FTTransformer", "TabularMLP", "focal_loss", "positive_weight"]


class CategoryEmbeddings(nn.Module):
    """Categories ``(N, K)`` to their vectors, side by side ``(N, sum of lengths)`` (Guo and Berkhahn, 1604.06737).

    Args:
        cardinalities: how many values each category has.
        lengths: of the vectors; by default half the values, rounded up, at most 50.
    """

    def __init__(self, cardinalities, lengths=None):
        super().__init__()
        self.lengths = lengths or [min(50, (count + 1) // 2) for count in cardinalities]
        self.tables = nn.ModuleList([nn.Embedding(*sizes) for sizes in zip(cardinalities, self.lengths)])

    def forward(self, categories):
        return corten.cat([table(c) for table, c in zip(self.tables, categories.unbind(1))], dim=1)


class TabularMLP(nn.Module):
    """Numbers ``(N, numeric)`` and categories ``(N, K)`` to outputs ``(N, outputs)``.

    Args:
        numeric: how many columns of numbers there are.
        cardinalities: how many values each of the K categories has.
        outputs: scores of classes, or what is estimated.
        hidden: widths of the layers.
        dropout: after each layer.
    """

    def __init__(self, numeric, cardinalities=(), outputs=1, hidden=(256, 128), dropout=0.1):
        super().__init__()
        self.embed = CategoryEmbeddings(cardinalities) if cardinalities else None
        widths = [numeric + (sum(self.embed.lengths) if self.embed else 0), *hidden]
        self.norm = nn.BatchNorm1d(numeric) if numeric else nn.Identity()
        self.net = nn.Sequential(
            *(
                part
                for inputs, width in itertools.pairwise(widths)
                for part in (nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))
            ),
            nn.Linear(widths[-1], outputs),
        )

    def forward(self, numbers, categories=None):
        x = self.norm(numbers)
        if self.embed is not None:
            x = corten.cat([x, self.embed(categories)], dim=1)
        return self.net(x)


# -- FT-Transformer --------------------------------------------------------------------------------------------------


class FeatureTokenizer(nn.Module):
    """Every column a vector: a number times a learned one, a category's own, plus a bias; ``(N, columns, dim)``."""

    def __init__(self, numeric, cardinalities, dim):
        super().__init__()
        self.weight = nn.Parameter(corten.empty(numeric, dim))
        self.bias = nn.Parameter(corten.empty(numeric + len(cardinalities), dim))
        # One table for all categories, in which each has rows of its own.
        self.table = nn.Embedding(sum(cardinalities), dim) if cardinalities else None
        starts = corten.tensor([0, *cardinalities], dtype=corten.int64).cumsum(0)[: len(cardinalities)]
        self.register_buffer("starts", starts, persistent=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)

    def forward(self, numbers, categories=None):
        tokens = numbers[:, :, None] * self.weight
        if self.table is not None:
            tokens = corten.cat([tokens, self.table(categories + self.starts)], dim=1)
        return tokens + self.bias


class FTBlock(nn.Module):
    """Attention among the columns and a network with ReGLU, each behind a normalisation but the very first."""

    def __init__(self, dim, heads, hidden, first, attention_dropout, ffn_dropout):
        super().__init__()
        self.norm1 = nn.Identity() if first else nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=attention_dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.inside = nn.Linear(dim, 2 * hidden)
        self.outside = nn.Linear(hidden, dim)
        self.drop = nn.Dropout(ffn_dropout)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        value, gate = self.inside(self.norm2(x)).chunk(2, dim=-1)
        return x + self.outside(self.drop(value * gate.relu()))


class FTTransformer(nn.Module):
    """Numbers ``(N, numeric)`` and categories ``(N, K)`` to outputs ``(N, outputs)`` (Gorishniy et al., 2106.11959).

    Columns and a class token are read by a Transformer; the class token's last vector is the outputs' source.

    Args:
        numeric, cardinalities, outputs: as of `TabularMLP`.
        dim, blocks, heads: sizes, by default the paper's.
        hidden: width of the networks inside; by default ``4 / 3 dim``.
        attention_dropout, ffn_dropout: of weights of attention, and inside the networks.
    """

    def __init__(
        self,
        numeric,
        cardinalities=(),
        outputs=1,
        dim=192,
        blocks=3,
        heads=8,
        hidden=None,
        attention_dropout=0.2,
        ffn_dropout=0.1,
    ):
        super().__init__()
        hidden = hidden or dim * 4 // 3
        self.tokens = FeatureTokenizer(numeric, cardinalities, dim)
        self.cls_token = nn.Parameter(corten.empty(dim).uniform_(-(dim**-0.5), dim**-0.5))
        self.blocks = nn.Sequential(
            *(FTBlock(dim, heads, hidden, i == 0, attention_dropout, ffn_dropout) for i in range(blocks))
        )
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, outputs))

    def forward(self, numbers, categories=None):
        tokens = self.tokens(numbers, categories)
        x = corten.cat([self.cls_token.expand(len(tokens), 1, -1), tokens], dim=1)
        return self.head(self.blocks(x)[:, 0])


# -- what is rare ----------------------------------------------------------------------------------------------------


def positive_weight(labels):
    """How many zeros there are for each one among ``labels`` ``(N,)``: the ``pos_weight`` that balances a loss."""
    ones = (labels == 1).sum()
    return (labels.numel() - ones) / ones.clamp(min=1)


def focal_loss(logits, labels, gamma=2.0, alpha=None):
    """Cross entropy of yes or no that dwells on what is still wrong: times ``(1 - p)^gamma`` (Lin et al., 1708.02002).

    Args:
        logits, labels: ``(N,)``; labels 0 or 1.
        gamma: how much less the easy ones count; 0 is plain cross entropy.
        alpha: weight of ones; zeros weigh ``1 - alpha``.
    """
    labels = labels.to(logits.dtype)
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    loss = loss * (1 - (-loss).exp()) ** gamma
    if alpha is not None:
        loss = loss * (alpha * labels + (1 - alpha) * (1 - labels))
    return loss.mean()


class AnomalyAutoencoder(nn.Module):
    """Rows ``(N, features)`` through a narrow middle and back; what comes back badly is unusual.

    Args:
        features: columns, which should be of one scale.
        hidden: widths on the way to the middle.
        bottleneck: width of the middle.
        noise: deviation of what is added to the input in training (Vincent et al. 2008).
    """

    def __init__(self, features, hidden=(32, 16), bottleneck=4, noise=0.1):
        super().__init__()
        self.noise = noise
        sizes = [features, *hidden, bottleneck]
        self.encoder, self.decoder = mlp(sizes), mlp(sizes[::-1])

    def forward(self, x):
        if self.training and self.noise:
            x = x + self.noise * corten.randn_like(x)
        return self.decoder(self.encoder(x))

    @corten.no_grad()
    def score(self, x):
        """The mean squared error of each row ``(N,)``; the larger, the more unusual."""
        return ((self(x) - x) ** 2).mean(1)
