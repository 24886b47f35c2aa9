"""Table lookups: embedding and embedding_bag."""

import corten

from ... import _ops
from ..._composites._common import everywhere
from ...overrides import hand_over, taken, takes_over


def _renormalize_rows(weight, indices, max_norm, norm_type):
    """Scales the rows of ``weight`` named by ``indices`` down to ``max_norm``, in place and without gradient."""
    with corten.no_grad():
        rows = corten.unique(indices.reshape(-1))
        values = weight[rows]
        norms = values.norm(norm_type, 1, keepdim=True)
        scale = corten.where(norms > max_norm, max_norm / (norms + 1e-7), corten.ones_like(norms))
        weight[rows] = values * scale


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """Returns the rows of ``weight`` ``(V, D)`` named by ``input`` ``(*)`` as ``(*, D)``.

    Args:
        padding_idx: a row that receives no gradient.
        max_norm: rows that are used and longer than this are scaled down to it, in place.
        norm_type: the norm that ``max_norm`` means.
        scale_grad_by_freq: divide a row's gradient by how often it occurs in ``input``.
        sparse: accepted; gradients are dense.
    """
    if taken.over and takes_over(input, weight):
        return hand_over(embedding, locals(), input, weight)
    if weight.dim() != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, got a tensor of shape {list(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is None:
        padding_idx = -1
    elif padding_idx > 0:
        assert padding_idx < rows, "Padding_idx must be within num_embeddings"
    elif padding_idx < 0:
        assert padding_idx >= -rows, "Padding_idx must be within num_embeddings"
        padding_idx += rows
    if max_norm is not None:
        _renormalize_rows(weight, input, max_norm, norm_type)
    return _ops.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)


def _check_bag_arguments(input, offsets, mode, scale_grad_by_freq, per_sample_weights):
    if per_sample_weights is not None and input.shape != per_sample_weights.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the "
            f"same shape as the input ({input.shape})"
        )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
    elif input.dim() == 1:
        if not isinstance(offsets, corten.Tensor):
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}')."
        )
    if input.dtype not in (corten.int64, corten.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {input.dtype} instead (while checking arguments for embedding_bag)"
        )


def _outside(input, rows):
    place = int(((input < 0) | (input >= rows)).to(corten.int64).argmax())
    return f"embedding_bag: Index {place} of input takes value {int(input[place])} which is not in the valid range [0, {rows})"  # noqa: E501


def _bag_of_position(offsets, length, include_last_offset):
    """Returns (bag index of every position ``(length,)``, number of bags) for 1-d offsets."""
    bags = offsets.shape[0]
    if bags and hasattr(offsets, "_run_backward"):
        if not everywhere((offsets[0] == 0) & (offsets[-1] <= length)):
            raise RuntimeError(
                f"embedding_bag: offsets of an example do not begin at 0, or end beyond the input's length {length}"
            )
    elif bags and not offsets.is_meta:
        first, last = int(offsets[0]), int(offsets[-1])
        if first != 0:
            raise RuntimeError(
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
                f"However, got {first}"
            )
        if last > length:
            raise RuntimeError(
                f"offsets[-1] can not be greater than input's length {length} but got offsets[-1] of {last}"
            )
    if include_last_offset:
        if not bags:
            raise RuntimeError("include_last_offset: number of offset should be at least 1")
        bags -= 1
    positions = corten.arange(length, dtype=offsets.dtype, device=offsets.device)
    bag = corten.searchsorted(offsets.contiguous(), positions, right=True) - 1
    return bag, bags


def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm=None,
    norm_type=2,
    scale_grad_by_freq=False,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """Sums, averages or takes the maximum of bags of rows of ``weight`` ``(V, D)``; returns ``(B, D)``.

    Args:
        input: row indices, ``(B, N)`` for bags of equal size or ``(L,)`` with ``offsets``.
        offsets: start of each bag in a 1-d ``input``.
        mode: ``"sum"``, ``"mean"`` or ``"max"``; an empty bag gives zeros.
        per_sample_weights: factors of the rows, for ``"sum"``.
        include_last_offset: the last offset is the end of the last bag.
        padding_idx: entries of ``input`` equal to it are left out.
    """
    if taken.over and takes_over(input, weight, offsets, per_sample_weights):
        return hand_over(embedding_bag, locals(), input, weight, offsets, per_sample_weights)
    if weight.dtype == corten.int64 and input.is_floating_point():
        raise ValueError(
            "Argument order of nn.functional.embedding_bag is (input, weight, ...); the two look exchanged."
        )
    _check_bag_arguments(input, offsets, mode, scale_grad_by_freq, per_sample_weights)
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RuntimeError("padding_idx must be within the number of embeddings")
        padding_idx %= rows
    if max_norm is not None:
        _renormalize_rows(weight, input, max_norm, norm_type)
    if input.dim() == 2 and input.shape[1] and padding_idx is None:
        return _equal_bags(input, weight, mode, per_sample_weights, scale_grad_by_freq)
    if input.dim() == 2:
        bags, per_bag = input.shape
        bag = corten.arange(bags, device=input.device).repeat_interleave(per_bag)
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    else:
        bag, bags = _bag_of_position(offsets, input.shape[0], include_last_offset)
        if include_last_offset:
            end = None if offsets.is_meta else int(offsets[-1])
            input, bag = input[:end], bag[:end]
            per_sample_weights = None if per_sample_weights is None else per_sample_weights[:end]

    try:
        vectors = _ops.embedding(weight, input, -1, scale_grad_by_freq, sparse)
    except IndexError:
        raise RuntimeError(_outside(input, rows)) from None
    if not bags:
        return vectors.new_zeros(0, weight.shape[1])
    kept = None
    if padding_idx is not None:
        kept = input != padding_idx
    return _reduce_bags(vectors, bag, bags, mode, kept, per_sample_weights)


def _equal_bags(input, weight, mode, per_sample_weights, scale_grad_by_freq):
    """Bags of one size, ``input`` ``(B, N)``."""
    try:
        if mode == "max":
            return _ops.embedding(weight, input).max(1).values
        total = _ops._embedding_bag_sum(weight, input, per_sample_weights, scale_grad_by_freq)
    except IndexError:
        raise RuntimeError(_outside(input.reshape(-1), weight.shape[0])) from None
    return total / input.shape[1] if mode == "mean" else total


def _reduce_bags(vectors, bag, bags, mode, kept, per_sample_weights):
    dim = vectors.shape[1]
    if mode == "max":
        if kept is not None:
            vectors, bag = vectors[kept], bag[kept]
        index = bag.unsqueeze(1).expand(-1, dim)
        return vectors.new_zeros(bags, dim).scatter_reduce(0, index, vectors, "amax", include_self=False)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights.unsqueeze(1)
    if kept is not None:
        vectors = vectors * kept.unsqueeze(1).to(vectors.dtype)
    total = vectors.new_zeros(bags, dim).index_add(0, bag, vectors)
    if mode == "sum":
        return total
    ones = vectors.new_ones(bag.shape[0]) if kept is None else kept.to(vectors.dtype)
    counts = vectors.new_zeros(bags).index_add(0, bag, ones)
    return total / counts.clamp_min(1).unsqueeze(1)
