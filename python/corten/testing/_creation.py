"""`make_tensor`: random tensors of any dtype in a range that suits it."""

import math
import warnings

import corten


def _range(dtype, low, high):
    """The bounds within what the dtype holds, defaults where they are not given.

    Raises:
        ValueError: a bound is NaN, they are in the wrong order, or the dtype has no number between them.
    """
    if dtype == corten.bool:
        default, limits = (0, 2), (0, 2)
    elif dtype.is_floating_point:
        info = corten.finfo(dtype)
        default, limits = (-9, 9), (info.min, info.max)
    else:
        info = corten.iinfo(dtype)
        default = (-9 if dtype.is_signed else 0, 10)
        limits = info.min, min(info.max + 1, corten.iinfo(corten.int64).max)
    low = default[0] if low is None else low
    high = default[1] if high is None else high
    if any(isinstance(value, float) and math.isnan(value) for value in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if low == high and dtype.is_floating_point:
        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated since 2.1 "
            "and will be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
            stacklevel=3,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < limits[0] or low >= limits[1]:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports "
            f"[{limits[0]}, {limits[1]})"
        )
    low, high = max(low, limits[0]), min(high, limits[1])
    return (low, high) if dtype.is_floating_point else (math.ceil(low), math.ceil(high))


def make_tensor(
    *shape,
    dtype,
    device,
    low=None,
    high=None,
    requires_grad=False,
    noncontiguous=False,
    exclude_zero=False,
    memory_format=None,
):
    """A tensor of numbers drawn uniformly from ``[low, high)``.

    Args:
        shape: sizes, or one sequence of them.
        low, high: the range, at first [-9, 9) for floating-point dtypes, [-9, 10) for integers, [0, 10) for those
            without a sign, and both values for bool; what the dtype does not hold is cut off.
        noncontiguous: leave gaps between the elements.
        exclude_zero: the least positive number takes the place of zeros, 1 for integers.
        memory_format: the order of the dims in memory.

    Raises:
        TypeError: for float8_e8m0fnu, which has no numbers around 0.
        ValueError: for ranges that are empty or that the dtype does not reach, gradients of integers, and both
            ``noncontiguous`` and ``memory_format``.
    """
    if len(shape) == 1 and not isinstance(shape[0], int):
        shape = tuple(shape[0])
    if noncontiguous and memory_format is not None:
        raise ValueError(
            "The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got "
            f"noncontiguous={noncontiguous} and memory_format={memory_format}"
        )
    if requires_grad and not dtype.is_floating_point:
        raise ValueError(
            f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype}"
        )
    if dtype == corten.float8_e8m0fnu:
        raise TypeError(f"The requested dtype '{dtype}' is not supported by corten.testing.make_tensor()")
    low, high = _range(dtype, low, high)
    if dtype.is_floating_point and dtype.itemsize == 1:
        result = corten.empty(shape, device=device, dtype=corten.float32).uniform_(low, high).to(dtype)
    elif dtype.is_floating_point:
        result = corten.empty(shape, dtype=dtype, device=device)
        if high - low > corten.finfo(dtype).max:
            # The range is twice what a draw may span.
            result.uniform_(low / 2, high / 2).mul_(2)
        else:
            result.uniform_(low, high)
    else:
        result = corten.randint(low, high, shape, dtype=dtype, device=device)
    if noncontiguous and result.numel() > 1:
        result = result.repeat_interleave(2, dim=-1)[..., ::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero:
        result[result == 0] = corten.finfo(dtype).tiny if dtype.is_floating_point else 1
    return result.requires_grad_() if requires_grad else result
