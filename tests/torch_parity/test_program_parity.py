"""Random programs in PyTorch and here: the same exceptions, shapes, dtypes and strides, and values within tolerance."""

from __future__ import annotations

import corten
import pytest
import torch

from program_generator import generate
from random_programs import Interpreter, check, difference, report

CHUNK, CHUNKS = 100, 10


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_programs_agree_with_pytorch(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        program = generate(seed)
        if not program.comparable:
            continue
        ours, theirs = Interpreter(corten, program).run(), Interpreter(torch, program).run()
        if difference(ours, theirs, exact=False):
            pytest.fail(report(program, corten, lambda p: check(p, corten, torch)), pytrace=False)
