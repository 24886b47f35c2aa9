"""Low-rank adapters: a trained network learns a new task with a few per cent of its parameters.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.
"""

from .adapters import apply, load_state_dict, merge, remove, state_dict, unmerge
from .layers import LoraConv1d, LoraConv2d, LoraConv3d, LoraEmbedding, LoraLinear, LoraMultiheadAttention

__all__ = [
    "apply",
    "load_state_dict",
    "merge",
    "remove",
    "state_dict",
    "unmerge",
    "LoraConv1d",
    "LoraConv2d",
    "LoraConv3d",
    "LoraEmbedding",
    "LoraLinear",
    "LoraMultiheadAttention",
]
