"""Transforms of values, dtypes and kinds, and those that clean boxes."""

import warnings
from collections.abc import Sequence
from numbers import Number

import corten
import numpy as np
from corten.utils._pytree import tree_flatten, tree_unflatten
from corten.vision import tv_tensors
from corten.vision._pillow import is_pil_image

from .. import _draws
from .._common import setup_size
from .._geometry import LinearTransformation as _Linear1
from .._geometry import whitened
from . import functional as F
from ._transform import Transform, has_any, is_image, is_pure_tensor


class Identity(Transform):
    """The inputs as they are."""

    def transform(self, inpt, params):
        return inpt


class Lambda(Transform):
    """A function of the program's as a transform.

    Args:
        lambd: the function.
        types: the classes of inputs that it is called with; none for all.
    """

    _transformed_types = (object,)

    def __init__(self, lambd, *types):
        super().__init__()
        self.lambd = lambd
        self.types = types or self._transformed_types

    def _wanted(self, flat):
        return [isinstance(inpt, self.types) for inpt in flat]

    def transform(self, inpt, params):
        return self.lambd(inpt)

    def extra_repr(self):
        """The function's name and the classes."""
        name = getattr(self.lambd, "__name__", None)
        return ", ".join([*([name] if name else []), f"types={[kind.__name__ for kind in self.types]}"])


class LinearTransformation(Transform):
    """The flattened image less a mean, times a matrix: whitening.

    Args:
        transformation_matrix: ``(D, D)`` where D = C · H · W.
        mean_vector: ``(D,)``.
    """

    _transformed_types = (is_pure_tensor, tv_tensors.Image, tv_tensors.Video)

    def __init__(self, transformation_matrix, mean_vector):
        super().__init__()
        checked = _Linear1(transformation_matrix, mean_vector)
        self.transformation_matrix = checked.transformation_matrix
        self.mean_vector = checked.mean_vector

    def check_inputs(self, flat_inputs):
        if has_any(flat_inputs, is_pil_image):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")

    def transform(self, inpt, params):
        result = whitened(inpt.as_subclass(corten.Tensor), self.transformation_matrix, self.mean_vector)
        return tv_tensors.wrap(result, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else result


class Normalize(Transform):
    """`functional.normalize` as a transform, with its arguments."""

    def __init__(self, mean, std, inplace=False):
        super().__init__()
        self.mean = list(mean)
        self.std = list(std)
        self.inplace = inplace

    def check_inputs(self, flat_inputs):
        if has_any(flat_inputs, is_pil_image):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")

    def transform(self, inpt, params):
        return self._call("normalize", inpt, self.mean, self.std, self.inplace)


class GaussianBlur(Transform):
    """The image smoothed by a Gaussian of random width.

    Args:
        kernel_size: odd, a number or ``(x, y)``.
        sigma: in pixels, a number or the range.
    """

    def __init__(self, kernel_size, sigma=(0.1, 2.0)):
        super().__init__()
        self.kernel_size = setup_size(kernel_size, "Kernel size should be a tuple/list of two integers")
        for size in self.kernel_size:
            if size <= 0 or size % 2 == 0:
                raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, Number):
            sigma = (sigma, sigma)
        if not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise TypeError(f"sigma should be a number or a sequence of two, got {sigma!r}")
        self.sigma = [float(value) for value in sigma]
        if not 0.0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma values should be positive and of the form (min, max). Got {self.sigma}")

    def make_params(self, flat_inputs):
        sigma = _draws.uniform(self.sigma[0], self.sigma[1])
        return dict(sigma=[sigma, sigma])

    def transform(self, inpt, params):
        return self._call("gaussian_blur", inpt, list(self.kernel_size), params["sigma"])


class GaussianNoise(Transform):
    """`functional.gaussian_noise` as a transform, with its arguments."""

    def __init__(self, mean=0.0, sigma=0.1, clip=True):
        super().__init__()
        self.mean = mean
        self.sigma = sigma
        self.clip = clip

    def transform(self, inpt, params):
        return self._call("gaussian_noise", inpt, self.mean, self.sigma, self.clip)


class ToDtype(Transform):
    """The inputs in another dtype.

    Args:
        dtype: of images and videos; or a dict by class, with ``"others"``, where None leaves them.
        scale: of images, whether values go from one dtype's range to the other's.

    Raises:
        ValueError: neither, or a dict without the class of an input.
    """

    _transformed_types = (corten.Tensor,)

    def __init__(self, dtype, scale=False):
        super().__init__()
        if not isinstance(dtype, (dict, corten.dtype)):
            raise ValueError(f"dtype must be a dict or a torch.dtype, got {type(dtype)} instead")
        self.dtype = dtype
        self.scale = scale

    def transform(self, inpt, params):
        if isinstance(self.dtype, corten.dtype):
            # Masks and boxes stay: their numbers are no brightness.
            dtype = self.dtype if is_image(inpt) else None
        elif type(inpt) in self.dtype:
            dtype = self.dtype[type(inpt)]
        elif "others" in self.dtype:
            dtype = self.dtype["others"]
        else:
            raise ValueError(
                f"No dtype was specified for type {type(inpt)}. If you only need to convert the dtype of images or "
                "videos, you can just pass e.g. dtype=torch.float32. If you're passing a dict as dtype, you can use "
                '"others" as a catch-all key e.g. dtype={tv_tensors.Mask: torch.int64, "others": None} to pass-through '
                "the rest of the inputs."
            )
        if dtype is None:
            if self.scale and is_image(inpt) and isinstance(self.dtype, dict) and "others" not in self.dtype:
                raise ValueError("scale was set to True but no dtype was specified for images or videos")
            return inpt
        return self._call("to_dtype", inpt, dtype, self.scale)


class ConvertImageDtype(Transform):
    """`functional.convert_image_dtype` as a transform.

    Args:
        dtype: of the images.
    """

    def __init__(self, dtype=corten.float32):
        super().__init__()
        self.dtype = dtype

    def transform(self, inpt, params):
        return self._call("to_dtype", inpt, self.dtype, True)


class ToImage(Transform):
    """Plain tensors, arrays ``(H, W[, C])`` and Pillow's images as `tv_tensors.Image`, values as they are."""

    _transformed_types = (is_pure_tensor, is_pil_image, np.ndarray)

    def transform(self, inpt, params):
        return F.to_image(inpt)


class ToPureTensor(Transform):
    """The classes of `tv_tensors` as plain tensors."""

    _transformed_types = (tv_tensors.TVTensor,)

    def transform(self, inpt, params):
        return inpt.as_subclass(corten.Tensor)


class PILToTensor(Transform):
    """Pillow's images as plain tensors, values as they are."""

    _transformed_types = (is_pil_image,)

    def transform(self, inpt, params):
        return F.pil_to_tensor(inpt)


class ToPILImage(Transform):
    """Images and arrays as Pillow's images.

    Args:
        mode: Pillow's name of the colours; None for what the channels and the type suggest.
    """

    _transformed_types = (is_pure_tensor, tv_tensors.Image, np.ndarray)

    def __init__(self, mode=None):
        super().__init__()
        self.mode = mode

    def transform(self, inpt, params):
        if isinstance(inpt, tv_tensors.TVTensor):
            inpt = inpt.as_subclass(corten.Tensor)
        return F.to_pil_image(inpt, mode=self.mode)


class ToTensor(Transform):
    """Pillow's images and arrays as plain tensors, bytes from 0 to 1; `ToImage` and `ToDtype` are newer."""

    _transformed_types = (is_pil_image, np.ndarray)

    def __init__(self):
        warnings.warn(
            "The transform `ToTensor()` is deprecated and will be removed in a future release. Instead, please use "
            "`v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])`.Output is equivalent up to float "
            "precision.",
            stacklevel=2,
        )
        super().__init__()

    def transform(self, inpt, params):
        return F.to_tensor(inpt)


class JPEG(Transform):
    """`functional.jpeg` of a random quality.

    Args:
        quality: a number, or the range from 1 to 100.

    Raises:
        ValueError: a range outside.
    """

    def __init__(self, quality):
        super().__init__()
        quality = [quality, quality] if isinstance(quality, int) else quality
        if len(quality) != 2 or not 1 <= quality[0] <= quality[1] <= 100:
            raise ValueError(
                f"quality must be an integer from 1 to 100, or a sequence of lowest and highest, got {quality}"
            )
        if not all(isinstance(value, int) for value in quality):
            raise ValueError(f"quality must be an integer from 1 to 100, or a sequence of them, got {quality}")
        self.quality = quality

    def make_params(self, flat_inputs):
        return dict(quality=_draws.integer(self.quality[0], self.quality[1] + 1))

    def transform(self, inpt, params):
        return self._call("jpeg", inpt, params["quality"])


class UniformTemporalSubsample(Transform):
    """`functional.uniform_temporal_subsample` as a transform.

    Args:
        num_samples: how many frames.
    """

    _transformed_types = (is_pure_tensor, tv_tensors.Video)

    def __init__(self, num_samples):
        super().__init__()
        self.num_samples = num_samples

    def transform(self, inpt, params):
        return F.uniform_temporal_subsample(inpt, self.num_samples)


class ConvertBoundingBoxFormat(Transform):
    """Boxes in another format.

    Args:
        format: a `tv_tensors.BoundingBoxFormat` or its name.
    """

    _transformed_types = (tv_tensors.BoundingBoxes,)

    def __init__(self, format):
        super().__init__()
        self.format = format

    def transform(self, inpt, params):
        return F.convert_bounding_box_format(inpt, new_format=self.format)


class ClampBoundingBoxes(Transform):
    """Boxes moved into their image.

    Args:
        clamping_mode: ``"auto"`` for the boxes' own; None leaves them as they are.
    """

    _transformed_types = (tv_tensors.BoundingBoxes,)

    def __init__(self, clamping_mode="auto"):
        super().__init__()
        self.clamping_mode = clamping_mode

    def transform(self, inpt, params):
        return F.clamp_bounding_boxes(inpt, clamping_mode=self.clamping_mode)


class SanitizeBoundingBoxes(Transform):
    """Removes boxes that are too small or not in their image, with their labels and masks.

    Args:
        min_size: the least width and height.
        min_area: the least area.
        labels_getter: a key of the sample's dict, a function from the sample to the labels or a tuple of them, None for
            no labels, or ``"default"`` for the key that has "label" in its name.

    Raises:
        ValueError: no labels where they are looked for, or of another length than the boxes.
    """

    def __init__(self, min_size=1.0, min_area=1.0, labels_getter="default"):
        super().__init__()
        if min_size < 1:
            raise ValueError(f"min_size must be >= 1, got {min_size}.")
        if min_area < 1:
            raise ValueError(f"min_area must be >= 1, got {min_area}.")
        self.min_size = min_size
        self.min_area = min_area
        self.labels_getter = labels_getter
        self._labels = labels_finder(labels_getter)

    def forward(self, *inputs):
        """The sample without those boxes."""
        inputs = inputs if len(inputs) > 1 else inputs[0]
        labels = self._labels(inputs)
        labels = [] if labels is None else list(labels) if isinstance(labels, (tuple, list)) else [labels]
        for label in labels:
            if not isinstance(label, corten.Tensor):
                raise ValueError(
                    f"The labels in the input to forward() must be a tensor or None, got {type(label)} instead."
                )
        flat, structure = tree_flatten(inputs)
        boxes = [inpt for inpt in flat if isinstance(inpt, tv_tensors.BoundingBoxes)]
        if not boxes:
            raise ValueError("No bounding boxes were found in the sample")
        for label in labels:
            if len(label) != len(boxes[0]):
                raise ValueError(
                    f"Number of boxes (shape={boxes[0].shape}) and must match the number of labels."
                    f"Found labels with shape={label.shape})."
                )
        _, stays = F.sanitize_bounding_boxes(boxes[0], min_size=self.min_size, min_area=self.min_area)
        chosen = [self._kept(inpt, stays, any(inpt is label for label in labels)) for inpt in flat]
        return tree_unflatten(chosen, structure)

    def _kept(self, inpt, stays, is_label):
        of_boxes = isinstance(inpt, (tv_tensors.BoundingBoxes, tv_tensors.Mask))
        if not (is_label or of_boxes):
            return inpt
        if isinstance(inpt, tv_tensors.Mask) and (inpt.dim() < 3 or len(inpt) != len(stays)):
            return inpt
        kept = inpt.as_subclass(corten.Tensor)[stays]
        return kept if is_pure_tensor(inpt) else tv_tensors.wrap(kept, like=inpt)


def labels_finder(getter):
    """The function from a sample to its labels that a ``labels_getter`` means.

    Raises:
        ValueError: none of its kinds.
    """
    if getter == "default":
        return find_labels
    if callable(getter):
        return getter
    if isinstance(getter, str):
        return lambda inputs: _last_dict(inputs)[getter]
    if getter is None:
        return lambda inputs: None
    raise ValueError(f"labels_getter should either be a str, callable, or 'default', but got {getter!r}.")


def _last_dict(inputs):
    return inputs[1] if isinstance(inputs, (tuple, list)) else inputs


def find_labels(inputs):
    """The labels of a sample: ``"label"`` or ``"labels"`` of its dict, or the tensor that follows the images.

    Raises:
        ValueError: there is none.
    """
    second = inputs[1] if isinstance(inputs, (tuple, list)) and len(inputs) > 1 else inputs
    if is_pure_tensor(second):
        return second
    if isinstance(second, dict):
        exact = [key for key in second if isinstance(key, str) and key.lower() in ("label", "labels")]
        near = [key for key in second if isinstance(key, str) and "label" in key.lower()]
        for key in exact or near:
            return second[key]
    raise ValueError(
        "Could not infer where the labels are in the sample. Try passing a callable as the labels_getter parameter?"
        "If there are no labels in the sample by design, pass labels_getter=None."
    )
