"""GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): a decoder that writes text."""

import math

from .. import nn
from ..nn import functional as F
from .generation import KVCache, attention_mask, generate
from .positions import alibi_bias, apply_rotary, rotary_table

__all__ = ["GPT", "gpt2", "gpt2_large", "gpt2_medium", "gpt2_xl"]

POSITIONS = ("learned", "rotary", "alibi")


class CausalSelfAttention(nn.Module):
    """Attention of each token to itself and those before it: ``(N, L, E)`` to ``(N, L, E)``."""

    def __init__(self, n_embd, n_head, dropout=0.0, bias=True):
        super().__init__()
        if n_embd % n_head:
            raise ValueError(f"n_embd must be a multiple of n_head, got {n_embd} and {n_head}")
        self.n_head, self.dropout = n_head, dropout
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias=bias)
        self.c_proj = nn.Linear(n_embd, n_embd, bias=bias)

    def forward(self, x, rotary=None, bias=None, cache=None, layer=0):
        """``rotary`` turns queries and keys, ``bias`` is added to the scores, ``cache`` holds what came before."""
        batch, length, width = x.shape
        heads = self.c_attn(x).view(batch, length, 3, self.n_head, width // self.n_head)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if rotary is not None:
            query, key = apply_rotary(query, rotary), apply_rotary(key, rotary)
        if cache is not None:
            key, value = cache.update(layer, key, value)
        causal = bias is None and key.shape[2] == length
        mask = attention_mask(length, key.shape[2], x.device) if bias is None and not causal else bias
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=causal)
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    """Two linear maps with GELU (its tanh form) between them, four times as wide inside."""

    def __init__(self, n_embd, bias=True):
        super().__init__()
        self.c_fc = nn.Linear(n_embd, 4 * n_embd, bias=bias)
        self.c_proj = nn.Linear(4 * n_embd, n_embd, bias=bias)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Attention and an MLP, each behind a normalisation and beside an identity."""

    def __init__(self, n_embd, n_head, dropout=0.0, bias=True):
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd, bias=bias)
        self.attn = CausalSelfAttention(n_embd, n_head, dropout, bias)
        self.ln_2 = nn.LayerNorm(n_embd, bias=bias)
        self.mlp = MLP(n_embd, bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, **attention):
        x = x + self.drop(self.attn(self.ln_1(x), **attention))
        return x + self.drop(self.mlp(self.ln_2(x)))


class GPT(nn.Module):
    """Tokens ``(N, L)`` to scores of the next token ``(N, L, vocab_size)``.

    The matrix of the scores is that of the embedding. Weights begin normal with deviation 0.02, those that write into
    the identity divided by ``sqrt(2 n_layer)``.

    Args:
        vocab_size, n_ctx, n_embd, n_layer, n_head: sizes, by default those of GPT-2 small: 124,439,808 parameters.
        dropout: of embeddings, attention and what each part adds.
        bias: whether linear maps and normalisations have biases.
        positions: ``"learned"`` as in GPT-2, ``"rotary"`` (RoPE) or ``"alibi"``, which need no parameters.

    Raises:
        ValueError: ``positions`` is none of these, or ``n_embd`` is no multiple of ``n_head``; at a call, more tokens
            than ``n_ctx``.
    """

    def __init__(
        self,
        vocab_size=50257,
        n_ctx=1024,
        n_embd=768,
        n_layer=12,
        n_head=12,
        dropout=0.1,
        bias=True,
        positions="learned",
    ):
        super().__init__()
        if positions not in POSITIONS:
            raise ValueError(f"GPT: positions must be one of {', '.join(POSITIONS)}, got {positions!r}")
        self.context, self.positions, self.n_head = n_ctx, positions, n_head
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_ctx, n_embd) if positions == "learned" else None
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList([Block(n_embd, n_head, dropout, bias) for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(n_embd, bias=bias)
        if positions == "rotary":
            self.register_buffer("rotary", rotary_table(n_ctx, n_embd // n_head), persistent=False)
        self._init_weights(n_layer)

    def _init_weights(self, n_layer):
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = 1 / math.sqrt(2 * n_layer) if name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)
            elif name.endswith(("c_attn.bias", "c_fc.bias", "c_proj.bias")):
                nn.init.zeros_(parameter)

    def _place(self, first, last, device):
        """What attention is told of the positions from ``first`` to ``last``."""
        if self.positions == "rotary":
            return {"rotary": self.rotary[:, first:last]}
        if self.positions == "alibi":
            return {"bias": alibi_bias(self.n_head, last - first, last, device)}
        return {}

    def hidden(self, ids, cache=None, **attention):
        """What the last normalisation gives, ``(N, L, n_embd)``."""
        first = 0 if cache is None else cache.length
        last = first + ids.shape[1]
        if last > self.context:
            raise ValueError(f"GPT: the context has {self.context} tokens, got {last}")
        x = self.wte(ids)
        if self.wpe is not None:
            x = x + self.wpe.weight[first:last]
        x = self.drop(x)
        place = self._place(first, last, ids.device)
        for layer, block in enumerate(self.h):
            x = block(x, cache=cache, layer=layer, **place, **attention)
        return self.ln_f(x)

    def forward(self, ids, cache=None, **attention):
        return F.linear(self.hidden(ids, cache, **attention), self.wte.weight)

    def new_cache(self):
        """An empty `KVCache` to give to calls that continue each other."""
        return KVCache(len(self.h))

    def generate(self, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop=None, generator=None):
        """Continues ``ids`` ``(N, L)``; see `generation.generate`."""
        return generate(self, ids, max_new_tokens, temperature, top_k, top_p, stop, generator)


def gpt2(**options):
    """GPT-2 small: 124,439,808 parameters."""
    return GPT(**options)


def gpt2_medium(**options):
    """GPT-2 medium: 354,823,168 parameters."""
    return GPT(n_embd=1024, n_layer=24, n_head=16, **options)


def gpt2_large(**options):
    """GPT-2 large: 774,030,080 parameters."""
    return GPT(n_embd=1280, n_layer=36, n_head=20, **options)


def gpt2_xl(**options):
    """GPT-2 XL: 1,557,611,200 parameters."""
    return GPT(n_embd=1600, n_layer=48, n_head=25, **options)
