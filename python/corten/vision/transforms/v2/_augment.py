"""Transforms that erase or mix."""

import math
import numbers

import corten
from corten.utils._pytree import tree_flatten, tree_unflatten
from corten.vision import tv_tensors
from corten.vision._pillow import is_pil_image

from .. import _draws, _policies
from .._colors import RandomErasing as _Erasing1
from .._colors import check_erasing
from ..autoaugment import AutoAugmentPolicy, mix_chains
from . import functional as F
from ._misc import find_labels, labels_finder
from ._transform import BOXES_LIKE, RandomApplied, Transform, fill_of, has_any, is_image, is_pure_tensor, setup_fill


class RandomErasing(RandomApplied):
    """A random box overwritten, with probability ``p`` (Zhong et al. 2020).

    Args:
        p: the probability.
        scale: the least and greatest share of the image's area.
        ratio: the least and greatest ratio of edges.
        value: a number, one for each channel, or ``"random"`` for normal noise.
        inplace: writes into the tensor.
    """

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0.0, inplace=False):
        super().__init__(p=p)
        check_erasing(p, scale, ratio, value)
        self.scale = scale
        self.ratio = ratio
        if isinstance(value, numbers.Number):
            self.value = [float(value)]
        else:
            self.value = None if isinstance(value, str) else [float(number) for number in value]
        self.inplace = inplace

    get_params = staticmethod(_Erasing1.get_params)

    def make_params(self, flat_inputs):
        from ._transform import query_chw

        channels, height, width = query_chw(flat_inputs)
        if self.value is not None and len(self.value) not in (1, channels):
            raise ValueError(
                f"If value is a sequence, it should have either a single value or {channels} (number of input channels)"
            )
        image = corten.empty(channels, 1, 1, device="cpu").expand(channels, height, width)
        *box, values = self.get_params(image, self.scale, self.ratio, self.value)
        # The whole image stands for none that fits.
        return dict(box=box, values=None if values is image else values)

    def transform(self, inpt, params):
        values = params["values"]
        if values is None:
            return inpt
        if isinstance(inpt, corten.Tensor):
            values = values.to(inpt.device, inpt.dtype)
        return self._call("erase", inpt, *params["box"], values, self.inplace)


class _Mixing(Transform):
    def __init__(self, *, alpha=1.0, num_classes=None, labels_getter="default"):
        super().__init__()
        self.alpha = float(alpha)
        self.num_classes = num_classes
        self._labels = labels_finder(labels_getter) if labels_getter != "default" else find_labels
        self._beta = corten.distributions.Beta(corten.tensor([self.alpha]), corten.tensor([self.alpha]))

    def forward(self, *inputs):
        """The batch, mixed with itself shifted by one."""
        inputs = inputs if len(inputs) > 1 else inputs[0]
        flat, structure = tree_flatten(inputs)
        if has_any(flat, is_pil_image, *BOXES_LIKE):
            raise ValueError(f"{type(self).__name__}() does not support PIL images, bounding boxes and masks.")
        labels = self._labels(inputs)
        if not isinstance(labels, corten.Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        if labels.dim() not in (1, 2):
            raise ValueError(
                "labels should be index based with shape (batch_size,) or probability based with shape (batch_size, "
                f"num_classes), but got a tensor of shape {labels.shape} instead."
            )
        if labels.dim() == 2 and self.num_classes is not None and labels.shape[-1] != self.num_classes:
            raise ValueError(
                f"When passing 2D labels, the number of elements in last dimension must match num_classes: "
                f"{labels.shape[-1]} != {self.num_classes}. You can Leave num_classes to None."
            )
        if labels.dim() == 1 and self.num_classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based (1D)")
        images = [inpt for inpt in flat if is_image(inpt) and inpt is not labels]
        for image in images[:1]:
            self._check_batch(image, len(labels))
        params = self.make_params(images)
        first = next((image for image in images if not is_pure_tensor(image)), images[0] if images else None)
        wanted = [inpt is labels or (is_image(inpt) and (not is_pure_tensor(inpt) or inpt is first)) for inpt in flat]
        mixed = [
            self._mixed_labels(inpt, params["lam"])
            if inpt is labels
            else self.transform(inpt, params)
            if needed
            else inpt
            for inpt, needed in zip(flat, wanted)
        ]
        return tree_unflatten(mixed, structure)

    def _check_batch(self, image, count):
        expected = 5 if isinstance(image, tv_tensors.Video) else 4
        if image.dim() != expected:
            raise ValueError(
                f"Expected a batched input with {expected} dims, but got {image.dim()} dimensions instead."
            )
        if image.shape[0] != count:
            raise ValueError(
                f"The batch size of the image or video does not match the batch size of the labels: "
                f"{image.shape[0]} != {count}."
            )

    def _mixed_labels(self, labels, share):
        if labels.dim() == 1:
            labels = corten.nn.functional.one_hot(labels, num_classes=self.num_classes)
        labels = labels if labels.is_floating_point() else labels.float()
        return labels.roll(1, 0) * (1.0 - share) + labels * share


class MixUp(_Mixing):
    """Each image of a batch mixed with the one before it (Zhang et al. 2018), and so the labels.

    Args:
        alpha: of the Beta distribution of the share.
        num_classes: for labels that are numbers.
        labels_getter: that of `SanitizeBoundingBoxes`.

    Raises:
        ValueError: no batch, or labels of another kind or number.
    """

    def make_params(self, flat_inputs):
        return dict(lam=float(self._beta.sample(())))

    def transform(self, inpt, params):
        plain, share = inpt.as_subclass(corten.Tensor), params["lam"]
        mixed = plain.roll(1, 0) * (1.0 - share) + plain * share
        return tv_tensors.wrap(mixed, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else mixed


class CutMix(_Mixing):
    """In each image of a batch a box from the one before it (Yun et al. 2019); the labels by its area.

    Arguments and errors are those of `MixUp`.
    """

    def make_params(self, flat_inputs):
        share = float(self._beta.sample(()))
        height, width = flat_inputs[0].shape[-2:]
        x, y = _draws.integer(0, width), _draws.integer(0, height)
        half = 0.5 * math.sqrt(1.0 - share)
        half_width, half_height = int(half * width), int(half * height)
        left, top = max(x - half_width, 0), max(y - half_height, 0)
        right, bottom = min(x + half_width, width), min(y + half_height, height)
        covered = (right - left) * (bottom - top) / (width * height)
        return dict(box=(left, top, right, bottom), lam=1.0 - covered)

    def transform(self, inpt, params):
        left, top, right, bottom = params["box"]
        plain = inpt.as_subclass(corten.Tensor)
        mixed = plain.clone()
        mixed[..., top:bottom, left:right] = plain.roll(1, 0)[..., top:bottom, left:right]
        return tv_tensors.wrap(mixed, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else mixed


class _Automatic(Transform):
    def __init__(self, *, interpolation="nearest", fill=None):
        super().__init__()
        self.interpolation = interpolation
        self.fill = fill
        self._fill = setup_fill(fill)

    def check_inputs(self, flat_inputs):
        if has_any(flat_inputs, *BOXES_LIKE):
            raise TypeError(f"Inputs of type BoundingBoxes and Mask are not supported by {type(self).__name__}()")

    def forward(self, *inputs):
        """The sample with its image changed."""
        flat, structure = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(flat)
        images = [place for place, needed in enumerate(self._wanted(flat)) if needed and is_image(flat[place])]
        if len(images) != 1:
            found = "Expected to find" if not images else f"Found {len(images)} images, expected"
            raise TypeError(f"{found} one image in the sample for {type(self).__name__}()")
        image = flat[images[0]]
        flat[images[0]] = self._augmented(image, *F.get_size(image), fill_of(self._fill, image))
        return tree_unflatten(flat, structure)

    def _augmented(self, image, height, width, fill):
        raise NotImplementedError(f"{type(self).__name__} has no _augmented")

    def _random_name(self, space):
        return list(space)[_draws.integer(0, len(space))]

    def _do(self, image, name, space, number, fill):
        steps, signed = space[name]
        magnitude = 0.0
        if steps is not None:
            magnitude = float(steps[number() if callable(number) else number])
            if signed and corten.rand((), device="cpu") <= 0.5:
                magnitude = -magnitude
        if name == "Solarize":
            from .._common import max_value

            magnitude *= max_value(image.dtype) if isinstance(image, corten.Tensor) else 255.0
        if name == "Rotate":
            return F.rotate(image, magnitude, interpolation=self.interpolation, fill=fill)
        return _policies.apply(image, name, magnitude, self.interpolation, fill, functions=F)


class AutoAugment(_Automatic):
    """One of 25 learned pairs of operations, drawn for each image (Cubuk et al. 2019).

    Args:
        policy: the data set on which they were learned.
        interpolation, fill: those of `functional.affine`.
    """

    def __init__(self, policy=AutoAugmentPolicy.IMAGENET, interpolation="nearest", fill=None):
        super().__init__(interpolation=interpolation, fill=fill)
        if not isinstance(policy, AutoAugmentPolicy):
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self._policies = _policies.policy(policy.value)

    def _augmented(self, image, height, width, fill):
        space = _policies.auto_space(10, height, width, white=1.0)
        for name, probability, magnitude in self._policies[_draws.integer(0, len(self._policies))]:
            if corten.rand((), device="cpu") <= probability:
                image = self._do(image, name, space, magnitude, fill)
        return image


class RandAugment(_Automatic):
    """Operations drawn at random, all of one magnitude (Cubuk et al. 2020).

    Args:
        num_ops: how many, one after the other.
        magnitude: from 0 to below ``num_magnitude_bins``.
        num_magnitude_bins: how many magnitudes there are.
        interpolation, fill: those of `functional.affine`.
    """

    def __init__(self, num_ops=2, magnitude=9, num_magnitude_bins=31, interpolation="nearest", fill=None):
        super().__init__(interpolation=interpolation, fill=fill)
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins

    def _augmented(self, image, height, width, fill):
        space = _policies.rand_space(self.num_magnitude_bins, height, width, white=1.0)
        for _ in range(self.num_ops):
            image = self._do(image, self._random_name(space), space, self.magnitude, fill)
        return image


class TrivialAugmentWide(_Automatic):
    """One operation of a random magnitude (Müller, Hutter 2021).

    Args:
        num_magnitude_bins: how many magnitudes there are.
        interpolation, fill: those of `functional.affine`.
    """

    def __init__(self, num_magnitude_bins=31, interpolation="nearest", fill=None):
        super().__init__(interpolation=interpolation, fill=fill)
        self.num_magnitude_bins = num_magnitude_bins

    def _augmented(self, image, height, width, fill):
        bins = self.num_magnitude_bins
        space = _policies.trivial_space(bins, height, width, white=1.0)
        return self._do(image, self._random_name(space), space, lambda: _draws.integer(0, bins), fill)


class AugMix(_Automatic):
    """The image mixed with chains of operations on it (Hendrycks et al. 2020).

    Args:
        severity: magnitudes are below it, from 1 to 10.
        mixture_width: how many chains.
        chain_depth: how many operations in each; not positive for one to three at random.
        alpha: of the distributions of weights.
        all_ops: with changes of colours' factors.
        interpolation, fill: those of `functional.affine`.
    """

    def __init__(
        self,
        severity=3,
        mixture_width=3,
        chain_depth=-1,
        alpha=1.0,
        all_ops=True,
        interpolation="bilinear",
        fill=None,
    ):
        super().__init__(interpolation=interpolation, fill=fill)
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops

    def _augmented(self, image, height, width, fill):
        space = _policies.mix_space(10, height, width, white=1.0, all_ops=self.all_ops)
        plain = F.pil_to_tensor(image) if is_pil_image(image) else image.as_subclass(corten.Tensor)

        def change(chained):
            name = self._random_name(space)
            return self._do(chained, name, space, lambda: _draws.integer(0, self.severity), fill)

        dims = 5 if isinstance(image, tv_tensors.Video) else 4
        mixed = mix_chains(plain, change, self.mixture_width, self.chain_depth, self.alpha, dims)
        if is_pil_image(image):
            return F.to_pil_image(mixed, mode=image.mode)
        return tv_tensors.wrap(mixed, like=image) if isinstance(image, tv_tensors.TVTensor) else mixed
