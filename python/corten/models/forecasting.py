"""Forecasts of series: LSTM, TCN, N-BEATS (arXiv:1905.10437) and PatchTST (arXiv:2211.14730), with quantiles.

Every network takes the past ``(N, length)`` and gives the ``horizon`` values that follow, ``(N, horizon)``; with
``quantiles`` it gives one for each, ``(N, horizon, Q)``, learned by `pinball_loss`.
"""

import math

import corten

from .. import nn
from ..nn import functional as F
from ._mlp import mlp
from .tcn import TCN

__all__ = ["LSTMForecaster", "NBeats", "PatchTST", "RevIN", "TCNForecaster", "pinball_loss"]


def pinball_loss(forecast, actual, quantiles):
    """The mean of ``max(q e, (q - 1) e)`` for errors ``e = actual - forecast`` (Koenker and Bassett 1978).

    Its minimum for the level q is the q-quantile of what follows.

    Args:
        forecast: ``(…, Q)``.
        actual: ``(…)``.
        quantiles: Q levels between 0 and 1.

    Raises:
        ValueError: the last dim of ``forecast`` is not Q.
    """
    if forecast.shape[-1] != len(quantiles):
        raise ValueError(f"pinball_loss: {len(quantiles)} quantiles, but forecasts {tuple(forecast.shape)}")
    level = corten.tensor(quantiles, dtype=forecast.dtype, device=forecast.device)
    error = actual.unsqueeze(-1) - forecast
    return corten.maximum(level * error, (level - 1) * error).mean()


class Head(nn.Module):
    """Features ``(…, features)`` to forecasts ``(…, horizon)``, or ``(…, horizon, Q)`` with quantiles."""

    def __init__(self, features, horizon, quantiles):
        super().__init__()
        self.shape = (horizon,) if quantiles is None else (horizon, len(quantiles))
        self.linear = nn.Linear(features, math.prod(self.shape))

    def forward(self, x):
        return self.linear(x).unflatten(-1, self.shape)


def _with_channels(series, channels, name):
    """``(N, L)`` as ``(N, L, 1)``; other series must be ``(N, L, channels)``."""
    series = series[..., None] if series.ndim == 2 else series
    if series.ndim != 3 or series.shape[2] != channels:
        raise ValueError(f"{name}: the past must be (N, length, {channels}), got {tuple(series.shape)}")
    return series


class LSTMForecaster(nn.Module):
    """An LSTM reads the past ``(N, L)`` or ``(N, L, channels)``; its last state is the forecast's source.

    Args:
        horizon: how many values follow.
        channels: of the past: the series itself and, if there are any, what is known beside it.
        hidden, layers, dropout: of the LSTM.
        quantiles: levels between 0 and 1.
    """

    def __init__(self, horizon, channels=1, hidden=128, layers=1, dropout=0.0, quantiles=None):
        super().__init__()
        self.channels = channels
        self.lstm = nn.LSTM(channels, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.head = Head(hidden, horizon, quantiles)

    def forward(self, past):
        x, _ = self.lstm(_with_channels(past, self.channels, "LSTMForecaster"))
        return self.head(x[:, -1])


class TCNForecaster(nn.Module):
    """A `TCN` reads the past ``(N, L)`` or ``(N, L, channels)``; what it says of the last time is the source.

    Args:
        horizon, channels, quantiles: as of `LSTMForecaster`.
        num_channels, kernel_size, dropout: of the `TCN`.
    """

    def __init__(self, horizon, channels=1, num_channels=(64,) * 6, kernel_size=3, dropout=0.1, quantiles=None):
        super().__init__()
        self.channels = channels
        self.tcn = TCN(channels, num_channels, kernel_size, dropout)
        self.head = Head(num_channels[-1], horizon, quantiles)

    def forward(self, past):
        x = _with_channels(past, self.channels, "TCNForecaster").transpose(1, 2)
        return self.head(self.tcn(x)[:, :, -1])


# -- N-BEATS ---------------------------------------------------------------------------------------------------------


def _trend_basis(degree, length, horizon):
    """Powers of time, which grows from 0 to 1 over the past and on: ``(degree + 1, length + horizon)``."""
    time = corten.arange(length + horizon) / length
    return time ** corten.arange(degree + 1)[:, None]


def _seasonal_basis(harmonics, length, horizon):
    """A one, cosines and sines, the horizon being a period: ``(1 + 2 harmonics, length + horizon)``."""
    time = (corten.arange(length + horizon) - length) / horizon
    angles = 2 * math.pi * corten.arange(1, harmonics + 1)[:, None] * time
    return corten.cat([corten.ones(1, length + horizon), angles.cos(), angles.sin()])


class NBeatsBlock(nn.Module):
    """Four layers, then coefficients of what the past contains and of what follows: ``(N, length)`` to both.

    Args:
        length, horizon, width: sizes.
        basis: what coefficients multiply, ``(K, length + horizon)``; None learns it (the generic block).
        outputs: forecasts for each time, one for a quantile.
        theta: coefficients of the generic block.
    """

    def __init__(self, length, horizon, width, basis=None, outputs=1, theta=32):
        super().__init__()
        self.length, self.outputs = length, outputs
        self.layers = mlp([length] + [width] * 4, last_activation=True)
        if basis is None:
            self.backcast_basis, self.forecast_basis = nn.Linear(theta, length), nn.Linear(theta, horizon)
        else:
            theta = len(basis)
            self.register_buffer("basis", basis, persistent=False)
        self.generic = basis is None
        self.backcast = nn.Linear(width, theta, bias=False)
        self.forecast = nn.Linear(width, theta * outputs, bias=False)

    def forward(self, past):
        x = self.layers(past)
        inner, outer = self.backcast(x), self.forecast(x).unflatten(1, (self.outputs, -1))
        if self.generic:
            return self.backcast_basis(inner), self.forecast_basis(outer)
        return inner @ self.basis[:, : self.length], outer @ self.basis[:, self.length :]


class NBeats(nn.Module):
    """The past ``(N, length)`` to forecasts: blocks that each explain a part and pass on the rest.

    Args:
        horizon, length: how many values follow, and how many are seen.
        interpretable: a stack of a trend (polynomial) and a stack of seasons (harmonics), whose parts `parts` shows;
            otherwise ``stacks`` generic ones.
        stacks, blocks: how many generic stacks, and how many blocks in each stack.
        width: of the layers; in the paper 512, and for interpretable ones 256 (trend) and 2048 (seasons).
        degree, harmonics: of the bases; by default 2 and half the horizon.
        share: whether the blocks of a stack share their weights, as the paper's interpretable ones do.
        quantiles: levels between 0 and 1.

    Raises:
        ValueError: at a call, another length.
    """

    def __init__(
        self,
        horizon,
        length,
        interpretable=False,
        stacks=2,
        blocks=3,
        width=256,
        degree=2,
        harmonics=None,
        share=False,
        quantiles=None,
    ):
        super().__init__()
        self.length, self.quantiles = length, quantiles
        bases = [None] * stacks
        if interpretable:
            harmonics = max(1, horizon // 2) if harmonics is None else harmonics
            bases = [_trend_basis(degree, length, horizon), _seasonal_basis(harmonics, length, horizon)]
        outputs = 1 if quantiles is None else len(quantiles)

        def stack(basis):
            made = [NBeatsBlock(length, horizon, width, basis, outputs) for _ in range(1 if share else blocks)]
            return nn.ModuleList(made * (blocks if share else 1))

        self.stacks = nn.ModuleList([stack(basis) for basis in bases])

    def parts(self, past):
        """What each stack adds to the forecast: a list of ``(N, horizon)``, with quantiles ``(N, horizon, Q)``."""
        if past.ndim != 2 or past.shape[1] != self.length:
            raise ValueError(f"NBeats: the past must be (N, {self.length}), got {tuple(past.shape)}")
        parts = []
        for stack in self.stacks:
            part = 0
            for block in stack:
                backcast, forecast = block(past)
                past, part = past - backcast, part + forecast
            parts.append(part.squeeze(1) if self.quantiles is None else part.transpose(1, 2))
        return parts

    def forward(self, past):
        return sum(self.parts(past))


# -- PatchTST --------------------------------------------------------------------------------------------------------


class RevIN(nn.Module):
    """Takes mean and deviation out of each series ``(N, L)`` and puts them into the forecast (Kim et al. 2022)."""

    def __init__(self, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(corten.ones(1))
        self.shift = nn.Parameter(corten.zeros(1))

    def forward(self, past):
        """Returns the normalised past, and the mean and deviation ``(N, 1)`` for `back`."""
        mean = past.mean(1, keepdim=True).detach()
        deviation = (past.var(1, keepdim=True, correction=0) + self.eps).sqrt().detach()
        return (past - mean) / deviation * self.scale + self.shift, (mean, deviation)

    def back(self, forecast, moments):
        """Forecasts ``(N, …)`` in the series' own units."""
        mean, deviation = (part.reshape(-1, *[1] * (forecast.ndim - 1)) for part in moments)
        return (forecast - self.shift) / (self.scale + self.eps**2) * deviation + mean


class PatchTST(nn.Module):
    """Stretches of the past as the tokens of a Transformer: ``(N, length)``, or ``(N, length, C)`` channel by channel.

    Args:
        horizon, length: how many values follow, and how many are seen.
        patch, stride: values in a patch, and between the beginnings of two; the end is filled with the last value.
        d_model, heads, layers, d_ff, dropout: of the encoder.
        quantiles: levels between 0 and 1.

    Returns:
        ``(N, horizon)``, or ``(N, horizon, C)`` of series with channels; with quantiles one more dim, the last.

    Raises:
        ValueError: ``length`` is shorter than ``patch``; at a call, another length.
    """

    def __init__(
        self,
        horizon,
        length,
        patch=16,
        stride=8,
        d_model=128,
        heads=8,
        layers=3,
        d_ff=256,
        dropout=0.2,
        quantiles=None,
    ):
        super().__init__()
        if length < patch:
            raise ValueError(f"PatchTST: length must be at least patch, got {length} and {patch}")
        self.length, self.patch, self.stride = length, patch, stride
        patches = (length - patch) // stride + 2
        self.norm = RevIN()
        self.embed = nn.Linear(patch, d_model)
        self.position = nn.Parameter(0.02 * corten.randn(patches, d_model))
        layer = nn.TransformerEncoderLayer(
            d_model, heads, d_ff, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(d_model), enable_nested_tensor=False)
        self.drop = nn.Dropout(dropout)
        self.head = Head(patches * d_model, horizon, quantiles)

    def forward(self, past):
        if past.ndim not in (2, 3) or past.shape[1] != self.length:
            raise ValueError(
                f"PatchTST: the past must be (N, {self.length}) or (N, {self.length}, C), got {tuple(past.shape)}"
            )
        series = past if past.ndim == 2 else past.transpose(1, 2).flatten(0, 1)
        series, moments = self.norm(series)
        patches = F.pad(series[:, None], (0, self.stride), mode="replicate")[:, 0].unfold(1, self.patch, self.stride)
        x = self.encoder(self.drop(self.embed(patches) + self.position))
        forecast = self.norm.back(self.head(self.drop(x.flatten(1))), moments)
        if past.ndim == 2:
            return forecast
        return forecast.unflatten(0, (len(past), -1)).transpose(1, 2)
