"""Automatic augmentation: AutoAugment, RandAugment, TrivialAugment and AugMix."""

from enum import Enum

import corten
from corten import nn

from . import _policies
from . import functional as F
from ._common import InterpolationMode
from ._draws import integer
from ._geometry import float_fill

__all__ = ["AutoAugmentPolicy", "AutoAugment", "RandAugment", "TrivialAugmentWide", "AugMix"]


class AutoAugmentPolicy(Enum):
    """The data set on which a policy was learned."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


class _Automatic(nn.Module):
    _shown: tuple[str, ...] = ()

    def _fill(self, img):
        return None if self.fill is None else float_fill(self.fill, img)

    def _changed(self, img, name, space, number, fill, negative=None):
        """The image after an operation of this magnitude, whose sign is drawn unless it is given."""
        steps, signed = space[name]
        magnitude = 0.0 if steps is None else float(steps[number() if callable(number) else number])
        if signed and (integer(0, 2) if negative is None else negative):
            magnitude = -magnitude
        return _policies.apply(img, name, magnitude, self.interpolation, fill)

    def __repr__(self):
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in (*self._shown, "fill"))
        return f"{type(self).__name__}({shown})"


class AutoAugment(_Automatic):
    """One of 25 learned pairs of operations, drawn for each image (Cubuk et al. 2019).

    Args:
        policy: the data set on which they were learned.
        interpolation, fill: those of `functional.affine`.
    """

    _shown = ("policy",)

    def __init__(self, policy=AutoAugmentPolicy.IMAGENET, interpolation=InterpolationMode.NEAREST, fill=None):
        super().__init__()
        self.policy = policy
        self.interpolation = interpolation
        self.fill = fill
        if not isinstance(policy, AutoAugmentPolicy):
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policies = _policies.policy(policy.value)

    @staticmethod
    def get_params(transform_num):
        """The number of the pair, whether each of the two is done, by a number below its probability, and its sign."""
        number = integer(0, transform_num)
        return number, corten.rand((2,), device="cpu"), corten.randint(2, (2,), device="cpu")

    def forward(self, img):
        fill = self._fill(img)
        number, chances, signs = self.get_params(len(self.policies))
        _, height, width = F.get_dimensions(img)
        space = _policies.auto_space(10, height, width)
        for (name, probability, magnitude), chance, sign in zip(self.policies[number], chances, signs):
            if chance <= probability:
                img = self._changed(img, name, space, magnitude, fill, negative=int(sign) == 0)
        return img


class RandAugment(_Automatic):
    """Operations drawn at random, all of one magnitude (Cubuk et al. 2020).

    Args:
        num_ops: how many, one after the other.
        magnitude: from 0 to below ``num_magnitude_bins``.
        num_magnitude_bins: how many magnitudes there are.
        interpolation, fill: those of `functional.affine`.
    """

    _shown = ("num_ops", "magnitude", "num_magnitude_bins", "interpolation")

    def __init__(
        self, num_ops=2, magnitude=9, num_magnitude_bins=31, interpolation=InterpolationMode.NEAREST, fill=None
    ):
        super().__init__()
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, img):
        fill = self._fill(img)
        _, height, width = F.get_dimensions(img)
        space = _policies.rand_space(self.num_magnitude_bins, height, width)
        for _ in range(self.num_ops):
            name = list(space)[integer(0, len(space))]
            img = self._changed(img, name, space, self.magnitude, fill)
        return img


class TrivialAugmentWide(_Automatic):
    """One operation of a random magnitude (Müller, Hutter 2021).

    Args:
        num_magnitude_bins: how many magnitudes there are.
        interpolation, fill: those of `functional.affine`.
    """

    _shown = ("num_magnitude_bins", "interpolation")

    def __init__(self, num_magnitude_bins=31, interpolation=InterpolationMode.NEAREST, fill=None):
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, img):
        fill = self._fill(img)
        space = _policies.trivial_space(self.num_magnitude_bins, 0, 0)
        name = list(space)[integer(0, len(space))]
        return self._changed(img, name, space, lambda: integer(0, self.num_magnitude_bins), fill)


class AugMix(_Automatic):
    """The image mixed with chains of operations on it (Hendrycks et al. 2020).

    Args:
        severity: magnitudes are below it, from 1 to 10.
        mixture_width: how many chains.
        chain_depth: how many operations in each; not positive for one to three at random.
        alpha: of the distributions of weights.
        all_ops: with changes of colours' factors.
        interpolation, fill: those of `functional.affine`.

    Raises:
        ValueError: a severity outside.
    """

    _shown = ("severity", "mixture_width", "chain_depth", "alpha", "all_ops", "interpolation")

    def __init__(
        self,
        severity=3,
        mixture_width=3,
        chain_depth=-1,
        alpha=1.0,
        all_ops=True,
        interpolation=InterpolationMode.BILINEAR,
        fill=None,
    ):
        super().__init__()
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation = interpolation
        self.fill = fill

    def forward(self, orig_img):
        fill = self._fill(orig_img)
        image = orig_img if isinstance(orig_img, corten.Tensor) else F.pil_to_tensor(orig_img)
        _, height, width = F.get_dimensions(image)
        space = _policies.mix_space(10, height, width, all_ops=self.all_ops)
        severity = self.severity

        def change(chained):
            name = list(space)[integer(0, len(space))]
            return self._changed(chained, name, space, lambda: integer(0, severity), fill)

        mixed = mix_chains(image, change, self.mixture_width, self.chain_depth, self.alpha)
        return mixed if isinstance(orig_img, corten.Tensor) else F.to_pil_image(mixed, mode=orig_img.mode)


def mix_chains(image, change, mixture_width, chain_depth, alpha, dims=4):
    """The image mixed with chains of changes of it, by weights from Dirichlet distributions.

    Args:
        dims: those of a batch; each element of one has its own weights.
    """
    from corten.distributions._special import sample_dirichlet

    batch = image.reshape(*[1] * max(dims - image.dim(), 0), *image.shape)
    column = [batch.shape[0]] + [1] * (batch.dim() - 1)
    share = sample_dirichlet(corten.tensor([alpha, alpha], device="cpu").expand(batch.shape[0], -1))
    weights = sample_dirichlet(corten.tensor([alpha] * mixture_width, device="cpu").expand(batch.shape[0], -1))
    weights = weights * share[:, 1:]
    mixed = share[:, 0].reshape(column).to(batch.device) * batch
    for number in range(mixture_width):
        chained = batch
        for _ in range(chain_depth if chain_depth > 0 else integer(1, 4)):
            chained = change(chained)
        mixed = mixed + weights[:, number].reshape(column).to(batch.device) * chained
    return mixed.reshape(image.shape).to(image.dtype)
