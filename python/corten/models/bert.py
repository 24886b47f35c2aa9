"""BERT (Devlin et al., arXiv:1810.04805): an encoder that reads both ways, trained to fill in masked tokens."""

import json
import pathlib

import corten

from .. import nn
from ..nn import functional as F
from ._weights import undrawn

__all__ = ["Bert", "BertForMaskedLM", "BertForSequenceClassification", "bert_base", "mask_tokens", "mean_pool"]


class BertEmbeddings(nn.Module):
    """Tokens, their positions and their segments as vectors, added up and normalised."""

    def __init__(self, vocab_size, hidden_size, max_position_embeddings, type_vocab_size, dropout, eps):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size)
        self.position_embeddings = nn.Embedding(max_position_embeddings, hidden_size)
        self.token_type_embeddings = nn.Embedding(type_vocab_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids, segments=None):
        length, limit = ids.shape[1], self.position_embeddings.num_embeddings
        if length > limit:
            raise ValueError(f"Bert: there are {limit} positions, got {length} tokens")
        kind = self.token_type_embeddings.weight[0] if segments is None else self.token_type_embeddings(segments)
        x = self.word_embeddings(ids) + self.position_embeddings.weight[:length] + kind
        return self.dropout(self.LayerNorm(x))


class BertSelfAttention(nn.Module):
    """Attention of every token to every token that is not padding: ``(N, L, E)`` to ``(N, L, E)``."""

    def __init__(self, hidden_size, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)

    def forward(self, x, mask=None):
        batch, length, width = x.shape
        query, key, value = (
            project(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        return y.transpose(1, 2).reshape(batch, length, width)


class BertOutput(nn.Module):
    """A linear map, added to what came before and normalised."""

    def __init__(self, inside, hidden_size, dropout, eps):
        super().__init__()
        self.dense = nn.Linear(inside, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inside, before):
        return self.LayerNorm(before + self.dropout(self.dense(inside)))


class BertLayer(nn.Module):
    """Attention and a feed-forward network with GELU, each normalised after it is added."""

    def __init__(self, hidden_size, heads, intermediate_size, dropout, eps):
        super().__init__()
        self.attention = nn.ModuleDict(
            {
                "self": BertSelfAttention(hidden_size, heads, dropout),
                "output": BertOutput(hidden_size, hidden_size, dropout, eps),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(hidden_size, intermediate_size)})
        self.output = BertOutput(intermediate_size, hidden_size, dropout, eps)

    def forward(self, x, mask=None):
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Bert(nn.Module):
    """Tokens ``(N, L)`` to a vector for each, ``(N, L, hidden_size)``, with the names of Hugging Face's files.

    The sizes are by default those of BERT base: 109,482,240 parameters, the pooler included.

    Args:
        vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: sizes.
        max_position_embeddings: tokens that fit.
        type_vocab_size: kinds of segments.
        dropout: of embeddings, attention and what each part adds.
        layer_norm_eps: added to the variance in normalisations.

    Raises:
        ValueError: ``hidden_size`` is no multiple of ``num_attention_heads``; at a call, too many tokens.
    """

    def __init__(
        self,
        vocab_size=30522,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=512,
        type_vocab_size=2,
        dropout=0.1,
        layer_norm_eps=1e-12,
    ):
        super().__init__()
        if hidden_size % num_attention_heads:
            sizes = f"{hidden_size} and {num_attention_heads}"
            raise ValueError(f"Bert: hidden_size must be a multiple of num_attention_heads, got {sizes}")
        self.hidden_size = hidden_size
        self.embeddings = BertEmbeddings(
            vocab_size, hidden_size, max_position_embeddings, type_vocab_size, dropout, layer_norm_eps
        )
        shape = (hidden_size, num_attention_heads, intermediate_size, dropout, layer_norm_eps)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList([BertLayer(*shape) for _ in range(num_hidden_layers)])})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(hidden_size, hidden_size)})
        _init_weights(self)

    def forward(self, ids, mask=None, segments=None):
        """``mask`` ``(N, L)`` is true, or 1, where a token stands and not padding."""
        x = self.embeddings(ids, segments)
        mask = None if mask is None else mask.bool()[:, None, None, :]
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x

    def pool(self, hidden):
        """The vector of the first token through a linear map and tanh: ``(N, hidden_size)``."""
        return self.pooler["dense"](hidden[:, 0]).tanh()

    @classmethod
    def from_pretrained(cls, folder):
        """The network in a folder with ``config.json`` and ``model.safetensors``."""
        folder = pathlib.Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sizes = "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size"
        names = [*sizes.split(), "max_position_embeddings", "type_vocab_size", "layer_norm_eps"]
        with undrawn():
            model = cls(dropout=config["hidden_dropout_prob"], **{name: config[name] for name in names})
        weights = corten.load(folder / "model.safetensors")
        weights = {name.removeprefix("bert."): tensor for name, tensor in weights.items()}
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
        return model.eval()


def _init_weights(model):
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


class BertForMaskedLM(nn.Module):
    """Tokens ``(N, L)``, some of them masked, to scores of what stands there ``(N, L, vocab_size)``.

    The matrix of the scores is that of the embedding.

    Args:
        bert: a `Bert`.
    """

    def __init__(self, bert):
        super().__init__()
        self.bert = bert
        self.transform = nn.Linear(bert.hidden_size, bert.hidden_size)
        self.norm = nn.LayerNorm(bert.hidden_size, eps=1e-12)
        self.bias = nn.Parameter(corten.zeros(bert.embeddings.word_embeddings.num_embeddings))
        _init_weights(nn.ModuleList([self.transform]))

    def forward(self, ids, mask=None, segments=None):
        x = self.norm(F.gelu(self.transform(self.bert(ids, mask, segments))))
        return F.linear(x, self.bert.embeddings.word_embeddings.weight, self.bias)


class BertForSequenceClassification(nn.Module):
    """Tokens ``(N, L)`` to scores of classes ``(N, num_labels)``.

    Args:
        bert: a `Bert`.
        num_labels: the number of classes.
        pooling: ``"cls"`` takes the pooler's vector of the first token, ``"mean"`` the mean of all tokens.
        dropout: of that vector.

    Raises:
        ValueError: another ``pooling``.
    """

    def __init__(self, bert, num_labels, pooling="cls", dropout=0.1):
        super().__init__()
        if pooling not in ("cls", "mean"):
            raise ValueError(f"BertForSequenceClassification: pooling must be 'cls' or 'mean', got {pooling!r}")
        self.bert, self.pooling = bert, pooling
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(bert.hidden_size, num_labels)
        _init_weights(nn.ModuleList([self.classifier]))

    def forward(self, ids, mask=None, segments=None):
        hidden = self.bert(ids, mask, segments)
        pooled = self.bert.pool(hidden) if self.pooling == "cls" else mean_pool(hidden, mask)
        return self.classifier(self.dropout(pooled))


def bert_base(**options):
    """BERT base: 109,482,240 parameters."""
    return Bert(**options)


def mean_pool(hidden, mask=None):
    """The mean of the vectors ``(N, L, E)`` whose ``mask`` ``(N, L)`` is true: ``(N, E)``."""
    if mask is None:
        return hidden.mean(1)
    weight = mask.to(hidden.dtype)[:, :, None]
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def mask_tokens(ids, mask_id, vocab_size, candidates=None, probability=0.15, generator=None):
    """Hides tokens for `BertForMaskedLM` to find: of those chosen 80 % are masked, 10 % random, 10 % left as they are.

    Args:
        ids: ``(N, L)``.
        mask_id: the token ``[MASK]``.
        vocab_size: random tokens are below it.
        candidates: ``(N, L)``, true where a token may be chosen; padding and ``[CLS]`` should not be.
        probability: of choosing a token.

    Returns:
        The tokens to read, and the labels: the hidden token where one was chosen, elsewhere -100, which
        `nn.functional.cross_entropy` leaves out.
    """
    chosen, fate = corten.rand(2, *ids.shape, device=ids.device, generator=generator)
    chosen = chosen < probability
    if candidates is not None:
        chosen = chosen & candidates
    other = corten.randint(vocab_size, ids.shape, device=ids.device, generator=generator)
    shown = corten.where(fate < 0.8, mask_id, corten.where(fate < 0.9, other, ids))
    return corten.where(chosen, shown, ids), ids.masked_fill(~chosen, -100)
