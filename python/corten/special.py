"""Special functions, with the names of `torch.special`."""

from . import _core
from ._composites import FUNCTIONS as _FUNCTIONS

# By name: the operator that computes it.
_OPERATORS = {
    "digamma": "digamma",
    "erf": "erf",
    "erfc": "erfc",
    "erfinv": "erfinv",
    "exp2": "exp2",
    "expit": "sigmoid",
    "expm1": "expm1",
    "gammaln": "lgamma",
    "i0": "i0",
    "i1": "_special_i1",
    "log1p": "log1p",
    "log_softmax": "log_softmax",
    "logit": "logit",
    "logsumexp": "logsumexp",
    "multigammaln": "mvlgamma",
    "polygamma": "polygamma",
    "psi": "digamma",
    "round": "round",
    "sinc": "sinc",
    "softmax": "softmax",
    "xlogy": "xlogy",
}

globals().update(
    {name: _FUNCTIONS.get(operator) or getattr(_core.ops, operator) for name, operator in _OPERATORS.items()}
)

__all__ = sorted(_OPERATORS)


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name)
