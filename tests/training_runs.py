"""Small networks, data and runs that the suites of `corten.fit` share."""

from __future__ import annotations

import corten
import numpy as np
from corten import nn

LOSS = nn.CrossEntropyLoss()
COUNT = 44  # batches of 8: five whole ones and half of one


def network(seed: int = 1, dropout: float = 0.2) -> nn.Sequential:
    corten.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(16, 16),
        nn.Tanh(),
        nn.Linear(16, 2),
    )


def points(count: int = COUNT) -> tuple[corten.Tensor, corten.Tensor]:
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((count, 4)).astype(np.float32)
    return corten.tensor(inputs), corten.tensor((inputs.sum(1) > 0).astype(np.int64))


def accuracy(output, target):
    return (output.argmax(1) == target).float().mean()


def adam(model):
    return corten.optim.AdamW(model.parameters(), lr=0.01)


def fit(model, data, *arguments, **options):
    return corten.fit(model, data, *arguments, **{"progress": False, **options})


def weights(model: nn.Module) -> list[np.ndarray]:
    return [value.detach().cpu().numpy().copy() for value in model.state_dict().values()]


def assert_same_bits(first: nn.Module, second: nn.Module) -> None:
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
