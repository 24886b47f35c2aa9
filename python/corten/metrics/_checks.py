"""What metrics ask of their arguments, and the dtype they compute in."""

import warnings

import corten


def check_tensors(name, **tensors):
    """Raises TypeError unless all are tensors, and ValueError where they lie on several devices."""
    for argument, value in tensors.items():
        if not isinstance(value, corten.Tensor):
            raise TypeError(f"{name}: {argument} must be a Tensor, got {type(value).__name__}")
    devices = {str(value.device) for value in tensors.values()}
    if len(devices) > 1:
        raise ValueError(f"{name}: arguments lie on one device, got {', '.join(sorted(devices))}")


def check_not_empty(name, tensor):
    if tensor.numel() == 0:
        raise ValueError(f"{name}: needs at least one sample, got a tensor of shape {tuple(tensor.shape)}")


def check_same_shape(name, preds, target):
    if preds.shape != target.shape:
        raise ValueError(f"{name}: preds and target have one shape, got {tuple(preds.shape)} and {tuple(target.shape)}")


def check_finite(name, **tensors):
    """Raises ValueError where a floating tensor has a NaN or an infinity."""
    for argument, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{name}: {argument} contains NaN or infinity")


def check_probabilities(name, preds):
    check_finite(name, preds=preds)
    if not preds.is_floating_point():
        raise TypeError(f"{name}: preds are probabilities in a floating dtype, got {preds.dtype}")
    if preds.numel() and bool(((preds < 0) | (preds > 1)).any()):
        raise ValueError(f"{name}: preds are probabilities from 0 to 1; apply sigmoid or softmax to logits first")


def check_labels(name, labels, argument="target"):
    """Raises TypeError unless the labels are whole numbers or bools."""
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"{name}: {argument} holds labels of an integer dtype or bools, got {labels.dtype}")


def check_binary(name, target):
    check_labels(name, target)
    if target.dtype != corten.bool and bool(((target != 0) & (target != 1)).any()):
        raise ValueError(f"{name}: target holds 0 and 1 alone")


def check_choice(name, argument, value, choices):
    if value not in choices:
        raise ValueError(f"{name}: {argument} is one of {', '.join(map(repr, choices))}, got {value!r}")


def weights_like(name, sample_weight, like):
    """The sample weights ``(N,)`` in the wide dtype, None where none were given."""
    if sample_weight is None:
        return None
    check_tensors(name, sample_weight=sample_weight, preds=like)
    if tuple(sample_weight.shape) != (len(like),):
        raise ValueError(f"{name}: sample_weight has shape (N,), here ({len(like)},), got {tuple(sample_weight.shape)}")
    check_finite(name, sample_weight=sample_weight)
    return wide(sample_weight)


def wide(tensor):
    """float64 on the CPU, float32 on GPUs, which have no float64."""
    return tensor.to(corten.float64 if tensor.device.type == "cpu" else corten.float32)


def ratio(numerator, denominator, otherwise=0.0):
    """The quotient in the wide dtype, ``otherwise`` where the denominator is 0."""
    numerator, denominator = wide(numerator), wide(denominator)
    empty = denominator == 0
    return (numerator / denominator.masked_fill(empty, 1)).masked_fill(empty, otherwise)


def mean(values, sample_weight=None):
    """The mean over the first dim, by weights ``(N,)`` if they are given."""
    if sample_weight is None:
        return values.mean(0)
    shape = (-1,) + (1,) * (values.dim() - 1)
    return (values * sample_weight.reshape(shape)).sum(0) / sample_weight.sum()


def undefined(name, why, result):
    """Warns that a metric has no value here, and tells what is returned in its place."""
    warnings.warn(f"{name}: {why}; the result is {result}", UserWarning, stacklevel=4)
