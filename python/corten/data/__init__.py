"""What is done with data before and while a network learns from it: checks, splits, samplers, augmentation.

:mod:`corten.utils.data` has PyTorch's datasets and loaders; this package has what PyTorch leaves to others.
"""

from .augment import (
    FrequencyMasking,
    SpecAugment,
    TimeMasking,
    TimeWarp,
    corrupt_spans,
    delete_tokens,
    infill_spans,
    mask_tokens,
    mixup,
    swap_tokens,
)
from .check import check
from .report import Report
from .samplers import BalancedBatchSampler, StratifiedSampler, class_weights
from .splits import group_kfold, group_split, stratified_kfold, stratified_order, stratified_split, time_split

__all__ = [
    "BalancedBatchSampler",
    "FrequencyMasking",
    "Report",
    "SpecAugment",
    "StratifiedSampler",
    "TimeMasking",
    "TimeWarp",
    "check",
    "class_weights",
    "corrupt_spans",
    "delete_tokens",
    "group_kfold",
    "group_split",
    "infill_spans",
    "mask_tokens",
    "mixup",
    "stratified_kfold",
    "stratified_order",
    "stratified_split",
    "swap_tokens",
    "time_split",
]
