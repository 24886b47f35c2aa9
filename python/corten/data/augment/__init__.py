"""Augmentation of what is no image: spectrograms, token sequences, and batches of anything.

Images have :mod:`corten.vision.transforms` and its ``v2``: RandAugment, TrivialAugmentWide, AugMix, MixUp, CutMix.
"""

from .mixing import mixup
from .spectrogram import FrequencyMasking, SpecAugment, TimeMasking, TimeWarp
from .text import corrupt_spans, delete_tokens, infill_spans, mask_tokens, swap_tokens

__all__ = [
    "FrequencyMasking",
    "SpecAugment",
    "TimeMasking",
    "TimeWarp",
    "corrupt_spans",
    "delete_tokens",
    "infill_spans",
    "mask_tokens",
    "mixup",
    "swap_tokens",
]
