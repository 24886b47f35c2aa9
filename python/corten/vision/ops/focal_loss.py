"""The focal loss of dense detection."""

import corten

__all__ = ["sigmoid_focal_loss"]


def reduced(loss, reduction, empty=None):
    """The loss by its reduction; ``empty`` stands in for the mean of no element."""
    if reduction == "none":
        return loss
    if reduction == "mean":
        return empty if empty is not None and loss.numel() == 0 else loss.mean()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(
        f"Invalid Value for arg 'reduction': '{reduction} \n Supported reduction modes: 'none', 'mean', 'sum'"
    )


def sigmoid_focal_loss(inputs, targets, alpha=0.25, gamma=2, reduction="none"):
    """The focal loss (Lin et al. 2017) of logits against targets 0 and 1 of the same shape.

    Args:
        inputs: logits of any shape.
        targets: 0 or 1 for each, floating point.
        alpha: the weight of the positive class from 0 to 1, or -1 to weigh none.
        gamma: the exponent of what is missing to certainty.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Raises:
        ValueError: an ``alpha`` outside its range, or an unknown reduction.
    """
    if not (0 <= alpha <= 1) and alpha != -1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1] or -1 for ignore.")
    p = corten.sigmoid(inputs)
    loss = corten.nn.functional.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = loss * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return reduced(loss, reduction)
