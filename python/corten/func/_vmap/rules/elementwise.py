"""Elementwise operators: ranks are made equal behind the batch dim, and broadcasting does the rest."""

from .... import _core
from ..batched import Tensor
from ..dispatch import rule

UNARY = (
    "abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not ceil "
    "angle celu conj conj_physical cos cosh digamma elu erf erfc erfinv exp exp2 expm1 fix floor gelu hardshrink "
    "hardsigmoid hardswish hardtanh i0 imag isfinite isinf isnan isneginf isposinf leaky_relu lgamma log log10 "
    "log1p log2 logical_not logit logsigmoid mish nan_to_num neg negative polygamma real reciprocal relu relu6 "
    "resolve_conj resolve_neg round rsqrt selu sigmoid sign sgn signbit silu sin sinh softplus softshrink sqrt "
    "square tan tanh threshold trunc view_as_real _special_i1"
)
SEVERAL = (
    "add addcdiv addcmul arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor "
    "clamp clamp_max clamp_min clip complex copysign div divide eq floor_divide fmax fmin fmod gcd ge greater "
    "greater_equal gt heaviside hypot igamma igammac lcm ldexp le lerp less less_equal logaddexp logaddexp2 "
    "logical_and logical_or logical_xor lt maximum minimum mul multiply ne nextafter not_equal polar pow "
    "remainder rsub sub subtract true_divide xlogy"
)
_CONDITIONS = ("condition", "mask")


def aligned(call, names=None):
    """The tensors of a call as ``(B, ...)`` of one rank, those without a batch dim as they are."""
    level, given = call.level, call.given
    names = [n for n, v in given.items() if isinstance(v, Tensor)] if names is None else names
    rank = max(given[n].dim() for n in names)
    dimmed = next((given[n] for n in names if given[n].dim() and n not in _CONDITIONS), None)
    found = {}
    for name in names:
        x = given[name]
        if not level.holds(x):
            # A number's tensor has less say in the dtype than one with dims: all get one, or none.
            found[name] = x if rank else level.physical(x)
            continue
        value = level.padded(x, rank)
        if dimmed is not None and x.dim() == 0 and name not in _CONDITIONS:
            value = value.to(_core.result_type(dimmed, x))
        found[name] = value
    return found


@rule(*UNARY.split(), *SEVERAL.split())
def elementwise(call):
    return call.level.wrap(call.run(**aligned(call)))


@rule("where")
def where(call):
    if "other" not in call.given:
        raise RuntimeError(
            "vmap: It looks like you're attempting to use corten.where with a condition alone. The shape of its result "
            "depends on the data, which vmap does not support; use the form with three arguments."
        )
    return elementwise(call)


@rule("masked_fill")
def masked_fill(call):
    value = call.given["value"]
    if not isinstance(value, Tensor):
        return elementwise(call)
    if value.dim():
        raise RuntimeError(
            f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {value.dim()} dimension(s)."
        )
    return Tensor.where(value.to(call.first.dtype), call.given["mask"], call.first)


@rule("prelu")
def prelu(call):
    x, weight = call.given["self"], call.given["weight"]
    if weight.numel() > 1 and x.dim() > 1:
        weight = weight.reshape([-1 if d == 1 else 1 for d in range(x.dim())])
    elif weight.dim():
        weight = weight.reshape([1] * (x.dim() - 1) + [weight.numel()] if x.dim() else [])
    return Tensor.where(x.clamp(min=0), x > 0, weight * x)


@rule("fill")
def fill(call):
    x, value = call.given["self"], call.given["value"]
    if call.level.holds(value):
        return value.to(x.dtype).expand(x.shape)
    return call.level.wrap(call.run_first(x.value))


@rule("isin")
def isin(call):
    elements, tests = (call.given[p.name] for p in call.parameters[:2])
    level = call.level
    if not isinstance(tests, Tensor) or not level.holds(tests):
        return level.wrap(call.run_first(elements.value))
    tests = tests.flatten()
    if not isinstance(elements, Tensor):
        hit = (tests == elements).any()
    else:
        hit = (elements.unsqueeze(-1) == tests).any(-1)
    return ~hit if call.get("invert") else hit


@rule("view_as_complex")
def view_as_complex(call):
    x = call.first
    return call.level.wrap(call.run_first(x.value.contiguous() if x.dim() and x.value.stride(-1) != 1 else x.value))
