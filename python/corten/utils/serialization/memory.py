"""Tensors on the bytes of files that give dtype and shape: what the readers of safetensors and numpy share."""

import corten


def contiguous_stride(shape):
    """The strides of a contiguous tensor, in elements."""
    stride = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        stride[axis] = stride[axis + 1] * max(1, shape[axis + 1])
    return tuple(stride)


def tensor_of(data, dtype, shape, stride, *, swap=False, share=False):
    """A tensor with the numbers that ``data``, a buffer of exactly its bytes, holds.

    Args:
        swap: reverse the bytes of every number.
        share: use the memory of ``data`` itself, unless its address or its byte order asks for a copy.
    """
    if swap:
        data, share = swapped(data, dtype), False
    if share and len(data):
        flat = corten.frombuffer(data, dtype=corten.uint8)
        if flat.data_ptr() % dtype.itemsize == 0:
            return corten._core.alias_tensor(flat, dtype, 0, shape, stride)
    return corten._core.tensor_from_bytes(data, dtype, 0, shape, stride)


def swapped(data, dtype):
    """The bytes with those of every number reversed, for files of machines with the other byte order."""
    import numpy

    width = dtype.itemsize // (2 if dtype.is_complex else 1)
    return data if width == 1 else numpy.frombuffer(data, dtype=f"u{width}").byteswap().tobytes()


def placed(tensor, device):
    """The tensor on a device; None leaves it where it is."""
    return tensor if device is None else tensor.to(device)
