"""One call of each function that networks and their data need, at moderate sizes, as expressions in PyTorch's names.

They stand in breadth_calls.txt: `m` is the package and `F` its `nn.functional`; the other names are the operands below.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np

CALLS = Path(__file__).with_name("breadth_calls.txt").read_text().splitlines()


def operands(m: ModuleType) -> dict[str, object]:
    """The same numbers for each package."""
    rng = np.random.RandomState(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.randn(*shape).astype(np.float32)

    square = normal(64, 64)
    corners = rng.rand(300, 2) * 50
    arrays = {
        "v": normal(100_000),
        "a": normal(512, 512),
        "b": normal(512, 512),
        "p": rng.rand(512, 512).astype(np.float32) * 0.98 + 0.01,
        "k": rng.rand(512, 512) > 0.5,
        "i": rng.randint(0, 1000, 100_000),
        "t": rng.randint(0, 512, 512),
        "c": (rng.randn(256, 256) + 1j * rng.randn(256, 256)).astype(np.complex64),
        "s": normal(200, 64),
        "spd": square @ square.T + 10 * np.eye(64, dtype=np.float32),
        "bm": normal(32, 32, 32),
        "x": normal(16, 32, 28, 28),
        "x1": normal(16, 32, 256),
        "x3": normal(4, 8, 16, 16, 16),
        "img": rng.rand(8, 3, 64, 64).astype(np.float32),
        "g": rng.rand(8, 64, 64, 2).astype(np.float32) * 2 - 1,
        "seq": normal(32, 20, 64),
        "q": normal(8, 8, 128, 32),
        "emb": normal(1000, 64),
        "idx": rng.randint(0, 1000, (128, 20)),
        "boxes": np.concatenate([corners, corners + 50], 1).astype(np.float32),
    }
    return {name: m.tensor(value) for name, value in arrays.items()}
