"""Losses of classification and regression; distance and ranking losses are in ranking.py, CTC in ctc.py."""

import math
import warnings

import corten

from ... import _ops
from ..._composites._common import everywhere
from ...overrides import hand_over, taken, takes_over
from .. import _reduction as _Reduction


def _warn_on_size_mismatch(input, target):
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


def _weighted(losses, weight, input, code):
    """Weights elementwise ``losses``; the mean is then over the sum of the weights."""
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    losses = losses * weight
    if code == 1:
        return losses.sum() / weight.sum()
    return _Reduction.reduce_loss(losses, code)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """Mean of ``|input - target|``, optionally weighted elementwise."""
    if taken.over and takes_over(input, target, weight):
        return hand_over(l1_loss, locals(), input, target, weight)
    _warn_on_size_mismatch(input, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    input, target = corten.broadcast_tensors(input, target)
    if weight is not None:
        return _weighted(_ops.l1_loss(input, target, 0), weight, input, code)
    return _ops.l1_loss(input, target, code)


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """Mean of ``(input - target)²``, optionally weighted elementwise."""
    if taken.over and takes_over(input, target, weight):
        return hand_over(mse_loss, locals(), input, target, weight)
    _warn_on_size_mismatch(input, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    input, target = corten.broadcast_tensors(input, target)
    if weight is not None:
        return _weighted(_ops.mse_loss(input, target, 0), weight, input, code)
    return _ops.mse_loss(input, target, code)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """``0.5 d² / beta`` where ``d = |input - target| < beta``, else ``d - 0.5 beta`` (Girshick 2015)."""
    if taken.over and takes_over(input, target):
        return hand_over(smooth_l1_loss, locals(), input, target)
    _warn_on_size_mismatch(input, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    input, target = corten.broadcast_tensors(input, target)
    if beta == 0:
        return _ops.l1_loss(input, target, code)
    return _ops.smooth_l1_loss(input, target, code, beta)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """``0.5 d²`` where ``d = |input - target| <= delta``, else ``delta (d - 0.5 delta)`` (Huber 1964)."""
    if taken.over and takes_over(input, target, weight):
        return hand_over(huber_loss, locals(), input, target, weight)
    _warn_on_size_mismatch(input, target)
    code = _Reduction.get_enum(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = corten.broadcast_tensors(input, target)
    if weight is not None:
        # Unlike those of the other weighted losses, the mean is over the number of elements.
        if weight.shape != input.shape:
            raise ValueError("Weights and input must have the same size.")
        return _Reduction.reduce_loss(_ops.huber_loss(input, target, 0, delta) * weight, code)
    return _ops.huber_loss(input, target, code, delta)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """Negative log likelihood of the target classes under log-probabilities ``(N, C, *)``.

    Args:
        input: log-probabilities ``(N, C, *)`` or ``(C,)``.
        target: classes ``(N, *)`` or ``()``.
        weight: a factor per class ``(C,)``; the mean is then over the targets' weights.
        ignore_index: targets of this value count for nothing.
    """
    if taken.over and takes_over(input, target, weight):
        return hand_over(nll_loss, locals(), input, target, weight)
    code = _Reduction.resolve(size_average, reduce, reduction)
    return _ops.nll_loss_nd(input, target, weight, code, ignore_index)


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """Cross entropy between logits and target classes or probabilities.

    Args:
        input: logits ``(N, C, *)`` or ``(C,)``.
        target: classes ``(N, *)``, or probabilities of the shape of ``input``.
        weight: a factor per class ``(C,)``.
        ignore_index: target classes of this value count for nothing.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1].
    """
    if taken.over and takes_over(input, target, weight):
        return hand_over(cross_entropy, locals(), input, target, weight)
    code = _Reduction.resolve(size_average, reduce, reduction)
    return _ops.cross_entropy_loss(input, target, weight, code, ignore_index, label_smoothing)


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """Cross entropy of the logits ``linear(input, linear_weight, linear_bias)``, classes in dimension 1 or last.

    Args:
        input: features ``(N, in_features)`` or ``(in_features,)``.
        linear_weight: ``(C, in_features)``, or ``(C, d1, …, dK, in_features)`` for features in batches.
        target: classes or probabilities, as in :func:`cross_entropy`.
        linear_bias: ``(C,)``, or ``(C, d1, …, dK)``.
        options: with them half types are computed in float32; the result does not depend on them otherwise.

    Raises:
        RuntimeError: for features or weights of other ranks, or sizes that do not agree.
    """
    if taken.over and takes_over(input, linear_weight, target, linear_bias, weight):
        return hand_over(linear_cross_entropy, locals(), input, linear_weight, target, linear_bias, weight)
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    if linear_weight.dim() > 2 and input.dim() == 1:
        raise RuntimeError("linear_cross_entropy: linear_weight with more than 2 dimensions needs input in a batch")
    bias = None if linear_bias is None else linear_bias.flatten()
    features, matrix, result = input, linear_weight.flatten(0, -2), input.dtype
    if options is not None and result in (corten.float16, corten.bfloat16):
        features, matrix = features.float(), matrix.float()
        bias = None if bias is None else bias.float()
        weight = None if weight is None else weight.float()
        target = target.float() if target.is_floating_point() else target
    logits = _ops.linear(features, matrix, bias)
    if linear_weight.dim() > 2:
        logits = logits.unflatten(1, linear_weight.shape[:-1])
    if ignore_index is None:
        ignore_index = -100
    loss = cross_entropy(
        logits,
        target,
        weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
    return loss.to(result)


def poisson_nll_loss(
    input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):
    """Negative log likelihood of counts under a Poisson distribution with (log) rate ``input``.

    Args:
        log_input: ``input`` is the logarithm of the rate.
        full: add Stirling's approximation of ``log(target!)`` where the target exceeds 1.
        eps: keeps ``log(input + eps)`` finite when ``log_input`` is False.
    """
    if taken.over and takes_over(input, target):
        return hand_over(poisson_nll_loss, locals(), input, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if log_input:
        loss = input.exp() - target * input
    else:
        loss = input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return _Reduction.reduce_loss(loss, code)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """Negative log likelihood of ``target`` under normal distributions of mean ``input`` and variance ``var``.

    Args:
        var: variances of the input's shape, or with a last dimension of 1 or missing, or one number.
        full: add the constant ``log(2π) / 2``.
        eps: lower bound of the variance, which receives the gradient unclamped.
    """
    if taken.over and takes_over(input, target, var):
        return hand_over(gaussian_nll_loss, locals(), input, target, var)
    if not isinstance(var, corten.Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * corten.ones_like(input)
    elif not everywhere(~(var < 0)):
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif not (input.shape[:-1] == var.shape[:-1] and var.shape[-1] == 1) and not (
            input.dim() == var.dim()
            and sum(a != b for a, b in zip(input.shape, var.shape, strict=True)) == 1
            and all(a == b or b == 1 for a, b in zip(input.shape, var.shape, strict=True))
        ):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = var.clone()
    with corten.no_grad():
        var.clamp_(min=eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _Reduction.reduce_loss(loss, _Reduction.get_enum(reduction))


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """Kullback-Leibler divergence of ``target`` from log-probabilities ``input``: ``target (log target - input)``.

    ``reduction="batchmean"`` divides the sum by the batch size, which is the divergence's definition.
    """
    if taken.over and takes_over(input, target):
        return hand_over(kl_div, locals(), input, target)
    if size_average is not None or reduce is not None:
        code = _Reduction.get_enum(_Reduction.legacy_get_string(size_average, reduce))
    else:
        if reduction == "mean":
            warnings.warn(
                "reduction: 'mean' divides the total loss by both the batch size and the support size."
                "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
                "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
                stacklevel=2,
            )
        code = _Reduction.get_enum("sum" if reduction == "batchmean" else reduction)
    loss = _ops.kl_div(input, target, code, log_target)
    if reduction == "batchmean" and input.dim() != 0:
        loss = loss / input.shape[0]
    return loss


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """``-(y log x + (1 - y) log(1 - x))`` for probabilities ``input`` and ``target``; logarithms count >= -100."""
    if taken.over and takes_over(input, target, weight):
        return hand_over(binary_cross_entropy, locals(), input, target, weight)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is "
            "deprecated. Please ensure they have the same size."
        )
    if weight is not None:
        weight = weight.expand(corten.broadcast_shapes(target.shape, weight.shape))
    return _ops.binary_cross_entropy(input, target, weight, code)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """Binary cross entropy of ``sigmoid(input)``, computed without overflow.

    Args:
        weight: factors that broadcast to the loss.
        pos_weight: factors of the positive term, broadcast to ``target``.
    """
    if taken.over and takes_over(input, target, weight, pos_weight):
        return hand_over(binary_cross_entropy_with_logits, locals(), input, target, weight, pos_weight)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    return _ops.binary_cross_entropy_with_logits(input, target, weight, pos_weight, code)


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """Mean of ``log(1 + exp(-target * input))`` for targets of ±1."""
    if taken.over and takes_over(input, target):
        return hand_over(soft_margin_loss, locals(), input, target)
    code = _Reduction.resolve(size_average, reduce, reduction)
    if target.requires_grad:
        raise RuntimeError(
            "The function 'soft_margin_loss' is not differentiable with respect to argument 'target'. This input "
            "cannot have requires_grad True."
        )
    return _Reduction.reduce_loss((-target * input).exp().log1p(), code)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """Mean over the classes of ``(N, C)`` of the binary cross entropy of ``sigmoid(input)``."""
    if taken.over and takes_over(input, target, weight):
        return hand_over(multilabel_soft_margin_loss, locals(), input, target, weight)
    code = _Reduction.resolve(size_average, reduce, reduction)
    loss = -(target * _ops.logsigmoid(input) + (1 - target) * _ops.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _Reduction.reduce_loss(loss.mean(-1), code)
