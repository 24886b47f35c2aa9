"""Sobol sequences: published numbers, what makes a sequence even, scrambling, counting, and errors."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import corten
import numpy as np
import pytest
from corten.quasirandom import SobolEngine
from scipy.stats import qmc

pytestmark = pytest.mark.cpu  # an engine draws on the CPU, as PyTorch's does

ROOT = Path(__file__).resolve().parent.parent


def test_the_first_points_are_those_of_the_literature():
    # Joe and Kuo's notes list them for their direction numbers; they begin with the origin.
    expected = [
        [0, 0, 0],
        [0.5, 0.5, 0.5],
        [0.75, 0.25, 0.25],
        [0.25, 0.75, 0.75],
        [0.375, 0.375, 0.625],
        [0.875, 0.875, 0.125],
        [0.625, 0.125, 0.875],
        [0.125, 0.625, 0.375],
        [0.1875, 0.3125, 0.9375],
        [0.6875, 0.8125, 0.4375],
    ]
    assert SobolEngine(3).draw(10).tolist() == expected


@pytest.mark.parametrize("dimension", [1, 40, 1111, 1112, 3000])
def test_points_are_those_of_the_published_direction_numbers(dimension):
    reference = qmc.Sobol(dimension, scramble=False, bits=30).random(64)
    assert np.array_equal(SobolEngine(dimension).draw(64, dtype=corten.float64).numpy(), reference)


def test_the_table_of_the_package_is_what_its_script_writes():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "sobol_table.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("scramble", [False, True])
def test_every_slice_of_every_axis_gets_as_many_points(scramble):
    points = SobolEngine(50, scramble=scramble, seed=3).draw(256, dtype=corten.float64)[128:]
    slices = (points * 128).to(corten.int64).sort(dim=0).values
    assert corten.equal(slices, corten.arange(128)[:, None].expand(128, 50))


@pytest.mark.parametrize("scramble", [False, True])
def test_every_orthant_of_ten_dimensions_gets_one_of_1024_points(scramble):
    # Sobol's property A, which the numbers were chosen for.
    halves = (SobolEngine(10, scramble=scramble, seed=0).draw(1024) >= 0.5).to(corten.int64)
    assert (halves * 2 ** corten.arange(10)).sum(1).sort().values.tolist() == list(range(1024))


def test_integrals_are_nearer_than_those_of_random_points():
    def error(points):
        return (3 * points**2).prod(1).mean().item() - 1

    corten.manual_seed(0)
    drawn = [error(corten.rand(4096, 4, dtype=corten.float64)) for _ in range(10)]
    spread = [error(SobolEngine(4, True, seed).draw(4096, dtype=corten.float64)) for seed in range(10)]
    assert 20 * math.hypot(*spread) < math.hypot(*drawn)


def test_stretches_are_those_of_one_sequence():
    whole = SobolEngine(4, scramble=True, seed=2).draw(100)
    engine = SobolEngine(4, scramble=True, seed=2)
    parts = [engine.draw(n) for n in (1, 2, 30, 0, 67)]
    assert corten.equal(corten.cat(parts), whole)
    assert engine.num_generated == 100
    assert engine.reset() is engine
    assert engine.num_generated == 0
    assert corten.equal(engine.fast_forward(37).draw(10), whole[37:47])
    assert engine.num_generated == 47


def test_late_points_cost_no_more_than_early_ones():
    engine = SobolEngine(2).fast_forward(2**30 - 2)
    assert (engine.draw(2, dtype=corten.float64) * 2**30 % 1 == 0).all()
    with pytest.raises(ValueError, match=r"a sequence has 2\*\*30 points"):
        engine.draw(1)
    with pytest.raises(ValueError, match=r"a sequence has 2\*\*30 points"):
        engine.fast_forward(1)


def test_a_seed_gives_one_scrambling():
    first, second, other = (SobolEngine(3, True, seed).draw(8) for seed in (5, 5, 6))
    assert corten.equal(first, second)
    assert not corten.equal(first, other)
    corten.manual_seed(9)
    drawn = SobolEngine(3, scramble=True).draw(8)
    corten.manual_seed(9)
    assert corten.equal(SobolEngine(3, scramble=True).draw(8), drawn)


def test_a_seed_leaves_the_default_generator_alone():
    corten.manual_seed(9)
    expected = corten.rand(3)
    corten.manual_seed(9)
    SobolEngine(3, scramble=True, seed=1)
    assert corten.equal(corten.rand(3), expected)


def test_powers_of_two_are_kept():
    engine = SobolEngine(2)
    assert [len(engine.draw_base2(m)) for m in (1, 1, 2)] == [2, 2, 4]
    with pytest.raises(ValueError, match=r"require n to be a power of 2. 8 points"):
        engine.draw_base2(1)
    assert engine.num_generated == 8


def test_points_are_written_to_a_tensor():
    out = corten.empty(0, dtype=corten.float64)
    assert SobolEngine(2).draw(3, out=out) is out
    assert out.tolist() == [[0, 0], [0.5, 0.5], [0.75, 0.25]]
    assert SobolEngine(2).draw_base2(1, out=out, dtype=corten.float32).dtype == corten.float64


def test_the_default_dtype_is_drawn():
    assert SobolEngine(2).draw(3).dtype == corten.float32
    corten.set_default_dtype(corten.float64)
    try:
        assert SobolEngine(2).draw(3).dtype == corten.float64
    finally:
        corten.set_default_dtype(corten.float32)


def test_an_engine_tells_how_it_was_made():
    assert repr(SobolEngine(2)) == "SobolEngine(dimension=2)"
    assert repr(SobolEngine(2, True, 7)) == "SobolEngine(dimension=2, scramble=True, seed=7)"
    assert (SobolEngine.MAXDIM, SobolEngine.MAXBIT) == (21201, 30)


@pytest.mark.parametrize("dimension", [0, -1, 21202])
def test_other_dimensions_are_refused(dimension):
    with pytest.raises(ValueError, match=r"Supported range of dimensionality for SobolEngine is \[1, 21201\]"):
        SobolEngine(dimension)


def test_more_dimensions_without_scipy_say_what_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    SobolEngine(1111)
    with pytest.raises(ImportError, match="more than 1111 dimensions are read from a file of scipy"):
        SobolEngine(1112)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda e: SobolEngine(1.5), TypeError, "dimension must be an int, not float"),
        (lambda e: e.draw(-1), RuntimeError, "n must be at least 0, got -1"),
        (lambda e: e.draw(1.5), TypeError, "n must be an int, not float"),
        (lambda e: e.draw(2, dtype=corten.int64), NotImplementedError, "must be float32 or float64"),
        (lambda e: e.draw_base2(-1), TypeError, "m must be an int at least 0"),
        (lambda e: e.fast_forward(-1), ValueError, "n must be at least 0"),
        (lambda e: e.fast_forward(1.5), TypeError, "n must be an int, not float"),
        (lambda e: e.reset().draw(0), RuntimeError, "n must be positive, got 0"),
    ],
)
def test_wrong_calls_name_the_rule(call, error, text):
    engine = SobolEngine(2).fast_forward(3)
    with pytest.raises(error, match=text):
        call(engine)
