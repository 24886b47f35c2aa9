"""Exchange of memory with other libraries by DLPack, with the names of ``torch.utils.dlpack``."""

from corten import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
