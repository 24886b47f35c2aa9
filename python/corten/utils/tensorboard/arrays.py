"""Values of any kind as numpy arrays, in the layout that an encoder wants."""

import corten
import numpy as np


def as_array(value):
    """A tensor, an array or a number as an array.

    Raises:
        NotImplementedError: it is none of them.
    """
    if isinstance(value, corten.Tensor):
        value = value.detach()
        return (value.float() if value.dtype == corten.bfloat16 else value).cpu().numpy()
    if isinstance(value, np.ndarray):
        return value
    if np.isscalar(value):
        return np.array([value])
    raise NotImplementedError(f"Got {type(value)}, but numpy array or corten tensor are expected.")


def as_number(value, caller):
    """A number out of a number or of something with one element."""
    if isinstance(value, str):
        return float(value)
    array = as_array(value).squeeze()
    if array.ndim:
        raise AssertionError(
            f"Tensor should contain one element (0 dimensions). Was given size: {array.size} and {array.ndim} "
            f"dimensions in {caller}."
        )
    return float(array)


def grid(images, columns=8):
    """Images ``(N, C, H, W)`` beside each other as one ``(C, rows * H, columns * W)``; what is left over is zero."""
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, channels, height, width), images.dtype)
    padded[:count] = images
    tiled = padded.reshape(rows, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    return tiled.reshape(channels, rows * height, columns * width)


def pixels(array, dataformats):
    """An image, or a batch of images in a grid, as ``(H, W, C)``; one channel becomes three.

    Args:
        dataformats: what the dims are, ``N``, ``C``, ``H`` and ``W`` in some order, such as ``"CHW"`` or ``"NHWC"``.

    Raises:
        AssertionError: a letter is there twice, or there are as many dims as letters not.
    """
    letters = dataformats.upper()
    if len(set(letters)) != len(letters):
        raise AssertionError(f"You can not use the same dimension shorthand twice. input_format: {dataformats}")
    if array.ndim != len(letters):
        raise AssertionError(
            "size of input tensor and input format are different. "
            f"tensor shape: {array.shape}, input_format: {dataformats}"
        )
    if not {"H", "W"} <= set(letters) <= set("NCHW"):
        raise ValueError(f"dataformats: expected H and W with or without N and C, got {dataformats!r}")
    for letter in "NC":
        if letter not in letters:
            array, letters = array[..., None], letters + letter
    array = array.transpose([letters.index(letter) for letter in "NCHW"])
    array = (grid(array) if "N" in dataformats.upper() else array[0]).transpose(1, 2, 0)
    return np.concatenate([array] * 3, 2) if array.shape[2] == 1 else array


def as_bytes(array):
    """Values in [0, 1], or bytes already, as bytes."""
    if array.dtype == np.uint8:
        return array
    return np.clip(array.astype(np.float32) * 255, 0, 255).astype(np.uint8)
