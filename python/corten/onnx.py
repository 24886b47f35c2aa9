"""The names of ``torch.onnx`` that tell whether a model is exported, which corten does not do."""

__all__ = ["is_in_onnx_export"]


def is_in_onnx_export():
    """False: nothing is exported."""
    return False


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name, "corten.save keeps weights in PyTorch's format")
