"""Between Pillow's images, arrays and tensors."""

import corten
import numpy as np

from .._pillow import is_pil_image, pillow

# Element types of the modes that Pillow keeps in other than bytes.
_WIDE_MODES = {"I": np.int32, "I;16": np.int16, "I;16B": np.int16, "F": np.float32}
_MODES_OF_CHANNELS = {
    1: ("L", "1", "I;16", "I", "F"),
    2: ("LA",),
    3: ("RGB", "YCbCr", "HSV"),
    4: ("RGBA", "CMYK", "RGBX"),
}


def _pixels(image):
    """The image's values ``(C, H, W)`` as a tensor of its own memory."""
    values = np.array(image, dtype=_WIDE_MODES.get(image.mode), copy=True)
    if image.mode == "1":
        values = 255 * values.astype(np.uint8)
    values = values.reshape(image.size[1], image.size[0], len(image.getbands()))
    return corten.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def to_tensor(pic):
    """A tensor ``(C, H, W)`` of an image of Pillow's or of an array ``(H, W)`` or ``(H, W, C)``.

    Bytes become float32 from 0 to 1, other numbers keep their values and type.

    Raises:
        TypeError: anything else.
        ValueError: an array of other dims.
    """
    if not (is_pil_image(pic) or isinstance(pic, np.ndarray)):
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        pic = pic[:, :, None] if pic.ndim == 2 else pic
        image = corten.from_numpy(np.ascontiguousarray(pic.transpose(2, 0, 1)))
        return _scaled(image) if image.dtype == corten.uint8 else image
    image = _pixels(pic)
    return _scaled(image) if image.dtype == corten.uint8 else image


def _scaled(image):
    return image.to(corten.get_default_dtype()) / 255


def pil_to_tensor(pic):
    """A tensor ``(C, H, W)`` of an image of Pillow's, with its values and type.

    Raises:
        TypeError: anything else.
    """
    if not is_pil_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    values = np.array(pic, copy=True)
    values = values.reshape(pic.size[1], pic.size[0], len(pic.getbands()))
    return corten.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def to_image(pic):
    """A tensor ``(C, H, W)`` with the values and type of a tensor, an array ``(H, W[, C])`` or an image of Pillow's.

    Raises:
        TypeError: anything else.
    """
    if isinstance(pic, np.ndarray):
        values = np.atleast_3d(pic)
        return corten.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))
    if is_pil_image(pic):
        return pil_to_tensor(pic)
    if isinstance(pic, corten.Tensor):
        return pic
    raise TypeError(f"Input can either be a pure Tensor, a numpy array, or a PIL image, but got {type(pic)} instead.")


def _channels_last(pic):
    """Values ``(H, W, C)`` of a tensor ``([C, ]H, W)`` or an array ``(H, W[, C])``."""
    if not isinstance(pic, (corten.Tensor, np.ndarray)):
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    if pic.ndim not in (2, 3):
        raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
    if isinstance(pic, corten.Tensor):
        pic = pic.detach().cpu()
        pic = pic[None] if pic.dim() == 2 else pic
        channels = pic.shape[0]
    else:
        pic = pic[:, :, None] if pic.ndim == 2 else pic
        channels = pic.shape[2]
    if channels > 4:
        raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
    if isinstance(pic, corten.Tensor):
        return pic.permute(1, 2, 0).contiguous().numpy()
    return pic


def to_pil_image(pic, mode=None):
    """An image of Pillow's of a tensor ``(C, H, W)`` or ``(H, W)``, or of an array ``(H, W, C)`` or ``(H, W)``.

    Floating-point images go from 0 to 1 unless ``mode`` is ``"F"``.

    Args:
        mode: Pillow's name of the colours; None for what the channels and the type suggest.

    Raises:
        TypeError: neither, or numbers that no mode has.
        ValueError: other dims or channels, or a mode that does not fit.
    """
    values = _channels_last(pic)
    if np.issubdtype(values.dtype, np.floating) and mode != "F":
        # By way of int64, since numbers below 0 and above 1 count round in bytes.
        values = (values * 255).astype(np.int64).astype(np.uint8)
    channels = values.shape[2]
    if channels == 1:
        return _of_one_channel(values[:, :, 0], mode)
    permitted = _MODES_OF_CHANNELS[channels]
    if mode is not None and mode not in permitted:
        raise ValueError(f"Only modes {list(permitted)} are supported for {channels}D inputs")
    if values.dtype != np.uint8:
        raise TypeError(f"Input type {values.dtype} is not supported")
    return _in_mode(values, mode or permitted[0])


def _of_one_channel(values, mode):
    expected = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}.get(values.dtype.name)
    if mode is not None and mode != expected:
        raise ValueError(f"Incorrect mode ({mode}) supplied for input type {values.dtype}. Should be {expected}")
    if expected is None:
        raise TypeError(f"Input type {values.dtype} is not supported")
    if expected == "I;16":
        values = values.view(np.uint16)
    return pillow().fromarray(np.ascontiguousarray(values))


def _in_mode(values, mode):
    height, width = values.shape[:2]
    return pillow().frombytes(mode, (width, height), np.ascontiguousarray(values).tobytes())
