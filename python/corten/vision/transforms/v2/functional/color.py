"""Colours, noise and blur of images; masks and boxes have none."""

import corten

from ... import _color, _pil
from ..._common import blur_arguments, dimensions, max_value
from ._dispatch import add, add_still, call

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "gaussian_blur",
    "gaussian_noise",
    "grayscale_to_rgb",
    "invert",
    "normalize",
    "permute_channels",
    "posterize",
    "rgb_to_grayscale",
    "solarize",
    "to_grayscale",
]

for _name in (
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "invert",
    "posterize",
    "solarize",
):
    add(_name, getattr(_color, _name), getattr(_pil, _name))


add_still("rgb_to_grayscale", _color.rgb_to_grayscale, _pil.rgb_to_grayscale)


def _call_factor(name, inpt, factor):
    if factor < 0 and isinstance(inpt, corten.Tensor):
        raise ValueError(f"{name.removeprefix('adjust_')}_factor ({factor}) is not non-negative.")
    return call(name, inpt, factor)


def adjust_brightness(inpt, brightness_factor):
    """Brightness times a factor: 0 gives black, 1 the image itself."""
    return _call_factor("adjust_brightness", inpt, brightness_factor)


def adjust_contrast(inpt, contrast_factor):
    """The distance from mean grey times a factor."""
    return _call_factor("adjust_contrast", inpt, contrast_factor)


def adjust_saturation(inpt, saturation_factor):
    """The distance from the grey image times a factor."""
    return _call_factor("adjust_saturation", inpt, saturation_factor)


def adjust_sharpness(inpt, sharpness_factor):
    """The distance from the smoothed image times a factor."""
    return _call_factor("adjust_sharpness", inpt, sharpness_factor)


def adjust_hue(inpt, hue_factor):
    """The colour circle turned by a factor of it.

    Raises:
        ValueError: a factor that is not from -0.5 to 0.5.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    return call("adjust_hue", inpt, hue_factor)


def adjust_gamma(inpt, gamma, gain=1):
    """``gain * value ** gamma`` for values from 0 to 1.

    Raises:
        ValueError: a negative ``gamma``.
    """
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    return call("adjust_gamma", inpt, gamma, gain)


def autocontrast(inpt):
    """Each channel stretched from black to white."""
    return call("autocontrast", inpt)


def equalize(inpt):
    """Each channel with values that are equally frequent, in 256 steps."""
    return call("equalize", inpt)


def invert(inpt):
    """White less the image."""
    return call("invert", inpt)


def posterize(inpt, bits):
    """The image with ``2 ** bits`` levels alone.

    Raises:
        TypeError: bits that are not from 0 to 8.
    """
    if not isinstance(bits, int) or not 0 <= bits <= 8:
        raise TypeError(f"bits must be a positive integer in the range [0, 8], got {bits} instead.")
    return call("posterize", inpt, bits)


def solarize(inpt, threshold):
    """The image with values from the threshold on inverted.

    Raises:
        TypeError: a threshold above white.
    """
    if isinstance(inpt, corten.Tensor) and threshold > max_value(inpt.dtype):
        raise TypeError(f"Threshold should be less or equal the maximum value of the dtype, but got {threshold}")
    return call("solarize", inpt, threshold)


def rgb_to_grayscale(inpt, num_output_channels=1):
    """The image in grey, with one channel or with three equal ones.

    Raises:
        ValueError: another count of channels.
    """
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels must be 1 or 3, got {num_output_channels}.")
    return call("rgb_to_grayscale", inpt, num_output_channels)


def to_grayscale(inpt, num_output_channels=1):
    """`rgb_to_grayscale`."""
    return rgb_to_grayscale(inpt, num_output_channels)


def grayscale_to_rgb(inpt):
    """A grey image with three equal channels; one that has three stays as it is."""
    return call("grayscale_to_rgb", inpt)


def _to_rgb(image):
    return image if image.shape[-3] >= 3 else _color.rgb_to_grayscale(image, 3)


add_still("grayscale_to_rgb", _to_rgb, lambda image: image.convert("RGB"))


def normalize(inpt, mean, std, inplace=False):
    """``(inpt - mean) / std``, channel by channel, of floating-point tensors ``(..., C, H, W)``.

    Raises:
        TypeError: integers, or an image of Pillow's.
        ValueError: fewer than three dims, or a ``std`` that is 0.
    """
    return call("normalize", inpt, mean, std, inplace)


def _normalize(image, mean, std, inplace):
    if not image.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if image.dim() < 3:
        raise ValueError(f"Expected tensor to be a tensor image of size (..., C, H, W). Got {image.shape}.")
    return _color.normalize(image, mean, std, inplace)


add("normalize", _normalize)


def gaussian_blur(inpt, kernel_size, sigma=None):
    """The image smoothed by a Gaussian.

    Args:
        kernel_size: odd, a number or ``(x, y)``.
        sigma: in pixels, a number or ``(x, y)``; None for 0.15 times the kernel's size and 0.35.
    """
    return call("gaussian_blur", inpt, *blur_arguments(kernel_size, sigma))


def _by_tensor(kernel):
    """The function for Pillow's images that one for tensors gives."""
    from ..._convert import pil_to_tensor, to_pil_image

    def change(image, *args):
        return to_pil_image(kernel(pil_to_tensor(image), *args), mode=image.mode)

    return change


add("gaussian_blur", _color.gaussian_blur, _by_tensor(_color.gaussian_blur))


def gaussian_noise(inpt, mean=0.0, sigma=0.1, clip=True):
    """The image with normal noise on it.

    Args:
        mean, sigma: of the noise, where white is 1.
        clip: keeps values from 0 to 1.

    Raises:
        ValueError: a negative ``sigma``, integers other than uint8, or an image of Pillow's.
    """
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    return call("gaussian_noise", inpt, mean, sigma, clip)


def _noisy(image, mean, sigma, clip):
    if image.is_floating_point():
        noisy = image + (mean + corten.randn_like(image) * sigma)
        return noisy.clamp(0, 1) if clip else noisy
    if image.dtype != corten.uint8:
        raise ValueError(f"Input tensor is expected to be in uint8 or float dtype, got dtype={image.dtype}")
    noise = ((mean + corten.randn_like(image, dtype=corten.float32) * sigma) * 255).to(corten.int16)
    noisy = image.to(corten.int16) + noise
    return (noisy.clamp(0, 255) if clip else noisy).to(corten.uint8)


def _refuse_noise(image, mean, sigma, clip):
    raise ValueError("Gaussian Noise is not implemented for PIL images.")


add("gaussian_noise", _noisy, _refuse_noise)


def permute_channels(inpt, permutation):
    """The image with its channels in another order.

    Raises:
        ValueError: a permutation of another length.
    """
    return call("permute_channels", inpt, permutation)


def _permuted(image, permutation):
    channels = dimensions(image)[0]
    if len(permutation) != channels:
        raise ValueError(f"Length of permutation does not match number of channels: {len(permutation)} != {channels}")
    return image[..., list(permutation), :, :]


add("permute_channels", _permuted, _by_tensor(_permuted))
