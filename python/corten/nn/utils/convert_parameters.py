"""Parameters as one vector, and back."""

import corten


def _check_device(param, device):
    current = param.device
    if device is not None and current != device:
        raise TypeError(
            f"Found two parameters on different devices, this is currently not supported: {device} and {current}"
        )
    return current


def parameters_to_vector(parameters):
    """Returns all parameters, flattened and concatenated, as one vector that gradients flow through."""
    device, parts = None, []
    for param in parameters:
        device = _check_device(param, device)
        parts.append(param.reshape(-1))
    return corten.cat(parts)


def vector_to_parameters(vec, parameters):
    """Makes consecutive slices of ``vec`` the parameters' values.

    Raises:
        TypeError: ``vec`` is not a tensor.
    """
    if not isinstance(vec, corten.Tensor):
        raise TypeError(f"expected corten.Tensor, but got: {corten.typename(vec)}")
    device, start = None, 0
    for param in parameters:
        device = _check_device(param, device)
        count = param.numel()
        param.data = vec[start : start + count].view_as(param).data
        start += count
