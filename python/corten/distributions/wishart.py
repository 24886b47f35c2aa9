"""The Wishart distribution."""

import math
import warnings
from numbers import Number

import corten

from . import _matrices, constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import ScaleMatrix, factor_of, one_matrix
from .utils import vec_to_tril_matrix

__all__ = ["Wishart"]


class Wishart(ScaleMatrix, ExponentialFamily):
    """Sums of ``df`` outer products of normal vectors: positive-definite matrices ``(*, p, p)``.

    Args:
        df: the degrees of freedom, above p − 1; not necessarily an integer.
        covariance_matrix: of the normal vectors, ``(*, p, p)``; or
        precision_matrix: its inverse; or
        scale_tril: its Cholesky factor.

    Raises:
        AssertionError: for none or several of the matrices.
        ValueError: for matrices with too few dims and for degrees of freedom that are too low.
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        name, matrix = one_matrix(
            AssertionError,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        if isinstance(df, Number):
            df = corten.tensor(df, dtype=matrix.dtype, device=matrix.device)
        batch_shape = corten.broadcast_shapes(matrix.shape[:-2], df.shape)
        self.df = df.expand(batch_shape)
        p = matrix.shape[-1]
        if (self.df <= p - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {p - 1}.")
        if (self.df < p).any():
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)
        fewer = corten.arange(p, dtype=matrix.dtype, device=matrix.device)
        self._dist_chi2 = Chi2(self.df.unsqueeze(-1) - fewer)

    @property
    def arg_constraints(self):
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def expand(self, batch_shape, _instance=None):
        batch_shape = corten.Size(batch_shape)
        names = ("df", "covariance_matrix", "scale_tril", "precision_matrix")
        new = self._expanded(Wishart, batch_shape, _instance, *names, kept=("_unbroadcasted_scale_tril",))
        new._dist_chi2 = self._dist_chi2.expand(batch_shape + self.event_shape[-1:])
        return new

    @property
    def mean(self):
        return self._per_matrix(self.df) * self.covariance_matrix

    @property
    def mode(self):
        excess = self.df - self.event_shape[-1] - 1
        return self._per_matrix(excess.masked_fill(excess <= 0, corten.nan)) * self.covariance_matrix

    @property
    def variance(self):
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self._per_matrix(self.df) * (covariance.square() + products)

    @staticmethod
    def _per_matrix(x):
        return x[..., None, None]

    def _bartlett_sampling(self, sample_shape=()):
        """Draws by the decomposition of Bartlett (1933), some of which may be singular to rounding."""
        p = self._event_shape[-1]
        roots = self._dist_chi2.rsample(sample_shape).sqrt()
        like = {"dtype": roots.dtype, "device": roots.device}
        below = corten.randn(corten.Size(sample_shape) + self._batch_shape + (p * (p - 1) // 2,), **like)
        noise = roots.clamp(min=corten.finfo(roots.dtype).eps).diag_embed() + vec_to_tril_matrix(below, diag=-1)
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def rsample(self, sample_shape=(), max_try_correction=10):
        """Draws with gradients; those that are singular to rounding are drawn again.

        Args:
            max_try_correction: how often.
        """
        sample = self._bartlett_sampling(sample_shape)
        singular = ~self.support.check(sample)
        for _ in range(10 if max_try_correction is None else max_try_correction):
            if not singular.any():
                break
            warnings.warn("Singular sample detected.", stacklevel=2)
            sample = corten.where(self._per_matrix(singular), self._bartlett_sampling(sample_shape), sample)
            singular = ~self.support.check(sample)
        return sample

    def _half_log_norm(self):
        """Half of ``log det`` of twice the covariance."""
        p = self._event_shape[-1]
        return p * math.log(2) / 2 + _matrices.half_log_det(self._unbroadcasted_scale_tril)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        df, p = self.df, self._event_shape[-1]
        precision = _matrices.inverse_of_product(self._unbroadcasted_scale_tril)
        normalizer = df * self._half_log_norm() + (df / 2).mvlgamma(p)
        trace = (precision * value).sum((-2, -1))
        return (df - p - 1) / 2 * _log_abs_det(value) - trace / 2 - normalizer

    def entropy(self):
        df, p = self.df, self._event_shape[-1]
        halves = corten.arange(p, dtype=df.dtype, device=df.device) / 2
        digammas = (df.unsqueeze(-1) / 2 - halves).digamma().sum(-1)
        return (p + 1) * self._half_log_norm() + (df / 2).mvlgamma(p) - (df - p - 1) / 2 * digammas + df * p / 2

    @property
    def _natural_params(self):
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x, y):
        p = self._event_shape[-1]
        half_df = y + (p + 1) / 2
        return half_df * (p * math.log(2) - _log_abs_det(-2 * x)) + half_df.mvlgamma(p)


def _log_abs_det(A):
    """``log |det A|``, −∞ for singular matrices."""
    return corten.linalg.qr(A)[1].diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
