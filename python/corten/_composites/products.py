"""Products of tensors: contractions, Kronecker and cross products, powers of matrices, distances."""

from .. import _core
from ._arguments import typed
from ._common import Tensor, check_tensors, exact, ops, result, scalar_name, tell_deprecated, tensors_of, wrapped


@typed("tensordot", spelled=True, a="Tensor", b="Tensor")
def tensordot(a, b, dims=2, out=None):
    """The product of two tensors summed over the last ``dims`` dims of the first and the first of the second.

    Args:
        dims: how many, or the pair of lists of the dims to sum.

    Raises:
        RuntimeError: where the summed dims differ in number or size.
    """
    dims_a, dims_b = _tensordot_dims(a, b, dims)
    if len(dims_a) != len(dims_b):
        raise RuntimeError("both dimension lists should have same length")
    for first, second in zip(dims_a, dims_b, strict=True):
        size, other = a.size(first), b.size(second)
        # A dim of size 1 goes with any other, which is summed alone.
        if size == 1:
            b = b.sum(second, keepdim=True, dtype=b.dtype) if other != 1 else b
        elif other == 1:
            a = a.sum(first, keepdim=True, dtype=a.dtype)
        elif size != other:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {size} in dim {first} and second has size "
                f"{other} in dim {second}"
            )
    dims_a, dims_b = [wrapped(d, a.dim()) for d in dims_a], [wrapped(d, b.dim()) for d in dims_b]
    free_a = [d for d in range(a.dim()) if d not in dims_a]
    free_b = [d for d in range(b.dim()) if d not in dims_b]
    rows, columns = [a.size(d) for d in free_a], [b.size(d) for d in free_b]
    inner = 1
    for d in dims_a:
        inner *= a.size(d)
    left = a.permute(free_a + dims_a).reshape(_product(rows), inner)
    right = b.permute(dims_b + free_b).reshape(inner, _product(columns))
    return exact(left.mm(right).reshape(rows + columns), out)


def _product(sizes):
    total = 1
    for size in sizes:
        total *= size
    return total


def _tensordot_dims(a, b, dims):
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (tuple, list)) and len(dims) == 2 and not isinstance(dims[0], int):
        return list(dims[0]), list(dims[1])
    if isinstance(dims, (tuple, list)) and len(dims) == 2:
        return [dims[0]], [dims[1]]
    if isinstance(dims, (tuple, list)) and len(dims) == 1:
        dims = dims[0]
    if not isinstance(dims, int):
        raise RuntimeError(
            "tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] containing two lists, "
            f"but got dims={dims}"
        )
    if dims < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if dims > min(a.dim(), b.dim()):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return list(range(-dims, 0)), list(range(dims))


@typed("kron", input="Tensor", other="Tensor")
def kron(input, other, *, out=None):
    """The Kronecker product: every element of ``input`` times the whole of ``other``, dim by dim."""
    rank = max(input.dim(), other.dim())
    a = input.reshape([1] * (rank - input.dim()) + list(input.shape))
    b = other.reshape([1] * (rank - other.dim()) + list(other.shape))
    wide_a = a.reshape([size for n in a.shape for size in (n, 1)])
    wide_b = b.reshape([size for n in b.shape for size in (1, n)])
    product = wide_a * wide_b
    return result(product.reshape([m * n for m, n in zip(a.shape, b.shape, strict=True)]), out)


@typed("vdot", input="Tensor", other="Tensor")
def vdot(input, other, *, out=None):
    """The inner product of two vectors, the first one conjugated."""
    return exact(input.conj().dot(other), out)


def chain_matmul(*matrices, out=None):
    """Deprecated: :func:`corten.linalg.multi_dot`, which takes a list of the matrices."""
    tell_deprecated("chain_matmul", "corten.linalg.multi_dot")
    return product_of(*matrices, out=out)


def product_of(*matrices, out=None):
    """The product of several matrices, multiplied in the order that takes the fewest operations."""
    matrices = tensors_of(matrices)
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for i, matrix in enumerate(matrices):
        if matrix.dim() != 2:
            raise RuntimeError(f"chain_matmul(): Tensor dimension is {matrix.dim()}, expected 2 instead (matrix {i})")
    sizes = [matrices[0].size(0)] + [matrix.size(1) for matrix in matrices]
    # cost[i][j] and the split of the product of matrices i to j (Cormen et al., "Introduction to Algorithms", 15.2).
    n = len(matrices)
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i][j], split[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def multiply(i, j):
        return matrices[i] if i == j else multiply(i, split[i][j]).mm(multiply(split[i][j] + 1, j))

    return result(multiply(0, n - 1), out)


def _int_mm(input, mat2, *, out=None):
    """The product of a matrix ``(m, k)`` of int8 or uint8 and one ``(k, n)`` of int8, summed in int32, which wraps.

    Raises:
        RuntimeError: for other dtypes, other ranks, or sizes that do not match.
    """
    if out is not None and out.dtype != _core.int32:
        raise RuntimeError(f"_int_mm: Expected result dtype to be of type int32 but got {out.dtype}")
    return ops._int_mm(input, mat2, out=out)


@typed("qr", input="Tensor", some="bool")
def qr(input, some=True, *, out=None):
    """Deprecated: :func:`corten.linalg.qr` in mode ``"reduced"``, or ``"complete"`` where ``some`` is false."""
    tell_deprecated("qr", "corten.linalg.qr: call corten.linalg.qr(A, 'reduced' if some else 'complete') instead")
    return ops._linalg_qr(input, "reduced" if some else "complete", out=out)


@typed("matrix_power", input="Tensor", n="int")
def matrix_power(input, n, *, out=None):
    """The ``n``-th power of square matrices ``(*, m, m)`` by repeated squaring, of inverses where ``n`` is negative.

    Raises:
        RuntimeError: for matrices that are not square.
        LinAlgError: for negative powers of singular matrices.
    """
    if input.dim() < 2:
        raise RuntimeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if input.size(-1) != input.size(-2):
        raise RuntimeError(
            "linalg.matrix_power: A must be batches of square matrices, but they are "
            f"{input.size(-2)} by {input.size(-1)} matrices"
        )
    if n < 0:
        return matrix_power(input.inverse(), -n, out=out)
    if n == 0:
        identity = ops.eye(input.size(-1), dtype=input.dtype, device=input.device)
        # Written into a copy, so that the result has a gradient: zeros.
        return result(input.clone(memory_format=_core.contiguous_format).copy_(identity), out)
    power, square = None, input
    while True:
        if n & 1:
            power = square if power is None else power.matmul(square)
        n >>= 1
        if n == 0:
            return result(power.clone() if power is input else power, out)
        square = square.matmul(square)


@typed("cross", input="Tensor", other="Tensor", dim="int?")
def cross(input, other, dim=None, *, out=None):
    """The vector product along a dim of size 3; by default, with a warning, the first such dim."""
    if dim is None:
        tell_deprecated("cross without dim", "dim=..., or corten.linalg.cross, which takes the last dim")
        sizes = [d for d, size in enumerate(input.shape) if size == 3]
        if not sizes:
            raise RuntimeError("no dimension of size 3 in input")
        dim = sizes[0]
    if input.dtype == other.dtype == _core.bool:
        raise NotImplementedError("\"cross\" not implemented for 'Bool'")
    if input.dim() != other.dim():
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if input.size(dim) != 3 or other.size(dim) != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.size(dim)} and {other.size(dim)}"
        )
    a, b = input.unbind(dim), other.unbind(dim)
    parts = [a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3] for i in range(3)]
    at = wrapped(dim, max(input.dim(), other.dim()))
    return exact(ops.stack(parts, at), out)


def block_diag(*tensors):
    """Matrices placed along the diagonal of a larger one; scalars and vectors count as rows."""
    if not tensors:
        return ops.empty((1, 0))
    blocks = []
    for i, x in enumerate(tensors):
        if x.dim() > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x.dim()} dimensions"
            )
        blocks.append(x.reshape(1, -1) if x.dim() < 2 else x)
    dtype = blocks[0].dtype
    for block in blocks[1:]:
        dtype = _core.promote_types(dtype, block.dtype)
    width, left, rows = sum(block.size(1) for block in blocks), 0, []
    for block in blocks:
        height, own = block.shape
        before = ops.zeros((height, left), dtype=dtype, device=block.device)
        after = ops.zeros((height, width - left - own), dtype=dtype, device=block.device)
        rows.append(ops.cat([before, block.to(dtype), after], 1))
        left += own
    return ops.cat(rows, 0)


@typed("dist", input="Tensor", other="Tensor", p="float")
def dist(input, other, p=2):
    """The p-norm of ``input - other``."""
    check_tensors("dist", input=input, other=other)
    return ops._vector_norm(input - other, float(p))


@typed("cdist", spelled=True, x1="Tensor", x2="Tensor", p="float")
def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distances between rows: ``(*, P, M)`` and ``(*, R, M)`` give ``(*, P, R)``.

    Args:
        compute_mode: ``"use_mm_for_euclid_dist_if_necessary"`` takes euclidean distances through a matrix product
            when P or R is above 25, ``"use_mm_for_euclid_dist"`` always, ``"donot_use_mm_for_euclid_dist"`` never.

    Raises:
        RuntimeError: for vectors, other numbers of columns, integers and a negative p.
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if not x.is_floating_point():
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {scalar_name(x)}")
        if x.dim() < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.dim()}D")
    if x1.size(-1) != x2.size(-1):
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.size(-1)} X2: {x2.size(-1)}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    large = x1.size(-2) > 25 or x2.size(-2) > 25
    if p == 2 and x1.size(-1) > 0 and (compute_mode == modes[1] or (compute_mode == modes[0] and large)):
        return _euclidean(x1, x2)
    return ops._vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), float(p), -1)


def _euclidean(x1, x2):
    """Distances as √(|a|² − 2a·b + |b|²); the gradient at distance 0 is 0."""
    squares = x1.square().sum(-1, keepdim=True) + x2.square().sum(-1).unsqueeze(-2)
    squares = squares - 2 * x1.matmul(x2.mT)
    positive = squares > 0
    return ops.where(positive, ops.where(positive, squares, 1.0).sqrt(), 0.0)


def pdist(input, p=2.0):
    """The p-norm distances between every two rows of an ``(N, M)`` matrix, ``(N · (N − 1) / 2,)``."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if not input.is_floating_point():
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    n = input.size(0)
    index = ops.arange(n, device=input.device)
    pairs = ops.arange(n * n, device=input.device).reshape(n, n)[index.unsqueeze(1) < index.unsqueeze(0)]
    first, second = pairs // max(n, 1), pairs % max(n, 1)
    return ops._vector_norm(input.index_select(0, first) - input.index_select(0, second), float(p), -1)


@typed("renorm", input="Tensor", p="float", dim="int", maxnorm="float")
def renorm(input, p, dim, maxnorm, *, out=None):
    """Scales the sub-tensors along ``dim`` whose p-norm exceeds ``maxnorm`` down to it."""
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    if p <= 0:
        raise RuntimeError("renorm: non-positive norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    at = wrapped(dim, input.dim())
    # Half types take the norm in float32, so that squares do not overflow.
    wide = input.float() if input.dtype in (_core.float16, _core.bfloat16) else input
    norm = ops._vector_norm(wide, float(p), [d for d in range(input.dim()) if d != at], True)
    factor = ops.where(norm > maxnorm, maxnorm / (norm + 1e-7), 1.0)
    return exact((input * factor.to(input.dtype)).contiguous(), out)
