"""Fourier transforms: the dims move by one, behind the batch dim."""

from ..dispatch import rule
from .reductions import shifted


@rule("_fourier", "_fourier_of_real", "_fourier_to_real")
def transform(call):
    dims = shifted(call.get("dim"), call.first.dim())
    return call.level.wrap(call.run_first(call.first.value, dim=dims))
