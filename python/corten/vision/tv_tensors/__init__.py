"""Tensors that say what they hold: images, videos, masks and boxes, which the second version of transforms tells apart.

An operator on one gives a plain `Tensor`, since its result need not be an image; ``clone``, ``to``, ``detach`` and
``requires_grad_`` keep the class, and `set_return_type` makes all operators keep it.
"""

from contextlib import ContextDecorator
from enum import Enum

import corten

from .._pillow import is_pil_image

__all__ = [
    "BoundingBoxFormat",
    "BoundingBoxes",
    "Image",
    "Mask",
    "TVTensor",
    "Video",
    "set_return_type",
    "wrap",
]

_keeps_class = False


class TVTensor(corten.Tensor):
    """The base of the classes here."""

    @classmethod
    def _tensor(cls, data, dtype=None, device=None, requires_grad=None):
        """A plain tensor of anything that `as_tensor` takes."""
        if requires_grad is None:
            requires_grad = data.requires_grad if isinstance(data, corten.Tensor) else False
        if isinstance(data, TVTensor):
            data = data.as_subclass(corten.Tensor)
        return corten.as_tensor(data, dtype=dtype, device=device).requires_grad_(requires_grad)

    @classmethod
    def _wrap_like(cls, tensor, like):
        """The tensor in the class of ``like``, with what it knows."""
        return tensor.as_subclass(cls)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        with corten.overrides.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        wanted = _keeps_class or getattr(func, "__name__", "") in ("clone", "to", "detach", "requires_grad_")
        first = args[0] if args else None
        if wanted and isinstance(first, cls):
            return _rewrapped(cls, result, first)
        if isinstance(result, cls) and result is first:
            # An in-place operator's result is the same memory as a plain tensor.
            return result.as_subclass(corten.Tensor)
        return result

    def __deepcopy__(self, memo):
        # A leaf stays one.
        with corten.overrides.DisableTorchFunctionSubclass():
            copied = self.detach().as_subclass(corten.Tensor).clone().requires_grad_(self.requires_grad)
        memo[id(self)] = copied = type(self)._wrap_like(copied, self)
        return copied

    def _extra(self):
        return ""

    def __str__(self):
        return repr(self)

    def __repr__(self, *, tensor_contents=None):
        plain = repr(self.as_subclass(corten.Tensor))
        inside = plain[plain.index("(") + 1 : plain.rindex(")")].replace("\n       ", "\n      ")
        return f"{type(self).__name__}({inside}, {self._extra()})"


def _rewrapped(cls, result, like):
    if isinstance(result, corten.Tensor):
        return cls._wrap_like(result, like)
    if isinstance(result, (tuple, list)) and type(result) in (tuple, list):
        return type(result)(_rewrapped(cls, part, like) for part in result)
    return result


class Image(TVTensor):
    """One image or more, ``(..., C, H, W)``.

    Args:
        data: what `as_tensor` takes, or an image of Pillow's; ``(H, W)`` gets a channel.
        dtype, device, requires_grad: of the result; None for those of ``data``.

    Raises:
        ValueError: fewer than two dims.
    """

    def __new__(cls, data, *, dtype=None, device=None, requires_grad=None):
        if is_pil_image(data):
            from ..transforms.functional import pil_to_tensor

            data = pil_to_tensor(data)
        tensor = cls._tensor(data, dtype, device, requires_grad)
        if tensor.dim() < 2:
            raise ValueError(f"Tensor must be 2D or higher, got {tensor.dim()}D tensor.")
        return (tensor[None] if tensor.dim() == 2 else tensor).as_subclass(cls)


class Video(TVTensor):
    """One video or more, ``(..., T, C, H, W)``; arguments are those of `Image`.

    Raises:
        ValueError: fewer than four dims.
    """

    def __new__(cls, data, *, dtype=None, device=None, requires_grad=None):
        tensor = cls._tensor(data, dtype, device, requires_grad)
        if tensor.dim() < 4:
            raise ValueError(f"a Video has at least four dims (T, C, H, W), got {tensor.dim()}")
        return tensor.as_subclass(cls)


class Mask(TVTensor):
    """Masks of classes or objects, ``(..., H, W)``; arguments are those of `Image`."""

    def __new__(cls, data, *, dtype=None, device=None, requires_grad=None):
        if is_pil_image(data):
            from ..transforms.functional import pil_to_tensor

            data = pil_to_tensor(data)
        return cls._tensor(data, dtype, device, requires_grad).as_subclass(cls)


class BoundingBoxFormat(Enum):
    """Two corners, a corner and the size, or the centre and the size."""

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"


def box_format(given):
    """The format that is meant by a format or its name.

    Raises:
        KeyError: an unknown name.
    """
    if isinstance(given, BoundingBoxFormat):
        return given
    if given.upper() not in BoundingBoxFormat.__members__:
        raise KeyError(f"{given.upper()}: formats of boxes are {list(BoundingBoxFormat.__members__)}")
    return BoundingBoxFormat[given.upper()]


class BoundingBoxes(TVTensor):
    """Boxes ``(N, 4)`` of one image.

    Args:
        data: what `as_tensor` takes; one box gets a dim.
        format: a `BoundingBoxFormat` or its name.
        canvas_size: the image's ``(height, width)``.
        clamping_mode: None keeps transforms from cutting boxes off at the image's border; others do so.
        dtype, device, requires_grad: of the result; None for those of ``data``.

    Raises:
        ValueError: more than two dims.
        KeyError: an unknown format.
    """

    def __new__(cls, data, *, format, canvas_size, clamping_mode="soft", dtype=None, device=None, requires_grad=None):
        tensor = cls._tensor(data, dtype, device, requires_grad)
        return cls._made(tensor, format, canvas_size, clamping_mode)

    @classmethod
    def _made(cls, tensor, format, canvas_size, clamping_mode):
        if clamping_mode not in (None, "soft", "hard"):
            raise ValueError(f"clamping_mode must be None, hard or soft, got {clamping_mode}.")
        if tensor.dim() not in (1, 2):
            raise ValueError(f"Expected a 1D or 2D tensor, got {tensor.dim()}D")
        boxes = (tensor[None] if tensor.dim() == 1 else tensor).as_subclass(cls)
        boxes.format = box_format(format)
        boxes.canvas_size = tuple(canvas_size)
        boxes.clamping_mode = clamping_mode
        return boxes

    @classmethod
    def _wrap_like(cls, tensor, like, format=None, canvas_size=None, clamping_mode="as before"):
        if tensor.dim() not in (1, 2) or tensor.shape[-1] != 4:
            return tensor
        mode = like.clamping_mode if clamping_mode == "as before" else clamping_mode
        return cls._made(tensor, format or like.format, canvas_size or like.canvas_size, mode)

    def _extra(self):
        # Without the name of the class of the enumeration's value, as an enumeration prints itself.
        return f"format={self.format}, canvas_size={self.canvas_size}, clamping_mode={self.clamping_mode}"


def wrap(wrappee, *, like, **kwargs):
    """A tensor in the class of another, with what that one knows.

    Args:
        wrappee: the tensor.
        like: one of the classes here.
        kwargs: ``format``, ``canvas_size`` and ``clamping_mode`` of boxes, in place of theirs.
    """
    if isinstance(wrappee, TVTensor):
        wrappee = wrappee.as_subclass(corten.Tensor)
    return type(like)._wrap_like(wrappee, like, **kwargs)


class set_return_type(ContextDecorator):
    """Makes operators on the classes here return them (``"TVTensor"``) or plain tensors (``"Tensor"``).

    A function, a context and a decorator: in the latter two what was before comes back.

    Raises:
        ValueError: another name.
    """

    def __init__(self, return_type):
        global _keeps_class
        known = {"tensor": False, "tvtensor": True}
        if return_type.lower() not in known:
            raise ValueError(f"return_type must be 'TVTensor' or 'Tensor', got {return_type!r}")
        self._before = _keeps_class
        _keeps_class = known[return_type.lower()]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        global _keeps_class
        _keeps_class = self._before
