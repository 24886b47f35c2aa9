"""Samplers that look at labels; :class:`corten.utils.data.WeightedRandomSampler` draws by weights."""

import corten
from corten.utils.data.sampler import Sampler, _check_positive, draw_seed

from .splits import codes, stratified_order

__all__ = ["BalancedBatchSampler", "StratifiedSampler", "class_weights"]


def _seeded(generator):
    """The generator of one pass: the given one, or a fresh one seeded from the global one."""
    if generator is None:
        generator = corten.Generator()
        generator.manual_seed(draw_seed())
    return generator


def class_weights(labels):
    """Weights ``(N,)``, float64, under which every class is drawn as often as every other: one over its count.

    They are what `WeightedRandomSampler` takes. Labels are numbers or strings.
    """
    import numpy as np

    numbers, _ = codes(labels, "labels")
    return corten.from_numpy(1.0 / np.bincount(numbers)[numbers])


class StratifiedSampler(Sampler):
    """All indices, once each, in a random order in which every batch has the classes in the shares of the whole.

    Args:
        labels: ``(N,)``, numbers or strings.
        generator: source of randomness; where not given, each pass takes one seed from the global generator.
    """

    def __init__(self, labels, generator=None):
        self.labels, _ = codes(labels, "labels")
        self.generator = generator

    def __iter__(self):
        return iter(stratified_order(self.labels, generator=_seeded(self.generator)).tolist())

    def __len__(self):
        return len(self.labels)


class BalancedBatchSampler(Sampler):
    """Batches with the same number of samples of each of some classes, for rare classes and for metric learning.

    A ``batch_sampler`` of :class:`corten.utils.data.DataLoader`. The classes of a batch are drawn at random, none
    twice. The samples of a class take turns: none comes again before all others of its class have come, so a batch
    holds one twice only where its class has fewer samples than ``samples_per_class``.

    Args:
        labels: ``(N,)``, numbers or strings.
        samples_per_class: of each class in a batch.
        classes_per_batch: how many classes a batch holds; all where not given.
        num_batches: batches of a pass; where not given, as many as have the dataset's number of samples together.
        generator: source of randomness; where not given, each pass takes one seed from the global generator.

    Raises:
        ValueError: counts that are not positive integers, or more classes than there are.
    """

    def __init__(self, labels, samples_per_class, classes_per_batch=None, num_batches=None, generator=None):
        self.labels, count = codes(labels, "labels")
        classes_per_batch = count if classes_per_batch is None else classes_per_batch
        _check_positive("samples_per_class", samples_per_class)
        _check_positive("classes_per_batch", classes_per_batch)
        if classes_per_batch > count:
            raise ValueError(f"classes_per_batch={classes_per_batch} is more than the {count} classes of the labels")
        batch = samples_per_class * classes_per_batch
        num_batches = max(len(self.labels) // batch, 1) if num_batches is None else num_batches
        _check_positive("num_batches", num_batches)
        self.samples_per_class = samples_per_class
        self.classes_per_batch = classes_per_batch
        self.num_batches = num_batches
        self.num_classes = count
        self.generator = generator

    def __iter__(self):
        import numpy as np

        generator = _seeded(self.generator)
        by_class = np.argsort(self.labels, kind="stable")
        sizes = np.bincount(self.labels)
        members = np.split(by_class, np.cumsum(sizes)[:-1])
        turns = self._turns(generator)
        needed = np.bincount(turns.ravel(), minlength=self.num_classes) * self.samples_per_class
        # Every class's samples of the whole pass, dealt out batch by batch: one random order, again and again, so that
        # as many as the class has are always different.
        orders = [corten.randperm(len(own), generator=generator, device="cpu").numpy() for own in members]
        queues = [np.resize(own[order], count) for own, order, count in zip(members, orders, needed)]
        offsets = np.concatenate([[0], np.cumsum(needed)[:-1]])
        pool = np.concatenate(queues)
        taken = np.zeros(self.num_classes, dtype=np.int64)
        steps = np.arange(self.samples_per_class)
        for classes in turns:
            first = offsets[classes] + taken[classes]
            taken[classes] += self.samples_per_class
            yield pool[first[:, None] + steps].ravel().tolist()

    def _turns(self, generator):
        """The classes of each batch ``(batches, classes_per_batch)``, none twice in a batch."""
        keys = corten.rand(self.num_batches, self.num_classes, generator=generator, device="cpu")
        return keys.argsort(1)[:, : self.classes_per_batch].numpy()

    def __len__(self):
        return self.num_batches
