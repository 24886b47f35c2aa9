"""What every transform needs: interpolation modes, ranges of dtypes, sizes of images, and checks of arguments."""

import numbers
from collections.abc import Sequence
from enum import Enum

import corten

from .._pillow import is_pil_image


class InterpolationMode(Enum):
    """How values between pixels are found. Tensors have the first four, and ``LANCZOS`` in resizing."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


# Pillow's numbers.
PIL_MODES = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.NEAREST_EXACT: 0,
}
_BY_NUMBER = {number: mode for mode, number in reversed(PIL_MODES.items())} | {0: InterpolationMode.NEAREST}


def interpolation_mode(given):
    """The mode that is meant by a mode, its name or Pillow's number."""
    if isinstance(given, InterpolationMode):
        return given
    if isinstance(given, int) and given in _BY_NUMBER:
        return _BY_NUMBER[given]
    if isinstance(given, str):
        try:
            return InterpolationMode(given.lower())
        except ValueError:
            pass
    raise ValueError(
        f"Argument interpolation should be an `InterpolationMode`, a corresponding Pillow integer constant or one of "
        f"{[mode.value for mode in InterpolationMode]}, but got {given}."
    )


def strict_interpolation_mode(given):
    """As `interpolation_mode`, without names: what the first version of the transforms takes."""
    if isinstance(given, InterpolationMode):
        return given
    if isinstance(given, int) and given in _BY_NUMBER:
        return _BY_NUMBER[given]
    raise TypeError("Argument interpolation should be a InterpolationMode or a corresponding Pillow integer constant")


def max_value(dtype):
    """What white is in a dtype: 1 for floating point, the largest number otherwise."""
    if dtype.is_floating_point:
        return 1.0
    return 1 if dtype == corten.bool else corten.iinfo(dtype).max


def check_tensor_image(image):
    """Refuses tensors that are no images.

    Raises:
        TypeError: fewer than two dims.
    """
    if image.dim() < 2:
        raise TypeError("Tensor is not a torch image.")


def check_pil_image(image):
    """Refuses what is no image of Pillow's.

    Raises:
        TypeError: anything else.
    """
    if not is_pil_image(image):
        raise TypeError(f"img should be PIL Image. Got {type(image)}")


def dimensions(image):
    """Channels, height and width of a tensor ``(..., C, H, W)`` or ``(H, W)``, or of an image of Pillow's."""
    if isinstance(image, corten.Tensor):
        check_tensor_image(image)
        channels = 1 if image.dim() == 2 else image.shape[-3]
        return [channels, *image.shape[-2:]]
    if is_pil_image(image):
        width, height = image.size
        return [len(image.getbands()), height, width]
    raise TypeError(f"Unexpected type {type(image)}")


def check_channels(image, permitted=(1, 3)):
    """Refuses other counts of channels.

    Raises:
        TypeError: a count that is not permitted.
    """
    channels = dimensions(image)[0]
    if channels not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {channels}")


def setup_size(size, message="Please provide only two dimensions (h, w) for size."):
    """Height and width from a number, from one number in a sequence, or from two."""
    if isinstance(size, numbers.Number):
        return int(size), int(size)
    if isinstance(size, Sequence) and len(size) == 1:
        return size[0], size[0]
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(message)
    return size


def resized_size(image_size, size, max_size=None):
    """Height and width after resizing the shorter edge to ``size[0]``, or to both numbers of ``size``."""
    height, width = image_size
    if size is not None and not all(isinstance(edge, numbers.Number) for edge in size):
        raise TypeError(f"Size should be int or sequence of ints. Got {size!r}")
    if size is not None and len(size) == 2:
        return [int(size[0]), int(size[1])]
    short, long = (width, height) if width <= height else (height, width)
    if size is None:
        new_short, new_long = int(max_size * short / long), max_size
    else:
        new_short, new_long = int(size[0]), int(size[0] * long / short)
        if max_size is not None and max_size <= size[0]:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested "
                f"size for the smaller edge size = {size}"
            )
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if width <= height else [new_short, new_long]


def parse_padding(padding):
    """Left, top, right and bottom from a number or from one, two or four."""
    if isinstance(padding, int):
        return [padding] * 4
    if len(padding) == 1:
        return [padding[0]] * 4
    if len(padding) == 2:
        return [*padding, *padding]
    if len(padding) == 4:
        return list(padding)
    raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")


def check_padding_mode(mode):
    """Refuses unknown modes.

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")


def blur_arguments(kernel_size, sigma):
    """Kernel size and sigma as two numbers each, x before y.

    Raises:
        TypeError, ValueError: what cannot be a kernel.
    """
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    kernel = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(kernel) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(kernel)}")
    if any(size % 2 == 0 or size < 0 for size in kernel):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {kernel}")
    if sigma is None:
        return kernel, [size * 0.15 + 0.35 for size in kernel]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigma = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else list(sigma)
    if len(sigma) == 1:
        sigma = sigma * 2
    if len(sigma) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigma)}")
    if any(value <= 0 for value in sigma):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    return kernel, sigma


def crop_corner(height, width, crop_height, crop_width):
    """Top and left of the crop in the middle."""
    return round((height - crop_height) / 2.0), round((width - crop_width) / 2.0)


def five_crop_boxes(image_size, size):
    """``(top, left, height, width)`` of the four corners and of the middle.

    Raises:
        ValueError: a crop larger than the image.
    """
    height, width = image_size
    crop_height, crop_width = setup_size(size)
    if crop_width > width or crop_height > height:
        raise ValueError(f"Requested crop size {tuple(size)} is bigger than input size {(height, width)}")
    corners = [(top, left) for top in (0, height - crop_height) for left in (0, width - crop_width)]
    return [
        (top, left, crop_height, crop_width)
        for top, left in [*corners, crop_corner(height, width, crop_height, crop_width)]
    ]
