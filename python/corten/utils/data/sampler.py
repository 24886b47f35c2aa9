"""Samplers: in which order, and in which batches, a loader asks for samples.

Each consumes random numbers exactly as its namesake in PyTorch does, so that a seeded program sees the same batches.
"""

import itertools
from types import GenericAlias

import corten

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


def draw_seed(generator=None):
    """A non-negative 63-bit seed from ``generator``, or from the global one."""
    return int(corten.empty((), dtype=corten.int64, device="cpu").random_(generator=generator).item())


def _check_positive(name, value):
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


class Sampler:
    """Base class: subclasses write ``__iter__``, which yields indices, and usually ``__len__``."""

    __class_getitem__: classmethod = classmethod(GenericAlias)

    def __iter__(self):
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler):
    """Indices in order."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler):
    """Indices in random order, or drawn with replacement.

    Args:
        data_source: dataset whose length counts.
        replacement: draws each index anew.
        num_samples: number of indices, the dataset's length where not given.
        generator: source of randomness; where not given, each pass takes one seed from the global generator.

    Raises:
        TypeError: unless ``replacement`` is a bool.
        ValueError: unless ``num_samples`` is a positive integer.
    """

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self):
        """Indices a pass; the dataset's length may have changed since the last."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self):
        count = len(self.data_source)
        generator = self.generator
        if generator is None:
            generator = corten.Generator()
            generator.manual_seed(draw_seed())
        full, rest = divmod(self.num_samples, 32 if self.replacement else count)
        if self.replacement:
            # Blocks of 32 fix how many numbers are drawn when a pass is left early.
            for size in [32] * full + [rest]:
                yield from corten.randint(
                    high=count, size=(size,), dtype=corten.int64, generator=generator, device="cpu"
                ).tolist()
            return
        for _ in range(full):
            yield from corten.randperm(count, generator=generator, device="cpu").tolist()
        yield from corten.randperm(count, generator=generator, device="cpu").tolist()[:rest]

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in random order."""

    def __init__(self, indices, generator=None):
        self.indices = indices
        self.generator = generator

    def __iter__(self):
        for position in corten.randperm(len(self.indices), generator=self.generator, device="cpu").tolist():
            yield self.indices[position]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices ``0 ... len(weights) - 1``, drawn in proportion to their weights.

    Args:
        weights: not necessarily summing to one.
        num_samples: number of indices.
        replacement: draws each index anew.
        generator: source of randomness.

    Raises:
        ValueError: for a count that is not a positive integer, ``replacement`` that is not a bool, and weights that
            are not a sequence of numbers.
    """

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        _check_positive("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        weights = corten.as_tensor(weights, dtype=corten.float64, device="cpu")
        if weights.dim() != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {tuple(weights.shape)}")
        self.weights = weights
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self):
        drawn = corten.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices of another sampler; the last one may be shorter unless ``drop_last``.

    Raises:
        ValueError: for a size that is not a positive integer and ``drop_last`` that is not a bool.
    """

    def __init__(self, sampler, batch_size, drop_last):
        _check_positive("batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self):
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self):
        extra = 0 if self.drop_last else self.batch_size - 1
        return (len(self.sampler) + extra) // self.batch_size
