"""Tensors as text under many options: every character is PyTorch's."""

from __future__ import annotations

from typing import Any

import corten
import numpy as np
import pytest
import torch

OPTIONS: list[dict[str, Any]] = [
    {},
    {"profile": "short"},
    {"profile": "full"},
    {"profile": "unheard of"},
    {"precision": 2},
    {"precision": 0},
    {"precision": 8},
    {"threshold": 5},
    {"threshold": 5, "edgeitems": 1},
    {"linewidth": 40},
    {"linewidth": 20, "precision": 2},
    {"linewidth": 200},
    {"sci_mode": True, "precision": 1},
    {"sci_mode": False, "precision": 6, "linewidth": 50},
]
SHAPES = [(), (0,), (3,), (2, 3), (0, 4), (40,), (30, 40), (2, 3, 4), (2, 1, 2, 1, 2)]
INF, NAN = float("inf"), float("nan")
SPECIAL = [
    [INF, -INF, NAN, 1.0],
    [NAN, NAN],
    [INF],
    [1e-8, 1e8, NAN],
    [1.0, 2.0, 3.0],
    [1e9, 2.0, INF],
    [-0.0, 0.0],
    [1e-40, 1e-45],
    [0.0001, 99999.0],
    [0.00001, 1.0],
    [1e8, 1.0],
    [123456789.0],
    [complex(INF, NAN), complex(1, -2)],
    [complex(1e9, 2e-9), complex(3, -4)],
]


def arrays() -> list[tuple[str, np.ndarray]]:
    draws = np.random.RandomState(0)
    found: list[tuple[str, np.ndarray]] = []
    for dtype in ("float32", "float64", "int64", "uint8", "bool", "complex64"):
        for shape in SHAPES:
            for scale in (1.0, 1e-5, 1e6, 1e12) if "float" in dtype or "complex" in dtype else (10.0,):
                values = np.asarray(draws.randn(*shape) * scale)
                if dtype == "bool":
                    values = np.asarray(values > 0)
                elif dtype == "uint8":
                    values = np.abs(values)
                elif dtype == "complex64":
                    values = values + 1j * np.asarray(draws.randn(*shape) * scale)
                found.append((dtype, np.asarray(values).astype(dtype)))
    return found


def texts(framework: Any) -> list[str]:
    tensors = [
        framework.tensor(values.tolist(), dtype=getattr(framework, dtype)).reshape(values.shape)
        for dtype, values in arrays()
    ]
    for values in SPECIAL:
        tensors.append(framework.tensor(values))
        if not isinstance(values[0], complex):
            tensors.append(framework.tensor(values, dtype=framework.float64))
    leaf = framework.tensor([1.0, 2.0], requires_grad=True)
    tensors += [leaf, leaf * 2, (leaf * 2).sum(), leaf.repeat(600) * 2, framework.nn.Parameter(leaf.detach())]
    return [str(t).replace("corten.", "torch.") for t in tensors]


def test_tensors_of_a_programs_class_print_its_name():
    found = []
    for framework in (corten, torch):
        kind = type("Temperatures", (framework.Tensor,), {})
        leaf = framework.ones(2, 3, dtype=framework.float64).as_subclass(kind)
        found.append([str(t).replace("corten.", "torch.") for t in (leaf, leaf.sum(), leaf.requires_grad_())])
    assert found[0] == found[1] and found[0][0].startswith("Temperatures([[1., 1., 1.],")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_tensors_print_as_in_pytorch(options):
    found = []
    for framework in (corten, torch):
        try:
            framework.set_printoptions(**options)
            found.append(texts(framework))
        finally:
            framework.set_printoptions(profile="default")
    assert len(found[0]) > 150
    assert [pair for pair in zip(*found, strict=True) if pair[0] != pair[1]] == []
