"""Elementwise functions made of others, and comparisons of whole tensors."""

import math

from .. import _core
from ._arguments import typed
from ._common import Tensor, check_tensors, exact, floating, ops, result, scalar_name

# Of sin(πx) / (πx) in powers of x².
_SINC_SERIES = [(-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(9)]


@typed("sinc", input="Tensor")
def sinc(input, *, out=None):
    """sin(πx) / (πx), 1 at 0."""
    # In float32 at least: the sine of a rounded multiple of π is far off.
    x = floating(input)
    wide = x.float() if x.dtype in (_core.float16, _core.bfloat16) else x
    # Near 0 by its series: the derivative of the quotient is a difference of numbers that are nearly equal.
    near = wide.abs() < 0.25
    square = ops.where(near, wide, 0).square()
    series = _SINC_SERIES[-1]
    for coefficient in _SINC_SERIES[-2::-1]:
        series = series * square + coefficient
    angle = ops.where(near, 1, wide) * math.pi
    return result(ops.where(near, series, angle.sin() / angle).to(x.dtype), out)


@typed("rad2deg", input="Tensor")
def rad2deg(input, *, out=None):
    """Radians in degrees.

    Raises:
        RuntimeError: for complex tensors.
    """
    if input.is_complex():
        raise RuntimeError("rad2deg is not supported for complex tensors.")
    return result(floating(input) * (180 / math.pi), out)


@typed("deg2rad", input="Tensor")
def deg2rad(input, *, out=None):
    """Degrees in radians.

    Raises:
        RuntimeError: for complex tensors.
    """
    if input.is_complex():
        raise RuntimeError("deg2rad is not supported for complex tensors.")
    return result(floating(input) * (math.pi / 180), out)


@typed("frac", input="Tensor")
def frac(input, *, out=None):
    """What truncation cuts off, with the sign of x."""
    if not input.is_floating_point():
        raise NotImplementedError(f"\"frac_cpu\" not implemented for '{scalar_name(input)}'")
    return exact(input - input.trunc(), out)


def float_power(input, exponent, *, out=None):
    """The power, computed in float64, or complex128 where one of both is complex."""
    power = ops.pow(_doubled(input), _doubled(exponent))
    if out is not None and out.dtype != power.dtype:
        raise RuntimeError(
            f"the output given to float_power has dtype {scalar_name(out)} but the operation's result requires dtype "
            f"{scalar_name(power)}"
        )
    return result(power, out)


def _doubled(x):
    """A tensor or number in double precision."""
    if isinstance(x, Tensor):
        return x.to(_core.complex128 if x.is_complex() else _core.float64)
    return x if isinstance(x, complex) else float(x)


@typed("mvlgamma", input="Tensor", p="int")
def mvlgamma(input, p, *, out=None):
    """The logarithm of the multivariate gamma function of dimension ``p``, for x > (p − 1) / 2.

    Raises:
        RuntimeError: ``p`` is less than 1, or the tensor is bool.
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.dtype == _core.bool:
        raise RuntimeError("The input tensor may not be a boolean tensor.")
    x = floating(input)
    steps = ops.arange(0, p, dtype=x.dtype, device=x.device) * -0.5
    value = (x.unsqueeze(-1) + steps).lgamma().sum(-1) + p * (p - 1) / 4 * math.log(math.pi)
    return result(value, out)


def positive(input):
    """The tensor itself."""
    if input.dtype == _core.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def isreal(input):
    """Where the imaginary part is 0: everywhere in a real tensor."""
    if input.is_complex():
        return input.imag == 0
    return ops.ones_like(input, dtype=_core.bool)


@typed("isclose", input="Tensor", other="Tensor", rtol="float", atol="float", equal_nan="bool")
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Where |x − y| ≤ atol + rtol · |y|."""
    check_tensors("isclose", input=input, other=other)
    if input.dtype != other.dtype:
        raise RuntimeError(f"{scalar_name(input)} did not match {scalar_name(other)}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")
    close = input == other
    if equal_nan and input.is_floating_point():
        close = close | (input.isnan() & other.isnan())
    if rtol == 0 and atol == 0:
        return close
    x, y = floating(input), floating(other)
    allowed = atol + (rtol * y).abs()
    difference = (x - y).abs()
    return close | (difference.isfinite() & (difference <= allowed))


@typed("allclose", input="Tensor", other="Tensor", rtol="float", atol="float", equal_nan="bool")
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether every element of one tensor is close to that of the other."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@typed("equal", input="Tensor", other="Tensor")
def equal(input, other):
    """Whether two tensors have the same size and elements.

    Raises:
        NotImplementedError: for tensors of one size on the device ``meta``, which have no elements.
    """
    if input.shape != other.shape:
        return False
    if input.is_meta or other.is_meta:
        raise NotImplementedError("equal: a tensor on the device meta has no elements to compare")
    return (input is other and not input.is_floating_point()) or bool((input == other).all())


def is_same_size(input, other):
    """Whether two tensors have the same size."""
    return input.shape == other.shape


def is_nonzero(input):
    """Whether the only element of a tensor is not zero."""
    if input.numel() == 0:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
    if input.numel() > 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(input)
