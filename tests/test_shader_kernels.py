"""Every body of shaders/ on a GPU adapter, against numpy: the shader lab's table of kernels, with all runtime checks.

Skipped where wgpu-py or an adapter is missing; llvmpipe, Mesa's Vulkan on the processor, will do.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from lab_kernels import NOT_RUN, TABLE
from shader_lab import Lab, NoAdapterError, assemble, library, main, worst_error
from shader_text import SHADERS, Entry
from test_shader_library import PARTS


@pytest.fixture(scope="module")
def lab() -> Lab:
    try:
        return Lab()
    except NoAdapterError as error:
        pytest.skip(str(error))


def bodies() -> set[str]:
    """Every file of shaders/ that is no part of the library."""
    names = {path.relative_to(SHADERS).with_suffix("").as_posix() for path in SHADERS.rglob("*.wgsl")}
    return {name for name in names if not name.startswith("include/")}


@pytest.mark.parametrize("entry", TABLE, ids=str)
def test_kernel_computes_what_numpy_does(lab, entry: Entry):
    outcome = lab.kernel(entry)
    assert outcome.errors and outcome.right, outcome.errors


def test_every_body_is_run_or_has_a_reason():
    run = {body for entry in TABLE for body in entry.bodies}
    assert run | set(NOT_RUN) == bodies()
    assert not run & set(NOT_RUN)
    assert all(NOT_RUN.values())


def test_parts_of_the_library_are_run_in_kernels():
    run = {body for entry in TABLE for body in entry.bodies}
    text = assemble("".join((SHADERS / f"{body}.wgsl").read_text(encoding="utf-8") for body in run))
    parts = {item.name for item in library().values() if item.file in PARTS}
    assert parts <= set(re.findall(r"^(?:fn|struct) (\w+)", text, re.MULTILINE))


def test_every_body_is_launched():
    """No file of shaders/ is left over."""
    engine = (SHADERS.parent / "rust" / "core" / "src" / "gpu").rglob("*.rs")
    text = "".join(path.read_text(encoding="utf-8") for path in engine)
    assert bodies() <= set(re.findall(r'include_str!\("[./]*/shaders/([\w/]+)\.wgsl"\)', text))


def test_names_in_the_table_are_unique():
    names = [str(entry) for entry in TABLE]
    assert len(names) == len(set(names))


def test_comparison_sees_what_differs():
    one = np.float32([1, np.nan, np.inf])
    assert worst_error(one, one) == 0
    assert worst_error(one, np.float32([1, 2, np.inf])) == np.inf
    assert worst_error(np.float32([3]), np.float32([4])) == 0.25
    assert worst_error(np.array([True]), np.array([False])) == 1


def test_writes_behind_the_end_are_seen(lab):
    text = "@group(1) @binding(0) var<storage, read_write> y: array<u32>;\n"
    text += "@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) { y[i] = i; }\n"
    assert lab.dispatch(text, [np.zeros(8, np.uint32)], 1, guard=True).outputs[0].tolist() == list(range(8))
    with pytest.raises(RuntimeError, match="output 0 is written behind its end"):
        lab.dispatch(text, [np.zeros(7, np.uint32)], 1, guard=True)


def test_a_wrong_result_is_reported(lab, capsys, monkeypatch):
    def fill(k, size):
        k.output("y", np.ones(size, np.float32))
        k.line("fn each(i: u32) { y_put(i, select(1.0, 2.0, i == 3u)); }")
        k.each(size)

    monkeypatch.setitem(main.__globals__, "TABLE", [Entry("wrong", ("each",), fill, 5, {})])
    assert main(["kernel", "wrong", "--size", "3"]) == 0
    assert main(["kernel", "wrong"]) == 1
    assert "WRONG wrong" in capsys.readouterr().out
