"""Special functions, with the names of `torch.special`."""

from . import _core
from ._composites import FUNCTIONS as _FUNCTIONS
from ._composites._arguments import handed_over as _handed_over
from ._special import bessel as _bessel
from ._special import normal as _normal
from ._special import polynomials as _polynomials

# By name: the operator that computes it.
_OPERATORS = {
    "digamma": "digamma",
    "erf": "erf",
    "erfc": "erfc",
    "erfinv": "erfinv",
    "exp2": "exp2",
    "expit": "sigmoid",
    "expm1": "expm1",
    "gammainc": "igamma",
    "gammaincc": "igammac",
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

_COMPOSITES = {
    _bessel: "airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 i0e i1e modified_bessel_i0 modified_bessel_i1 "
    "modified_bessel_k0 modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0",
    _normal: "entr erfcx log_ndtr ndtr ndtri xlog1py",
    _polynomials: " ".join(_polynomials.__all__),
}
globals().update(
    {name: _handed_over(getattr(home, name)) for home, names in _COMPOSITES.items() for name in names.split()}
)

__all__ = sorted([*_OPERATORS, *(name for names in _COMPOSITES.values() for name in names.split())])


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name)
