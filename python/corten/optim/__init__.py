"""Optimizers, learning-rate schedules and weight averaging, under the names of ``torch.optim``.

Everything is loaded on first use, so that ``import corten`` stays cheap.
"""

import importlib
import sys
import types

_HOME = {
    "Optimizer": "optimizer",
    "SGD": "sgd",
    "Adam": "adam",
    "AdamW": "adamw",
    "RMSprop": "rmsprop",
    "Adagrad": "adagrad",
    "Adadelta": "adadelta",
    "Adamax": "adamax",
    "NAdam": "nadam",
    "RAdam": "radam",
    "ASGD": "asgd",
    "Rprop": "rprop",
    "LBFGS": "lbfgs",
    "Adafactor": "adafactor",
    "Muon": "muon",
    "SAM": "sam",
    "SparseAdam": "sparse_adam",
    "swap_in_optimizer_params_and_state": "swap",
}
_SUBMODULES = ("lr_scheduler", "swa_utils", "optimizer")

__all__ = [*_HOME, "lr_scheduler", "swa_utils"]


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        from .._missing import missing

        raise missing(__name__, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


class _Lazy(types.ModuleType):
    """A module whose dictionary is whole for whoever reads it: programs pick an optimizer by name from there."""

    @property
    def __dict__(self):
        for name in __all__:
            getattr(self, name)
        return types.ModuleType.__dict__["__dict__"].__get__(self)


sys.modules[__name__].__class__ = _Lazy
