"""The log-mel spectrogram: what networks for speech hear, with the filters of Slaney's Auditory Toolbox (1998)."""

import math

from .. import hann_window, linspace, nn, stft, where

__all__ = ["LogMel", "log_mel", "mel_filters"]

_LINEAR_UP_TO = 1000.0  # hertz; 15 mel of 66.7 Hz each, then 27 mel for each factor of 6.4
_STEP = math.log(6.4) / 27


def hertz_to_mel(hertz):
    """Slaney's scale: in proportion up to 1000 Hz, logarithmic above."""
    return 0.015 * hertz if hertz < _LINEAR_UP_TO else 15 + math.log(hertz / _LINEAR_UP_TO) / _STEP


def mel_to_hertz(mel):
    """The inverse of `hertz_to_mel`, for tensors."""
    return where(mel < 15, mel / 0.015, _LINEAR_UP_TO * ((mel - 15) * _STEP).exp())


def mel_filters(sample_rate, n_fft, mels, low=0.0, high=None):
    """Triangles of equal area, ``(mels, n_fft // 2 + 1)``, evenly spaced in mel from ``low`` to ``high`` hertz.

    Args:
        high: half the sample rate by default.

    Raises:
        ValueError: ``low`` is not below ``high``, or ``high`` is above half the sample rate.
    """
    high = sample_rate / 2 if high is None else high
    if not 0 <= low < high <= sample_rate / 2:
        raise ValueError(f"mel_filters: 0 <= low < high <= {sample_rate / 2} Hz expected, got low={low}, high={high}")
    edges = mel_to_hertz(linspace(hertz_to_mel(low), hertz_to_mel(high), mels + 2))
    bins = linspace(0, sample_rate / 2, n_fft // 2 + 1)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return rising.minimum(falling).clamp(min=0) * (2 / (right - left))


class LogMel(nn.Module):
    """Audio ``(N, length)`` to logarithms of mel energies ``(N, mels, 1 + length // hop)``.

    Args:
        sample_rate: of the audio in hertz.
        n_fft: samples of a frame, under a Hann window.
        hop: samples from one frame to the next.
        mels: their number.
        low, high: hertz of the lowest and the highest filter; half the sample rate by default.
        floor: energies below it count as it.
    """

    def __init__(self, sample_rate=16_000, n_fft=400, hop=160, mels=80, low=0.0, high=None, floor=1e-10):
        super().__init__()
        self.n_fft, self.hop, self.floor = n_fft, hop, floor
        self.register_buffer("window", hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, n_fft, mels, low, high), persistent=False)

    def forward(self, audio):
        spectrum = stft(audio, self.n_fft, self.hop, window=self.window, return_complex=True)
        energy = spectrum.real.square() + spectrum.imag.square()
        return (self.filters @ energy).clamp(min=self.floor).log()


def log_mel(sample_rate=16_000, n_fft=400, hop=160, mels=80):
    """`LogMel` with frames of 25 ms every 10 ms at 16 kHz; it has no parameters."""
    return LogMel(sample_rate, n_fft, hop, mels)
