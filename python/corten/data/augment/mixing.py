"""Mixup of batches of any kind: tables, series, embeddings; `vision.transforms.v2` has MixUp and CutMix of images."""

import corten

__all__ = ["mixup"]


def mixup(inputs, targets, alpha=0.2, num_classes=None, per_sample=True):
    """A batch whose samples are weighted means of two, and so are their targets (Zhang et al. 2018).

    Weights are drawn from a Beta distribution, partners by a permutation, both from the global generator.

    Args:
        inputs: ``(N, …)``, floating point.
        targets: ``(N,)`` integers with ``num_classes``, or floating point ``(N, …)``: probabilities, or what a
            regression learns.
        alpha: both parameters of the Beta distribution; near 0 leaves samples almost as they are.
        num_classes: of integer targets.
        per_sample: a weight for each sample, otherwise one for the batch.

    Returns:
        The inputs and targets, mixed; integer targets have become probabilities ``(N, num_classes)``, which
        ``nn.functional.cross_entropy`` takes as they are.

    Raises:
        ValueError: integer targets without ``num_classes``, other lengths, or an ``alpha`` that is not positive.
        TypeError: inputs that are not floating point.
    """
    if not inputs.is_floating_point():
        raise TypeError(f"mixup: inputs should be floating point, but got {inputs.dtype}")
    if len(inputs) != len(targets):
        raise ValueError(f"mixup: {len(inputs)} inputs and {len(targets)} targets do not belong together")
    if not alpha > 0:
        raise ValueError(f"mixup: alpha should be positive, but got {alpha}")
    if not targets.is_floating_point():
        if num_classes is None or targets.dim() != 1:
            raise ValueError("mixup: integer targets should be of shape (N,) and need num_classes")
        targets = corten.nn.functional.one_hot(targets.long(), num_classes).to(inputs.dtype)
    parameter = corten.tensor([float(alpha)], device="cpu")
    drawn = corten.distributions.Beta(parameter, parameter).sample((len(inputs) if per_sample else 1,)).flatten()
    partner = corten.randperm(len(inputs), device="cpu").to(inputs.device)

    def mixed(values):
        share = drawn.to(values.device, values.dtype).reshape(-1, *[1] * (values.dim() - 1))
        return share * values + (1 - share) * values[partner]

    return mixed(inputs), mixed(targets)
