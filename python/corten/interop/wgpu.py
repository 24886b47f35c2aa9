"""Tensors as buffers of wgpu-py, for drawing what a network computes and for shaders of one's own.

wgpu-py has devices of its own, so values go through host memory. It is the extra ``corten[wgpu]``, imported when a
function is called. In a buffer elements lie in row-major order without gaps: float32, float16 and int32 are WGSL's
``f32``, ``f16`` and ``i32``, int64 and float64 are two words each, bool is a byte, and bfloat16 is the upper half of an
``f32``.

Example::

    >>> import wgpu
    >>> device = wgpu.gpu.request_adapter_sync().request_device_sync()
    >>> buffer = corten.interop.wgpu.to_wgpu(corten.arange(6.0), device)
    >>> corten.interop.wgpu.from_wgpu(buffer, (2, 3), corten.float32)
    tensor([[0., 1., 2.],
            [3., 4., 5.]])
"""

import math

from .. import _core

__all__ = ["from_wgpu", "to_wgpu"]

# Copies between buffers and to the host are of whole words.
_WORD = 4


def _wgpu():
    try:
        import wgpu
    except ImportError as error:
        raise ImportError("corten.interop.wgpu needs the package wgpu: pip install 'corten[wgpu]'") from error
    return wgpu


def _check(value, kind, argument):
    if not isinstance(value, kind):
        raise TypeError(f"{argument} must be a wgpu.{kind.__name__}, not {type(value).__name__}")


def to_wgpu(tensor, device, *, usage=None, out=None):
    """
    Copy a tensor into a buffer of wgpu-py.

    Args:
        tensor: of any shape, dtype, strides and device; a graph of gradients is left behind.
        device: the ``wgpu.GPUDevice`` that owns the buffer.
        usage: ``wgpu.BufferUsage`` flags of a new buffer: storage, vertex, and copies to and from it without this.
        out: a buffer with ``COPY_DST`` that is written from its start instead of making a new one, once for each frame
            for example.

    Returns:
        The ``wgpu.GPUBuffer``; its size is that of the tensor rounded up to 4 bytes, and at least 4.

    Raises:
        ImportError: wgpu-py is not installed.
        TypeError: the device or the buffer is none of wgpu-py's.
        ValueError: ``out`` is too small or cannot be written.
    """
    wgpu = _wgpu()
    _check(device, wgpu.GPUDevice, "device")
    dense = tensor.detach().cpu().contiguous()
    start = dense.storage_offset() * dense.itemsize
    data = bytes(_core.storage_bytes(dense)[start : start + dense.nbytes])
    data += bytes(-len(data) % _WORD if data else _WORD)
    if out is None:
        kinds = wgpu.BufferUsage
        chosen = kinds.STORAGE | kinds.VERTEX | kinds.COPY_SRC | kinds.COPY_DST if usage is None else usage
        return device.create_buffer_with_data(data=data, usage=chosen)
    _check(out, wgpu.GPUBuffer, "out")
    if not out.usage & wgpu.BufferUsage.COPY_DST:
        raise ValueError("out cannot be written: it was made without wgpu.BufferUsage.COPY_DST")
    if out.size < len(data):
        raise ValueError(f"out has {out.size} bytes, but the tensor has {len(data)}")
    device.queue.write_buffer(out, 0, data)
    return out


def from_wgpu(buffer, shape, dtype, *, offset=0, device=None):
    """
    Copy a buffer of wgpu-py into a new tensor.

    Args:
        buffer: a ``wgpu.GPUBuffer`` with ``COPY_SRC``; work that was submitted for it before is waited for.
        shape: the tensor's sizes; elements lie in row-major order.
        dtype: the tensor's dtype.
        offset: where its first element lies, in bytes, a multiple of 4.
        device: the tensor's device; the CPU without it.

    Returns:
        The tensor.

    Raises:
        ImportError: wgpu-py is not installed.
        TypeError: the buffer is none of wgpu-py's.
        ValueError: the buffer ends before the tensor does, cannot be read, or the offset is no multiple of 4.
    """
    wgpu = _wgpu()
    _check(buffer, wgpu.GPUBuffer, "buffer")
    shape = [shape] if isinstance(shape, int) else list(shape)
    if any(size < 0 for size in shape):
        raise ValueError(f"shape has a negative size: {tuple(shape)}")
    if not buffer.usage & wgpu.BufferUsage.COPY_SRC:
        raise ValueError("the buffer cannot be read: it was made without wgpu.BufferUsage.COPY_SRC")
    if offset < 0 or offset % _WORD:
        raise ValueError(f"offset must be a multiple of {_WORD}, not {offset}")
    count = math.prod(shape) * dtype.itemsize
    if offset + count > buffer.size:
        raise ValueError(
            f"{tuple(shape)} of {dtype} from byte {offset} has {count} bytes, but the buffer has {buffer.size}"
        )
    data = b""
    if count:
        # A buffer knows its device by this name alone.
        queue = buffer._device.queue
        data = bytes(queue.read_buffer(buffer, offset, -(-count // _WORD) * _WORD))[:count]
    strides = [math.prod(shape[d + 1 :]) for d in range(len(shape))]
    tensor = _core.tensor_from_bytes(data, dtype, 0, shape, strides)
    return tensor if device is None else tensor.to(device)
