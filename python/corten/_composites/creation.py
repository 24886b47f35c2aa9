"""Tensors from memory, windows for signals, Vandermonde matrices."""

import math

from .. import _core
from ._common import Tensor, ops


def as_tensor(data, dtype=None, device=None):
    """The data as a tensor, without a copy where it is a tensor or array that fits already."""
    device = _core.chosen_device() if device is None else device
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if _is_array(data):
        return from_numpy(data).to(device=device, dtype=dtype)
    return _core.tensor(data, dtype=dtype, device=device)


def _is_array(data):
    # numpy is not imported to find out: an array can only exist once it was.
    import sys

    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(data, numpy.ndarray) and data.dtype.kind in "biuf"


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=None):
    """The object as a tensor: shares the memory of tensors, arrays, DLPack exporters and buffers where it can.

    Args:
        copy: True copies always, False raises where a copy is needed, None copies where it must.
        requires_grad: whether the result requires grad, None for what the object says; True keeps the history of a
            tensor, False leaves it off.

    Raises:
        ValueError: ``copy=False`` where a copy is needed.
    """
    shared = None
    device = _core.chosen_device() if device is None else device
    if isinstance(obj, Tensor):
        shared = obj
    elif _is_array(obj):
        shared = from_numpy(obj)
    elif type(obj).__module__ == "corten.storage":
        shared = obj._tensor
    elif hasattr(obj, "__dlpack__") or type(obj).__name__ == "PyCapsule":
        shared = from_dlpack(obj)
    elif not isinstance(obj, (list, tuple, str)) and _has_buffer(obj):
        shared = frombuffer(obj, dtype=dtype or _core.get_default_dtype())
    if shared is None:
        if copy is False:
            raise ValueError("asarray(): cannot share memory with the given object, but copy=False was given")
        found = _core.tensor(obj, dtype=dtype, device=device)
        return found.requires_grad_() if requires_grad else found
    moved = shared.to(device=device, dtype=dtype)
    if moved is not shared and copy is False:
        raise ValueError(
            f"can't alias tensor with dtype '{shared.dtype}' into dtype '{dtype}'"
            if dtype
            else "can't alias this object"
        )
    if copy and moved is shared:
        moved = shared.clone()
    if requires_grad is None or requires_grad == moved.requires_grad:
        return moved
    if requires_grad or moved.is_leaf:
        return moved.requires_grad_(requires_grad)
    return moved.detach()


def _has_buffer(obj):
    try:
        memoryview(obj).release()
    except (TypeError, BufferError):
        return False
    return True


def from_numpy(ndarray):
    """A tensor on the memory of an array: both see each other's changes."""
    flags = getattr(ndarray, "flags", None)
    if flags is not None and not flags.writeable:
        _warn_read_only("NumPy array")
    return _core.from_numpy(ndarray)


_warned: set[str] = set()


def _warn_read_only(kind):
    import warnings

    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(
            f"The given {kind} is not writable, and corten does not support non-writable tensors. This means writing to "  # noqa: E501
            f"this tensor will result in undefined behavior. You may want to copy the {kind} to protect its data or "
            "make it writable before converting it to a tensor.",
            stacklevel=3,
        )


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A vector on the memory of an object with the buffer protocol.

    Args:
        count: elements to take; -1 takes all that follow.
        offset: bytes to skip.

    Raises:
        ValueError: where the elements do not lie in the buffer.
    """
    try:
        memory = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    length, size = memory.nbytes, dtype.itemsize
    if length == 0 or count == 0:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} bytes) minus 1"
        )
    if count < 0:
        if (length - offset) % size:
            raise ValueError(
                f"buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a multiple of element "
                f"size ({size})"
            )
        count = (length - offset) // size
    if count * size > length - offset:
        raise ValueError(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater than "
            f"actual buffer length ({length} bytes)"
        )
    if memory.readonly:
        _warn_read_only("buffer")
    flat = _core.buffer_tensor(memory.cast("B"), dtype, offset, count)
    return flat.requires_grad_() if requires_grad else flat


def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor on the memory of another library's, or of a DLPack capsule."""
    if hasattr(ext_tensor, "__dlpack__"):
        if hasattr(ext_tensor, "__dlpack_device__"):
            kind = int(ext_tensor.__dlpack_device__()[0])
            if kind != 1:
                raise BufferError(
                    f"from_dlpack: tensors of DLPack device type {kind} are not supported, only the CPU's (1)"
                )
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0))
        except TypeError:  # written for the interface's first version
            capsule = ext_tensor.__dlpack__()
        found = _core.from_dlpack_capsule(capsule)
    else:
        found = _core.from_dlpack_capsule(ext_tensor)
    found = found if device is None else found.to(device)
    return found.clone() if copy else found


def to_dlpack(tensor):
    """The tensor as a DLPack capsule on the same memory."""
    return _core.to_dlpack(tensor)


def range(start=0, end=None, step=1, **options):
    """`arange` with the end included (deprecated in PyTorch)."""
    import warnings

    if end is None:
        start, end = 0, start
    warnings.warn(
        "corten.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use corten.arange, which produces values in [start, end).",
        stacklevel=2,
    )
    return ops._range(start, end, step, **options)


def vander(x, N=None, increasing=False):
    """Powers of a vector's elements in columns, from N − 1 down to 0, or up."""
    if x.dim() != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    columns = x.numel() if N is None else N
    if columns < 0:
        raise RuntimeError("N must be non-negative.")
    dtype = x.dtype if x.is_floating_point() else _core.int64
    powers = [ops.ones(x.numel(), 1, dtype=dtype, device=x.device)]
    if columns > 1:
        powers.append(x.to(dtype).unsqueeze(1).expand(-1, columns - 1).cumprod(1))
    out = ops.cat(powers, 1).narrow(1, 0, columns)
    return out if increasing else out.flip(1)


def _window(name, length, periodic, options, shape):
    """Evaluates ``shape(position, last)`` on a window's positions, in the window's dtype."""
    dtype = options.get("dtype") or _core.get_default_dtype()
    requires_grad = options.pop("requires_grad", False)
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    if length <= 1:
        out = ops.ones(length, **options)
    else:
        # A periodic window is a symmetric one without its last element.
        total = length + 1 if periodic else length
        out = shape(ops.arange(total, **{**options, "dtype": dtype}), total - 1).narrow(0, 0, length).clone()
    return out.requires_grad_() if requires_grad else out


def bartlett_window(window_length, periodic=True, **options):
    """The triangular window from 0 to 1 and back."""

    def triangle(x, last):
        rising = x * (2 / last)
        return ops.where(x <= last // 2, rising, 2 - rising)

    return _window("bartlett_window", window_length, periodic, options, triangle)


def blackman_window(window_length, periodic=True, **options):
    """The window 0.42 − 0.5 cos(2πx) + 0.08 cos(4πx)."""

    def shape(x, last):
        angle = x * (math.pi / last)
        return (angle * 4).cos() * 0.08 - (angle * 2).cos() * 0.5 + 0.42

    return _window("blackman_window", window_length, periodic, options, shape)


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, **options):
    """The window α − β cos(2πx)."""
    return _window(
        "hamming_window",
        window_length,
        periodic,
        options,
        lambda x, last: (x * (2 * math.pi / last)).cos() * -beta + alpha,
    )


def hann_window(window_length, periodic=True, **options):
    """The window (1 − cos(2πx)) / 2."""
    return _window(
        "hann_window", window_length, periodic, options, lambda x, last: (x * (2 * math.pi / last)).cos() * -0.5 + 0.5
    )


def kaiser_window(window_length, periodic=True, beta=12.0, **options):
    """The window I₀(β √(1 − (2x − 1)²)) / I₀(β) (Kaiser 1980)."""

    def shape(x, last):
        whole = _bessel_i0(beta)
        values = []
        for i in _counting(last + 1):
            place = 2 * i / last - 1
            values.append(_bessel_i0(beta * math.sqrt(max(1 - place * place, 0.0))) / whole)
        return _core.tensor(values, dtype=x.dtype, device=x.device)

    return _window("kaiser_window", window_length, periodic, options, shape)


def _counting(n):
    i = 0
    while i < n:
        yield i
        i += 1


def _bessel_i0(x):
    """The modified Bessel function I₀ by its power series, whose terms are all positive."""
    term = total = 1.0
    k = 1
    while term > total * 1e-17:
        term *= (x / (2 * k)) ** 2
        total += term
        k += 1
    return total
