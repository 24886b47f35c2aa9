"""Batches of tensors, what `fit` makes of the data that it gets, and where in a pass over them a run is."""

import math

import corten

from ..utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from .randomness import random_state, set_random_state

__all__ = ["Batches", "Stream", "as_batches", "batch_size_of", "moved"]

# Batches whose rows are sorted by length together.
_POOL = 50


class Batches:
    """Batches of rows of tensors, shuffled in every pass, made by whole-tensor operators where the tensors are.

    A pass can be left and found again: `state_dict` in the middle of it, then `load_state_dict`, and the next `iter`
    goes on behind the batch that came last.

    Args:
        tensors: with equal first dims `(N, ...)`.
        batch_size: rows of a batch.
        shuffle: a new permutation in every pass, drawn from `generator` or the CPU's default one.
        drop_last: leaves out a last batch that is not full.
        transform: called with the tensors of a batch; its result is the batch. For augmentation.
        generator: source of the permutations.
        lengths: `(N,)`, by which rows of about the same length share a batch, so that little of it is padding:
            every 50 batches of a permutation are sorted by it, and the batches shuffled.

    Raises:
        ValueError: for no tensors, `lengths` without `shuffle`, unequal first dims, a `batch_size` that is not
            positive, and `drop_last` where there are fewer rows than `batch_size`.

    Example:
        >>> import corten
        >>> batches = corten.training.Batches(corten.arange(5), batch_size=2, shuffle=False)
        >>> [rows.tolist() for rows, in batches]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, *tensors, batch_size=32, shuffle=True, drop_last=False, transform=None, generator=None, lengths=None
    ):
        if not tensors:
            raise ValueError("Batches needs at least one tensor")
        if lengths is not None and not shuffle:
            raise ValueError("Batches: lengths decide on the order of rows, so they need shuffle=True")
        counts = [len(tensor) for tensor in (*tensors, *([] if lengths is None else [lengths]))]
        if len(set(counts)) != 1:
            raise ValueError(f"Batches needs tensors with equal first dims, but got {counts}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"Batches: batch_size has to be a positive integer, but got {batch_size!r}")
        if drop_last and counts[0] < batch_size:
            raise ValueError(f"Batches: batch_size {batch_size} is more than the {counts[0]} rows there are")
        self.tensors, self.count, self.batch_size = tensors, counts[0], batch_size
        self.shuffle, self.drop_last, self.transform, self.generator = shuffle, drop_last, transform, generator
        self.lengths = None if lengths is None else lengths.cpu().long()
        self._order, self._position, self._loaded = None, 0, False

    def __len__(self):
        """Batches of a pass."""
        return self.count // self.batch_size if self.drop_last else math.ceil(self.count / self.batch_size)

    def __iter__(self):
        if not self._loaded:
            self._order = self._permutation() if self.shuffle else None
            self._position = 0
        self._loaded = False
        # The permutation goes to each device once a pass, not batch by batch.
        orders = {} if self._order is None else {t.device: self._order.to(t.device) for t in self.tensors}
        while self._position < len(self):
            rows = slice(self._position * self.batch_size, (self._position + 1) * self.batch_size)
            self._position += 1
            if self._order is None:
                batch = tuple(tensor[rows] for tensor in self.tensors)
            else:
                batch = tuple(tensor[orders[tensor.device][rows]] for tensor in self.tensors)
            yield batch if self.transform is None else self.transform(*batch)

    def _permutation(self):
        order = corten.randperm(self.count, generator=self.generator, device="cpu")
        if self.lengths is None:
            return order
        full = self.count // self.batch_size
        rows = order[: full * self.batch_size]
        pool = corten.arange(len(rows), device="cpu") // (_POOL * self.batch_size)
        rows = rows[(pool * (int(self.lengths.max()) + 1) + self.lengths[rows]).argsort(stable=True)]
        batches = corten.randperm(full, generator=self.generator, device="cpu")
        return corten.cat([rows.view(full, self.batch_size)[batches].flatten(), order[len(rows) :]])

    def state_dict(self):
        """The permutation of this pass and the position in it; the generator's state, where there is one."""
        state = {"order": self._order, "position": self._position}
        if self.generator is not None:
            state["generator"] = self.generator.get_state()
        return state

    def load_state_dict(self, state):
        """Goes on from what `state_dict` told.

        Raises:
            ValueError: the state is of another number of rows.
        """
        order = state["order"]
        if (order is None) == self.shuffle and state["position"]:
            raise ValueError("Batches: the state is of a run that differs in shuffle")
        if order is not None and len(order) != self.count:
            raise ValueError(f"Batches: the state is of {len(order)} rows, but there are {self.count}")
        # Behind the last batch there is nothing to go on with: the next pass is a new one.
        self._order, self._position, self._loaded = order, state["position"], 0 < state["position"] < len(self)
        if self.generator is not None:
            self.generator.set_state(state["generator"])


def as_batches(data, batch_size, shuffle, what="data"):
    """What `data` means: tensors and datasets become batches, other iterables and functions of none are batches.

    Raises:
        TypeError: for what cannot be gone through.
        ValueError: for a `batch_size` beside data that make batches themselves.
    """
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, corten.Tensor):
        data = (data,)
    if isinstance(data, tuple) and data and all(isinstance(part, corten.Tensor) for part in data):
        return Batches(*data, batch_size=batch_size or 32, shuffle=shuffle)
    if isinstance(data, Dataset):
        orders = {} if isinstance(data, IterableDataset) else {"shuffle": shuffle}
        return DataLoader(data, batch_size=batch_size or 32, **orders)
    if not hasattr(data, "__iter__") and not callable(data):
        raise TypeError(
            f"fit: {what} has to be tensors, a Dataset, an iterable of batches or a function that returns one, "
            f"but got {type(data).__name__}"
        )
    if batch_size is not None:
        raise ValueError(f"fit: batch_size is for tensors and Datasets; {what} makes its batches itself")
    return data


class Stream:
    """Batches of one pass after another, and the place in the pass.

    The place is found again by `load_state_dict` of the data where they have it; else by going through the same pass
    from the random states with which it began.
    """

    def __init__(self, data, gpu):
        self.data, self.gpu = data, gpu
        self.passes = self.position = 0
        self._iterator = self._start = None
        self._keeps_place = hasattr(data, "state_dict") and hasattr(data, "load_state_dict")

    def length(self):
        """Batches of a pass, or None where nobody knows."""
        try:
            return len(self.data)
        except TypeError:
            return None

    def take(self, count):
        """The next batches of this pass, `count` or what is left; an empty list at its end."""
        if self._iterator is None:
            self._begin()
        found = []
        while len(found) < count:
            batch = next(self._iterator, self)
            if batch is self:
                break
            found.append(batch)
            self.position += 1
        if not found and not self.position:
            raise ValueError(
                "fit: the data gave no batch in a pass; an iterator can be gone through once: give a list, or a "
                "function that makes a new iterator"
            )
        return found

    def end(self):
        """Ends the pass; `take` begins the next one."""
        self._iterator = self._start = None
        self.passes, self.position = self.passes + 1, 0

    def _begin(self):
        if not self._keeps_place:
            self._start = {"random": random_state(self.gpu), "generators": [g.get_state() for g in self._generators()]}
        self._open()

    def _open(self):
        for part in (self.data, getattr(self.data, "sampler", None)):
            if hasattr(part, "set_epoch"):
                part.set_epoch(self.passes)
        self._iterator = iter(self.data() if callable(self.data) and not hasattr(self.data, "__iter__") else self.data)

    def _generators(self):
        """The random generators of a loader and its samplers, each once."""
        batches = getattr(self.data, "batch_sampler", None)
        holders = [self.data, getattr(self.data, "sampler", None), batches, getattr(batches, "sampler", None)]
        found = {id(g): g for g in (getattr(holder, "generator", None) for holder in holders) if g is not None}
        return list(found.values())

    def _skip(self, count):
        samples_here = isinstance(self.data, DataLoader) and self.data.num_workers == 0
        indices = samples_here and not isinstance(self.data.dataset, IterableDataset)
        for _ in range(count):
            if indices:
                # Of a pass in this process the order is all that has to be made again, not the samples.
                self._iterator._next_index()
            else:
                next(self._iterator)

    def state_dict(self):
        """The place in the pass."""
        state = {"passes": self.passes, "position": self.position, "start": self._start}
        if self._keeps_place:
            state["data"] = self.data.state_dict()
        else:
            state["generators"] = [generator.get_state() for generator in self._generators()]
        return state

    def load_state_dict(self, state):
        """Finds the place again. Global random states are to be set afterwards."""
        self.passes, self.position, self._start = state["passes"], state["position"], state["start"]
        self._iterator = None
        if self._keeps_place:
            self.data.load_state_dict(state["data"])
            if self.position and self.position == self.length():
                self._iterator = iter(())
            elif self.position:
                self._open()
            return
        if self.position:
            set_random_state(self._start["random"])
            self._set_generators(self._start["generators"])
            self._open()
            self._skip(self.position)
        else:
            self._set_generators(state["generators"])

    def _set_generators(self, states):
        for generator, state in zip(self._generators(), states, strict=True):
            generator.set_state(state)


def moved(batch, device):
    """The batch with its tensors on `device`: tensors in tuples, lists and dicts; anything else stays."""
    if isinstance(batch, corten.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(part, device) for part in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(moved(part, device) for part in batch)
    return batch


def batch_size_of(batch):
    """The first dim of the first tensor in the batch, 1 where there is none."""
    if isinstance(batch, corten.Tensor):
        return len(batch) if batch.dim() else 1
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (list, tuple)) else ()
    for part in parts:
        if isinstance(part, (corten.Tensor, dict, list, tuple)):
            return batch_size_of(part)
    return 1
