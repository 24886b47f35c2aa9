"""Kinds, dtypes, sizes and formats of inputs, and what cleans boxes."""

import corten
from corten.vision import tv_tensors

from ... import _color, _convert, _warp
from ..._common import dimensions
from . import _boxes
from ._dispatch import add, call, is_pure_tensor

__all__ = [
    "clamp_bounding_boxes",
    "convert_bounding_box_format",
    "convert_image_dtype",
    "erase",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "get_num_channels",
    "get_num_frames",
    "get_size",
    "jpeg",
    "pil_to_tensor",
    "sanitize_bounding_boxes",
    "to_dtype",
    "to_image",
    "to_pil_image",
    "to_tensor",
    "uniform_temporal_subsample",
]

to_tensor, pil_to_tensor, to_pil_image = _convert.to_tensor, _convert.pil_to_tensor, _convert.to_pil_image


def to_image(inpt):
    """A `tv_tensors.Image` of a tensor, an array ``(H, W[, C])`` or an image of Pillow's, values as they are."""
    return tv_tensors.Image(_convert.to_image(inpt))


def to_dtype(inpt, dtype=corten.float32, scale=False):
    """The input in another dtype.

    Args:
        scale: of images, whether values go from one dtype's range to the other's.
    """
    return call("to_dtype", inpt, dtype, scale)


def _to_dtype(image, dtype, scale):
    return _color.convert_dtype(image, dtype) if scale else image.to(dtype)


def _plain_to_dtype(values, dtype, scale):
    return values.to(dtype)


add("to_dtype", _to_dtype, None, _plain_to_dtype, _plain_to_dtype)


def convert_image_dtype(image, dtype=corten.float32):
    """`to_dtype` with ``scale=True``."""
    return to_dtype(image, dtype, scale=True)


def get_dimensions(inpt):
    """Channels, height and width of an image or video."""
    return dimensions(inpt)


def get_num_channels(inpt):
    """Channels of an image or video."""
    return dimensions(inpt)[0]


get_image_num_channels = get_num_channels


def get_size(inpt):
    """Height and width of an image, video or mask, or of the image that boxes belong to."""
    if isinstance(inpt, tv_tensors.BoundingBoxes):
        return list(inpt.canvas_size)
    return dimensions(inpt)[1:]


def get_image_size(inpt):
    """Width and height of an image."""
    return dimensions(inpt)[:0:-1]


def get_num_frames(inpt):
    """Frames of a video ``(..., T, C, H, W)``."""
    return inpt.shape[-4]


def erase(inpt, i, j, h, w, v, inplace=False):
    """The image with the box of corner ``(i, j)`` and size ``(h, w)`` overwritten by ``v``."""
    return call("erase", inpt, i, j, h, w, v, inplace)


def _erase_pil(image, i, j, h, w, v, inplace=False):
    return to_pil_image(_warp.erase(pil_to_tensor(image), i, j, h, w, v), mode=image.mode)


add("erase", _warp.erase, _erase_pil)


def jpeg(inpt, quality):
    """The image after it was a jpeg file of this quality, from 1 to 100; uint8 ``(..., C, H, W)``."""
    return call("jpeg", inpt, quality)


def _jpeg(image, quality):
    from corten.vision.io import decode_jpeg, encode_jpeg

    planes = image.reshape(image.shape[:-3].numel(), *image.shape[-3:])
    parts = [decode_jpeg(encode_jpeg(part, quality)) for part in planes]
    return corten.stack(parts).reshape(image.shape).to(image.device) if parts else image.clone()


def _jpeg_pil(image, quality):
    return to_pil_image(_jpeg(pil_to_tensor(image), quality), mode=image.mode)


add("jpeg", _jpeg, _jpeg_pil)


def uniform_temporal_subsample(inpt, num_samples):
    """Frames of a video ``(..., T, C, H, W)`` at equal distances, from the first to the last."""
    frames = inpt.shape[-4]
    index = corten.linspace(0, frames - 1, num_samples, device=inpt.device).long()
    result = inpt.as_subclass(corten.Tensor).index_select(-4, index)
    return tv_tensors.wrap(result, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else result


def _known(inpt, format, canvas_size, names):
    """The format and image size of boxes, which plain tensors must be told.

    Raises:
        ValueError: a plain tensor without, or boxes that know them with.
    """
    if is_pure_tensor(inpt):
        if format is None or canvas_size is None:
            raise ValueError(f"For pure tensor inputs, {names} has to be passed.")
        return tv_tensors.box_format(format), canvas_size
    if not isinstance(inpt, tv_tensors.BoundingBoxes):
        raise TypeError(
            f"Input can either be a plain tensor or a bounding box tv_tensor, but got {type(inpt)} instead."
        )
    return inpt.format, inpt.canvas_size


def convert_bounding_box_format(inpt, old_format=None, new_format=None, inplace=False):
    """Boxes in another format.

    Args:
        old_format: of plain tensors alone.
        new_format: a `tv_tensors.BoundingBoxFormat` or its name.
        inplace: writes into the input.

    Raises:
        TypeError: no new format.
        ValueError: a plain tensor without its format.
    """
    if new_format is None:
        raise TypeError("convert_bounding_box_format() missing 1 required argument: 'new_format'")
    old, _ = _known(inpt, old_format, (0, 0), "`old_format`")
    new = tv_tensors.box_format(new_format)
    plain = inpt.as_subclass(corten.Tensor)
    result = _boxes.convert(plain, old, new)
    if inplace:
        result = plain.copy_(result)
    return result if is_pure_tensor(inpt) else tv_tensors.wrap(result, like=inpt, format=new)


def clamp_bounding_boxes(inpt, format=None, canvas_size=None, clamping_mode="auto"):
    """Boxes moved into their image.

    Args:
        format, canvas_size: of plain tensors alone.
        clamping_mode: ``"auto"`` for the boxes' own; None leaves them as they are.

    Raises:
        ValueError: a plain tensor without format and image size.
    """
    known, size = _known(inpt, format, canvas_size, "`format` and `canvas_size`")
    mode = getattr(inpt, "clamping_mode", "soft") if clamping_mode == "auto" else clamping_mode
    if mode is None:
        return inpt.clone()
    corners = _boxes.convert(inpt.as_subclass(corten.Tensor), known, tv_tensors.BoundingBoxFormat.XYXY)
    result = _boxes.convert(_boxes.clamp(corners, size), tv_tensors.BoundingBoxFormat.XYXY, known)
    return result if is_pure_tensor(inpt) else tv_tensors.wrap(result, like=inpt)


def sanitize_bounding_boxes(bounding_boxes, format=None, canvas_size=None, min_size=1.0, min_area=1.0):
    """The boxes that are large enough and lie in their image, and which they are.

    Args:
        bounding_boxes: ``(N, 4)``.
        format, canvas_size: of plain tensors alone.
        min_size: the least width and height.
        min_area: the least area.

    Returns:
        The boxes that stay, and a bool tensor ``(N,)``.
    """
    known, size = _known(bounding_boxes, format, canvas_size, "`format` and `canvas_size`")
    plain = bounding_boxes.as_subclass(corten.Tensor)
    corners = _boxes.convert(plain, known, tv_tensors.BoundingBoxFormat.XYXY)
    sides = corners[:, 2:] - corners[:, :2]
    height, width = size
    stays = (sides >= min_size).all(1) & (sides.prod(1) >= min_area) & (corners >= 0).all(1)
    stays = stays & (corners[:, 0::2] <= width).all(1) & (corners[:, 1::2] <= height).all(1)
    result = plain[stays]
    return (result if is_pure_tensor(bounding_boxes) else tv_tensors.wrap(result, like=bounding_boxes)), stays
