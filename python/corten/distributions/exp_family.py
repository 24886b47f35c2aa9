"""The base of exponential families, whose entropy and divergence follow from the log normaliser alone."""

import corten

from .distribution import Distribution
from .utils import _sum_rightmost

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    r"""Distributions with the density :math:`\exp(\langle t(x), \theta \rangle - F(\theta) + k(x))`.

    A family gives its natural parameters θ, the log normaliser F and the mean of the carrier measure k. Nielsen and
    Nock, "Entropies and cross-entropies of exponential families" (2010), derive entropy and divergence from them.
    """

    @property
    def _natural_params(self):
        """The natural parameters θ, a tuple of tensors."""
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        """F(θ)."""
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self):
        """The mean of k(x)."""
        raise NotImplementedError

    def _normalizer_and_moments(self):
        """θ, F(θ), and its gradient, which is the mean of t(x); with gradients where θ has them."""
        natural = self._natural_params
        tracked = corten.is_grad_enabled() and any(p.requires_grad for p in natural)
        with corten.enable_grad():
            params = [p if p.requires_grad else p.detach().requires_grad_() for p in natural]
            normalizer = self._log_normalizer(*params)
            moments = corten.autograd.grad(normalizer.sum(), params, create_graph=tracked)
        return natural, normalizer if tracked else normalizer.detach(), moments

    def entropy(self):
        carrier = self._mean_carrier_measure
        params, result, moments = self._normalizer_and_moments()
        for param, moment in zip(params, moments):
            result = result - _sum_rightmost(param * moment, param.dim() - len(self._batch_shape))
        return result - carrier
