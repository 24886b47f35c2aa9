"""Limiting gradients by their common norm or by value."""

import warnings

import corten


def _as_list(tensors):
    if isinstance(tensors, corten.Tensor):
        return [tensors]
    return list(tensors)


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Returns the norm of the vector of the tensors' norms, as a 0-d tensor.

    Args:
        tensors: one tensor or several.
        norm_type: the order of the norm; ``inf`` for the greatest absolute value.
        error_if_nonfinite: raise RuntimeError when the result is infinite or NaN.
        foreach: accepted; the tensors are always taken together.
    """
    tensors = _as_list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return corten.tensor(0.0)
    device = tensors[0].device
    norms = [corten.linalg.vector_norm(tensor, norm_type).to(device) for tensor in tensors]
    total = corten.linalg.vector_norm(corten.stack(norms), norm_type)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Scales the gradients in place by ``max_norm / total_norm`` where that is below 1."""
    grads = [param.grad for param in _as_list(parameters) if param.grad is not None]
    if not grads:
        return
    with corten.no_grad():
        # Multiplying by a factor clamped to 1 avoids reading the norm.
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.to(grad.device))


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scales all gradients in place so that their common norm is at most ``max_norm``; returns the norm before.

    Args:
        parameters: the parameters, or one of them.
        max_norm: the greatest norm allowed.
        norm_type, error_if_nonfinite, foreach: as in :func:`get_total_norm`.
    """
    parameters = _as_list(parameters)
    with corten.no_grad():
        grads = [param.grad for param in parameters if param.grad is not None]
        total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_norm(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Old name of :func:`clip_grad_norm_`."""
    warnings.warn(
        "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters, clip_value, foreach=None):
    """Clamps all gradients in place to ``[-clip_value, clip_value]``."""
    clip_value = float(clip_value)
    with corten.no_grad():
        for param in _as_list(parameters):
            if param.grad is not None:
                param.grad.clamp_(min=-clip_value, max=clip_value)
