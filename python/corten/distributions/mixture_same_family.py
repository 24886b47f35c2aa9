"""Mixtures of distributions of one family."""

import corten

from . import constraints
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A draw from one of K components, chosen at random.

    Args:
        mixture_distribution: a :class:`Categorical` over K events.
        component_distribution: a distribution whose batch's last dim is K; the dims before are the mixture's batch.

    Raises:
        ValueError: for other arguments and for shapes that do not fit.
    """

    arg_constraints = {}
    has_rsample = False

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError("The Mixture distribution needs to be an instance of corten.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of corten.distributions.Distribution")
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        weights, batch_shape = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        if any(i != 1 and j != 1 and i != j for i, j in zip(reversed(weights), reversed(batch_shape))):
            raise ValueError(
                f"`mixture_distribution.batch_shape` ({weights}) is not compatible with "
                f"`component_distribution.batch_shape`({batch_shape})"
            )
        events = mixture_distribution.param_shape[-1]
        components = component_distribution.batch_shape[-1]
        if events != components:
            raise ValueError(
                f"`mixture_distribution component` ({events}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({components})"
            )
        self._num_component = components
        event_shape = component_distribution.event_shape
        self._event_ndims = len(event_shape)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        batch_shape = corten.Size(batch_shape)
        kept = ("_num_component", "_event_ndims")
        new = self._expanded(MixtureSameFamily, batch_shape, _instance, "_mixture_distribution", kept=kept)
        new._component_distribution = self._component_distribution.expand((*batch_shape, self._num_component))
        return new

    @constraints.dependent_property
    def support(self):
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self):
        """Which component is chosen how often."""
        return self._mixture_distribution

    @property
    def component_distribution(self):
        """The components, along the last dim of the batch."""
        return self._component_distribution

    def _weighted(self, values):
        """The mean over components of values ``(*, K, *event)``."""
        probs = self._mixture_distribution.probs
        return (probs[(..., *(None,) * self._event_ndims)] * values).sum(-1 - self._event_ndims)

    def _pad(self, x):
        return x.unsqueeze(-1 - self._event_ndims)

    @property
    def mean(self):
        return self._weighted(self._component_distribution.mean)

    @property
    def variance(self):
        components = self._component_distribution
        between = (components.mean - self._pad(self.mean)).square()
        return self._weighted(components.variance) + self._weighted(between)

    def cdf(self, x):
        return (self._component_distribution.cdf(self._pad(x)) * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, x):
        if self._validate_args:
            self._validate_sample(x)
        log_prob = self._component_distribution.log_prob(self._pad(x))
        return (log_prob + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape=()):
        with corten.no_grad():
            chosen = self._mixture_distribution.expand(self._batch_shape).sample(sample_shape)
            draws = self._component_distribution.sample(sample_shape)
            dim = draws.dim() - 1 - self._event_ndims
            index = chosen.reshape(chosen.shape + (1,) * (1 + self._event_ndims))
            index = index.expand((*chosen.shape, 1, *self._event_shape))
            return draws.gather(dim, index).squeeze(dim)

    def __repr__(self):
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
