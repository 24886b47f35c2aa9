"""What the examples share: their arguments, files that appear whole or not at all, pictures, the last line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import corten
import matplotlib

matplotlib.use("Agg")  # a file is drawn, so no screen is needed
from matplotlib import pyplot


def arguments(description: str, epochs: int, out: str) -> argparse.ArgumentParser:
    """A parser with the options that every example has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--device", default="cpu", help="where the network is trained")
    parser.add_argument("--seed", type=int, default=0, help="of weights, shuffling, augmentation and dropout")
    parser.add_argument("--epochs", type=positive, default=epochs, help="passes over the training images")
    parser.add_argument("--out", type=Path, default=Path("out") / out, help="folder of the model and the pictures")
    return parser


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def save(state: object, path: Path) -> None:
    """Saves so that a kill at any moment leaves the old file or the new one."""
    partial = path.with_suffix(".partial")
    corten.save(state, partial)
    os.replace(partial, path)


def draw_curves(path: Path, curves: dict[str, dict[str, list[float]]], x_label: str = "epoch") -> None:
    """Draws one panel per entry of `curves`, which maps the panel's quantity to its named lines."""
    figure, panels = pyplot.subplots(1, len(curves), figsize=(5 * len(curves), 4), squeeze=False)
    for panel, (quantity, lines) in zip(panels[0], curves.items(), strict=True):
        for name, values in lines.items():
            panel.plot(range(1, len(values) + 1), values, marker=".", label=name)
        panel.set(xlabel=x_label, ylabel=quantity)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.legend()
    _write(figure, path)


def draw_samples(path: Path, images: corten.Tensor, predicted: list[str], actual: list[str], columns: int = 8) -> None:
    """Draws images `(N, 1, H, W)` with the class that was predicted, red and with the right one where it was wrong."""
    rows = -(-len(images) // columns)
    figure, panels = pyplot.subplots(rows, columns, figsize=(1.4 * columns, 1.7 * rows), squeeze=False)
    for panel in panels.flat:
        panel.axis("off")
    for panel, image, guess, truth in zip(panels.flat, images.cpu().numpy(), predicted, actual, strict=False):
        panel.imshow(image[0], cmap="gray_r")
        if guess == truth:
            panel.set_title(guess, fontsize=8)
        else:
            panel.set_title(f"{guess}, not {truth}", fontsize=8, color="red")
    _write(figure, path)


def _write(figure: pyplot.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print("wrote", path)


def print_result(name: str, accuracy: float, target: float) -> None:
    print(f"RESULT {name} accuracy={accuracy:.4f} target={target}", flush=True)
