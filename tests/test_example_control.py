"""What the examples that learn control share: environments that agree with Gymnasium's own, and go on from a state."""

from __future__ import annotations

import importlib
from pathlib import Path

import corten
import numpy as np
import pytest
from corten import models

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def environments(monkeypatch):
    """The package `environments` of the examples."""
    pytest.importorskip("gymnasium")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module("environments")


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_environments_do_what_gymnasium_does(environments, name):
    import gymnasium

    rng = np.random.default_rng(0)
    ours = environments.Environments(name, 2, seed=3)
    theirs = [gymnasium.make(name) for _ in range(2)]
    seen = np.stack([own.reset(seed=3000 + k)[0] for k, own in enumerate(theirs)])
    ends = 0
    for _ in range(450):
        assert np.array_equal(ours.observation, seen)
        actions = rng.integers(0, 2, 2) if name == "CartPole-v1" else rng.uniform(-2, 2, (2, 1)).astype(np.float32)
        following, reward, terminated, done = ours.step(actions)
        for k, own in enumerate(theirs):
            seen[k], gain, ended, cut, _ = own.step(actions[k])
            assert np.array_equal(following[k], seen[k]) and reward[k] == np.float32(gain)
            assert (terminated[k], done[k]) == (ended, ended or cut)
            if done[k]:
                seen[k] = own.reset()[0]
                ends += 1
    assert len(ours.returns) == ends > 3


def test_a_policy_that_pushes_one_way_is_judged_as_it_deserves(environments):
    gained = environments.evaluate("CartPole-v1", lambda seen: np.ones(len(seen), int), 20)
    assert gained.shape == (20,) and 8 <= gained.min() <= gained.max() <= 11
    again = environments.evaluate("CartPole-v1", lambda seen: np.ones(len(seen), int), 20)
    assert np.array_equal(gained, again)


def test_replayed_steps_go_on_from_a_state(environments, tmp_path):
    def replay(seed: int):
        buffer = models.ReplayBuffer(100, (4,), seed=seed)
        playing = environments.Environments("CartPole-v1", 3, seed)
        return environments.Replay(playing, buffer, lambda seen, steps: (seen[:, 2] > 0).astype(int), 30, 4, 8, "cpu")

    first, other = replay(1), replay(2)
    batches = iter(first)
    for _ in range(70):
        next(batches)
    corten.save(first.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(corten.load(tmp_path / "state.pt"))
    again = iter(other)
    for _ in range(50):
        one, same = next(batches), next(again)
        assert all(corten.equal(one[name], same[name]) for name in one)
    assert first.environments.returns == other.environments.returns and first.steps == other.steps
