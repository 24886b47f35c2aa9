"""ChannelShuffle, under the name of its file in ``torch.nn.modules``."""

from .pixelshuffle import ChannelShuffle

__all__ = ["ChannelShuffle"]
