"""Pictures of tensors: grids, files, and boxes, masks and keypoints drawn on images."""

import math
import warnings

import corten

from ._pillow import pillow
from .transforms import _color
from .transforms._convert import pil_to_tensor, to_pil_image

__all__ = [
    "make_grid",
    "save_image",
    "draw_bounding_boxes",
    "draw_segmentation_masks",
    "draw_keypoints",
    "flow_to_image",
]


def _as_batch(tensor):
    """Images ``(N, C, H, W)`` with at least three channels if they had one."""
    if not (
        isinstance(tensor, corten.Tensor)
        or (isinstance(tensor, list) and all(isinstance(image, corten.Tensor) for image in tensor))
    ):
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    if not isinstance(tensor, corten.Tensor):
        tensor = corten.stack(list(tensor), dim=0)
    if not 2 <= tensor.dim() <= 4:
        raise ValueError(f"make_grid: images are (N, C, H, W), (C, H, W) or (H, W), got shape {tuple(tensor.shape)}")
    if tensor.dim() == 2:
        tensor = tensor[None]
    if tensor.dim() == 3:
        tensor = tensor[None]
    return tensor.expand(-1, 3, -1, -1) if tensor.shape[1] == 1 else tensor


def _normalized(batch, value_range, scale_each):
    if value_range is not None and not isinstance(value_range, tuple):
        raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
    if value_range is not None:
        low, high = value_range
        return (batch.clamp(low, high) - low) / max(high - low, 1e-5)
    dims = (1, 2, 3) if scale_each else (0, 1, 2, 3)
    low, high = batch.amin(dims, keepdim=True), batch.amax(dims, keepdim=True)
    return (batch - low) / (high - low).clamp(min=1e-5)


@corten.no_grad()
def make_grid(tensor, nrow=8, padding=2, normalize=False, value_range=None, scale_each=False, pad_value=0.0):
    """Images side by side in rows, as one image.

    Args:
        tensor: images ``(N, C, H, W)``, or a list of ``(C, H, W)``; one channel becomes three.
        nrow: images in a row.
        padding: pixels between them and around.
        normalize: stretches values to [0, 1].
        value_range: ``(min, max)`` that becomes [0, 1]; None for what is there.
        scale_each: looks for it in each image apart.
        pad_value: of the pixels between.

    Returns:
        ``(C, rows * (H + padding) + padding, columns * (W + padding) + padding)``; a single image is not padded.

    Raises:
        TypeError: no tensors, or a ``value_range`` that is no tuple.
        ValueError: tensors of other dims.
    """
    batch = _as_batch(tensor)
    if normalize:
        batch = _normalized(batch, value_range, scale_each)
    count, channels, height, width = batch.shape
    if count == 1:
        return batch[0].clone()
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    pad = corten.nn.functional.pad
    fill = dict(value=pad_value if batch.is_floating_point() else int(pad_value))
    batch = pad(batch, [padding, 0, padding, 0], **fill)
    batch = pad(batch, [0, 0, 0, 0, 0, 0, 0, rows * columns - count], **fill)
    grid = batch.reshape(rows, columns, channels, height + padding, width + padding).permute(2, 0, 3, 1, 4)
    grid = grid.reshape(channels, rows * (height + padding), columns * (width + padding))
    return pad(grid, [0, padding, 0, padding], **fill)


@corten.no_grad()
def save_image(tensor, fp, format=None, **kwargs):
    """Writes images from 0 to 1 into a file, side by side.

    Args:
        tensor: what `make_grid` takes.
        fp: the path, or an open file.
        format: Pillow's name of the format; None for what the path's ending says.
        kwargs: the other arguments of `make_grid`.
    """
    grid = make_grid(tensor, **kwargs)
    values = (grid * 255 + 0.5).clamp(0, 255).to("cpu", corten.uint8)
    to_pil_image(values).save(fp, format=format)


def _check_image(image, channels, name):
    if not isinstance(image, corten.Tensor):
        raise TypeError(f"{'Tensor' if name == 'boxes' else 'The image must be a tensor'} expected, got {type(image)}")
    if not (image.dtype == corten.uint8 or image.is_floating_point()):
        raise ValueError(f"The image dtype must be uint8 or float, got {image.dtype}")
    if image.dim() != 3:
        raise ValueError(f"Pass individual images, not batches (got shape {tuple(image.shape)})")
    if image.shape[0] not in channels:
        kinds = "Only grayscale and RGB images are supported" if 1 in channels else "Pass an RGB image"
        raise ValueError(f"{kinds} (got {image.shape[0]} channels)")


def _palette(count):
    """Colours that are far from each other."""
    return [tuple(number * step % 255 for step in (2**25 - 1, 2**15 - 1, 2**21 - 1)) for number in range(count)]


def _colours(colors, count, dtype=corten.uint8):
    """``count`` triples in the range of the dtype."""
    if colors is None:
        chosen = _palette(count)
    elif isinstance(colors, list):
        if len(colors) < count:
            raise ValueError(
                f"Number of colors must be equal or larger than the number of objects, but got {len(colors)} < {count}."
            )
        chosen = colors
    elif isinstance(colors, (tuple, str)):
        chosen = [colors] * count
    else:
        raise ValueError("`colors` must be a tuple or a string, or a list thereof")
    _, names = pillow("ImageColor")
    chosen = [names.getrgb(colour) if isinstance(colour, str) else colour for colour in chosen]
    for colour in chosen:
        if not isinstance(colour, tuple) or len(colour) < 3:
            raise ValueError(f"a color is a name or a tuple of three numbers, got {colour!r}")
    if dtype.is_floating_point:
        return [tuple(value / 255 for value in colour) for colour in chosen]
    return chosen


class _Canvas:
    """An image of Pillow's to draw on, of a tensor, and the way back."""

    def __init__(self, image, mode=None):
        self._like = image
        values = _color.convert_dtype(image, corten.uint8).expand(3, -1, -1)
        self._picture = to_pil_image(values)
        _, drawing = pillow("ImageDraw")
        self.draw = drawing.Draw(self._picture, mode)

    def result(self):
        values = pil_to_tensor(self._picture).to(self._like.device)
        return _color.convert_dtype(values, self._like.dtype)


@corten.no_grad()
def draw_bounding_boxes(
    image,
    boxes,
    labels=None,
    colors=None,
    fill=False,
    width=1,
    font=None,
    font_size=None,
    label_colors=None,
    label_background_colors=None,
    fill_labels=False,
):
    """The image with boxes, and a label in each.

    Args:
        image: ``(C, H, W)`` with one or three channels, uint8, or floating point from 0 to 1.
        boxes: ``(N, 4)`` as ``(x1, y1, x2, y2)`` in pixels.
        labels: a text or None for each; None for no label.
        colors: a colour, or a list with one for each: names, or ``(red, green, blue)`` from 0 to 255.
        fill: fills the boxes, seven elevenths see-through.
        width: of the lines, in pixels.
        font: the path of a TrueType font; None for Pillow's own.
        font_size: in points; 10 if None.
        label_colors: as ``colors``; None for those, or for black on a background.
        label_background_colors: as ``colors``; None for those.
        fill_labels: puts a background behind the labels.

    Returns:
        ``(3, H, W)`` of the image's dtype.

    Raises:
        TypeError: no tensor.
        ValueError: another image, boxes whose corners are exchanged, or labels or colours that are too few.
    """
    _check_image(image, (1, 3), "boxes")
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError(f"draw_bounding_boxes: boxes are (N, 4), got shape {tuple(boxes.shape)}")
    if (boxes[:, 0] > boxes[:, 2]).any() or (boxes[:, 1] > boxes[:, 3]).any():
        raise ValueError(
            "Boxes need to be in (xmin, ymin, xmax, ymax) format. Use torchvision.ops.box_convert to convert them"
        )
    count = len(boxes)
    if count == 0:
        warnings.warn("boxes doesn't contain any box. No box was drawn", stacklevel=2)
        return image
    labels = [None] * count if labels is None else labels
    if len(labels) != count:
        raise ValueError(
            f"Number of boxes ({count}) and labels ({len(labels)}) mismatch. Please specify labels for each box."
        )
    lines = _colours(colors, count)
    texts = _colours(label_colors, count) if label_colors else ["black"] * count if fill_labels else list(lines)
    backgrounds = _colours(label_background_colors, count) if label_background_colors else list(lines)
    letters = _font(font, font_size)
    canvas = _Canvas(image, "RGBA" if fill else None)
    for box, line, label, text, behind in zip(boxes.long().tolist(), lines, labels, texts, backgrounds):
        inside = (*line, 100) if fill else None
        canvas.draw.rectangle(box, width=width, outline=line, fill=inside)
        if label is not None:
            place = (box[0] + width + 1, box[1] + width + 1)
            if fill_labels:
                left, top, right, bottom = canvas.draw.textbbox(place, label, font=letters)
                canvas.draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=behind)
            canvas.draw.text(place, label, fill=text, font=letters)
    return canvas.result()


def _font(font, font_size):
    _, fonts = pillow("ImageFont")
    if font is not None:
        return fonts.truetype(font=font, size=font_size or 10)
    if font_size is not None:
        warnings.warn("Argument 'font_size' will be ignored since 'font' is not set.", stacklevel=3)
    return fonts.load_default()


@corten.no_grad()
def draw_segmentation_masks(image, masks, alpha=0.8, colors=None):
    """The image with masks in colour; where masks overlap it is black.

    Args:
        image: ``(3, H, W)``, uint8, or floating point from 0 to 1.
        masks: bool ``(N, H, W)`` or ``(H, W)``.
        alpha: from 0, see-through, to 1.
        colors: as for `draw_bounding_boxes`.

    Returns:
        ``(3, H, W)`` of the image's dtype.

    Raises:
        TypeError: no tensor.
        ValueError: another image, or masks of another dtype or shape.
    """
    _check_image(image, (3,), "masks")
    masks = masks[None] if masks.dim() == 2 else masks
    if masks.dim() != 3:
        raise ValueError("masks must be of shape (H, W) or (batch_size, H, W)")
    if masks.dtype != corten.bool:
        raise ValueError(f"The masks must be of dtype bool. Got {masks.dtype}")
    if masks.shape[-2:] != image.shape[-2:]:
        raise ValueError("The image and the masks must have the same height and width")
    count = len(masks)
    if count == 0:
        warnings.warn("masks doesn't contain any mask. No mask was drawn", stacklevel=2)
        return image
    chosen = [colour[:3] for colour in _colours(colors, count, image.dtype)[:count]]
    table = corten.tensor(chosen, dtype=image.dtype, device=image.device)
    table = corten.cat([table, corten.zeros_like(table[:1])])
    covers = masks.sum(0)
    number = corten.where(covers > 1, count, masks.int().argmax(0))
    painted = corten.where(covers > 0, table[number].permute(2, 0, 1), image)
    return (image * (1 - alpha) + painted * alpha).to(image.dtype)


@corten.no_grad()
def draw_keypoints(image, keypoints, connectivity=None, colors=None, radius=2, width=3, visibility=None):
    """The image with keypoints as discs, and white lines between them.

    Args:
        image: ``(3, H, W)``, uint8, or floating point from 0 to 1.
        keypoints: ``(N, K, 2)``, K points ``(x, y)`` of each of N objects.
        connectivity: pairs of points' numbers that lines connect.
        colors: of the discs, a name or ``(red, green, blue)``; None for none.
        radius: of the discs, in pixels.
        width: of the lines, in pixels.
        visibility: bool ``(N, K)``: points that are not visible are left out, with their lines.

    Returns:
        ``(3, H, W)`` of the image's dtype.

    Raises:
        TypeError: no tensor.
        ValueError: another image, or keypoints or a visibility of another shape.
    """
    _check_image(image, (3,), "keypoints")
    if keypoints.dim() != 3 or keypoints.shape[-1] != 2:
        raise ValueError(f"keypoints must be of shape (num_instances, K, 2), got {tuple(keypoints.shape)}")
    if visibility is None:
        visibility = corten.ones(keypoints.shape[:-1], dtype=corten.bool)
    if visibility.dim() == 3:
        visibility = visibility.squeeze(-1)
    if visibility.shape != keypoints.shape[:-1]:
        raise ValueError(
            "keypoints and visibility must have the same dimensionality for num_instances and K, got "
            f"{tuple(keypoints.shape)} and {tuple(visibility.shape)}"
        )
    colour = _colours(colors, 1)[0] if colors is not None else None
    canvas = _Canvas(image)
    for points, visible in zip(keypoints.long().tolist(), visibility.bool().tolist()):
        for (x, y), seen in zip(points, visible):
            if seen:
                canvas.draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour, width=0)
        for first, second in connectivity or ():
            if visible[first] and visible[second]:
                canvas.draw.line((*points[first], *points[second]), width=width)
    return canvas.result()


@corten.no_grad()
def flow_to_image(flow):
    """Optical flow in colours: the direction as the hue, the speed as the saturation (Baker et al. 2011).

    Args:
        flow: floating point ``(N, 2, H, W)`` or ``(2, H, W)``; the fastest pixel of all is fully coloured.

    Returns:
        uint8 ``(N, 3, H, W)`` or ``(3, H, W)``.

    Raises:
        ValueError: another dtype or shape.
    """
    if flow.dtype != corten.float32:
        raise ValueError(f"Flow should be of dtype torch.float, got {flow.dtype}.")
    if flow.dim() not in (3, 4) or flow.shape[-3] != 2:
        raise ValueError(f"Input flow should have shape (2, H, W) or (N, 2, H, W), got {tuple(flow.shape)}.")
    flow = flow / (flow.square().sum(-3).sqrt().max() + corten.finfo(corten.float32).eps)
    wheel = _colour_wheel().to(flow.device)
    across, down = flow.unbind(-3)
    speed = flow.square().sum(-3).sqrt()
    place = (corten.atan2(-down, -across) / math.pi + 1) / 2 * (len(wheel) - 1)
    low = place.floor().long()
    part = (place - low)[..., None]
    colour = (1 - part) * (wheel[low] / 255) + part * (wheel[(low + 1) % len(wheel)] / 255)
    return (255 * (1 - speed[..., None] * (1 - colour))).floor().to(corten.uint8).movedim(-1, -3)


def _colour_wheel():
    """55 colours ``(55, 3)`` from 0 to 255 around the circle, in steps as the eye tells them apart."""
    parts = []
    # From one channel to the next: how many steps, which channel is full, which one rises or falls.
    for steps, full, moving, rises in (
        *((15, 0, 1, True), (6, 1, 0, False), (4, 1, 2, True)),
        *((11, 2, 1, False), (13, 2, 0, True), (6, 0, 2, False)),
    ):
        part = corten.zeros(steps, 3, device="cpu")
        ramp = (255 * corten.arange(steps, device="cpu") / steps).floor()
        part[:, full] = 255
        part[:, moving] = ramp if rises else 255 - ramp
        parts.append(part)
    return corten.cat(parts)
