"""Orthogonal polynomials by their recurrences, and Hurwitz's zeta function.

The degree is a number or a tensor that is broadcast; its fractions are cut off, and a polynomial of negative degree is
0. The recurrence runs to the highest degree, over all elements at once.
"""

import math

from .. import _core
from .._composites._common import ops, result, whole
from .._composites.arrange import broadcast_tensors
from ..autograd import Function
from ._common import pair, widened

# Degrees above which Hermite polynomials are not finite, NaN as in PyTorch.
_HERMITE_LIMITS = {_core.float32: 128, _core.float64: 512}
# Below this degree Chebyshev's recurrence is used inside of [−1, 1] too.
_TRIGONOMETRIC = {"t": 6, "u": 6, "v": 8, "w": 8}
# The terms that are added before the Euler–Maclaurin formula takes over, and its coefficients B₂ₖ / (2k)!.
_ZETA_TERMS = 9
_BERNOULLI = [
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000, -174611 / 802857662698291200000,
]  # fmt: skip


def _recurrence(x, n, first, step):
    """The polynomials of degrees n from the ones of degree 0 and 1."""
    before, value = ops.ones_like(x), first
    found = ops.where(n < 0, 0, ops.where(n == 0, before, value))
    for degree in range(2, _highest(n) + 1):
        before, value = value, step(degree, value, before)
        found = ops.where(n == degree, value, found)
    return found


def _highest(n):
    """The highest degree, which is read from the tensor where it has elements."""
    return int(whole(n).max()) if n.numel() and not n.is_meta else 0


def _operands(name, x, n):
    """The argument and the degree in one dtype; the degree whole and finite."""
    x, n = pair(name, x, n)
    degree = n.detach().trunc()
    return x, widened(x), widened(ops.where(degree.isfinite(), degree, -1))


def _chebyshev(kind, name, doc, shifted=False):
    first = {"t": lambda x: x, "u": lambda x: 2 * x, "v": lambda x: 2 * x - 1, "w": lambda x: 2 * x + 1}[kind]

    def polynomial(input, n, *, out=None):
        given, x, degree = _operands(name, input, n)
        x = 2 * x - 1 if shifted else x
        inside = (x.abs() < 1) & (degree > _TRIGONOMETRIC[kind])
        edge = x.abs() == 1
        outside = ops.where(inside | edge, 0, degree)
        recurred = _recurrence(x, outside, first(x), lambda k, value, before: 2 * x * value - before)
        value = ops.where(inside, _inside(kind, ops.where(inside, x, 0), degree), recurred)
        value = ops.where(edge & (degree >= 0), _at_the_edge(kind, x, degree), value)
        return result(ops.where(degree < 0, 0, value).to(given.dtype), out)

    polynomial.__name__ = polynomial.__qualname__ = name
    polynomial.__doc__ = doc
    return polynomial


def _inside(kind, x, n):
    """Chebyshev's polynomials of cos θ as quotients of sines and cosines."""
    angle = x.acos()
    if kind == "t":
        return (n * angle).cos()
    if kind == "u":
        return ((n + 1) * angle).sin() / angle.sin()
    wave = (n + 0.5) * angle
    return wave.cos() / (angle / 2).cos() if kind == "v" else wave.sin() / (angle / 2).sin()


def _at_the_edge(kind, x, n):
    """Chebyshev's polynomials of 1 and −1."""
    sign = ops.where((x > 0) | (n.remainder(2) == 0), 1.0, -1.0).to(x.dtype)
    if kind == "t":
        return sign
    if kind == "u":
        return sign * (n + 1)
    large = (x > 0) == (kind == "w")
    return sign * ops.where(large, 2 * n + 1, 1)


_KINDS = {"t": "first", "u": "second", "v": "third", "w": "fourth"}
for _kind, _word in _KINDS.items():
    for _prefix, _shifted in (("", False), ("shifted_", True)):
        _name = f"{_prefix}chebyshev_polynomial_{_kind}"
        _argument = "2x − 1" if _shifted else "x"
        _text = f"Chebyshev's polynomial of the {_word} kind and degree n, of {_argument}."
        globals()[_name] = _chebyshev(_kind, _name, _text, _shifted)


def _hermite(name, input, n, scale, out):
    given, x, degree = _operands(name, input, n)
    limit = _HERMITE_LIMITS[x.dtype]
    within = ops.where(degree > limit, -1, degree)
    value = _recurrence(x, within, scale * x, lambda k, p, q: scale * (x * p - (k - 1) * q))
    return result(ops.where(degree > limit, math.nan, value).to(given.dtype), out)


def hermite_polynomial_h(input, n, *, out=None):
    """Hermite's polynomial of degree n as physicists have it, orthogonal for exp(−x²)."""
    return _hermite("hermite_polynomial_h", input, n, 2, out)


def hermite_polynomial_he(input, n, *, out=None):
    """Hermite's polynomial of degree n as probabilists have it, orthogonal for exp(−x² / 2)."""
    return _hermite("hermite_polynomial_he", input, n, 1, out)


def laguerre_polynomial_l(input, n, *, out=None):
    """Laguerre's polynomial of degree n."""
    given, x, degree = _operands("laguerre_polynomial_l", input, n)
    value = _recurrence(x, degree, 1 - x, lambda k, p, q: ((2 * k - 1 - x) * p - (k - 1) * q) / k)
    return result(value.to(given.dtype), out)


def legendre_polynomial_p(input, n, *, out=None):
    """Legendre's polynomial of degree n."""
    given, x, degree = _operands("legendre_polynomial_p", input, n)
    value = _recurrence(x, degree, x, lambda k, p, q: ((2 * k - 1) * x * p - (k - 1) * q) / k)
    return result(value.to(given.dtype), out)


class _Zeta(Function):
    @staticmethod
    def forward(ctx, x, q):
        ctx.save_for_backward(x, q)
        return _at_the_limits(x, q, _zeta(_finite(x), _finite(q)))

    @staticmethod
    def backward(ctx, gradient):
        x, q = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            raise NotImplementedError("the derivative of zeta with respect to x is not implemented; that for q is")
        return None, gradient * -x * _Zeta.apply(x + 1, q)


def _zeta(x, q):
    """The sum of (q + i)^−x by Euler and Maclaurin's formula; q at most 0 takes as many terms as it is deep."""
    known = q.numel() and not q.is_meta
    depth = max(0, -math.floor(float(whole(q).detach().min()))) if known else 0
    terms = _ZETA_TERMS + min(depth, 10000)
    total = ops.zeros_like(x)
    for i in range(terms):
        total = total + (q + i).pow(-x)
    end = q + terms
    power = end.pow(-x)
    total = total + power * end / (x - 1) + power / 2
    factor = x * power / end
    for k, coefficient in enumerate(_BERNOULLI):
        total = total + coefficient * factor
        factor = factor * (x + 2 * k + 1) * (x + 2 * k + 2) / end.square()
    return total


def _at_the_limits(x, q, total):
    """The sums where there is no sum to take: poles, powers that are not real, infinite and undefined operands."""
    total = ops.where(q.isfinite() & x.isfinite(), total, math.nan)
    total = ops.where(x == math.inf, ops.where(q == 1, 1.0, ops.where(q < 1, math.inf, total)), total)
    total = ops.where((q <= 0) & (x != x.floor()), math.nan, total)
    total = ops.where((q <= 0) & (q == q.floor()), math.inf, total)
    return ops.where(x == 1, math.inf, ops.where(x < 1, math.nan, total))


def _finite(x):
    """The operand, 2 in the place of what is not finite."""
    return ops.where(x.isfinite(), x, 2.0)


def zeta(input, other, *, out=None):
    """Hurwitz's zeta function, the sum of (q + i)^−x for i = 0, 1, …; NaN for x below 1, inf at 1.

    Differentiable with respect to q.
    """
    x, q = broadcast_tensors(*pair("zeta", input, other))
    return result(_Zeta.apply(widened(x), widened(q)).to(x.dtype), out)


__all__ = [
    *(f"{prefix}chebyshev_polynomial_{kind}" for prefix in ("", "shifted_") for kind in _KINDS),
    *("hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p", "zeta"),
]
