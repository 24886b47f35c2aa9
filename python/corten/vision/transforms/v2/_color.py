"""Transforms of colours."""

from collections.abc import Sequence
from numbers import Number

import corten

from .. import _draws
from .._colors import jitter_range
from ._transform import RandomApplied, Transform, query_chw

_ORDER = ("brightness", "contrast", "saturation", "hue")


class Grayscale(Transform):
    """`functional.rgb_to_grayscale` as a transform.

    Args:
        num_output_channels: 1 or 3.
    """

    def __init__(self, num_output_channels=1):
        super().__init__()
        self.num_output_channels = num_output_channels

    def transform(self, inpt, params):
        return self._call("rgb_to_grayscale", inpt, self.num_output_channels)


class RandomGrayscale(RandomApplied):
    """Grey with probability ``p``, in as many channels."""

    def __init__(self, p=0.1):
        super().__init__(p=p)

    def make_params(self, flat_inputs):
        return dict(channels=query_chw(flat_inputs)[0])

    def transform(self, inpt, params):
        return self._call("rgb_to_grayscale", inpt, params["channels"])


class RGB(Transform):
    """`functional.grayscale_to_rgb` as a transform."""

    def transform(self, inpt, params):
        return self._call("grayscale_to_rgb", inpt)


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed at random, in a random order.

    Args:
        brightness, contrast, saturation: the range of factors, or a number x for ``(max(0, 1 - x), 1 + x)``; None for
            none.
        hue: the range within (-0.5, 0.5), or a number x for ``(-x, x)``; None for none.
    """

    def __init__(self, brightness=None, contrast=None, saturation=None, hue=None):
        super().__init__()
        self.brightness = _range(brightness, "brightness")
        self.contrast = _range(contrast, "contrast")
        self.saturation = _range(saturation, "saturation")
        self.hue = _range(hue, "hue", center=0, bound=(-0.5, 0.5), clip_first_on_zero=False)

    get_params = staticmethod(_draws.jitter_parameters)

    def make_params(self, flat_inputs):
        order, *factors = _draws.jitter_parameters(self.brightness, self.contrast, self.saturation, self.hue)
        return dict(order=order.tolist(), factors=factors)

    def transform(self, inpt, params):
        for number in params["order"]:
            factor = params["factors"][number]
            if factor is not None:
                inpt = self._call(f"adjust_{_ORDER[number]}", inpt, factor)
        return inpt


def _range(value, name, **options):
    if value is None:
        return None
    if not isinstance(value, Number) and not (isinstance(value, Sequence) and len(value) == 2):
        raise TypeError(f"{name}={value} should be a single number or a sequence with length 2.")
    return jitter_range(value if isinstance(value, Number) else tuple(value), name, **options)


class RandomChannelPermutation(Transform):
    """The channels in a random order."""

    def make_params(self, flat_inputs):
        return dict(permutation=corten.randperm(query_chw(flat_inputs)[0], device="cpu").tolist())

    def transform(self, inpt, params):
        return self._call("permute_channels", inpt, params["permutation"])


class RandomPhotometricDistort(Transform):
    """Colours changed at random, each change with probability ``p`` (SSD, Liu et al. 2016).

    Args:
        brightness, contrast, saturation, hue: the ranges of factors.
        p: the probability of each change, and of exchanged channels.
    """

    def __init__(
        self,
        brightness=(0.875, 1.125),
        contrast=(0.5, 1.5),
        saturation=(0.5, 1.5),
        hue=(-0.05, 0.05),
        p=0.5,
    ):
        super().__init__()
        self.brightness = brightness
        self.contrast = contrast
        self.hue = hue
        self.saturation = saturation
        self.p = p

    def make_params(self, flat_inputs):
        channels = query_chw(flat_inputs)[0]

        def drawn(bounds):
            return _draws.uniform(bounds[0], bounds[1]) if _draws.happens(self.p) else None

        factors = [drawn(bounds) for bounds in (self.brightness, self.contrast, self.saturation, self.hue)]
        before = bool(corten.rand((), device="cpu") < 0.5)
        permutation = corten.randperm(channels, device="cpu").tolist() if _draws.happens(self.p) else None
        brightness, contrast, saturation, hue = factors
        return dict(
            brightness_factor=brightness,
            hue_factor=hue,
            saturation_factor=saturation,
            contrast_factor=contrast,
            contrast_before=before,
            channel_permutation=permutation,
        )

    def transform(self, inpt, params):
        last = ["contrast"] if not params["contrast_before"] else []
        first = ["contrast"] if params["contrast_before"] else []
        for name in ("brightness", *first, "saturation", "hue", *last):
            factor = params[f"{name}_factor"]
            if factor is not None:
                inpt = self._call(f"adjust_{name}", inpt, factor)
        if params["channel_permutation"] is not None:
            inpt = self._call("permute_channels", inpt, params["channel_permutation"])
        return inpt


class RandomEqualize(RandomApplied):
    """`functional.equalize` with probability ``p``."""

    def transform(self, inpt, params):
        return self._call("equalize", inpt)


class RandomInvert(RandomApplied):
    """`functional.invert` with probability ``p``."""

    def transform(self, inpt, params):
        return self._call("invert", inpt)


class RandomAutocontrast(RandomApplied):
    """`functional.autocontrast` with probability ``p``."""

    def transform(self, inpt, params):
        return self._call("autocontrast", inpt)


class RandomPosterize(RandomApplied):
    """`functional.posterize` to ``bits`` with probability ``p``."""

    def __init__(self, bits, p=0.5):
        super().__init__(p=p)
        self.bits = bits

    def transform(self, inpt, params):
        return self._call("posterize", inpt, self.bits)


class RandomSolarize(RandomApplied):
    """`functional.solarize` from ``threshold`` on with probability ``p``."""

    def __init__(self, threshold, p=0.5):
        super().__init__(p=p)
        self.threshold = threshold

    def transform(self, inpt, params):
        return self._call("solarize", inpt, self.threshold)


class RandomAdjustSharpness(RandomApplied):
    """`functional.adjust_sharpness` by ``sharpness_factor`` with probability ``p``."""

    def __init__(self, sharpness_factor, p=0.5):
        super().__init__(p=p)
        self.sharpness_factor = sharpness_factor

    def transform(self, inpt, params):
        return self._call("adjust_sharpness", inpt, self.sharpness_factor)
