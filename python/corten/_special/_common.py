"""What special functions share: dtypes in which they compute, sums of Chebyshev polynomials, results in `out=`."""

from .. import _core
from .._composites._common import Tensor, floating, ops, result

# Of the largest coefficient; smaller ones do not show in float32.
_SINGLE = 1e-9


def series(t, coefficients):
    """The sum of Chebyshev polynomials of t in [−1, 1] by Clenshaw's recurrence."""
    if t.dtype != _core.float64:
        least = _SINGLE * max(map(abs, coefficients))
        last = max(i for i, c in enumerate(coefficients) if abs(c) > least)
        coefficients = coefficients[: last + 1]
    twice = t * 2
    following, after = coefficients[-1], 0.0
    for c in coefficients[-2:0:-1]:
        following, after = twice * following - after + c, following
    return t * following - after + coefficients[0]


def function_of_one(evaluate):
    """A public function ``f(input, *, out=None)`` of floating-point tensors; half precision is computed in float32.

    Raises:
        TypeError: for what is no tensor.
    """
    name = evaluate.__name__

    def function(input, *, out=None):
        if not isinstance(input, Tensor):
            kind = type(input).__name__
            raise TypeError(f"special_{name}(): argument 'input' (position 1) must be Tensor, not {kind}")
        x = floating(input)
        return result(evaluate(widened(x)).to(x.dtype), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = evaluate.__doc__
    return function


def widened(x):
    """The tensor in float32 where it has half precision."""
    return x.float() if x.dtype in (_core.float16, _core.bfloat16) else x


def pair(name, x, y):
    """Two operands, of which one may be a number, as tensors of one floating-point dtype.

    Raises:
        TypeError: where neither is a tensor.
    """
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        raise TypeError(f"special_{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    dtype = _core.result_type(x, y)
    if not dtype.is_floating_point:
        dtype = _core.get_default_dtype()
    device = (x if isinstance(x, Tensor) else y).device
    return [v.to(dtype) if isinstance(v, Tensor) else ops.full((), v, dtype=dtype, device=device) for v in (x, y)]
