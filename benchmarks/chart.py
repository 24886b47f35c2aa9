"""The chart of `compare.py`: a bar for each case from 1 to its ratio of times, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from comparison import Comparison, ratios_of
from cpu_cases import Case
from sides import title

try:
    import matplotlib
except ModuleNotFoundError:
    raise SystemExit("the chart needs matplotlib: `pip install matplotlib`, or the extra `examples`") from None

from matplotlib.figure import Figure

HEIGHT = 0.17  # inches of a bar


def draw(found: Comparison, listed: Sequence[Case], path: Path) -> None:
    """Beside each other the bars of every side that ours is compared with."""
    # The same numbers make the same file, in which text is text.
    with matplotlib.rc_context({"svg.hashsalt": "corten", "svg.fonttype": "none", "font.size": 7}):
        figure_of(found, listed).savefig(path, format="svg", metadata={"Date": None})


def figure_of(found: Comparison, listed: Sequence[Case]) -> Figure:
    *others, ours = found.sides
    bars = {side: ratios_of(found, listed, side) for side in others}
    bars = {side: ratios for side, ratios in bars.items() if ratios}
    if not bars:
        raise SystemExit("there is nothing to draw")
    most = max(map(len, bars.values()))
    figure = Figure(figsize=(4 * (1 + len(bars)), 1 + HEIGHT * most), layout="constrained")
    axes = figure.subplots(1, len(bars), squeeze=False)[0]
    groups = list(dict.fromkeys(case.group for case in listed))
    for ax, (side, ratios) in zip(axes, bars.items()):
        colors = [f"C{groups.index(case.group) % 10}" for case in ratios]
        ax.barh(range(len(ratios)), [ratio - 1 for ratio in ratios.values()], left=1, color=colors, height=0.8)
        ax.set_yticks(range(len(ratios)), [f"{case.group}: {case.name}" for case in ratios])
        ax.set_ylim(len(ratios) - 0.4, -0.6)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.axvline(1, color="black", linewidth=0.8)
        ax.grid(axis="x", which="both", linewidth=0.3)
        ax.set_axisbelow(True)
        ax.set_xlabel(f"{title(side)}'s time / {title(ours)}'s")
    return figure
