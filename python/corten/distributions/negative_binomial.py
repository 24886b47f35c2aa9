"""The negative binomial distribution."""

import corten

from . import constraints
from ._parameters import BinaryParameter
from .distribution import Distribution
from .gamma import Gamma
from .utils import lazy_property

__all__ = ["NegativeBinomial"]


class NegativeBinomial(BinaryParameter, Distribution):
    """The number of successes before ``total_count`` failures, of trials that succeed with the probability ``probs``.

    Args:
        total_count: the number of failures, not negative; it need not be an integer.
        probs: the probability of success, below 1; or
        logits: its log odds.
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        (count,) = self._set_parameter(probs, logits, total_count)
        self.total_count = count.type_as(self._param)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(NegativeBinomial, batch_shape, _instance, "total_count", "probs", "logits", "_param")

    @property
    def mean(self):
        return self.total_count * self.logits.exp()

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self):
        return self.mean / (-self.logits).sigmoid()

    @lazy_property
    def _gamma(self):
        # A count of 0 has no gamma distribution, but draws of 0.
        return Gamma(self.total_count, (-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape=()):
        with corten.no_grad():
            return corten.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        log_sigmoid = corten.nn.functional.logsigmoid
        powers = self.total_count * log_sigmoid(-self.logits) + value * log_sigmoid(self.logits)
        ways = (self.total_count + value).lgamma() - (1 + value).lgamma() - self.total_count.lgamma()
        # No failures wanted: 0 is certain, though lgamma(0) is infinite.
        return powers + ways.masked_fill(self.total_count + value == 0, 0)
