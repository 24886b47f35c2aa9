"""One-hot draws relaxed to points of the simplex, through which gradients pass."""

import math

import corten

from . import constraints
from ._parameters import CategoricalParameter
from .categorical import Categorical
from .distribution import Distribution
from .transformed_distribution import TransformedDistribution
from .transforms import ExpTransform
from .utils import _uniform, broadcast_all, clamp_probs

__all__ = ["ExpRelaxedCategorical", "RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(CategoricalParameter, Distribution):
    """The logarithms of :class:`RelaxedOneHotCategorical` draws (Maddison, Mnih and Teh, 2017).

    Args:
        temperature: a positive tensor; draws come closer to corners as it falls.
        probs: the probabilities ``(*, K)``, which are divided by their sum; or
        logits: log probabilities ``(*, K)``, which need not be normalised.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    # Not the simplex of logarithms, which rounding leaves.
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(ExpRelaxedCategorical, batch_shape, _instance, "_categorical", kept=("temperature",))

    def rsample(self, sample_shape=()):
        u = clamp_probs(_uniform(self._extended_shape(sample_shape), self.logits))
        return ((self.logits - (-u.log()).log()) / self.temperature).log_softmax(-1)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        events = self._event_shape[0]
        logits, value = broadcast_all(self.logits, value)
        temperature = corten.as_tensor(self.temperature, dtype=logits.dtype, device=logits.device)
        score = (logits - value * temperature).log_softmax(-1).sum(-1)
        return score + math.lgamma(events) + (events - 1) * temperature.log()


class RelaxedOneHotCategorical(TransformedDistribution):
    """Points of the simplex that take the place of one-hot draws, with gradients.

    Args:
        temperature: a positive tensor; draws come closer to corners as it falls.
        probs: the probabilities ``(*, K)``, which are divided by their sum; or
        logits: log probabilities ``(*, K)``, which need not be normalised.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return super().expand(batch_shape, self._get_checked_instance(RelaxedOneHotCategorical, _instance))

    @property
    def temperature(self):
        """How far draws are from corners."""
        return self.base_dist.temperature

    @property
    def logits(self):
        """The log probabilities of the events."""
        return self.base_dist.logits

    @property
    def probs(self):
        """The probabilities of the events."""
        return self.base_dist.probs
