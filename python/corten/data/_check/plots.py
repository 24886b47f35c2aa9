"""Pictures of what `check` found, drawn with matplotlib into files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .embed import Embedding
    from .gather import Samples

PAIRS = 8
IMAGES = 24
BARS = 40
HISTOGRAMS = 6


def draw(
    folder: Path,
    sections: dict[str, dict[str, Any]],
    one: tuple[Samples, Embedding],
    other: tuple[Samples, Embedding] | None,
) -> list[Path]:
    """Draws every section that has something to show, and returns the files' paths."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("Report.plot draws with matplotlib: pip install matplotlib") from None

    written = []
    for name, paint in (
        ("classes", _bars_of_classes),
        ("missing", _bars_of_missing),
        ("duplicates", _pairs),
        ("leakage", _leaks),
        ("outliers", _outliers),
        ("labels", _labels),
    ):
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        if name in sections and paint(figure, sections[name], one[0], other[0] if other else None):
            written.append(folder / f"{name}.png")
            figure.savefig(written[-1], dpi=100)
    if other is not None and "drift" in sections:
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        _drift(figure, sections["drift"], one, other)
        written.append(folder / "drift.png")
        figure.savefig(written[-1], dpi=100)
    return written


def _bars(figure: Any, counts: dict[str, int], title: str) -> None:
    shown = sorted(counts.items(), key=lambda item: -item[1])[:BARS]
    figure.set_size_inches(7, max(0.25 * len(shown) + 1, 2))
    panel = figure.subplots()
    panel.barh([name[:30] for name, _ in shown], [count for _, count in shown])
    panel.invert_yaxis()
    panel.set(title=title, xlabel="samples")
    panel.grid(axis="x", alpha=0.3)


def _bars_of_classes(figure: Any, found: dict[str, Any], samples: Samples, other: Samples | None) -> bool:
    _bars(figure, found["counts"], f"{len(found['counts'])} classes")
    return True


def _bars_of_missing(figure: Any, found: dict[str, Any], samples: Samples, other: Samples | None) -> bool:
    if found.get("by_feature"):
        _bars(figure, found["by_feature"], "missing values")
    return bool(found.get("by_feature"))


def _show(panel: Any, image: Any, title: str) -> None:
    """One image ``(C, H, W)`` with a title."""
    import numpy as np

    image = np.moveaxis(np.asarray(image), 0, -1)[..., :3]
    if image.shape[-1] == 2:
        image = image[..., :1]
    if image.dtype != np.uint8:
        finite = np.nan_to_num(image.astype(np.float64))
        span = np.ptp(finite)
        image = (finite - finite.min()) / (span if span > 0 else 1)
    panel.imshow(image, cmap="gray")
    panel.set_title(title, fontsize=7)


def _grid(figure: Any, rows: int, columns: int, title: str) -> Any:
    figure.set_size_inches(1.3 * columns, 1.5 * rows + 0.4)
    figure.suptitle(title, fontsize=9)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.axis("off")
    return panels


def _image_pairs(figure: Any, pairs: Any, one: Samples, other: Samples, title: str, words: str) -> None:
    panels = _grid(figure, 2, len(pairs), title)
    for column, (first, second) in zip(panels.T, pairs):
        _show(column[0], one.values[first], f"{first}{_label(one, first)}")
        _show(column[1], other.values[second], f"{words}{second}{_label(other, second)}")


def _label(samples: Samples, index: int) -> str:
    return "" if samples.labels is None else f": {samples.labels[index]}"


def _histogram(figure: Any, values: Any, title: str, x_label: str) -> None:
    figure.set_size_inches(6, 3.5)
    panel = figure.subplots()
    panel.hist(values, bins=40)
    panel.set(title=title, xlabel=x_label, ylabel="number")
    panel.grid(alpha=0.3)


def _pairs(figure: Any, found: dict[str, Any], samples: Samples, other: Samples | None) -> bool:
    import numpy as np

    pairs = np.concatenate([found["contradicting"], found["near"], found["exact"]])[:PAIRS]
    if not len(pairs):
        return False
    title = f"{len(found['exact'])} exact and {len(found['near'])} near duplicates"
    if samples.kind == "images":
        _image_pairs(figure, pairs, samples, samples, title, "")
    elif len(found["near"]):
        _histogram(figure, found["near_distance"], title, "distance, 1 is that of two random samples")
    return samples.kind == "images" or bool(len(found["near"]))


def _leaks(figure: Any, found: dict[str, Any], samples: Samples, other: Samples | None) -> bool:
    import numpy as np

    pairs = np.concatenate([found["exact"], found["near"]])[:PAIRS]
    if samples.kind != "images" or not len(pairs) or other is None:
        return False
    title = f"{len(found['exact'])} samples in both sets, {len(found['near'])} nearly"
    _image_pairs(figure, pairs, samples, other, title, "other set: ")
    return True


def _outliers(figure: Any, found: dict[str, Any], samples: Samples, other: Samples | None) -> bool:
    if samples.kind == "images" and len(found["indices"]):
        _image_grid(figure, samples, found["indices"], "furthest from all others", lambda number, index: "")
        return True
    if found["far_by_feature"]:
        _bars(figure, found["far_by_feature"], "values beyond 6 robust standard deviations")
    return bool(found["far_by_feature"])


def _image_grid(figure: Any, samples: Samples, indices: Any, title: str, words: Any) -> None:
    shown = indices[:IMAGES]
    panels = _grid(figure, -(-len(shown) // 8), 8, title)
    for number, (panel, index) in enumerate(zip(panels.flat, shown)):
        _show(panel, samples.values[index], f"{index}{_label(samples, index)}{words(number, index)}")


def _labels(figure: Any, found: dict[str, Any], samples: Samples, other: Samples | None) -> bool:
    if not len(found["indices"]):
        return False
    title = f"{len(found['indices'])} labels in doubt"
    if samples.kind == "images" and "suggested" in found:
        _image_grid(figure, samples, found["indices"], title, lambda number, index: f"\n→ {found['suggested'][number]}")
    else:
        _histogram(figure, found["margin"], title, "margin of the suggestion")
    return True


def _drift(
    figure: Any, found: dict[str, Any], one: tuple[Samples, Embedding], other: tuple[Samples, Embedding]
) -> None:
    """Histograms of the features that differ most."""
    import numpy as np

    from .drift import features

    rows = found["features"][:HISTOGRAMS]
    own, theirs = features(*one), features(*other)
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure.set_size_inches(4 * columns, 3 * lines)
    panels = figure.subplots(lines, columns, squeeze=False)
    for panel, row in zip(panels.flat, rows):
        values = [part[np.isfinite(part)] for part in (own[row["name"]], theirs[row["name"]])]
        both = np.concatenate(values)
        if len(both):
            low, high = np.quantile(both, [0.001, 0.999])
            bins = np.linspace(low, high, 41) if low < high else 10
            panel.hist(values, bins=bins, density=True, histtype="step", label=["this set", "other set"])
        panel.set_title(f"{row['name'][:30]}: KS {row['ks']:.2f}", fontsize=9)
    panels.flat[0].legend(fontsize=7)
