"""`corten.data.check` finds what was put into the data, says where, and stays silent about clean data."""

from __future__ import annotations

import json
import time

import corten
import numpy as np
import pytest
from corten import data
from corten.data._check import drift, embed, labels, neighbours
from corten.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from corten.vision.datasets import FashionMNIST
from scipy import stats

rng = np.random.default_rng  # each test has numbers of its own


def blobs(count: int = 600, classes: int = 3, features: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A table of classes that lie well apart."""
    numbers = np.arange(count) % classes
    centres = 6 * rng(99).standard_normal((classes, features))
    return centres[numbers] + rng(seed).standard_normal((count, features)), numbers


def pictures(count: int = 200, channels: int = 1, edge: int = 24, seed: int = 0) -> np.ndarray:
    """Smooth random images of bytes ``(N, C, edge, edge)``."""
    coarse = rng(seed).uniform(0, 255, (count, channels, 6, 6))
    weights = np.clip(1 - np.abs(np.linspace(0, 5, edge)[:, None] - np.arange(6)), 0, 1)
    return np.rint(weights @ coarse @ weights.T).astype(np.uint8)


def sentences(count: int = 300, seed: int = 0) -> list[str]:
    words = ["".join(word) for word in rng(1).choice(list("abcdefghijklmnopqrstuvwxyz"), (400, 6))]
    return [" ".join(chosen) for chosen in rng(seed).choice(words, (count, 9))]


def texts_of(report: data.Report, section: str) -> list[str]:
    return [problem.text for problem in report.problems if problem.section == section]


def test_clean_data_have_no_problems():
    report = data.check(blobs(), blobs(seed=1))
    assert report.ok and not report.problems, str(report)
    assert report["classes"]["counts"] == {"0": 200, "1": 200, "2": 200}
    assert report["classes"]["evenness"] == pytest.approx(1.0)
    assert not report["duplicates"]["exact"] and not report["leakage"]["exact"] and not report["leakage"]["near"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_exact_duplicates_name_the_first_sample_that_they_repeat(dtype):
    table = (rng(0).standard_normal((500, 7)) * 30).astype(dtype)
    table[100], table[200], table[300] = table[7], table[7], table[9]
    report = data.check(table)
    assert report["duplicates"]["exact"] == [[7, 100], [7, 200], [9, 300]]
    assert texts_of(report, "duplicates")[0] == "3 samples repeat one of 2 others exactly"


def test_rows_with_missing_values_may_be_duplicates():
    table = rng(0).standard_normal((50, 3))
    table[5, 1] = table[20, 1] = np.nan
    table[20] = table[5]
    assert data.check(table)["duplicates"]["exact"] == [[5, 20]]


def test_samples_of_one_hash_are_not_taken_for_equal(monkeypatch):
    from corten.data._check import duplicates

    table = rng(0).standard_normal((30, 3))
    table[9] = table[4]
    monkeypatch.setattr(duplicates, "keys", lambda samples: np.zeros(len(samples), np.uint64))
    twin = duplicates.exact(corten.data._check.gather.Samples("table", table, None))
    assert set(np.flatnonzero(twin != np.arange(30))) <= {4, 9}


def test_equal_samples_with_other_labels_contradict():
    table, numbers = blobs(60)
    table[10] = table[0]
    assert numbers[10] != numbers[0]
    report = data.check((table, numbers))
    assert report["duplicates"]["contradicting"] == [[0, 10]]
    assert "as 0 and 10: 0 and 1" in str(report)
    assert not data.check((table, numbers + 0.5 * table[:, 0]))["duplicates"]["contradicting"]  # no classes


def test_images_that_are_brighter_or_noisy_are_near_duplicates():
    images = pictures()
    images[50] = np.clip(images[3].astype(int) * 0.8 + 20, 0, 255)
    images[60] = np.clip(images[4].astype(int) + rng(5).integers(-3, 4, images[4].shape), 0, 255)
    report = data.check(images)
    assert sorted(report["duplicates"]["near"]) == [[3, 50], [4, 60]]
    assert not report["duplicates"]["exact"]
    assert max(report["duplicates"]["near_distance"]) < 0.05


def test_near_is_a_distance_in_units_of_that_of_random_samples():
    table = rng(0).standard_normal((400, 10))
    table[399] = table[0] + 0.01
    scaled = (table - table.mean(0)) / table.std(0)
    distance = np.linalg.norm(scaled[:, None] - scaled, axis=2) / data.check(table)._embedding.spread
    first, second = np.triu_indices(400, 1)
    assert np.median(distance[first, second]) == pytest.approx(1, abs=0.03)
    for near in (0.05, 0.3, 0.35):
        expected = [pair for pair in zip(first.tolist(), second.tolist()) if distance[pair] <= near]
        found = data.check(table, near=near)["duplicates"]
        assert sorted(map(tuple, found["near"])) == sorted(expected)
        assert found["near_distance"] == pytest.approx([distance[tuple(pair)] for pair in found["near"]], rel=1e-4)


def test_texts_that_differ_in_a_letter_or_in_case_are_near_duplicates():
    texts = sentences()
    texts[100] = texts[5].upper()
    texts[200] = texts[6][:-1] + "!"
    texts[250] = texts[7]
    report = data.check(texts)
    assert report["duplicates"]["exact"] == [[7, 250]]
    assert sorted(report["duplicates"]["near"]) == [[5, 100], [6, 200]]
    assert report["duplicates"]["near_distance"][0] == pytest.approx(0, abs=1e-3)


def test_leakage_names_both_places():
    images, test = pictures(200), pictures(50, seed=1)
    test[10] = images[17]
    test[20] = np.clip(images[18].astype(int) + 2, 0, 255)
    report = data.check(images, test)
    assert report["leakage"]["exact"] == [[17, 10]]
    assert report["leakage"]["near"] == [[18, 20]]
    assert "1 samples of the other set (2.00%) are in this one as well, as 10 there and 17 here" in str(report)
    texts, others = sentences(), sentences(40, seed=2)
    others[3] = texts[8]
    assert data.check(texts, others)["leakage"]["exact"] == [[8, 3]]


def test_missing_values_are_counted_by_feature():
    table, _ = blobs()
    table[:30, 2] = np.nan
    table[5, 3] = np.inf
    report = data.check(table, names=[f"c{number}" for number in range(8)])
    assert report["missing"]["by_feature"] == {"c2": 30}
    assert report["missing"]["infinite_by_feature"] == {"c3": 1}
    assert report["missing"]["rows"] == 30
    assert "most of all 'c2', in 5.0%" in str(report)


def test_empty_texts_and_blank_images_are_missing():
    texts = sentences()
    texts[4] = "  "
    assert data.check(texts)["missing"]["empty"] == [4]
    images = pictures().astype(np.float32)
    images[9] = 7.0
    images[11, 0, 3, 3] = np.nan
    report = data.check(images)
    assert report["missing"]["blank"] == [9] and report["missing"]["not_finite"] == [11]


def test_constant_and_repeated_features_are_named():
    table, _ = blobs(2000)
    table[:, 1] = 3.0
    table[:, 4] = 1.0
    table[0, 4] = 2.0
    table[:, 6] = table[:, 2]
    found = data.check(table)["constant"]
    assert found["features"] == ["feature 1"]
    assert found["almost"] == ["feature 4"]
    assert found["equal"] == [["feature 2", "feature 6"]]


def test_a_feature_that_is_the_label_in_disguise_is_told():
    table, numbers = blobs()
    table = rng(3).standard_normal(table.shape)
    table[:, 5] = 10 * numbers + 0.1 * rng(4).standard_normal(len(numbers))
    assert data.check((table, numbers))["labels"]["telling_features"] == ["feature 5"]
    target = table[:, 0] * 3 + 1
    assert data.check((table, target))["labels"]["telling_features"] == ["feature 0"]


def test_outliers_are_samples_far_from_all_others():
    table = rng(0).standard_normal((1000, 6))
    table[123] += 30
    report = data.check(table)
    assert report["outliers"]["indices"] == [123]
    assert all(count == 1 for count in report["outliers"]["far_by_feature"].values())
    assert len(report["outliers"]["far_by_feature"]) == 6


def test_wrong_labels_are_found_and_put_right():
    table, numbers = blobs(1200, classes=4)
    given = numbers.copy()
    wrong = rng(1).choice(1200, 60, replace=False)
    given[wrong] = (given[wrong] + 1) % 4
    found = data.check((table, given))["labels"]
    assert set(wrong) == set(found["indices"])
    assert found["suggested"] == numbers[found["indices"]].tolist()
    assert found["margin"] == sorted(found["margin"], reverse=True)


def test_wrong_labels_of_images_are_found_among_the_worst():
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits

    digits = load_digits()
    given = digits.target.copy()
    wrong = rng(0).choice(len(given), 90, replace=False)
    given[wrong] = (given[wrong] + rng(1).integers(1, 10, 90)) % 10
    found = data.check((digits.images, given))["labels"]
    hits = np.isin(found["indices"], wrong)
    assert hits.sum() >= 80  # nine in ten
    assert hits[:80].mean() > 0.85


def test_targets_far_from_those_of_like_samples_are_doubtful():
    table = rng(0).uniform(-1, 1, (800, 2))
    target = table[:, 0] * 2 + table[:, 1] + 0.01 * rng(1).standard_normal(800)
    target[77] += 5
    found = data.check((table, target))["labels"]
    assert found["indices"][0] == 77
    assert "classes" not in data.check((table, target))


def test_labels_are_classes_or_quantities():
    assert labels.classes_of(np.array(["a", "b", "a"])) is not None
    assert labels.classes_of(np.arange(100) % 7) is not None
    assert labels.classes_of(np.arange(100.0) % 7) is not None
    assert labels.classes_of(rng(0).standard_normal(100)) is None
    assert labels.classes_of(np.arange(100)) is None


def test_imbalance_and_rare_classes_are_told():
    table, _ = blobs(1000)
    names = np.array(["common"] * 900 + ["less"] * 95 + ["rare"] * 5)
    report = data.check((table, names))
    assert report["classes"]["ratio"] == 180
    assert report["classes"]["few"] == ["rare"]
    assert "180 times" in texts_of(report, "classes")[0]


def test_drift_is_found_in_the_feature_that_moved():
    one, other = rng(0).standard_normal((3000, 6)), rng(1).standard_normal((2000, 6))
    other[:, 3] += 0.8
    report = data.check(one, other)
    assert report["drift"]["drifted"] == ["feature 3"]
    assert report["drift"]["features"][0]["name"] == "feature 3"
    assert report["drift"]["features"][0]["psi"] > 0.25
    assert report["drift"]["classifier"]["auc"] > 0.65


def test_drift_that_no_feature_shows_is_found_by_the_classifier_where_it_is_of_second_order():
    one, other = rng(0).standard_normal((3000, 4)), rng(1).standard_normal((3000, 4))
    other[:, 1] = 0.9 * other[:, 0] + np.sqrt(1 - 0.81) * other[:, 1]  # each column is as before
    report = data.check(one, other)
    assert max(row["ks"] for row in report["drift"]["features"]) < 0.05
    assert report["drift"]["classifier"]["auc"] > 0.6


def test_labels_that_drift_and_classes_that_are_new_are_told():
    table, numbers = blobs(900)
    other, others = blobs(900, seed=1)
    report = data.check((table[numbers < 2], numbers[numbers < 2]), (other, others))
    assert report["drift"]["labels"]["only_there"] == ["2"]
    assert any("not in this one: 2" in text for text in texts_of(report, "drift"))


def test_kolmogorov_smirnov_is_scipys():
    one, other = rng(0).standard_normal(400), np.round(rng(1).standard_normal(300) + 0.15, 1)
    statistic, p = drift.kolmogorov_smirnov(one, other)
    expected = stats.ks_2samp(one, other, method="asymp")
    assert statistic == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, rel=0.15)  # Stephens' correction is the better one for few
    assert drift.kolmogorov_smirnov(one, one) == (0.0, 1.0)


def test_chi_squared_is_scipys():
    one, other = np.array([30, 50, 0, 20]), np.array([45, 40, 0, 30])
    keep = [0, 1, 3]
    expected = stats.chi2_contingency(np.stack([one, other])[:, keep]).pvalue
    assert drift.chi_squared(one, other) == pytest.approx(expected, rel=1e-5)


def test_the_stability_index_is_its_sum():
    one, other = np.repeat([0.0, 1.0], [60, 40]), np.repeat([0.0, 1.0], [30, 70])
    expected = (0.3 - 0.6) * np.log(0.3 / 0.6) + (0.7 - 0.4) * np.log(0.7 / 0.4)
    assert drift.stability_index(one, other) == pytest.approx(expected)
    assert drift.stability_index(one, np.where(np.arange(100) < 50, np.nan, one)) > 0.25  # missing values are a bin


def test_sets_of_one_distribution_are_told_apart_by_chance_alone():
    found = [drift.tell_apart(rng(2 * k).standard_normal((300, 5)), rng(2 * k + 1).standard_normal((200, 5)))["p"]
             for k in range(40)]  # fmt: skip
    assert sum(p < 0.05 for p in found) <= 6
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)


def test_the_discriminant_is_scikit_learns_without_the_samples_fold():
    discriminant = pytest.importorskip("sklearn.discriminant_analysis")
    table, numbers = blobs(300, classes=3, features=4)
    table *= 0.2  # near enough for doubt
    found = labels.out_of_fold(table.astype(np.float32), numbers, 3, 5)
    fold = labels._stratified_folds(numbers, 5)
    for part in range(5):
        fitted = discriminant.LinearDiscriminantAnalysis(solver="lsqr").fit(table[fold != part], numbers[fold != part])
        assert np.abs(fitted.predict_proba(table[fold == part]) - found[fold == part]).max() < 0.02


@pytest.mark.parametrize("count", [1000, 6000])
def test_neighbours_are_the_nearest(count):
    points = rng(0).standard_normal((count, 6)).astype(np.float32)
    index, squared = neighbours.Neighbours(points).nearest(None, 5)
    asked = np.arange(0, count, 20)
    exact = ((points[asked, None] - points) ** 2).sum(2)
    exact[np.arange(len(asked)), asked] = np.inf
    expected = np.argsort(exact, 1)[:, :5]
    hits = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(index[asked], expected)])
    assert hits == 1 if count <= neighbours.EXACT_ROWS else hits > 0.9
    row = np.arange(len(asked))[:, None]
    assert np.allclose(squared[asked], exact[row, index[asked]], atol=1e-4)
    assert (np.diff(squared, axis=1) >= 0).all()


def test_few_points_have_few_neighbours():
    index, squared = neighbours.Neighbours(np.zeros((3, 2), np.float32)).nearest(None, 10)
    assert index.shape == squared.shape == (3, 2)
    assert (np.sort(index, 1) == [[1, 2], [0, 2], [0, 1]]).all()


def test_principal_axes_of_wide_data_are_those_of_all():
    wide = rng(0).standard_normal((300, 12)) @ rng(1).standard_normal((12, 700)) * np.linspace(1, 3, 700)
    wide = (wide + 0.01 * rng(2).standard_normal(wide.shape)).astype(np.float32)
    middle, axes = embed.principal(wide, 8)
    expected = np.linalg.svd(wide - middle, full_matrices=False)[2][:8]
    assert np.abs((axes * expected.T).sum(0)) == pytest.approx(np.ones(8), abs=1e-3)


class Pairs(Dataset):
    """Samples and labels one by one."""

    def __init__(self, samples, targets):
        self.samples, self.targets_of = samples, targets

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index], int(self.targets_of[index])


class Stream(IterableDataset):
    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        return (self.pairs[index] for index in range(len(self.pairs)))


def test_the_same_data_in_any_form_give_the_same_report():
    table, numbers = blobs()
    table = table.astype(np.float32)
    table[5], table[7, 2] = table[4], np.nan
    expected = data.check((table, numbers)).to_dict()
    tensor, targets = corten.from_numpy(table), corten.from_numpy(numbers)
    for form in (
        (tensor, targets),
        (table, numbers.tolist()),
        TensorDataset(tensor, targets),
        Subset(TensorDataset(tensor, targets), range(600)),
        Pairs(tensor, targets),
        Subset(Pairs(table, numbers), list(range(600))),
        Stream(Pairs(table, numbers)),
    ):
        assert data.check(form).to_dict() == expected
    assert data.check(table, labels=numbers).to_dict() == expected


def test_images_in_any_form_give_the_same_report():
    images, numbers = pictures(60, channels=3), np.arange(60) % 3
    expected = data.check((images, numbers)).to_dict()
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    assert data.check((last, numbers)).to_dict() == expected
    image = pytest.importorskip("PIL.Image")
    assert data.check(Pairs([image.fromarray(one) for one in last], numbers)).to_dict() == expected
    assert data.check(Pairs(corten.from_numpy(images), numbers)).to_dict() == expected


def test_images_of_different_sizes_are_compared():
    images = [*pictures(40, edge=24), *pictures(40, edge=36, seed=1)]
    images[50] = images[3].repeat(2, axis=1).repeat(2, axis=2)
    images[60] = images[2].copy()
    report = data.check(Pairs(images, np.zeros(80)), near=0.1)
    assert report["duplicates"]["exact"] == [[2, 60]]
    assert report["duplicates"]["near"] == [[3, 50]]
    assert "images come in 3 sizes" in str(report)


def test_columns_of_a_table_may_be_names_and_dates():
    count = 300
    columns = {
        "age": rng(0).integers(18, 80, count),
        "job": rng(1).choice(["baker", "smith", None], count),
        "day": np.datetime64("2020-01-01") + rng(2).integers(0, 900, count),
        "note": np.array([None, *["x"] * (count - 1)], dtype=object),
    }
    report = data.check(columns, labels=["yes", "no"] * (count // 2))
    assert report["missing"]["by_feature"] == {
        "job": int(sum(job is None for job in columns["job"])), "note": 1
    }  # fmt: skip
    other = {name: np.roll(column, 1) for name, column in columns.items()} | {"extra": np.zeros(count)}
    other["job"] = np.where(np.arange(count) < 150, "tailor", other["job"])
    found = data.check(columns, other)
    assert found["drift"]["drifted"] == ["job"]
    with pytest.raises(ValueError, match="the other set has no column day"):
        data.check(columns, {name: column for name, column in columns.items() if name != "day"})


def test_data_sets_of_images_have_names_of_classes(tmp_path):
    from test_vision import write_split

    write_split(tmp_path, "train", pictures(40, edge=28)[:, 0], np.arange(40, dtype=np.uint8) % 2)
    report = data.check(FashionMNIST(tmp_path))
    assert report["classes"]["counts"] == {"T-shirt/top": 20, "Trouser": 20}
    assert data.check(FashionMNIST(tmp_path, transform=lambda image: image)).to_dict() == report.to_dict()


def test_a_report_is_text_a_dictionary_and_pictures(tmp_path):
    images, numbers = pictures(300), np.arange(300) % 3
    images[:, :, :4, :4] = 80 * numbers.reshape(-1, 1, 1, 1)
    numbers[7] = (numbers[7] + 1) % 3
    images[50], images[60, 0, 0, 0] = images[3], 99
    test = pictures(100, seed=1) // 2
    test[0] = images[0]
    report = data.check((images, numbers), (test, np.arange(100) % 3))
    text = str(report)
    for words in (
        "300 images of shape (1, 24, 24), 100 in the other set",
        "Class balance",
        "33.3%",
        "Leakage",
        "Drift",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) < 180
    again = json.loads(json.dumps(report.to_dict()))
    assert again["duplicates"]["exact"] == [[3, 50]]
    assert again["problems"][0]["severity"] in ("problem", "note")
    written = {path.name for path in report.plot(tmp_path / "pictures")}
    assert {"classes.png", "duplicates.png", "leakage.png", "drift.png"} <= written
    assert all((tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG") for name in written)
    assert repr(report).startswith("<Report of 300 images: ")
    with pytest.raises(KeyError, match="no section 'colours'; it has samples"):
        report["colours"]


def test_tables_and_texts_are_drawn_as_well(tmp_path):
    table, numbers = blobs()
    table[3, 1], table[5, 2], table[9] = np.nan, 1e6, table[4] + 1e-4
    numbers[8] = (numbers[8] + 1) % 3
    written = {path.name for path in data.check((table, numbers), (table + 1, numbers)).plot(tmp_path)}
    assert written == {"classes.png", "missing.png", "duplicates.png", "outliers.png", "labels.png", "drift.png"}
    assert data.check(sentences(), sentences(50, seed=4)).plot(tmp_path / "texts")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: data.check(7), TypeError, "but got int"),
        (lambda: data.check((1, 2, 3)), TypeError, r"a tuple should be \(samples, labels\)"),
        (lambda: data.check(np.zeros((0, 3))), ValueError, "no samples"),
        (lambda: data.check((np.zeros((5, 3)), [1, 2])), ValueError, "5 samples and 2 labels"),
        (lambda: data.check((np.zeros((2, 3)), [1, 2]), labels=[1, 2]), TypeError, "labels of its own"),
        (lambda: data.check(np.zeros((5, 3)), names=["a"]), ValueError, "3 features and 1 names"),
        (lambda: data.check(np.zeros((5, 3)), kind="sound"), ValueError, "images, table, text"),
        (lambda: data.check(np.zeros((5, 3)), near=-1), ValueError, "near should not be negative"),
        (lambda: data.check(np.zeros((5, 3)), ["a"]), ValueError, "table and text cannot be compared"),
        (lambda: data.check(np.zeros((5, 3)), other_labels=[1]), TypeError, "without the other set"),
        (lambda: data.check({"a": [1], "b": [1, 2]}), ValueError, r"different lengths \[1, 2\]"),
        (lambda: data.check(np.zeros((2, 1, 2, 3, 4))), ValueError, "3 or 4 dimensions"),
        (lambda: data.check([[1.0], [1.0, 2.0]]), TypeError, "same number of features"),
        (lambda: data.check(np.zeros(3, complex)), TypeError, "complex128"),
        (lambda: data.check(TensorDataset(*[corten.ones(2)] * 3)), TypeError, "3 tensors"),
    ],
)
def test_what_cannot_be_checked_says_why(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("samples", [np.zeros((1, 3)), np.zeros((4, 3)), ["a"], ["", ""], np.full((3, 2), np.nan)])
def test_data_without_any_spread_are_checked_too(samples):
    report = data.check(samples, samples)
    assert report["leakage"]["exact"]
    assert str(report)


def test_sixty_thousand_images_take_seconds():
    images = rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    images[:, 5:20, 5:20] = rng(1).integers(0, 256, (60_000, 5, 1), dtype=np.uint8).repeat(3, 1)
    images[59_999] = images[3]
    started = time.process_time()
    report = data.check((images, np.arange(60_000) % 10))
    assert time.process_time() - started < 15  # two on one core of a server
    assert report["duplicates"]["exact"] == [[3, 59_999]]
