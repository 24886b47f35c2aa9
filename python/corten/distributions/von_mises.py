"""The von Mises distribution."""

import math

import corten

from . import constraints
from ._special import log_i0, log_i1
from .distribution import Distribution
from .utils import broadcast_all, lazy_property

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles in radians around ``loc``.

    Args:
        loc: the mean angle; any number, modulo 2π.
        concentration: how closely angles gather around it, positive.
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(VonMises, batch_shape, _instance, "loc", "concentration")

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return self.concentration * (value - self.loc).cos() - math.log(2 * math.pi) - log_i0(self.concentration)

    @lazy_property
    def _proposal(self):
        """Location, concentration and the parameter of the proposals, in float64 where the device has it."""
        wide = corten.float64 if self.loc.device.type == "cpu" else self.loc.dtype
        loc, kappa = self.loc.detach().to(wide), self.concentration.detach().to(wide)
        tau = 1 + (1 + 4 * kappa.square()).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        # For small concentrations the difference cancels; its series does not.
        return loc, kappa, corten.where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho.square()) / (2 * rho))

    def sample(self, sample_shape=()):
        """Angles in [−π, π), by the rejection of Best and Fisher, "Efficient simulation of the von Mises distribution"
        (1979): rounds over all angles until each is accepted."""
        with corten.no_grad():
            loc, kappa, r = self._proposal
            angle = corten.zeros(self._extended_shape(sample_shape), dtype=loc.dtype, device=loc.device)
            accepted = corten.zeros_like(angle, dtype=corten.bool)
            while not accepted.all():
                u1, u2, u3 = corten.rand((3, *angle.shape), dtype=loc.dtype, device=loc.device).unbind()
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                accept = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
                angle = corten.where(accept, (u3 - 0.5).sign() * f.acos(), angle)
                accepted = accepted | accept
            return ((angle + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    @property
    def mean(self):
        """The circular mean."""
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        """The circular variance, 1 − I₁(concentration) / I₀(concentration)."""
        return -(log_i1(self.concentration) - log_i0(self.concentration)).expm1()
