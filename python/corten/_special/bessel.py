"""Bessel functions of orders 0 and 1, plain, modified and scaled, the spherical one of order 0, and Airy's function.

Near 0 a Chebyshev series of what is left without logarithm and pole, far from it one of the slowly varying factors of
the asymptotic form (Abramowitz & Stegun 9.2, 9.6, 9.7 and 10.4). The coefficients are in `tables.py`.
"""

import math

from .._composites._common import ops
from ..autograd import Function
from . import tables
from ._common import function_of_one, series

_TWO_OVER_PI = 2 / math.pi


def _i0e(x):
    size = x.abs()
    near = series(size.clamp(max=8) / 4 - 1, tables.I0E_NEAR)
    distant = size.clamp(min=8)
    return ops.where(size <= 8, near, series(16 / distant - 1, tables.I0E_FAR) * distant.rsqrt())


def _i1e(x):
    size = x.abs()
    near = size * series(size.clamp(max=8) / 4 - 1, tables.I1E_NEAR)
    distant = size.clamp(min=8)
    value = ops.where(size <= 8, near, series(16 / distant - 1, tables.I1E_FAR) * distant.rsqrt())
    return value * x.sign()


class _ScaledI0(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return _i0e(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (_ScaledI1.apply(x) - x.sign() * _ScaledI0.apply(x))


class _ScaledI1(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return _i1e(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        zero = x == 0
        safe = ops.where(zero, 1, x)
        slope = _ScaledI0.apply(safe) - _ScaledI1.apply(safe) * (safe.sign() + 1 / safe)
        return gradient * ops.where(zero, 0.5, slope)


@function_of_one
def i0e(x):
    """exp(−|x|) I₀(x), the modified Bessel function of the first kind and order 0, scaled."""
    return _ScaledI0.apply(x)


@function_of_one
def i1e(x):
    """exp(−|x|) I₁(x), the modified Bessel function of the first kind and order 1, scaled."""
    return _ScaledI1.apply(x)


@function_of_one
def modified_bessel_i0(x):
    """I₀(x), the modified Bessel function of the first kind and order 0."""
    return ops.i0(x)


@function_of_one
def modified_bessel_i1(x):
    """I₁(x), the modified Bessel function of the first kind and order 1."""
    return ops._special_i1(x)


def _k0(x, scaled):
    close = x.clamp(max=2)
    near = series(close.square() / 2 - 1, tables.K0_NEAR) - (close / 2).log() * _i0e(close) * close.exp()
    distant = x.clamp(min=2)
    far = series(4 / distant - 1, tables.K0_FAR) * distant.rsqrt()
    return ops.where(x <= 2, near * close.exp(), far) if scaled else ops.where(x <= 2, near, far * (-distant).exp())


def _k1(x, scaled):
    close = x.clamp(max=2)
    near = series(close.square() / 2 - 1, tables.K1_NEAR) / close + (close / 2).log() * _i1e(close) * close.exp()
    distant = x.clamp(min=2)
    far = series(4 / distant - 1, tables.K1_FAR) * distant.rsqrt()
    value = ops.where(x <= 2, near * close.exp(), far) if scaled else ops.where(x <= 2, near, far * (-distant).exp())
    return ops.where(x == 0, math.inf, value)


@function_of_one
def modified_bessel_k0(x):
    """K₀(x), the modified Bessel function of the second kind and order 0; NaN below 0."""
    return _k0(x, False)


@function_of_one
def modified_bessel_k1(x):
    """K₁(x), the modified Bessel function of the second kind and order 1; NaN below 0."""
    return _k1(x, False)


@function_of_one
def scaled_modified_bessel_k0(x):
    """exp(x) K₀(x); NaN below 0."""
    return _k0(x, True)


@function_of_one
def scaled_modified_bessel_k1(x):
    """exp(x) K₁(x); NaN below 0."""
    return _k1(x, True)


def _waves(size, p, q):
    """P and Q of the asymptotic form over √(πx), and the sum and the difference of the sine and the cosine."""
    distant = size.clamp(min=8)
    t = 128 / distant.square() - 1
    scale = (distant * math.pi).rsqrt()
    sine, cosine = distant.sin(), distant.cos()
    return series(t, p) * scale, series(t, q) * scale / distant, sine + cosine, sine - cosine


def _j0(x):
    size = x.abs()
    near = series(size.clamp(max=8).square() / 32 - 1, tables.J0_NEAR)
    p, q, plus, minus = _waves(size, tables.P0, tables.Q0)
    return ops.where(size <= 8, near, p * plus - q * minus)


def _j1(x):
    size = x.abs()
    near = size * series(size.clamp(max=8).square() / 32 - 1, tables.J1_NEAR)
    p, q, plus, minus = _waves(size, tables.P1, tables.Q1)
    return ops.where(size <= 8, near, p * minus + q * plus) * x.sign()


@function_of_one
def bessel_j0(x):
    """J₀(x), the Bessel function of the first kind and order 0."""
    return _j0(x)


@function_of_one
def bessel_j1(x):
    """J₁(x), the Bessel function of the first kind and order 1."""
    return _j1(x)


@function_of_one
def bessel_y0(x):
    """Y₀(x), the Bessel function of the second kind and order 0; −inf at 0, NaN below."""
    near = series(x.clamp(max=8).square() / 32 - 1, tables.Y0_NEAR) + _TWO_OVER_PI * x.log() * _j0(x)
    p, q, plus, minus = _waves(x, tables.P0, tables.Q0)
    return ops.where(x <= 8, near, p * minus + q * plus)


@function_of_one
def bessel_y1(x):
    """Y₁(x), the Bessel function of the second kind and order 1; −inf at 0, NaN below."""
    regular = x * series(x.clamp(max=8).square() / 32 - 1, tables.Y1_NEAR)
    near = regular + _TWO_OVER_PI * (x.log() * _j1(x) - 1 / x)
    p, q, plus, minus = _waves(x, tables.P1, tables.Q1)
    return ops.where(x == 0, -math.inf, ops.where(x <= 8, near, q * minus - p * plus))


@function_of_one
def spherical_bessel_j0(x):
    """j₀(x) = sin(x) / x, the spherical Bessel function of the first kind and order 0."""
    zero = x == 0
    safe = ops.where(zero | x.isinf(), 1, x)
    return ops.where(x.isinf(), 0, ops.where(zero, 1, safe.sin() / safe))


@function_of_one
def airy_ai(x):
    """Airy's function Ai(x); NaN for infinities, as in PyTorch."""
    middle = series((x.clamp(-5, 1) + 2) / 3, tables.AIRY_NEAR)
    above = x.clamp(min=1)
    zeta = above.pow(1.5) * (2 / 3)
    right = series(4 / (3 * zeta) - 1, tables.AIRY_FAR) * (-zeta).exp() / (2 * math.sqrt(math.pi) * above.pow(0.25))
    below = (-x).clamp(min=5)
    zeta = below.pow(1.5) * (2 / 3)
    t = 98 / zeta.square() - 1
    sine, cosine = zeta.sin(), zeta.cos()
    waves = series(t, tables.AIRY_F) * (sine + cosine) - series(t, tables.AIRY_G) / zeta * (cosine - sine)
    left = waves / (math.sqrt(2 * math.pi) * below.pow(0.25))
    value = ops.where(x < -5, left, ops.where(x > 1, right, middle))
    return ops.where(x.isinf(), math.nan, value)
