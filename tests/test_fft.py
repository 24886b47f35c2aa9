"""Fourier transforms beside numpy's, their gradients, and short-time spectra that come back as signals."""

from __future__ import annotations

import subprocess
import sys

import corten
import numpy as np
import pytest
from corten.autograd import gradcheck, gradgradcheck

NORMS = (None, "backward", "ortho", "forward")
# A power of two, an odd and an even product, primes, and one whose prime is large for the pieces of a GPU.
SIZES = (1, 2, 8, 15, 18, 67, 134)
ALONG_ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
OF_REAL = ("rfft", "ihfft")


def sample(*shape: int, real: bool = False) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    x = rng.standard_normal(shape)
    return (x if real else x + 1j * rng.standard_normal(shape)).astype("float32" if real else "complex64")


def of(x: np.ndarray) -> corten.Tensor:
    return corten.from_numpy(np.ascontiguousarray(x)).to(corten.get_default_device())


def assert_close(found: corten.Tensor, wanted: np.ndarray, tolerance: float = 2e-5) -> None:
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.is_complex() == np.iscomplexobj(wanted)
    difference = np.abs(found.cpu().numpy() - wanted).max(initial=0)
    assert difference <= tolerance * max(1.0, np.abs(wanted).max(initial=0))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ALONG_ONE)
def test_transforms_along_one_dim_are_numpys(name, norm):
    for size in SIZES:
        x = sample(3, size, 2, real=name in OF_REAL)
        for n in (None, size + 3, max(1, size - 3)):
            if n is None and size == 1 and name in ("irfft", "hfft"):
                continue
            wanted = getattr(np.fft, name)(x, n, 1, norm)
            assert_close(getattr(corten.fft, name)(of(x), n, 1, norm), wanted)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft"])
def test_transforms_over_several_dims_are_numpys(name, norm):
    x = sample(3, 4, 5, 6, real=name in OF_REAL)
    over_two, over_all = getattr(np.fft, name + "2"), getattr(np.fft, name + "n")
    assert_close(getattr(corten.fft, name + "2")(of(x), norm=norm), over_two(x, norm=norm))
    for s, dim in [((2, 7), (0, 2)), ((5, 3), (3, 1)), ((4, 4, 4), (2, 0, 1)), (None, (3, 2, 1, 0))]:
        wanted = over_all(x, s, dim, norm)
        assert_close(getattr(corten.fft, name + "n")(of(x), s, dim, norm), wanted)
    turned, over_these = x.transpose(2, 0, 3, 1), getattr(corten.fft, name + "n")
    for s, sizes in [((6, 5), (6, 5)), ((6, -1), (6, 4) if name != "irfft" else (6, 6))]:
        assert_close(over_these(of(x).permute(2, 0, 3, 1), s, norm=norm), over_all(turned, sizes, (-2, -1), norm))


@pytest.mark.parametrize("norm", NORMS)
def test_hermitian_transforms_over_several_dims_undo_each_other_and_are_made_of_single_ones(norm):
    x = of(sample(3, 6, 5, real=True))
    spectra = corten.fft.ihfftn(x, dim=(1, 2), norm=norm)
    assert_close(spectra, np.fft.ifft(np.fft.ihfft(sample(3, 6, 5, real=True), axis=2, norm=norm), axis=1, norm=norm))
    assert_close(corten.fft.hfftn(spectra, (6, 5), (1, 2), norm), x.cpu().numpy())
    assert_close(corten.fft.hfft2(corten.fft.ihfft2(x, norm=norm), (6, 5), norm=norm), x.cpu().numpy())


def test_long_lines_keep_the_precision_of_float32():
    for n in (1 << 15, 3**8, 10007, 2 * 4099):
        x = sample(n)
        wanted = np.fft.fft(x.astype("complex128"))
        assert_close(corten.fft.fft(of(x)), wanted, 2e-6)
        assert_close(corten.fft.ifft(corten.fft.fft(of(x))), x, 2e-6)
        half = corten.fft.rfft(of(x.real))
        assert_close(half, np.fft.rfft(x.real.astype("float64")), 2e-6)
        assert_close(corten.fft.irfft(half, n), x.real, 2e-6)


@pytest.mark.cpu
def test_float64_is_precise_and_other_dtypes_are_promoted():
    x = np.random.default_rng(0).standard_normal((4, 360))
    found = corten.fft.rfft(corten.from_numpy(x))
    assert found.dtype == corten.complex128
    assert_close(found, np.fft.rfft(x), 1e-14)
    assert corten.fft.irfft(found).dtype == corten.float64
    for dtype in (corten.bool, corten.uint8, corten.int64):
        integers = corten.arange(6).to(dtype)
        assert corten.fft.fft(integers).dtype == corten.complex64
        assert corten.fft.irfft(integers).dtype == corten.float32
        assert_close(corten.fft.rfft(integers), np.fft.rfft(integers.numpy().astype(float)))


def test_empty_batches_give_empty_spectra():
    assert corten.fft.fft(corten.zeros(0, 4)).shape == (0, 4)
    assert corten.fft.rfftn(corten.zeros(3, 0, 4), dim=(0, 2)).shape == (3, 0, 3)
    assert corten.fft.irfft(corten.zeros(0, 4, dtype=corten.complex64)).shape == (0, 6)
    assert corten.fft.fftn(corten.ones(2), dim=()).tolist() == [1, 1]


def as_parts(transform):
    """The transform of complex numbers as a function of their parts."""

    def on_parts(x):
        y = transform(corten.view_as_complex(x))
        return corten.view_as_real(y) if y.is_complex() else y

    return on_parts


GRADIENTS = {
    "fft": lambda x: corten.fft.fft(x, dim=0, norm="ortho"),
    "ifft longer": lambda x: corten.fft.ifft(x, 7),
    "fftn": lambda x: corten.fft.fftn(x, (2, 5)),
    "irfft even": lambda x: corten.fft.irfft(x, 6),
    "irfft odd": lambda x: corten.fft.irfft(x, 7, dim=0),
    "irfftn": lambda x: corten.fft.irfftn(x, (3, 5), norm="forward"),
    "hfft": lambda x: corten.fft.hfft(x),
    "hfft2": lambda x: corten.fft.hfft2(x),
}
REAL_GRADIENTS = {
    "rfft even": lambda x: corten.fft.rfft(x),
    "rfft odd": lambda x: corten.fft.rfft(x, dim=0),
    "rfftn": lambda x: corten.fft.rfftn(x, norm="ortho"),
    "ihfft": lambda x: corten.fft.ihfft(x, 3),
    "ihfft2": lambda x: corten.fft.ihfft2(x),
    "fft of real": lambda x: corten.fft.fft(x),
}


@pytest.mark.cpu
@pytest.mark.parametrize("name", [*GRADIENTS, *REAL_GRADIENTS])
def test_first_and_second_gradients(name):
    if name in GRADIENTS:
        f, shape = as_parts(GRADIENTS[name]), (3, 4, 2)
    else:
        transform, shape = REAL_GRADIENTS[name], (3, 4)

        def f(x):
            return corten.view_as_real(transform(x))

    x = corten.randn(*shape, dtype=corten.float64, requires_grad=True)
    assert gradcheck(f, (x,))
    assert gradgradcheck(f, (x,))


def test_gradients_of_long_lines_are_those_of_the_sum_of_squares():
    # Parseval: |X|² sums to n times |x|², whose gradient is 2n·x.
    for n in (96, 201):
        x = of(sample(2, n)).requires_grad_()
        corten.fft.fft(x).abs().square().sum().backward()
        assert_close(x.grad, 2 * n * sample(2, n))
        y = of(sample(2, n, real=True)).requires_grad_()
        corten.fft.irfft(corten.fft.rfft(y), n).square().sum().backward()
        assert_close(y.grad, 2 * sample(2, n, real=True))


def test_what_has_no_gradient_is_not_read():
    # The imaginary parts of the first and of the middle element say nothing about real numbers.
    spectrum = of(sample(4)).requires_grad_()
    corten.fft.irfft(spectrum, 6).square().sum().backward()
    assert spectrum.grad[0].imag.item() == spectrum.grad[3].imag.item() == 0
    assert spectrum.grad[1].imag.item() != 0


def test_examples_of_a_batch_are_transformed_each_by_itself():
    x = of(sample(5, 3, 4))
    for f in (
        corten.fft.fft2,
        lambda x: corten.fft.ifft(x, 6, 0),
        lambda x: corten.fft.irfft(x, dim=0),
        corten.fft.hfft,
    ):
        assert_close(corten.func.vmap(f)(x), np.stack([f(row).cpu().numpy() for row in x]))
    assert_close(corten.func.vmap(corten.fft.rfft)(corten.real(x)), np.fft.rfft(x.cpu().numpy().real))


def test_out_takes_the_result_in_its_own_dtype():
    x = of(sample(6, real=True))
    out = corten.empty(0, dtype=corten.complex64)
    assert corten.fft.rfft(x, out=out) is out
    assert_close(out, np.fft.rfft(sample(6, real=True)))
    with pytest.raises(RuntimeError, match="fft expects a complex output tensor, but got Float"):
        corten.fft.fft(x, out=corten.empty(0))
    with pytest.raises(RuntimeError, match="irfft expects a floating point output tensor, but got ComplexFloat"):
        corten.fft.irfft(x, out=corten.empty(0, dtype=corten.complex64))


def test_frequencies_and_shifts_are_numpys():
    for n in (1, 4, 5):
        np.testing.assert_allclose(corten.fft.fftfreq(n, 0.1).cpu().numpy(), np.fft.fftfreq(n, 0.1), rtol=1e-6)
        np.testing.assert_allclose(corten.fft.rfftfreq(n, 0.1).cpu().numpy(), np.fft.rfftfreq(n, 0.1), rtol=1e-6)
        x = sample(n, 3, real=True)
        for dim in (None, 0, (0, 1)):
            assert_close(corten.fft.fftshift(of(x), dim), np.fft.fftshift(x, dim))
            assert_close(corten.fft.ifftshift(of(x), dim), np.fft.ifftshift(x, dim))
    assert corten.fft.fftfreq(0).shape == (0,)
    assert corten.fft.fftfreq(3, requires_grad=True).requires_grad


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: corten.fft.fft(x, 0), RuntimeError, r"Invalid number of data points \(0\) specified"),
        (lambda x: corten.fft.irfft(x[:, :1]), RuntimeError, r"Invalid number of data points \(0\) specified"),
        (lambda x: corten.fft.fft(x, dim=2), IndexError, "Dimension out of range"),
        (lambda x: corten.fft.fft(x[0, 0]), IndexError, "Dimension specified as -1 but tensor has no dimensions"),
        (lambda x: corten.fft.fft(x, norm="x"), RuntimeError, 'Invalid normalization mode: "x"'),
        (lambda x: corten.fft.fft(x, 2.5), TypeError, r"fft_fft\(\): argument 'n' must be int, not float"),
        (lambda x: corten.fft.fft([1.0]), TypeError, "argument 'input'.* must be Tensor, not list"),
        (lambda x: corten.fft.rfft(x + 0j), RuntimeError, "rfft expects a real input tensor, but got ComplexFloat"),
        (lambda x: corten.fft.fft(x.half()), RuntimeError, "Unsupported dtype Half"),
        (lambda x: corten.fft.fftn(x, dim=(0, 0)), RuntimeError, "FFT dims must be unique"),
        (lambda x: corten.fft.fftn(x, (1, 2, 3)), RuntimeError, "Got shape with 3 values but input tensor only has 2"),
        (lambda x: corten.fft.fftn(x, (2,), (0, 1)), RuntimeError, "dim and shape arguments must have the same length"),
        (lambda x: corten.fft.rfftn(x, dim=()), RuntimeError, "rfftn must transform at least one axis"),
        (lambda x: corten.fft.fftfreq(-2), RuntimeError, "negative dimension -2"),
        (lambda x: corten.fft.fftfreq(2, dtype=corten.int32), RuntimeError, "requires a floating point"),
        (lambda x: corten.fft.fftshift(x, ()), RuntimeError, "`shifts` required"),
    ],
)
def test_errors_name_the_rule(call, error, message):
    with pytest.raises(error, match=message):
        call(corten.ones(3, 4))


def test_programs_for_pytorch_find_the_module():
    program = (
        "import torch, torch.fft\nfrom torch.fft import rfft\nassert torch.fft.rfft is rfft\nprint(rfft(torch.ones(4)))"
    )
    done = subprocess.run([sys.executable, "-m", "corten", "run", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4.+0.j" in done.stdout


# -- short-time spectra ------------------------------------------------------------------------------------------------


def spectra_by_hand(x: np.ndarray, n: int, hop: int, window: np.ndarray) -> np.ndarray:
    """Every stretch of a padded signal by itself: (frequencies, frames)."""
    starts = range(0, len(x) - n + 1, hop)
    return np.stack([np.fft.rfft(x[s : s + n] * window) for s in starts], 1)


@pytest.mark.parametrize("normalized", [False, True])
def test_stretches_are_transformed_one_by_one(normalized):
    x, window = sample(2, 61, real=True), np.hanning(12).astype("float32")
    found = corten.stft(of(x), 16, 5, 12, of(window), normalized=normalized, return_complex=True)
    padded = np.pad(x, ((0, 0), (8, 8)), mode="reflect")
    wanted = np.stack([spectra_by_hand(row, 16, 5, np.pad(window, 2)) for row in padded])
    assert_close(found, wanted / 4 if normalized else wanted)
    alone = of(x[0]).stft(16, 5, 12, of(window), center=False, return_complex=True)
    assert_close(alone, spectra_by_hand(x[0], 16, 5, np.pad(window, 2)))
    aligned = corten.stft(of(x[0]), 16, 5, 12, of(window), center=False, align_to_window=True, return_complex=True)
    assert_close(aligned, spectra_by_hand(np.pad(x[0], 2), 16, 5, np.pad(window, 2)))


def test_both_sides_and_parts_of_short_time_spectra():
    x, window = of(sample(40, real=True)), corten.hann_window(8)
    half = x.stft(8, window=window, return_complex=True)
    both = x.stft(8, window=window, onesided=False, return_complex=True)
    assert both.shape == (8, 21)
    assert_close(both[:5], half.cpu().numpy())
    assert_close(both[5:], half[1:4].flip(0).conj().cpu().numpy())
    with pytest.warns(UserWarning, match="return_complex=False is deprecated"):
        parts = x.stft(8, window=window, return_complex=False)
    assert_close(corten.view_as_complex(parts), half.cpu().numpy())
    assert_close((x * 1j).stft(8, window=window), (both * 1j).cpu().numpy())


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("complex", [True, False])
def test_signals_come_back_from_their_short_time_spectra(center, complex):
    x = of(sample(2, 60, real=not complex))
    window = corten.hamming_window(12)
    for n_fft, normalized in [(12, False), (16, True)]:
        options = {"n_fft": n_fft, "hop_length": 4, "win_length": 12, "window": window, "normalized": normalized}
        spectra = corten.stft(x, center=center, return_complex=True, **options)
        if not center and n_fft > 12:
            continue  # the first elements lie under no window
        length = 60 if center else None
        back = spectra.istft(center=center, length=length, return_complex=complex, **options)
        assert_close(back, x.cpu().numpy()[:, : back.shape[1]])


def test_a_length_cuts_and_fills_up():
    window = corten.hann_window(8)
    spectra = corten.ones(40).stft(8, window=window, return_complex=True)
    assert_close(spectra.istft(8, window=window, length=13), np.ones(13, "float32"))
    with pytest.warns(UserWarning, match="shorter than the length parameter"):
        longer = spectra.istft(8, window=window, length=60)
    assert longer.shape == (60,)
    assert longer[:40].cpu().numpy() == pytest.approx(1, abs=1e-5)
    assert longer[48:].abs().sum().item() == 0


def test_windows_that_leave_something_out_are_refused():
    spectra = corten.ones(40).stft(8, window=corten.hann_window(8), return_complex=True)
    with pytest.raises(RuntimeError, match="window overlap add min: 1"):
        spectra.istft(8, window=corten.hann_window(8), center=False)
    with pytest.raises(RuntimeError, match="window overlap add min: 1"):
        spectra.istft(8, window=corten.zeros(8))
    with pytest.warns(UserWarning, match="A window was not provided"):
        spectra.istft(8)


@pytest.mark.cpu
def test_gradients_of_short_time_spectra():
    window = corten.hann_window(6, dtype=corten.float64)
    x = corten.randn(2, 14, dtype=corten.float64, requires_grad=True)

    def there(x):
        return corten.view_as_real(x.stft(6, 2, window=window, return_complex=True))

    def back(parts):
        return corten.view_as_complex(parts).istft(6, 2, window=window)

    assert gradcheck(there, (x,))
    assert gradcheck(back, (there(x).detach().requires_grad_(),))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"n_fft": 50}, r"stft\(torch.FloatTensor\[2, 40\].*expected 0 < n_fft < 40, but got n_fft=50"),
        ({"hop_length": 0}, "expected hop_length > 0, but got hop_length=0"),
        ({"win_length": 9}, "expected 0 < win_length <= n_fft, but got win_length=9"),
        ({"window": corten.ones(3)}, r"window tensor of size equal to win_length=8, but got window with size \[3\]"),
        ({"return_complex": None}, "requires the return_complex parameter be given for real inputs"),
        ({"window": corten.ones(8) + 0j, "onesided": True}, "Cannot have onesided output"),
        ({"center": True, "align_to_window": True}, "align_to_window should only be set when center = false"),
    ],
)
def test_short_time_spectra_refuse_lengths_that_do_not_fit(options, rule):
    given = {"n_fft": 8, "window": corten.ones(8), "center": False, "return_complex": True} | options
    if given["n_fft"] != 8 or "win_length" in options:
        given["window"] = corten.ones(given.get("win_length") or given["n_fft"])
    with pytest.raises(RuntimeError, match=rule):
        corten.stft(corten.ones(2, 40), **given)
