"""Bernoulli draws relaxed to numbers between 0 and 1, through which gradients pass."""

import corten

from . import constraints
from ._parameters import BinaryParameter
from .distribution import Distribution
from .transformed_distribution import TransformedDistribution
from .transforms import SigmoidTransform
from .utils import _uniform, broadcast_all, clamp_probs

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class LogitRelaxedBernoulli(BinaryParameter, Distribution):
    """The log odds of :class:`RelaxedBernoulli` draws (Maddison, Mnih and Teh, 2017).

    Args:
        temperature: a positive tensor; draws come closer to 0 and 1 as it falls.
        probs: the probability of 1; or
        logits: its log odds.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature = temperature
        self._set_parameter(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        names = ("probs", "logits", "_param")
        return self._expanded(LogitRelaxedBernoulli, batch_shape, _instance, *names, kept=("temperature",))

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(_uniform(shape, probs))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        temperature = corten.as_tensor(self.temperature, dtype=logits.dtype, device=logits.device)
        difference = logits - value * temperature
        return temperature.log() + difference - 2 * corten.nn.functional.softplus(difference)


class RelaxedBernoulli(TransformedDistribution):
    """Numbers between 0 and 1 that take the place of Bernoulli draws, with gradients.

    Args:
        temperature: a positive tensor; draws come closer to 0 and 1 as it falls.
        probs: the probability of 1; or
        logits: its log odds.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(RelaxedBernoulli, _instance))

    @property
    def temperature(self):
        """How far draws are from 0 and 1."""
        return self.base_dist.temperature

    @property
    def logits(self):
        """The log odds of 1."""
        return self.base_dist.logits

    @property
    def probs(self):
        """The probability of 1."""
        return self.base_dist.probs
