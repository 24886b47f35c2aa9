"""Invertible functions with the logarithms of their Jacobians' determinants."""

import math
from numbers import Number

import corten
from corten.nn.functional import logsigmoid, pad, softplus

from . import _matrices, constraints
from ._transform import (
    CatTransform,
    ComposeTransform,
    FixedTransform,
    IndependentTransform,
    ReshapeTransform,
    StackTransform,
    Transform,
    _InverseTransform,  # noqa: F401  (packages register it under this home)
    as_event,
    check_rank,
    identity_transform,
)
from .utils import _sum_rightmost, broadcast_all, lazy_property, tril_matrix_to_vec, vec_to_tril_matrix

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "ComposeTransform",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "ExpTransform",
    "IndependentTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


class ExpTransform(FixedTransform):
    """y = exp(x)."""

    domain = constraints.real
    codomain = constraints.positive
    bijective = True
    sign = +1

    def _call(self, x):
        return x.exp()

    def _inverse(self, y):
        return y.log()

    def log_abs_det_jacobian(self, x, y):
        return x


class PowerTransform(Transform):
    """y = x^exponent, of positive numbers.

    Args:
        exponent: a number or tensor, not 0.
    """

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent, cache_size=0):
        super().__init__(cache_size=cache_size)
        (self.exponent,) = broadcast_all(exponent)

    def _arguments(self):
        return (self.exponent,)

    @lazy_property
    def sign(self):
        return self.exponent.sign()

    def __eq__(self, other):
        return isinstance(other, PowerTransform) and bool((self.exponent == other.exponent).all())

    def _call(self, x):
        return x.pow(self.exponent)

    def _inverse(self, y):
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x, y):
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape):
        return corten.broadcast_shapes(shape, self.exponent.shape)

    inverse_shape = forward_shape


def _inside_unit(y):
    """Numbers moved into the open interval between 0 and 1."""
    info = corten.finfo(y.dtype)
    return y.clamp(min=info.tiny, max=1 - info.eps)


class SigmoidTransform(FixedTransform):
    """y = 1 / (1 + exp(−x)), kept away from 0 and 1."""

    domain = constraints.real
    codomain = constraints.unit_interval
    bijective = True
    sign = +1

    def _call(self, x):
        return _inside_unit(x.sigmoid())

    def _inverse(self, y):
        y = _inside_unit(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x, y):
        return -softplus(-x) - softplus(x)


class SoftplusTransform(FixedTransform):
    """y = log(1 + exp(x))."""

    domain = constraints.real
    codomain = constraints.positive
    bijective = True
    sign = +1

    def _call(self, x):
        return softplus(x)

    def _inverse(self, y):
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x, y):
        return -softplus(-x)


class TanhTransform(FixedTransform):
    """y = tanh(x). The inverse of ±1 is infinite; ``cache_size=1`` gives back the x of a y that rounded to it."""

    domain = constraints.real
    codomain = constraints.interval(-1.0, 1.0)
    bijective = True
    sign = +1

    def _call(self, x):
        return x.tanh()

    def _inverse(self, y):
        return y.atanh()

    def log_abs_det_jacobian(self, x, y):
        return _log_tanh_slope(x)


def _log_tanh_slope(x):
    """``log(1 − tanh²(x))``, without the cancellation of the difference."""
    return 2 * (math.log(2) - x - softplus(-2 * x))


class AbsTransform(FixedTransform):
    """y = |x|; of the two inverses the positive one."""

    domain = constraints.real
    codomain = constraints.positive

    def _call(self, x):
        return x.abs()

    def _inverse(self, y):
        return y


class AffineTransform(Transform):
    """y = loc + scale · x.

    Args:
        loc: a number or tensor.
        scale: a number or tensor, not 0.
        event_dim: how many of the last dims make one value.
    """

    bijective = True

    def __init__(self, loc, scale, event_dim=0, cache_size=0):
        super().__init__(cache_size=cache_size)
        self.loc = loc
        self.scale = scale
        self._event_dim = event_dim

    def _arguments(self):
        return self.loc, self.scale, self._event_dim

    @property
    def event_dim(self):
        return self._event_dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self):
        return as_event(constraints.real, self.event_dim)

    codomain = domain

    def __eq__(self, other):
        if not isinstance(other, AffineTransform):
            return False
        return all(
            bool(corten.as_tensor(own == theirs).all())
            for own, theirs in ((self.loc, other.loc), (self.scale, other.scale))
        )

    @property
    def sign(self):
        if isinstance(self.scale, Number):
            return (self.scale > 0) - (self.scale < 0)
        return self.scale.sign()

    def _call(self, x):
        return self.loc + self.scale * x

    def _inverse(self, y):
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x, y):
        if isinstance(self.scale, Number):
            slope = corten.full_like(x, math.log(abs(self.scale)))
        else:
            slope = self.scale.abs().log().expand(x.shape)
        return _sum_rightmost(slope, self.event_dim)

    def forward_shape(self, shape):
        return corten.broadcast_shapes(shape, getattr(self.loc, "shape", ()), getattr(self.scale, "shape", ()))

    inverse_shape = forward_shape


class CorrCholeskyTransform(FixedTransform):
    """Vectors of D (D − 1) / 2 numbers to Cholesky factors ``(*, D, D)`` of correlation matrices.

    The numbers, row by row below the diagonal, become partial correlations by tanh; breaking a stick of length 1 by
    them gives rows of that length (Lewandowski, Kurowicka and Joe, 2009). The Jacobian is that of the entries below
    the diagonal.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x):
        eps = corten.finfo(x.dtype).eps
        partial = vec_to_tril_matrix(x.tanh().clamp(min=eps - 1, max=1 - eps), diag=-1)
        left = (1 - partial.square()).sqrt().cumprod(-1)
        unit = corten.eye(partial.shape[-1], dtype=x.dtype, device=x.device)
        return (partial + unit) * pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y):
        left = pad(1 - y.square().cumsum(-1)[..., :-1], [1, 0], value=1)
        partial = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()
        return (partial.log1p() - (-partial).log1p()) / 2

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        # What is left of a row after an entry scales the next one: those two below the diagonal have a next one.
        left = tril_matrix_to_vec(1 - y.square().cumsum(-1), diag=-2)
        return 0.5 * left.log().sum(-1) + _log_tanh_slope(x).sum(-1)

    def forward_shape(self, shape):
        check_rank(shape, 1)
        size = round((0.25 + 2 * shape[-1]) ** 0.5 + 0.5)
        if size * (size - 1) // 2 != shape[-1]:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return corten.Size((*shape[:-1], size, size))

    def inverse_shape(self, shape):
        check_rank(shape, 2)
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return corten.Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


class SoftmaxTransform(FixedTransform):
    """y = softmax(x) along the last dim. Not bijective: y does not say how large all of x was."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x):
        return x.softmax(-1)

    def _inverse(self, y):
        return y.log()

    def forward_shape(self, shape):
        check_rank(shape, 1)
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(FixedTransform):
    """Vectors of K − 1 numbers to K positive ones that sum to 1.

    The sigmoid of a number, shifted so that 0 gives equal parts, is the share that is broken off what is left of a
    stick of length 1.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    @staticmethod
    def _shift(x):
        """The logarithm of how many parts are left after each one."""
        return corten.arange(x.shape[-1], 0, -1, dtype=x.dtype, device=x.device).log()

    def _call(self, x):
        share = _inside_unit((x - self._shift(x)).sigmoid())
        left = (1 - share).cumprod(-1)
        return pad(share, [0, 1], value=1) * pad(left, [1, 0], value=1)

    def _inverse(self, y):
        part = y[..., :-1]
        # The last part may have rounded away.
        left = (1 - part.cumsum(-1)).clamp(min=corten.finfo(y.dtype).tiny)
        return part.log() - left.log() + self._shift(part)

    def log_abs_det_jacobian(self, x, y):
        x = x - self._shift(x)
        # The slope of a part is the part times 1 - sigmoid(x) = exp(-x) sigmoid(x).
        return (logsigmoid(x) - x + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape):
        check_rank(shape, 1)
        return corten.Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape):
        check_rank(shape, 1)
        return corten.Size((*shape[:-1], shape[-1] - 1))


class LowerCholeskyTransform(FixedTransform):
    """Matrices to lower triangles with positive diagonals, the exponentials of what was there."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x):
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y):
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(FixedTransform):
    """Matrices to positive-definite ones, by way of their Cholesky factors."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x):
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y):
        return LowerCholeskyTransform().inv(_matrices.cholesky(y))


class CumulativeDistributionTransform(Transform):
    """y = the probability of everything up to x, by the ``cdf`` of a distribution.

    Args:
        distribution: one of single numbers, with ``cdf``, ``icdf`` and ``log_prob``.
    """

    bijective = True
    codomain = constraints.unit_interval
    sign = +1

    def __init__(self, distribution, cache_size=0):
        super().__init__(cache_size=cache_size)
        self.distribution = distribution

    def _arguments(self):
        return (self.distribution,)

    @property
    def domain(self):
        return self.distribution.support

    def _call(self, x):
        return self.distribution.cdf(x)

    def _inverse(self, y):
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x, y):
        return self.distribution.log_prob(x)
