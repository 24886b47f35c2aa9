"""The base of the second version of transforms: any structure of inputs, changed with one draw of parameters."""

import enum
import numbers

import corten
from corten import nn
from corten.utils._pytree import tree_flatten, tree_unflatten
from corten.vision import tv_tensors
from corten.vision._pillow import is_pil_image

from .._draws import happens
from . import functional
from .functional._dispatch import find, is_pure_tensor

BOXES_LIKE = (tv_tensors.BoundingBoxes, tv_tensors.Mask)


def check_type(inpt, kinds):
    """Whether the input is of one of the classes, or one of the functions says yes."""
    return any(isinstance(inpt, kind) if isinstance(kind, type) else kind(inpt) for kind in kinds)


def has_any(flat_inputs, *kinds):
    """Whether an input is of one of the kinds."""
    return any(check_type(inpt, kinds) for inpt in flat_inputs)


def is_image(inpt):
    """Whether the input is an image or video, or a plain tensor that stands for one."""
    return is_pure_tensor(inpt) or is_pil_image(inpt) or isinstance(inpt, (tv_tensors.Image, tv_tensors.Video))


def query_chw(flat_inputs):
    """Channels, height and width that the images have in common.

    Raises:
        TypeError: no image.
        ValueError: images of different sizes.
    """
    found = {tuple(functional.get_dimensions(inpt)) for inpt in flat_inputs if is_image(inpt)}
    if not found:
        raise TypeError("No image or video was found in the sample")
    if len(found) > 1:
        raise ValueError(f"Found multiple CxHxW dimensions in the sample: {sorted(found)}")
    return found.pop()


def query_size(flat_inputs):
    """Height and width that images, masks and boxes have in common.

    Raises:
        TypeError: none of them.
        ValueError: different sizes.
    """
    found = {tuple(functional.get_size(inpt)) for inpt in flat_inputs if is_image(inpt) or isinstance(inpt, BOXES_LIKE)}
    if not found:
        raise TypeError("No image, video, mask, bounding box of keypoint was found in the sample")
    if len(found) > 1:
        raise ValueError(f"Found multiple HxW dimensions in the sample: {sorted(found)}")
    return found.pop()


def get_bounding_boxes(flat_inputs):
    """The boxes among the inputs.

    Raises:
        ValueError: none, or more than one set.
    """
    found = [inpt for inpt in flat_inputs if isinstance(inpt, tv_tensors.BoundingBoxes)]
    if len(found) != 1:
        raise ValueError(f"{'No' if not found else 'Found multiple'} bounding boxes were found in the sample")
    return found[0]


class Transform(nn.Module):
    """The base of transforms: subclasses write ``transform(inpt, params)``, and perhaps ``make_params(flat_inputs)``.

    Called with any structure of tuples, lists and dicts. Images, videos, masks, boxes and Pillow's images are changed,
    other things are passed through. Plain tensors are too, but for the first one where there is no image.
    """

    _transformed_types: tuple = (corten.Tensor, is_pil_image)

    def check_inputs(self, flat_inputs):
        """Refuses inputs that the transform cannot take."""

    def make_params(self, flat_inputs):
        """What all inputs are changed by, a dict."""
        return {}

    def transform(self, inpt, params):
        """One input, changed."""
        raise NotImplementedError(f"{type(self).__name__} has no transform(inpt, params)")

    def forward(self, *inputs):
        """The inputs in their structure, changed."""
        flat, structure = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(flat)
        wanted = self._wanted(flat)
        return self._changed(flat, wanted, structure)

    def _changed(self, flat, wanted, structure):
        params = self.make_params([inpt for inpt, needed in zip(flat, wanted) if needed])
        changed = [self.transform(inpt, params) if needed else inpt for inpt, needed in zip(flat, wanted)]
        return tree_unflatten(changed, structure)

    def _wanted(self, flat):
        """Which inputs are changed."""
        plain_too = not has_any(flat, tv_tensors.Image, tv_tensors.Video, is_pil_image)
        wanted = []
        for inpt in flat:
            needed = check_type(inpt, self._transformed_types)
            if needed and is_pure_tensor(inpt):
                needed, plain_too = plain_too, False
            wanted.append(needed)
        return wanted

    def _call(self, operation, inpt, *args, **kwargs):
        """The operation, where there is one for the input; others pass through."""
        return inpt if find(operation, inpt) is None else getattr(functional, operation)(inpt, *args, **kwargs)

    def extra_repr(self):
        """The options that are numbers, texts or sequences."""
        shown = []
        for name, value in self.__dict__.items():
            if name.startswith("_") or name == "training":
                continue
            if isinstance(value, (bool, int, float, str, tuple, list, enum.Enum)):
                shown.append(f"{name}={value}")
        return ", ".join(shown)


class RandomApplied(Transform):
    """A transform that is done with probability ``p``."""

    def __init__(self, p=0.5):
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        super().__init__()
        self.p = p

    def forward(self, *inputs):
        """The inputs in their structure, changed or not."""
        flat, structure = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(flat)
        if not happens(self.p):
            return inputs if len(inputs) > 1 else inputs[0]
        return self._changed(flat, self._wanted(flat), structure)


def setup_fill(fill):
    """The fills by class; those of others stand under ``"others"``.

    Raises:
        TypeError: neither numbers nor None.
    """
    table = fill if isinstance(fill, dict) else {"others": fill}
    for value in table.values():
        numeric = isinstance(value, (numbers.Number, list, tuple)) and not isinstance(value, str)
        if value is not None and not numeric:
            raise TypeError("Got inappropriate fill arg, only Numbers, tuples, lists and dicts are allowed.")
    return {kind: float_or_list(value) for kind, value in table.items()}


def float_or_list(value):
    """A fill as a list, or as it is."""
    return list(value) if isinstance(value, tuple) else value


def fill_of(fills, inpt):
    """The fill of an input's class.

    Raises:
        ValueError: none is given for it.
    """
    for kind in type(inpt).__mro__:
        if kind in fills:
            return fills[kind]
    if "others" in fills:
        return fills["others"]
    raise ValueError(
        "This transform was called with an input of type that is not specified in fill: "
        f"{type(inpt)}; use the key 'others' for all others"
    )
