"""`check`: what is wrong with a data set, before a network learns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .report import Report

if TYPE_CHECKING:
    import numpy as np

    from ._check.embed import Embedding
    from ._check.gather import Samples

__all__ = ["check"]

NEAR = {"images": 0.05, "table": 0.01, "text": 0.25}
DRIFT_P = 0.01  # after Bonferroni's correction for the number of features
DRIFT_KS = 0.1
DRIFT_PSI = 0.1
TOLD_APART = 0.6  # area under the curve of the classifier between two sets
IMBALANCED = 10.0
OUTLIER = 5.0  # robust standard deviations of the logarithm of the distance to the neighbours


def check(
    dataset: Any,
    other: Any = None,
    *,
    labels: Any = None,
    other_labels: Any = None,
    kind: str | None = None,
    names: Any = None,
    near: float | None = None,
    neighbours: int = 10,
    folds: int = 5,
) -> Report:
    """Looks for what spoils training and evaluation, in one data set or between two.

    Reported are the balance of classes, exact and near duplicates and contradicting labels among them, missing values,
    constant, repeated and label-telling features, outliers, and labels that are probably wrong; with ``other``, the
    samples that both sets have (leakage) and how far their distributions differ (drift).

    Distances are those of thumbnails without brightness and contrast (images), of standardised columns (tables), or of
    hashed trigrams of characters (texts). Above 4000 samples, neighbours are looked for in nearby clusters and a few
    are missed. Nothing is random: the same data give the same report.

    Args:
        dataset: a tensor or array, ``(N, D)`` for a table, ``(N, H, W)``, ``(N, C, H, W)`` or ``(N, H, W, C)`` for
            images; a list of strings; a table as a dictionary of columns or a data frame; a pair of one of these and
            labels; or a `Dataset` of samples or of ``(sample, label)``. It is read into memory.
        other: a second set of the same kind, such as the test set.
        labels, other_labels: ``(N,)``, where the sets have none of their own: class numbers or names, or quantities.
        kind: ``"images"``, ``"table"`` or ``"text"``, where the form alone does not say.
        names: of a table's features.
        near: near duplicates are at most this far apart, in units of the median distance of two random samples; where
            not given, 0.05 for images, 0.01 for tables and 0.25 for texts.
        neighbours: how many are asked about a label and an outlier.
        folds: of the classifier that doubts labels.

    Returns:
        A :class:`Report`.

    Raises:
        TypeError: a form that is not known.
        ValueError: no samples, parts that do not belong together, or options outside their range.

    Example:
        >>> import corten
        >>> x = corten.arange(40.0).reshape(20, 2)
        >>> x[7] = x[3]
        >>> report = corten.data.check(x)
        >>> report["duplicates"]["exact"]
        [[3, 7]]
    """
    from ._check.embed import embed
    from ._check.gather import gather, same_columns

    if (near is not None and near < 0) or neighbours < 1 or folds < 2:
        raise ValueError(
            f"check: near should not be negative, neighbours at least 1 and folds at least 2, but got {near}, "
            f"{neighbours}, {folds}"
        )
    samples = gather(dataset, labels, kind, names)
    embedding = embed(samples)
    report = Report(samples, embedding)
    near = NEAR[samples.kind] if near is None else near
    _check_one(report, samples, embedding, near, neighbours, folds)
    if other is not None:
        second = same_columns(samples, gather(other, other_labels, samples.kind, names))
        other_embedding = embed(second, like=embedding)
        report.other = (second, other_embedding)
        _check_two(report, samples, second, embedding, other_embedding, near)
    elif other_labels is not None:
        raise TypeError("check: other_labels without the other set")
    return report


def _check_one(
    report: Report, samples: Samples, embedding: Embedding, near: float, neighbours: int, folds: int
) -> None:
    from ._check import columns
    from ._check.labels import balance, classes_of

    report.add("samples", {"kind": samples.kind, "count": len(samples), "shape": _shape(samples)})
    classes = None if samples.labels is None else classes_of(samples.labels)
    if classes is not None:
        _report_balance(report, balance(*classes))
    _report_missing(report, columns.missing(samples), len(samples))
    _report_constant(report, columns.constant(samples))
    if len(samples) < 2:
        return
    index, squared = embedding.neighbours.nearest(None, neighbours)
    _report_duplicates(report, samples, embedding, index, squared, near, classes is not None)
    _report_outliers(report, samples, squared)
    if samples.labels is not None:
        _report_labels(report, samples, embedding, classes, index, folds)


def _shape(samples: Samples) -> list[int] | None:
    if samples.kind == "text" or isinstance(samples.values, list):
        return None
    return list(samples.values.shape[1:])


def _report_balance(report: Report, found: dict[str, Any]) -> None:
    report.add("classes", found)
    if len(found["counts"]) == 1:
        report.problem("classes", "there is one class only")
    elif found["ratio"] >= IMBALANCED:
        report.problem(
            "classes",
            f"the largest class has {found['ratio']:.0f} times the samples of the smallest: weigh the loss, or draw "
            "with corten.data.BalancedBatchSampler",
        )
    if found["few"]:
        report.problem("classes", f"{len(found['few'])} classes have fewer than 10 samples: {_few(found['few'])}")


def _report_missing(report: Report, found: dict[str, Any], count: int) -> None:
    report.add("missing", found)
    if found.get("by_feature"):
        worst = max(found["by_feature"], key=found["by_feature"].get)
        report.problem(
            "missing",
            f"{len(found['by_feature'])} features miss values, in {found['rows']} of {count} rows; most of all "
            f"{worst!r}, in {found['by_feature'][worst] / count:.1%}",
        )
    if found.get("infinite_by_feature"):
        report.problem("missing", f"infinite values in {_few(list(found['infinite_by_feature']))}")
    for key, words in (("empty", "texts are empty"), ("blank", "images are of one colour"),
                       ("not_finite", "images have NaN or infinite pixels")):  # fmt: skip
        if len(found.get(key, ())):
            report.problem("missing", f"{len(found[key])} {words}: {_few(found[key].tolist())}")


def _report_constant(report: Report, found: dict[str, Any]) -> None:
    report.add("constant", found)
    if found.get("features"):
        report.problem("constant", f"{len(found['features'])} features are constant: {_few(found['features'])}")
    if found.get("almost"):
        report.note("constant", f"{len(found['almost'])} features are almost constant: {_few(found['almost'])}")
    if found.get("equal"):
        pairs = [" = ".join(pair) for pair in found["equal"]]
        report.problem("constant", f"{len(pairs)} features repeat another one: {_few(pairs)}")
    if found.get("pixels"):
        report.note("constant", f"{found['pixels']} of {found['of_pixels']} pixels are the same in all images")
    if found.get("sizes", 1) > 1:
        report.note("constant", f"images come in {found['sizes']} sizes")


def _report_duplicates(
    report: Report,
    samples: Samples,
    embedding: Embedding,
    index: np.ndarray,
    squared: np.ndarray,
    near: float,
    labelled: bool,
) -> None:
    import numpy as np

    from ._check import duplicates

    twin = duplicates.exact(samples)
    later = np.flatnonzero(twin != np.arange(len(twin)))
    pairs, distances = duplicates.near(embedding, index, squared, twin, near)
    found: dict[str, Any] = {
        "exact": np.stack([twin[later], later], 1),
        "near": pairs,
        "near_distance": distances,
        "contradicting": np.zeros((0, 2), np.int64),
    }
    if len(later):
        copies, firsts = len(later), len(np.unique(twin[later]))
        report.problem("duplicates", f"{copies} samples repeat one of {firsts} others exactly")
    if len(pairs):
        # Rows of few features lie close without being copies.
        tell = report.note if samples.kind == "table" else report.problem
        tell("duplicates", f"{len(pairs)} pairs of samples are near duplicates, as {_pair(pairs[0])}")
    if labelled and samples.labels is not None and len(later):
        found["contradicting"] = found["exact"][samples.labels[later] != samples.labels[twin[later]]]
        if len(found["contradicting"]):
            first = found["contradicting"][0]
            report.problem(
                "duplicates",
                f"{len(found['contradicting'])} samples equal one with another label, as {_pair(first)}: "
                f"{samples.labels[first[0]]} and {samples.labels[first[1]]}",
            )
    report.add("duplicates", found)


def _report_outliers(report: Report, samples: Samples, squared: np.ndarray) -> None:
    import numpy as np

    from ._check.columns import far_values, robust_scores

    reach = np.sqrt(np.where(np.isfinite(squared), squared, 0).mean(1))
    positive = reach > 0
    found: dict[str, Any] = {"indices": np.zeros(0, np.int64), "score": np.zeros(0)}
    if positive.sum() > 10:
        score = np.full(len(reach), -np.inf)
        score[positive] = robust_scores(np.log(reach[positive]))
        place = np.flatnonzero(score > OUTLIER)
        place = place[np.argsort(-score[place], kind="stable")]
        found = {"indices": place, "score": score[place]}
    found["far_by_feature"] = far_values(samples)
    report.add("outliers", found)
    if len(found["indices"]):
        report.problem(
            "outliers", f"{len(found['indices'])} samples lie far from all others: {_few(found['indices'].tolist())}"
        )
    if found["far_by_feature"]:
        far = found["far_by_feature"]
        worst = max(far, key=far.__getitem__)
        report.note(
            "outliers",
            f"{len(far)} features have values more than 6 robust standard deviations from the median, most of all "
            f"{worst!r}: {far[worst]}",
        )


def _report_labels(
    report: Report, samples: Samples, embedding: Embedding, classes: Any, index: np.ndarray, folds: int
) -> None:
    import numpy as np

    from ._check import columns
    from ._check.labels import far_targets, noise

    assert samples.labels is not None
    if classes is None:
        targets = samples.labels.astype(np.float64)
        found = far_targets(targets, index)
        told = columns.telling(samples, np.nan_to_num(targets), None)
        words = f"{len(found['indices'])} targets lie far from those of like samples"
    elif len(classes[0]) > 1:
        label_names, numbers = classes
        found = noise(embedding, numbers, len(label_names), index, folds)
        found["suggested"] = label_names[found["suggested"]]
        told = columns.telling(samples, numbers, len(label_names))
        words = f"{len(found['indices'])} labels ({found['share']:.1%}) look wrong to like samples and a classifier"
    else:
        return
    found["telling_features"] = told
    report.add("labels", found)
    if len(found["indices"]):
        report.note("labels", f"{words}: {_few(found['indices'].tolist())}")
    if told:
        report.problem("labels", f"the label can be told from one feature alone: {_few(told)}")


def _check_two(
    report: Report, samples: Samples, other: Samples, embedding: Embedding, other_embedding: Embedding, near: float
) -> None:
    from ._check.drift import compare
    from ._check.duplicates import leaks

    report["samples"]["other_count"] = len(other)
    found = leaks(samples, other, embedding, other_embedding, near)
    report.add("leakage", found)
    for key, words in (("exact", "are"), ("near", "are nearly")):
        if len(found[key]):
            report.problem(
                "leakage",
                f"{len(found[key])} samples of the other set ({len(found[key]) / len(other):.2%}) {words} in this one "
                f"as well, as {found[key][0][1]} there and {found[key][0][0]} here",
            )
    if min(len(samples), len(other)) < 2:
        return
    drift = compare(samples, other, embedding, other_embedding)
    drift["labels"] = _label_drift(samples, other)
    report.add("drift", drift)
    _report_drift(report, drift)


def _label_drift(samples: Samples, other: Samples) -> dict[str, Any] | None:
    import numpy as np

    from ._check.drift import chi_squared, kolmogorov_smirnov
    from ._check.labels import classes_of

    if samples.labels is None or other.labels is None:
        return None
    if classes_of(samples.labels) is None:
        statistic, p = kolmogorov_smirnov(samples.labels.astype(np.float64), other.labels.astype(np.float64))
        return {"ks": statistic, "p": p}
    own, theirs = np.unique(samples.labels), np.unique(other.labels)
    every = np.unique(np.concatenate([own, theirs]))
    counts = [
        np.bincount(np.searchsorted(every, labels), minlength=len(every)) for labels in (samples.labels, other.labels)
    ]
    return {
        "p": chi_squared(*counts),
        "distance": float(np.abs(counts[0] / counts[0].sum() - counts[1] / counts[1].sum()).sum() / 2),
        "only_here": [str(name) for name in np.setdiff1d(own, theirs)],
        "only_there": [str(name) for name in np.setdiff1d(theirs, own)],
    }


def _report_drift(report: Report, drift: dict[str, Any]) -> None:
    rows = drift["features"]
    drifted = [
        row
        for row in rows
        if (row["p"] * len(rows) < DRIFT_P and row["ks"] >= DRIFT_KS) or row["psi"] >= 2.5 * DRIFT_PSI
    ]
    drift["drifted"] = [row["name"] for row in drifted]
    if drifted:
        worst = drifted[0]
        report.problem(
            "drift",
            f"{len(drifted)} of {len(rows)} features are distributed otherwise in the other set, most of all "
            f"{worst['name']!r} (KS {worst['ks']:.2f}, PSI {worst['psi']:.2f})",
        )
    classifier = drift["classifier"]
    if classifier["p"] < DRIFT_P and classifier["auc"] >= TOLD_APART:
        report.problem("drift", f"a classifier tells the two sets apart with an area of {classifier['auc']:.3f}")
    labels = drift["labels"]
    if not labels:
        return
    if labels.get("only_there"):
        report.problem("drift", f"classes of the other set are not in this one: {_few(labels['only_there'])}")
    if labels.get("only_here"):
        report.note("drift", f"classes of this set are not in the other one: {_few(labels['only_here'])}")
    if labels["p"] < DRIFT_P and labels.get("distance", labels.get("ks", 0)) >= 0.05:
        report.problem("drift", "labels are distributed otherwise in the other set")


def _few(names: Any, shown: int = 5) -> str:
    return ", ".join(str(name) for name in names[:shown]) + (", …" if len(names) > shown else "")


def _pair(pair: Any) -> str:
    return f"{pair[0]} and {pair[1]}"
