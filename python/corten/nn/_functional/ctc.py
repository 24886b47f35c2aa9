"""Connectionist temporal classification (Graves et al. 2006) by the forward recursion in log space."""

import corten

from ...overrides import hand_over, taken, takes_over
from .. import _reduction as _Reduction

# Stands for log(0): finite, so that the gradient of logaddexp never meets inf - inf.
_LOG_ZERO = -1e30


def _check_lengths(input_lengths, target_lengths, blank, steps, batch, classes):
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if len(input_lengths) != batch:
        raise RuntimeError("input_lengths must be of size batch_size")
    if len(target_lengths) != batch:
        raise RuntimeError("target_lengths must be of size batch_size")
    for length in input_lengths:
        if length < 0:
            raise RuntimeError(f"Expected input_lengths to have value at least 0, but got value {length}")
        if length > steps:
            raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {length}")
    for length in target_lengths:
        if length < 0:
            raise RuntimeError(f"Expected target_lengths to have value at least 0, but got value {length}")


def _of_examples(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity):
    """The loss inside ``vmap`` with lengths of each example: the examples become samples of one batch.

    Targets are padded ``(N, S)``; one after the other they would be cut in other places in each example.
    """
    from ...func._vmap.dispatch import level_of

    level = level_of([log_probs, targets, input_lengths, target_lengths], {})
    if log_probs.dim() == 2:
        log_probs, targets = log_probs.unsqueeze(1), targets.reshape(1, -1)
        single = True
    else:
        single = False
    if targets.dim() != 2:
        raise RuntimeError("ctc_loss: inside vmap, with lengths of each example, targets have to be padded, (N, S)")
    lengths = [
        value if isinstance(value, corten.Tensor) else corten.tensor(value, device=log_probs.device)
        for value in (input_lengths, target_lengths)
    ]
    count = log_probs.shape[1]
    rows = [level.physical(value.reshape(-1).expand(count)).flatten() for value in lengths]
    scores, labels = level.physical(log_probs).movedim(0, 1).flatten(1, 2), level.physical(targets).flatten(0, 1)
    losses = ctc_loss(scores, labels, *rows, blank, "none", zero_infinity)
    losses = level.wrap(losses.unflatten(0, (level.size, count)))
    if reduction == "mean":
        return (losses / lengths[1].reshape(-1).to(losses.dtype).clamp_min(1)).mean()
    return losses.sum() if reduction == "sum" else losses.squeeze(0) if single else losses


def _lengths(lengths):
    if isinstance(lengths, corten.Tensor):
        lengths = lengths.reshape(-1).tolist()
    return [int(length) for length in lengths]


def _padded_targets(targets, target_lengths, device):
    """Targets as ``(N, S)`` int64, from a padded matrix or from the concatenation of all targets."""
    targets = targets.to(device=device, dtype=corten.int64)
    longest = max(target_lengths, default=0)
    if targets.dim() == 2:
        if targets.shape[0] != len(target_lengths):
            raise RuntimeError(
                f"Expected tensor to have size {len(target_lengths)} at dimension 0, but got size "
                f"{targets.shape[0]} for argument #2 'targets'"
            )
        if targets.shape[1] < longest:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size {targets.shape[1]} "
                "for argument #2 'targets'"
            )
        return targets[:, :longest]
    if targets.dim() != 1:
        raise RuntimeError(f"targets should be 1-D or 2-D but have {targets.dim()} dimensions")
    if targets.shape[0] != sum(target_lengths):
        raise RuntimeError(
            f"Expected tensor to have size {sum(target_lengths)} at dimension 0, but got size {targets.shape[0]} "
            "for argument #2 'targets'"
        )
    rows, start = [], 0
    for length in target_lengths:
        padding = corten.zeros(longest - length, dtype=corten.int64, device=device)
        rows.append(corten.cat([targets[start : start + length], padding]))
        start += length
    return corten.stack(rows)


def _negative_log_likelihood(log_probs, targets, input_lengths, target_lengths, blank):
    """Losses ``(N,)`` for log_probs ``(T, N, C)`` and padded targets ``(N, S)``; log(0) is _LOG_ZERO."""
    steps, batch, _ = log_probs.shape
    device = log_probs.device
    # Blanks before, between and after the labels: (N, 2 S + 1).
    before = corten.stack([corten.full_like(targets, blank), targets], 2).flatten(1)
    labels = corten.cat([before, corten.full((batch, 1), blank, dtype=corten.int64, device=device)], 1)
    # A label may be reached from two places back unless that is a blank or the same label.
    skips = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    first = corten.zeros((batch, min(2, labels.shape[1])), dtype=corten.bool, device=device)
    may_skip = corten.cat([first, skips], 1)
    emitted = log_probs.gather(2, labels.unsqueeze(0).expand(steps, -1, -1))

    positions = corten.arange(labels.shape[1], device=device)
    log_zero = log_probs.new_full((), _LOG_ZERO)
    pad = log_probs.new_full((batch, 2), _LOG_ZERO)
    # Before the first step all mass is at a virtual place from which places 0 and 1 are reached.
    alpha = corten.where(positions == 0, log_probs.new_zeros(()), log_zero).expand(batch, -1)
    lengths = corten.tensor(input_lengths, device=device).unsqueeze(1)
    for step in range(steps):
        previous = corten.cat([pad, alpha], 1)
        reached = corten.logaddexp(alpha, previous[:, 1:-1])
        if step == 0:
            moved = corten.where(positions <= 1, log_probs.new_zeros(()), log_zero).expand(batch, -1)
        else:
            skipped = corten.where(may_skip, previous[:, :-2], log_zero)
            moved = corten.logaddexp(reached, skipped)
        alpha = corten.where(step < lengths, moved + emitted[step], alpha)

    ends = corten.tensor(target_lengths, device=device).unsqueeze(1) * 2
    last = alpha.gather(1, ends).squeeze(1)
    before = alpha.gather(1, (ends - 1).clamp_min(0)).squeeze(1)
    empty = ends.squeeze(1) == 0
    return -corten.where(empty, last, corten.logaddexp(last, before))


def _with_softmax_gradient(loss, impossible, log_probs, input_lengths, zero_infinity):
    """The loss with the gradient that counts every step's probabilities as normalized.

    The derivative by ``log_probs`` alone is minus the posterior of each class. Added to it is the class's probability:
    the gradient by the scores below a log-softmax, which passes it unchanged. Infinite losses have the gradient NaN.
    """
    steps = corten.arange(log_probs.shape[0], device=log_probs.device).unsqueeze(1)
    used = (steps < corten.tensor(input_lengths, device=log_probs.device)).unsqueeze(2)
    mass = corten.where(used, log_probs.exp(), 0.0).sum((0, 2))
    # Of value 0: only its gradient counts.
    gradient = (mass - mass.detach()).nan_to_num(0.0)
    loss = loss + gradient
    if zero_infinity:
        return corten.where(impossible, 0.0, loss)
    # The root's derivative at 0 is infinite, and its product with 0 undefined.
    undefined = corten.where(impossible, gradient, 1.0).sqrt() * 0.0
    return corten.where(impossible, float("inf"), loss) + undefined


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """Negative log probability of label sequences, summed over all alignments.

    Args:
        log_probs: ``(T, N, C)`` or ``(T, C)``, logarithms of class probabilities.
        targets: labels ``(N, S)``, or all sequences one after the other.
        input_lengths: steps of each sample.
        target_lengths: labels of each sample.
        blank: the class that stands for no label.
        reduction: ``"mean"`` divides each loss by its target length first.
        zero_infinity: losses of targets that do not fit, and their gradients, count as zero.
    """
    if taken.over and takes_over(log_probs, targets, input_lengths, target_lengths):
        return hand_over(ctc_loss, locals(), log_probs, targets, input_lengths, target_lengths)
    code = _Reduction.get_enum(reduction)
    if any(hasattr(lengths, "_run_backward") for lengths in (input_lengths, target_lengths)):
        return _of_examples(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)
    if not log_probs.is_floating_point() or log_probs.dtype in (corten.float16, corten.bfloat16):
        raise NotImplementedError(f'"ctc_loss" not implemented for {log_probs.dtype}')
    batched = log_probs.dim() == 3
    if not batched:
        if log_probs.dim() != 2:
            raise RuntimeError(f"log_probs should be (T, N, C) or (T, C) but has {log_probs.dim()} dimensions")
        log_probs = log_probs.unsqueeze(1)
        targets = targets.reshape(1, -1) if targets.dim() == 1 else targets
    steps, batch, classes = log_probs.shape
    input_lengths, target_lengths = _lengths(input_lengths), _lengths(target_lengths)
    _check_lengths(input_lengths, target_lengths, blank, steps, batch, classes)
    targets = _padded_targets(targets, target_lengths, log_probs.device)
    loss = _negative_log_likelihood(log_probs, targets, input_lengths, target_lengths, blank)
    loss = _with_softmax_gradient(loss, loss > -_LOG_ZERO / 2, log_probs, input_lengths, zero_infinity)
    if code == 1:
        divisors = corten.tensor(target_lengths, device=loss.device, dtype=loss.dtype).clamp_min(1)
        return (loss / divisors).mean()
    if code == 0 and not batched:
        return loss.squeeze(0)
    return _Reduction.reduce_loss(loss, code)
