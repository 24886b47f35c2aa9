"""Series: electricity demand, temperatures, weather, movements of a hand, speech."""

from __future__ import annotations

import csv
import wave
from typing import NamedTuple

import corten
import numpy as np

from .find import package_file
from .tables import rdataset


class Clip(NamedTuple):
    """A recording.

    Attributes:
        name: of its file.
        samples: `(T,)` of float32, -1 to 1.
        rate: in Hz.
        words: what is said.
    """

    name: str
    samples: corten.Tensor
    rate: int
    words: str


def taylor() -> corten.Tensor:
    """Electricity demand of England and Wales `(4032,)` in MW, by the half-hour from Monday 5 June 2000 on (Taylor
    2003): 12 weeks of 336."""
    return corten.from_numpy(rdataset("forecast/taylor")["x"].to_numpy().astype(np.float32))


def _columns(path: str) -> dict[str, list[str]]:
    with open(package_file("vega-datasets", path), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def temperatures(city: str = "seattle") -> tuple[np.ndarray, corten.Tensor]:
    """Hourly temperatures of 2010: times `(8759,)` of datetime64, and degrees Fahrenheit.

    Args:
        city: "seattle" or "sf".
    """
    columns = _columns(f"_data/{city}-temps.csv")
    times = np.array([time.replace("/", "-").replace(" ", "T") for time in columns["date"]], dtype="datetime64[m]")
    return times, corten.tensor([float(value) for value in columns["temp"]])


def weather() -> dict[str, np.ndarray]:
    """Seattle's weather by day, 2012 to 2015: `date`, `precipitation` in mm, `temp_max` and `temp_min` in °C, `wind` in
    m/s, and `weather` in a word."""
    columns = _columns("_data/seattle-weather.csv")
    kinds = {"date": "datetime64[D]", "weather": str}
    return {
        name: np.array([text.replace("/", "-") for text in column] if name == "date" else column).astype(
            kinds.get(name, np.float32)
        )
        for name, column in columns.items()
    }


def gunpoint(train: bool = True) -> tuple[corten.Tensor, corten.Tensor]:
    """Positions of a hand that draws a gun or points, over time: `(50, 150)` or `(150, 150)`, and classes 0 and 1."""
    path = package_file("aeon", f"datasets/data/GunPoint/GunPoint_{'TRAIN' if train else 'TEST'}.ts")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.rsplit(":", 1) for line in lines if line and line[0] not in "#@"]
    values = np.array([np.array(series.split(","), dtype=np.float32) for series, _ in rows])
    return corten.from_numpy(values), corten.tensor([int(label) - 1 for _, label in rows])


def librivox() -> list[Clip]:
    """Five clips of a reading of Sense and Sensibility, with their words."""
    listing = package_file("pocketsphinx-testdata", "librivox/transcription")
    clips = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        said, _, name = line.rpartition("(")
        name = name.rstrip(") ")
        with wave.open(str(listing.parent / f"{name}.wav")) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise ValueError(f"{name}.wav: one channel of 16 bits is read, this has others")
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) / 32768
            words = said.replace("<s>", "").replace("</s>", "").strip()
            clips.append(Clip(name, corten.from_numpy(samples), file.getframerate(), words))
    return clips
