"""What ten thousand steps of training on a GPU leave behind: nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import corten
import pytest

os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")

pytestmark = [
    pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one"),
    pytest.mark.slow,
]

# Trains a tiny network; its figures when everything has been used often, and at the end.
PROGRAM = """
import json, os, sys
import corten

steps, read = int(sys.argv[1]), sys.argv[2] == "read"
corten.manual_seed(0)
model = corten.nn.Sequential(corten.nn.Linear(6, 8), corten.nn.ReLU(), corten.nn.Linear(8, 3)).to("gpu")
optimizer = corten.optim.Adam(model.parameters(), 1e-3)
x = corten.randn(5, 6, device="gpu")
target = corten.tensor([0, 1, 2, 1, 0]).to("gpu")
total = corten.zeros((), device="gpu")


def figures():
    stats = corten.gpu.memory_stats()
    names = "reserved_bytes", "buffers_created", "bind_groups_created", "shaders_compiled"
    found = {name: stats[name] for name in names}
    found["allocated"] = corten.gpu.memory_allocated()
    found["host"] = corten._core.counters()["live_bytes"]
    if os.path.exists("/proc/self/statm"):
        found["resident"] = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return found


for step in range(steps):
    if step == steps // 10:
        print(json.dumps(figures()))
    optimizer.zero_grad()
    loss = corten.nn.functional.cross_entropy(model(x), target)
    loss.backward()
    optimizer.step()
    if read:
        loss.item()
    else:
        total += loss.detach()
print(json.dumps(figures()))
"""


@pytest.mark.parametrize("use", ["read", "unread"])
def test_ten_thousand_steps_of_training_hold_no_more_memory_than_a_thousand(use: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), "10000", use]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert result.returncode == 0, result.stderr
    early, late = (json.loads(line) for line in result.stdout.splitlines())
    # The host's allocator and the driver may still trade some pages; a hundred bytes a step would be 900,000.
    grown = late.pop("resident", 0) - early.pop("resident", 0)
    assert late == early and grown < 700_000, (early, late, grown)
