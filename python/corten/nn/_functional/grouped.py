"""Products of several matrices in one call: groups of rows with a matrix each."""

import corten


def _pieces(offs, size, what):
    """The bounds of the groups along a dim of that size.

    Raises:
        RuntimeError: the ends are missing, not in order, or beyond the size.
    """
    if offs is None:
        raise RuntimeError(f"grouped_mm: {what} is cut into groups by offs, which is not given")
    if offs.dim() != 1 or offs.dtype not in (corten.int32, corten.int64):
        raise RuntimeError(f"grouped_mm: offs must be one-dimensional int32, got {list(offs.shape)} of {offs.dtype}")
    ends = offs.tolist()
    starts = [0, *ends[:-1]]
    if any(start > end for start, end in zip(starts, ends, strict=True)) or (ends and ends[-1] > size):
        raise RuntimeError(f"grouped_mm: offs {ends} must ascend up to the size {size} of {what}")
    return list(zip(starts, ends, strict=True))


def grouped_mm(mat_a, mat_b, *, offs=None, bias=None, out_dtype=None):
    """The products of groups of a matrix's rows, or of batches, with a matrix for each.

    Args:
        mat_a, mat_b: ``(M, K)`` and ``(G, K, N)``: rows up to ``offs[0]`` are multiplied with the first matrix, and so
            on, which gives ``(M, N)``; rows beyond the last group are zero. ``(G, M, K)`` and ``(K, N)``: the same of
            columns. ``(M, K)`` and ``(K, N)``: K is cut, which gives ``(G, M, N)``. ``(G, M, K)`` and ``(G, K, N)``: a
            batched product.
        offs: int32 ``(G,)``, where each group ends.
        bias: added to the result, broadcast.
        out_dtype: the dtype of the result, that of ``mat_a`` where it is not given.

    Raises:
        RuntimeError: for shapes and ends that do not fit.
    """
    ranks = mat_a.dim(), mat_b.dim()
    if not set(ranks) <= {2, 3} or mat_a.shape[-1] != mat_b.shape[-2]:
        raise RuntimeError(
            f"grouped_mm: expected (M, K) or (G, M, K) times (K, N) or (G, K, N), got {list(mat_a.shape)} and "
            f"{list(mat_b.shape)}"
        )
    if ranks == (3, 3):
        if offs is not None:
            raise RuntimeError("grouped_mm: offs must not be given where both operands are batches")
        out = mat_a @ mat_b
    elif ranks == (2, 3):
        rows = mat_a.shape[0]
        bounds = _pieces(offs, rows, "mat_a")
        parts = [mat_a[start:end] @ mat_b[i] for i, (start, end) in enumerate(bounds)]
        rest = rows - (bounds[-1][1] if bounds else 0)
        out = corten.cat([*parts, mat_a.new_zeros(rest, mat_b.shape[-1])])
    elif ranks == (3, 2):
        columns = mat_b.shape[1]
        bounds = _pieces(offs, columns, "mat_b")
        parts = [mat_a[i] @ mat_b[:, start:end] for i, (start, end) in enumerate(bounds)]
        rest = columns - (bounds[-1][1] if bounds else 0)
        out = corten.cat([*parts, mat_a.new_zeros(mat_a.shape[1], rest)], 1)
    else:
        bounds = _pieces(offs, mat_a.shape[1], "the inner dim")
        out = corten.stack([mat_a[:, start:end] @ mat_b[start:end] for start, end in bounds])
    if bias is not None:
        out = out + bias
    return out if out_dtype is None else out.to(out_dtype)
