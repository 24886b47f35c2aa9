"""Llama (Touvron et al., arXiv:2302.13971 and 2307.09288): RoPE, RMSNorm, SwiGLU, grouped queries, cached keys."""

from .. import nn
from ..nn import functional as F
from ..utils.serialization.gguf import GGUF
from ._weights import undrawn
from .generation import KVCache, attention_mask, generate
from .positions import apply_rotary, rotary_table

__all__ = ["Llama", "llama2_7b", "llama3_8b", "smollm2_135m"]

# By name in a GGUF file: the name here. `N` stands for the number of the layer.
_GGUF_NAMES = {
    "token_embd": "tok_embeddings",
    "output_norm": "norm",
    "output": "output",
    "attn_norm": "attention_norm",
    "attn_q": "attention.wq",
    "attn_k": "attention.wk",
    "attn_v": "attention.wv",
    "attn_output": "attention.wo",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_down": "feed_forward.w2",
    "ffn_up": "feed_forward.w3",
}


class Attention(nn.Module):
    """Causal attention ``(N, L, E)`` in which groups of queries share keys and values (Ainslie et al., 2305.13245)."""

    def __init__(self, dim, n_heads, n_kv_heads):
        super().__init__()
        if dim % n_heads or n_heads % n_kv_heads:
            raise ValueError(
                f"dim must be a multiple of n_heads, and n_heads of n_kv_heads, got {dim}, {n_heads} and {n_kv_heads}"
            )
        self.head_dim = dim // n_heads
        self.wq = nn.Linear(dim, n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(dim, n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(dim, n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(n_heads * self.head_dim, dim, bias=False)

    def forward(self, x, rotary, cache=None, layer=0):
        batch, length, _ = x.shape
        query, key, value = (
            project(x).view(batch, length, -1, self.head_dim).transpose(1, 2) for project in (self.wq, self.wk, self.wv)
        )
        query, key = apply_rotary(query, rotary), apply_rotary(key, rotary)
        if cache is not None:
            key, value = cache.update(layer, key, value)
        causal = key.shape[2] == length
        mask = None if causal else attention_mask(length, key.shape[2], x.device)
        y = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal, enable_gqa=True)
        return self.wo(y.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, arXiv:2002.05202): ``w2(silu(w1 x) * w3 x)``."""

    def __init__(self, dim, hidden_dim):
        super().__init__()
        self.w1 = nn.Linear(dim, hidden_dim, bias=False)
        self.w2 = nn.Linear(hidden_dim, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden_dim, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class TransformerBlock(nn.Module):
    """Attention and a feed-forward network, each behind RMSNorm (Zhang and Sennrich, 1910.07467)."""

    def __init__(self, dim, n_heads, n_kv_heads, hidden_dim, norm_eps):
        super().__init__()
        self.attention_norm = nn.RMSNorm(dim, eps=norm_eps)
        self.attention = Attention(dim, n_heads, n_kv_heads)
        self.ffn_norm = nn.RMSNorm(dim, eps=norm_eps)
        self.feed_forward = FeedForward(dim, hidden_dim)

    def forward(self, x, rotary, cache=None, layer=0):
        x = x + self.attention(self.attention_norm(x), rotary, cache, layer)
        return x + self.feed_forward(self.ffn_norm(x))


class Llama(nn.Module):
    """Tokens ``(N, L)`` to scores of the next token ``(N, L, vocab_size)``, with the names of Meta's files.

    Args:
        vocab_size, dim, n_layers, n_heads: sizes.
        n_kv_heads: heads of keys and values; ``n_heads`` by default.
        hidden_dim: width of the feed-forward networks; by default two thirds of ``4 * dim``, rounded up to 256.
        norm_eps: added to the mean square in RMSNorm.
        rope_theta: base of the rotations' frequencies.
        max_seq_len: tokens that fit.
        tie_embeddings: whether the matrix of the scores is that of the embedding.

    Raises:
        ValueError: ``dim`` is no multiple of ``n_heads``, or that none of ``n_kv_heads``; at a call, too many tokens.
    """

    def __init__(
        self,
        vocab_size=32000,
        dim=4096,
        n_layers=32,
        n_heads=32,
        n_kv_heads=None,
        hidden_dim=None,
        norm_eps=1e-5,
        rope_theta=10000.0,
        max_seq_len=2048,
        tie_embeddings=False,
    ):
        super().__init__()
        self.context = max_seq_len
        hidden_dim = hidden_dim or -(-8 * dim // 3 // 256) * 256
        shape = (dim, n_heads, n_kv_heads or n_heads, hidden_dim, norm_eps)
        self.tok_embeddings = nn.Embedding(vocab_size, dim)
        self.layers = nn.ModuleList([TransformerBlock(*shape) for _ in range(n_layers)])
        self.norm = nn.RMSNorm(dim, eps=norm_eps)
        self.output = None if tie_embeddings else nn.Linear(dim, vocab_size, bias=False)
        self.register_buffer("rotary", rotary_table(max_seq_len, dim // n_heads, rope_theta), persistent=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def hidden(self, ids, cache=None):
        """What the last normalisation gives, ``(N, L, dim)``."""
        first = 0 if cache is None else cache.length
        last = first + ids.shape[1]
        if last > self.context:
            raise ValueError(f"Llama: the context has {self.context} tokens, got {last}")
        x = self.tok_embeddings(ids)
        for number, layer in enumerate(self.layers):
            x = layer(x, self.rotary[:, first:last], cache, number)
        return self.norm(x)

    def forward(self, ids, cache=None):
        matrix = self.tok_embeddings if self.output is None else self.output
        return F.linear(self.hidden(ids, cache), matrix.weight)

    def new_cache(self):
        """An empty `KVCache` to give to calls that continue each other."""
        return KVCache(len(self.layers))

    def generate(self, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop=None, generator=None):
        """Continues ``ids`` ``(N, L)``; see `generation.generate`."""
        return generate(self, ids, max_new_tokens, temperature, top_k, top_p, stop, generator)

    @classmethod
    def from_gguf(cls, path):
        """The network of a GGUF file, its quantised weights widened to float32.

        Raises:
            ValueError: the file holds another architecture.
        """
        with GGUF(path) as file:
            architecture = file.metadata.get("general.architecture")
            if architecture != "llama":
                raise ValueError(f"Llama.from_gguf: the file holds {architecture!r}, not 'llama'")
            with undrawn():
                model = cls(**_sizes(file))
            model.load_state_dict({_name_here(name): file.tensor(name) for name in file.tensors})
        return model.eval()


def _sizes(file):
    """What a GGUF file says of the network's sizes, as `Llama` takes it."""
    facts = file.metadata
    return dict(
        vocab_size=file.tensors["token_embd.weight"][0][0],
        dim=facts["llama.embedding_length"],
        n_layers=facts["llama.block_count"],
        n_heads=facts["llama.attention.head_count"],
        n_kv_heads=facts.get("llama.attention.head_count_kv"),
        hidden_dim=facts["llama.feed_forward_length"],
        norm_eps=facts["llama.attention.layer_norm_rms_epsilon"],
        rope_theta=facts.get("llama.rope.freq_base", 10000.0),
        max_seq_len=facts["llama.context_length"],
        tie_embeddings="output.weight" not in file.tensors,
    )


def _name_here(name):
    """``"blk.3.attn_q.weight"`` is ``"layers.3.attention.wq.weight"``."""
    *block, part, kind = name.split(".")
    return ".".join([*(["layers", block[1]] if block else []), _GGUF_NAMES[part], kind])


def llama2_7b(**options):
    """Llama 2 7B: 6,738,415,616 parameters."""
    return Llama(**{"max_seq_len": 4096, **options})


def llama3_8b(**options):
    """Llama 3 8B: 8,030,261,248 parameters."""
    sizes = dict(vocab_size=128256, n_kv_heads=8, hidden_dim=14336, rope_theta=500000.0, max_seq_len=8192)
    return Llama(**{**sizes, **options})


def smollm2_135m(**options):
    """SmolLM2 135M (arXiv:2502.02737): 134,515,008 parameters."""
    sizes = dict(vocab_size=49152, dim=576, n_layers=30, n_heads=9, n_kv_heads=3, hidden_dim=1536)
    return Llama(**{**sizes, "rope_theta": 100000.0, "max_seq_len": 8192, "tie_embeddings": True, **options})
