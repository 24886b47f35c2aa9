"""The programs of `tests/programs` on both packages: equal losses from one file, and alike with their own numbers."""

from __future__ import annotations

import statistics

import pytest

from program_runs import PROGRAMS, lacking, run

SEEDS = range(5)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_losses_and_metric_agree_with_shared_weights_batches_and_noise(name, tmp_path):
    if packages := lacking(name):
        pytest.skip(f"needs {', '.join(packages)}")
    shared = str(tmp_path / "shared.pt")
    run(name, "--write", shared)
    ours, theirs = run(name, "--read", shared), run(name, "--read", shared, package="torch")
    assert ours["losses"][:20] == pytest.approx(theirs["losses"][:20], rel=1e-3)
    assert ours["metric"] == pytest.approx(theirs["metric"], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_with_numbers_of_their_own_both_learn_alike(name):
    if packages := lacking(name):
        pytest.skip(f"needs {', '.join(packages)}")
    ours = [run(name, "--seed", str(seed))["metric"] for seed in SEEDS]
    theirs = [run(name, "--seed", str(seed), package="torch")["metric"] for seed in SEEDS]
    spread = max(statistics.stdev(ours), statistics.stdev(theirs))
    assert abs(statistics.mean(ours) - statistics.mean(theirs)) <= spread
