"""How a Transformer learns where a token stands: sinusoids, rotations (RoPE), linear biases (ALiBi), buckets of T5."""

import math

import corten

from .. import nn

__all__ = ["RelativePositionBias", "alibi_bias", "alibi_slopes", "apply_rotary", "rotary_table", "sinusoids"]


def sinusoids(length, dim, base=10000.0, device=None, start=0):
    """Sines and cosines of geometrically falling frequencies ``(length, dim)`` (Vaswani et al., arXiv:1706.03762).

    Column ``2i`` is ``sin(p / base^(2i / dim))``, column ``2i + 1`` the cosine of the same angle; the first row is that
    of the position ``p = start``.
    """
    return corten.stack(_sin_cos(start, start + length, dim, base, device), dim=-1).flatten(1)


def _sin_cos(start, end, dim, base, device):
    frequencies = base ** (-corten.arange(0, dim, 2, device=device) / dim)
    angles = corten.arange(start, end, device=device)[:, None] * frequencies
    return angles.sin(), angles.cos()


# -- RoPE ------------------------------------------------------------------------------------------------------------


def rotary_table(length, head_dim, theta=10000.0, device=None):
    """Cosines and sines ``(2, length, head_dim / 2)`` of the angles by which `apply_rotary` turns each position.

    Raises:
        ValueError: ``head_dim`` is odd: rotations turn pairs.
    """
    if head_dim % 2:
        raise ValueError(f"rotary_table: head_dim must be even, got {head_dim}")
    sine, cosine = _sin_cos(0, length, head_dim, theta, device)
    return corten.stack([cosine, sine])


def apply_rotary(x, table):
    """Turns neighbouring pairs of ``x`` ``(..., length, head_dim)`` (RoFormer, Su et al., arXiv:2104.09864).

    The product of a turned query and a turned key depends on the distance of their positions alone. Pairs are
    neighbours as in the paper, in Meta's Llama and in GGUF files; files of Hugging Face order the features otherwise.

    Args:
        table: the rows of `rotary_table` for the positions of ``x``, ``(2, length, head_dim / 2)``.
    """
    cosine, sine = table
    even, odd = x[..., 0::2], x[..., 1::2]
    return corten.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


# -- ALiBi -----------------------------------------------------------------------------------------------------------


def alibi_slopes(heads):
    """The slope of each head ``(heads,)``: ``2^(-8/n), 2^(-16/n), …`` for n heads (Press et al., arXiv:2108.12409).

    Where n is no power of two, the slopes of the next smaller one come first, then every other one of the next larger.
    """

    def geometric(n):
        return [2.0 ** (-8.0 * (i + 1) / n) for i in range(n)]

    lower = 2 ** int(math.log2(heads))
    return corten.tensor(geometric(lower) + geometric(2 * lower)[0::2][: heads - lower])


def alibi_bias(heads, queries, keys, device=None):
    """What ALiBi adds to the scores of causal attention ``(heads, queries, keys)``: minus the slope times the distance.

    The last query stands at the last key; keys behind a query get ``-inf``.
    """
    distance = corten.arange(keys - queries, keys, device=device)[:, None] - corten.arange(keys, device=device)
    bias = -alibi_slopes(heads).to(distance.device)[:, None, None] * distance
    return bias.masked_fill(distance < 0, -math.inf)


# -- T5 --------------------------------------------------------------------------------------------------------------


class RelativePositionBias(nn.Module):
    """A learned bias for each head and bucket of distances (T5, Raffel et al., arXiv:1910.10683, section 2.1).

    Half of the buckets are one distance each, the others grow logarithmically up to ``max_distance``; all that is
    further shares the last. Where attention looks both ways, each direction has half of the buckets.

    Shape: lengths of queries and keys to ``(heads, queries, keys)``; the last query stands at the last key unless the
    bias is bidirectional, where both begin at the same place.
    """

    def __init__(self, heads, bidirectional, buckets=32, max_distance=128):
        super().__init__()
        self.bidirectional, self.buckets, self.max_distance = bidirectional, buckets, max_distance
        self.embedding = nn.Embedding(buckets, heads)

    def bucket(self, relative):
        """The bucket of each ``key position - query position``."""
        buckets = self.buckets
        offset = 0
        if self.bidirectional:
            buckets //= 2
            offset = (relative > 0) * buckets
            distance = relative.abs()
        else:
            distance = (-relative).clamp(min=0)
        exact = buckets // 2
        # The logarithm of what is exact is not used; it must only be finite.
        growth = (distance.clamp(min=1) / exact).log() / math.log(self.max_distance / exact)
        logarithmic = (exact + (growth * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + corten.where(distance < exact, distance, logarithmic)

    def forward(self, queries, keys):
        device = self.embedding.weight.device
        first = 0 if self.bidirectional else keys - queries
        query = corten.arange(first, first + queries, device=device)
        relative = corten.arange(keys, device=device) - query[:, None]
        return self.embedding(self.bucket(relative)).permute(2, 0, 1)
