"""Splits and samplers: nothing is lost or shared, shares of classes hold, groups stay together, time runs forward."""

from __future__ import annotations

import corten
import numpy as np
import pytest
from corten import data
from corten.utils.data import DataLoader, TensorDataset, WeightedRandomSampler
from hypothesis import given, settings
from hypothesis import strategies as st


def seeded(seed: int = 0) -> corten.Generator:
    generator = corten.Generator()
    generator.manual_seed(seed)
    return generator


def skewed_labels(count: int = 1000) -> np.ndarray:
    return np.random.default_rng(0).choice(5, count, p=[0.6, 0.2, 0.1, 0.07, 0.03])


def assert_partition(parts, count: int) -> None:
    together = np.concatenate([part.numpy() for part in parts])
    assert sorted(together.tolist()) == list(range(count))


def test_parts_of_a_stratified_split_have_the_shares_of_the_whole():
    labels = skewed_labels()
    parts = data.stratified_split(labels, [0.7, 0.2, 0.1], generator=seeded())
    assert [len(part) for part in parts] == [700, 200, 100]
    assert_partition(parts, len(labels))
    for part, fraction in zip(parts, [0.7, 0.2, 0.1]):
        counts = np.bincount(labels[part.numpy()], minlength=5)
        assert np.abs(counts - fraction * np.bincount(labels)).max() <= 2


def test_classes_of_one_sample_do_not_all_fall_into_one_part():
    labels = np.concatenate([np.arange(100), np.full(900, 100)])
    _, test = data.stratified_split(labels, [0.8, 0.2], generator=seeded())
    singles = (labels[test.numpy()] < 100).sum()
    assert 17 <= singles <= 23


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=12, max_size=200), st.integers(2, 5), st.integers(0, 1000))
def test_stratified_folds_hold_everything_once(labels, folds, seed):
    split = data.stratified_kfold(labels, folds, generator=seeded(seed))
    assert len(split) == folds
    assert_partition([test for _, test in split], len(labels))
    sizes = np.bincount(labels)
    for train, test in split:
        assert_partition([train, test], len(labels))
        counts = np.bincount(np.asarray(labels)[test.numpy()], minlength=len(sizes))
        assert np.abs(counts - sizes / folds).max() <= 3


def test_labels_may_be_strings_and_tensors():
    labels = ["spam"] * 10 + ["ham"] * 30
    for given_labels in (labels, np.array(labels), corten.tensor([label == "spam" for label in labels])):
        first, second = data.stratified_split(given_labels, [0.5, 0.5], generator=seeded())
        assert len(first) == len(second) == 20
        assert sum(index < 10 for index in first.tolist()) == 5


def test_group_split_shares_no_group():
    groups = np.random.default_rng(1).integers(0, 200, 3000)
    parts = data.group_split(groups, [0.6, 0.2, 0.2], generator=seeded())
    assert_partition(parts, len(groups))
    members = [set(groups[part.numpy()].tolist()) for part in parts]
    assert not (members[0] & members[1] or members[0] & members[2] or members[1] & members[2])
    assert abs(len(parts[0]) - 1800) <= 30  # the largest group has about 25


def test_group_folds_share_no_group_and_are_of_like_sizes():
    groups = [f"patient {number}" for number in np.random.default_rng(2).zipf(1.7, 2000) % 97]
    split = data.group_kfold(groups, 4, generator=seeded())
    assert_partition([test for _, test in split], len(groups))
    names = np.array(groups)
    for train, test in split:
        assert_partition([train, test], len(groups))
        assert not set(names[train.numpy()]) & set(names[test.numpy()])
    equal = data.group_kfold(np.repeat(np.arange(40), 5), 4, generator=seeded())
    assert [len(test) for _, test in equal] == [50] * 4


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 100))
def test_no_part_of_a_group_split_is_empty(groups, seed):
    distinct = len(set(groups))
    if distinct < 3:
        with pytest.raises(ValueError, match="parts that are not empty"):
            data.group_split(groups, [0.8, 0.1, 0.1], generator=seeded(seed))
        return
    parts = data.group_split(groups, [0.8, 0.1, 0.1], generator=seeded(seed))
    assert all(len(part) for part in parts)
    assert_partition(parts, len(groups))


def test_time_split_lets_nothing_see_its_future():
    times = np.random.default_rng(3).integers(0, 300, 1000)
    train, valid, test = data.time_split(times, [0.7, 0.15, 0.15])
    assert_partition([train, valid, test], 1000)
    assert times[train.numpy()].max() < times[valid.numpy()].min()
    assert times[valid.numpy()].max() < times[test.numpy()].min()
    assert (np.diff(times[train.numpy()]) >= 0).all()


def test_a_gap_leaves_out_what_is_too_near_to_the_part_before():
    times = np.arange(100)
    train, test = data.time_split(times, [0.5, 0.5], gap=10)
    assert train.tolist() == list(range(50))
    assert test.tolist() == list(range(59, 100))
    days = np.datetime64("2020-01-01") + times
    train, test = data.time_split(days, [0.5, 0.5], gap=np.timedelta64(10, "D"))
    assert test.tolist() == list(range(59, 100))


def test_splits_follow_their_seed():
    labels, groups = skewed_labels(200), np.arange(200) // 4
    for split in (
        lambda generator: data.stratified_split(labels, [0.5, 0.5], generator),
        lambda generator: data.group_split(groups, [0.5, 0.5], generator),
        lambda generator: [test for _, test in data.stratified_kfold(labels, 3, generator)],
        lambda generator: [test for _, test in data.group_kfold(groups, 3, generator)],
    ):
        first, again, other = split(seeded(7)), split(seeded(7)), split(seeded(8))
        assert all(a.tolist() == b.tolist() for a, b in zip(first, again))
        assert any(a.tolist() != b.tolist() for a, b in zip(first, other))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: data.stratified_split([0, 1, 1], [0.5, 0.4]), ValueError, "sum to 1"),
        (lambda: data.stratified_split([0, 1, 1], [1.5, -0.5]), ValueError, "positive"),
        (lambda: data.stratified_split([[0, 1]], [0.5, 0.5]), ValueError, "vector"),
        (lambda: data.stratified_split("abc", [0.5, 0.5]), TypeError, "tensor, an array or a list"),
        (lambda: data.stratified_split([0], [0.5, 0.5]), ValueError, "1 cannot be split into 2"),
        (lambda: data.stratified_kfold([0, 1], 1), ValueError, "at least 2"),
        (lambda: data.group_kfold([0, 0, 1], 3), ValueError, "3 folds need at least as many groups"),
        (lambda: data.time_split([0.0, float("nan")], [0.5, 0.5]), ValueError, "without NaN"),
        (lambda: data.time_split([0, 1], [0.5, 0.5], gap=-1), ValueError, "negative"),
        (lambda: data.time_split([5, 5, 5], [0.5, 0.5]), ValueError, "part 1 of 2 has no samples"),
        (lambda: data.time_split(np.arange(10), [0.5, 0.5], gap=20), ValueError, "gap is too wide"),
    ],
)
def test_what_cannot_be_split_says_why(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_every_batch_of_a_stratified_sampler_has_the_shares_of_the_whole():
    labels = skewed_labels(1000)
    sampler = data.StratifiedSampler(labels, generator=seeded())
    order = list(sampler)
    assert sorted(order) == list(range(1000)) and len(sampler) == 1000
    expected = 100 * np.bincount(labels) / 1000
    for batch in np.array(order).reshape(10, 100):
        assert np.abs(np.bincount(labels[batch], minlength=5) - expected).max() <= 2
    assert list(sampler) != order  # the generator goes on


def test_samplers_without_a_generator_follow_the_global_seed():
    labels = skewed_labels(100)
    for make in (lambda: data.StratifiedSampler(labels), lambda: data.BalancedBatchSampler(labels, 2)):
        corten.manual_seed(5)
        first = list(make())
        corten.manual_seed(5)
        assert list(make()) == first
        assert list(make()) != first


def test_balanced_batches_hold_as_many_of_each_of_their_classes():
    labels = skewed_labels(1000)
    sampler = data.BalancedBatchSampler(labels, samples_per_class=4, classes_per_batch=3, generator=seeded())
    batches = list(sampler)
    assert len(batches) == len(sampler) == 1000 // 12
    for batch in batches:
        assert len(set(batch)) == 12  # the rarest class has about 30
        counts = np.bincount(labels[batch], minlength=5)
        assert sorted(counts.tolist()) == [0, 0, 4, 4, 4]


def test_the_samples_of_a_rare_class_take_turns():
    labels = [0] * 100 + [1] * 3
    batches = list(data.BalancedBatchSampler(labels, samples_per_class=2, num_batches=30, generator=seeded()))
    rare = [index for batch in batches for index in batch if index >= 100]
    assert len(rare) == 60
    assert np.bincount(rare)[100:].tolist() == [20, 20, 20]
    common = [index for batch in batches for index in batch if index < 100]
    assert len(set(common)) == 60


def test_a_loader_takes_the_samplers():
    labels = corten.tensor(skewed_labels(60))
    dataset = TensorDataset(corten.arange(60), labels)
    loader = DataLoader(dataset, batch_sampler=data.BalancedBatchSampler(labels, 2, generator=seeded()))
    for _, batch_labels in loader:
        assert corten.bincount(batch_labels, minlength=5).tolist() == [2] * 5
    indices = [index for batch, _ in DataLoader(dataset, 7, sampler=data.StratifiedSampler(labels)) for index in batch]
    assert sorted(int(index) for index in indices) == list(range(60))


def test_class_weights_draw_every_class_alike():
    labels = skewed_labels(1000)
    weights = data.class_weights(labels)
    assert corten.zeros(5, dtype=corten.float64).scatter_add_(0, corten.tensor(labels), weights).tolist() == (
        pytest.approx([1.0] * 5)
    )
    drawn = labels[list(WeightedRandomSampler(weights, 5000, generator=seeded()))]
    assert np.abs(np.bincount(drawn) - 1000).max() < 120  # four standard deviations


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(samples_per_class=0), "samples_per_class should be a positive integer"),
        (dict(samples_per_class=1, classes_per_batch=3), "more than the 2 classes"),
        (dict(samples_per_class=1, num_batches=-1), "num_batches should be a positive integer"),
    ],
)
def test_a_balanced_sampler_refuses_counts_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        data.BalancedBatchSampler([0, 1], **options)
