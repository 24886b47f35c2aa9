"""Sobol sequences beside PyTorch's: plain and scrambled points, states, and error classes."""

from __future__ import annotations

import corten
import numpy as np
import pytest
import torch
from corten.quasirandom import SobolEngine

DIMENSIONS = (1, 2, 7, 100, 1111, 1112)


def engines(*arguments, **options):
    return SobolEngine(*arguments, **options), torch.quasirandom.SobolEngine(*arguments, **options)


def agree(ours, theirs):
    assert str(ours.dtype) == str(theirs.dtype).replace("torch", "corten")
    assert np.array_equal(ours.numpy(), theirs.numpy())


def same_state(ours, theirs):
    assert ours.num_generated == theirs.num_generated
    for name in ("quasi", "shift", "sobolstate"):
        agree(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scramble", [False, True])
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_points_and_states_are_equal(dimension, scramble, dtype):
    ours, theirs = engines(dimension, scramble=scramble, seed=11)
    for n in (1, 1, 3, 0, 64, 100):
        agree(ours.draw(n, dtype=getattr(corten, dtype)), theirs.draw(n, dtype=getattr(torch, dtype)))
        same_state(ours, theirs)
    for engine in (ours, theirs):
        engine.fast_forward(1_000_003)
    agree(ours.draw(5), theirs.draw(5))
    for engine in (ours, theirs):
        engine.reset()
    same_state(ours, theirs)
    for m in (0, 0, 1, 2, 3):
        agree(ours.draw_base2(m, dtype=getattr(corten, dtype)), theirs.draw_base2(m, dtype=getattr(torch, dtype)))
    same_state(ours, theirs)


def test_the_last_dimension_has_the_same_numbers():
    ours, theirs = engines(SobolEngine.MAXDIM)
    agree(ours.sobolstate, theirs.sobolstate)


def test_without_a_seed_the_default_generator_scrambles():
    corten.manual_seed(4)
    torch.manual_seed(4)
    ours, theirs = engines(5, scramble=True)
    agree(ours.draw(9, dtype=corten.float64), theirs.draw(9, dtype=torch.float64))
    agree(corten.rand(3), torch.rand(3))


CALLS = {
    "no dimension": lambda lib, e: type(e)(0),
    "too many dimensions": lambda lib, e: type(e)(21202),
    "a dimension of 1.5": lambda lib, e: type(e)(1.5),
    "a seed of 1.5": lambda lib, e: type(e)(2, scramble=True, seed=1.5),
    "a seed that is a text": lambda lib, e: type(e)(2, scramble=True, seed="a"),
    "no first point": lambda lib, e: e.draw(0),
    "-1 points": lambda lib, e: e.draw(-1),
    "1.5 points": lambda lib, e: e.draw(1.5),
    "whole numbers": lambda lib, e: e.draw(2, dtype=lib.int64),
    "float16": lambda lib, e: e.draw(2, dtype=lib.float16),
    "one point in bfloat16": lambda lib, e: e.draw(1, dtype=lib.bfloat16),
    "a tensor with a gradient": lambda lib, e: e.draw(2, out=lib.empty(1, 2, requires_grad=True)),
    "three points": lambda lib, e: (e.draw(2), e.draw_base2(0)),
    "2^-1 points": lambda lib, e: e.draw_base2(-1),
    "2^1.5 points": lambda lib, e: e.draw_base2(1.5),
    "1.5 points forward": lambda lib, e: e.fast_forward(1.5),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_wrong_calls_raise_the_same_classes(call):
    outcomes = []
    for lib, engine in zip((corten, torch), engines(2)):
        try:
            call(lib, engine)
            outcomes.append(None)
        except Exception as error:
            outcomes.append(type(error))
    assert outcomes[0] is outcomes[1]
