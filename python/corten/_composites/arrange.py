"""Putting tensors side by side and taking them apart: grids, stacks, splits, broadcasting."""

import warnings

from .. import _core
from ._common import Tensor, ops, result, tensors_of


def meshgrid(*tensors, indexing=None):
    """Coordinate grids of vectors: element ``[i, j, …]`` of the k-th result is element i, j, … of the k-th vector.

    Args:
        indexing: ``"ij"`` (the default) or ``"xy"``, which swaps the first two dims.
    """
    tensors = tensors_of(tensors)
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in tensors:
        if x.dim() > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x.dim()}D")
        if x.dtype != tensors[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    if indexing is None:
        _warn_about_indexing()
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(tensors) > 1
    if swap:
        tensors[0], tensors[1] = tensors[1], tensors[0]
    shape = [x.numel() for x in tensors]
    grids = []
    for d, x in enumerate(tensors):
        grids.append(x.reshape([-1 if k == d else 1 for k in range(len(shape))]).expand(shape))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


_warned = False


def _warn_about_indexing():
    import warnings

    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "corten.meshgrid: in an upcoming release, it will be required to pass the indexing argument.", stacklevel=3
        )


def adjoint(input):
    """Matrices ``(*, m, n)`` conjugated and with their last two dims swapped, of real ones a view."""
    if input.dim() == 1:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.")
    if input.dim() == 0:
        _warn_of_number("mH", "matrices or batches of matrices")
    return (input.transpose(-2, -1) if input.dim() else input).conj()


def conjugate_transpose(input):
    """A matrix conjugated and transposed (``Tensor.H``); a number conjugated."""
    if input.dim() not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {input.dim()}-D tensor."
            + (" For batches of matrices, consider using tensor.mH" if input.dim() > 2 else "")
        )
    if input.dim() == 0:
        _warn_of_number("H", "matrices")
        return input.conj()
    return adjoint(input)


def _warn_of_number(name, kind):
    warnings.warn(
        f"Tensor.{name} is deprecated on 0-D tensors: it does nothing but conjugate, and a future release will only "
        f"take {kind}. Use x.conj().",
        stacklevel=3,
    )


def diagflat(input, offset=0):
    """A matrix with the elements of a tensor, in row-major order, on a diagonal."""
    return input.reshape(-1).diag(offset)


def cartesian_prod(*tensors):
    """Every combination of one element of each vector, as rows in order."""
    tensors = tensors_of(tensors)
    for x in tensors:
        if x.dim() != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return ops.stack([grid.flatten() for grid in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input, r=2, with_replacement=False):
    """The combinations of ``r`` elements of a vector, as rows in the order of :mod:`itertools`."""
    import itertools

    if input.dim() != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return ops.empty((0,), dtype=input.dtype, device=input.device)
    n = input.numel()
    if r == 2:
        pairs = ops.triu_indices(n, n, 0 if with_replacement else 1, device=input.device)
        return input.index_select(0, pairs.t().reshape(-1)).reshape(-1, 2)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = [place for row in choose(range(n), r) for place in row]
    return input.index_select(0, _core.tensor(places, dtype=_core.int64, device=input.device)).reshape(-1, r)


def broadcast_shapes(*shapes):
    """The shape that shapes broadcast to.

    Raises:
        RuntimeError: where they do not.
    """
    from .. import Size

    lists = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    joined = []
    for i in range(1, max(map(len, lists), default=0) + 1):
        size = 1
        for shape in lists:
            n = shape[-i] if i <= len(shape) else 1
            if n < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({n}): ({n})")
            if n != 1 and size not in (1, n):
                raise RuntimeError(
                    f"Shape mismatch: objects cannot be broadcast to a single shape: {', '.join(map(str, lists))}"
                )
            size = n if size == 1 else size
        joined.append(size)
    return Size(reversed(joined))


def broadcast_tensors(*tensors):
    """The tensors, all expanded to the shape they broadcast to."""
    tensors = tensors_of(tensors)
    if not tensors:
        return ()
    shape = tensors[0].shape
    for x in tensors[1:]:
        # The native rule, for its message.
        if x.shape != shape:
            shape = (
                (ops.empty(1).expand(shape) + ops.empty(1).expand(x.shape)).shape
                if _clash(shape, x)
                else (broadcast_shapes(shape, x.shape))
            )
    return tuple(x.expand(shape) for x in tensors)


def _clash(shape, x):
    return any(m != n and 1 not in (m, n) for m, n in zip(reversed(shape), reversed(x.shape), strict=False))


def _at_least(rank, place):
    def apply(*tensors):
        given = tensors_of(tensors)
        out = tuple(place(x) if x.dim() < rank else x for x in given)
        single = len(tensors) == 1 and isinstance(tensors[0], Tensor)
        return out[0] if single else out

    apply.__name__ = apply.__qualname__ = f"atleast_{rank}d"
    apply.__doc__ = f"The tensor, or the tensors as a tuple, with at least {rank} dims."
    return apply


def _to_3d(x):
    if x.dim() == 2:
        return x.unsqueeze(-1)
    return x.reshape(1, 1, 1) if x.dim() == 0 else x.unsqueeze(0).unsqueeze(-1)


atleast_1d = _at_least(1, lambda x: x.reshape(1))
atleast_2d = _at_least(2, lambda x: x.reshape(1, 1) if x.dim() == 0 else x.unsqueeze(0))
atleast_3d = _at_least(3, _to_3d)


def hstack(tensors, *, out=None):
    """Tensors joined along the second dim, vectors along their only one."""
    parts = _non_empty("hstack", tensors)
    parts = [atleast_1d(x) for x in parts]
    return result(ops.cat(parts, 0 if parts[0].dim() == 1 else 1), out)


def vstack(tensors, *, out=None):
    """Tensors joined as rows, along the first dim."""
    return result(ops.cat([atleast_2d(x) for x in _non_empty("vstack", tensors)], 0), out)


def dstack(tensors, *, out=None):
    """Tensors joined along the third dim."""
    return result(ops.cat([atleast_3d(x) for x in _non_empty("dstack", tensors)], 2), out)


def column_stack(tensors, *, out=None):
    """Tensors joined along the second dim, vectors as columns."""
    parts = [x.reshape(x.numel(), 1) if x.dim() <= 1 else x for x in _non_empty("column_stack", tensors)]
    return result(ops.cat(parts, 1), out)


row_stack = vstack


def _non_empty(name, tensors):
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors


def _splitter(name, rank, dim_of):
    def split(input, indices_or_sections):
        if input.dim() < rank:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {rank} dimension, but got a tensor with {input.dim()} "
                "dimensions!"
            )
        dim = dim_of(input)
        if isinstance(indices_or_sections, int):  # noqa: SIM102
            if indices_or_sections <= 0 or input.size(dim) % indices_or_sections:
                raise RuntimeError(
                    f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
                    f"{input.size(dim)} is not divisible by the split_size {indices_or_sections}!"
                )
        return input.tensor_split(indices_or_sections, dim)

    split.__name__ = split.__qualname__ = name
    split.__doc__ = (
        f"Equal pieces, or the pieces between indices, along dim {dict(hsplit=1, vsplit=0, dsplit=2)[name]}"
        + (" (0 for vectors)." if name == "hsplit" else ".")
    )
    return split


hsplit = _splitter("hsplit", 1, lambda x: 0 if x.dim() == 1 else 1)
vsplit = _splitter("vsplit", 2, lambda x: 0)
dsplit = _splitter("dsplit", 3, lambda x: 2)


def slice_inverse(input, src, dim=0, start=None, end=None, step=1):
    """The tensor ``src`` again, out of its slice ``input``: the window of its shape and strides on the slice's storage.

    Args:
        dim, start, end, step: how ``input`` was sliced; the storage says it as well.

    Raises:
        RuntimeError: the slice's storage is too small, as that of a copy is.
    """
    return input.as_strided(src.size(), src.stride(), src.storage_offset())
