"""Tensors as memory that MPI reads and writes: numpy arrays of their elements in order."""

import corten

# numpy has no bfloat16; its bits travel as integers.
_BITS = {corten.bfloat16: corten.int16}
_HALVES = (corten.float16, corten.bfloat16)


def numpy_dtype(dtype):
    """The dtype of the arrays that carry tensors of ``dtype``."""
    return corten.empty(0, dtype=_BITS.get(dtype, dtype), device="cpu").numpy().dtype


def taken(tensor):
    """A copy of the elements, a flat array. A copy, because memory that numpy sees is no longer fused over."""
    with corten.no_grad():
        flat = tensor.detach().reshape(-1)
        flat = flat.clone() if flat.device.type == "cpu" else flat.cpu()
        return (flat.view(_BITS[flat.dtype]) if flat.dtype in _BITS else flat).numpy()


def taken_to_reduce(tensor):
    """A copy of the elements to add up: halves in float32, in which sums are rounded once."""
    return taken(tensor.detach().float()) if tensor.dtype in _HALVES else taken(tensor)


def space(count, dtype):
    """A flat array for ``count`` elements of ``dtype`` to arrive in."""
    import numpy as np

    return np.empty(count, numpy_dtype(dtype))


def put(tensor, array):
    """Writes the elements of a flat array, in order, into a tensor of any strides, on any device."""
    with corten.no_grad():
        source = corten.from_numpy(array)
        if tensor.dtype in _BITS and source.dtype == _BITS[tensor.dtype]:
            source = source.view(tensor.dtype)
        tensor.detach().copy_(source.view(tensor.shape))


def as_bytes(array):
    """The same memory as bytes, for operations that only move it."""
    return array.view("uint8")
