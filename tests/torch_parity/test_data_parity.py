"""Samplers, splits and loaders beside PyTorch's: the same order from the same seeds, in this process and in workers."""

from __future__ import annotations

import random

import corten
import corten.utils.data
import numpy as np
import pytest
import torch
import torch.utils.data

LIBRARIES = (corten, torch)
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def generator(lib, seed):
    return lib.Generator().manual_seed(seed)


SAMPLERS = {
    "random": lambda lib, data: data.RandomSampler(range(50)),
    "replacement": lambda lib, data: data.RandomSampler(range(50), True, 70),
    "many": lambda lib, data: data.RandomSampler(range(50), num_samples=120),
    "generator": lambda lib, data: data.RandomSampler(range(50), generator=generator(lib, 3)),
    "subset": lambda lib, data: data.SubsetRandomSampler([5, 6, 7, 8, 9]),
    "weighted": lambda lib, data: data.WeightedRandomSampler([0.1, 0.2, 0.7, 1.0], 20),
    "weighted once": lambda lib, data: data.WeightedRandomSampler([0.1, 0.2, 0.7, 1.0], 3, False),
    "batches": lambda lib, data: data.BatchSampler(data.RandomSampler(range(13)), 4, False),
    "distributed": lambda lib, data: data.DistributedSampler(range(17), 4, 2),
    "distributed short": lambda lib, data: data.DistributedSampler(range(17), 4, 3, shuffle=False, drop_last=True),
    "distributed tiny": lambda lib, data: data.DistributedSampler(range(3), 8, 7),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_give_pytorchs_order_and_leave_the_generator_where_pytorch_does(name):
    results = []
    for lib in LIBRARIES:
        lib.manual_seed(9)
        sampler = SAMPLERS[name](lib, lib.utils.data)
        results.append((list(sampler), list(sampler), len(sampler), lib.rand(1).item()))
    assert results[0] == results[1]


@pytest.mark.parametrize("lengths", [[50, 53], [0.5, 0.5], [0.3, 0.3, 0.4]])
def test_random_splits_are_pytorchs(lengths):
    results = []
    for lib in LIBRARIES:
        lib.manual_seed(1)
        splits = [lib.utils.data.random_split(range(103), lengths)]
        splits.append(lib.utils.data.random_split(range(103), lengths, generator(lib, 4)))
        results.append([[part.indices for part in split] for split in splits])
    assert results[0] == results[1]


class Samples:
    """Numbers, and what the generators of the process give."""

    def __init__(self, lib):
        self.lib = lib

    def __len__(self):
        return 103

    def __getitem__(self, index):
        return index, {"r": random.random(), "t": self.lib.rand(2), "n": np.random.rand(), "s": str(index)}


LOADERS = [
    dict(batch_size=10, shuffle=True),
    dict(batch_size=10, shuffle=True, drop_last=True, generator=1),
    dict(batch_size=None, shuffle=True),
    dict(batch_size=10, shuffle=True, num_workers=2),
    dict(batch_size=10, shuffle=True, num_workers=2, persistent_workers=True, prefetch_factor=1),
    dict(batch_size=7, num_workers=2, generator=5, shuffle=True),
]


def plain(value):
    if hasattr(value, "tolist"):
        return (str(value.dtype).rpartition(".")[2], value.tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("options", LOADERS)
def test_loaders_give_pytorchs_batches_and_seed_their_workers_alike(options):
    results = []
    for lib in LIBRARIES:
        lib.manual_seed(3)
        np.random.seed(0)
        random.seed(0)
        own = dict(options)
        if "generator" in own:
            own["generator"] = generator(lib, own["generator"])
        if own.get("num_workers"):
            own["multiprocessing_context"] = "fork"
        loader = lib.utils.data.DataLoader(Samples(lib), **own)
        results.append([plain(list(loader)), plain(list(loader)), lib.rand(3).tolist(), len(loader)])
    assert results[0] == results[1]
