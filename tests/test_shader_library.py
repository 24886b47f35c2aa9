"""The WGSL functions of shaders/include on a GPU adapter, against numpy, scipy and Python's integers.

Float results are compared in ulp of the true value. Where that is denormal, a driver may flush: anything up to the
smallest normal number passes. Skipped where wgpu-py or an adapter is missing; llvmpipe, Mesa's Vulkan on the processor,
will do.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import special

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import shader_lab
from shader_lab import Lab, NoAdapterError, assemble, library, parse_items

TINY = 2.0**-126
INF = np.inf

# Unary functions: the reference, the bound in ulp, and where it holds.
EVERYWHERE = lambda x: x == x  # noqa: E731
POSITIVE = lambda x: x > 0  # noqa: E731
UNARY = {
    "f_exp": (np.exp, 1.5, EVERYWHERE),
    "f_exp2": (np.exp2, 1.5, EVERYWHERE),
    "f_expm1": (np.expm1, 2, EVERYWHERE),
    "f_log": (np.log, 1, EVERYWHERE),
    "f_log2": (np.log2, 1.5, EVERYWHERE),
    "f_log10": (np.log10, 3, EVERYWHERE),
    "f_log1p": (np.log1p, 2, EVERYWHERE),
    "f_sin": (np.sin, 2, EVERYWHERE),
    "f_cos": (np.cos, 2, EVERYWHERE),
    "f_tan": (np.tan, 3.5, EVERYWHERE),
    "f_asin": (np.arcsin, 2.5, EVERYWHERE),
    "f_acos": (np.arccos, 2, EVERYWHERE),
    "f_atan": (np.arctan, 2, EVERYWHERE),
    "f_sinh": (np.sinh, 2, EVERYWHERE),
    "f_cosh": (np.cosh, 2, EVERYWHERE),
    "f_tanh": (np.tanh, 2, EVERYWHERE),
    "f_asinh": (np.arcsinh, 2.5, EVERYWHERE),
    "f_acosh": (np.arccosh, 2.5, EVERYWHERE),
    "f_atanh": (np.arctanh, 2.5, EVERYWHERE),
    "f_erf": (special.erf, 2, EVERYWHERE),
    "f_erfc": (special.erfc, 4, EVERYWHERE),
    "f_erfinv": (special.erfinv, 3, EVERYWHERE),
    "f_lgamma": (special.gammaln, 4, POSITIVE),
    "f_digamma": (special.psi, 4, POSITIVE),
    "f_i0": (special.i0, 4, np.isfinite),
    "f_i1": (special.i1, 4, np.isfinite),
    "f_sigmoid": (special.expit, 3, EVERYWHERE),
    "f_logsigmoid": (special.log_expit, 2.5, EVERYWHERE),
    "f_sqrt": (np.sqrt, 0.5, EVERYWHERE),
    "f_rsqrt": (lambda x: 1 / np.sqrt(x), 1.6, EVERYWHERE),
    "f_round": (np.round, 0, EVERYWHERE),
    "f_abs": (np.abs, 0, EVERYWHERE),
    "f_neg": (np.negative, 0, EVERYWHERE),
    "f_sign": (lambda x: np.where(np.isnan(x), 0, np.sign(x)), 0, EVERYWHERE),
    "f_relu": (lambda x: np.where(x < 0, 0, x), 0, EVERYWHERE),
    "round_bf16": (lambda x: to_bfloat16(x).astype(np.float64), 0, EVERYWHERE),
}
# The sign of a zero is that of the reference, except where the CPU's formula differs.
POSITIVE_ZERO = {"f_logsigmoid", "f_sign"}

TESTS = {
    "f_isnan": np.isnan,
    "f_isinf": np.isinf,
    "f_isfinite": np.isfinite,
    "f_isposinf": np.isposinf,
    "f_isneginf": np.isneginf,
    "f_signbit": np.signbit,
    "f_iszero": lambda x: x == 0,
    "f32_to_bool": lambda x: x != 0,
}


def c_remainder(x, y):
    return np.fmod(x, y)


def crosses(r, y):
    return (r != 0) & ~np.isnan(r) & (np.signbit(r) != np.signbit(y))


def python_remainder(x, y):
    r = np.fmod(x, y)
    return np.where(crosses(r, y), r + y, r)


def python_floor_divide(x, y):
    """The definition of rust/core/src/cpu/math/single.rs, in its arithmetic."""
    r = np.fmod(x, y)
    q = (x - r) / y - crosses(r, y)
    below = np.floor(q)
    whole = np.where(q - below > 0.5, below + 1, below)
    return np.where(y == 0, x / y, np.where(q == 0, np.copysign(np.float32(0), x / y), whole))


def first_or(condition):
    """x where the condition of x and y holds, else y."""
    return lambda x, y: np.where(condition(x, y), x, y)


# Binary functions: the reference, its arithmetic, and the bound in ulp.
F32, F64 = np.float32, np.float64
BINARY = {
    "f_div": (np.divide, F64, 0.5),
    "f_hypot": (np.hypot, F64, 1.5),
    "f_pow": (np.power, F64, 1),
    "f_atan2": (np.arctan2, F64, 2.5),
    "f_xlogy": (lambda x, y: np.where(np.isnan(y), y, np.where(x == 0, 0, x * np.log(y))), F64, 2),
    "f_fmod": (c_remainder, F32, 0),
    "f_remainder": (python_remainder, F32, 0),
    "f_floor_divide": (python_floor_divide, F32, 0),
    "f_nextafter": (np.nextafter, F32, 0),
    "f_copysign": (np.copysign, F32, 0),
    "f_maximum": (first_or(lambda x, y: (x > y) | np.isnan(x)), F32, 0),
    "f_minimum": (first_or(lambda x, y: (x < y) | np.isnan(x)), F32, 0),
    "f_fmax": (first_or(lambda x, y: np.isnan(y) | (x >= y)), F32, 0),
    "f_fmin": (first_or(lambda x, y: np.isnan(y) | (x <= y)), F32, 0),
    "f_heaviside": (lambda x, y: np.where(x == 0, y, np.where(x > 0, 1, 0)), F32, 0),
}
COMPARISONS = {
    "f_eq": np.equal,
    "f_ne": np.not_equal,
    "f_lt": np.less,
    "f_le": np.less_equal,
    "f_gt": np.greater,
    "f_ge": np.greater_equal,
}

# Expressions of x, y and z, and the same in numpy; the error is relative to the largest term that the formula adds.
FORMULAS = {
    "f_gelu(x)": (lambda x, y, z: x * special.ndtr(x), lambda x, y, z: np.abs(x)),
    "f_gelu_tanh(x)": (
        lambda x, y, z: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        lambda x, y, z: np.abs(x) * (1 + np.abs(x)),
    ),
    "f_mish(x)": (lambda x, y, z: x * np.tanh(np.logaddexp(0, x)), None),
    "f_softplus(x, 1.5, 20.0)": (lambda x, y, z: np.where(1.5 * x > 20, x, np.logaddexp(0, 1.5 * x) / 1.5), "softplus"),
    "f_elu(x, 1.2, 0.9, 1.1)": (lambda x, y, z: np.where(x > 0, 0.9 * x, 0.9 * 1.2 * np.expm1(1.1 * x)), None),
    "f_hardsigmoid(x)": (lambda x, y, z: np.clip(x + 3, 0, 6) / 6, lambda x, y, z: 1 + np.abs(x)),
    "f_hardswish(x)": (lambda x, y, z: x * np.clip(x + 3, 0, 6) / 6, lambda x, y, z: (1 + np.abs(x)) * np.abs(x)),
    "f_leaky_relu(x, 0.01)": (lambda x, y, z: np.where(x > 0, x, x * 0.01), None),
    "f_hardshrink(x, 0.5)": (lambda x, y, z: np.where((x >= -0.5) & (x <= 0.5), 0, x), None),
    "f_softshrink(x, 0.5)": (lambda x, y, z: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), lambda x, y, z: np.abs(x)),
    "f_threshold(x, 0.25, -7.0)": (lambda x, y, z: np.where(x <= 0.25, -7, x), None),
    "f_clamp(x, y, z)": (lambda x, y, z: np.minimum(np.maximum(x, y), z), None),
    "f_lerp(x, y, z)": (
        lambda x, y, z: x + z * (y - x),
        lambda x, y, z: (np.abs(x) + np.abs(y)) * (1 + np.abs(z)),
    ),
    "f_logaddexp(x, y)": (lambda x, y, z: np.logaddexp(x, y), lambda x, y, z: 1 + np.maximum(np.abs(x), np.abs(y))),
    "f_logaddexp2(x, y)": (lambda x, y, z: np.logaddexp2(x, y), lambda x, y, z: 1 + np.maximum(np.abs(x), np.abs(y))),
}

BITS = {"i32": 32, "i64": 64}
TYPES = {"i32": np.int32, "i64": np.int64}


def truncated(x: int, y: int) -> int:
    quotient = abs(x) // abs(y) if y else 0
    return -quotient if (x < 0) != (y < 0) else quotient


def integer_power(x: int, y: int, bits: int) -> int:
    if y < 0:
        return {1: 1, -1: -1 if y % 2 else 1}.get(x, 0)
    return pow(x, y, 1 << bits)


def least_common_multiple(x: int, y: int, bits: int) -> int:
    return abs(wrapped(truncated(x, wrapped(math.gcd(x, y), bits)) * y, bits))


def wrapped(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


# Integer functions without their prefix, on Python's integers; results wrap to the type.
INTEGER = {
    "neg": lambda x, y, bits: -x,
    "abs": lambda x, y, bits: abs(x),
    "sign": lambda x, y, bits: (x > 0) - (x < 0),
    "relu": lambda x, y, bits: max(x, 0),
    "iszero": lambda x, y, bits: x == 0,
    "signbit": lambda x, y, bits: x < 0,
    "to_bool": lambda x, y, bits: x != 0,
    "bitwise_not": lambda x, y, bits: ~x,
    "add": lambda x, y, bits: x + y,
    "sub": lambda x, y, bits: x - y,
    "mul": lambda x, y, bits: x * y,
    "trunc_divide": lambda x, y, bits: truncated(x, y),
    "floor_divide": lambda x, y, bits: x // y if y else 0,
    "fmod": lambda x, y, bits: x - truncated(x, y) * y if y else 0,
    "remainder": lambda x, y, bits: x % y if y else 0,
    "pow": integer_power,
    "maximum": lambda x, y, bits: max(x, y),
    "minimum": lambda x, y, bits: min(x, y),
    "bitwise_and": lambda x, y, bits: x & y,
    "bitwise_or": lambda x, y, bits: x | y,
    "bitwise_xor": lambda x, y, bits: x ^ y,
    "bitwise_left_shift": lambda x, y, bits: x << y if 0 <= y < bits else 0,
    "bitwise_right_shift": lambda x, y, bits: x >> (y if 0 <= y < bits else bits - 1),
    "gcd": lambda x, y, bits: math.gcd(x, y),
    "lcm": least_common_multiple,
    "heaviside": lambda x, y, bits: y if x == 0 else int(x > 0),
    "eq": lambda x, y, bits: x == y,
    "ne": lambda x, y, bits: x != y,
    "lt": lambda x, y, bits: x < y,
    "le": lambda x, y, bits: x <= y,
    "gt": lambda x, y, bits: x > y,
    "ge": lambda x, y, bits: x >= y,
    "clamp": lambda x, y, bits: min(max(x, y), 5),
    "threshold": lambda x, y, bits: 5 if x <= y else x,
}
THIRD = {"i32": "5", "i64": "vec2<u32>(5u, 0u)"}

CASTS = [
    "f32_to_i64(x)",
    "f32_to_i32(x)",
    "i64_to_f32(x)",
    "i64_to_i32(x)",
    "i32_to_i64(x)",
    "u32_to_i64(x)",
    "i32_to_f32(x)",
    "bool_to_i64(x > 0)",
    "bool_to_i32(x > 0)",
    "bool_to_f32(x > 0)",
]
HALF = ["f16_to_f32(x)", "bf16_to_f32(x)", "f32_to_f16(x)", "f32_to_bf16(x)", "round_f16(x)"]
WRAPS = {"wrap_u8(x)": np.uint8, "wrap_i8(x)": np.int8, "wrap_i16(x)": np.int16}
# Parts of kernels, which test_shader_kernels.py runs in them.
PARTS = {"exp_sum.wgsl", "fours.wgsl", "moments.wgsl", "walk.wgsl"}
OTHERS = [
    "f_ldexp(x, y)",
    "f_igamma(x, y)",
    "f_igammac(x, y)",
    "f_nan_to_num(x, 1.0, 2.0, 3.0)",
    "f_polygamma(x, n)",
    "philox_bits(s, o, e)",
    "philox_uniform(s, o, e)",
    "philox_uniform_wide(s, o, w)",
    "i32_zero()",
    "i64_zero()",
    "i64_one()",
]
# Uniform, exponential, sine and cosine of bits; draws of an element with parameters; parts of the samplers that reject.
BITS_TO_FLOATS = ["unit_open(e)", "unit_exponential(e)", "unit_turn(e, 0u)", "unit_turn(e, 1u)"]
DRAWS = ["philox_exponential(s, o, e)", "philox_normal(s, o, e)", "philox_cauchy(s, o, e)"]
INTEGER_DRAWS = ["i64_philox(s, o, e, r)", "i32_philox(s, o, e, r)"]
COUNT_DRAWS = ["philox_poisson(s, o, e, x)", "philox_binomial(s, o, e, n, p)", "philox_gamma(s, o, e, x)"]
PROBABILITIES = ["poisson_log_probability(k, x)", "binomial_log_probability(k, n, p)", "gamma_slack(t)"]
SAMPLING = [*BITS_TO_FLOATS, *DRAWS, *INTEGER_DRAWS, *COUNT_DRAWS, *PROBABILITIES]


def integer_call(prefix: str, name: str) -> str:
    item = library()[f"{prefix}_{name}"]
    arguments = ["x", "y", THIRD[prefix]][: len(item.parameters)]
    return f"{item.name}({', '.join(arguments)})"


def every_expression() -> list[str]:
    calls = [f"{name}(x)" for name in [*UNARY, *TESTS]] + [f"{name}(x, y)" for name in [*BINARY, *COMPARISONS]]
    calls += [integer_call(prefix, name) for prefix in BITS for name in INTEGER]
    return [*calls, *FORMULAS, *CASTS, *HALF, *WRAPS, *OTHERS, *SAMPLING]


@pytest.fixture(scope="module")
def lab() -> Lab:
    try:
        return Lab()
    except NoAdapterError as error:
        pytest.skip(str(error))


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return np.where(np.isnan(x), np.float32(np.nan), rounded.astype(np.uint32).view(np.float32))


def beside(values: np.ndarray) -> np.ndarray:
    """The values, their opposites, and the next number away from 0 of each."""
    further = (values.view(np.uint32) + np.uint32(1)).view(np.float32)
    return np.concatenate([values, -values, further, -further])


def sweep() -> np.ndarray:
    """Numbers from all of float32, densely where activations live, and the edges of the functions."""
    every = np.arange(0, 2**32, 40_013, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = (np.arange(-200_000, 200_000, 7) * 1e-4).astype(np.float32)
    edges = [0, 1, 0.5, 0.625, 1.5, 2, 2.5, 6, 9, 10, 88.72284, 103.97, 800, 65536, 1e30, 3.4028235e38, 1e-45, TINY]
    edges += [1.4616321, 5, 0.45, 1e-8, 1e-4, 8192, 1.5707964, 3.1415927, INF, np.nan]
    return np.concatenate([every, dense, beside(np.array(edges, np.float32))])


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Pairs of edges, of numbers from all of float32, of moderate ones, and of small integers."""
    rng = np.random.default_rng(0)
    edges = [0, 1, 0.5, 2, 3, 2.5, 7, 1e-40, 1e38, 1e-38, 3.4028235e38, INF, np.nan, TINY, 16777216, 16777217, 33]
    edges = np.array(edges, np.float32)
    edges = np.concatenate([edges, -edges])
    everything = rng.integers(0, 2**32, (2, 30_000), dtype=np.uint64).astype(np.uint32).view(np.float32)
    moderate = (rng.normal(size=(2, 30_000)) * 10).astype(np.float32)
    whole = rng.integers(-20, 20, (2, 10_000)).astype(np.float32)
    near_one = np.stack([1 + rng.normal(size=20_000) * 1e-3, rng.normal(size=20_000) * 3e4]).astype(np.float32)
    powers = np.stack([np.abs(moderate[0]), moderate[1]])
    x, y = np.concatenate([everything, moderate, whole, near_one, powers], axis=1)
    return np.concatenate([np.repeat(edges, len(edges)), x]), np.concatenate([np.tile(edges, len(edges)), y])


def ulp(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The distance in units of the float32 spacing at `want`; 0 for equal infinities and what a driver may flush."""
    want = want.astype(np.float64)
    rounded = want.astype(np.float32)
    spacing = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(rounded.astype(np.float64)), TINY))) - 23)
    error = np.abs(got.astype(np.float64) - want) / np.where(np.isfinite(spacing), spacing, 1)
    flushed = (np.abs(want) < TINY) & (want != 0) & (np.abs(got) <= TINY)
    same = (np.isnan(rounded) & np.isnan(got)) | (rounded == got) & np.isinf(got)
    apart = np.isnan(error) | (np.isinf(rounded) != np.isinf(got))
    return np.where(flushed | same, 0, np.where(apart, INF, error))


def assert_within(name: str, got: np.ndarray, want: np.ndarray, bound: float, *arguments: np.ndarray) -> None:
    error = ulp(got, want)
    at = int(np.argmax(error))
    # Half an ulp of the reference's own rounding to float64 is far below the slack.
    told = f"{name}{tuple(float(a[at]) for a in arguments)}: {got[at]!r}, not {want[at]!r}: {error[at]:.3f} ulp"
    assert error[at] <= bound * (1 + 1e-6), told


@pytest.fixture(scope="module")
def unary(lab: Lab) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    x = sweep()
    names = [*UNARY, *TESTS]
    kinds = ["f32"] * len(UNARY) + ["bool"] * len(TESTS)
    outputs = lab.map([f"{name}(x)" for name in names], {"x": x}, kinds).outputs
    return x, dict(zip(names, outputs))


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_unary_function_is_accurate(unary, name):
    x, results = unary
    reference, bound, holds = UNARY[name]
    keep = holds(x) | np.isnan(x) if holds is not np.isfinite else np.isfinite(x)
    x, got = x[keep], results[name][keep]
    want = reference(x.astype(np.float64))
    assert_within(name, got, want, bound, x)
    zero = (want == 0) & (got == 0)
    sign = np.zeros_like(x, bool) if name in POSITIVE_ZERO else np.signbit(want)
    if name not in ("f_erfinv", "f_i1"):  # scipy's lose the sign of -0
        assert np.array_equal(np.signbit(got[zero]), sign[zero])


@pytest.mark.parametrize("name", TESTS)
def test_classification_is_exact(unary, name):
    x, results = unary
    assert np.array_equal(results[name], TESTS[name](x))


def test_values_at_poles_and_infinities_are_pytorchs(lab):
    x = np.array([0, -0.0, -1, -2, INF, -INF, np.nan], np.float32)
    names = ["f_lgamma(x)", "f_digamma(x)", "f_i0(x)", "f_i1(x)", "f_erfinv(x)", "f_gelu(x)", "f_mish(x)"]
    lgamma, digamma, i0, i1, erfinv, gelu, mish = lab.map(names, {"x": x}, "f32").outputs
    nan = np.nan
    np.testing.assert_array_equal(lgamma, [INF, INF, INF, INF, INF, INF, nan])
    np.testing.assert_array_equal(digamma, [-INF, INF, nan, nan, INF, nan, nan])
    np.testing.assert_array_equal(i0[[0, 1, 4, 5, 6]], [1, 1, nan, nan, nan])
    np.testing.assert_array_equal(i1[[0, 1, 4, 5, 6]], [0, 0, nan, nan, nan])
    np.testing.assert_array_equal(erfinv, [0, 0, -INF, nan, nan, nan, nan])
    np.testing.assert_array_equal(gelu[[0, 1, 4, 5, 6]], [0, 0, INF, nan, nan])
    np.testing.assert_array_equal(mish[[0, 1, 4, 5, 6]], [0, 0, INF, nan, nan])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_gamma_functions_of_negative_numbers_keep_the_digits_of_their_terms(lab):
    x = -np.concatenate([np.linspace(1e-3, 20, 50_001), [1e-20, 1e-5, 100.5, 1000.25]]).astype(np.float32)
    x = x[x != np.floor(x)]
    lgamma, digamma, trigamma = lab.map(["f_lgamma(x)", "f_digamma(x)", "f_polygamma(x, 1.0)"], {"x": x}, "f32").outputs
    x = x.astype(np.float64)
    sine = np.abs(np.sin(np.pi * (x - np.round(x))))
    size = 1 + np.abs(special.gammaln(1 - x)) + np.abs(np.log(np.pi / sine))
    assert np.max(np.abs(lgamma - special.gammaln(x)) / size) < 4 * 2.0**-24
    cotangent = np.pi / np.tan(np.pi * (x - np.round(x)))
    size = 1 + np.abs(special.psi(1 - x)) + np.abs(cotangent)
    assert np.max(np.abs(digamma - special.psi(x)) / size) < 4 * 2.0**-24
    # ψ'(1 - x) + ψ'(x) = (π/sin πx)²
    want = (np.pi / sine) ** 2 - special.polygamma(1, 1 - x)
    assert_within("trigamma", trigamma, want, 6, x)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 10, 20, 30])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_polygamma_is_accurate(lab, n):
    x = np.concatenate([np.exp(np.linspace(-12, 12, 10_001)), np.linspace(0.1, 20, 10_001)]).astype(np.float32)
    (got,) = lab.map(["f_polygamma(x, n)"], {"x": x, "n": np.full_like(x, n)}, "f32").outputs
    want = special.psi(x.astype(np.float64)) if n == 0 else special.polygamma(n, x.astype(np.float64))
    keep = (np.abs(want) > TINY) & (np.abs(want) < 3e38)
    assert_within(f"polygamma {n}", got[keep], want[keep], 6 + n, x[keep])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_incomplete_gamma_functions_are_accurate(lab):
    a = np.repeat(np.exp(np.linspace(-14, 16, 241)), 101)
    near = np.tile(np.linspace(-6, 6, 101), 241)
    x = np.maximum(a + near * np.sqrt(a), a * np.exp(near)).astype(np.float32)
    a = a.astype(np.float32)
    lower, upper = lab.map(["f_igamma(x, y)", "f_igammac(x, y)"], {"x": a, "y": x}, "f32").outputs
    wide_a, wide_x = a.astype(np.float64), x.astype(np.float64)
    # The rounding of the exponent, which is that of the result's logarithm, and of the 1 that one half is taken from.
    for got, want in ((lower, special.gammainc(wide_a, wide_x)), (upper, special.gammaincc(wide_a, wide_x))):
        keep = want > 1e-30
        error = np.abs(got - want)[keep] / (want * (4 - np.log(want)) + 1)[keep]
        assert np.max(error) < 2e-6, (a[keep][np.argmax(error)], x[keep][np.argmax(error)], np.max(error))
    edges = np.array([[0, 1, 1, INF, 0, INF, -1, 1, np.nan], [1, 0, INF, 1, 0, INF, 1, -1, 1]], np.float32)
    lower, upper = lab.map(["f_igamma(x, y)", "f_igammac(x, y)"], {"x": edges[0], "y": edges[1]}, "f32").outputs
    np.testing.assert_array_equal(lower, [1, 0, 1, 0, *[np.nan] * 5])
    np.testing.assert_array_equal(upper, [0, 1, 0, 1, *[np.nan] * 5])


@pytest.fixture(scope="module")
def binary(lab: Lab):
    x, y = pairs()
    names = [*BINARY, *COMPARISONS]
    kinds = ["f32"] * len(BINARY) + ["bool"] * len(COMPARISONS)
    outputs = lab.map([f"{name}(x, y)" for name in names], {"x": x, "y": y}, kinds).outputs
    return x, y, dict(zip(names, outputs))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_binary_function_is_accurate(binary, name):
    x, y, results = binary
    reference, arithmetic, bound = BINARY[name]
    want = reference(x.astype(arithmetic), y.astype(arithmetic))
    assert_within(name, results[name], want, bound, x, y)
    zero = (want == 0) & (results[name] == 0)
    assert np.array_equal(np.signbit(results[name][zero]), np.signbit(want[zero]))


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparison_is_exact(binary, name):
    x, y, results = binary
    assert np.array_equal(results[name], COMPARISONS[name](x, y))


def test_powers_of_small_integers_are_exact(lab):
    x, y = (a.ravel().astype(np.float32) for a in np.meshgrid(np.arange(-40, 41), np.arange(0, 5)))
    (got,) = lab.map(["f_pow(x, y)"], {"x": x, "y": y}, "f32").outputs
    assert np.array_equal(got, (x.astype(np.float64) ** y).astype(np.float32))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_ldexp_rounds_once_and_takes_fractions(lab):
    x, _ = pairs()
    y = np.random.default_rng(1).integers(-300, 300, len(x)).astype(np.float32)
    (got,) = lab.map(["f_ldexp(x, y)"], {"x": x, "y": y}, "f32").outputs
    assert_within("f_ldexp", got, np.ldexp(x.astype(np.float64), y.astype(np.int32)), 0.5, x, y)
    x, y = np.array([[1, 3, 0, INF, 1], [0.5, -1.5, INF, -2, np.nan]], np.float32)
    (got,) = lab.map(["f_ldexp(x, y)"], {"x": x, "y": y}, "f32").outputs
    np.testing.assert_allclose(got, [2**0.5, 3 * 2**-1.5, np.nan, INF, np.nan], rtol=3e-7)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_formulas_are_accurate(lab):
    rng = np.random.default_rng(2)
    x, y, z = (rng.normal(size=(3, 30_000)) * np.array([[8], [8], [1]])).astype(np.float32)
    outputs = lab.map(list(FORMULAS), {"x": x, "y": y, "z": z}, "f32").outputs
    wide = [a.astype(np.float64) for a in (x, y, z)]
    for (expression, (reference, size)), got in zip(FORMULAS.items(), outputs):
        want = reference(*wide)
        # softplus adds log(1 + e^(b·x)) as written, whose argument's product rounds.
        scale = np.abs(want) * (1 + np.abs(wide[0])) if size == "softplus" else size(*wide) if size else np.abs(want)
        error = np.abs(got - want) / np.maximum(scale, TINY) * 2**23
        assert np.max(error) < 4, f"{expression} at {x[np.argmax(error)]}: {np.max(error):.2f}"


def test_nan_to_num_replaces_each_kind(lab):
    x = np.array([np.nan, INF, -INF, 0, -0.0, 5], np.float32)
    (got,) = lab.map(["f_nan_to_num(x, 1.0, 2.0, 3.0)"], {"x": x}, "f32").outputs
    assert np.array_equal(got, np.array([1, 2, 3, 0, 0, 5], np.float32))


def test_clamps_and_lerps_of_nan_are_nan(lab):
    nan = np.array([np.nan], np.float32)
    calls = ["f_clamp(x, 0.0, 1.0)", "f_clamp(0.0, x, 1.0)", "f_clamp(0.0, 0.0, x)", "f_lerp(1.0, 2.0, x)"]
    calls += ["f_relu(x)", "f_threshold(x, 0.0, 1.0)", "f_softshrink(x, 0.5)", "f_hardshrink(x, 0.5)"]
    assert np.all(np.isnan(lab.map(calls, {"x": nan}, "f32").outputs))


def integer_pairs(bits: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    edges = [0, 1, -1, 2, -2, 3, 5, 7, 10, -7, 31, 32, 33, 63, 64, 65, 2**16, 2**16 - 1, -(2**16)]
    edges += [2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 1 - 2 ** (bits - 1)]
    edges += [2**32, 2**32 - 1, -(2**32), 2**32 + 1, 2**53, 2**48 - 1, -(2**33)] if bits == 64 else []
    edges = np.array(edges, TYPES[f"i{bits}"])
    # Random pairs of every size.
    shifts = rng.integers(64 - bits, 63, (2, 3000))
    x, y = (rng.integers(-(2**63), 2**63, (2, 3000)) >> shifts).astype(edges.dtype)
    return np.concatenate([np.repeat(edges, len(edges)), x]), np.concatenate([np.tile(edges, len(edges)), y])


@pytest.fixture(scope="module")
def integers(lab: Lab):
    results = {}
    for prefix, bits in BITS.items():
        x, y = integer_pairs(bits)
        kinds = [library()[f"{prefix}_{name}"].result for name in INTEGER]
        outputs = lab.map([integer_call(prefix, name) for name in INTEGER], {"x": x, "y": y}, kinds).outputs
        results[prefix] = (x, y, dict(zip(INTEGER, outputs)))
    return results


@pytest.mark.parametrize("prefix", BITS)
@pytest.mark.parametrize("name", INTEGER)
def test_integer_function_is_exact(integers, prefix, name):
    x, y, results = integers[prefix]
    for a, b, got in zip(x.tolist(), y.tolist(), results[name].tolist()):
        want = INTEGER[name](a, b, BITS[prefix])
        assert got == (want if isinstance(want, bool) else wrapped(want, BITS[prefix])), (name, a, b)


def test_narrow_integers_wrap(lab):
    x = integer_pairs(32)[0]
    for (_, dtype), got in zip(WRAPS.items(), lab.map(list(WRAPS), {"x": x}, "i32").outputs):
        assert np.array_equal(got, x.astype(dtype))


def test_integer_constants(lab):
    zero, zero64, one64 = lab.map(OTHERS[-3:], {"x": np.zeros(1, np.float32)}, ["i32", "I64", "I64"]).outputs
    assert (zero[0], zero64[0], one64[0]) == (0, 0, 1)


def test_integers_become_the_nearest_floats(lab):
    ties = [
        s * (2**k + 2 ** (k - 24) * j + d)
        for s in (1, -1)
        for k in range(24, 63)
        for j in range(-5, 6)
        for d in (-1, 0, 1)
    ]
    x = np.concatenate([integer_pairs(64)[0], np.array(ties, np.int64)])
    as_float, as_int, flag = lab.map(
        ["i64_to_f32(x)", "i64_to_i32(x)", "i64_to_bool(x)"], {"x": x}, ["f32", "i32", "bool"]
    ).outputs
    assert np.array_equal(as_float, x.astype(np.float32))
    assert np.array_equal(as_int, x.astype(np.int32))
    assert np.array_equal(flag, x != 0)
    x = x.astype(np.int32)
    calls = ["i32_to_f32(x)", "i32_to_i64(x)", "bool_to_i64(x > 0)", "bool_to_i32(x > 0)", "bool_to_f32(x > 0)"]
    as_float, wide, *flags = lab.map(calls, {"x": x}, ["f32", "I64", "I64", "i32", "f32"]).outputs
    assert np.array_equal(as_float, x.astype(np.float32))
    assert np.array_equal(wide, x.astype(np.int64))
    assert all(np.array_equal(flag, x > 0) for flag in flags)
    (wide,) = lab.map(["u32_to_i64(x)"], {"x": x.view(np.uint32)}, "I64").outputs
    assert np.array_equal(wide, x.view(np.uint32).astype(np.int64))


def whole(value: float, bits: int) -> int:
    """Toward zero; the smallest integer where there is none of so many bits."""
    least = -(2 ** (bits - 1))
    return int(value) if math.isfinite(value) and least <= int(value) < -least else least


def test_floats_become_integers_towards_zero_and_the_smallest_out_of_range(lab):
    x = np.concatenate([sweep(), beside(np.array([0.5, 2.0**31, 2.0**32, 2.0**53, 2.0**63], np.float32))])
    found = lab.map(["f32_to_i64(x)", "f32_to_i32(x)"], {"x": x}, ["I64", "i32"]).outputs
    for got, bits in zip(found, (64, 32), strict=True):
        assert np.array_equal(got, [whole(v, bits) for v in x.tolist()])


def test_every_half_becomes_its_float(lab):
    x = np.arange(65536, dtype=np.uint32)
    half, brain = lab.map(["f16_to_f32(x)", "bf16_to_f32(x)"], {"x": x}, "f32").outputs
    want = x.astype(np.uint16).view(np.float16).astype(np.float32)
    number = ~np.isnan(want)
    assert np.array_equal(half[number].view(np.uint32), want[number].view(np.uint32))
    assert np.all(np.isnan(half[~number]))
    number = ~np.isnan((x << 16).view(np.float32))
    assert np.array_equal(brain[number].view(np.uint32), (x << 16)[number])
    assert np.all(np.isnan(brain[~number]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_floats_become_the_nearest_half(lab):
    """Around every half, and half way between neighbours, and all over float32."""
    halves = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16).astype(np.float32)
    bits = halves.view(np.uint32).astype(np.int64)
    brains = np.arange(65536, dtype=np.int64) << 16
    around = [bits + d for d in (-1, 0, 1, 0xFFF, 0x1000, 0x1001)] + [
        brains + d for d in (-1, 0, 1, 0x7FFF, 0x8000, 0x8001)
    ]
    x = np.concatenate([*((b & 0xFFFFFFFF).astype(np.uint32).view(np.float32) for b in around), sweep()])
    outputs = lab.map(HALF[2:], {"x": x}, ["u32", "u32", "f32"]).outputs
    want = x.astype(np.float16)
    number = ~np.isnan(x)
    assert np.array_equal(outputs[0][number], want.view(np.uint16)[number])
    assert np.array_equal(outputs[1][number], to_bfloat16(x).view(np.uint32)[number] >> 16)
    assert np.array_equal(outputs[2][number].view(np.uint32), want.astype(np.float32).view(np.uint32)[number])
    assert np.all(np.isnan(outputs[0][~number].astype(np.uint16).view(np.float16)))
    assert np.all(np.isnan((outputs[1][~number] << 16).view(np.float32)))


def philox(seed: int, offset: int, element: int) -> int:
    """Philox 4x32-10 of rust/core/src/rng.rs on Python's integers."""
    mask = 0xFFFFFFFF
    c = [element // 4 & mask, element // 4 >> 32, offset & mask, offset >> 32]
    k0, k1 = seed & mask, seed >> 32
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & mask, (p0 >> 32) ^ c[3] ^ k1, p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c[element % 4]


def test_philox_has_the_cpus_bits(lab):
    element = np.concatenate([np.arange(1000), 2**32 - np.arange(1, 9)]).astype(np.uint32)
    for seed, offset in [(0, 0), (0x123456789ABCDEF0, 77), (2**64 - 1, 2**63 + 5)]:
        seeds, offsets = (np.full(len(element), v, np.uint64) for v in (seed, offset))
        far = element.astype(np.uint64) + np.uint64(5 << 32)
        arrays = {"s": seeds, "o": offsets, "e": element, "w": far}
        bits, uniform, wide = lab.map(OTHERS[5:8], arrays, ["u32", "f32", "f32"]).outputs
        want = np.array([philox(seed, offset, int(e)) for e in element], np.uint32)
        assert np.array_equal(bits, want)
        assert np.array_equal(uniform, (want >> 8).astype(np.float32) * np.float32(2.0**-24))
        want_far = np.array([philox(seed, offset, int(e)) for e in far], np.uint32)
        assert np.array_equal(wide, (want_far >> 8).astype(np.float32) * np.float32(2.0**-24))
        if seed == 0:  # the Random123 distribution's answers for counter and key 0
            assert bits[:4].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


EDGE_BITS = np.array([0, 1, 2**29, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 3 << 30, 2**32 - 2, 2**32 - 1], np.uint32)


def unit(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.float64) + 0.5) / 2**32


def test_bits_become_uniform_exponential_and_turned(lab):
    bits = np.concatenate([EDGE_BITS, np.arange(0, 2**32, 700_001, dtype=np.uint64).astype(np.uint32)])
    uniform, exponential, sine, cosine = lab.map(BITS_TO_FLOATS, {"e": bits}, "f32").outputs
    assert np.array_equal(uniform, ((bits >> 9) + np.float64(0.5)) / 2**23)
    assert uniform.min() > 0 and uniform.max() < 1
    assert_within("unit_exponential", exponential, -np.log(unit(bits)), 3, bits)
    assert 0 < exponential.min() and exponential.max() < 23
    turn = 2 * np.pi * unit(bits)
    np.testing.assert_allclose(sine, np.sin(turn), rtol=0, atol=2e-7)
    np.testing.assert_allclose(cosine, np.cos(turn), rtol=0, atol=2e-7)


def test_draws_are_functions_of_seed_offset_and_element(lab):
    seed, offset = 0x123456789ABCDEF0, 77
    element = np.arange(2000, dtype=np.uint32)
    words = np.array([philox(seed, offset, i) for i in range(4000)], np.uint64)
    arrays = {"s": np.full(len(element), seed, np.uint64), "o": np.full(len(element), offset, np.uint64), "e": element}
    exponential, normal, cauchy = lab.map(DRAWS, arrays, "f32").outputs
    assert_within("philox_exponential", exponential, -np.log(unit(words[:2000])), 3, element)
    radius, turn = np.sqrt(-2 * np.log(unit(words[:2000:2]))), 2 * np.pi * unit(words[1:2000:2])
    pairs = np.stack([radius * np.sin(turn), radius * np.cos(turn)], axis=1).ravel()
    np.testing.assert_allclose(normal, pairs, rtol=1e-6, atol=1e-6)
    angle = np.pi * unit(words[:2000] & np.uint64(0x7FFFFFFF))
    want = np.where(words[:2000] >> np.uint64(31), -1, 1) / np.tan(angle)
    np.testing.assert_allclose(cauchy, want, rtol=2e-6, atol=1e-6)
    for bound in (1, 7, 256, 2**31, 2**32 + 1, 3 << 61, 2**63, 0):
        arrays["r"] = np.full(len(element), bound, np.uint64)
        wide, low = lab.map(INTEGER_DRAWS, arrays, ["I64", "i32"]).outputs
        want = [(int(words[2 * i]) | int(words[2 * i + 1]) << 32) * (bound or 2**64) >> 64 for i in range(2000)]
        assert wide.view(np.uint64).tolist() == want, bound
        assert low.view(np.uint32).tolist() == [v % 2**32 for v in want], bound


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_samplers_that_reject_know_their_probabilities(lab):
    from scipy import stats

    rng = np.random.default_rng(0)
    rate = np.exp(rng.uniform(np.log(10), np.log(1e6), 4000)).astype(np.float32)
    k = np.floor(np.maximum(rate + 5 * rng.normal(size=len(rate)) * np.sqrt(rate), 0)).astype(np.float32)
    n = np.floor(np.exp(rng.uniform(np.log(25), np.log(1e6), len(rate)))).astype(np.float32)
    p = rng.uniform(10 / n, 0.5).astype(np.float32)
    hits = np.floor(n * p + 5 * rng.normal(size=len(n)) * np.sqrt(n * p))
    hits = np.clip(hits, 0, n).astype(np.float32)
    t = rng.uniform(-0.95, 3, len(rate)).astype(np.float32)
    poisson = lab.map(PROBABILITIES[:1], {"k": k, "x": rate}, "f32").outputs[0]
    np.testing.assert_allclose(poisson, stats.poisson.logpmf(k.astype(float), rate.astype(float)), rtol=1e-4, atol=1e-4)
    binomial = lab.map(PROBABILITIES[1:2], {"k": hits, "n": n, "p": p}, "f32").outputs[0]
    np.testing.assert_allclose(
        binomial, stats.binom.logpmf(*(a.astype(float) for a in (hits, n, p))), rtol=2e-4, atol=2e-4
    )
    slack = lab.map(PROBABILITIES[2:], {"t": t}, "f32").outputs[0]
    v = (1 + t.astype(float)) ** 3
    np.testing.assert_allclose(slack, 1 - v + np.log(v), rtol=1e-5, atol=1e-6)


def test_parameters_out_of_range_give_nan(lab):
    x = np.array([-1, np.nan, 0, INF], np.float32)
    zeros = np.zeros(4, np.uint64)
    arrays = {
        "s": zeros,
        "o": zeros,
        "e": np.arange(4, dtype=np.uint32),
        "x": x,
        "n": x,
        "p": np.full(4, 0.5, np.float32),
    }
    poisson, binomial, gamma = lab.map(COUNT_DRAWS, arrays, "f32").outputs
    for got in (poisson, gamma):
        assert np.isnan(got[:2]).all() and got[2:].tolist() == [0, INF]
    assert np.isnan(binomial[1]) and binomial[[0, 2]].tolist() == [0, 0]


def test_kernels_take_parameters_and_give_several_outputs(lab):
    text = """
@group(0) @binding(0) var<uniform> params: array<vec4<u32>, 256>;
@group(1) @binding(0) var<storage, read> x: array<f32>;
@group(1) @binding(1) var<storage, read_write> doubled: array<f32>;
@group(1) @binding(2) var<storage, read_write> index: array<u32>;
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params[0].y {
        doubled[id.x] = 2.0 * x[id.x] + f_abs(-1.0);
        index[id.x] = id.x + params[255].w;
    }
}
"""
    words = [0] * 1024
    words[1], words[1023] = 50, 7
    x = np.arange(100, dtype=np.float32)
    result = lab.run(text, [x], [((100,), np.float32), ((10, 10), np.uint32)], 4, words)
    doubled, index = result.outputs
    first = np.arange(100) < 50
    assert np.array_equal(doubled, np.where(first, 2 * x + 1, 0))
    assert np.array_equal(index.ravel(), np.where(first, np.arange(100) + 7, 0))
    assert result.seconds > 0


def test_every_function_of_the_library_is_tested():
    text = "\n".join(every_expression())
    # The library's items stand behind the text, which is no kernel.
    tested = {item.name for item in parse_items(assemble(text)[len(text) :])}
    assert {item.name for item in library().values() if item.file not in PARTS} - tested == set()


def test_files_of_the_library_follow_its_form():
    for path in sorted(shader_lab.INCLUDE.glob("*.wgsl")):
        parse_items(path.read_text(encoding="utf-8"), path.name)
        long = [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 120]
        assert not long, path.name


def test_items_of_a_file_are_functions_constants_structs_and_aliases():
    text = "// a\nconst A = 1;\nalias B = u32;\nstruct C {\n    x: u32,\n}\nfn d(x: C) -> B {\n    return A;\n}\n"
    items = parse_items(text)
    assert [(item.kind, item.name) for item in items] == [("const", "A"), ("alias", "B"), ("struct", "C"), ("fn", "d")]
    assert items[3].parameters == [("x", "C")] and items[3].result == "B"
    with pytest.raises(ValueError, match=r"f:1: neither"):
        parse_items("var x = 1;\n", "f")
    with pytest.raises(ValueError, match=r"f:1: d does not end"):
        parse_items("fn d() {\n", "f")


def test_assembly_takes_what_is_mentioned_and_no_more():
    text = assemble("fn main() { f_i0(1.0); } // f_erf")
    names = re.findall(r"^fn (\w+)", text, re.MULTILINE)
    assert names[:2] == ["main", "f_i0"]
    assert "f_bessel_tail" in names and "f_scale" in names
    assert len(names) == len(set(names)) and "f_erf" not in names and "f_i1" not in names


def test_command_line_lists_and_shows(tmp_path, capsys):
    shader_lab.main(["list"])
    assert "fn f_exp(x: f32) -> f32" in capsys.readouterr().out
    kernel = tmp_path / "kernel.wgsl"
    kernel.write_text("fn main() { f_abs(1.0); }\n")
    shader_lab.main(["show", str(kernel)])
    assert "fn f_abs" in capsys.readouterr().out
