"""Sequences of different lengths: packed, padded, and back."""

from collections import namedtuple
from collections.abc import Iterable
from itertools import pairwise

import corten

# The class below is what users see; its fields print under its name.
_PackedSequenceFields = namedtuple(  # type: ignore[name-match]
    "PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"]
)


def invert_permutation(permutation):
    """Returns the permutation that undoes ``permutation`` ``(N,)``; None stays None."""
    if permutation is None:
        return None
    inverse = corten.empty_like(permutation, memory_format=corten.legacy_contiguous_format)
    positions = corten.arange(permutation.numel(), device=permutation.device, dtype=permutation.dtype)
    return inverse.scatter_(0, permutation, positions)


class PackedSequence(_PackedSequenceFields):
    """The steps of sorted sequences, one step after the other, without padding.

    Attributes:
        data: ``(sum of lengths, *)``: all sequences' first steps, then all second steps, and so on.
        batch_sizes: on the CPU, how many sequences reach each step.
        sorted_indices: the order in which the sequences were sorted by length; None when they came sorted.
        unsorted_indices: the order that undoes it.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("PackedSequence takes data and batch_sizes, or a pair of both")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequences in "
                "nn.utils.rnn."
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with_data(self, data):
        """The same packing around other data, with the indices on the data's device."""
        if data is self.data:
            return self
        indices = [
            None if index is None else index.to(data.device) for index in (self.sorted_indices, self.unsorted_indices)
        ]
        return type(self)(data, self.batch_sizes, *indices)

    def to(self, *args, **kwargs):
        """Moves or casts ``data``; arguments as in :meth:`Tensor.to`."""
        return self._with_data(self.data.to(*args, **kwargs))

    def cpu(self, *args, **kwargs):
        """Moves to the CPU."""
        return self._with_data(self.data.cpu(*args, **kwargs))

    def cuda(self, *args, **kwargs):
        """Moves to the GPU."""
        return self._with_data(self.data.cuda(*args, **kwargs))

    def pin_memory(self):
        """Pins the memory of ``data``."""
        return self._with_data(self.data.pin_memory())

    def double(self):
        """Casts to float64."""
        return self.to(dtype=corten.float64)

    def float(self):
        """Casts to float32."""
        return self.to(dtype=corten.float32)

    def half(self):
        """Casts to float16."""
        return self.to(dtype=corten.float16)

    def long(self):
        """Casts to int64."""
        return self.to(dtype=corten.int64)

    def int(self):
        """Casts to int32."""
        return self.to(dtype=corten.int32)

    def short(self):
        """Casts to int16."""
        return self.to(dtype=corten.int16)

    def char(self):
        """Casts to int8."""
        return self.to(dtype=corten.int8)

    def byte(self):
        """Casts to uint8."""
        return self.to(dtype=corten.uint8)

    @property
    def is_cuda(self):
        """Whether ``data`` is on the GPU."""
        return self.data.is_cuda

    def is_pinned(self):
        """Whether ``data`` is in pinned memory."""
        return self.data.is_pinned()


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Packs padded sequences.

    Args:
        input: ``(T, N, *)``, or ``(N, T, *)`` with ``batch_first``.
        lengths: the sequences' lengths, a list or a CPU tensor ``(N,)``.
        enforce_sorted: require decreasing lengths instead of sorting.

    Raises:
        RuntimeError: lengths that are not positive, not sorted, or as many as there are sequences.
    """
    if not isinstance(lengths, corten.Tensor):
        lengths = corten.tensor(lengths, dtype=corten.int64, device="cpu")
    if lengths.device.type != "cpu":
        raise RuntimeError(
            "'lengths' argument should be a 1D CPU int64 tensor, but got "
            f"{lengths.dim()}D {lengths.device.type} {lengths.dtype} tensor"
        )
    steps, sorted_indices = lengths.tolist(), None
    if not enforce_sorted:
        order = sorted(range(len(steps)), key=steps.__getitem__, reverse=True)
        steps, sorted_indices = [steps[i] for i in order], corten.tensor(order, dtype=corten.int64, device=input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if batch_first:
        input = input.transpose(0, 1)
    data, batch_sizes = _pack(input, steps)
    return PackedSequence(data, batch_sizes, sorted_indices, None)


def _pack(input, lengths):
    """Packs ``(T, N, *)`` with decreasing ``lengths``; returns the rows and the batch sizes."""
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    batch = input.shape[1]
    if len(lengths) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} (batch_size={batch})"
        )
    if min(lengths) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if any(later > earlier for earlier, later in pairwise(lengths)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement."
        )
    if lengths[0] > input.shape[0]:
        raise RuntimeError(f"Expected lengths of at most {input.shape[0]} steps, but got {lengths[0]}")
    sizes, parts = [], []
    running, start = batch, 0
    # Steps with the same number of running sequences are copied together.
    while running:
        end = lengths[running - 1]
        parts.append(input[start:end, :running].reshape(-1, *input.shape[2:]))
        sizes += [running] * (end - start)
        start = end
        while running and lengths[running - 1] == end:
            running -= 1
    return corten.cat(parts), corten.tensor(sizes, dtype=corten.int64, device="cpu")


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """Undoes :func:`pack_padded_sequence`; returns the padded tensor and the lengths ``(N,)`` on the CPU.

    Args:
        sequence: a :class:`PackedSequence`.
        batch_first: return ``(N, T, *)`` instead of ``(T, N, *)``.
        padding_value: fills what is beyond a sequence's end.
        total_length: T; the longest length by default.
    """
    sizes = sequence.batch_sizes.tolist()
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
    else:
        total_length = steps
    batch = sizes[0]
    rows = []
    for part, size in zip(sequence.data.split(sizes), sizes, strict=True):
        if size < batch:
            fill = part.new_full((batch - size, *part.shape[1:]), padding_value)
            part = corten.cat([part, fill])
        rows.append(part)
    padded = corten.stack(rows)
    if total_length > steps:
        fill = padded.new_full((total_length - steps, *padded.shape[1:]), padding_value)
        padded = corten.cat([padded, fill])
    lengths = [sum(size > i for size in sizes) for i in range(batch)]
    if batch_first:
        padded = padded.transpose(0, 1)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = [lengths[i] for i in sequence.unsorted_indices.tolist()]
    return padded, corten.tensor(lengths, dtype=corten.int64, device="cpu")


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Stacks tensors ``(L_i, *)`` into ``(T, N, *)``, or ``(N, T, *)``, padding the shorter ones.

    Args:
        padding_side: ``"right"`` or ``"left"``.
    """
    if isinstance(sequences, corten.Tensor):
        sequences = sequences.unbind(0)
    elif not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(sequence.shape[0] for sequence in sequences)
    rows = []
    for sequence in sequences:
        missing = longest - sequence.shape[0]
        if missing:
            fill = sequence.new_full((missing, *sequence.shape[1:]), padding_value)
            sequence = corten.cat([sequence, fill] if padding_side == "right" else [fill, sequence])
        rows.append(sequence)
    return corten.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """Cuts a padded tensor into a list of tensors of the given lengths."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [sequence[: int(length)] for sequence, length in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences, enforce_sorted=True):
    """Packs a list of tensors ``(L_i, *)``, by decreasing length unless ``enforce_sorted`` is False."""
    lengths = corten.tensor([sequence.shape[0] for sequence in sequences], dtype=corten.int64, device="cpu")
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """Returns the list of tensors that :func:`pack_sequence` packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
