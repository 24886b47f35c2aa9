"""2,000 random programs in every mode of the engine, and tests of the tool that makes, compares and shrinks them."""

from __future__ import annotations

import os
from dataclasses import replace

import corten
import numpy as np
import pytest

from program_generator import Program, Step, generate
from random_programs import (
    EVERY_OPERATOR,
    Interpreter,
    check,
    check_device,
    difference,
    main,
    modes_of,
    near,
    report,
    same_bits,
    shrink,
    source,
)

CHUNK, CHUNKS = 100, 20
os.environ.setdefault("CORTEN_GPU_SOFTWARE", "1")


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_programs_do_not_depend_on_when_they_are_flushed(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        program = generate(seed)
        if check(program, corten):
            pytest.fail(report(program, corten, lambda p: check(p, corten)), pytrace=False)


@pytest.mark.skipif(not corten.gpu.is_available(), reason="no GPU adapter; llvmpipe is one")
@pytest.mark.parametrize("chunk", range(10))
def test_programs_compute_on_a_gpu_what_they_compute_on_the_cpu(chunk: int) -> None:
    for seed in range(chunk * 10, (chunk + 1) * 10):
        program = generate(seed, plain=True)
        if check_device(program, corten, "gpu"):
            pytest.fail(report(program, corten, lambda p: check_device(p, corten, "gpu")), pytrace=False)


# Found faults: windows into a unit's own values, a copied input given away, units that waited for each other.
@pytest.mark.parametrize("seed", [9515, 37028, 309454])
def test_programs_that_once_differed(seed: int) -> None:
    assert not check(generate(seed), corten)


def test_generation_is_deterministic() -> None:
    assert generate(7) == generate(7)
    assert generate(7).steps != generate(8).steps


def test_programs_use_every_kind_of_step() -> None:
    kinds = {step.kind for seed in range(200) for step in generate(seed).steps}
    assert kinds == {"make", "op", "view", "write", "read", "export", "grad", "random", "drop", "mistake"}


def test_most_steps_succeed() -> None:
    """A generator whose steps mostly fail would test nothing."""
    outcomes = [o for seed in range(50) for o in Interpreter(corten, generate(seed), EVERY_OPERATOR).run()]
    failed = [o for o in outcomes if o.error]
    assert len(failed) < 0.15 * len(outcomes)
    assert {o.error for o in failed} >= {"RuntimeError", "IndexError"}


def test_every_program_runs_lazily_in_several_ways_and_unfused() -> None:
    modes = modes_of(generate(0))
    assert any(not mode.fusion for mode in modes)
    assert sum(mode.flush_every != 1 for mode in modes) >= 3


def program_of(*lines: str) -> Program:
    return Program(0, [Step(line, "op") for line in lines])


def test_a_difference_is_found() -> None:
    left = Interpreter(corten, program_of("t1 = m.ones(3)", "t2 = t1 + 1"), EVERY_OPERATOR).run()
    right = Interpreter(corten, program_of("t1 = m.ones(3)", "t2 = t1 + 2"), EVERY_OPERATOR).run()
    relabelled = [replace(o, label=mine.label) for o, mine in zip(right, left, strict=True)]
    assert "t2" in difference(left, relabelled, exact=True)
    assert not difference(left, left, exact=True)


def test_bits_are_compared_with_the_sign_of_zero_and_any_nan() -> None:
    assert same_bits(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
    assert not same_bits(np.array([0.0]), np.array([-0.0]))
    assert not same_bits(np.array([1.0]), np.array([1.0 + 2**-52]))


def test_tolerance_holds_for_numbers_only() -> None:
    assert near(("tensor", "float32", np.array([1.0])), ("tensor", "float32", np.array([1.0 + 1e-7])), (1e-6, 0.0))
    assert not near(("tensor", "float32", np.array([1.0])), ("tensor", "float64", np.array([1.0])), (1e-6, 0.0))
    assert not near(np.array([1.0]), np.array([1.1]), (1e-6, 0.0))


def test_shrinking_keeps_only_what_fails() -> None:
    lines = [f"t{i} = m.ones({i})" for i in range(1, 30)]
    program = program_of(*lines, "t40 = t7 + 1", "t41 = t3 * 2")
    texts = lambda p: [s.text for s in p.steps]  # noqa: E731
    small = shrink(program, lambda p: "t40 = t7 + 1" in texts(p) and "t7 = m.ones(7)" in texts(p))
    assert texts(small) == ["t7 = m.ones(7)", "t40 = t7 + 1"]


def test_reproducer_runs_alone(capsys: pytest.CaptureFixture) -> None:
    program = program_of("t1 = m.ones(2)", "record(t1.tolist())", "t1.view(7)", "t2 = t1 * 3")
    exec(compile(source(program, "corten"), "<reproducer>", "exec"), {})
    printed = capsys.readouterr().out
    assert "[1.0, 1.0]" in printed
    assert "RuntimeError" in printed
    assert "t2 tensor([3., 3.])" in printed


def test_command_line_ends_with_a_result(capsys: pytest.CaptureFixture) -> None:
    assert main(["--count", "3", "--seed", "5"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("RESULT random_programs count=3 differing=0 against=itself")
    )
