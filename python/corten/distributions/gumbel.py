"""The Gumbel distribution."""

import math

import corten

from . import constraints
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, ExpTransform
from .uniform import Uniform
from .utils import broadcast_all, euler_constant

__all__ = ["Gumbel"]


class Gumbel(TransformedDistribution):
    """What the largest of many exponential numbers tends to: ``loc - scale * log(-log(u))`` of a uniform u.

    Args:
        loc: the mode.
        scale: the unit of the numbers, positive.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = broadcast_all(loc, scale)
        # Neither 0 nor 1, whose logarithms of logarithms are infinite.
        info = corten.finfo(self.loc.dtype)
        low = corten.full_like(self.loc, info.tiny)
        base = Uniform(low, corten.full_like(low, 1 - info.eps), validate_args=validate_args)
        log = ExpTransform().inv
        transforms = [log, AffineTransform(0, -corten.ones_like(self.scale)), log, AffineTransform(loc, -self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(Gumbel, _instance)
        new.loc, new.scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return super().expand(batch_shape, new)

    def log_prob(self, value):
        # Directly: the chain of transforms would lose digits to the logarithms.
        if self._validate_args:
            self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    @property
    def mean(self):
        return self.loc + self.scale * euler_constant

    @property
    def mode(self):
        return self.loc

    @property
    def stddev(self):
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self):
        return self.stddev.pow(2)

    def entropy(self):
        return self.scale.log() + (1 + euler_constant)
