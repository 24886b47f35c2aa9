"""The normal distribution's functions, entropies and products with logarithms, with gradients of any order."""

import math

from .._composites._common import ops, result
from .._composites.arrange import broadcast_tensors
from ..autograd import Function
from . import tables
from ._common import function_of_one, pair, series, widened

_ROOT_HALF = math.sqrt(0.5)
# Where the tail of the normal distribution begins: exp(−2), and the ends of 1 / y in the table.
_TAIL = math.exp(-2)
_LOW, _HIGH = 1 / 38.7, 0.5


class _ScaledErfc(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        size = x.abs()
        tail = series(1 - 7.5 / (size + 3.75), tables.ERFCX) / (1 + 2 * size)
        return ops.where(x < 0, 2 * x.square().exp() - tail, tail)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (2 * x * _ScaledErfc.apply(x) - 2 / math.sqrt(math.pi))


class _LogNormal(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        t = x * _ROOT_HALF
        left = (_ScaledErfc.apply(-t) / 2).log() - t.square()
        return ops.where(x < -1, left, (-t.erfc() / 2).log1p())

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * math.sqrt(2 / math.pi) / _ScaledErfc.apply(-x * _ROOT_HALF)


class _NormalQuantile(Function):
    @staticmethod
    def forward(ctx, p):
        nearer = ops.minimum(p, 1 - p)
        y = (-2 * nearer.log()).sqrt()
        place = ((1 / y).clamp(_LOW, _HIGH) - _LOW) * (2 / (_HIGH - _LOW)) - 1
        tail = y - (y.log() + series(place, tables.NORMAL_TAIL)) / y
        tail = ops.where(nearer == 0, math.inf, tail) * (p - 0.5).sign()
        value = ops.where(nearer > _TAIL, (2 * p - 1).erfinv() / _ROOT_HALF, tail)
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx, gradient):
        (value,) = ctx.saved_tensors
        return gradient * math.sqrt(2 * math.pi) * (value.square() / 2).exp()


class _Entropy(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        inside = ops.where(x == 0, 0, -math.inf)
        return ops.where(x.isnan(), x, ops.where(x > 0, -x * x.log(), inside))

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (-(x.log() + 1))


class _ProductWithLog1p(Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return ops.where((x == 0) & ~y.isnan(), 0, x * y.log1p())

    @staticmethod
    def backward(ctx, gradient):
        x, y = ctx.saved_tensors
        to_x = (gradient * y.log1p()).masked_fill((x == 0) & (y <= -1), 0)
        return to_x, gradient * x / (y + 1)


@function_of_one
def erfcx(x):
    """exp(x²) erfc(x), the complementary error function, scaled (Shepherd & Laframboise 1981)."""
    return _ScaledErfc.apply(x)


@function_of_one
def ndtr(x):
    """The standard normal distribution's mass below x."""
    return (x * -_ROOT_HALF).erfc() / 2


@function_of_one
def log_ndtr(x):
    """The logarithm of the standard normal distribution's mass below x, exact far from 0 as well."""
    return _LogNormal.apply(x)


@function_of_one
def ndtri(p):
    """The x below which the standard normal distribution has the mass p; NaN outside of [0, 1]."""
    return _NormalQuantile.apply(p)


@function_of_one
def entr(x):
    """−x log x, 0 at 0 and −inf below."""
    return _Entropy.apply(x)


def xlog1py(input, other, *, out=None):
    """x · log(1 + y), 0 where x is 0 and y is not NaN; one of both may be a number."""
    x, y = broadcast_tensors(*pair("xlog1py", input, other))
    return result(_ProductWithLog1p.apply(widened(x), widened(y)).to(x.dtype), out)
