"""Transforms as functions, of Pillow's images and of tensors ``(..., C, H, W)``, with torchvision's names.

Floating-point tensors go from 0 to 1, tensors of integers over the range of their dtype.
"""

import numbers

import corten

from .._pillow import is_pil_image
from . import _color, _pil, _warp
from ._common import (
    InterpolationMode,
    blur_arguments,
    check_channels,
    check_padding_mode,
    check_pil_image,
    check_tensor_image,
    crop_corner,
    dimensions,
    five_crop_boxes,
    max_value,
    parse_padding,
    resized_size,
    setup_size,
    strict_interpolation_mode,
)
from ._convert import pil_to_tensor, to_pil_image, to_tensor
from ._matrices import affine_arguments

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "autocontrast",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "elastic_transform",
    "equalize",
    "erase",
    "five_crop",
    "gaussian_blur",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "hflip",
    "invert",
    "normalize",
    "pad",
    "perspective",
    "pil_to_tensor",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "solarize",
    "ten_crop",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]


def _kernels(image):
    """The module whose functions take the image, after a look at it."""
    if isinstance(image, corten.Tensor):
        return _warp
    check_pil_image(image)
    return _pil


def _colours(image, least_dims=3):
    """As `_kernels`, for functions of colours; tensors have one or three channels."""
    if not isinstance(image, corten.Tensor):
        check_pil_image(image)
        return _pil
    check_tensor_image(image)
    if image.dim() < least_dims:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {image.dim()}")
    check_channels(image)
    return _color


def get_dimensions(img):
    """Channels, height and width."""
    return dimensions(img)


def get_image_size(img):
    """Width and height."""
    return dimensions(img)[:0:-1]


def get_image_num_channels(img):
    """Channels."""
    return dimensions(img)[0]


def convert_image_dtype(image, dtype=corten.float32):
    """The tensor in another dtype, with values scaled from one range to the other.

    Raises:
        RuntimeError: from float32 to int32 or int64, or from float64 to int64, which cannot be exact.
        TypeError: no tensor.
    """
    if not isinstance(image, corten.Tensor):
        raise TypeError("Input img should be Tensor Image")
    return _color.convert_dtype(image, dtype)


def normalize(tensor, mean, std, inplace=False):
    """``(tensor - mean) / std``, channel by channel.

    Args:
        tensor: floating point ``(..., C, H, W)``.
        mean, std: a number for each channel.
        inplace: writes into the tensor.

    Raises:
        TypeError: no tensor, or integers.
        ValueError: fewer than three dims, or a ``std`` that is 0.
    """
    if not isinstance(tensor, corten.Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.dim() < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.shape}"
        )
    return _color.normalize(tensor, mean, std, inplace)


def resize(img, size, interpolation=InterpolationMode.BILINEAR, max_size=None, antialias=True):
    """The image in another size.

    Args:
        size: ``(height, width)``, or one number for the shorter edge.
        interpolation: an `InterpolationMode`.
        max_size: what the longer edge may have at most, where ``size`` is one number.
        antialias: averages what a smaller image cannot show, in bilinear and bicubic modes of tensors; Pillow always
            does.

    Raises:
        ValueError: a size of more numbers, or a ``max_size`` that cannot be.
        TypeError: another interpolation.
    """
    interpolation = strict_interpolation_mode(interpolation)
    if isinstance(size, (list, tuple)):
        if len(size) not in (1, 2):
            raise ValueError(
                f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element tuple/list"
            )
        if max_size is not None and len(size) != 1:
            raise ValueError(
                "max_size should only be passed if size specifies the length of the smaller edge, "
                "i.e. size should be an int or a sequence of length 1 in torchscript mode."
            )
    _, height, width = dimensions(img)
    if isinstance(size, numbers.Number):
        size = [size]
    output = resized_size((height, width), size, max_size)
    if [height, width] == output:
        return img
    if isinstance(img, corten.Tensor):
        check_antialias(interpolation, antialias)
        return _warp.resize(img, output, interpolation, antialias)
    return _pil.resize(img, output, interpolation)


def check_antialias(interpolation, antialias):
    """Refuses modes that tensors have with antialiasing alone, or not at all.

    Raises:
        ValueError: the first kind.
        NotImplementedError: the second.
    """
    if interpolation == InterpolationMode.LANCZOS and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if interpolation in (InterpolationMode.BOX, InterpolationMode.HAMMING):
        raise NotImplementedError(
            f"Interpolation mode '{interpolation.value}' is unsupported with Tensor input: Pillow's images have it"
        )


def pad(img, padding, fill=0, padding_mode="constant"):
    """The image with pixels around it.

    Args:
        padding: a number for all sides, ``(left and right, top and bottom)``, or ``(left, top, right, bottom)``.
        fill: the value of constant padding; of Pillow's images also one for each channel.
        padding_mode: ``"constant"``, ``"edge"`` repeats the border's pixel, ``"reflect"`` and ``"symmetric"`` mirror
            without and with it.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """
    if not isinstance(padding, (int, list, tuple)):
        raise TypeError("Got inappropriate padding arg")
    if isinstance(img, corten.Tensor) and not isinstance(fill, (int, float)):
        raise TypeError("Got inappropriate fill arg")
    if not isinstance(fill, (numbers.Number, str, list, tuple)) or not isinstance(padding_mode, str):
        raise TypeError(
            "Got inappropriate fill arg" if isinstance(padding_mode, str) else "Got inappropriate padding_mode arg"
        )
    padding = parse_padding(padding)
    check_padding_mode(padding_mode)
    if isinstance(img, corten.Tensor):
        check_tensor_image(img)
    return _kernels(img).pad(img, padding, fill, padding_mode)


def crop(img, top, left, height, width):
    """The pixels of a box; 0 outside the image."""
    return _kernels(img).crop(img, top, left, height, width)


def center_crop(img, output_size):
    """The middle of the image, padded with 0 where it is smaller.

    Args:
        output_size: ``(height, width)`` or one number for both.
    """
    crop_height, crop_width = setup_size(output_size)
    _, height, width = dimensions(img)
    missing_x, missing_y = max(crop_width - width, 0), max(crop_height - height, 0)
    if missing_x or missing_y:
        img = pad(img, [missing_x // 2, missing_y // 2, (missing_x + 1) // 2, (missing_y + 1) // 2], fill=0)
        _, height, width = dimensions(img)
        if (crop_height, crop_width) == (height, width):
            return img
    return crop(img, *crop_corner(height, width, crop_height, crop_width), crop_height, crop_width)


def resized_crop(img, top, left, height, width, size, interpolation=InterpolationMode.BILINEAR, antialias=True):
    """A box of the image in another size: `crop`, then `resize`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img):
    """The image with left and right exchanged."""
    return _kernels(img).horizontal_flip(img)


def vflip(img):
    """The image with top and bottom exchanged."""
    return _kernels(img).vertical_flip(img)


def five_crop(img, size):
    """The four corners and the middle: top left, top right, bottom left, bottom right, centre.

    Args:
        size: ``(height, width)`` or one number for both.

    Raises:
        ValueError: a size larger than the image.
    """
    size = setup_size(size)
    return tuple(crop(img, *box) for box in five_crop_boxes(dimensions(img)[1:], size))


def ten_crop(img, size, vertical_flip=False):
    """The five crops of the image and the five of the flipped image.

    Args:
        size: ``(height, width)`` or one number for both.
        vertical_flip: flips top and bottom, not left and right.
    """
    size = setup_size(size)
    return five_crop(img, size) + five_crop((vflip if vertical_flip else hflip)(img), size)


def _check_factor(name, factor):
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")


def adjust_brightness(img, brightness_factor):
    """Brightness times a factor: 0 gives black, 1 the image itself."""
    kernels = _colours(img, 2)
    if kernels is _color:
        _check_factor("brightness_factor", brightness_factor)
    return kernels.adjust_brightness(img, brightness_factor)


def adjust_contrast(img, contrast_factor):
    """The distance from mean grey times a factor: 0 gives grey, 1 the image itself."""
    kernels = _colours(img)
    if kernels is _color:
        _check_factor("contrast_factor", contrast_factor)
    return kernels.adjust_contrast(img, contrast_factor)


def adjust_saturation(img, saturation_factor):
    """The distance from the grey image times a factor: 0 gives grey, 1 the image itself."""
    kernels = _colours(img, 2)
    if kernels is _color:
        _check_factor("saturation_factor", saturation_factor)
    return kernels.adjust_saturation(img, saturation_factor)


def adjust_hue(img, hue_factor):
    """The colour circle turned by a factor of it, from -0.5 to 0.5.

    Raises:
        ValueError: a factor outside.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    return _colours(img, 2).adjust_hue(img, hue_factor)


def adjust_gamma(img, gamma, gain=1):
    """``gain * value ** gamma`` for values from 0 to 1.

    Raises:
        ValueError: a negative ``gamma``.
    """
    kernels = _colours(img)
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    return kernels.adjust_gamma(img, gamma, gain)


def adjust_sharpness(img, sharpness_factor):
    """The distance from the smoothed image times a factor: 0 gives it, 1 the image itself."""
    kernels = _colours(img)
    if kernels is _color:
        _check_factor("sharpness_factor", sharpness_factor)
    return kernels.adjust_sharpness(img, sharpness_factor)


def rgb_to_grayscale(img, num_output_channels=1):
    """The image in grey, with one channel or with three equal ones.

    Raises:
        ValueError: another count of channels.
    """
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    kernels = _colours(img)
    # What is grey stays as it is, in tensors.
    if kernels is _color and img.shape[-3] == 1:
        return img.clone()
    return kernels.rgb_to_grayscale(img, num_output_channels)


def to_grayscale(img, num_output_channels=1):
    """`rgb_to_grayscale` of Pillow's images alone.

    Raises:
        TypeError: a tensor.
    """
    if not is_pil_image(img):
        raise TypeError("Input should be PIL Image")
    return rgb_to_grayscale(img, num_output_channels)


def erase(img, i, j, h, w, v, inplace=False):
    """The tensor with the box of corner ``(i, j)`` and size ``(h, w)`` overwritten by ``v``.

    Raises:
        TypeError: no tensor.
    """
    if not isinstance(img, corten.Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    return _warp.erase(img, i, j, h, w, v, inplace)


def affine(img, angle, translate, scale, shear, interpolation=InterpolationMode.NEAREST, fill=None, center=None):
    """The image turned, moved, scaled and sheared about its middle.

    Args:
        angle: degrees, clockwise.
        translate: ``(x, y)`` in pixels.
        scale: the factor of sizes.
        shear: degrees along x, or along x and y.
        interpolation: nearest or bilinear; of Pillow's images also bicubic.
        fill: what stands outside the image, a number or one for each channel; None for 0.
        center: what stays in place, ``(x, y)`` from the top left corner.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """
    interpolation = strict_interpolation_mode(interpolation)
    angle, translate, shear, center = affine_arguments(angle, translate, scale, shear, center)
    return _kernels(img).affine(img, angle, translate, scale, shear, interpolation, fill, center)


def rotate(img, angle, interpolation=InterpolationMode.NEAREST, expand=False, center=None, fill=None):
    """The image turned.

    Args:
        angle: degrees, counter-clockwise.
        interpolation, fill, center: as in `affine`.
        expand: makes the image large enough for all of it; only about the middle.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """
    interpolation = strict_interpolation_mode(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if center is not None and len(center) != 2:
        raise ValueError(f"Argument center should be a sequence of length 2, got {len(center)}")
    return _kernels(img).rotate(img, angle, interpolation, expand, center, fill)


def perspective(img, startpoints, endpoints, interpolation=InterpolationMode.BILINEAR, fill=None):
    """The image seen so that four points of it come to lie elsewhere.

    Args:
        startpoints, endpoints: the four points ``[x, y]`` before and after.
        interpolation, fill: as in `affine`.

    Raises:
        ValueError: not four points.
    """
    interpolation = strict_interpolation_mode(interpolation)
    return _kernels(img).perspective(img, startpoints, endpoints, interpolation, fill)


def gaussian_blur(img, kernel_size, sigma=None):
    """The image smoothed by a Gaussian.

    Args:
        kernel_size: odd, a number or ``(x, y)``.
        sigma: in pixels, a number or ``(x, y)``; None for 0.15 times the kernel's size and 0.35.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """
    kernel_size, sigma = blur_arguments(kernel_size, sigma)
    if isinstance(img, corten.Tensor):
        check_tensor_image(img)
        return _color.gaussian_blur(img, kernel_size, sigma)
    if not is_pil_image(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    return to_pil_image(_color.gaussian_blur(pil_to_tensor(img), kernel_size, sigma), mode=img.mode)


def elastic_transform(img, displacement, interpolation=InterpolationMode.BILINEAR, fill=None):
    """The image with each pixel read from elsewhere.

    Args:
        displacement: ``(1, H, W, 2)``, x before y, where 2 is the image's whole size.
        interpolation, fill: as in `affine`.

    Raises:
        TypeError: no tensor.
        ValueError: a displacement of another shape.
    """
    interpolation = strict_interpolation_mode(interpolation)
    if not isinstance(displacement, corten.Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    image = img if isinstance(img, corten.Tensor) else pil_to_tensor(img)
    expected = corten.Size([1, *dimensions(image)[1:], 2])
    if expected != displacement.shape:
        raise ValueError(f"Argument displacement shape should be {expected}, but given {displacement.shape}")
    image = _warp.elastic(image, displacement, interpolation, fill)
    return image if isinstance(img, corten.Tensor) else to_pil_image(image, mode=img.mode)


def invert(img):
    """White less the image."""
    return _colours(img, 2).invert(img)


def _check_bytes(img):
    if img.dtype != corten.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")


def posterize(img, bits):
    """The image with the highest bits of each value alone.

    Raises:
        ValueError: bits that are not from 0 to 8.
        TypeError: a tensor that is not uint8.
    """
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    kernels = _colours(img, 2)
    if kernels is _color:
        _check_bytes(img)
    return kernels.posterize(img, bits)


def solarize(img, threshold):
    """The image with values from the threshold on inverted.

    Raises:
        TypeError: a threshold above white.
    """
    kernels = _colours(img, 2)
    if kernels is _color and threshold > max_value(img.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    return kernels.solarize(img, threshold)


def autocontrast(img):
    """Each channel stretched from black to white."""
    return _colours(img, 2).autocontrast(img)


def equalize(img):
    """Each channel with values that are equally frequent, as far as whole values can.

    Raises:
        TypeError: a tensor that is not uint8, or of fewer than three dims.
    """
    kernels = _colours(img, 0)
    if kernels is _color:
        if not 3 <= img.dim() <= 4:
            raise TypeError(f"Input image tensor should have 3 or 4 dimensions, but found {img.dim()}")
        _check_bytes(img)
    return kernels.equalize(img)
