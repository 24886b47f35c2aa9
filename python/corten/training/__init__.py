"""Training in a function, `fit`, and what it is made of; parameter groups, freezing and new heads for any loop."""

from .averages import Averages
from .callbacks import Callback
from .checkpoint import load_checkpoint, save_whole
from .data import Batches
from .finite import NonFiniteError
from .groups import freeze, parameter_groups, replace_head, unfreeze
from .history import History
from .loop import Run, fit
from .randomness import random_state, seed_everything, set_random_state

__all__ = [
    "fit",
    "Averages",
    "Batches",
    "Callback",
    "History",
    "NonFiniteError",
    "Run",
    "freeze",
    "unfreeze",
    "load_checkpoint",
    "parameter_groups",
    "replace_head",
    "random_state",
    "save_whole",
    "seed_everything",
    "set_random_state",
]
