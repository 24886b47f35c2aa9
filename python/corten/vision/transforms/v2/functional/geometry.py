"""Shape and place: sizes, crops, flips and warps of everything that lies in an image."""

from ... import _pil, _warp
from ..._common import (
    check_padding_mode,
    crop_corner,
    dimensions,
    five_crop_boxes,
    interpolation_mode,
    parse_padding,
    resized_size,
    setup_size,
)
from ..._matrices import affine_arguments
from ...functional import check_antialias
from . import _boxes
from ._dispatch import add, call

__all__ = [
    "affine",
    "center_crop",
    "crop",
    "elastic",
    "elastic_transform",
    "five_crop",
    "hflip",
    "horizontal_flip",
    "pad",
    "perspective",
    "resize",
    "resized_crop",
    "rotate",
    "ten_crop",
    "vertical_flip",
    "vflip",
]


def horizontal_flip(inpt):
    """The input with left and right exchanged."""
    return call("horizontal_flip", inpt)


def vertical_flip(inpt):
    """The input with top and bottom exchanged."""
    return call("vertical_flip", inpt)


hflip, vflip = horizontal_flip, vertical_flip
for _name in ("horizontal_flip", "vertical_flip"):
    add(_name, *(getattr(_home, _name) for _home in (_warp, _pil, _warp, _boxes)))


def resize(inpt, size, interpolation="bilinear", max_size=None, antialias=True):
    """The input in another size.

    Args:
        size: ``(height, width)``, a number for the shorter edge, or None for the longer edge to be ``max_size``.
        interpolation, max_size, antialias: as for images; masks take the nearest pixel.

    Raises:
        ValueError: a size or ``max_size`` that cannot be.
    """
    if isinstance(size, int):
        size = [size]
    elif size is None and not isinstance(max_size, int):
        raise ValueError(f"max_size must be an integer when size is None, but got {max_size} instead.")
    elif size is not None and len(size) not in (1, 2):
        raise ValueError(f"size can be an integer, a sequence of one or two integers, or None, but got {size} instead.")
    return call("resize", inpt, size, interpolation_mode(interpolation), max_size, antialias)


def _resize_image(image, size, interpolation, max_size, antialias):
    check_antialias(interpolation, antialias)
    return _warp.resize(image, resized_size(image.shape[-2:], size, max_size), interpolation, antialias)


def _resize_pil(image, size, interpolation, max_size, antialias):
    return _pil.resize(image, resized_size((image.height, image.width), size, max_size), interpolation)


def _resize_mask(mask, size, interpolation, max_size, antialias):
    return _resize_image(mask, size, _warp.NEAREST, max_size, False)


add("resize", _resize_image, _resize_pil, _resize_mask, _boxes.resize)


def crop(inpt, top, left, height, width):
    """What lies in a box; 0 outside the image."""
    return call("crop", inpt, top, left, height, width)


add("crop", _warp.crop, _pil.crop, _warp.crop, _boxes.crop)


def center_crop(inpt, output_size):
    """The middle, padded with 0 where the image is smaller.

    Args:
        output_size: ``(height, width)`` or one number for both.
    """
    return call("center_crop", inpt, setup_size(output_size))


def _center_crop(kernels):
    def cut(image, output_size):
        crop_height, crop_width = output_size
        _, height, width = dimensions(image)
        across, down = max(crop_width - width, 0), max(crop_height - height, 0)
        if across or down:
            image = kernels.pad(image, [across // 2, down // 2, (across + 1) // 2, (down + 1) // 2], 0, "constant")
            _, height, width = dimensions(image)
        return kernels.crop(image, *crop_corner(height, width, crop_height, crop_width), crop_height, crop_width)

    return cut


add("center_crop", _center_crop(_warp), _center_crop(_pil), _center_crop(_warp), _boxes.center_crop)


def resized_crop(inpt, top, left, height, width, size, interpolation="bilinear", antialias=True):
    """What lies in a box, in another size."""
    return resize(crop(inpt, top, left, height, width), size, interpolation, antialias=antialias)


def pad(inpt, padding, fill=None, padding_mode="constant"):
    """The input with pixels around it.

    Args:
        padding: a number for all sides, ``(left and right, top and bottom)``, or ``(left, top, right, bottom)``.
        fill: of constant padding, a number or one for each channel; None for 0.
        padding_mode: ``"constant"``, ``"edge"``, ``"reflect"`` or ``"symmetric"``; boxes have the first.

    Raises:
        ValueError: arguments that are none of these.
    """
    check_padding_mode(padding_mode)
    if not isinstance(padding, (int, list, tuple)):
        raise TypeError(f"`padding` should be an integer or tuple or list of integers, but got {padding}")
    return call("pad", inpt, parse_padding(padding), fill, padding_mode)


def _pad_mask(mask, padding, fill, mode):
    if isinstance(fill, (list, tuple)):
        raise ValueError("Non-scalar fill value is not supported")
    return _warp.pad(mask, padding, fill, mode)


add("pad", _warp.pad, _pil.pad, _pad_mask, _boxes.pad)


def affine(inpt, angle, translate, scale, shear, interpolation="nearest", fill=None, center=None):
    """The input turned, moved, scaled and sheared about its middle; masks take the nearest pixel.

    Args:
        angle: degrees, clockwise.
        translate: ``(x, y)`` in pixels.
        scale: the factor of sizes.
        shear: degrees along x, or along x and y.
        interpolation: of images, nearest or bilinear; of Pillow's also bicubic.
        fill: what stands outside, a number or one for each channel; None for 0.
        center: what stays in place, ``(x, y)``.
    """
    angle, translate, shear, center = affine_arguments(angle, translate, scale, shear, center)
    return call("affine", inpt, angle, translate, scale, shear, interpolation_mode(interpolation), fill, center)


def _affine_mask(mask, angle, translate, scale, shear, interpolation, fill, center):
    return _warp.affine(mask, angle, translate, scale, shear, _warp.NEAREST, fill, center)


add("affine", _warp.affine, _pil.affine, _affine_mask, _boxes.affine)


def rotate(inpt, angle, interpolation="nearest", expand=False, center=None, fill=None):
    """The input turned counter-clockwise by ``angle`` degrees; other arguments as in `affine`.

    Args:
        expand: makes the image large enough for all of it.
    """
    angle = angle % 360
    if center is not None and expand:
        import warnings

        warnings.warn("The provided center argument has no effect on the result if expand is True", stacklevel=2)
        center = None
    if center is not None and len(center) != 2:
        raise ValueError(f"Argument center should be a sequence of length 2, got {len(center)}")
    return call("rotate", inpt, angle, interpolation_mode(interpolation), expand, center, fill)


def _rotate_mask(mask, angle, interpolation, expand, center, fill):
    return _warp.rotate(mask, angle, _warp.NEAREST, expand, center, fill)


add("rotate", _warp.rotate, _pil.rotate, _rotate_mask, _boxes.rotate)


def perspective(inpt, startpoints, endpoints, interpolation="bilinear", fill=None, coefficients=None):
    """The input seen so that four points of it come to lie elsewhere; masks take the nearest pixel.

    Args:
        startpoints, endpoints: the four points ``[x, y]`` before and after; None where ``coefficients`` are given.
        interpolation, fill: as in `affine`.
        coefficients: eight numbers that take output pixels to input pixels, in place of the points.

    Raises:
        ValueError: neither or both.
    """
    if (coefficients is None) == (startpoints is None and endpoints is None):
        raise ValueError("Either the startpoints/endpoints or the coefficients must have non `None` values.")
    if coefficients is not None and len(coefficients) != 8:
        raise ValueError("Argument coefficients should have 8 float values")
    mode = interpolation_mode(interpolation)
    return call("perspective", inpt, startpoints, endpoints, mode, fill, coefficients)


def _perspective_mask(mask, startpoints, endpoints, interpolation, fill, coefficients):
    return _warp.perspective(mask, startpoints, endpoints, _warp.NEAREST, fill, coefficients)


add("perspective", _warp.perspective, _pil.perspective, _perspective_mask, _boxes.perspective)


def elastic(inpt, displacement, interpolation="bilinear", fill=None):
    """The input with each pixel read from elsewhere; masks take the nearest pixel.

    Args:
        displacement: ``(1, H, W, 2)``, x before y, where 2 is the image's whole size.
        interpolation, fill: as in `affine`.

    Raises:
        TypeError: no tensor.
        ValueError: a displacement of another shape.
    """
    import corten

    if not isinstance(displacement, corten.Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    return call("elastic", inpt, displacement, interpolation_mode(interpolation), fill)


elastic_transform = elastic


def _elastic_image(image, displacement, interpolation, fill):
    expected = (1, *image.shape[-2:], 2)
    if tuple(displacement.shape) != expected:
        raise ValueError(f"Argument displacement shape should be {expected}, but given {tuple(displacement.shape)}")
    return _warp.elastic(image, displacement, interpolation, fill)


def _elastic_pil(image, displacement, interpolation, fill):
    from ..._convert import pil_to_tensor, to_pil_image

    return to_pil_image(_elastic_image(pil_to_tensor(image), displacement, interpolation, fill), mode=image.mode)


def _elastic_mask(mask, displacement, interpolation, fill):
    return _elastic_image(mask, displacement, _warp.NEAREST, fill)


add("elastic", _elastic_image, _elastic_pil, _elastic_mask, _boxes.elastic)


def five_crop(inpt, size):
    """The four corners and the middle of images.

    Args:
        size: ``(height, width)`` or one number for both.

    Raises:
        ValueError: a size larger than the image.
        TypeError: masks or boxes.
    """
    return call("five_crop", inpt, setup_size(size))


def ten_crop(inpt, size, vertical_flip=False):
    """The five crops of images and the five of the flipped ones; see `five_crop`."""
    return call("ten_crop", inpt, setup_size(size), vertical_flip)


def _five(kernels):
    def cut(image, size):
        return tuple(kernels.crop(image, *box) for box in five_crop_boxes(dimensions(image)[1:], size))

    return cut


def _ten(kernels):
    def cut(image, size, vertical):
        flip = kernels.vertical_flip if vertical else kernels.horizontal_flip
        return _five(kernels)(image, size) + _five(kernels)(flip(image), size)

    return cut


add("five_crop", _five(_warp), _five(_pil))
add("ten_crop", _ten(_warp), _ten(_pil))
