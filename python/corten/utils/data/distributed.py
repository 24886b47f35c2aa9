"""A sampler that gives each process of a group its own share of a dataset."""

import math

import corten

from .sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler):
    """Every ``num_replicas``-th index from ``rank`` on, of an order that is the same in all processes.

    Args:
        dataset: whose length counts.
        num_replicas, rank: size of the group and place in it; asked of ``corten.distributed`` where not given.
        shuffle: orders by ``seed + epoch``; call :meth:`set_epoch` before each epoch.
        seed: the same in all processes.
        drop_last: drops the tail that does not divide evenly; otherwise the first indices fill it up.

    Raises:
        RuntimeError: when the group is not known.
        ValueError: for a rank outside the group.
    """

    def __init__(self, dataset, num_replicas=None, rank=None, shuffle=True, seed=0, drop_last=False):
        if num_replicas is None or rank is None:
            group = _process_group()
            num_replicas = group.get_world_size() if num_replicas is None else num_replicas
            rank = group.get_rank() if rank is None else rank
        if rank >= num_replicas or rank < 0:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        count = len(dataset)
        if drop_last and count % num_replicas != 0:
            count -= num_replicas
        self.num_samples = math.ceil(count / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self):
        if self.shuffle:
            generator = corten.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = corten.randperm(len(self.dataset), generator=generator, device="cpu").tolist()
        else:
            indices = list(range(len(self.dataset)))
        missing = self.total_size - len(indices)
        if missing > 0:
            indices += (indices * math.ceil(missing / len(indices)))[:missing]
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch):
        """Chooses the order of the next pass."""
        self.epoch = epoch


def _process_group():
    group = getattr(corten, "distributed", None)
    if group is None or not group.is_available():
        raise RuntimeError("Requires distributed package to be available")
    return group
