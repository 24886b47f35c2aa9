"""The instruction-set levels: `CORTEN_SIMD` caps the level, and what the levels compute agrees."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import corten
import numpy as np
import pytest

LEVELS = ["portable", "neon", "avx2", "avx512"]

# One program for every level: products, convolutions, reductions, softmax and a training step, in sizes with a
# remainder at each vector length.
PROGRAM = """
import sys
import numpy as np
import corten

F = corten.nn.functional
# Numbers of numpy's: a normal number of corten's is a function's value, and differs by rounding itself.
normal = lambda *shape: corten.from_numpy(generator.standard_normal(shape, dtype=np.float32))
generator = np.random.default_rng(0)
x = normal(5, 7, 19, 23)
w = normal(9, 7, 3, 3).requires_grad_()
a, b = normal(37, 131), normal(131, 67)
y = F.conv2d(x, w, padding=1)
loss = F.gelu(y).var() + F.cross_entropy(y.mean((2, 3)), corten.arange(5))
loss.backward()
q = normal(2, 3, 41, 16)
results = {
    "matmul": a @ b,
    "matmul_f64": a.double() @ b.double(),
    "matmul_bf16": (a.bfloat16() @ b.bfloat16()).float(),
    "bytes": corten._int_mm(a.mul(90).clamp(-128, 127).to(corten.int8), b.mul(90).clamp(-128, 127).to(corten.int8)),
    "conv": y,
    "conv_gradient": w.grad,
    "loss": loss,
    "softmax": x.flatten(1).softmax(-1),
    "logsumexp": x.logsumexp(1),
    "sum": x.sum((0, 3)),
    "cumsum": a.cumsum(1),
    "norm": F.layer_norm(a, (131,)),
    "pool": F.max_pool2d(x, 3, 2),
    "attention": F.scaled_dot_product_attention(q, q, q),
    "functions": (a.exp() + a.sin() * a.abs().add(1).log() + a.erf()).tanh(),
    "integers": (corten.arange(1001) * 7 % 13).cumsum(0),
    "half": (a.half() * 3 + 1).float(),
}
np.savez(sys.argv[1], level=corten._core.simd_level(), **{k: v.detach().numpy() for k, v in results.items()})
"""


@pytest.fixture(scope="module")
def run_at(tmp_path_factory):
    """Runs the program in a process of its own, since the level is chosen once per process."""
    folder = tmp_path_factory.mktemp("levels")

    @cache
    def run(level: str) -> dict[str, np.ndarray]:
        target = folder / f"{level}.npz"
        environment = dict(os.environ, CORTEN_SIMD=level)
        subprocess.run([sys.executable, "-c", PROGRAM, str(target)], env=environment, check=True)
        with np.load(target) as file:
            return dict(file)

    return run


def usable_levels() -> list[str]:
    """The levels up to this process's own, without those of other architectures."""
    best = LEVELS.index(corten._core.simd_level())
    foreign = {"avx2", "avx512"} if LEVELS[best] == "neon" else {"neon"}
    return [level for level in LEVELS[: best + 1] if level not in foreign]


def test_the_variable_caps_the_level(run_at):
    for level in usable_levels():
        assert str(run_at(level)["level"]) == level


def test_a_name_that_is_no_level_leaves_the_choice_to_the_processor(run_at):
    assert str(run_at("quantum")["level"]) in LEVELS


def test_levels_agree(run_at):
    """Levels sum in different orders and only some fuse multiply and add, so float results agree up to rounding."""
    reference = run_at("portable")
    for level in usable_levels()[1:]:
        for name, value in run_at(level).items():
            if name == "level":
                continue
            tolerance = {"matmul_f64": 1e-12, "matmul_bf16": 2**-7, "integers": 0, "bytes": 0}.get(name, 2e-5)
            scale = np.abs(reference[name]).max()
            np.testing.assert_allclose(
                value, reference[name], rtol=tolerance, atol=tolerance * scale, err_msg=f"{name} at {level}"
            )
