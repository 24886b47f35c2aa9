"""In-place operators as functions: `relu_(x)` is `x.relu_()`."""

from .._core import overrides_operators
from ..overrides import handle_torch_function
from ._common import Tensor

_NAMES = (
    "abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_ asinh_ atan_ atanh_ "
    "ceil_ celu_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach_ erf_ erfc_ exp2_ exp_ "
    "expm1_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ "
    "negative_ rad2deg_ reciprocal_ relu_ resize_as_ round_ rsqrt_ selu_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ "
    "tanh_ threshold_ trunc_ xlogy_"
)


def _function(name):
    def function(input, *args, **kwargs):
        if not isinstance(input, Tensor):
            if overrides_operators(input):
                return handle_torch_function(function, (input,), input, *args, **kwargs)
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        return getattr(input, name)(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Writes into ``input`` and returns it, as ``Tensor.{name}``."
    return function


FUNCTIONS = {name: _function(name) for name in _NAMES.split()}
