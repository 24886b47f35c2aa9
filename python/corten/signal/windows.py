"""Window functions, with the names of `torch.signal.windows`: vectors of M weights, symmetric or one period.

Every function takes ``sym`` (symmetric, as filters are designed, or the first M of M + 1 weights, as spectra want
them), ``dtype`` (float32 or float64), ``layout``, ``device`` and ``requires_grad``, and raises ValueError for
a negative M, for other dtypes and for parameters that are out of range.
"""

import math

from .. import _core
from .._composites._common import ops
from .._special.bessel import i0e

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _positions(name, M, dtype, layout, device, requires_grad, first, step):
    """``first + i · step`` for i from 0 to M − 1, after the checks that all windows share."""
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout != _core.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    dtype = _core.get_default_dtype() if dtype is None else dtype
    if dtype not in (_core.float32, _core.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    places = ops.linspace(first, first + (M - 1) * step, M, dtype=dtype, device=device)
    return places.requires_grad_() if requires_grad else places


def _ones(places):
    """The window of one weight, or of none."""
    return ops.ones_like(places, requires_grad=places.requires_grad)


def _steps(M, sym):
    """How many steps lie between the first weight and the last of the symmetric window."""
    return M - 1 if sym else M


def exponential(
    M,
    *,
    center=None,
    tau=1.0,
    sym=True,
    dtype=None,
    layout=_core.strided,
    device=None,
    requires_grad=False,
):
    """exp(−|i − center| / tau), Poisson's window; the center is the middle where it is not given."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    middle = _steps(max(M, 1), sym) / 2 if center is None else center
    places = _positions("exponential", M, dtype, layout, device, requires_grad, -middle / tau, 1 / tau)
    return _ones(places) if M <= 1 and center is None else (-places.abs()).exp()


def cosine(M, *, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """sin(π (i + ½) / M), one arch of the sine."""
    step = math.pi / (_steps(max(M, 1), sym) + 1)
    places = _positions("cosine", M, dtype, layout, device, requires_grad, step / 2, step)
    return _ones(places) if M <= 1 else places.sin()


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """exp(−(i − (M − 1) / 2)² / (2 std²))."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    step = 1 / (std * math.sqrt(2))
    first = -_steps(max(M, 1), sym) / 2 * step
    places = _positions("gaussian", M, dtype, layout, device, requires_grad, first, step)
    return _ones(places) if M <= 1 else (-places.square()).exp()


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """I₀(beta √(1 − (2 i / (M − 1) − 1)²)) / I₀(beta), Kaiser's window."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    step = 2 * beta / max(_steps(M, sym), 1)
    places = _positions("kaiser", M, dtype, layout, device, requires_grad, -beta, step)
    if M <= 1:
        return _ones(places)
    height = (beta * beta - places.square()).clamp(min=0).sqrt()
    # Scaled Bessel functions, since I₀ itself overflows in float32 from 92 on.
    scaled = i0e(height) / i0e(ops.full((), beta, dtype=places.dtype, device=places.device))
    return scaled * (height - beta).exp()


def hamming(M, *, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """0.54 − 0.46 cos(2π i / (M − 1))."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M, *, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """0.5 − 0.5 cos(2π i / (M − 1))."""
    options = dict(sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return general_hamming(M, alpha=0.5, **options)


def blackman(M, *, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """0.42 − 0.5 cos(2π i / (M − 1)) + 0.08 cos(4π i / (M − 1))."""
    options = dict(sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return general_cosine(M, a=[0.42, 0.5, 0.08], **options)


def bartlett(M, *, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """1 − |2 i / (M − 1) − 1|, a triangle that ends at 0."""
    step = 2 / max(_steps(M, sym), 1)
    places = _positions("bartlett", M, dtype, layout, device, requires_grad, -1, step)
    return _ones(places) if M <= 1 else 1 - places.abs()


def general_cosine(M, *, a, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """The sum of (−1)ᵏ aₖ cos(2π k i / (M − 1)).

    Raises:
        TypeError: where ``a`` is no list or tuple.
        ValueError: where it is empty, and as all windows.
    """
    step = 2 * math.pi / max(_steps(M, sym), 1)
    places = _positions("general_cosine", M, dtype, layout, device, requires_grad, 0, step)
    if not isinstance(a, (list, tuple)):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    if M <= 1:
        return _ones(places)
    total = a[0] * (0 * places).cos()
    for k, weight in enumerate(a[1:], 1):
        total = total + (-1) ** k * weight * (k * places).cos()
    return total


def general_hamming(
    M,
    *,
    alpha=0.54,
    sym=True,
    dtype=None,
    layout=_core.strided,
    device=None,
    requires_grad=False,
):
    """alpha − (1 − alpha) cos(2π i / (M − 1))."""
    options = dict(sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return general_cosine(M, a=[alpha, 1 - alpha], **options)


def nuttall(M, *, sym=True, dtype=None, layout=_core.strided, device=None, requires_grad=False):
    """Nuttall's window of four terms with the least side lobes (Nuttall 1981, minimum 4-term)."""
    weights = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    options = dict(sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
    return general_cosine(M, a=weights, **options)
