"""The files of TensorBoard's projector: vectors, labels, a sprite of pictures, and the list of what there is."""

import math
import os

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig

from .arrays import as_bytes, grid


def encoded(name):
    """A tag as the name of a folder: what a path must not hold is written ``%%xx``."""
    result = name
    for letter in (b"/", b"\\", b"?"):
        result = result.replace(letter.decode(), f"%%{letter[0]:02x}")
    return result


def write(folder, subfolder, tag, step, vectors, metadata=None, header=None, pictures=None):
    """Writes the files for vectors ``(N, D)`` and adds them to the projector's list.

    Args:
        metadata: a label for each row, or a list of columns where there is a ``header``.
        pictures: an image for each row, ``(N, C, H, W)``.
    """
    place = os.path.join(folder, subfolder)
    os.makedirs(place, exist_ok=True)
    info = EmbeddingInfo(tensor_name=f"{tag}:{str(step).zfill(5)}", tensor_path=f"{subfolder}/tensors.tsv")
    if metadata is not None:
        rows = [header, *metadata] if header else metadata
        lines = ["\t".join(map(str, row)) for row in rows] if header else [str(row) for row in rows]
        with open(os.path.join(place, "metadata.tsv"), "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        info.metadata_path = f"{subfolder}/metadata.tsv"
    if pictures is not None:
        _write_sprite(pictures, os.path.join(place, "sprite.png"))
        info.sprite.image_path = f"{subfolder}/sprite.png"
        info.sprite.single_image_dim.extend([pictures.shape[3], pictures.shape[2]])
    with open(os.path.join(place, "tensors.tsv"), "w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in vectors.tolist())
    return info


def _write_sprite(pictures, path):
    from .summary import _image_class

    across = math.ceil(math.sqrt(len(pictures)))
    # The projector reads a square: rows that are not needed are black.
    padded = np.zeros((across * across, *pictures.shape[1:]), pictures.dtype)
    padded[: len(pictures)] = pictures
    sheet = as_bytes(grid(padded, across)).transpose(1, 2, 0)
    _image_class().fromarray(sheet[..., 0] if sheet.shape[2] == 1 else np.ascontiguousarray(sheet)).save(path)


def write_config(folder, infos):
    """Writes the projector's list."""
    with open(os.path.join(folder, "projector_config.pbtxt"), "w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(ProjectorConfig(embeddings=infos)))
