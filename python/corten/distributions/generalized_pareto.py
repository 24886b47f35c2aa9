"""The generalized Pareto distribution."""

import corten

from . import constraints
from .distribution import Distribution
from .utils import _uniform, broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Excesses over a threshold, with tails from bounded (``concentration`` below 0) to heavy (above).

    Args:
        loc: the threshold.
        scale: the unit of the numbers, positive.
        concentration: the shape of the tail; 0 is the exponential distribution.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(GeneralizedPareto, batch_shape, _instance, "loc", "scale", "concentration")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        upper = corten.where(self.concentration < 0, self.loc - self.scale / self.concentration, corten.inf)
        return constraints.interval(self.loc, upper)

    def _tail(self):
        """Where the concentration is 0 to rounding, and the concentration elsewhere."""
        exponential = corten.isclose(self.concentration, corten.zeros_like(self.concentration))
        return exponential, corten.where(exponential, 1.0, self.concentration)

    def _excess(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return (value - self.loc) / self.scale

    def rsample(self, sample_shape=()):
        return self.icdf(_uniform(self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value):
        z = self._excess(value)
        exponential, k = self._tail()
        power = 1 / k + 1
        # At concentration -1 the density is flat up to its end, where the logarithm is infinite.
        decay = corten.where(power == 0, 0.0, power * (k * z).log1p())
        return -self.scale.log() - corten.where(exponential, z, decay)

    def log_survival_function(self, value):
        """The logarithm of the probability of everything beyond a value."""
        z = self._excess(value)
        exponential, k = self._tail()
        return corten.where(exponential, -z, -(k * z).log1p() / k)

    def log_cdf(self, value):
        """The logarithm of the probability of everything up to a value."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value):
        return self.log_cdf(value).exp()

    def icdf(self, value):
        exponential, k = self._tail()
        log_survival = (-value).log1p()
        excess = corten.where(exponential, -log_survival, (-k * log_survival).expm1() / k)
        return self.loc + self.scale * excess

    @property
    def mean(self):
        k = corten.where(self.concentration < 1, self.concentration, corten.nan)
        return self.loc + self.scale / (1 - k)

    @property
    def variance(self):
        k = corten.where(self.concentration < 0.5, self.concentration, corten.nan)
        return self.scale.square() / ((1 - k).square() * (1 - 2 * k))

    @property
    def mode(self):
        return self.loc

    def entropy(self):
        return self.scale.log() + self.concentration + 1
