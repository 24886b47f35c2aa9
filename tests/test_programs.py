"""Programs in PyTorch's names alone learn under `python -m corten run`; `torch_parity` compares them with PyTorch."""

from __future__ import annotations

import ast

import pytest

from program_runs import FOLDER, PROGRAMS, lacking, learned, run


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_program_learns(name):
    if packages := lacking(name):
        pytest.skip(f"needs {', '.join(packages)}")
    found = run(name)
    losses = found["losses"]
    assert learned(name, found["metric"]), found["metric"]
    assert all(loss == loss for loss in losses)


def test_every_program_is_run_and_names_pytorch_only():
    written = {path.stem for path in FOLDER.glob("*.py")}
    assert written == {*PROGRAMS, "harness"}
    for name in written:
        text = (FOLDER / f"{name}.py").read_text()
        roots = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add(node.module.split(".")[0])
        assert "torch" in roots and "corten" not in text
