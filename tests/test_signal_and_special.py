"""Window functions beside scipy's, and the corners of special functions: infinities, NaN, far tails, refusals."""

from __future__ import annotations

import math

import corten
import numpy as np
import pytest
from scipy import special
from scipy.signal import windows as scipys

INF, NAN = math.inf, math.nan
WINDOWS = {
    "bartlett": ({}, scipys.bartlett),
    "blackman": ({}, scipys.blackman),
    "cosine": ({}, scipys.cosine),
    "exponential": ({"tau": 1.5}, lambda M, sym: scipys.exponential(M, tau=1.5, sym=sym)),
    "gaussian": ({"std": 0.9}, lambda M, sym: scipys.gaussian(M, 0.9, sym)),
    "general_cosine": ({"a": [0.4, 0.3, 0.2]}, lambda M, sym: scipys.general_cosine(M, [0.4, 0.3, 0.2], sym)),
    "general_hamming": ({"alpha": 0.6}, lambda M, sym: scipys.general_hamming(M, 0.6, sym)),
    "hamming": ({}, scipys.hamming),
    "hann": ({}, scipys.hann),
    "kaiser": ({"beta": 8.0}, lambda M, sym: scipys.kaiser(M, 8.0, sym)),
    "nuttall": ({}, scipys.nuttall),
}


@pytest.mark.cpu
@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_scipys(name, sym):
    options, reference = WINDOWS[name]
    window = getattr(corten.signal.windows, name)
    for M in (0, 1, 2, 5, 16):
        found = window(M, sym=sym, dtype=corten.float64, **options)
        assert found.dtype == corten.float64
        np.testing.assert_allclose(found.cpu().numpy(), reference(M, sym=sym), rtol=1e-12, atol=1e-12)


def test_exponential_window_has_a_center_where_it_is_not_symmetric():
    found = corten.signal.windows.exponential(4, center=1.0, tau=2.0, sym=False)
    np.testing.assert_allclose(found.cpu().numpy(), np.exp(-np.abs(np.arange(4) - 1) / 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("hann", {"M": -1}, ValueError, "general_cosine requires non-negative window length, got M=-1"),
        ("cosine", {"dtype": corten.float16}, ValueError, "cosine expects float32 or float64 dtypes"),
        ("exponential", {"center": 1.0}, ValueError, "Center must be None for symmetric windows"),
        ("exponential", {"tau": 0}, ValueError, "Tau must be positive, got: 0 instead"),
        ("gaussian", {"std": -1}, ValueError, "Standard deviation must be positive, got: -1 instead"),
        ("kaiser", {"beta": -1}, ValueError, "beta must be non-negative, got: -1 instead"),
        ("general_cosine", {"a": []}, ValueError, "Coefficients cannot be empty"),
        ("general_cosine", {"a": 3}, TypeError, "Coefficients must be a list/tuple"),
    ],
)
def test_windows_refuse_what_pytorch_refuses(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(corten.signal.windows, name)(**{"M": 3, **options})


def test_window_that_wants_a_gradient_has_one():
    assert corten.signal.windows.hann(4, requires_grad=True).requires_grad
    assert corten.signal.windows.kaiser(1, requires_grad=True).requires_grad


CORNERS = {
    "airy_ai": ([INF, -INF, NAN, 104.0], [NAN, NAN, NAN, 0]),
    "bessel_j0": ([0, NAN], [1, NAN]),
    "bessel_y0": ([0, -1, NAN], [-INF, NAN, NAN]),
    "bessel_y1": ([0, -1, NAN], [-INF, NAN, NAN]),
    "entr": ([0, -1, INF, NAN], [0, -INF, -INF, NAN]),
    "erfcx": ([INF, -INF, NAN, 1e9], [0, INF, NAN, 1e-9 / math.sqrt(math.pi)]),
    "i0e": ([INF, -INF, NAN, 0], [0, 0, NAN, 1]),
    "i1e": ([INF, -INF, NAN, 0], [0, 0, NAN, 0]),
    "log_ndtr": ([INF, -INF, NAN, -1e4], [0, -INF, NAN, special.log_ndtr(-1e4)]),
    "modified_bessel_k0": ([0, -1, NAN], [INF, NAN, NAN]),
    "modified_bessel_k1": ([0, -1, NAN], [INF, NAN, NAN]),
    "ndtri": ([0, 1, -0.1, 1.1, NAN], [-INF, INF, NAN, NAN, NAN]),
    "spherical_bessel_j0": ([0, INF, NAN], [1, 0, NAN]),
}


@pytest.mark.parametrize("name", CORNERS)
def test_special_functions_at_their_corners(name):
    arguments, expected = CORNERS[name]
    found = getattr(corten.special, name)(corten.tensor(arguments))
    np.testing.assert_allclose(found.cpu().numpy(), np.array(expected, np.float32), rtol=1e-5)


@pytest.mark.cpu
def test_quantiles_of_far_tails_are_exact():
    p = np.array([1e-300, 1e-100, 1e-20, 1e-5, 0.1353, 0.1354, 1 - 1e-12])
    found = corten.special.ndtri(corten.tensor(p, dtype=corten.float64)).cpu().numpy()
    np.testing.assert_allclose(found, special.ndtri(p), rtol=1e-13)


def test_zeta_of_negative_arguments_starts_where_they_do():
    found = corten.special.zeta(corten.tensor([2.0, 2.0, 2.5, 0.5, 1.0]), corten.tensor([-2.5, -3.0, -2.5, 1.0, 1.0]))
    first = sum((-2.5 + i) ** -2 for i in range(3)) + special.zeta(2.0, 0.5)
    np.testing.assert_allclose(found.cpu().numpy(), [first, INF, NAN, NAN, INF], rtol=1e-6)


def test_zeta_has_the_gradient_of_its_second_argument_alone():
    x, q = corten.tensor(3.0), corten.tensor(1.5, requires_grad=True)
    corten.special.zeta(x, q).backward()
    np.testing.assert_allclose(q.grad.item(), -3 * special.zeta(4.0, 1.5), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="derivative of zeta with respect to x"):
        corten.special.zeta(x.requires_grad_(), 1.5).backward()


def test_entropy_has_pytorchs_gradient_at_zero():
    x = corten.tensor([0.0, 1.0, -1.0], requires_grad=True)
    corten.special.entr(x).sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), [INF, -1, NAN])


def test_product_with_log1p_has_no_gradient_where_it_is_zero_by_definition():
    x = corten.tensor([0.0, 0.0], requires_grad=True)
    corten.special.xlog1py(x, corten.tensor([-1.0, 1.0])).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), [0, math.log(2)], rtol=1e-6)


def test_numbers_take_the_dtype_of_the_tensor_beside_them():
    half = corten.tensor([1.0, 2.0], dtype=corten.float16)
    assert corten.special.xlog1py(2, half).dtype == corten.float16
    assert corten.special.zeta(corten.tensor([2, 3]), 1.0).dtype == corten.float32
    assert corten.special.hermite_polynomial_h(2.0, corten.tensor([0, 1, 2])).tolist() == [1, 4, 14]


def test_polynomials_of_degrees_that_are_too_high_or_negative():
    x = corten.tensor([0.5, 0.5])
    assert corten.special.hermite_polynomial_he(x, 129).isnan().all()
    assert corten.special.legendre_polynomial_p(x, -1).tolist() == [0, 0]
    n = 1000
    found = corten.special.chebyshev_polynomial_t(corten.tensor([0.25]), n)
    np.testing.assert_allclose(found.cpu().numpy(), math.cos(n * math.acos(0.25)), atol=1e-3)


def test_special_functions_refuse_numbers():
    with pytest.raises(TypeError, match=r"special_i0e.*must be Tensor, not float"):
        corten.special.i0e(1.0)
    with pytest.raises(TypeError, match=r"special_zeta.*must be Tensor, not float"):
        corten.special.zeta(1.0, 2.0)


def test_sums_of_powers_at_the_limits_of_their_operands():
    x = corten.tensor([2.0, 2.0, 2.0, 1.0, 0.5, INF, INF, INF, NAN, 3.0])
    q = corten.tensor([INF, -INF, NAN, NAN, 2.0, 1.0, 0.5, 2.0, 1.0, 1.0])
    want = [NAN, INF, NAN, INF, NAN, 1, INF, NAN, NAN, 1.2020569]
    np.testing.assert_allclose(corten.special.zeta(x, q).cpu().numpy(), want, rtol=1e-6)


def test_a_narrow_window_of_bessel_functions_does_not_overflow():
    found = corten.signal.windows.kaiser(33, beta=200.0, dtype=corten.float32).cpu().numpy()
    height = 200 * np.sqrt(1 - np.linspace(-1, 1, 33) ** 2)
    np.testing.assert_allclose(found, special.i0e(height) / special.i0e(200) * np.exp(height - 200), 1e-4, 1e-7)
