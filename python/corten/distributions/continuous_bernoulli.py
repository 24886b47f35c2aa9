"""The continuous Bernoulli distribution."""

import math

import corten

from . import constraints
from ._parameters import BinaryParameter, cross_entropy
from .exp_family import ExponentialFamily
from .utils import _uniform, broadcast_all, clamp_probs, lazy_property, logits_to_probs, one_of, probs_to_logits

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(BinaryParameter, ExponentialFamily):
    """Numbers between 0 and 1 of the density proportional to ``probs^x (1 - probs)^(1 - x)``.

    Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational autoencoders"
    (2019).

    Args:
        probs: between 0 and 1, but not the mean; or
        logits: its log odds.
        lims: the stretch of ``probs`` around 0.5 where series take the place of formulas that cancel there.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        name, value = one_of(probs, logits)
        (value,) = broadcast_all(value)
        if name == "probs":
            check = self._validate_args if validate_args is None else validate_args
            # Before they are moved inside, where all are valid.
            if check and not self.arg_constraints["probs"].check(value).all():
                raise ValueError("The parameter probs has invalid values")
            value = clamp_probs(value)
        self._param = value
        setattr(self, name, value)
        self._lims = lims
        super().__init__(value.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        names = ("probs", "logits", "_param")
        return self._expanded(ContinuousBernoulli, batch_shape, _instance, *names, kept=("_lims",))

    @lazy_property
    def logits(self):
        """The log odds of ``probs``."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        """The parameter, moved inside the open interval between 0 and 1."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _stable(self):
        """Where the formulas hold their digits, and probabilities and log odds that do everywhere."""
        low, high = self._lims
        stable = (self.probs <= low) | (self.probs > high)
        return (
            stable,
            corten.where(stable, self.probs, low),
            corten.where(stable, self.logits, math.log(low / (1 - low))),
        )

    def _cont_bern_log_norm(self):
        """The logarithm of what the density is multiplied by, ``logits / tanh(logits / 2)``."""
        stable, _, logits = self._stable()
        x = (self.probs - 0.5).square()
        series = math.log(2) + (4 / 3 + 104 / 45 * x) * x
        return corten.where(stable, (logits / (logits / 2).tanh()).log(), series)

    @property
    def mean(self):
        stable, probs, logits = self._stable()
        x = self.probs - 0.5
        series = 0.5 + (1 / 3 + 16 / 45 * x.square()) * x
        return corten.where(stable, probs / (2 * probs - 1) - 1 / logits, series)

    @property
    def variance(self):
        stable, probs, logits = self._stable()
        x = (self.probs - 0.5).square()
        series = 1 / 12 - (1 / 15 - 128 / 945 * x) * x
        return corten.where(stable, probs * (probs - 1) / (1 - 2 * probs).square() + 1 / logits.square(), series)

    def sample(self, sample_shape=()):
        with corten.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=()):
        return self.icdf(_uniform(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return self._cont_bern_log_norm() - cross_entropy(*broadcast_all(self.logits, value))

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        stable, probs, _ = self._stable()
        inside = (probs.pow(value) * (1 - probs).pow(1 - value) + probs - 1) / (2 * probs - 1)
        return corten.where(stable, inside, value).clamp(min=0, max=1)

    def icdf(self, value):
        stable, probs, logits = self._stable()
        inside = ((-probs + value * (2 * probs - 1)).log1p() - (-probs).log1p()) / logits
        return corten.where(stable, inside, value)

    def entropy(self):
        return -self.mean * self.logits - self._cont_bern_log_norm() - (-self.probs).log1p()

    @property
    def _natural_params(self):
        return (self.logits,)

    def _log_normalizer(self, x):
        low, high = self._lims
        stable = (x <= low - 0.5) | (x > high - 0.5)
        safe = corten.where(stable, x, low - 0.5)
        series = 0.5 * x + x.pow(2) / 24 - x.pow(4) / 2880
        return corten.where(stable, (safe.expm1() / safe).log(), series)
