"""The classes of operators' named results, such as the pair ``(values, indices)`` of ``sort``."""

from ._surface import NAMED_RESULTS

globals().update(NAMED_RESULTS)
all_return_types = list(NAMED_RESULTS.values())
__all__ = sorted(NAMED_RESULTS)
