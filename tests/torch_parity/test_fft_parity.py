"""Fourier transforms and short-time spectra beside PyTorch's: layouts, dtypes, gradients and errors."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import corten
import numpy as np
import pytest

torch = pytest.importorskip("torch")

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
SEVERAL = ("fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn")
OF_REAL = ("rfft", "ihfft", "rfftn", "ihfftn")
DIMS = [dims for n in (1, 2, 3) for dims in itertools.permutations(range(3), n)]


def sample(real: bool) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 5))
    return x if real else x + 1j * rng.standard_normal((3, 4, 5))


def assert_same(found: Any, wanted: Any) -> None:
    assert tuple(found.shape) == tuple(wanted.shape)
    assert found.stride() == wanted.stride()
    assert str(found.dtype).split(".")[-1] == str(wanted.dtype).split(".")[-1]
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().resolve_conj().numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("turned", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("name", SEVERAL)
def test_results_lie_in_memory_as_pytorchs(name: str, turned: tuple[int, ...]) -> None:
    x = sample(name in OF_REAL)
    for dims in DIMS:
        found, wanted = (getattr(m.fft, name)(m.from_numpy(x).permute(turned), dim=dims) for m in (corten, torch))
        assert_same(found, wanted)


@pytest.mark.parametrize("name", ONE)
def test_gradients_are_pytorchs(name: str) -> None:
    x = sample(name in OF_REAL)
    for n, dim, norm in [(None, 1, None), (7, 2, "ortho"), (2, 0, "forward")]:
        grads = []
        for m in (corten, torch):
            leaf = m.from_numpy(x.copy()).requires_grad_()
            y = getattr(m.fft, name)(leaf, n, dim, norm)
            weights = m.arange(y.numel(), dtype=m.float64).reshape(y.shape)
            loss = ((y * (weights + 1j)).abs() ** 2).sum() if y.is_complex() else (y * y * weights).sum()
            grads.append(m.autograd.grad(loss, leaf)[0])
        np.testing.assert_allclose(grads[0].numpy(), grads[1].numpy(), rtol=1e-9, atol=1e-8)


def outcome(f: Callable[[Any], Any], module: Any) -> tuple[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((RuntimeError, IndexError, TypeError, NotImplementedError)) as error:
            f(module)
    return type(error.value).__name__, str(error.value).replace("corten.", "torch.")


ERRORS: dict[str, Callable[[Any], Any]] = {
    "size 0": lambda m: m.fft.fft(m.ones(3, 4), 0),
    "size -1": lambda m: m.fft.irfft(m.ones(3, 4), -1),
    "no elements": lambda m: m.fft.fft(m.zeros(0)),
    "too few": lambda m: m.fft.irfft(m.ones(3, 1)),
    "dim": lambda m: m.fft.fft(m.ones(3, 4), dim=5),
    "no dims": lambda m: m.fft.fft(m.tensor(1.0)),
    "norm": lambda m: m.fft.rfft(m.ones(4), norm="x"),
    "complex": lambda m: m.fft.rfft(m.ones(4) * 1j),
    "complex, inverse": lambda m: m.fft.ihfft(m.ones(4) * 1j),
    "complex, several": lambda m: m.fft.rfftn(m.ones(4) * 1j),
    "complex, inverse, several": lambda m: m.fft.ihfftn(m.ones(4) * 1j),
    "half": lambda m: m.fft.fft(m.ones(3).half()),
    "bfloat16": lambda m: m.fft.irfft(m.ones(3).bfloat16()),
    "float n": lambda m: m.fft.fft(m.ones(3), n=2.5),
    "text n": lambda m: m.fft.fft(m.ones(3), n="a"),
    "list": lambda m: m.fft.fft([1, 2]),
    "more sizes": lambda m: m.fft.fftn(m.ones(3, 4), (1, 2, 3)),
    "dim twice": lambda m: m.fft.fftn(m.ones(3, 4), dim=(0, 0)),
    "unequal": lambda m: m.fft.fftn(m.ones(3, 4), (2,), (0, 1)),
    "unequal, two": lambda m: m.fft.fft2(m.ones(3, 4), (1, 1, 1)),
    "size 0 of several": lambda m: m.fft.irfftn(m.ones(3, 4), (3, 0)),
    "vector": lambda m: m.fft.fft2(m.ones(4)),
    "nothing": lambda m: m.fft.irfftn(m.ones(3, 4), dim=()),
    "nothing, hermitian": lambda m: m.fft.ihfftn(m.ones(3, 4), dim=()),
    "real out": lambda m: m.fft.fft(m.ones(3), out=m.empty(0)),
    "complex out": lambda m: m.fft.irfft(m.ones(3), out=m.empty(0, dtype=m.complex64)),
    "integer out": lambda m: m.fft.hfftn(m.ones(3), out=m.empty(0, dtype=m.int32)),
    "negative frequencies": lambda m: m.fft.fftfreq(-2),
    "integer frequencies": lambda m: m.fft.rfftfreq(4, dtype=m.int64),
    "complex frequencies": lambda m: m.fft.fftfreq(4, dtype=m.complex64),
    "shift of a number": lambda m: m.fft.fftshift(m.tensor(1.0)),
    "shift dim": lambda m: m.fft.fftshift(m.ones(2, 3), 5),
    "stft n_fft": lambda m: m.stft(m.ones(2, 50), 100, center=False, return_complex=True),
    "stft 0": lambda m: m.stft(m.ones(2, 50), 0, center=False, return_complex=True),
    "stft hop": lambda m: m.stft(m.ones(2, 50), 16, 0, return_complex=True),
    "stft win": lambda m: m.stft(m.ones(2, 50), 16, 4, 20, return_complex=True),
    "stft window": lambda m: m.stft(m.ones(2, 50), 16, 4, 8, m.ones(16), return_complex=True),
    "stft window matrix": lambda m: m.stft(m.ones(50), 16, window=m.ones(1, 16), return_complex=True),
    "stft integers": lambda m: m.stft(m.ones(2, 50).int(), 16, return_complex=True),
    "stft dims": lambda m: m.stft(m.ones(1, 2, 50), 16, center=False, return_complex=True),
    "stft return": lambda m: m.stft(m.ones(2, 50), 16),
    "stft sides": lambda m: m.stft(m.ones(2, 50) + 0j, 16, onesided=True),
    "stft align": lambda m: m.stft(m.ones(50), 16, align_to_window=False, return_complex=True),
    "istft real": lambda m: m.istft(m.ones(2, 50), 16),
    "istft frequencies": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 20),
    "istft both sides": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, onesided=False),
    "istft hop": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, hop_length=20),
    "istft no hop": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, hop_length=0),
    "istft win": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, win_length=20),
    "istft window": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, win_length=8, window=m.ones(16)),
    "istft dims": lambda m: m.istft(m.ones(1, 2, 9, 13) + 0j, 16),
    "istft vector": lambda m: m.istft(m.ones(13) + 0j, 16),
    "istft empty": lambda m: m.istft(m.ones(2, 9, 0) + 0j, 16),
    "istft sides": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, return_complex=True),
    "istft complex window": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, window=m.ones(16) + 0j),
    "istft zeros": lambda m: m.istft(m.ones(2, 9, 13) + 0j, 16, window=m.zeros(16)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_those_of_pytorch(name: str) -> None:
    assert outcome(ERRORS[name], corten) == outcome(ERRORS[name], torch)


STFT = {
    "plain": {"n_fft": 16},
    "hop": {"n_fft": 15, "hop_length": 3, "normalized": True},
    "short window": {"n_fft": 16, "hop_length": 4, "win_length": 9},
    "both sides": {"n_fft": 16, "onesided": False},
    "not centred": {"n_fft": 16, "hop_length": 4, "win_length": 9, "center": False, "align_to_window": True},
    "zeros": {"n_fft": 16, "pad_mode": "constant"},
}


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("name", STFT)
def test_short_time_spectra_are_pytorchs(name: str, complex: bool) -> None:
    options = {"return_complex": True} | STFT[name]
    x = np.random.default_rng(0).standard_normal((2, 50)) * (1 + 1j if complex else 1)
    results = []
    for m in (corten, torch):
        window = m.hann_window(options.get("win_length") or options["n_fft"], dtype=m.float64)
        results.append(m.stft(m.from_numpy(x), window=window, **options))
    assert_same(*results)
    back = {k: v for k, v in options.items() if k not in ("pad_mode", "align_to_window")} | {"return_complex": complex}
    if options.get("center") is False:
        return
    signals = []
    for m, spectra in zip((corten, torch), results, strict=True):
        window = m.hann_window(options.get("win_length") or options["n_fft"], dtype=m.float64)
        signals.append(m.istft(spectra, window=window, **back))
    np.testing.assert_allclose(signals[0].numpy(), signals[1].numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "complex64", "complex128"])
@pytest.mark.parametrize("name", [*ONE, *SEVERAL])
def test_dtypes_are_promoted_as_in_pytorch(name: str, dtype: str) -> None:
    if name in OF_REAL and dtype.startswith("complex"):
        return
    found, wanted = (getattr(m.fft, name)(m.ones(3, 4).to(getattr(m, dtype))) for m in (corten, torch))
    assert str(found.dtype).split(".")[-1] == str(wanted.dtype).split(".")[-1]
    np.testing.assert_allclose(found.numpy(), wanted.resolve_conj().numpy(), rtol=1e-5, atol=1e-5)
