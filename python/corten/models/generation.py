"""Writing a sequence token by token: sampling with temperature, top-k and top-p, beam search, cached keys."""

import math

import corten

from ..utils._pytree import tree_map

__all__ = ["KVCache", "attention_mask", "beam_search", "filter_logits", "generate", "sample"]


class KVCache:
    """The keys and values that attention has computed, so that a new token costs one step and not a whole pass.

    Args:
        layers: how many layers of attention there are.
    """

    def __init__(self, layers):
        self.entries = [None] * layers

    @property
    def length(self):
        """How many tokens have been seen."""
        return 0 if self.entries[0] is None else self.entries[0][0].shape[-2]

    def update(self, layer, key, value):
        """Appends keys and values ``(N, heads, new, head_dim)`` of a layer; returns those of all tokens so far."""
        if self.entries[layer] is not None:
            before_key, before_value = self.entries[layer]
            key, value = corten.cat([before_key, key], dim=-2), corten.cat([before_value, value], dim=-2)
        self.entries[layer] = (key, value)
        return key, value

    def reorder(self, rows):
        """Keeps the given rows of the batch, in their order, as beam search asks for."""
        self.entries = [entry and tuple(part[rows] for part in entry) for entry in self.entries]
        return self


def attention_mask(queries, keys, device=None):
    """What causal attention may look at, ``(queries, keys)``; the last query stands at the last key.

    Returns:
        None where one query sees all keys, so that nothing needs to be masked.
    """
    if queries == 1:
        return None
    last_seen = corten.arange(keys - queries, keys, device=device)[:, None]
    return corten.arange(keys, device=device) <= last_seen


# -- sampling --------------------------------------------------------------------------------------------------------


def filter_logits(logits, top_k=None, top_p=None):
    """Sets what must not be drawn to ``-inf``.

    Args:
        logits: ``(N, V)``.
        top_k: keep the k best.
        top_p: keep the fewest best whose probabilities add up to p at least (Holtzman et al., arXiv:1904.09751).

    Raises:
        ValueError: ``top_k`` below 1, or ``top_p`` outside (0, 1].
    """
    if top_k is not None:
        if top_k < 1:
            raise ValueError(f"filter_logits: top_k must be at least 1, got {top_k}")
        least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    if top_p is not None:
        if not 0 < top_p <= 1:
            raise ValueError(f"filter_logits: top_p must be in (0, 1], got {top_p}")
        ordered, places = logits.sort(descending=True)
        probabilities = ordered.softmax(-1)
        beyond = probabilities.cumsum(-1) - probabilities >= top_p  # what better ones add up to suffices
        logits = logits.masked_fill(corten.zeros_like(beyond).scatter(1, places, beyond), -math.inf)
    return logits


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Draws a token for each row of ``logits`` ``(N, V)``; returns ``(N, 1)``. Temperature 0 takes the best.

    Raises:
        ValueError: a negative temperature, or what `filter_logits` does not take.
    """
    if temperature < 0:
        raise ValueError(f"sample: temperature must not be negative, got {temperature}")
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    logits = filter_logits(logits / temperature, top_k, top_p)
    return corten.multinomial(logits.softmax(-1), 1, generator=generator)


@corten.no_grad()
def generate(model, ids, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop=None, generator=None):
    """Continues sequences.

    Where the context is full, its later half is read again as if the text began there.

    Args:
        model: gives logits ``(N, L, V)`` for ``(ids, cache)``, and has ``new_cache()`` and ``context``.
        ids: ``(N, L)`` with at least one token.
        max_new_tokens: how many tokens to append at most.
        temperature, top_k, top_p, generator: see `sample`.
        stop: a token that ends a sequence; what follows it is this token. Generation ends when all have ended.

    Returns:
        ``(N, L + new)``, the given tokens included.

    Raises:
        ValueError: ``ids`` is not ``(N, L)`` with ``L > 0``, or what `sample` does not take.
    """
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ValueError(f"generate: ids must be (N, L) with at least one token, got {tuple(ids.shape)}")
    cache, given = model.new_cache(), ids[:, -model.context :]
    ended = corten.zeros(len(ids), 1, dtype=corten.bool, device=ids.device)
    for _ in range(max_new_tokens):
        if cache.length + given.shape[1] > model.context:
            cache, given = model.new_cache(), ids[:, -max(1, model.context // 2) :]
        given = sample(model(given, cache)[:, -1], temperature, top_k, top_p, generator)
        if stop is not None:
            given = given.masked_fill(ended, stop)
            ended = ended | (given == stop)
        ids = corten.cat([ids, given], dim=1)
        if stop is not None and ended.all():
            break
    return ids


# -- beam search -----------------------------------------------------------------------------------------------------


def _keep_rows(state, rows):
    """The rows of every tensor and cache in a state."""

    def keep(part):
        if isinstance(part, KVCache):
            return part.reorder(rows)
        return part[rows] if isinstance(part, corten.Tensor) else part

    return tree_map(keep, state)


@corten.no_grad()
def beam_search(step, state, batch, start, end, max_length, beams=1, length_penalty=0.0, device=None):
    """The likeliest sequences that a width of ``beams`` finds; one beam decodes greedily.

    Args:
        step: ``step(tokens, state)`` with tokens ``(rows,)`` returns logits ``(rows, V)`` of what follows and the new
            state. A row is a beam of a sequence: those of one sequence are neighbours.
        state: tensors whose first dim is the batch, and `KVCache` objects, in lists, tuples and dicts.
        batch: how many sequences there are.
        start, end: the tokens before the first and after the last.
        max_length: how many tokens to write at most.
        length_penalty: log probabilities are divided by ``length ** length_penalty`` when finished beams are
            compared; 0 compares them as they are.

    Returns:
        Tokens ``(batch, length)`` without ``start``, filled with ``end``, and their log probabilities ``(batch,)``.

    Raises:
        ValueError: ``beams`` or ``max_length`` below 1.
    """
    if beams < 1 or max_length < 1:
        raise ValueError(f"beam_search: beams and max_length must be at least 1, got {beams} and {max_length}")
    first = corten.arange(batch, device=device)[:, None] * beams
    state = _keep_rows(state, corten.arange(batch, device=device).repeat_interleave(beams))
    tokens = corten.full((batch * beams,), start, device=device)
    written = corten.empty(batch, beams, 0, dtype=corten.int64, device=device)
    # All beams begin alike, so at first only one of them counts.
    scores = corten.full((batch, beams), -math.inf, device=device)
    scores[:, 0] = 0.0
    ended = corten.zeros(batch, beams, dtype=corten.bool, device=device)
    for _ in range(max_length):
        logits, state = step(tokens, state)
        gain = logits.float().log_softmax(-1).reshape(batch, beams, -1)
        vocabulary = gain.shape[-1]
        # A finished beam goes on with `end` at no cost, and with nothing else.
        only_end = corten.full((vocabulary,), -math.inf, device=device)
        only_end[end] = 0.0
        gain = corten.where(ended[:, :, None], only_end, gain)
        scores, best = (scores[:, :, None] + gain).flatten(1).topk(beams)
        source, token = best // vocabulary, best % vocabulary
        written = corten.cat([written.gather(1, source[:, :, None].expand_as(written)), token[:, :, None]], dim=2)
        ended = ended.gather(1, source) | (token == end)
        if ended.all():
            break
        if beams > 1:
            state = _keep_rows(state, (first + source).flatten())
        tokens = token.flatten()
    lengths = (written != end).sum(2) + 1
    winner = (scores / lengths**length_penalty).argmax(1)
    rows = corten.arange(batch, device=device)
    return written[rows, winner], scores[rows, winner]
