"""The operators under the name ``torch._VF``, by which programs call the recurrent ones."""

import corten

from . import _ops


def __getattr__(name):
    for home in (corten, _ops):
        if hasattr(home, name):
            return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
