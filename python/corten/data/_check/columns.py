"""Features one by one: missing, constant and repeated ones, far-off values, and those that tell the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .embed import in_chunks

if TYPE_CHECKING:
    import numpy as np

    from .gather import Samples

ROWS = 8192
# 1.4826 median absolute deviations are a standard deviation of normally distributed values.
MAD = 1.4826
FAR = 6.0  # standard deviations
FAR_SHARE = 0.05
TELLING = 0.98  # share of a label's variance that one feature may explain before it looks like the label itself


def missing(samples: Samples) -> dict[str, Any]:
    """How many values are NaN or infinite, texts empty, images of one colour."""
    import numpy as np

    if samples.kind == "text":
        empty = np.fromiter((not text.strip() for text in samples.values), bool, len(samples))
        return {"empty": np.flatnonzero(empty)}
    if samples.kind == "images":
        return _missing_in_images(samples)
    absent, infinite = _counts(samples.values, np.isnan), _counts(samples.values, np.isinf)
    rows = in_chunks(samples.values, lambda part: (~np.isfinite(part)).any(1), ROWS)
    named = {name: int(count) for name, count in zip(samples.names, absent) if count}
    named_infinite = {name: int(count) for name, count in zip(samples.names, infinite) if count}
    return {"by_feature": named, "infinite_by_feature": named_infinite, "rows": int(rows.sum())}


def _counts(table: np.ndarray, test: Any) -> np.ndarray:
    return sum(test(table[start : start + ROWS]).sum(0) for start in range(0, len(table), ROWS))


def _missing_in_images(samples: Samples) -> dict[str, Any]:
    import numpy as np

    def blank(part: np.ndarray) -> np.ndarray:
        flat = part.reshape(len(part), -1)
        return flat.min(1) == flat.max(1)

    def damaged(part: np.ndarray) -> np.ndarray:
        return ~np.isfinite(part.reshape(len(part), -1)).all(1)

    if isinstance(samples.values, list):
        blanks = np.array([blank(image[None])[0] for image in samples.values])
        bad = np.array([damaged(image[None])[0] for image in samples.values])
    else:
        blanks = in_chunks(samples.values, blank, 1024)
        whole = samples.values.dtype.kind != "f"
        bad = np.zeros(len(blanks), bool) if whole else in_chunks(samples.values, damaged, 1024)
    return {"blank": np.flatnonzero(blanks), "not_finite": np.flatnonzero(bad)}


def constant(samples: Samples) -> dict[str, Any]:
    """Features with one value only, with one value almost everywhere, and pairs of features that are equal."""
    import numpy as np

    if samples.kind == "text":
        return {}
    if isinstance(samples.values, list):
        return {"sizes": len({image.shape for image in samples.values})}
    flat = samples.values.reshape(len(samples), -1)
    reference = flat[len(flat) // 2]
    equal = _counts(flat, lambda part: (part == reference) | ((part != part) & (reference != reference)))
    if samples.kind == "images":
        return {"pixels": int((equal == len(flat)).sum()), "of_pixels": flat.shape[1]}
    names = np.array(samples.names)
    dull = (equal >= 0.999 * len(flat)) & (equal < len(flat))
    return {
        "features": names[equal == len(flat)].tolist(),
        "almost": names[dull].tolist(),
        "equal": _equal_columns(samples, equal == len(flat)),
    }


def _equal_columns(samples: Samples, is_constant: np.ndarray) -> list[list[str]]:
    """Pairs of names of columns that hold the same values."""
    import numpy as np

    from .duplicates import exact
    from .gather import Samples as Columns

    usable = np.flatnonzero(~is_constant)
    if len(usable) < 2:
        return []
    twin = exact(Columns("table", np.ascontiguousarray(samples.values[:, usable].T), None))
    return [
        [samples.names[usable[first]], samples.names[usable[place]]]
        for place, first in enumerate(twin.tolist())
        if first != place
    ]


def far_values(samples: Samples) -> dict[str, int]:
    """By numeric feature, how many values lie more than six robust standard deviations from the median.

    The standard deviation is that of the median absolute deviation, or of the values where more than half are equal.
    Features of which more than one value in twenty lies so far are of another shape, and left out.
    """
    import numpy as np

    found: dict[str, int] = {}
    if samples.kind != "table":
        return found
    for start in range(0, samples.values.shape[1], 64):
        block = samples.values[:, start : start + 64].astype(np.float64)
        chosen = block[:: -(-len(block) // 20_000)]
        chosen = np.where(np.isfinite(chosen), chosen, np.nan)
        with np.errstate(all="ignore"):
            middle, unit = _middle_and_unit(chosen)
            far = (np.abs(block - middle) > FAR * unit).sum(0)
        for name, count in zip(samples.names[start : start + 64], far):
            if 0 < count <= FAR_SHARE * len(block) and not samples.categories.get(name):
                found[name] = int(count)
    return found


def _middle_and_unit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians and robust standard deviations of columns, infinite where a column has no spread."""
    import warnings

    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a value has no median
        middle = np.nanmedian(values, axis=0)
        unit = MAD * np.nanmedian(np.abs(values - middle), axis=0)
        unit = np.where(unit > 0, unit, np.nanstd(values, axis=0))
    return middle, np.where(unit > 0, unit, np.inf)


def robust_scores(values: np.ndarray) -> np.ndarray:
    """How many robust standard deviations each value ``(N,)`` lies above the median."""
    middle, unit = _middle_and_unit(values[:, None])
    return (values - middle) / unit


def telling(samples: Samples, labels: np.ndarray, classes: int | None) -> list[str]:
    """Numeric features that alone explain almost all of the labels' variance.

    For classes that is the ratio of the variance between classes to all (the correlation ratio), for numbers the
    squared correlation.

    Args:
        labels: class numbers where there are ``classes``, otherwise numbers.
    """
    import numpy as np

    if samples.kind != "table" or len(samples) < 20:
        return []
    step = -(-len(samples) // 20_000)
    labels = labels[::step]
    values = np.nan_to_num(samples.values[::step].astype(np.float64), posinf=0.0, neginf=0.0)
    values -= values.mean(0)
    total = (values * values).sum(0)
    if classes is None:
        target = labels - labels.mean()
        explained = (target @ values) ** 2 / max(float(target @ target), 1e-30)
    else:
        order = np.argsort(labels, kind="stable")
        counts = np.bincount(labels, minlength=classes)
        starts = (np.cumsum(counts) - counts)[counts > 0]
        sums = np.add.reduceat(values[order], starts, axis=0)
        explained = (sums**2 / counts[counts > 0, None]).sum(0)
    share = np.where(total > 1e-12 * len(values), explained / np.where(total > 0, total, 1), 0)
    return [name for name, value in zip(samples.names, share) if value >= TELLING]
