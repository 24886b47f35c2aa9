"""Transforms of shape and place."""

import numbers
from collections.abc import Sequence

import corten
from corten.vision import ops, tv_tensors

from .. import _draws
from .._common import check_padding_mode, parse_padding, setup_size
from .._geometry import angle_range, check_affine_ranges, check_ranges, check_sequence
from ..transforms import RandomCrop as _RandomCrop1
from . import functional as F
from ._transform import (
    BOXES_LIKE,
    RandomApplied,
    Transform,
    fill_of,
    get_bounding_boxes,
    has_any,
    is_image,
    query_size,
    setup_fill,
)


class RandomHorizontalFlip(RandomApplied):
    """Left and right exchanged with probability ``p``."""

    def transform(self, inpt, params):
        return self._call("horizontal_flip", inpt)


class RandomVerticalFlip(RandomApplied):
    """Top and bottom exchanged with probability ``p``."""

    def transform(self, inpt, params):
        return self._call("vertical_flip", inpt)


class Resize(Transform):
    """`functional.resize` as a transform, with its arguments."""

    def __init__(self, size, interpolation="bilinear", max_size=None, antialias=True):
        super().__init__()
        if isinstance(size, int):
            size = [size]
        elif isinstance(size, Sequence) and len(size) in (1, 2):
            size = list(size)
        elif size is None:
            if not isinstance(max_size, int):
                raise ValueError(f"max_size must be an integer when size is None, but got {max_size} instead.")
        else:
            raise ValueError(
                f"size can be an integer, a sequence of one or two integers, or None, but got {size} instead."
            )
        self.size = size
        self.interpolation = interpolation
        self.max_size = max_size
        self.antialias = antialias

    def transform(self, inpt, params):
        return _resized(inpt, self.size, self)


def _resized(inpt, size, options):
    if not (is_image(inpt) or isinstance(inpt, BOXES_LIKE)):
        return inpt
    most = getattr(options, "max_size", None)
    if isinstance(options, RandomResize):
        most = None
    return F.resize(inpt, size, options.interpolation, most, options.antialias)


class CenterCrop(Transform):
    """`functional.center_crop` as a transform, with its arguments."""

    def __init__(self, size):
        super().__init__()
        self.size = setup_size(size)

    def transform(self, inpt, params):
        return self._call("center_crop", inpt, self.size)


class RandomResizedCrop(Transform):
    """A random box of the image, resized (Szegedy et al. 2015).

    Args:
        size: ``(height, width)`` of the result, or one number for both.
        scale: the least and greatest share of the image's area.
        ratio: the least and greatest ratio of width to height.
        interpolation, antialias: those of `functional.resize`.
    """

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3.0 / 4.0, 4.0 / 3.0), interpolation="bilinear", antialias=True):
        super().__init__()
        self.size = setup_size(size)
        check_ranges(scale, ratio)
        self.scale = scale
        self.ratio = ratio
        self.interpolation = interpolation
        self.antialias = antialias

    @staticmethod
    def get_params(img, scale, ratio):
        """``(top, left, height, width)`` of a random box."""
        return _draws.resized_crop_box(*F.get_size(img), scale, ratio)

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        return dict(
            zip(("top", "left", "height", "width"), _draws.resized_crop_box(height, width, self.scale, self.ratio))
        )

    def transform(self, inpt, params):
        return F.resized_crop(
            inpt, **params, size=self.size, interpolation=self.interpolation, antialias=self.antialias
        )


class _Crops(Transform):
    def check_inputs(self, flat_inputs):
        if has_any(flat_inputs, *BOXES_LIKE):
            raise TypeError(f"BoundingBoxes'es and Mask's are not supported by {type(self).__name__}()")


class FiveCrop(_Crops):
    """`functional.five_crop` as a transform, with its arguments."""

    def __init__(self, size):
        super().__init__()
        self.size = setup_size(size)

    def transform(self, inpt, params):
        return self._call("five_crop", inpt, self.size)


class TenCrop(_Crops):
    """`functional.ten_crop` as a transform, with its arguments."""

    def __init__(self, size, vertical_flip=False):
        super().__init__()
        self.size = setup_size(size)
        self.vertical_flip = vertical_flip

    def transform(self, inpt, params):
        return self._call("ten_crop", inpt, self.size, self.vertical_flip)


def _check_padding(padding):
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if isinstance(padding, (tuple, list)) and len(padding) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")


class Pad(Transform):
    """`functional.pad` as a transform, with its arguments; ``fill`` may be a dict by class."""

    def __init__(self, padding, fill=0, padding_mode="constant"):
        super().__init__()
        _check_padding(padding)
        check_padding_mode(padding_mode)
        self.padding = padding if isinstance(padding, int) else list(padding)
        self.fill = fill
        self._fill = setup_fill(fill)
        self.padding_mode = padding_mode

    def transform(self, inpt, params):
        return self._call("pad", inpt, self.padding, fill_of(self._fill, inpt), self.padding_mode)


class RandomZoomOut(RandomApplied):
    """The image at a random place of a larger canvas.

    Args:
        fill: of the canvas, or a dict by class.
        side_range: the least and greatest ratio of the canvas's edges to the image's, from 1.
        p: the probability.

    Raises:
        ValueError: a range below 1.
    """

    def __init__(self, fill=0, side_range=(1.0, 4.0), p=0.5):
        super().__init__(p=p)
        self.fill = fill
        self._fill = setup_fill(fill)
        check_sequence(side_range, "side_range", req_sizes=(2,))
        self.side_range = side_range
        if side_range[0] < 1.0 or side_range[0] > side_range[1]:
            raise ValueError(f"Invalid side range provided {side_range}.")

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        low, high = self.side_range
        ratio = low + corten.rand(1, device="cpu") * (high - low)
        canvas_width, canvas_height = int(width * ratio), int(height * ratio)
        shares = corten.rand(2, device="cpu")
        left, top = int((canvas_width - width) * shares[0]), int((canvas_height - height) * shares[1])
        return dict(padding=[left, top, canvas_width - (left + width), canvas_height - (top + height)])

    def transform(self, inpt, params):
        return self._call("pad", inpt, params["padding"], fill_of(self._fill, inpt), "constant")


class RandomRotation(Transform):
    """The image turned by a random angle.

    Args:
        degrees: the range ``(least, greatest)``, or a number for ``(-number, number)``.
        interpolation, expand, center, fill: those of `functional.rotate`; ``fill`` may be a dict by class.
    """

    def __init__(self, degrees, interpolation="nearest", expand=False, center=None, fill=0):
        super().__init__()
        self.degrees = angle_range(degrees, name="degrees", req_sizes=(2,))
        self.interpolation = interpolation
        self.expand = expand
        self.fill = fill
        self._fill = setup_fill(fill)
        if center is not None:
            check_sequence(center, "center", req_sizes=(2,))
        self.center = center

    @staticmethod
    def get_params(degrees):
        """A random angle in degrees."""
        return _draws.uniform(degrees[0], degrees[1])

    def make_params(self, flat_inputs):
        return dict(angle=_draws.uniform(self.degrees[0], self.degrees[1]))

    def transform(self, inpt, params):
        options = dict(interpolation=self.interpolation, expand=self.expand, center=self.center)
        return F.rotate(inpt, **params, **options, fill=fill_of(self._fill, inpt))


class RandomAffine(Transform):
    """The image turned, moved, scaled and sheared at random.

    Args:
        degrees: the range of angles, or a number for ``(-number, number)``; 0 for none.
        translate: how far at most, ``(x, y)`` as shares of width and height; None for none.
        scale: the range of factors; None for none.
        shear: the range of degrees along x, ``(least x, greatest x, least y, greatest y)``, or a number; None for none.
        interpolation, fill, center: those of `functional.affine`; ``fill`` may be a dict by class.
    """

    def __init__(self, degrees, translate=None, scale=None, shear=None, interpolation="nearest", fill=0, center=None):
        super().__init__()
        self.degrees = angle_range(degrees, name="degrees", req_sizes=(2,))
        check_affine_ranges(translate, scale)
        self.translate = translate
        self.scale = scale
        self.shear = None if shear is None else angle_range(shear, name="shear", req_sizes=(2, 4))
        self.interpolation = interpolation
        self.fill = fill
        self._fill = setup_fill(fill)
        if center is not None:
            check_sequence(center, "center", req_sizes=(2,))
        self.center = center

    @staticmethod
    def get_params(degrees, translate, scale_ranges, shears, img_size):
        """Angle, translation, scale and shear; ``img_size`` is ``(width, height)``."""
        return _draws.affine_parameters(degrees, translate, scale_ranges, shears, img_size)

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        drawn = _draws.affine_parameters(self.degrees, self.translate, self.scale, self.shear, [width, height])
        return dict(zip(("angle", "translate", "scale", "shear"), drawn))

    def transform(self, inpt, params):
        return F.affine(
            inpt, **params, interpolation=self.interpolation, fill=fill_of(self._fill, inpt), center=self.center
        )


class RandomCrop(Transform):
    """A box of the image at a random place.

    Args:
        size: ``(height, width)`` or one number for both.
        padding: around the image before; None for none.
        pad_if_needed: pads an image that is too small.
        fill, padding_mode: those of `functional.pad`; ``fill`` may be a dict by class.
    """

    get_params = staticmethod(_RandomCrop1.get_params)

    def __init__(self, size, padding=None, pad_if_needed=False, fill=0, padding_mode="constant"):
        super().__init__()
        self.size = setup_size(size)
        if padding is not None:
            _check_padding(padding)
            padding = parse_padding(padding)
        check_padding_mode(padding_mode)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self._fill = setup_fill(fill)
        self.padding_mode = padding_mode

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        padding = list(self.padding or [0, 0, 0, 0])
        height, width = height + padding[1] + padding[3], width + padding[0] + padding[2]
        crop_height, crop_width = self.size
        if self.pad_if_needed:
            down, across = max(crop_height - height, 0), max(crop_width - width, 0)
            padding = [padding[0] + across, padding[1] + down, padding[2] + across, padding[3] + down]
            height, width = height + 2 * down, width + 2 * across
        if height < crop_height or width < crop_width:
            raise ValueError(
                f"Required crop size {(crop_height, crop_width)} is larger than "
                f"{'padded ' if self.padding is not None else ''}input image size {(height, width)}."
            )
        # No number is drawn where there is one place alone.
        top = _draws.integer(0, height - crop_height + 1) if height > crop_height else 0
        left = _draws.integer(0, width - crop_width + 1) if width > crop_width else 0
        needs = (height, width) != (crop_height, crop_width)
        return dict(box=(top, left, crop_height, crop_width) if needs else None, padding=padding)

    def transform(self, inpt, params):
        if any(params["padding"]):
            inpt = self._call("pad", inpt, params["padding"], fill_of(self._fill, inpt), self.padding_mode)
        return inpt if params["box"] is None else self._call("crop", inpt, *params["box"])


class RandomPerspective(RandomApplied):
    """A random view of the image, with probability ``p``.

    Args:
        distortion_scale: how far corners move inwards at most, as a share of half the image.
        p: the probability.
        interpolation, fill: those of `functional.perspective`; ``fill`` may be a dict by class.

    Raises:
        ValueError: a share outside [0, 1].
    """

    def __init__(self, distortion_scale=0.5, p=0.5, interpolation="bilinear", fill=0):
        super().__init__(p=p)
        if not 0 <= distortion_scale <= 1:
            raise ValueError("Argument distortion_scale value should be between 0 and 1")
        self.distortion_scale = distortion_scale
        self.interpolation = interpolation
        self.fill = fill
        self._fill = setup_fill(fill)

    @staticmethod
    def get_params(width, height, distortion_scale):
        """The four corners ``[x, y]``, and where they come to lie."""
        return _draws.perspective_points(width, height, distortion_scale)

    def make_params(self, flat_inputs):
        from .._matrices import perspective_coefficients

        height, width = query_size(flat_inputs)
        points = _draws.perspective_points(width, height, self.distortion_scale)
        return dict(coefficients=perspective_coefficients(*points))

    def transform(self, inpt, params):
        fill = fill_of(self._fill, inpt)
        return F.perspective(inpt, None, None, interpolation=self.interpolation, fill=fill, **params)


class ElasticTransform(Transform):
    """The image distorted by a smooth random displacement (Simard et al. 2003).

    Args:
        alpha: how far, in pixels, a number or ``(x, y)``.
        sigma: how smooth, in pixels, a number or ``(x, y)``.
        interpolation, fill: those of `functional.elastic`; ``fill`` may be a dict by class.
    """

    def __init__(self, alpha=50.0, sigma=5.0, interpolation="bilinear", fill=0):
        super().__init__()
        self.alpha = _two_floats(alpha, "alpha")
        self.sigma = _two_floats(sigma, "sigma")
        self.interpolation = interpolation
        self.fill = fill
        self._fill = setup_fill(fill)

    @staticmethod
    def get_params(alpha, sigma, size):
        """A displacement ``(1, H, W, 2)``."""
        return _draws.elastic_displacement(alpha, sigma, size)

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        return dict(
            displacement=_draws.elastic_displacement(self.alpha, self.sigma, [height, width], extents=(width, height))
        )

    def transform(self, inpt, params):
        return F.elastic(inpt, **params, fill=fill_of(self._fill, inpt), interpolation=self.interpolation)


def _two_floats(value, name):
    if isinstance(value, numbers.Number):
        return [float(value)] * 2
    if not isinstance(value, Sequence) or not all(isinstance(number, numbers.Number) for number in value):
        raise TypeError(f"{name} should be a number or a sequence of numbers. Got {type(value)}.")
    if len(value) not in (1, 2):
        raise ValueError(f"If {name} is a sequence its length should be 1 or 2. Got {len(value)}.")
    return [float(number) for number in (value if len(value) == 2 else [value[0]] * 2)]


class RandomIoUCrop(Transform):
    """A random box of the image that overlaps boxes enough (SSD, Liu et al. 2016); others become too small to stay.

    Args:
        min_scale, max_scale: the range of the box's edges as shares of the image's.
        min_aspect_ratio, max_aspect_ratio: the range of width to height.
        sampler_options: least intersections over union, one of which is drawn; 1 or more leaves the image.
        trials: how many boxes are drawn for one option.
    """

    def __init__(
        self,
        min_scale=0.3,
        max_scale=1.0,
        min_aspect_ratio=0.5,
        max_aspect_ratio=2.0,
        sampler_options=None,
        trials=40,
    ):
        super().__init__()
        self.min_scale = min_scale
        self.max_scale = max_scale
        self.min_aspect_ratio = min_aspect_ratio
        self.max_aspect_ratio = max_aspect_ratio
        self.options = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0] if sampler_options is None else sampler_options
        self.trials = trials

    def check_inputs(self, flat_inputs):
        if not (has_any(flat_inputs, tv_tensors.BoundingBoxes) and has_any(flat_inputs, is_image)):
            raise TypeError(
                f"{type(self).__name__}() requires input sample to contain tensor or PIL images and bounding boxes. "
                "Sample can also contain masks."
            )

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        boxes = get_bounding_boxes(flat_inputs)
        corners = F.convert_bounding_box_format(boxes, new_format="XYXY").as_subclass(corten.Tensor)
        while True:
            least = self.options[_draws.integer(0, len(self.options))]
            if least >= 1.0:
                return {}
            for _ in range(self.trials):
                found = self._draw(height, width, corners, least)
                if found is not None:
                    return found

    def _draw(self, height, width, corners, least):
        """A box that fits, or None."""
        shares = self.min_scale + (self.max_scale - self.min_scale) * corten.rand(2, device="cpu")
        new_width, new_height = int(width * shares[0]), int(height * shares[1])
        if not new_height or not self.min_aspect_ratio <= new_width / new_height <= self.max_aspect_ratio:
            return None
        shares = corten.rand(2, device="cpu")
        left, top = int((width - new_width) * shares[0]), int((height - new_height) * shares[1])
        right, bottom = left + new_width, top + new_height
        if left == right or top == bottom:
            return None
        middle = (corners[:, :2] + corners[:, 2:]) * 0.5
        x, y = middle.unbind(1)
        inside = (left < x) & (x < right) & (top < y) & (y < bottom)
        if not inside.any():
            return None
        box = corten.tensor([[left, top, right, bottom]], dtype=corners.dtype, device=corners.device)
        if ops.box_iou(corners[inside], box).max() < least:
            return None
        return dict(top=top, left=left, height=new_height, width=new_width, is_within_crop_area=inside)

    def transform(self, inpt, params):
        if not params:
            return inpt
        box = [params[name] for name in ("top", "left", "height", "width")]
        result = self._call("crop", inpt, *box)
        if isinstance(result, tv_tensors.BoundingBoxes):
            # Boxes with their middle outside get no area, which `SanitizeBoundingBoxes` then removes.
            plain = result.as_subclass(corten.Tensor)
            kept = params["is_within_crop_area"][:, None]
            result = tv_tensors.wrap(corten.where(kept, plain, corten.zeros_like(plain)), like=result)
        return result


class ScaleJitter(Transform):
    """The image resized to a random share of a size that it fits into.

    Args:
        target_size: ``(height, width)``.
        scale_range: the range of shares.
        interpolation, antialias: those of `functional.resize`.
    """

    def __init__(self, target_size, scale_range=(0.1, 2.0), interpolation="bilinear", antialias=True):
        super().__init__()
        self.target_size = target_size
        self.scale_range = scale_range
        self.interpolation = interpolation
        self.antialias = antialias

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        scale = self.scale_range[0] + corten.rand(1, device="cpu") * (self.scale_range[1] - self.scale_range[0])
        ratio = min(self.target_size[1] / height, self.target_size[0] / width) * scale
        return dict(size=[int(height * ratio), int(width * ratio)])

    def transform(self, inpt, params):
        return _resized(inpt, params["size"], self)


class RandomShortestSize(Transform):
    """The image resized so that its shorter edge is one of some numbers.

    Args:
        min_size: the numbers, or one.
        max_size: what the longer edge may have at most.
        interpolation, antialias: those of `functional.resize`.
    """

    def __init__(self, min_size, max_size=None, interpolation="bilinear", antialias=True):
        super().__init__()
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        self.max_size = max_size
        self.interpolation = interpolation
        self.antialias = antialias

    def make_params(self, flat_inputs):
        height, width = query_size(flat_inputs)
        ratio = self.min_size[_draws.integer(0, len(self.min_size))] / min(height, width)
        if self.max_size is not None:
            ratio = min(ratio, self.max_size / max(height, width))
        return dict(size=[int(height * ratio), int(width * ratio)])

    def transform(self, inpt, params):
        if not (is_image(inpt) or isinstance(inpt, BOXES_LIKE)):
            return inpt
        return F.resize(inpt, params["size"], self.interpolation, antialias=self.antialias)


class RandomResize(Transform):
    """The image resized so that its shorter edge is a random number.

    Args:
        min_size: the least.
        max_size: the greatest, not included.
        interpolation, antialias: those of `functional.resize`.
    """

    def __init__(self, min_size, max_size, interpolation="bilinear", antialias=True):
        super().__init__()
        self.min_size = min_size
        self.max_size = max_size
        self.interpolation = interpolation
        self.antialias = antialias

    def make_params(self, flat_inputs):
        return dict(size=[_draws.integer(self.min_size, self.max_size)])

    def transform(self, inpt, params):
        return _resized(inpt, params["size"], self)
