"""The LKJ distribution of Cholesky factors of correlation matrices."""

import math

import corten

from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import _standard_normal, broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors ``(*, dim, dim)`` of correlation matrices C of the density proportional to
    ``det(C)^(concentration - 1)``.

    Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on vines and extended onion method"
    (2009).

    Args:
        dim: the size of the matrices, at least 2.
        concentration: 1 for all equally likely, above for smaller correlations, positive.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        like = {"dtype": self.concentration.dtype, "device": self.concentration.device}
        # The squared length of a row's part of k entries below the diagonal is a beta number of the first concentration
        # k / 2 (PyTorch 2.13 takes k - 1/2, which fits its density for k = 1 alone); the first row has none.
        earlier = corten.arange(-1, dim - 1, **like).clamp(min=0)
        marginal = self.concentration.unsqueeze(-1) + 0.5 * (dim - 2)
        self._beta = Beta(0.5 * earlier + 0.5, marginal - 0.5 * earlier)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def expand(self, batch_shape, _instance=None):
        batch_shape = corten.Size(batch_shape)
        new = self._expanded(LKJCholesky, batch_shape, _instance, "concentration", kept=("dim",))
        new._beta = self._beta.expand((*batch_shape, self.dim))
        return new

    def sample(self, sample_shape=()):
        """Draws by the onion method, all rows at once: a direction on a sphere times the root of a beta number."""
        with corten.no_grad():
            squared = self._beta.sample(sample_shape)
            normal = _standard_normal(self._extended_shape(sample_shape), squared.dtype, squared.device).tril(-1)
            length = normal.square().sum(-1, keepdim=True).sqrt()
            length[..., 0, :] = 1
            below = squared.sqrt().unsqueeze(-1) * (normal / length)
            rest = 1 - below.square().sum(-1)
            return below + rest.clamp(min=corten.finfo(rest.dtype).tiny).sqrt().diag_embed()

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        # det(C) is the product of squares of the diagonal, and the Jacobian from L to C one of its powers.
        diagonal = value.diagonal(dim1=-2, dim2=-1)[..., 1:]
        row = corten.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration.unsqueeze(-1) - 1) + self.dim - row
        density = (order * diagonal.log()).sum(-1)
        # Page 1999 of the paper.
        fewer = self.dim - 1
        alpha = self.concentration + 0.5 * fewer
        return density - (0.5 * fewer * math.log(math.pi) + (alpha - 0.5).mvlgamma(fewer) - fewer * alpha.lgamma())
