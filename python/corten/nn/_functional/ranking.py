"""Losses that compare classes, pairs or triplets by a margin."""

import corten

from ..._composites._common import everywhere
from ...overrides import hand_over, taken, takes_over
from .. import _reduction as _Reduction
from .distance import pairwise_distance


def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""
    if taken.over and takes_over(input, target):
        return hand_over(hinge_embedding_loss, locals(), input, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    zeros = corten.zeros_like(input)
    negative = corten.where(target != 1, (margin - input).clamp_min(0), zeros)
    positive = corten.where(target != -1, input, zeros)
    return _Reduction.reduce_loss(negative + positive, code)


def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """``1 - cos`` of the pairs whose target is 1, ``max(0, cos - margin)`` of those with -1.

    Shape: inputs ``(N, D)`` or ``(D,)``, target ``(N,)`` or ``()``.
    """
    if taken.over and takes_over(input1, input2, target):
        return hand_over(cosine_embedding_loss, locals(), input1, input2, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if target.dim() > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        expected = f"{target.dim() + 1}D"
        raise RuntimeError(
            f"{target.dim()}D target tensor expects {expected} input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    dim = target.dim()
    eps = 1e-12
    squares1 = (input1 * input1).sum(dim) + eps
    squares2 = (input2 * input2).sum(dim) + eps
    cos = (input1 * input2).sum(dim) / (squares1 * squares2).sqrt()
    zeros = corten.zeros_like(cos)
    positive = corten.where(target == 1, 1 - cos, zeros)
    negative = corten.where(target == -1, (cos - margin).clamp_min(0), zeros)
    return _Reduction.reduce_loss(positive + negative, code)


def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """``max(0, margin - target (input1 - input2))`` for targets of ±1."""
    if taken.over and takes_over(input1, input2, target):
        return hand_over(margin_ranking_loss, locals(), input1, input2, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return _Reduction.reduce_loss((-target * (input1 - input2) + float(margin)).clamp_min(0), code)


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    """``sum_{i != y} max(0, margin - x[y] + x[i])^p / C`` for scores ``(N, C)`` and classes ``(N,)``.

    Args:
        p: the power, 1 or 2.
        weight: a factor per class ``(C,)``.
    """
    if taken.over and takes_over(input, target, weight):
        return hand_over(multi_margin_loss, locals(), input, target, weight)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    if input.dim() > 2 or (input.numel() == 0 and (input.dim() < 2 or input.shape[1] == 0)):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )
    scores = input if input.dim() == 2 else input.reshape(1, -1)
    samples, classes = scores.shape
    if target.dim() > 1 or target.numel() != samples:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{samples}], but got {list(target.shape)}. Input has shape "
            f"{list(input.shape)}."
        )
    if target.dtype != corten.int64:
        raise RuntimeError(f"multi_margin_loss: expected target of dtype {corten.int64} but got {target.dtype}")
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    index = target.reshape(-1, 1)
    if not everywhere((index >= 0) & (index < classes)):
        raise RuntimeError("target out of range")
    violation = (margin - scores.gather(1, index) + scores).clamp_min(0)
    if p == 2:
        violation = violation * violation
    if weight is not None:
        violation = violation * weight[index]
    others = corten.arange(classes, device=input.device) != index
    loss = corten.where(others, violation, corten.zeros_like(violation)).sum(1) / classes
    if code == 0 and target.dim() == 0:
        return loss.reshape(())
    return _Reduction.reduce_loss(loss, code)


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """``sum_{j, i} max(0, 1 - (x[y_j] - x[i])) / C`` over targets ``y_j`` and all non-target classes ``i``.

    Shape: scores ``(N, C)`` or ``(C,)``; targets of the same shape hold class indices up to the first ``-1``.
    """
    if taken.over and takes_over(input, target):
        return hand_over(multilabel_margin_loss, locals(), input, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if input.dim() > 2:
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )
    if target.numel() != input.numel() or (input.dim() == 2 and target.shape != input.shape):
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    if target.dtype != corten.int64:
        raise RuntimeError(f"multilabel_margin_loss: expected target of dtype {corten.int64} but got {target.dtype}")
    scores = input if input.dim() == 2 else input.reshape(1, -1)
    labels = target.reshape(scores.shape)
    classes = scores.shape[1]
    if not everywhere((labels >= -1) & (labels < classes)):
        raise RuntimeError("argument #2 'target' is out of range")
    listed = (labels >= 0).to(corten.int64).cumprod(1)
    labels = labels * listed
    is_target = corten.zeros_like(labels).scatter_add(1, labels, listed) > 0
    # (N, target j, class i)
    violation = (1 - scores.gather(1, labels).unsqueeze(2) + scores.unsqueeze(1)).clamp_min(0)
    counted = (listed > 0).unsqueeze(2) & ~is_target.unsqueeze(1)
    loss = corten.where(counted, violation, corten.zeros_like(violation)).sum((1, 2)) / classes
    if code == 0 and input.dim() < 2:
        return loss.reshape(())
    return _Reduction.reduce_loss(loss, code)


def _check_triplet(anchor, positive, negative, margin):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )


def _triplet(distance, anchor, positive, negative, margin, swap, code):
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = corten.minimum(far, distance(positive, negative))
    return _Reduction.reduce_loss((margin + near - far).clamp_min(0), code)


def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin=1.0,
    p=2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))`` with the ``p``-norm distance.

    Args:
        swap: use the smaller of the negative's distances to anchor and positive (Balntas et al. 2016).
    """
    if taken.over and takes_over(anchor, positive, negative):
        return hand_over(triplet_margin_loss, locals(), anchor, positive, negative)
    code = _Reduction.resolve(size_average, reduce, reduction)
    _check_triplet(anchor, positive, negative, margin)
    return _triplet(lambda a, b: pairwise_distance(a, b, p, eps), anchor, positive, negative, margin, swap, code)


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """As :func:`triplet_margin_loss` with any ``distance_function(a, b)``; the default is the 2-norm distance."""
    if taken.over and takes_over(anchor, positive, negative):
        return hand_over(triplet_margin_with_distance_loss, locals(), anchor, positive, negative)
    code = _Reduction.get_enum(reduction)
    _check_triplet(anchor, positive, negative, margin)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(distance, anchor, positive, negative, margin, swap, code)
