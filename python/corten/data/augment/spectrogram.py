"""SpecAugment (Park et al. 2019): bands of time and of frequency masked, time warped; torchaudio's names.

Spectrograms are ``(…, freq, time)``. Draws come from the global generator of the CPU.
"""

import corten
from corten import nn

__all__ = ["FrequencyMasking", "SpecAugment", "TimeMasking", "TimeWarp"]


def _check_spectrogram(name, specgram):
    if specgram.dim() < 2:
        raise ValueError(f"{name}: a spectrogram should be of shape (..., freq, time), but got {tuple(specgram.shape)}")
    if not specgram.is_floating_point():
        raise TypeError(f"{name}: a spectrogram should be floating point, but got {specgram.dtype}")


def _check_share(name, p):
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: p should be from 0 to 1, but got {p}")


def _masked(specgram, dim, width, value, iid, p=1.0):
    """The spectrogram with one random band along ``dim`` overwritten, one for each leading index where ``iid``."""
    size = specgram.shape[dim]
    width = min(width, int(size * p))
    if width < 1:
        return specgram
    leading = specgram.shape[:-2] if iid else ()
    length = (corten.rand(*leading, 1, 1, device="cpu") * width).long()
    start = (corten.rand(*leading, 1, 1, device="cpu") * (size - length + 1)).long()
    end = start + length
    place = corten.arange(size, device="cpu")
    place = place.reshape(-1, 1) if dim == -2 else place
    band = (place >= start) & (place < end)
    return specgram.masked_fill(band.to(specgram.device), value)


class _Masking(nn.Module):
    def __init__(self, dim, width, iid_masks, p):
        super().__init__()
        if width < 0:
            raise ValueError(f"{type(self).__name__}: the width of a mask should not be negative, but got {width}")
        _check_share(type(self).__name__, p)
        self.mask_param = width
        self.dim = dim
        self.iid_masks = iid_masks
        self.p = p

    def forward(self, specgram, mask_value=0.0):
        """The spectrogram ``(…, freq, time)`` with a band of ``mask_value``, a number or a tensor of one element."""
        _check_spectrogram(type(self).__name__, specgram)
        return _masked(specgram, self.dim, self.mask_param, mask_value, self.iid_masks, self.p)

    def extra_repr(self):
        return f"mask_param={self.mask_param}, iid_masks={self.iid_masks}"


class FrequencyMasking(_Masking):
    """A band of frequencies masked, of a width drawn from 0 to below ``freq_mask_param``.

    Args:
        freq_mask_param: the greatest width, in bins.
        iid_masks: a band for each leading index, otherwise one for all.
    """

    def __init__(self, freq_mask_param, iid_masks=False):
        super().__init__(-2, freq_mask_param, iid_masks, 1.0)


class TimeMasking(_Masking):
    """A stretch of time masked, of a length drawn from 0 to below ``time_mask_param``.

    Args:
        time_mask_param: the greatest length, in frames.
        iid_masks: a stretch for each leading index, otherwise one for all.
        p: the greatest share of the frames that may be masked.
    """

    def __init__(self, time_mask_param, iid_masks=False, p=1.0):
        super().__init__(-1, time_mask_param, iid_masks, p)


class TimeWarp(nn.Module):
    """Time stretched on one side of a random frame and squeezed on the other, linearly between frames.

    The frame, at least ``warp_param`` from both ends, moves by less than ``warp_param`` frames; ends stay. Spectrograms
    of at most ``2 * warp_param`` frames are left alone. Each leading index is warped in its own way.

    Args:
        warp_param: the greatest move, in frames; the paper's W, 80 for its 10 ms frames.
    """

    def __init__(self, warp_param=80):
        super().__init__()
        if warp_param < 1:
            raise ValueError(f"TimeWarp: warp_param should be at least 1, but got {warp_param}")
        self.warp_param = warp_param

    def forward(self, specgram):
        """The spectrogram ``(…, freq, time)``, warped."""
        _check_spectrogram("TimeWarp", specgram)
        frames, reach = specgram.shape[-1], self.warp_param
        if frames <= 2 * reach:
            return specgram
        leading = specgram.shape[:-2]
        centre = reach + corten.rand(*leading, 1, device="cpu") * (frames - 1 - 2 * reach)
        moved = centre + (corten.rand(*leading, 1, device="cpu") * 2 - 1) * (reach - 1)
        last = frames - 1
        place = corten.arange(frames, dtype=corten.float32, device="cpu")
        before = place * centre / moved
        after = centre + (place - moved) * (last - centre) / (last - moved)
        source = corten.where(place < moved, before, after).clamp(0, last)
        left = source.floor().clamp(max=last - 1)
        share = (source - left).unsqueeze(-2).to(specgram.device, specgram.dtype)
        index = left.long().unsqueeze(-2).expand(specgram.shape).to(specgram.device)
        return specgram.gather(-1, index) * (1 - share) + specgram.gather(-1, index + 1) * share

    def extra_repr(self):
        return f"warp_param={self.warp_param}"


class SpecAugment(nn.Module):
    """Several masks of time and of frequency, after a warp of time where it is asked for.

    Args:
        n_time_masks, time_mask_param: how many stretches of time, and below which length in frames.
        n_freq_masks, freq_mask_param: how many bands, and below which width in bins.
        iid_masks: masks for each leading index, otherwise the same ones for all.
        p: the greatest share of the frames that one stretch may mask.
        zero_masking: masks with 0, otherwise with the spectrogram's mean.
        time_warp_param: that of `TimeWarp`; 0 for no warp, as torchaudio's class of this name.
    """

    def __init__(
        self,
        n_time_masks,
        time_mask_param,
        n_freq_masks,
        freq_mask_param,
        iid_masks=True,
        p=1.0,
        zero_masking=False,
        time_warp_param=0,
    ):
        super().__init__()
        _check_share("SpecAugment", p)
        self.n_time_masks = n_time_masks
        self.time_mask_param = time_mask_param
        self.n_freq_masks = n_freq_masks
        self.freq_mask_param = freq_mask_param
        self.iid_masks = iid_masks
        self.p = p
        self.zero_masking = zero_masking
        self.warp = TimeWarp(time_warp_param) if time_warp_param else None

    def forward(self, specgram):
        """The spectrogram ``(…, freq, time)``, warped and masked."""
        _check_spectrogram("SpecAugment", specgram)
        value = 0.0 if self.zero_masking else specgram.mean()
        if self.warp is not None:
            specgram = self.warp(specgram)
        for _ in range(self.n_time_masks):
            specgram = _masked(specgram, -1, self.time_mask_param, value, self.iid_masks, self.p)
        for _ in range(self.n_freq_masks):
            specgram = _masked(specgram, -2, self.freq_mask_param, value, self.iid_masks)
        return specgram
