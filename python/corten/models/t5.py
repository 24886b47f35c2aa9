"""T5 (Raffel et al., arXiv:1910.10683): an encoder and a decoder for every task that turns text into text."""

import math

from .. import nn
from ..nn import functional as F
from .generation import KVCache, attention_mask, beam_search
from .positions import RelativePositionBias, sinusoids

__all__ = ["T5", "t5_base", "t5_small"]


class Attention(nn.Module):
    """Attention without scaling of the scores: queries ``(N, L, E)``, memory ``(N, S, E)`` to ``(N, L, E)``."""

    def __init__(self, d_model, d_kv, num_heads, dropout):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.q = nn.Linear(d_model, num_heads * d_kv, bias=False)
        self.k = nn.Linear(d_model, num_heads * d_kv, bias=False)
        self.v = nn.Linear(d_model, num_heads * d_kv, bias=False)
        self.o = nn.Linear(num_heads * d_kv, d_model, bias=False)
        # The deviation of q takes the place of the scaling (section 2.1 and the paper's code).
        nn.init.normal_(self.q.weight, std=(d_model * d_kv) ** -0.5)
        for projection in (self.k, self.v):
            nn.init.normal_(projection.weight, std=d_model**-0.5)
        nn.init.normal_(self.o.weight, std=(num_heads * d_kv) ** -0.5)

    def heads(self, x):
        """``(N, L, heads * d_kv)`` as ``(N, heads, L, d_kv)``."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def keys_and_values(self, memory):
        """What queries are compared with and what they gather, each ``(N, heads, S, d_kv)``."""
        return self.heads(self.k(memory)), self.heads(self.v(memory))

    def forward(self, x, keys_and_values, mask):
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(self.heads(self.q(x)), *keys_and_values, mask, dropout, scale=1.0)
        return self.o(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """``wo(relu(wi x))``; gated, as in T5 1.1: ``wo(gelu(wi_0 x) * wi_1 x)`` (Shazeer, arXiv:2002.05202)."""

    def __init__(self, d_model, d_ff, dropout, gated):
        super().__init__()
        self.gated = gated
        for name in ("wi_0", "wi_1") if gated else ("wi",):
            setattr(self, name, nn.Linear(d_model, d_ff, bias=False))
            nn.init.normal_(getattr(self, name).weight, std=d_model**-0.5)
        self.wo = nn.Linear(d_ff, d_model, bias=False)
        nn.init.normal_(self.wo.weight, std=d_ff**-0.5)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        inside = F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x) if self.gated else F.relu(self.wi(x))
        return self.wo(self.drop(inside))


class Block(nn.Module):
    """Self-attention, in the decoder attention to the encoder, and a feed-forward network, each behind RMSNorm."""

    def __init__(self, d_model, d_kv, d_ff, num_heads, dropout, gated, cross):
        super().__init__()
        self.self_norm = nn.RMSNorm(d_model, eps=1e-6)
        self.self_attention = Attention(d_model, d_kv, num_heads, dropout)
        self.cross_norm = nn.RMSNorm(d_model, eps=1e-6) if cross else None
        self.cross_attention = Attention(d_model, d_kv, num_heads, dropout) if cross else None
        self.ff_norm = nn.RMSNorm(d_model, eps=1e-6)
        self.ff = FeedForward(d_model, d_ff, dropout, gated)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, bias, memory=None, memory_mask=None, cache=None, layer=0):
        """``memory`` holds the encoder's keys and values for this block, ``bias`` says who may look at whom."""
        normed = self.self_norm(x)
        seen = self.self_attention.keys_and_values(normed)
        if cache is not None:
            seen = cache.update(layer, *seen)
        x = x + self.drop(self.self_attention(normed, seen, bias))
        if memory is not None:
            x = x + self.drop(self.cross_attention(self.cross_norm(x), memory, memory_mask))
        return x + self.drop(self.ff(self.ff_norm(x)))


class Stack(nn.Module):
    """The encoder or the decoder: blocks that share one bias of relative positions."""

    def __init__(self, layers, num_heads, buckets, max_distance, decoder, dropout, sinusoids, **block):
        super().__init__()
        self.decoder, self.sinusoids = decoder, sinusoids
        self.positions = RelativePositionBias(num_heads, not decoder, buckets, max_distance)
        self.block = nn.ModuleList(
            [Block(num_heads=num_heads, dropout=dropout, cross=decoder, **block) for _ in range(layers)]
        )
        self.norm = nn.RMSNorm(block["d_model"], eps=1e-6)
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.positions.embedding.weight, std=block["d_model"] ** -0.5)

    def forward(self, x, mask=None, memory=None, memory_mask=None, cache=None):
        """``mask`` is true where a token may be looked at; ``memory`` has keys and values for each block."""
        keys = x.shape[1] + (0 if cache is None else cache.length)
        bias = self.positions(x.shape[1], keys)[None]
        if self.decoder and x.shape[1] > 1:
            bias = bias.masked_fill(~attention_mask(x.shape[1], keys, x.device), -math.inf)
        if mask is not None:
            bias = bias.masked_fill(~mask, -math.inf)
        if self.sinusoids:
            x = x + sinusoids(*x.shape[1:], device=x.device, start=keys - x.shape[1]).to(x.dtype)
        x = self.drop(x)
        for layer, block in enumerate(self.block):
            x = block(x, bias, memory and memory[layer], memory_mask, cache, layer)
        return self.drop(self.norm(x))


class T5(nn.Module):
    """Source tokens ``(N, S)`` and target tokens so far ``(N, L)`` to scores of the next ``(N, L, vocab_size)``.

    Source and target share one embedding. A target begins with ``start``: train with ``forward(source, model.shift(
    target))`` against ``target``.

    Args:
        vocab_size, d_model, d_kv, d_ff, num_layers, num_heads: sizes, by default those of T5 small: 60,506,624
            parameters.
        num_decoder_layers: ``num_layers`` by default.
        buckets, max_distance: of the relative positions, see `positions.RelativePositionBias`.
        dropout: of embeddings, attention and what each part adds.
        sinusoids: whether embeddings also tell where a token stands, which the paper's do not. The decoder then sees
            early which source token it has come to, where translations mostly keep the order of words.
        gated: feed-forward networks with gates and scores of their own weights, as in T5 1.1.
        pad: the token that fills short sources and also begins every target.
        end: the token that ends a target.
    """

    def __init__(
        self,
        vocab_size=32128,
        d_model=512,
        d_kv=64,
        d_ff=2048,
        num_layers=6,
        num_heads=8,
        num_decoder_layers=None,
        buckets=32,
        max_distance=128,
        dropout=0.1,
        gated=False,
        sinusoids=False,
        pad=0,
        end=1,
    ):
        super().__init__()
        self.pad, self.end = pad, end
        self.shared = nn.Embedding(vocab_size, d_model)
        shape = dict(d_model=d_model, d_kv=d_kv, d_ff=d_ff, gated=gated, dropout=dropout)
        shape |= dict(num_heads=num_heads, buckets=buckets, max_distance=max_distance, sinusoids=sinusoids)
        self.encoder = Stack(num_layers, decoder=False, **shape)
        self.decoder = Stack(num_decoder_layers or num_layers, decoder=True, **shape)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False) if gated else None
        if self.lm_head is not None:
            nn.init.normal_(self.lm_head.weight, std=d_model**-0.5)

    def encode(self, source, mask=None):
        """The encoder's keys and values for each block of the decoder, and the mask ``(N, 1, 1, S)`` of the source.

        ``mask`` ``(N, S)`` is true where a token stands; by default where it is not ``pad``.
        """
        mask = (source != self.pad if mask is None else mask.bool())[:, None, None, :]
        memory = self.encoder(self.shared(source), mask)
        return [block.cross_attention.keys_and_values(memory) for block in self.decoder.block], mask

    def decode(self, target, memory, memory_mask, cache=None):
        """Scores of what follows each target token ``(N, L, vocab_size)``; see `encode`."""
        x = self.decoder(self.shared(target), None, memory, memory_mask, cache)
        if self.lm_head is not None:
            return self.lm_head(x)
        return F.linear(x * x.shape[-1] ** -0.5, self.shared.weight)

    def forward(self, source, target, mask=None):
        return self.decode(target, *self.encode(source, mask))

    def shift(self, target):
        """Targets ``(N, L)`` one place to the right behind ``pad``, as the decoder reads them in training."""
        return F.pad(target[:, :-1], (1, 0), value=self.pad)

    def generate(self, source, max_length, beams=1, length_penalty=1.0):
        """The likeliest targets of sources ``(N, S)``: tokens ``(N, L)`` filled with ``end``; see `beam_search`."""

        def step(tokens, state):
            (memory, mask), cache = state
            return self.decode(tokens[:, None], memory, mask, cache)[:, -1], state

        state = (self.encode(source), KVCache(len(self.decoder.block)))
        tokens, _ = beam_search(
            step, state, len(source), self.pad, self.end, max_length, beams, length_penalty, source.device
        )
        return tokens


def t5_small(**options):
    """T5 small: 60,506,624 parameters."""
    return T5(**options)


def t5_base(**options):
    """T5 base: 222,903,552 parameters."""
    return T5(**{**dict(d_model=768, d_ff=3072, num_layers=12, num_heads=12), **options})
