"""The multivariate normal distribution with a covariance of low rank beside its diagonal."""

import math

import corten

from . import _matrices, constraints
from .distribution import Distribution
from .utils import _standard_normal, lazy_property

__all__ = ["LowRankMultivariateNormal"]


def _scaled(factor, diagonal):
    """``factor.mT / diagonal``, the m × n matrix that the Woodbury identity uses throughout."""
    return factor.mT / diagonal.unsqueeze(-2)


def _identity_plus(matrix):
    return matrix + corten.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


class LowRankMultivariateNormal(Distribution):
    """Vectors of jointly normal numbers of the covariance ``cov_factor @ cov_factor.mT + diag(cov_diag)``.

    Determinant and inverse follow from those of an m × m matrix, by the matrix determinant lemma and the Woodbury
    identity, so that nothing of the size n × n is made.

    Args:
        loc: the mean ``(*, n)``.
        cov_factor: ``(*, n, m)``.
        cov_diag: positive, ``(*, n)``.

    Raises:
        ValueError: for arguments that do not fit each other.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        try:
            batch_shape = corten.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as e:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from e
        self.loc = loc.expand(batch_shape + event_shape)
        self.cov_factor = cov_factor.expand(batch_shape + cov_factor.shape[-2:])
        self.cov_diag = cov_diag.expand(batch_shape + event_shape)
        self._unbroadcasted_cov_factor = cov_factor
        self._unbroadcasted_cov_diag = cov_diag
        self._capacitance_tril = _matrices.cholesky(_identity_plus(_scaled(cov_factor, cov_diag) @ cov_factor))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        names = ("loc", "cov_factor", "cov_diag")
        kept = ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril")
        return self._expanded(LowRankMultivariateNormal, batch_shape, _instance, *names, kept=kept)

    def _of_batch(self, matrix):
        return matrix.expand(self._batch_shape + matrix.shape[-2:])

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        variance = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return variance.expand(self._extended_shape())

    @lazy_property
    def scale_tril(self):
        """The Cholesky factor of the covariance, ``(*, n, n)``."""
        # Of √D (I + √D⁻¹ W Wᵀ √D⁻¹) √D, whose inner matrix has no eigenvalue below 1.
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        return self._of_batch(root * _matrices.cholesky(_identity_plus(scaled @ scaled.mT)))

    @lazy_property
    def covariance_matrix(self):
        """The covariance ``(*, n, n)``."""
        W = self._unbroadcasted_cov_factor
        return self._of_batch(W @ W.mT + self._unbroadcasted_cov_diag.diag_embed())

    @lazy_property
    def precision_matrix(self):
        """The inverse of the covariance, ``(*, n, n)``."""
        inner = self._whitened()
        return self._of_batch(self._unbroadcasted_cov_diag.reciprocal().diag_embed() - inner.mT @ inner)

    def _whitened(self):
        """A with ``A.mT @ A`` the difference between the inverses of the diagonal and of the covariance."""
        return _matrices.solve(
            self._capacitance_tril, _scaled(self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag)
        )

    def _log_det(self):
        """The logarithm of the covariance's determinant."""
        return 2 * _matrices.half_log_det(self._capacitance_tril) + self._unbroadcasted_cov_diag.log().sum(-1)

    def _squared_distance(self, difference):
        """``xᵀ C⁻¹ x`` of vectors ``(*, n)``, C the covariance."""
        scaled = _scaled(self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag)
        shared = _matrices.squared_distance(self._capacitance_tril, _matrices.matvec(scaled, difference))
        return (difference.pow(2) / self._unbroadcasted_cov_diag).sum(-1) - shared

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        shared = _standard_normal(shape[:-1] + self.cov_factor.shape[-1:], self.loc.dtype, self.loc.device)
        own = _standard_normal(shape, self.loc.dtype, self.loc.device)
        correlated = _matrices.matvec(self._unbroadcasted_cov_factor, shared)
        return self.loc + correlated + self._unbroadcasted_cov_diag.sqrt() * own

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        distance = self._squared_distance(value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self._log_det() + distance)

    def entropy(self):
        entropy = 0.5 * (self._event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_det())
        return entropy.expand(self._batch_shape)
