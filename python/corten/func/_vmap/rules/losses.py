"""Losses: elements first, then the mean or the sum of each example."""

import corten

from ..dispatch import rule
from .elementwise import aligned

_NONE, _MEAN, _SUM = 0, 1, 2


def _reduced(losses, reduction):
    return losses if reduction == _NONE else losses.mean() if reduction == _MEAN else losses.sum()


@rule("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "binary_cross_entropy")
def elementwise_loss(call):
    given = aligned(call)
    if call.name == "binary_cross_entropy":
        level = call.level
        given["target"] = given["target"].expand(given["self"].shape) if level.holds(call.first) else given["target"]
        if not level.holds(call.first):
            given["self"] = level.physical(call.first)
        elif not level.holds(call.given["target"]):
            given["target"] = level.physical(call.given["target"])
    return _reduced(call.level.wrap(call.run(**given, reduction=_NONE)), call.get("reduction"))


@rule("binary_cross_entropy_with_logits")
def with_logits(call):
    x, target = call.first, call.given["target"]
    weight, positive = call.given.get("weight"), call.given.get("pos_weight")
    below = corten.nn.functional.logsigmoid
    factor = 1 if positive is None else 1 + (positive - 1) * target
    losses = (1 - target) * x - factor * below(x)
    losses = losses if weight is None else losses * weight
    return _reduced(losses, call.get("reduction"))


@rule("cross_entropy_loss", "nll_loss", "nll_loss2d", "nll_loss_nd")
def of_classes(call):
    """Losses of ``(N, C, ...)`` or ``(C,)`` beside classes ``(N, ...)``, or beside probabilities of all classes."""
    x, target, weight = call.first, call.given["target"], call.given.get("weight")
    apart = weight if call.level.holds(weight) else None
    if apart is not None and (call.get("label_smoothing", 0.0) or target.is_floating_point()):
        return _of_probabilities(call, x, target, weight)
    if x.dim() == 1:
        x, target, single = x.unsqueeze(0), target.unsqueeze(0), True
    else:
        single = False
    level, reduction = call.level, call.get("reduction")
    rows, classes = (level.physical(t).flatten(0, 1) for t in (x, target))
    given = {} if apart is None else {"weight": None}
    losses = call.run(self=rows, target=classes, reduction=_NONE, **given).unflatten(0, (level.size, x.shape[0]))
    losses = level.wrap(losses)
    if apart is not None:
        losses = losses * apart[_counted(target, call.get("ignore_index"))]
    if reduction == _NONE:
        return losses.squeeze(0) if single else losses
    if reduction == _SUM:
        return losses.sum()
    if target.is_floating_point():
        return losses.sum() / (x.numel() // x.shape[1])
    return losses.sum() / _weight_of(target, weight, call.get("ignore_index"), x.dtype)


def _of_probabilities(call, x, target, weight):
    """Losses beside probabilities of all classes, or smooth labels, with class weights of each example."""
    classes = 0 if x.dim() == 1 else 1
    shape = (-1, *(1,) * (x.dim() - 1 - classes))
    smoothing, count = call.get("label_smoothing", 0.0), x.shape[classes]
    losses = -corten.log_softmax(x, classes) * weight.reshape(shape)
    if target.is_floating_point():
        losses = (losses * (target * (1 - smoothing) + smoothing / count)).sum(classes)
        total = losses.numel()
    else:
        ignored = call.get("ignore_index")
        counted, counts = _counted(target, ignored), target != ignored
        chosen = losses.gather(classes, counted.unsqueeze(classes)).squeeze(classes)
        losses = (chosen * (1 - smoothing) + losses.sum(classes) * (smoothing / count)) * counts
        total = _weight_of(target, weight, ignored, x.dtype)
    reduction = call.get("reduction")
    return losses if reduction == _NONE else losses.sum() if reduction == _SUM else losses.sum() / total


def _weight_of(target, weight, ignored, dtype):
    """The sum of the weights of all classes that count."""
    counts = target != ignored
    if weight is None:
        return counts.sum().to(dtype)
    return (weight[_counted(target, ignored)] * counts).sum()


def _counted(target, ignored):
    """The classes, 0 where they do not count."""
    return target.where(target != ignored, corten.zeros_like(target))
