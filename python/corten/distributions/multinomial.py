"""The multinomial distribution."""

import math

import corten

from . import constraints
from ._parameters import CategoricalParameter
from .binomial import Binomial
from .categorical import Categorical
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["Multinomial"]


class Multinomial(CategoricalParameter, Distribution):
    """How often each of K events occurs in ``total_count`` trials.

    Args:
        total_count: the number of trials, an int.
        probs: the probabilities ``(*, K)``, which are divided by their sum; or
        logits: log probabilities ``(*, K)``, which need not be normalised.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)
        if self._validate_args and total_count < 0:
            raise ValueError(f"Multinomial: total_count has to be a number of trials, at least 0, but is {total_count}")

    def expand(self, batch_shape, _instance=None):
        return self._expanded(Multinomial, batch_shape, _instance, "_categorical", kept=("total_count",))

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        sample_shape = corten.Size(sample_shape)
        events = self._categorical.sample((self.total_count, *sample_shape)).movedim(0, -1)
        counts = corten.zeros(self._extended_shape(sample_shape), dtype=corten.int64, device=events.device)
        counts.scatter_add_(-1, events, corten.ones_like(events))
        return counts.type_as(self.probs)

    def entropy(self):
        # Every count is binomial: the mean of the logarithms of their factorials needs no joint distribution.
        n = self.total_count
        count = Binomial(n, self.probs)
        values = count.enumerate_support(expand=False)[1:]
        log_factorials = (count.log_prob(values).exp() * (values + 1).lgamma()).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + log_factorials

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        ways = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
        # An impossible event that did not occur: 0 · -inf is 0.
        logits = logits.masked_fill((value == 0) & (logits == -corten.inf), 0)
        return ways + (logits * value).sum(-1)
