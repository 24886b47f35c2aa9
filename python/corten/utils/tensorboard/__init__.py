"""Writes what TensorBoard shows: scalars, histograms, images, sound, text, curves, meshes, graphs and embeddings.

The files are those of the ``tensorboard`` package, which has to be installed: ``pip install 'corten[tensorboard]'``.
"""

try:
    import tensorboard
except ModuleNotFoundError as error:
    if error.name != "tensorboard":
        raise
    raise ModuleNotFoundError(
        "corten.utils.tensorboard writes with the tensorboard package, which is not installed: "
        "pip install 'corten[tensorboard]'",
        name="tensorboard",
    ) from None

from tensorboard.summary.writer.record_writer import RecordWriter

from .writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter"]
