"""Recurrent networks: a character LSTM, a GRU encoder–decoder with attention, and a tagger that reads both ways."""

import corten

from .. import nn
from ..nn import functional as F
from ..nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from .generation import beam_search, sample

__all__ = ["AttentionSeq2Seq", "BahdanauAttention", "BiLSTMTagger", "CharLSTM"]


class CharLSTM(nn.Module):
    """Characters ``(N, L)`` to scores of the next ``(N, L, vocab_size)`` (Graves, arXiv:1308.0850).

    The network is an embedding, ``layers`` of LSTM (Hochreiter and Schmidhuber 1997) and a linear map. Bits per
    character are its cross entropy divided by ``ln 2``.

    Args:
        vocab_size, embedding, hidden, layers: sizes.
        dropout: between the layers and before the scores.
    """

    def __init__(self, vocab_size, embedding=64, hidden=512, layers=2, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, vocab_size)
        _open_forget_gates(self.lstm)

    def forward(self, ids, state=None):
        """Returns the scores and the state ``(h, c)``, each ``(layers, N, hidden)``, from which a call may go on."""
        x, state = self.lstm(self.embedding(ids), state)
        return self.output(self.drop(x)), state

    @corten.no_grad()
    def generate(self, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, generator=None):
        """Continues ``ids`` ``(N, L)``; returns ``(N, L + max_new_tokens)``. See `generation.sample`.

        Raises:
            ValueError: ``ids`` is not ``(N, L)`` with ``L > 0``, or what `sample` does not take.
        """
        if ids.ndim != 2 or ids.shape[1] == 0:
            raise ValueError(f"CharLSTM: ids must be (N, L) with at least one token, got {tuple(ids.shape)}")
        given, state = ids, None
        for _ in range(max_new_tokens):
            logits, state = self(given, state)
            given = sample(logits[:, -1], temperature, top_k, top_p, generator)
            ids = corten.cat([ids, given], dim=1)
        return ids


def _open_forget_gates(lstm):
    """Lets cells remember from the start: biases of forget gates sum to 1 (Jozefowicz et al. 2015)."""
    quarter = lstm.hidden_size
    with corten.no_grad():
        for name, bias in lstm.named_parameters():
            if name.startswith("bias_"):
                bias.zero_()
                if name.startswith("bias_ih"):
                    bias[quarter : 2 * quarter] = 1.0


class BahdanauAttention(nn.Module):
    """Weights by ``v · tanh(W query + U key)`` (Bahdanau et al., arXiv:1409.0473).

    Args:
        query_size, memory_size: features of the queries and of what they look at.
        size: features inside.
    """

    def __init__(self, query_size, memory_size, size):
        super().__init__()
        self.query = nn.Linear(query_size, size, bias=False)
        self.key = nn.Linear(memory_size, size)
        self.score = nn.Linear(size, 1, bias=False)

    def forward(self, query, keys, memory, mask):
        """A query ``(N, Q)`` over ``memory`` ``(N, S, M)``, ``keys`` being ``self.key(memory)``.

        Returns:
            What it gathers ``(N, M)``, and the weights ``(N, S)``, zero where ``mask`` is false.
        """
        scores = self.score((self.query(query)[:, None] + keys).tanh()).squeeze(2)
        weights = scores.masked_fill(~mask, corten.finfo(scores.dtype).min).softmax(1)
        return (weights[:, None] @ memory).squeeze(1), weights


class AttentionSeq2Seq(nn.Module):
    """Source ``(N, S)`` and target so far ``(N, L)`` to scores of the next token ``(N, L, target_size)``.

    A GRU (Cho et al., arXiv:1406.1078) reads the source both ways; another writes the target and looks at the source
    before each token (Bahdanau et al., arXiv:1409.0473). Targets begin with a start token; sources are filled up at
    their end with ``pad``.

    Args:
        source_size, target_size: the number of tokens.
        embedding, hidden: features of tokens and of each direction's state.
        layers: of the encoder; the decoder has one.
        dropout: of embeddings and before the scores.
        pad: the token behind the end of short sources.
    """

    def __init__(self, source_size, target_size, embedding=128, hidden=256, layers=1, dropout=0.1, pad=0):
        super().__init__()
        self.pad = pad
        self.source = nn.Embedding(source_size, embedding, padding_idx=pad)
        self.target = nn.Embedding(target_size, embedding)
        self.encoder = nn.GRU(
            embedding, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.attention = BahdanauAttention(hidden, 2 * hidden, hidden)
        self.decoder = nn.GRUCell(embedding + 2 * hidden, hidden)
        self.output = nn.Linear(hidden + 2 * hidden + embedding, target_size)
        self.drop = nn.Dropout(dropout)

    def encode(self, source):
        """What the decoder needs: its first state ``(N, hidden)``, and keys, memory and mask of the source."""
        mask = source != self.pad
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.drop(self.source(source)), lengths, batch_first=True, enforce_sorted=False)
        packed, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(packed, batch_first=True, total_length=source.shape[1])
        state = self.bridge(corten.cat([last[-2], last[-1]], dim=1)).tanh()
        return state, self.attention.key(memory), memory, mask

    def step(self, embedded, state, keys, memory, mask):
        """One token's vector ``(N, embedding)``: what the scores are read from, and the new state ``(N, hidden)``."""
        context, _ = self.attention(state, keys, memory, mask)
        state = self.decoder(corten.cat([embedded, context], dim=1), state)
        return corten.cat([state, context, embedded], dim=1), state

    def forward(self, source, target):
        state, *looked_at = self.encode(source)
        steps = []
        for embedded in self.drop(self.target(target)).unbind(1):
            features, state = self.step(embedded, state, *looked_at)
            steps.append(features)
        return self.output(self.drop(corten.stack(steps, dim=1)))

    def decode(self, source, start, end, max_length, beams=1, length_penalty=0.0):
        """The likeliest targets: tokens ``(N, L)`` without ``start``, filled with ``end``; one beam is greedy."""

        def step(tokens, state):
            features, state[0] = self.step(self.target(tokens), *state)
            return self.output(features), state

        with corten.no_grad():
            state = list(self.encode(source))
        tokens, _ = beam_search(step, state, len(source), start, end, max_length, beams, length_penalty, source.device)
        return tokens


class BiLSTMTagger(nn.Module):
    """Tokens ``(N, L)`` to scores of tags for each ``(N, L, tags)`` (Graves and Schmidhuber 2005).

    Args:
        vocab_size, tags: the number of tokens and of tags.
        embedding, hidden, layers: sizes; ``hidden`` is that of one direction.
        dropout: of embeddings, between layers and before the scores.
        pad: the token behind the end of short sequences, which the network does not read.
    """

    def __init__(self, vocab_size, tags, embedding=100, hidden=128, layers=1, dropout=0.3, pad=0):
        super().__init__()
        self.pad = pad
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=pad)
        self.lstm = nn.LSTM(
            embedding, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden, tags)

    def forward(self, ids):
        lengths = (ids != self.pad).sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.drop(self.embedding(ids)), lengths, batch_first=True, enforce_sorted=False)
        x, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1])
        return self.output(self.drop(x))

    def loss(self, ids, tags):
        """The mean cross entropy of the tags ``(N, L)`` over the tokens that are not padding."""
        return F.cross_entropy(self(ids).flatten(0, 1), tags.masked_fill(ids == self.pad, -100).flatten())
