"""Times of statements, and tables of them (``torch.utils.benchmark``).

>>> timer = Timer("x @ x", setup="x = corten.randn(64, 64)", globals={"corten": corten})
>>> timer.blocked_autorange()
>>> Compare([measurement, other]).print()
"""

from .compare import Colorize, Compare
from .measurement import Measurement, TaskSpec, select_unit, trim_sigfig, unit_to_english
from .timer import Language, Timer, set_torch_threads, timer

__all__ = [
    "Colorize",
    "Compare",
    "Language",
    "Measurement",
    "TaskSpec",
    "Timer",
    "select_unit",
    "set_torch_threads",
    "timer",
    "trim_sigfig",
    "unit_to_english",
]


def __getattr__(name):
    from ..._missing import missing

    raise missing(__name__, name, "there are Timer, Measurement and Compare")
