"""Metrics: functions of tensors on any device, and classes that take streams of batches.

Predictions come first and targets second, as in `nn.functional`'s losses. Values are those of scikit-learn, sacrebleu
and COCO's evaluation, in float64 on the CPU and float32 on GPUs. `corten.metrics.fairness` measures and narrows gaps
between groups of people.
"""

from . import fairness
from ._metric import Mean, Metric, MetricCollection
from .accuracies import *  # noqa: F403
from .accuracies import __all__ as _accuracies
from .calibration import *  # noqa: F403
from .calibration import __all__ as _calibration
from .confusion import *  # noqa: F403
from .confusion import __all__ as _confusion
from .curves import *  # noqa: F403
from .curves import __all__ as _curves
from .detection import *  # noqa: F403
from .detection import __all__ as _detection
from .generative import *  # noqa: F403
from .generative import __all__ as _generative
from .regression import *  # noqa: F403
from .regression import __all__ as _regression
from .retrieval import *  # noqa: F403
from .retrieval import __all__ as _retrieval
from .sequence import *  # noqa: F403
from .sequence import __all__ as _sequence
from .text import *  # noqa: F403
from .text import __all__ as _text

__all__ = [
    "Metric",
    "Mean",
    "MetricCollection",
    "fairness",
    *_accuracies,
    *_calibration,
    *_confusion,
    *_curves,
    *_detection,
    *_generative,
    *_regression,
    *_retrieval,
    *_sequence,
    *_text,
]
