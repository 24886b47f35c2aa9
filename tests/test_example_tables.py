"""What the programs on tables and ratings claim of their splits, features and measures, on data made here."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import corten
import numpy as np
import pytest
from corten import metrics

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def program(monkeypatch):
    """Imports a program by its name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


def ratings(count=60, people=6, films=8):
    """Pairs without repetition, with stars, times and genres."""
    corten.manual_seed(0)
    pair = corten.randperm(people * films)[: min(count, people * films)]
    return SimpleNamespace(
        users=pair // films,
        items=pair % films,
        ratings=corten.randint(1, 6, (len(pair),)).float(),
        times=corten.arange(len(pair)),
        genres=["Drama|War", "Comedy", "War", "Drama"] * (films // 4),
    )


def test_ratings_that_are_held_out_are_not_known(program):
    movielens, data = program("movielens"), ratings()
    learned = corten.arange(40)
    before = movielens.known_of(data, learned)
    data.ratings[40:] = 6 - data.ratings[40:]
    corten.testing.assert_close(movielens.known_of(data, learned), before)
    data.ratings[3] += 1
    assert not corten.allclose(movielens.known_of(data, learned), before)


def test_the_own_rating_is_left_out_of_the_means(program):
    movielens, data = program("movielens"), ratings()
    learned = corten.arange(40)
    known = movielens.known_of(data, learned)[:, 0]
    centred = data.ratings - data.ratings[learned].mean()
    expected = np.zeros(len(centred))
    for row in range(len(centred)):
        others = [n for n in range(40) if n != row and data.items[n] == data.items[row]]
        expected[row] = sum(centred[n].item() for n in others) / (len(others) + 5)
    # The columns are in deviations of those to learn from.
    expected = (expected - expected[:40].mean()) / expected[:40].std(ddof=1)
    np.testing.assert_allclose(known.numpy(), expected, atol=1e-5)


def test_hit_rates_are_those_of_each_rating_among_films_without_one(program):
    movielens = program("movielens")
    corten.manual_seed(0)
    scores = corten.randn(4, 80)
    data = SimpleNamespace(users=corten.tensor([0, 0, 1, 3, 3, 2]), items=corten.tensor([5, 9, 70, 0, 1, 44]))
    rated = corten.zeros(4, 80, dtype=corten.bool)
    rated[data.users, data.items] = True
    rows = corten.tensor([0, 1, 2, 4])
    rates = movielens.hit_rates(data, scores, rows, rated)
    # One list a rating: its own film is relevant, the person's others have no place in it.
    lists = scores[data.users[rows]].masked_fill(rated[data.users[rows]], -100.0)
    lists[corten.arange(4), data.items[rows]] = scores[data.users[rows], data.items[rows]]
    relevant = corten.zeros(4, 80)
    relevant[corten.arange(4), data.items[rows]] = 1
    for k in (1, 10, 30, 50):
        assert rates[k - 1].item() == pytest.approx(metrics.hit_rate(lists, relevant, k=k).item())
    assert 0 < rates[29] < 1


def test_films_of_one_score_are_no_hits(program):
    data = SimpleNamespace(users=corten.tensor([0]), items=corten.tensor([3]))
    rated = corten.zeros(1, 60, dtype=corten.bool)
    rated[0, 3] = True
    assert not program("movielens").hit_rates(data, corten.ones(1, 60), corten.tensor([0]), rated).any()


def test_a_diamond_that_is_listed_twice_lies_on_one_side(program):
    diamonds = program("diamonds")
    corten.manual_seed(0)
    numbers = corten.arange(50.0).repeat_interleave(2)[:, None].expand(-1, 6).clone()
    numbers[:2, 1] = float("nan")
    table = diamonds.Table(numbers, corten.zeros(100, 3, dtype=corten.int64), corten.randn(100, 1))
    parts = diamonds.split(table)
    found = [set(part.numbers[:, 0].tolist()) for part in parts]
    assert sum(map(len, found)) == len(set().union(*found)) == 50
    assert [len(part.price) for part in parts] == [72, 8, 20]


def test_missing_measures_become_the_mean_and_slips_are_cut(program):
    like = corten.tensor([[1.0, 2.0], [3.0, float("nan")], [5.0, 6.0]])
    scaled = program("diamonds").standardised(corten.tensor([[float("nan"), 4.0], [3.0, 6.0], [1e6, 2.0]]), like)
    corten.testing.assert_close(scaled, corten.tensor([[0.0, 0.0], [0.0, 1.0], [5.0, -1.0]]))


def test_rows_that_come_back_worst_do_not_count(program):
    readings = corten.zeros(20, 9)
    given = corten.full((20, 9), 0.1)
    given[:3] = 100.0
    error = program("shuttle").trimmed_error(given, readings)
    assert error.item() == pytest.approx(0.01)


def test_people_without_a_category_keep_all_else(program):
    fair = program("fair_credit")
    people = fair.People(
        corten.tensor([[1.0, float("nan")], [3.0, 4.0], [9.0, 6.0]]),
        corten.tensor([[1, 2], [0, 1], [2, 2]]),
        corten.tensor([1, 0, 1]),
        corten.tensor([0, 1, 1]),
    )
    hidden = fair.without(people, 1)
    assert hidden.categories.tolist() == [[1, 0], [0, 0], [2, 0]]
    assert people.categories.tolist() == [[1, 2], [0, 1], [2, 2]]
    filled = fair.completed(people, people.numbers[1:])
    assert filled.numbers.tolist() == [[1.0, 4.0], [3.0, 4.0], [9.0, 6.0]]
