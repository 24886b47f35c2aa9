"""Silero VAD v6: how likely somebody speaks, in every 32 ms of audio at 16 kHz (github.com/snakers4/silero-vad)."""

import pickle
import zipfile
from types import SimpleNamespace

from .. import from_numpy, lstm, nn, no_grad, zeros
from ..nn import functional as F

__all__ = ["SileroVAD", "silero_vad", "silero_vad_weights"]

CHUNK, CONTEXT = 512, 64  # samples, and those of the chunk before that the network hears again


class SileroVAD(nn.Module):
    """Chunks of audio, one after the other, to probabilities of speech.

    A short-time Fourier transform as a convolution, four convolutions over its magnitudes, and an LSTM from chunk to
    chunk. Keys are those of ``silero_vad_16k.safetensors``, an earlier training that the package silero-vad brings;
    `silero_vad_weights` reads the present one. Samples run from −1 to 1.
    """

    def __init__(self):
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def encode(self, chunks):
        """Features ``(N, 128)`` of chunks ``(N, 576)``, which begin with the last 64 samples of those before them."""
        x = self.stft_conv(F.pad(chunks[:, None], (0, 64), mode="reflect"))
        real, imaginary = x.chunk(2, 1)
        # The root's gradient at 0 is infinite, and silence is 0.
        x = (real.square() + imaginary.square()).clamp(min=1e-12).sqrt()
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(convolution(x))
        return x.squeeze(2)

    def _speech(self, hidden):
        return self.final_conv(F.relu(hidden)[..., None]).sigmoid().flatten(1)

    def forward(self, chunk, state=None):
        """The probabilities ``(N, 1)`` of chunks ``(N, 576)`` of N recordings, and the state for the next ones.

        Args:
            state: what the call for the chunks before returned; None at the start.
        """
        state = self.lstm_cell(self.encode(chunk), state)
        return self._speech(state[0]), state

    @no_grad()
    def probabilities(self, audio):
        """Those of all chunks, ``(N, ceil(length / 512))``, of recordings ``(N, length)`` at 16 kHz."""
        count, length = audio.shape
        audio = F.pad(audio, (CONTEXT, -length % CHUNK))
        chunks = audio.unfold(1, CHUNK + CONTEXT, CHUNK)
        features = self.encode(chunks.flatten(0, 1)).unflatten(0, (count, -1))
        cell = self.lstm_cell
        weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
        start = zeros(1, count, cell.hidden_size, device=audio.device)
        hidden, _, _ = lstm(features, (start, start), weights, True, 1, 0.0, False, False, True)
        return self._speech(hidden.flatten(0, 1)).view(count, -1)


def silero_vad():
    """`SileroVAD`; 0.31 million parameters."""
    return SileroVAD()


def silero_vad_weights(path):
    """The weights of a `SileroVAD` in ``silero_vad.jit``, a TorchScript archive of which only numbers are read.

    Raises:
        pickle.UnpicklingError: the archive holds something other than modules and float32 tensors.
        ValueError: it holds another network.
    """
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
        with archive.open(root + "data.pkl") as file:
            network = _Reader(file, lambda key: archive.read(f"{root}data/{key}")).load()
    try:
        model = network._model
        layers = {f"conv{n + 1}": getattr(model.encoder, str(n)).reparam_conv for n in range(4)}
        layers |= {"lstm_cell": model.decoder.rnn, "final_conv": getattr(model.decoder.decoder, "2")}
        weights = {"stft_conv.weight": model.stft.forward_basis_buffer}
    except AttributeError as error:
        raise ValueError(f"{path} holds another network than Silero VAD: {error}") from None
    for name, layer in layers.items():
        weights |= {f"{name}.{key}": value for key, value in vars(layer).items() if hasattr(value, "shape")}
    return weights


class _Reader(pickle.Unpickler):
    """Reads modules as namespaces and tensors from their storages; nothing else, so no code runs."""

    def __init__(self, file, storage):
        super().__init__(file)
        self.storage = storage

    def find_class(self, module, name):
        if module.startswith("__torch__."):
            return SimpleNamespace
        known = {
            ("torch", "FloatStorage"): "float32",
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch.jit._pickle", "build_intlist"): list,
            ("collections", "OrderedDict"): dict,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a network's weights")
        return known[module, name]

    def persistent_load(self, pid):
        import numpy

        return numpy.frombuffer(bytearray(self.storage(pid[2])), numpy.float32)


def _tensor(storage, offset, size, stride, *rest):
    return from_numpy(storage).as_strided(size, stride, offset)
