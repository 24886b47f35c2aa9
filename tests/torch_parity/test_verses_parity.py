"""The verses' network, computed by PyTorch from the package's own file, and the program that measures its target."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import corten
import numpy as np
import pytest
import torch
from corten.models import T5

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SHAPE = dict(vocab_size=50, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, sinusoids=True)


def test_a_file_of_the_package_is_the_same_network_in_pytorch(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    theirs = importlib.import_module("verses_in_torch").network_in_torch()(**SHAPE).eval()
    ours = T5(**SHAPE).eval()
    theirs.load_state_dict({name: torch.from_numpy(value.numpy()) for name, value in ours.state_dict().items()})
    source, target = (np.random.default_rng(seed).integers(2, 50, (3, 7)) for seed in (0, 1))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(source), torch.from_numpy(target))
    scores = ours(corten.from_numpy(source), corten.from_numpy(target)).detach()
    np.testing.assert_allclose(scores.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        told = theirs.generate(torch.from_numpy(source), 6, beams=2)
    assert ours.generate(corten.from_numpy(source), 6, beams=2).tolist() == told.tolist()


def test_the_program_runs(tmp_path):
    command = [sys.executable, str(SCRIPTS / "verses_in_torch.py"), "--smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 1 and "make data" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert "RESULT verses_in_torch chrf=" in done.stdout
    assert (tmp_path / "translations.json").exists()
