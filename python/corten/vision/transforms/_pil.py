"""Transforms of Pillow's images; the names are those of `functional`, which checks arguments and describes them."""

import numpy as np

from .._pillow import pillow
from ._common import PIL_MODES
from ._matrices import inverse_affine_matrix, perspective_coefficients


def horizontal_flip(image):
    return image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)


def vertical_flip(image):
    return image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)


def crop(image, top, left, height, width):
    return image.crop((left, top, left + width, top + height))


def resize(image, size, interpolation):
    if (image.height, image.width) == tuple(size):
        return image
    return image.resize(tuple(size)[::-1], PIL_MODES[interpolation])


def _enhanced(kind, image, factor):
    _, enhance = pillow("ImageEnhance")
    return getattr(enhance, kind)(image).enhance(factor)


def adjust_brightness(image, factor):
    return _enhanced("Brightness", image, factor)


def adjust_contrast(image, factor):
    return _enhanced("Contrast", image, factor)


def adjust_saturation(image, factor):
    return _enhanced("Color", image, factor)


def adjust_sharpness(image, factor):
    return _enhanced("Sharpness", image, factor)


def adjust_hue(image, factor):
    mode = image.mode
    if mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    # A turn of the colour circle is 256 steps, which bytes count round.
    turned = np.array(hue, dtype=np.uint8) + np.array(int(factor * 255) % 256, dtype=np.uint8)
    module = pillow()
    return module.merge("HSV", (module.fromarray(turned), saturation, value)).convert(mode)


def adjust_gamma(image, gamma, gain=1):
    table = [int((255 + 1 - 1e-3) * gain * pow(value / 255.0, gamma)) for value in range(256)]
    mode = image.mode
    image = image.convert("RGB")
    return image.point(table * len(image.getbands())).convert(mode)


def rgb_to_grayscale(image, num_output_channels=1):
    image = image.convert("L")
    return image if num_output_channels == 1 else pillow().merge("RGB", (image, image, image))


def _operated(name, image, *arguments):
    _, operations = pillow("ImageOps")
    return getattr(operations, name)(image, *arguments)


def invert(image):
    return _operated("invert", image)


def posterize(image, bits):
    return _operated("posterize", image, bits)


def solarize(image, threshold):
    return _operated("solarize", image, threshold)


def autocontrast(image):
    return _operated("autocontrast", image)


def equalize(image):
    return _operated("equalize", image)


def fill_colour(fill, image):
    """The fill as Pillow takes it: a number, one for each band, or None.

    Raises:
        ValueError: another count of numbers than bands.
    """
    bands = len(image.getbands())
    if fill is None:
        fill = 0
    if isinstance(fill, (int, float)) and bands > 1:
        fill = (fill,) * bands
    if isinstance(fill, (list, tuple)):
        if len(fill) == 1:
            fill = tuple(fill) * bands
        elif len(fill) != bands:
            raise ValueError(
                "The number of elements in 'fill' does not match the number of "
                f"channels of the image ({len(fill)} != {bands})"
            )
        fill = tuple(fill)
    if image.mode != "F":
        fill = tuple(int(value) for value in fill) if isinstance(fill, tuple) else int(fill)
    return fill[0] if bands == 1 and isinstance(fill, tuple) else fill


def pad(image, padding, fill, mode):
    """Pads by ``padding`` ``[left, top, right, bottom]``."""
    if mode == "constant":
        fill = fill_colour(fill, image)
        left, top, right, bottom = padding
        if image.mode == "P":
            palette = image.getpalette()
            image = _operated("expand", image, tuple(padding), fill)
            image.putpalette(palette)
            return image
        if min(padding) < 0:
            box = (-left, -top, image.width + right, image.height + bottom)
            inner = (max(-left, 0), max(-top, 0), image.width - max(-right, 0), image.height - max(-bottom, 0))
            canvas = pillow().new(image.mode, (box[2] - box[0], box[3] - box[1]), fill)
            canvas.paste(image.crop(inner), (max(left, 0), max(top, 0)))
            return canvas
        return _operated("expand", image, tuple(padding), fill)
    palette = image.getpalette() if image.mode == "P" else None
    values = np.asarray(image)
    left, top, right, bottom = (max(-side, 0) for side in padding)
    values = values[top : values.shape[0] - bottom, left : values.shape[1] - right]
    left, top, right, bottom = (max(side, 0) for side in padding)
    sides = [(top, bottom), (left, right)] + [(0, 0)] * (values.ndim - 2)
    padded = pillow().fromarray(np.pad(values, sides, mode=mode))
    if palette is not None:
        padded.putpalette(palette)
    return padded


def affine(image, angle, translate, scale, shear, interpolation, fill, center):
    width, height = image.size
    center = [width * 0.5, height * 0.5] if center is None else center
    matrix = inverse_affine_matrix(center, angle, translate, scale, shear)
    return _transformed(image, "AFFINE", matrix, interpolation, fill)


def _transformed(image, kind, matrix, interpolation, fill):
    method = getattr(pillow().Transform, kind)
    colour = fill_colour(fill, image)
    return image.transform(image.size, method, matrix, PIL_MODES[interpolation], fillcolor=colour)


def rotate(image, angle, interpolation, expand, center, fill):
    return image.rotate(angle, PIL_MODES[interpolation], expand, center, fillcolor=fill_colour(fill, image))


def perspective(image, startpoints, endpoints, interpolation, fill, coefficients=None):
    if coefficients is None:
        coefficients = perspective_coefficients(startpoints, endpoints)
    return _transformed(image, "PERSPECTIVE", coefficients, interpolation, fill)
