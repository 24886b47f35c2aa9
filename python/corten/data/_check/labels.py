"""Labels: how often each class occurs, and which labels their neighbours and a classifier doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .columns import robust_scores

if TYPE_CHECKING:
    import numpy as np

    from .embed import Embedding

# Numbers with more distinct values than this are what a regression learns, unless they are strings.
CLASSES_MAX = 1000
FRACTIONAL_CLASSES_MAX = 20
FEW = 10  # samples of a class
SHRINKAGE = 1e-3
SURE = 0.75


def classes_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The names of the classes and each sample's number ``(N,)``, or None for labels that are quantities."""
    import numpy as np

    distinct, numbers = np.unique(labels, return_inverse=True)
    fractional = labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.rint(labels)).all())
    most = FRACTIONAL_CLASSES_MAX if fractional else CLASSES_MAX
    many = len(distinct) > most or (labels.dtype.kind in "iuf" and len(distinct) > max(len(labels) / 2, 20))
    if many and labels.dtype.kind not in "USO":
        return None
    return distinct, numbers


def balance(names: np.ndarray, numbers: np.ndarray) -> dict[str, Any]:
    """Counts by class, the ratio of the largest to the smallest, and the evenness: entropy over its maximum."""
    import numpy as np

    counts = np.bincount(numbers, minlength=len(names))
    shares = counts / counts.sum()
    entropy = float(-(shares * np.log(shares)).sum())
    evenness = entropy / np.log(len(names)) if len(names) > 1 else 0.0
    return {
        "counts": {str(name): int(count) for name, count in zip(names, counts)},
        "ratio": float(counts.max() / counts.min()),
        "evenness": float(evenness),
        "few": [str(name) for name, count in zip(names, counts) if count < FEW],
    }


def votes(numbers: np.ndarray, classes: int, index: np.ndarray) -> np.ndarray:
    """Class probabilities ``(N, classes)`` by the neighbours ``(N, K)``, with one vote spread as the classes are."""
    import numpy as np

    present = index >= 0
    row = np.repeat(np.arange(len(index)), index.shape[1])[present.ravel()]
    flat = row * classes + numbers[index[present]]
    counts = np.bincount(flat, minlength=len(index) * classes).reshape(len(index), classes)
    prior = np.bincount(numbers, minlength=classes) / len(numbers)
    return (counts + prior) / (present.sum(1, keepdims=True) + 1)


def out_of_fold(vectors: np.ndarray, numbers: np.ndarray, classes: int, folds: int) -> np.ndarray:
    """Class probabilities ``(N, classes)`` of a linear discriminant that was fitted without the sample's fold.

    Classes are taken for normal distributions of one covariance (Fisher 1936). Sums over all samples are made once, and
    each fold's own are taken off them.
    """
    import numpy as np

    vectors = vectors.astype(np.float64)
    vectors = vectors - vectors.mean(0)
    fold = _stratified_folds(numbers, folds)
    one_hot = np.eye(classes)
    squares = [vectors[fold == part].T @ vectors[fold == part] for part in range(folds)]
    sums = [one_hot[numbers[fold == part]].T @ vectors[fold == part] for part in range(folds)]
    counts = [np.bincount(numbers[fold == part], minlength=classes) for part in range(folds)]
    result = np.empty((len(vectors), classes))
    for part in range(folds):
        count = sum(counts) - counts[part]
        means = (sum(sums) - sums[part]) / np.maximum(count, 1)[:, None]
        within = sum(squares) - squares[part] - (means * count[:, None]).T @ means
        covariance = within / max(count.sum() - classes, 1)
        ridge = SHRINKAGE * np.trace(covariance) / len(covariance) + 1e-12
        weights = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), means.T)
        with np.errstate(divide="ignore"):  # a class that this fold has all of cannot be told
            score = vectors[fold == part] @ weights - 0.5 * (means.T * weights).sum(0) + np.log(count / count.sum())
        score = np.exp(score - score.max(1, keepdims=True))
        result[fold == part] = score / score.sum(1, keepdims=True)
    return result


def _stratified_folds(numbers: np.ndarray, folds: int) -> np.ndarray:
    """A fold for each sample; the samples of a class are dealt out in a random order."""
    import numpy as np

    shuffled = np.random.default_rng(0).permutation(len(numbers))
    order = shuffled[np.argsort(numbers[shuffled], kind="stable")]
    fold = np.empty(len(numbers), dtype=np.int64)
    fold[order] = np.arange(len(numbers)) % folds
    return fold


def doubtful(probabilities: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples whose label is probably another one: places, suggested classes, and margins, the worst first.

    Confident learning (Northcutt, Jiang, Chuang 2021): a class is believed of a sample where its probability reaches
    the mean that it has among the samples with that label, or `SURE`. The margin is that of the suggestion over the
    label.
    """
    import numpy as np

    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(numbers)), numbers]
    sums = np.bincount(numbers, own, minlength=classes)
    threshold = np.minimum(sums / np.maximum(np.bincount(numbers, minlength=classes), 1), SURE)
    believed = np.where(probabilities >= threshold, probabilities, -1.0)
    suggestion = believed.argmax(1)
    margin = probabilities[np.arange(len(numbers)), suggestion] - own
    found = np.flatnonzero((believed.max(1) >= 0) & (suggestion != numbers) & (margin > 0))
    found = found[np.argsort(-margin[found], kind="stable")]
    return found, suggestion[found], margin[found]


def noise(embedding: Embedding, numbers: np.ndarray, classes: int, index: np.ndarray, folds: int) -> dict[str, Any]:
    """Candidates for wrong labels, by the mean of what neighbours and an out-of-fold classifier say."""
    import numpy as np

    folds = int(min(folds, np.bincount(numbers).max()))
    probabilities = votes(numbers, classes, index)
    if folds >= 2 and embedding.short.shape[1]:
        probabilities = (probabilities + out_of_fold(embedding.short, numbers, classes, folds)) / 2
    place, suggestion, margin = doubtful(probabilities, numbers)
    return {"indices": place, "suggested": suggestion, "margin": margin, "share": len(place) / len(numbers)}


def far_targets(targets: np.ndarray, index: np.ndarray) -> dict[str, Any]:
    """Quantities that lie far from those of their neighbours: more than six robust standard deviations of the gaps."""
    import numpy as np

    from .columns import FAR

    finite = np.isfinite(targets)
    values = np.where(finite, targets, np.median(targets[finite]) if finite.any() else 0.0)
    seen = np.where(index >= 0, values[index], np.nan)
    gap = np.abs(values - np.nanmedian(seen, axis=1))
    score = robust_scores(gap)
    place = np.flatnonzero((score > FAR) & finite)
    place = place[np.argsort(-score[place], kind="stable")]
    return {"indices": place, "margin": score[place], "share": len(place) / len(targets)}
