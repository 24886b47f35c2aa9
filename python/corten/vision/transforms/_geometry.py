"""Transforms of shape and place as modules: sizes, crops, flips and warps."""

import math
import numbers
from collections.abc import Sequence

import corten
from corten import nn

from . import _draws
from . import functional as F
from ._common import InterpolationMode, setup_size, strict_interpolation_mode

NEAREST, BILINEAR = InterpolationMode.NEAREST, InterpolationMode.BILINEAR


def angle_range(x, name, req_sizes=(2,)):
    """From a number x the range [-x, x]; sequences are checked.

    Raises:
        TypeError, ValueError: neither, or a sequence of another length.
    """
    if isinstance(x, numbers.Number):
        if x < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [float(-x), float(x)]
    check_sequence(x, name, req_sizes)
    return [float(value) for value in x]


def check_sequence(x, name, req_sizes):
    """Refuses other things than sequences of these lengths.

    Raises:
        TypeError: no sequence.
        ValueError: another length.
    """
    lengths = str(req_sizes[0]) if len(req_sizes) < 2 else " or ".join(map(str, req_sizes))
    if not isinstance(x, Sequence):
        raise TypeError(f"{name} should be a sequence of length {lengths}.")
    if len(x) not in req_sizes:
        raise ValueError(f"{name} should be a sequence of length {lengths}.")


def float_fill(fill, image):
    """The fill as numbers, one for each channel of a tensor."""
    if not isinstance(image, corten.Tensor):
        return fill
    channels = F.get_dimensions(image)[0]
    return [float(fill)] * channels if isinstance(fill, (int, float)) else [float(value) for value in fill]


class Resize(nn.Module):
    """`functional.resize` as a module.

    Args:
        size: ``(height, width)``, or one number for the shorter edge.
        interpolation, max_size, antialias: those of `functional.resize`.

    Raises:
        TypeError, ValueError: a size that is none.
    """

    def __init__(self, size, interpolation=BILINEAR, max_size=None, antialias=True):
        super().__init__()
        if not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size = size
        self.max_size = max_size
        self.interpolation = strict_interpolation_mode(interpolation)
        self.antialias = antialias

    def forward(self, img):
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self):
        return (
            f"{type(self).__name__}(size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias})"
        )


class _Sized(nn.Module):
    """Crops of one size; the subclass says which."""

    def __init__(self, size):
        super().__init__()
        self.size = setup_size(size)

    def __repr__(self):
        return f"{type(self).__name__}(size={self.size})"


class CenterCrop(_Sized):
    """`functional.center_crop` as a module.

    Args:
        size: ``(height, width)`` or one number for both.
    """

    def forward(self, img):
        return F.center_crop(img, self.size)


class Pad(nn.Module):
    """`functional.pad` as a module.

    Args:
        padding, fill, padding_mode: those of `functional.pad`.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """

    def __init__(self, padding, fill=0, padding_mode="constant"):
        super().__init__()
        if not isinstance(padding, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, (numbers.Number, str, tuple, list)):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ValueError(
                f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple"
            )
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img):
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self):
        return f"{type(self).__name__}(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomCrop(nn.Module):
    """A box of the image at a random place.

    Args:
        size: ``(height, width)`` or one number for both.
        padding: around the image before; None for none.
        pad_if_needed: pads an image that is too small.
        fill, padding_mode: those of `functional.pad`.
    """

    @staticmethod
    def get_params(img, output_size):
        """``(top, left, height, width)`` of a random box.

        Raises:
            ValueError: a box larger than the image.
        """
        _, height, width = F.get_dimensions(img)
        crop_height, crop_width = output_size
        if height < crop_height or width < crop_width:
            raise ValueError(
                f"Required crop size {(crop_height, crop_width)} is larger than input image size {(height, width)}"
            )
        if (width, height) == (crop_width, crop_height):
            return 0, 0, height, width
        top = _draws.integer(0, height - crop_height + 1)
        return top, _draws.integer(0, width - crop_width + 1), crop_height, crop_width

    def __init__(self, size, padding=None, pad_if_needed=False, fill=0, padding_mode="constant"):
        super().__init__()
        self.size = tuple(setup_size(size))
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img):
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, height, width = F.get_dimensions(img)
        if self.pad_if_needed and width < self.size[1]:
            img = F.pad(img, [self.size[1] - width, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and height < self.size[0]:
            img = F.pad(img, [0, self.size[0] - height], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self):
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class RandomResizedCrop(nn.Module):
    """A random box of the image, resized (Szegedy et al. 2015).

    Args:
        size: ``(height, width)`` of the result, or one number for both.
        scale: the least and greatest share of the image's area.
        ratio: the least and greatest ratio of width to height.
        interpolation, antialias: those of `functional.resize`.
    """

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3.0 / 4.0, 4.0 / 3.0), interpolation=BILINEAR, antialias=True):
        super().__init__()
        self.size = setup_size(size)
        check_ranges(scale, ratio)
        self.interpolation = strict_interpolation_mode(interpolation)
        self.antialias = antialias
        self.scale = scale
        self.ratio = ratio

    @staticmethod
    def get_params(img, scale, ratio):
        """``(top, left, height, width)`` of a random box; the middle where ten draws do not fit."""
        _, height, width = F.get_dimensions(img)
        return _draws.resized_crop_box(height, width, scale, ratio)

    def forward(self, img):
        box = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *box, self.size, self.interpolation, antialias=self.antialias)

    def __repr__(self):
        scale, ratio = (tuple(round(value, 4) for value in pair) for pair in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


def check_ranges(scale, ratio):
    """Refuses what are no ranges, and warns where they are the wrong way round.

    Raises:
        TypeError: no sequence.
    """
    import warnings

    if not isinstance(scale, Sequence):
        raise TypeError("Scale should be a sequence")
    if not isinstance(ratio, Sequence):
        raise TypeError("Ratio should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=3)


class FiveCrop(_Sized):
    """`functional.five_crop` as a module.

    Args:
        size: ``(height, width)`` or one number for both.
    """

    def forward(self, img):
        return F.five_crop(img, self.size)


class TenCrop(_Sized):
    """`functional.ten_crop` as a module.

    Args:
        size: ``(height, width)`` or one number for both.
        vertical_flip: flips top and bottom, not left and right.
    """

    def __init__(self, size, vertical_flip=False):
        super().__init__(size)
        self.vertical_flip = vertical_flip

    def forward(self, img):
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self):
        return f"{type(self).__name__}(size={self.size}, vertical_flip={self.vertical_flip})"


class RandomHorizontalFlip(nn.Module):
    """Left and right exchanged with probability ``p``."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, img):
        return F.hflip(img) if _draws.happens(self.p) else img

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p})"


class RandomVerticalFlip(nn.Module):
    """Top and bottom exchanged with probability ``p``."""

    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, img):
        return F.vflip(img) if _draws.happens(self.p) else img

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p})"


class RandomPerspective(nn.Module):
    """A random view of the image, with probability ``p``.

    Args:
        distortion_scale: how far corners move inwards at most, as a share of half the image.
        p: the probability.
        interpolation, fill: those of `functional.perspective`.
    """

    def __init__(self, distortion_scale=0.5, p=0.5, interpolation=BILINEAR, fill=0):
        super().__init__()
        self.p = p
        self.interpolation = strict_interpolation_mode(interpolation)
        self.distortion_scale = distortion_scale
        if fill is None:
            fill = 0
        elif not isinstance(fill, (Sequence, numbers.Number)):
            raise TypeError("Fill should be either a sequence or a number.")
        self.fill = fill

    @staticmethod
    def get_params(width, height, distortion_scale):
        """The four corners ``[x, y]``, and where they come to lie."""
        return _draws.perspective_points(width, height, distortion_scale)

    def forward(self, img):
        fill = float_fill(self.fill, img)
        if not _draws.happens(self.p):
            return img
        _, height, width = F.get_dimensions(img)
        startpoints, endpoints = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, startpoints, endpoints, self.interpolation, fill)

    def __repr__(self):
        return f"{type(self).__name__}(p={self.p})"


class RandomRotation(nn.Module):
    """The image turned by a random angle.

    Args:
        degrees: the range ``(least, greatest)``, or a number for ``(-number, number)``.
        interpolation, expand, center, fill: those of `functional.rotate`.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """

    def __init__(self, degrees, interpolation=NEAREST, expand=False, center=None, fill=0):
        super().__init__()
        self.interpolation = strict_interpolation_mode(interpolation)
        self.degrees = angle_range(degrees, name="degrees", req_sizes=(2,))
        if center is not None:
            check_sequence(center, "center", req_sizes=(2,))
        self.center = center
        self.expand = expand
        if fill is None:
            fill = 0
        elif not isinstance(fill, (Sequence, numbers.Number)):
            raise TypeError("Fill should be either a sequence or a number.")
        self.fill = fill

    @staticmethod
    def get_params(degrees):
        """A random angle in degrees."""
        return _draws.uniform(degrees[0], degrees[1])

    def forward(self, img):
        fill = float_fill(self.fill, img)
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, fill)

    def __repr__(self):
        center = "" if self.center is None else f", center={self.center}"
        fill = "" if self.fill is None else f", fill={self.fill}"
        return (
            f"{type(self).__name__}(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}{center}{fill})"
        )


class RandomAffine(nn.Module):
    """The image turned, moved, scaled and sheared at random.

    Args:
        degrees: the range of angles, or a number for ``(-number, number)``; 0 for none.
        translate: how far at most, ``(x, y)`` as shares of width and height; None for none.
        scale: the range of factors; None for none.
        shear: the range of degrees along x, ``(least x, greatest x, least y, greatest y)``, or a number; None for none.
        interpolation, fill, center: those of `functional.affine`.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """

    def __init__(self, degrees, translate=None, scale=None, shear=None, interpolation=NEAREST, fill=0, center=None):
        super().__init__()
        self.interpolation = strict_interpolation_mode(interpolation)
        self.degrees = angle_range(degrees, name="degrees", req_sizes=(2,))
        check_affine_ranges(translate, scale)
        self.translate = translate
        self.scale = scale
        self.shear = None if shear is None else angle_range(shear, name="shear", req_sizes=(2, 4))
        if fill is None:
            fill = 0
        elif not isinstance(fill, (Sequence, numbers.Number)):
            raise TypeError("Fill should be either a sequence or a number.")
        self.fill = fill
        if center is not None:
            check_sequence(center, "center", req_sizes=(2,))
        self.center = center

    @staticmethod
    def get_params(degrees, translate, scale_ranges, shears, img_size):
        """Angle, translation, scale and shear; ``img_size`` is ``(width, height)``."""
        return _draws.affine_parameters(degrees, translate, scale_ranges, shears, img_size)

    def forward(self, img):
        fill = float_fill(self.fill, img)
        _, height, width = F.get_dimensions(img)
        angle, translate, scale, shear = self.get_params(
            self.degrees, self.translate, self.scale, self.shear, [width, height]
        )
        return F.affine(img, angle, translate, scale, shear, self.interpolation, fill, self.center)

    def __repr__(self):
        shown = f"{type(self).__name__}(degrees={self.degrees}"
        for name in ("translate", "scale", "shear"):
            if getattr(self, name) is not None:
                shown += f", {name}={getattr(self, name)}"
        shown += f", interpolation={self.interpolation.value}" if self.interpolation != NEAREST else ""
        shown += f", fill={self.fill}" if self.fill != 0 else ""
        shown += f", center={self.center}" if self.center is not None else ""
        return shown + ")"


def check_affine_ranges(translate, scale):
    """Refuses shares outside [0, 1] and factors that are not positive.

    Raises:
        TypeError, ValueError: such a range.
    """
    if translate is not None:
        check_sequence(translate, "translate", req_sizes=(2,))
        if not all(0.0 <= share <= 1.0 for share in translate):
            raise ValueError("translation values should be between 0 and 1")
    if scale is not None:
        check_sequence(scale, "scale", req_sizes=(2,))
        if not all(factor > 0 for factor in scale):
            raise ValueError("scale values should be positive")


class ElasticTransform(nn.Module):
    """The image distorted by a smooth random displacement (Simard et al. 2003).

    Args:
        alpha: how far, in pixels, a number or ``(x, y)``.
        sigma: how smooth, in pixels, a number or ``(x, y)``.
        interpolation, fill: those of `functional.elastic_transform`.

    Raises:
        TypeError, ValueError: arguments that are none of these.
    """

    def __init__(self, alpha=50.0, sigma=5.0, interpolation=BILINEAR, fill=0):
        super().__init__()
        self.alpha = float_pair(alpha, "alpha")
        self.sigma = float_pair(sigma, "sigma")
        self.interpolation = strict_interpolation_mode(interpolation)
        if isinstance(fill, (int, float)):
            fill = [float(fill)]
        elif isinstance(fill, (list, tuple)):
            fill = [float(value) for value in fill]
        else:
            raise TypeError(f"fill should be int or float or a list or tuple of them. Got {type(fill)}")
        self.fill = fill

    @staticmethod
    def get_params(alpha, sigma, size):
        """A displacement ``(1, H, W, 2)``."""
        return _draws.elastic_displacement(alpha, sigma, size)

    def forward(self, tensor):
        _, height, width = F.get_dimensions(tensor)
        displacement = self.get_params(self.alpha, self.sigma, [height, width])
        return F.elastic_transform(tensor, displacement, self.interpolation, self.fill)

    def __repr__(self):
        return (
            f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, interpolation={self.interpolation}, "
            f"fill={self.fill})"
        )


def float_pair(value, name):
    """Two floating-point numbers of a number or of a sequence of one or two.

    Raises:
        TypeError, ValueError: anything else.
    """
    if not isinstance(value, (float, Sequence)):
        raise TypeError(f"{name} should be float or a sequence of floats. Got {type(value)}")
    if isinstance(value, float):
        return [value, value]
    if len(value) not in (1, 2):
        raise ValueError(f"If {name} is a sequence its length should be 1 or 2. Got {len(value)}")
    for number in value:
        if not isinstance(number, float):
            raise TypeError(f"{name} should be a sequence of floats. Got {type(number)}")
    return [value[0], value[0]] if len(value) == 1 else value


class LinearTransformation(nn.Module):
    """The flattened tensor less a mean, times a matrix: whitening.

    Args:
        transformation_matrix: ``(D, D)`` where D = C · H · W.
        mean_vector: ``(D,)``.

    Raises:
        ValueError: shapes or devices that do not belong together.
    """

    def __init__(self, transformation_matrix, mean_vector):
        super().__init__()
        rows, columns = transformation_matrix.shape
        if rows != columns:
            raise ValueError(
                f"transformation_matrix should be square. Got {tuple(transformation_matrix.shape)} rectangular matrix."
            )
        if mean_vector.shape[0] != rows:
            raise ValueError(
                f"mean_vector should have the same length {mean_vector.shape[0]} as any one of the dimensions of the "
                f"transformation_matrix [{tuple(transformation_matrix.shape)}]"
            )
        if transformation_matrix.device != mean_vector.device:
            raise ValueError(
                f"Input tensors should be on the same device. Got {transformation_matrix.device} and "
                f"{mean_vector.device}"
            )
        self.transformation_matrix = transformation_matrix
        self.mean_vector = mean_vector

    def forward(self, tensor):
        return whitened(tensor, self.transformation_matrix, self.mean_vector)

    def __repr__(self):
        return (
            f"{type(self).__name__}(transformation_matrix={self.transformation_matrix.tolist()}, "
            f"mean_vector={self.mean_vector.tolist()})"
        )


def whitened(tensor, matrix, mean):
    """The linear transformation of a tensor ``(..., C, H, W)``.

    Raises:
        ValueError: another size or device than the matrix's.
    """
    elements = math.prod(tensor.shape[-3:])
    if elements != matrix.shape[0]:
        shape = tuple(tensor.shape)
        raise ValueError(
            "Input tensor and transformation matrix have incompatible shape."
            f"[{shape[-3]} x {shape[-2]} x {shape[-1]}] != {matrix.shape[0]}"
        )
    if tensor.device != mean.device:
        raise ValueError(
            f"Input tensor should be on the same device as transformation matrix and mean vector. Got {tensor.device} "
            f"vs {mean.device}"
        )
    flat = tensor.reshape(-1, elements) - mean
    return (flat @ matrix.to(flat.dtype)).reshape(tensor.shape)
