"""What a training run told of its epochs, and the warning of a curve that turns."""

import warnings

__all__ = ["History", "warn_if_turned"]


class History:
    """Numbers by epoch. `history["val_loss"]` is the list of a name, in the order of the epochs that have it.

    Attributes:
        rows: a dict for each epoch, with `"epoch"` (from 1), `"step"`, `"lr"`, `"loss"` and whatever else was measured.
        best: the row with the best monitored value, or None.
        stopped: why the training ended before its last epoch, or None.
        averaged: the `optim.swa_utils.AveragedModel`, where `ema` was asked for.
    """

    def __init__(self):
        self.rows = []
        self.best = self.stopped = self.averaged = None

    def __getitem__(self, name):
        found = [row[name] for row in self.rows if name in row]
        if not found:
            raise KeyError(f"no epoch has {name!r}; there are {self.names()}")
        return found

    def __contains__(self, name):
        return any(name in row for row in self.rows)

    def __len__(self):
        """Epochs that ended."""
        return len(self.rows)

    def __repr__(self):
        last = self.rows[-1] if self.rows else {}
        return f"History({len(self)} epochs, {', '.join(f'{name}={value:.4g}' for name, value in last.items())})"

    def names(self):
        """All names, in the order in which they came."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def plot(self, path):
        """Draws a panel for each quantity, training and validation together, and writes it to `path`.

        Raises:
            ImportError: without matplotlib.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install matplotlib") from error
        panels = {}
        for name in self.names():
            if name not in ("epoch", "step"):
                panels.setdefault(name.removeprefix("val_"), []).append(name)
        figure = Figure(figsize=(4.5 * max(len(panels), 1), 3.6), layout="constrained")
        for axes, (quantity, names) in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels.items()):
            for name in names:
                points = [(row["epoch"], row[name]) for row in self.rows if name in row]
                label = "validation" if name.startswith("val_") else "training"
                axes.plot(*zip(*points), marker=".", label=label)
            axes.set(xlabel="epoch", ylabel=quantity)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.legend()
        figure.savefig(path, dpi=120)


def warn_if_turned(history, rises=3):
    """Warns once when `val_loss` has risen for `rises` epochs since its minimum while `loss` went on falling."""
    rows = [row for row in history.rows if "loss" in row and "val_loss" in row]
    if len(rows) <= rises:
        return
    curve = [row["val_loss"] for row in rows]
    lowest = curve.index(min(curve))
    rising = all(before < after for before, after in zip(curve[lowest:], curve[lowest + 1 :]))
    if len(rows) - 1 - lowest == rises and rising and rows[-1]["loss"] < rows[lowest]["loss"]:
        warnings.warn(
            f"val_loss has risen for {rises} epochs since its minimum of {curve[lowest]:.4g} in epoch "
            f"{rows[lowest]['epoch']}, while the training loss still falls: the network learns the training data by "
            "heart. Stop there (patience), regularise, or take more data",
            stacklevel=2,
        )
