"""Spectra of signals over time: the short-time Fourier transform and its inverse."""

import warnings

from .. import _core
from ._arguments import typed
from ._common import everywhere, ops, scalar_name

_NO_WINDOW = (
    "A window was not provided. A rectangular one is taken, {}; give window=ones(win_length) to choose it without this "
    "warning."
)
_ONE_SIDED = "Cannot have onesided output if window or input is complex"


def _kind(x):
    """What PyTorch's errors call a tensor's type."""
    if x.is_complex():
        return f"CPU{scalar_name(x)}Type"
    return f"torch.{scalar_name(x)}Tensor"


def _flag(name, label, value, optional=True):
    if not isinstance(value, bool) and not (optional and value is None):
        raise TypeError(f"{name}(): argument '{label}' must be bool, not {type(value).__name__}")


class _Call:
    """A call's arguments as its errors show them."""

    def __init__(self, name, input, n_fft, hop_length, win_length, window, **options):
        self.name, self.input, self.n_fft, self.options = name, input, n_fft, options
        self.hop_length = n_fft // 4 if hop_length is None else hop_length
        self.win_length = n_fft if win_length is None else win_length
        self.window = window

    def __str__(self):
        shape = ", ".join(map(str, self.input.shape))
        window = "None" if self.window is None else f"{_kind(self.window)}{{{[*self.window.shape]}}}"
        options = [f"{name}={int(value) if isinstance(value, bool) else value}" for name, value in self.options.items()]
        return (
            f"{self.name}({_kind(self.input)}[{shape}], n_fft={self.n_fft}, hop_length={self.hop_length}, "
            f"win_length={self.win_length}, window={window}, {', '.join(options)})"
        )

    def require(self, holds, rule):
        if not holds:
            raise RuntimeError(f"{self} {rule}")

    def centred_window(self, dtype, device):
        """The window in the middle of ``n_fft`` places; None where that is no window at all."""
        if self.window is None and self.win_length == self.n_fft:
            return None
        window = self.window
        if window is None:
            window = ops.ones(self.win_length, dtype=dtype, device=device)
        room = self.n_fft - self.win_length
        if not room:
            return window
        return ops.cat([window.new_zeros(room // 2), window, window.new_zeros(room - room // 2)])


def _padded(x, amount, mode):
    """Signals ``(B, n)`` with ``amount`` elements more at either end."""
    if x.is_complex():
        return ops.complex(_padded(ops.real(x), amount, mode), _padded(ops.imag(x), amount, mode))
    return ops.pad(x.unsqueeze(0), (amount, amount), mode, None).squeeze(0)


def _frames(call, x, align):
    """Overlapping stretches ``(B, frames, n_fft)`` of signals ``(B, n)``."""
    if align and call.win_length < call.n_fft:
        room = call.n_fft - call.win_length
        x = ops.cat([x.new_zeros(x.shape[0], room // 2), x, x.new_zeros(x.shape[0], room - room // 2)], 1)
    return x.unfold(1, call.n_fft, call.hop_length)


@typed("stft", spelled=True, input="Tensor", n_fft="int", hop_length="int?", win_length="int?", window="Tensor?")
def stft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
    align_to_window=None,
):
    """The spectra of overlapping stretches of signals ``(n,)`` or ``(B, n)``: ``(B, frequencies, frames)``.

    Args:
        n_fft: the length of a stretch, and of its transform.
        hop_length: how far stretches lie apart; ``n_fft // 4`` by default.
        win_length: the size of the window, ``n_fft`` by default; a shorter one stands in the middle of a stretch.
        window: what stretches are multiplied by, ``(win_length,)``; all ones, with a warning, by default.
        center: put the middle of stretch ``t`` at ``t * hop_length``, by ``n_fft // 2`` elements more at either end.
        pad_mode: where these come from; see :func:`corten.nn.functional.pad`.
        normalized: divide by the square root of ``n_fft``.
        onesided: the first ``n_fft // 2 + 1`` frequencies only; by default for real signals and windows.
        return_complex: must be given for real signals; where false, the parts stand in a last dim of two.
        align_to_window: without ``center``, let the window of the first stretch begin with the signal, not the stretch.

    Raises:
        RuntimeError: for signals of other dims and dtypes, for lengths that do not fit each other, for one side of the
            spectrum of complex numbers.
    """
    for label, value in [("normalized", normalized), ("onesided", onesided), ("return_complex", return_complex)]:
        _flag("stft", label, value, label != "normalized")
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    batched = input.dim() >= 2
    x = input if batched else input.unsqueeze(0)
    if center and input.dim() <= 2:
        x = _padded(input.reshape(1, 1) if input.dim() == 0 else x, n_fft // 2, pad_mode)
    shown = x if batched else x.squeeze(0)
    options = {
        "normalized": normalized,
        "onesided": onesided,
        "return_complex": return_complex,
        "align_to_window": align_to_window,
    }
    call = _Call("stft", shown, n_fft, hop_length, win_length, window, **options)
    if window is None:
        warnings.warn(_NO_WINDOW.format("whose spectrum leaks into all frequencies"), stacklevel=2)
    _check_return(return_complex, input, window)
    _check_stft(call, input.dim(), x.shape[-1])
    frames = _frames(call, x, align_to_window)
    scale = n_fft**-0.5 if normalized else 1.0
    if (centred := call.centred_window(x.dtype, x.device)) is not None:
        frames = frames * centred
    if frames.is_complex():
        if onesided:
            raise RuntimeError(_ONE_SIDED)
        spectra = ops._fourier(frames, [2], scale, True)
    elif onesided is False:
        whole_dtype = _core.complex128 if frames.dtype == _core.float64 else _core.complex64
        spectra = ops._fourier(frames.to(whole_dtype), [2], scale, True)
    else:
        spectra = ops._fourier_of_real(frames, [2], scale)
    spectra = spectra.transpose(1, 2)
    spectra = spectra if batched else spectra.squeeze(0)
    return ops.view_as_real(spectra) if return_complex is False else spectra


def _check_return(return_complex, *given):
    if return_complex is None and not any(x is not None and x.is_complex() for x in given):
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further require that "
            "return_complex=True in a future PyTorch release."
        )
    if return_complex is False:
        warnings.warn(
            "stft with return_complex=False is deprecated: corten.view_as_real gives a complex result's parts.",
            stacklevel=3,
        )


def _check_stft(call, dims, length):
    x, window, n_fft, win_length = call.input, call.window, call.n_fft, call.win_length
    call.require(x.is_floating_point() or x.is_complex(), ": expected a tensor of floating point or complex values")
    call.require(dims in (1, 2), ": expected a 1D or 2D tensor")
    call.require(0 < n_fft <= length, f": expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    call.require(call.hop_length > 0, f": expected hop_length > 0, but got hop_length={call.hop_length}")
    call.require(0 < win_length <= n_fft, f": expected 0 < win_length <= n_fft, but got win_length={win_length}")
    call.require(
        window is None or [*window.shape] == [win_length],
        f": expected a 1D window tensor of size equal to win_length={win_length}, but got window with size "
        f"{None if window is None else [*window.shape]}",
    )


def _overlapped(frames, length, hop_length):
    """Stretches ``(B, frames, n)`` added up where they overlap: ``(B, length)``, the transpose of `unfold`."""
    if frames.is_complex():
        parts = [_overlapped(part, length, hop_length) for part in (ops.real(frames), ops.imag(frames))]
        return ops.complex(*parts)
    columns = frames.transpose(1, 2)
    sums = ops.col2im(columns, (1, length), (1, frames.shape[2]), (1, 1), (0, 0), (1, hop_length))
    return sums.reshape(frames.shape[0], length)


@typed(
    "istft",
    input="Tensor",
    n_fft="int",
    hop_length="int?",
    win_length="int?",
    window="Tensor?",
    center="bool",
    onesided="bool?",
    length="int?",
    return_complex="bool",
)
def istft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    """The signals ``(n,)`` or ``(B, n)`` whose :func:`stft` is ``(B, frequencies, frames)``, or comes closest to it.

    Closest in the sense of least squares (D. Griffin and J. Lim, 1984).

    Args:
        n_fft, hop_length, win_length, window, center, normalized: as they were given to :func:`stft`.
        onesided: there are ``n_fft // 2 + 1`` frequencies and not ``n_fft``; by default what the input has.
        length: of the signals; longer ones than the input tells of end in zeros, with a warning.
        return_complex: the signals are complex.

    Raises:
        RuntimeError: for input that is not complex, empty or of other dims, for sizes that do not fit each other, and
            where windows leave out a part of the signal.
    """
    _flag("istft", "normalized", normalized, optional=False)
    options = {
        "center": center,
        "normalized": normalized,
        "onesided": onesided,
        "length": length,
        "return_complex": return_complex,
    }
    call = _Call("istft", input, n_fft, hop_length, win_length, window, **options)
    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    if window is None:
        warnings.warn(_NO_WINDOW.format("and inverts what the same window made only"), stacklevel=2)
    onesided = _check_istft(call, onesided)
    spectra = (input if input.dim() == 3 else input.unsqueeze(0)).transpose(1, 2)
    signals = _signals(call, spectra, onesided, return_complex)
    signals = _cut(call, signals, spectra.shape[1], center, length)
    return signals if input.dim() == 3 else signals.squeeze(0)


def _check_istft(call, onesided):
    """Whether half of the frequencies are there."""
    x, window, n_fft = call.input, call.window, call.n_fft
    if x.dim() < 2:
        rank = x.dim() + 1
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got -3)")
    frequencies = x.shape[-2]
    call.require(x.numel() > 0, ": input tensor cannot be empty.")
    call.require(x.dim() in (2, 3), f": expected a tensor with 3 or 4 dimensions, but got {x.dim() + 1}")
    onesided = frequencies != n_fft if onesided is None else onesided
    wanted, text = (n_fft // 2 + 1, "n_fft / 2 + 1") if onesided else (n_fft, "n_fft")
    call.require(
        frequencies == wanted,
        f": expected the frequency dimension (3rd to the last) of the input tensor to match {text} when "
        f"onesided={onesided}, but got {frequencies}",
    )
    call.require(0 < call.hop_length <= call.win_length, ": expected 0 < hop_length <= win_length")
    call.require(0 < call.win_length <= n_fft, ": expected 0 < win_length <= n_fft")
    call.require(
        window is None or [*window.shape] == [call.win_length],
        ": Invalid window shape. window has to be 1D and length of `win_length`",
    )
    return onesided


def _signals(call, spectra, onesided, return_complex):
    """The stretches ``(B, frames, n_fft)`` of spectra ``(B, frames, frequencies)``, times the window."""
    n = call.n_fft
    scale = n**-0.5 if call.options["normalized"] else 1 / n
    if return_complex:
        if onesided:
            raise RuntimeError(_ONE_SIDED)
        frames = ops._fourier(spectra, [2], scale, False)
    else:
        if call.window is not None and call.window.is_complex():
            raise RuntimeError("Complex windows are incompatible with return_complex=False")
        frames = ops._fourier_to_real(spectra[..., : n // 2 + 1], [2], scale, n)
    window = call.centred_window(ops.real(frames).dtype, frames.device)
    return frames if window is None else frames * window


def _cut(call, frames, count, center, length):
    """The signals: stretches added up, divided by what their windows add up to."""
    n, hop = call.n_fft, call.hop_length
    whole_length = n + hop * (count - 1)
    window = call.centred_window(ops.real(frames).dtype, frames.device)
    if window is None:
        window = ops.ones(n, dtype=ops.real(frames).dtype, device=frames.device)
    envelope = _overlapped((window * window).expand(1, count, n), whole_length, hop)
    start = n // 2 if center else 0
    end = whole_length - start if length is None else start + length
    signals = _overlapped(frames, whole_length, hop)[:, start:end]
    envelope = envelope[:, start:end]
    if not everywhere(~(envelope.abs() < 1e-11)):
        raise RuntimeError(f"{call} window overlap add min: 1\n[ CPUBoolType{{}} ]")
    signals = signals / envelope
    if end > whole_length:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. "
            "Please check your center and hop_length settings.",
            stacklevel=3,
        )
        signals = ops.cat([signals, signals.new_zeros(signals.shape[0], end - whole_length)], 1)
    return signals
