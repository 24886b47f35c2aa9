"""Functions of numbers that distributions need beside `corten.special`, and gradients through gamma and beta draws.

The derivative of the incomplete gamma function by its shape, which no closed form gives, comes from an integral. With
``t = x e^-s``, the density of a gamma variable below x is that at x times ``exp(-h(s))``, where
``h(s) = a s + x (e^-s - 1)`` is convex and, for x below a, increasing from h(0) = 0; above a the same holds of
``t = x e^s``. So the integral over all s is one over a stretch that ends where h has grown to a constant, and
Gauss-Legendre points, denser near 0, give it to rounding. The beta function is treated the same way in terms of the
log odds. See Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (2018) for what the gradients are.
"""

import functools
import typing

import corten
from corten.autograd import Function


class _Accuracy(typing.NamedTuple):
    """How integrals are computed."""

    # From this h on exp(-h) is below the rounding of results.
    distance: float
    # How many points leave an error of about that size.
    points: int
    # ``exp(x) - 1`` and ``log(1 + x)``.
    expm1: typing.Callable = corten.expm1
    log1p: typing.Callable = corten.log1p


_DOUBLE = _Accuracy(40.0, 48)
_SINGLE = _Accuracy(20.0, 16)
# Results of float32 and narrower computed in float64: cancellation leaves them their digits.
_SINGLE_BY_DOUBLE = _Accuracy(20.0, 16, lambda x: x.exp() - 1, lambda x: (x + 1).log())


@functools.cache
def _nodes(count):
    """Gauss-Legendre points and weights for integrals over [0, 1] after the substitution s = v², as lists."""
    from numpy.polynomial.legendre import leggauss

    points, weights = leggauss(count)
    v = (points + 1) / 2
    return (v * v).tolist(), (weights * v).tolist()


def _widened(*tensors):
    """Tensors of one shape in the dtype of the computation, float64 where the device has it, and the accuracy."""
    shape = corten.broadcast_shapes(*(t.shape for t in tensors))
    given, on_cpu = tensors[0].dtype, tensors[0].device.type == "cpu"
    dtype = corten.float64 if on_cpu else given
    accuracy = _DOUBLE if given == corten.float64 else _SINGLE_BY_DOUBLE if on_cpu else _SINGLE
    return [t.detach().to(dtype).expand(shape) for t in tensors], accuracy


def _stretch(h, slope, start, distance, steps):
    """Where the convex increasing h reaches ``distance``: Newton's steps come from above and never pass it."""
    for _ in range(steps):
        start = start - (h(start) - distance) / slope(start)
    return start


def _integral(h, factor, reach, points):
    """The integral of ``exp(-h(s)) factor(s)`` over [0, reach], node by node."""
    total = 0.0
    for point, weight in zip(*_nodes(points)):
        s = reach * point
        total = total + (-h(s)).exp() * weight * factor(s)
    return total * reach


def _log_minus_digamma(a):
    """``log a - digamma(a)``, without cancellation for large a (asymptotic series)."""
    q = 1 / (a * a)
    series = 0.5 / a + q * (1 / 12 - q * (1 / 120 - q * (1 / 252 - q / 240)))
    return corten.where(a > 10, series, a.log() - a.digamma())


def gamma_cdf(a, x):
    """The regularised lower incomplete gamma function P(a, x), differentiable in both."""
    return _GammaCdf.apply(a, x)


class _GammaCdf(Function):
    @staticmethod
    def forward(ctx, a, x):
        ctx.save_for_backward(a, x)
        return corten.igamma(a, x)

    @staticmethod
    def backward(ctx, grad):
        a, x = ctx.saved_tensors
        density = (corten.xlogy(a - 1, x) - x - a.lgamma()).exp()
        grad_a = -grad * density * gamma_draw_derivative(a, x) if ctx.needs_input_grad[0] else None
        grad_x = grad * density if ctx.needs_input_grad[1] else None
        return _summed_to(grad_a, a), _summed_to(grad_x, x)


def _summed_to(grad, like):
    return None if grad is None else grad.sum_to_size(like.shape)


class _Once(Function):
    """A derivative that has none itself: where one is asked for, it says so."""

    @staticmethod
    def forward(ctx, derivative, *tensors):
        return derivative(*tensors)

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError("distributions: second derivatives through gamma and beta draws are not implemented")


def gamma_draw_derivative(a, x):
    """The derivative by a of a draw x from the gamma distribution with concentration a and rate 1."""
    return _Once.apply(_gamma_derivative, a, x)


def _gamma_derivative(a, x):
    (a, given), (distance, points, expm1, _) = _widened(a, x)
    positive = given > 0
    x_ = corten.where(positive, given, 1.0)
    side = corten.where(x_ < a, -1.0, 1.0).to(a.dtype)
    steep = side * a
    h = lambda s: x_ * expm1(side * s) - steep * s  # noqa: E731
    slope = lambda s: side * x_ * (side * s).exp() - steep  # noqa: E731
    # Bounds of where h reaches the distance: h(s) ≥ x s²/3 for s ≤ 1 below a, and h(s) ≥ x (e^s - 1 - s) above.
    below = corten.where(x_ >= 3 * distance, (3 * distance / x_).sqrt(), (distance + x_) / a)
    above = corten.minimum((2 * distance / x_).sqrt(), 1.5 + (4 * distance / x_).log1p())
    reach = _stretch(h, slope, corten.where(x_ < a, below, above), distance, 4)
    score = (x_ / a).log() + _log_minus_digamma(a)
    moment = _integral(h, lambda s: score + side * s, reach, points)
    return corten.where(positive, side * x_ * moment, 0.0).to(x.dtype)


class _StandardGamma(Function):
    @staticmethod
    def forward(ctx, concentration):
        draw = corten._core.ops._standard_gamma(concentration)
        ctx.save_for_backward(concentration, draw)
        return draw

    @staticmethod
    def backward(ctx, grad):
        return grad * gamma_draw_derivative(*ctx.saved_tensors)


def standard_gamma(concentration):
    """Draws from gamma distributions of rate 1, with gradients."""
    return _StandardGamma.apply(concentration)


def _beta_parts(a, b, x, accuracy):
    """The derivative by a of a draw x from the beta distribution, over ``1 - x``."""
    distance, points, expm1, log1p = accuracy
    total = a + b
    left = a > total * x
    # What lies above x for a and b lies below 1 - x for b and a. Below, with log odds smaller by s, the logarithm of
    # 1 - x grows by -shrunk(s), and that of x by as much less s.
    steep, near = corten.where(left, a, b), corten.where(left, x, 1 - x)
    shrunk = lambda s: log1p(near * expm1(-s))  # noqa: E731
    h = lambda s: total * shrunk(s) + steep * s  # noqa: E731

    def slope(s):
        e = (-s).exp()
        return steep - total * near * e / (1 - near + near * e)

    # Bounds of where h reaches the distance: h is above its asymptote, and above a parabola for s ≤ 1, where the
    # curvature falls to no less than a third.
    parabola = (6 * distance / (total * x * (1 - x))).sqrt()
    asymptote = (distance - total * (-near).log1p()) / steep
    reach = _stretch(h, slope, corten.where(parabola <= 1, parabola, asymptote), distance, 6)
    score = x.log() + total.digamma() - a.digamma()
    lost = corten.where(left, 1.0, 0.0).to(x.dtype)
    moment = _integral(h, lambda s: score - shrunk(s) - lost * s, reach, points)
    return corten.where(left, -x, x) * moment


def dirichlet_draw_derivative(concentration, total, x):
    """For draws x from a Dirichlet distribution: ``dx_i/da_i / (1 - x_i)``, ``a`` the concentrations of sum ``total``.

    A part of a draw is a beta draw with the concentrations a and total - a, the other parts share what is left.
    """
    return _Once.apply(_dirichlet_derivative, concentration, total, x)


def _dirichlet_derivative(concentration, total, x):
    (a, total, x_), accuracy = _widened(concentration, total, x)
    inside = (x_ > 0) & (x_ < 1)
    derivative = _beta_parts(a, total - a, corten.where(inside, x_, 0.5), accuracy)
    return corten.where(inside, derivative, 0.0).to(x.dtype)


class _Dirichlet(Function):
    @staticmethod
    def forward(ctx, concentration):
        # Small concentrations give gamma draws that float32 rounds to 0.
        (wide,), _ = _widened(concentration)
        gamma = corten._core.ops._standard_gamma(wide)
        draw = (gamma / gamma.sum(-1, keepdim=True)).to(concentration.dtype)
        info = corten.finfo(draw.dtype)
        draw = draw.clamp(min=info.tiny, max=1 - info.eps / 2)
        ctx.save_for_backward(concentration, draw)
        return draw

    @staticmethod
    def backward(ctx, grad):
        concentration, x = ctx.saved_tensors
        total = concentration.sum(-1, keepdim=True)
        return dirichlet_draw_derivative(concentration, total, x) * (grad - (x * grad).sum(-1, keepdim=True))


def sample_dirichlet(concentration):
    """Draws from Dirichlet distributions, with gradients."""
    return _Dirichlet.apply(concentration)


# From here on the asymptotic series of the modified Bessel functions is exact to rounding.
_BESSEL_LARGE = 30.0


def _log_bessel(x, order, native):
    large = x > _BESSEL_LARGE
    far = corten.where(large, x, _BESSEL_LARGE)
    # Abramowitz and Stegun (1964), 9.7.1.
    term = series = corten.ones_like(far)
    for k in range(1, 13):
        term = term * ((2 * k - 1) ** 2 - 4 * order) / (8 * k * far)
        series = series + term
    asymptotic = far - 0.5 * (2 * corten.pi * far).log() + series.log()
    return corten.where(large, asymptotic, native(corten.where(large, 1.0, x)).log())


def log_i0(x):
    """``log I₀(x)`` for positive x, however large."""
    return _log_bessel(x, 0, corten.special.i0)


def log_i1(x):
    """``log I₁(x)`` for positive x, however large."""
    return _log_bessel(x, 1, corten.special.i1)
