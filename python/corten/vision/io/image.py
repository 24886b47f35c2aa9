"""Reading, writing, decoding and encoding images."""

import io
import os
from enum import Enum

import corten
import numpy as np

from .._pillow import pillow

__all__ = [
    "ImageReadMode",
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "decode_webp",
    "decode_gif",
    "encode_jpeg",
    "encode_png",
    "read_file",
    "read_image",
    "write_file",
    "write_jpeg",
    "write_png",
]


class ImageReadMode(Enum):
    """The channels of a decoded image; ``UNCHANGED`` for those of the file."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


_PIL_MODES = {
    ImageReadMode.GRAY: "L",
    ImageReadMode.GRAY_ALPHA: "LA",
    ImageReadMode.RGB: "RGB",
    ImageReadMode.RGB_ALPHA: "RGBA",
}
_BY_NAME = {**ImageReadMode.__members__, "RGBA": ImageReadMode.RGB_ALPHA}


def read_file(path):
    """The bytes of a file as a uint8 tensor ``(N,)``.

    Raises:
        RuntimeError: the file cannot be read.
    """
    try:
        content = np.fromfile(os.fspath(path), np.uint8)
    except OSError as error:
        raise RuntimeError(f"[Errno {error.errno}] {error.strerror}: {os.fspath(path)!r}") from error
    return corten.from_numpy(content)


def write_file(filename, data):
    """Writes a uint8 tensor ``(N,)`` into a file.

    Raises:
        RuntimeError: another tensor, or a file that cannot be written.
    """
    if data.dtype != corten.uint8:
        raise RuntimeError(f"Input tensor dtype should be uint8, got {data.dtype}")
    if data.dim() != 1:
        raise RuntimeError(f"Input data should be a 1-dimensional tensor, got shape {tuple(data.shape)}")
    try:
        with open(os.fspath(filename), "wb") as file:
            file.write(data.detach().cpu().contiguous().numpy().tobytes())
    except OSError as error:
        raise RuntimeError(f"[Errno {error.errno}] {error.strerror}: {os.fspath(filename)!r}") from error


def _bytes(input, name):
    if not isinstance(input, corten.Tensor):
        raise RuntimeError(f"{name}: expected a tensor of bytes, got {type(input).__name__}")
    if input.dtype != corten.uint8 or input.dim() != 1 or not input.numel():
        raise RuntimeError(
            f"Expected a non empty 1-dimensional tensor of uint8, got {input.dtype} of shape {tuple(input.shape)}"
        )
    return input.detach().cpu().contiguous().numpy().tobytes()


def _open(input, name, formats):
    module = pillow()
    try:
        picture = module.open(io.BytesIO(_bytes(input, name)), formats=formats)
    except (OSError, SyntaxError, ValueError, module.DecompressionBombError) as error:
        known = ", ".join(formats) if formats else "jpeg, png, webp, gif and what else Pillow reads"
        raise RuntimeError(f"{name}: the bytes are no image in {known} ({error})") from error
    return picture


def _decode(input, mode, name, formats=None, apply_exif_orientation=False):
    picture = _open(input, name, formats)
    if isinstance(mode, str):
        if mode.upper() not in _BY_NAME:
            raise ValueError(f"{name}: unknown mode {mode!r}, one of {list(_BY_NAME)}")
        mode = _BY_NAME[mode.upper()]
    if picture.format == "GIF" and mode == ImageReadMode.UNCHANGED:
        return decode_gif(input)
    module, operations = pillow("ImageOps")
    try:
        if picture.format == "JPEG" and mode == ImageReadMode.GRAY:
            # Straight from the file's luminance.
            picture.draft("L", picture.size)
        picture.load()
        if apply_exif_orientation:
            picture = operations.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, EOFError, module.DecompressionBombError) as error:
        raise RuntimeError(f"{name}: the image is damaged or cut short ({error})") from error
    return _values(picture, mode)


def _values(picture, mode):
    """The picture ``(C, H, W)`` in the channels of the mode."""
    if mode != ImageReadMode.UNCHANGED:
        picture = picture.convert(_PIL_MODES[mode])
    elif picture.mode in ("1", "PA", "La", "RGBa", "YCbCr", "LAB", "HSV"):
        picture = picture.convert({"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}.get(picture.mode, "RGB"))
    values = np.array(picture)
    values = values[:, :, None] if values.ndim == 2 else values
    return corten.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def decode_image(input, mode=ImageReadMode.UNCHANGED, apply_exif_orientation=False):
    """An image ``(C, H, W)``, uint8, from its file's bytes.

    Args:
        input: uint8 tensor ``(N,)``, or the path of a file.
        mode: the channels, an `ImageReadMode` or its name.
        apply_exif_orientation: turns the image as the camera says.

    Returns:
        uint8 ``(C, H, W)``; of gif files with several frames ``(N, C, H, W)``; int32 of grey images of 16 bits.

    Raises:
        RuntimeError: no image, or one that is damaged or cut short.
    """
    if isinstance(input, (str, os.PathLike)):
        input = read_file(input)
    return _decode(input, mode, "decode_image", None, apply_exif_orientation)


def read_image(path, mode=ImageReadMode.UNCHANGED, apply_exif_orientation=False):
    """The image ``(C, H, W)`` in a file: `decode_image` of `read_file`."""
    return decode_image(read_file(path), mode, apply_exif_orientation)


def decode_png(input, mode=ImageReadMode.UNCHANGED, apply_exif_orientation=False):
    """`decode_image` of a png file's bytes alone."""
    return _decode(input, mode, "decode_png", ("PNG",), apply_exif_orientation)


def decode_jpeg(input, mode=ImageReadMode.UNCHANGED, device="cpu", apply_exif_orientation=False):
    """`decode_image` of a jpeg file's bytes, or of a list of them, onto a device."""
    if isinstance(input, (list, tuple)):
        return [decode_jpeg(part, mode, device, apply_exif_orientation) for part in input]
    return _decode(input, mode, "decode_jpeg", ("JPEG",), apply_exif_orientation).to(device)


def decode_webp(input, mode=ImageReadMode.UNCHANGED):
    """`decode_image` of a webp file's bytes alone."""
    return _decode(input, mode, "decode_webp", ("WEBP",))


def decode_gif(input):
    """The frames ``(N, 3, H, W)`` of a gif file's bytes, or ``(3, H, W)`` of a single one."""
    picture = _open(input, "decode_gif", ("GIF",))
    frames = []
    try:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            frames.append(_values(picture, ImageReadMode.RGB))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise RuntimeError(f"decode_gif: the image is damaged or cut short ({error})") from error
    return frames[0] if len(frames) == 1 else corten.stack(frames)


def _encoded(input, name, format, **options):
    if not isinstance(input, corten.Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(input).__name__}")
    if input.dtype != corten.uint8:
        raise RuntimeError(f"Input tensor dtype should be uint8, got {input.dtype}")
    if input.dim() != 3:
        raise RuntimeError(f"Input data should be a 3-dimensional tensor, got shape {tuple(input.shape)}")
    if input.shape[0] not in (1, 3):
        raise RuntimeError(f"The number of channels should be 1 or 3, got: {input.shape[0]}")
    values = input.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    pillow().fromarray(values[:, :, 0] if input.shape[0] == 1 else values).save(file, format, **options)
    return corten.frombuffer(bytearray(file.getvalue()), dtype=corten.uint8)


def encode_png(input, compression_level=6):
    """The bytes ``(N,)`` of a png file of an image.

    Args:
        input: uint8 ``(C, H, W)`` with one or three channels.
        compression_level: from 0 to 9.

    Raises:
        RuntimeError: another tensor or level.
    """
    if not 0 <= compression_level <= 9:
        raise RuntimeError(f"Compression level should be between 0 and 9, got {compression_level}")
    return _encoded(input, "encode_png", "PNG", compress_level=compression_level)


def encode_jpeg(input, quality=75):
    """The bytes ``(N,)`` of a jpeg file of an image, or a list of them of a list.

    Args:
        input: uint8 ``(C, H, W)`` with one or three channels.
        quality: from 1 to 100.

    Raises:
        ValueError: another quality.
        RuntimeError: another tensor.
    """
    if quality < 1 or quality > 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    if isinstance(input, (list, tuple)):
        return [encode_jpeg(part, quality) for part in input]
    return _encoded(input, "encode_jpeg", "JPEG", quality=quality)


def write_png(input, filename, compression_level=6):
    """Writes an image as a png file: `write_file` of `encode_png`."""
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input, filename, quality=75):
    """Writes an image as a jpeg file: `write_file` of `encode_jpeg`."""
    write_file(filename, encode_jpeg(input, quality))
