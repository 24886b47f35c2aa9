"""Captions of images and answers about them: a GPT whose blocks also look at the patches of a ViT.

The cross-attention is that of the Transformer's decoder (Vaswani et al., arXiv:1706.03762), as in captioners such as
BLIP's (Li et al., arXiv:2201.12086).
"""

from .. import nn
from ..nn import functional as F
from .generation import beam_search
from .gpt import GPT, Block

__all__ = ["Captioner", "VisualQuestionAnswering"]


class CrossAttention(nn.Module):
    """Attention of tokens ``(R N, L, E)`` to patches ``(N, S, D)``: ``(R N, L, E)``.

    R texts, one after the other, look at each image, whose keys and values are computed once.

    Raises:
        ValueError: the number of texts is no multiple of that of images.
    """

    def __init__(self, n_embd, n_head, memory_dim, dropout=0.0):
        super().__init__()
        self.n_head, self.dropout = n_head, dropout
        self.query = nn.Linear(n_embd, n_embd)
        self.key_value = nn.Linear(memory_dim, 2 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x, memory):
        if len(x) % len(memory):
            raise ValueError(f"captioning: {len(x)} texts cannot look at {len(memory)} images, each at as many")
        # All texts of an image as one, since none of its tokens sees another here.
        query = self.query(x).reshape(len(memory), -1, self.n_head, x.shape[2] // self.n_head).transpose(1, 2)
        key, value = self.key_value(memory).unflatten(2, (2, self.n_head, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        return self.c_proj(y.transpose(1, 2).reshape(x.shape))


class CrossBlock(Block):
    """A block of GPT that looks at the image after it has looked at the text."""

    def __init__(self, n_embd, n_head, memory_dim, dropout=0.0):
        super().__init__(n_embd, n_head, dropout)
        self.ln_cross = nn.LayerNorm(n_embd)
        self.cross = CrossAttention(n_embd, n_head, memory_dim, dropout)

    def forward(self, x, memory, **attention):
        x = x + self.drop(self.attn(self.ln_1(x), **attention))
        x = x + self.drop(self.cross(self.ln_cross(x), memory))
        return x + self.drop(self.mlp(self.ln_2(x)))


class ImageGPT(GPT):
    """A GPT of `CrossBlock`: its calls take the patches' vectors as ``memory`` ``(N, S, memory_dim)``."""

    def __init__(self, memory_dim, n_embd, n_layer, n_head, dropout=0.1, **options):
        super().__init__(n_embd=n_embd, n_layer=0, n_head=n_head, dropout=dropout, **options)
        self.h = nn.ModuleList([CrossBlock(n_embd, n_head, memory_dim, dropout) for _ in range(n_layer)])
        self._init_weights(n_layer)


class Captioner(nn.Module):
    """Images and captions so far ``(N, L)`` to scores of the next token ``(N, L, vocab_size)``.

    Args:
        encoder: a `ViT`; its head is not used.
        vocab_size, n_ctx, n_embd, n_layer, n_head, dropout: of the GPT.
    """

    def __init__(self, encoder, vocab_size, n_ctx=64, n_embd=256, n_layer=4, n_head=4, dropout=0.1):
        super().__init__()
        self.encoder = encoder
        sizes = dict(n_embd=n_embd, n_layer=n_layer, n_head=n_head, dropout=dropout)
        self.decoder = ImageGPT(encoder.dim, vocab_size=vocab_size, n_ctx=n_ctx, **sizes)

    def forward(self, images, ids):
        return self.decoder(ids, memory=self.encoder.features(images))

    def caption(self, images, start, end, max_length=None, beams=1, length_penalty=1.0):
        """The likeliest captions: tokens ``(N, L)`` without ``start``, filled with ``end``; see `beam_search`."""

        def step(tokens, state):
            memory, cache = state
            return self.decoder(tokens[:, None], cache, memory=memory)[:, -1], state

        state = (self.encoder.features(images), self.decoder.new_cache())
        limit = min(max_length or self.decoder.context, self.decoder.context)
        tokens, _ = beam_search(step, state, len(images), start, end, limit, beams, length_penalty, images.device)
        return tokens


class VisualQuestionAnswering(nn.Module):
    """Images and questions ``(N, L)`` to scores of the known answers ``(N, answers)``.

    The GPT reads the question while it looks at the image; its last vector is classified. Questions are filled up at
    their end with ``pad``.

    Args:
        encoder: a `ViT`; its head is not used.
        vocab_size, n_ctx, n_embd, n_layer, n_head, dropout: of the GPT.
        answers: how many answers there are.
        pad: the token behind the end of short questions.
    """

    def __init__(self, encoder, vocab_size, answers, pad=0, n_ctx=64, n_embd=256, n_layer=4, n_head=4, dropout=0.1):
        super().__init__()
        self.encoder, self.pad = encoder, pad
        sizes = dict(n_embd=n_embd, n_layer=n_layer, n_head=n_head, dropout=dropout)
        self.reader = ImageGPT(encoder.dim, vocab_size=vocab_size, n_ctx=n_ctx, **sizes)
        self.answer = nn.Linear(n_embd, answers)

    def forward(self, images, questions):
        return self.answers(self.encoder.features(images), questions)

    def answers(self, memory, questions):
        """Scores of the answers to questions ``(R N, L)`` about N images of which the encoder gave ``memory``.

        The R questions about an image follow each other, and need its features once.
        """
        hidden = self.reader.hidden(questions, memory=memory)
        last = ((questions != self.pad).sum(1) - 1).clamp(min=0)
        return self.answer(hidden.take_along_dim(last[:, None, None], dim=1).squeeze(1))
