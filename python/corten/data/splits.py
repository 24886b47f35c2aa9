"""Splits that keep what random ones lose: the shares of classes, groups that belong together, the order of time.

Every function gives int64 tensors of indices, which index tensors as they are and make a
:class:`corten.utils.data.Subset` of a dataset by ``Subset(dataset, part.tolist())``.
"""

import corten

__all__ = ["group_kfold", "group_split", "stratified_kfold", "stratified_order", "stratified_split", "time_split"]

# Multiples of the golden ratio's inverse lie evenly in [0, 1): any run of them leaves no gap (Weyl's sequence).
_GOLDEN = 0.6180339887498949


def codes(values, name):
    """Numbers ``0 … k - 1`` for the distinct values of a vector, as an array, and how many there are.

    Raises:
        TypeError: not a sequence.
        ValueError: not one-dimensional, or empty.
    """
    import numpy as np

    if isinstance(values, corten.Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(f"{name} should be a tensor, an array or a list, but got {type(values).__name__}")
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} should be a vector with an element for each sample, but got shape {array.shape}")
    distinct, numbers = np.unique(array, return_inverse=True)
    return numbers.astype(np.int64), len(distinct)


def _permutation(count, generator):
    return corten.randperm(count, generator=generator, device="cpu").numpy()


def _check_fractions(fractions):
    fractions = [float(fraction) for fraction in fractions]
    if not fractions or any(fraction <= 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions should be positive and sum to 1, but got {fractions}")
    return fractions


def _check_folds(folds, count, what):
    if not isinstance(folds, int) or isinstance(folds, bool) or folds < 2:
        raise ValueError(f"folds should be an integer of at least 2, but got folds={folds}")
    if count < folds:
        raise ValueError(f"{folds} folds need at least as many {what}, but there are {count}")


def _cuts(count, fractions):
    """Where parts end in a row of ``count`` things; each part has at least one."""
    import numpy as np

    if count < len(fractions):
        raise ValueError(f"{count} cannot be split into {len(fractions)} parts that are not empty")
    number = np.arange(1, len(fractions) + 1)
    ends = np.rint(np.cumsum(fractions) * count).astype(np.int64)
    ends = np.maximum.accumulate(np.maximum(ends - number, 0)) + number
    return np.minimum(ends, count - number[::-1] + 1)


def _tensors(parts):
    import numpy as np

    return tuple(corten.from_numpy(np.ascontiguousarray(part, dtype=np.int64)) for part in parts)


def _each_held_out(parts):
    import numpy as np

    return [
        _tensors((np.sort(np.concatenate(parts[:number] + parts[number + 1 :])), np.sort(part)))
        for number, part in enumerate(parts)
    ]


def _stratified(labels, generator):
    """Indices in a random order of which every stretch has the classes in the shares of the whole, as an array."""
    import numpy as np

    numbers, count = codes(labels, "labels")
    shuffled = _permutation(len(numbers), generator)
    by_class = shuffled[np.argsort(numbers[shuffled], kind="stable")]
    sizes = np.bincount(numbers, minlength=count)
    rank = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Each class is spread evenly over [0, 1); classes of one size begin at different places, so that small ones do not
    # all fall into the same part.
    start = float(corten.rand((), dtype=corten.float64, generator=generator, device="cpu"))
    offset = np.empty(count)
    offset[np.argsort(sizes, kind="stable")] = (start + _GOLDEN * np.arange(count)) % 1.0
    place = (rank + np.repeat(offset, sizes)) / np.repeat(sizes, sizes)
    return by_class[np.argsort(place, kind="stable")]


def stratified_order(labels, generator=None):
    """Indices ``(N,)`` in a random order of which every stretch has the classes in the shares of the whole.

    Args:
        labels: ``(N,)``, numbers or strings.
        generator: source of randomness; the global one where not given.
    """
    return _tensors([_stratified(labels, generator)])[0]


def stratified_split(labels, fractions, generator=None):
    """Parts in each of which the classes have their shares of the whole, to within about two samples a class.

    Args:
        labels: ``(N,)``, numbers or strings.
        fractions: positive shares of the parts, which sum to one.
        generator: source of randomness; the global one where not given.

    Returns:
        A tuple of index tensors in random order, without overlap, together everything.

    Raises:
        ValueError: fractions of another kind, or fewer samples than parts.
    """
    import numpy as np

    fractions = _check_fractions(fractions)
    order = _stratified(labels, generator)
    parts = np.split(order, _cuts(len(order), fractions)[:-1])
    return _tensors(part[_permutation(len(part), generator)] for part in parts)


def stratified_kfold(labels, folds=5, generator=None):
    """Folds in which the classes have their shares of the whole.

    Args:
        labels: ``(N,)``, numbers or strings.
        folds: how many.
        generator: source of randomness; the global one where not given.

    Returns:
        A list of ``(training indices, test indices)``; the test indices of all folds are everything, once each.

    Raises:
        ValueError: fewer than two folds, or more of them than samples.
    """
    import numpy as np

    order = _stratified(labels, generator)
    _check_folds(folds, len(order), "samples")
    return _each_held_out(np.array_split(order, folds))


def group_split(groups, fractions, generator=None):
    """Parts that share no group: all samples of a patient, a speaker or a document stay together.

    Groups are put into a random order and dealt out in turn, so a part misses its share by at most about the size of
    the group at its end.

    Args:
        groups: ``(N,)``, a number or string for each sample.
        fractions: positive shares of the parts, which sum to one.
        generator: source of randomness; the global one where not given.

    Returns:
        A tuple of index tensors in ascending order.

    Raises:
        ValueError: fractions of another kind, or fewer groups than parts.
    """
    import numpy as np

    fractions = _check_fractions(fractions)
    numbers, count = codes(groups, "groups")
    if count < len(fractions):
        raise ValueError(f"{count} groups cannot be split into {len(fractions)} parts that are not empty")
    order = _permutation(count, generator)
    middle = np.cumsum(np.bincount(numbers)[order]) - np.bincount(numbers)[order] / 2
    ends = np.searchsorted(middle, np.cumsum(fractions) * len(numbers), side="right")
    number = np.arange(1, len(fractions) + 1)
    ends = np.maximum.accumulate(np.maximum(ends - number, 0)) + number  # no part is empty
    ends = np.minimum(ends, count - number[::-1] + 1)
    part_of_group = np.empty(count, dtype=np.int64)
    part_of_group[order] = np.searchsorted(ends, np.arange(count), side="right")
    part = part_of_group[numbers]
    return _tensors(np.flatnonzero(part == index) for index in range(len(fractions)))


def group_kfold(groups, folds=5, generator=None):
    """Folds that share no group, of sizes as equal as the groups allow.

    Groups are dealt out from the largest to the smallest, forth and back over the folds; those of one size in a random
    order.

    Args:
        groups: ``(N,)``, a number or string for each sample.
        folds: how many.
        generator: source of randomness; the global one where not given.

    Returns:
        A list of ``(training indices, test indices)``.

    Raises:
        ValueError: fewer than two folds, or more of them than groups.
    """
    import numpy as np

    numbers, count = codes(groups, "groups")
    _check_folds(folds, count, "groups")
    sizes = np.bincount(numbers)
    shuffled = _permutation(count, generator)
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    turn = np.arange(count) % (2 * folds)
    fold_of_group = np.empty(count, dtype=np.int64)
    fold_of_group[order] = np.minimum(turn, 2 * folds - 1 - turn)
    fold = fold_of_group[numbers]
    return _each_held_out([np.flatnonzero(fold == index) for index in range(folds)])


def time_split(times, fractions, gap=0):
    """Parts one after the other in time, so that nothing is predicted from its own future.

    Samples of one moment stay together, in the earlier part.

    Args:
        times: ``(N,)`` numbers, or numpy's ``datetime64``.
        fractions: positive shares of the parts, which sum to one, the earliest first.
        gap: samples less than this after the end of the part before are left out: as long as features look back or
            targets look ahead. In the units of ``times``.

    Returns:
        A tuple of index tensors, each from the earliest to the latest sample.

    Raises:
        ValueError: fractions of another kind, times that are not numbers, a negative gap, or a part without samples.
    """
    import numpy as np

    fractions = _check_fractions(fractions)
    if isinstance(times, corten.Tensor):
        times = times.detach().cpu().numpy()
    times = np.asarray(times)
    if times.ndim != 1 or not len(times):
        raise ValueError(f"times should be a vector with an element for each sample, but got shape {times.shape}")
    if times.dtype.kind not in "iufM" or (times != times).any():
        raise ValueError(f"times should be numbers or datetime64 without NaN or NaT, but got {times.dtype}")
    if gap < type(gap)(0):
        raise ValueError(f"gap should not be negative, but got gap={gap}")
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    ends = _cuts(len(order), fractions)
    ends = np.searchsorted(ordered, ordered[ends - 1], side="right")
    starts = np.concatenate([[0], ends[:-1]])
    if gap:
        after = np.searchsorted(ordered, ordered[ends[:-1] - 1] + gap, side="left")
        starts[1:] = np.maximum(starts[1:], after)
    parts = [order[start:end] for start, end in zip(starts, ends)]
    empty = [number for number, part in enumerate(parts) if not len(part)]
    if empty:
        raise ValueError(
            f"part {empty[0]} of {len(parts)} has no samples: too many of one moment, or the gap is too wide"
        )
    return _tensors(parts)
