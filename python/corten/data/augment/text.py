"""Noise for batches of token numbers, as BERT, BART, T5 and denoising translation train on.

Tokens are int64 ``(N, T)``, padded at the end with ``pad_id``. Draws come from ``generator``, the global one where not
given, on the CPU; results lie on the tokens' device.
"""

import corten

__all__ = ["corrupt_spans", "delete_tokens", "infill_spans", "mask_tokens", "swap_tokens"]

IGNORED = -100  # what `cross_entropy` leaves out


def _check(name, tokens, rate=0.5):
    if tokens.dim() != 2 or tokens.is_floating_point():
        raise ValueError(
            f"{name}: tokens should be integers of shape (N, T), but got {tokens.dtype} of {tuple(tokens.shape)}"
        )
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"{name}: rate should be from 0 to below 1, but got {rate}")


def _draws(shape, generator):
    return corten.rand(shape, generator=generator, device="cpu")


def _fixed(tokens, pad_id, special):
    """Where tokens must stay: padding, and the numbers in ``special``."""
    fixed = tokens == pad_id
    if len(special):
        fixed = fixed | corten.isin(tokens, corten.tensor(list(special), dtype=tokens.dtype, device=tokens.device))
    return fixed


def _moved_together(tokens, keep, pad_id):
    """Each row's kept tokens at its beginning in their order, padding behind."""
    order = (~keep).int().argsort(dim=1, stable=True)
    return tokens.gather(1, order).masked_fill(~keep.gather(1, order), pad_id)


def mask_tokens(tokens, mask_id, vocab_size, pad_id=0, special=(), rate=0.15, keep=0.1, replace=0.1, generator=None):
    """Inputs and labels of a masked language model (BERT; Devlin et al. 2019).

    Args:
        tokens: ``(N, T)``.
        mask_id: the number of the mask token.
        vocab_size: random tokens are drawn below it.
        pad_id, special: numbers that are never chosen.
        rate: the probability that a token is chosen.
        keep, replace: shares of the chosen tokens that stay, and that become random ones; the rest becomes the mask.

    Returns:
        ``(inputs, labels)``; labels are the chosen tokens, and -100 elsewhere.

    Raises:
        ValueError: tokens of another shape, or shares outside [0, 1].
    """
    _check("mask_tokens", tokens, rate)
    if keep < 0 or replace < 0 or keep + replace > 1:
        raise ValueError(f"mask_tokens: keep and replace should be shares of one, but got {keep} and {replace}")
    device = tokens.device
    chosen = (_draws(tokens.shape, generator) < rate).to(device) & ~_fixed(tokens, pad_id, special)
    way = _draws(tokens.shape, generator).to(device)
    random = corten.randint(0, vocab_size, tokens.shape, generator=generator, device="cpu").to(device, tokens.dtype)
    inputs = tokens.masked_fill(chosen & (way >= keep + replace), mask_id)
    inputs = corten.where(chosen & (way >= keep) & (way < keep + replace), random, inputs)
    return inputs, tokens.masked_fill(~chosen, IGNORED)


def delete_tokens(tokens, pad_id=0, special=(), rate=0.1, generator=None):
    """Tokens without some, drawn at random; what remains moves together (BART; Lewis et al. 2020).

    Args:
        tokens: ``(N, T)``.
        pad_id, special: numbers that are never deleted.
        rate: the probability that a token is.

    Returns:
        ``(N, T)``.
    """
    _check("delete_tokens", tokens, rate)
    dropped = (_draws(tokens.shape, generator) < rate).to(tokens.device) & ~_fixed(tokens, pad_id, special)
    return _moved_together(tokens, ~dropped & (tokens != pad_id), pad_id)


def swap_tokens(tokens, pad_id=0, special=(), distance=3, generator=None):
    """Tokens in a slightly wrong order: none comes further than ``distance`` from its place (Lample et al. 2018).

    Args:
        tokens: ``(N, T)``.
        pad_id, special: numbers that stay where they are.
        distance: the greatest move, counted among the tokens that may move; 1 swaps neighbours.

    Returns:
        ``(N, T)``.
    """
    _check("swap_tokens", tokens)
    if distance < 0:
        raise ValueError(f"swap_tokens: distance should not be negative, but got {distance}")
    fixed = _fixed(tokens, pad_id, special)
    # Only those that may move are numbered; they are put back into the places that such tokens had.
    places = fixed.int().argsort(dim=1, stable=True)
    number = corten.arange(tokens.shape[1], dtype=corten.float32, device=tokens.device)
    noise = _draws(tokens.shape, generator).to(tokens.device)
    key = corten.where(fixed.gather(1, places), number + tokens.shape[1] + distance, number + noise * (distance + 1))
    order = key.argsort(dim=1, stable=True)
    moved = tokens.gather(1, places).gather(1, order)
    return corten.empty_like(tokens).scatter_(1, places, moved)


def infill_spans(tokens, mask_id, pad_id=0, special=(), rate=0.3, mean_length=3.0, generator=None):
    """Spans of tokens, each replaced by one mask token; those of length zero are masks put in (BART's text infilling).

    Lengths follow a Poisson distribution. Spans that meet become one, and none reaches over a token of ``special``.

    Args:
        tokens: ``(N, T)``.
        mask_id: the number of the mask token.
        pad_id, special: numbers that are never masked.
        rate: the expected share of masked tokens.
        mean_length: of the spans, in tokens.

    Returns:
        ``(N, T)``; what would not fit any more is cut off.

    Raises:
        ValueError: tokens of another shape, a rate outside [0, 1), or a mean length that is not positive.
    """
    import math

    _check("infill_spans", tokens, rate)
    if not mean_length > 0:
        raise ValueError(f"infill_spans: mean_length should be positive, but got {mean_length}")
    device = tokens.device
    # The number of spans over a token is Poisson distributed with this rate times the mean length.
    begins = (_draws(tokens.shape, generator) < -math.log1p(-rate) / mean_length).to(device)
    lengths = corten.full(tokens.shape, float(mean_length), device="cpu")
    lengths = corten.poisson(lengths, generator=generator).to(device).long()
    fixed = _fixed(tokens, pad_id, special)
    place = corten.arange(tokens.shape[1], device=device).expand(tokens.shape)
    reach = corten.where(begins & ~fixed, place + lengths, corten.zeros_like(place)).cummax(1).values
    # A span that began before a fixed token ends there.
    last_fixed = corten.where(fixed, place + 1, corten.zeros_like(place)).cummax(1).values
    start_of_reach = corten.where(begins & ~fixed, place, corten.full_like(place, -1)).cummax(1).values
    covered = (reach > place) & ~fixed & (start_of_reach >= last_fixed)
    first = covered & ~corten.nn.functional.pad(covered[:, :-1], (1, 0))
    masks = first | (begins & ~fixed & (lengths == 0) & ~covered)
    written = corten.stack([corten.full_like(tokens, mask_id), tokens], 2).flatten(1)
    keep = corten.stack([masks, ~covered & (tokens != pad_id)], 2).flatten(1)
    return _moved_together(written, keep, pad_id)[:, : tokens.shape[1]]


def _segment_lengths(items, segments, width, generator):
    """Random lengths of at least one: each row's ``items`` divided among its ``segments``; zeros up to ``width``.

    Every division is equally likely: the first items of all segments but the first are a random choice among all items
    but the first.
    """
    count = max(int(items.max()), 1)
    place = corten.arange(count, device="cpu").expand(len(items), -1)
    keys = _draws((len(items), count), generator)
    usable = (place >= 1) & (place < items.unsqueeze(1))
    rank = keys.masked_fill(~usable, 2.0).argsort(1).argsort(1)
    opens = usable & (rank < (segments - 1).unsqueeze(1))
    number = opens.long().cumsum(1).masked_fill(place >= items.unsqueeze(1), width)
    lengths = corten.zeros(len(items), width + 1, dtype=corten.int64, device="cpu")
    return lengths.scatter_add_(1, number, corten.ones_like(number))[:, :width]


def corrupt_spans(tokens, first_sentinel, pad_id=0, rate=0.15, mean_length=3.0, sentinel_step=1, generator=None):
    """Inputs and targets of T5's span corruption (Raffel et al. 2020).

    Random spans are taken out of each row; in the input a sentinel stands for each, and the target lists the sentinels,
    each followed by what it stands for. A row of ``L`` tokens loses ``round(L * rate)`` of them, at least one, in
    ``round(that / mean_length)`` spans, at least one, that do not touch; rows of fewer than two tokens lose none.

    Args:
        tokens: ``(N, T)``, padded at the end.
        first_sentinel: the number of the first sentinel; those after it are ``sentinel_step`` apart, which is -1 where
            sentinels are counted from the end of the vocabulary.
        pad_id: the padding.
        rate: the share of tokens that are taken out.
        mean_length: of the spans, in tokens.

    Returns:
        ``(inputs, targets)``, both padded, as wide as their longest row.

    Raises:
        ValueError: tokens of another shape, a rate outside [0, 1), or a mean length below one.
    """
    _check("corrupt_spans", tokens, rate)
    if mean_length < 1:
        raise ValueError(f"corrupt_spans: mean_length should be at least 1, but got {mean_length}")
    device, tokens = tokens.device, tokens.cpu()
    real = tokens != pad_id
    length = real.sum(1)
    able = length >= 2
    noise = corten.where(able, (length * rate).round().long().clamp(min=1), 0)
    spans = corten.minimum((noise / mean_length).round().long().clamp(min=1), length - noise + 1)
    spans = corten.where(able, spans, 0)
    width = max(int(spans.max()), 1)
    taken = _segment_lengths(noise, spans, width, generator)
    # What is kept lies around the spans: before the first and behind the last there may be nothing, so two tokens that
    # are not there are dealt out with the others.
    kept = _segment_lengths(length - noise + 2, spans + 1, width + 1, generator)
    kept[:, 0] -= 1
    ends = corten.stack([kept[:, :-1], taken], 2).flatten(1).cumsum(1)
    place = corten.arange(tokens.shape[1], device="cpu").expand(tokens.shape).contiguous()
    segment = corten.searchsorted(ends, place, right=True)
    noisy = (segment % 2 == 1) & real & able.unsqueeze(1)
    opens = noisy & ~corten.nn.functional.pad(noisy[:, :-1], (1, 0))
    sentinel = (first_sentinel + sentinel_step * (segment // 2)).to(tokens.dtype)
    both = corten.stack([sentinel, tokens], 2).flatten(1)

    def written(which):
        result = _moved_together(both, corten.stack([opens, which], 2).flatten(1), pad_id)
        return result[:, : max(int((opens.sum(1) + which.sum(1)).max()), 1)]

    return written(real & ~noisy).to(device), written(noisy).to(device)
