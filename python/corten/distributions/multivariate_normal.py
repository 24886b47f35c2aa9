"""The multivariate normal distribution."""

import math

import corten

from . import _matrices, constraints
from .distribution import Distribution
from .utils import _standard_normal, lazy_property

__all__ = ["MultivariateNormal"]


def one_matrix(error, **matrices):
    """The one matrix that is given, by its name."""
    given = [(name, matrix) for name, matrix in matrices.items() if matrix is not None]
    if len(given) != 1:
        raise error("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
    return given[0]


def factor_of(name, matrix):
    """The Cholesky factor of the covariance that a matrix describes."""
    if name == "scale_tril":
        return matrix
    if name == "covariance_matrix":
        return _matrices.cholesky(matrix)
    return _matrices.precision_to_scale_tril(matrix)


class ScaleMatrix:
    """Three forms of a positive-definite matrix, of which one is given and the others follow when they are read."""

    def _of_batch(self, matrix):
        return matrix.expand(self._batch_shape + matrix.shape[-2:])

    @lazy_property
    def scale_tril(self):
        """The Cholesky factor of the covariance, ``(*, n, n)``."""
        return self._of_batch(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        """The covariance ``(*, n, n)``."""
        return self._of_batch(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self):
        """The inverse of the covariance, ``(*, n, n)``."""
        return self._of_batch(_matrices.inverse_of_product(self._unbroadcasted_scale_tril))


class MultivariateNormal(ScaleMatrix, Distribution):
    """Vectors of jointly normal numbers.

    Args:
        loc: the mean ``(*, n)``.
        covariance_matrix: positive definite ``(*, n, n)``; or
        precision_matrix: its inverse; or
        scale_tril: its Cholesky factor, a lower triangle with a positive diagonal.

    Raises:
        ValueError: for none or several of the matrices, and for arguments with too few dims.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = one_matrix(
            ValueError,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = corten.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))
        self.loc = loc.expand((*batch_shape, -1))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)

    def expand(self, batch_shape, _instance=None):
        names = ("loc", "covariance_matrix", "scale_tril", "precision_matrix")
        kept = ("_unbroadcasted_scale_tril",)
        return self._expanded(MultivariateNormal, batch_shape, _instance, *names, kept=kept)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._extended_shape())

    def rsample(self, sample_shape=()):
        normal = _standard_normal(self._extended_shape(sample_shape), self.loc.dtype, self.loc.device)
        return self.loc + _matrices.matvec(self._unbroadcasted_scale_tril, normal)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        L = self._unbroadcasted_scale_tril
        distance = _matrices.squared_distance(L, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - _matrices.half_log_det(L)

    def entropy(self):
        half_log_det = _matrices.half_log_det(self._unbroadcasted_scale_tril)
        entropy = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi)) + half_log_det
        return entropy.expand(self._batch_shape)
