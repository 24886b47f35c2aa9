"""Transforms of colours as modules, and those that erase."""

import numbers
import warnings
from collections.abc import Sequence

import corten
from corten import nn

from . import _draws
from . import functional as F
from ._common import setup_size


class ColorJitter(nn.Module):
    """Brightness, contrast, saturation and hue changed at random, in a random order.

    Args:
        brightness, contrast, saturation: the range of factors, or a number x for ``(max(0, 1 - x), 1 + x)``; 0 for
            none.
        hue: the range within (-0.5, 0.5), or a number x for ``(-x, x)``; 0 for none.

    Raises:
        TypeError, ValueError: ranges that are none.
    """

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0):
        super().__init__()
        self.brightness = jitter_range(brightness, "brightness")
        self.contrast = jitter_range(contrast, "contrast")
        self.saturation = jitter_range(saturation, "saturation")
        self.hue = jitter_range(hue, "hue", center=0, bound=(-0.5, 0.5), clip_first_on_zero=False)

    @staticmethod
    def get_params(brightness, contrast, saturation, hue):
        """The order of the four changes, and the factor of each; None where there is no range."""
        return _draws.jitter_parameters(brightness, contrast, saturation, hue)

    def forward(self, img):
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        for number in order.tolist():
            if factors[number] is not None:
                img = JITTERS[number](img, factors[number])
        return img

    def __repr__(self):
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in ("brightness", "contrast", "saturation", "hue"))
        return f"{type(self).__name__}({shown})"


JITTERS = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


def jitter_range(value, name, center=1, bound=(0, float("inf")), clip_first_on_zero=True):
    """The range of a factor; None where it is the centre alone.

    Raises:
        TypeError: neither a number nor a pair.
        ValueError: a range outside ``bound``.
    """
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        value = [center - float(value), center + float(value)]
        if clip_first_on_zero:
            value[0] = max(value[0], 0.0)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        value = [float(value[0]), float(value[1])]
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bound[0] <= value[0] <= value[1] <= bound[1]:
        raise ValueError(f"{name} values should be between {bound}, but got {value}.")
    return None if value[0] == value[1] == center else tuple(value)


class Grayscale(nn.Module):
    """`functional.rgb_to_grayscale` as a module.

    Args:
        num_output_channels: 1 or 3.
    """

    def __init__(self, num_output_channels=1):
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img):
        return F.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self):
        return f"{type(self).__name__}(num_output_channels={self.num_output_channels})"


class _Sometimes(nn.Module):
    """Changes the image with probability ``p``."""

    _shown: tuple[str, ...] = ()

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, img):
        return self._change(img) if _draws.happens(self.p) else img

    def __repr__(self):
        shown = ",".join(f"{name}={getattr(self, name)}" for name in (*self._shown, "p"))
        return f"{type(self).__name__}({shown})"


class RandomGrayscale(_Sometimes):
    """Grey with probability ``p``, in as many channels."""

    def __init__(self, p=0.1):
        super().__init__(p)

    def _change(self, img):
        return F.rgb_to_grayscale(img, num_output_channels=F.get_dimensions(img)[0])


class RandomInvert(_Sometimes):
    """`functional.invert` with probability ``p``."""

    def __init__(self, p=0.5):
        super().__init__(p)

    def _change(self, img):
        return F.invert(img)


class RandomPosterize(_Sometimes):
    """`functional.posterize` to ``bits`` with probability ``p``."""

    _shown = ("bits",)

    def __init__(self, bits, p=0.5):
        super().__init__(p)
        self.bits = bits

    def _change(self, img):
        return F.posterize(img, self.bits)


class RandomSolarize(_Sometimes):
    """`functional.solarize` from ``threshold`` on with probability ``p``."""

    _shown = ("threshold",)

    def __init__(self, threshold, p=0.5):
        super().__init__(p)
        self.threshold = threshold

    def _change(self, img):
        return F.solarize(img, self.threshold)


class RandomAdjustSharpness(_Sometimes):
    """`functional.adjust_sharpness` by ``sharpness_factor`` with probability ``p``."""

    _shown = ("sharpness_factor",)

    def __init__(self, sharpness_factor, p=0.5):
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def _change(self, img):
        return F.adjust_sharpness(img, self.sharpness_factor)


class RandomAutocontrast(_Sometimes):
    """`functional.autocontrast` with probability ``p``."""

    def __init__(self, p=0.5):
        super().__init__(p)

    def _change(self, img):
        return F.autocontrast(img)


class RandomEqualize(_Sometimes):
    """`functional.equalize` with probability ``p``."""

    def __init__(self, p=0.5):
        super().__init__(p)

    def _change(self, img):
        return F.equalize(img)


class GaussianBlur(nn.Module):
    """The image smoothed by a Gaussian of random width.

    Args:
        kernel_size: odd, a number or ``(x, y)``.
        sigma: in pixels, a number or the range.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """

    def __init__(self, kernel_size, sigma=(0.1, 2.0)):
        super().__init__()
        self.kernel_size = setup_size(kernel_size, "Kernel size should be a tuple/list of two integers")
        for size in self.kernel_size:
            if size <= 0 or size % 2 == 0:
                raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, numbers.Number):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif isinstance(sigma, Sequence) and len(sigma) == 2:
            if not 0.0 < sigma[0] <= sigma[1]:
                raise ValueError("sigma values should be positive and of the form (min, max).")
        else:
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min, sigma_max):
        """A random width in pixels."""
        return _draws.uniform(sigma_min, sigma_max)

    def forward(self, img):
        sigma = self.get_params(self.sigma[0], self.sigma[1])
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self):
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"


class RandomErasing(nn.Module):
    """A random box overwritten, with probability ``p`` (Zhong et al. 2020); of tensors ``(..., C, H, W)``.

    Args:
        p: the probability.
        scale: the least and greatest share of the image's area.
        ratio: the least and greatest ratio of edges.
        value: a number, one for each channel, or ``"random"`` for normal noise.
        inplace: writes into the tensor.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False):
        super().__init__()
        check_erasing(p, scale, ratio, value)
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(img, scale, ratio, value=None):
        """``(top, left, height, width, values)`` of a random box; the whole image where ten draws do not fit.

        Args:
            value: a list of a number or of one for each channel; None for normal noise.
        """
        channels, height, width = img.shape[-3:]
        for box_height, box_width in _draws.box_of_area(height, width, scale, ratio):
            if not (box_height < height and box_width < width):
                continue
            if value is None:
                values = corten.empty([channels, box_height, box_width], dtype=corten.float32, device="cpu").normal_()
            else:
                values = corten.tensor(value, device="cpu")[:, None, None]
            top = _draws.integer(0, height - box_height + 1)
            return top, _draws.integer(0, width - box_width + 1), box_height, box_width, values
        return 0, 0, height, width, img

    def forward(self, img):
        if not _draws.happens(self.p):
            return img
        if not isinstance(img, corten.Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(img)}")
        value = self.value
        if isinstance(value, (int, float)):
            value = [float(value)]
        elif isinstance(value, str):
            value = None
        elif isinstance(value, (list, tuple)):
            value = [float(number) for number in value]
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{img.shape[-3]} (number of input channels)"
            )
        *box, values = self.get_params(img, self.scale, self.ratio, value)
        return F.erase(img, *box, values.to(img.device, img.dtype), self.inplace)

    def __repr__(self):
        return (
            f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
            f"inplace={self.inplace})"
        )


def check_erasing(p, scale, ratio, value):
    """Refuses what cannot describe a box to erase.

    Raises:
        TypeError, ValueError: such arguments.
    """
    if not isinstance(value, (numbers.Number, str, tuple, list)):
        raise TypeError("Argument value should be either a number or str or a sequence")
    if isinstance(value, str) and value != "random":
        raise ValueError("If value is str, it should be 'random'")
    if not isinstance(scale, Sequence):
        raise TypeError("Scale should be a sequence")
    if not isinstance(ratio, Sequence):
        raise TypeError("Ratio should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=3)
    if scale[0] < 0 or scale[1] > 1:
        raise ValueError("Scale should be between 0 and 1")
    if p < 0 or p > 1:
        raise ValueError("Random erasing probability should be between 0 and 1")
