"""Linear algebra: products, norms, decompositions and systems of equations, with the names of `torch.linalg`."""

import contextlib
import itertools

from . import _core
from ._composites._arguments import handed_over, typed
from ._composites._common import exact, inexact, ops, scalar_name, wrapped
from ._composites.factors import (
    LinAlgError,
    cholesky_ex,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    ldl_factor,
    ldl_factor_ex,
    ldl_solve,
    lu_factor,
    lu_factor_ex,
)
from ._composites.factors import linalg_cholesky as cholesky
from ._composites.factors import linalg_lu as lu
from ._composites.factors import linalg_lu_solve as lu_solve
from ._composites.low_rank import householder_product, matrix_exp
from ._composites.products import cross as _cross
from ._composites.products import matrix_power, product_of
from ._composites.systems import (
    cond,
    det,
    inv,
    inv_ex,
    lstsq,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    solve_ex,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "ldl_factor",
    "ldl_factor_ex",
    "ldl_solve",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]


def _check_floating(name, x):
    if not inexact(x):
        raise RuntimeError(f"linalg.{name}: Expected a floating point or complex tensor as input. Got {scalar_name(x)}")


def _converted(name, x, dtype):
    """The tensor in the dtype in which a norm is computed."""
    _check_floating(name, x)
    if dtype is None:
        return x
    if not isinstance(dtype, _core.dtype):
        raise TypeError(f"linalg_{name}(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"linalg.{name}: dtype should be floating point or complex. Got {dtype}")
    if dtype.is_complex != x.is_complex():
        kind = "complex" if x.is_complex() else "real"
        wanted = scalar_name(ops.empty(0, dtype=dtype))
        raise RuntimeError(f"linalg.{name}: dtype should be {kind} for {kind} inputs, but got {wanted}")
    if _core.promote_types(x.dtype, dtype) != dtype:
        wanted = scalar_name(ops.empty(0, dtype=dtype))
        raise RuntimeError(
            f"linalg.{name}: the dtype of the input ({scalar_name(x)}) should be convertible without narrowing to "
            f"the specified dtype ({wanted})"
        )
    return x.to(dtype)


@typed("linalg_cross")
def cross(input, other, *, dim=-1, out=None):
    """The vector product of vectors of size 3 along ``dim``; the other dims broadcast.

    Raises:
        RuntimeError: where a vector does not have size 3, or the numbers of dims differ.
    """
    return _cross(input, other, dim, out=out)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonals of matrices ``(*, m, n)``, a view."""
    return A.diagonal(offset, dim1, dim2)


def matmul(input, other, *, out=None):
    """The matrix product, batched and broadcast."""
    return exact(input.matmul(other), out)


@typed("linalg_qr", A="Tensor", mode="str")
def qr(A, mode="reduced", *, out=None):
    """The QR decomposition of matrices ``(*, m, n)``: orthonormal columns times an upper triangle.

    Householder reflections choose the signs as LAPACK does, so R's diagonal may be negative. With ``k = min(m, n)``:

    Args:
        mode: ``"reduced"`` for Q of shape ``(*, m, k)`` and R of shape ``(*, k, n)``, ``"complete"`` for ``(*, m, m)``
            and ``(*, m, n)``, ``"r"`` for an empty Q and the reduced R.

    Raises:
        RuntimeError: for vectors, integers and unknown modes; in the backward pass of mode ``"r"``, and of
            ``"complete"`` where ``m > n``.
    """
    return ops._linalg_qr(A, mode, out=out)


def solve_triangular(A, B, *, upper, left=True, unitriangular=False, out=None):
    """X in ``A @ X = B``, or in ``X @ A = B`` where ``left`` is false, for triangular matrices ``(*, n, n)``.

    Args:
        upper: which triangle of A is read; the other is taken as zero.
        unitriangular: take A's diagonal as ones, unread.

    Raises:
        RuntimeError: for shapes that do not fit and for different dtypes.
    """
    return ops._linalg_solve_triangular(A, B, upper=upper, left=left, unitriangular=unitriangular, out=out)


@typed("linalg_svd", A="Tensor", full_matrices="bool")
def svd(A, full_matrices=True, *, driver=None, out=None):
    """The singular value decomposition ``A = U @ diag(S) @ Vh`` of matrices ``(*, m, n)``, S in descending order.

    The signs of the singular vectors, or their phases, are arbitrary, and gradients through U and Vh are finite only
    where the singular values differ; where the loss depends on the phases, the backward pass raises RuntimeError. S is
    real. With ``k = min(m, n)``:

    Args:
        full_matrices: U of shape ``(*, m, m)`` and Vh of shape ``(*, n, n)``, not ``(*, m, k)`` and ``(*, k, n)``.
        driver: must be None on the CPU.

    Raises:
        LinAlgError: for matrices that are not finite.
        RuntimeError: for vectors and integers.
    """
    _check_driver(driver)
    with _convergence():
        return ops._linalg_svd(A, full_matrices, out=out)


@typed("linalg_svdvals", A="Tensor")
def svdvals(A, *, driver=None, out=None):
    """The singular values of matrices ``(*, m, n)`` in descending order, ``(*, min(m, n))``.

    Raises:
        LinAlgError: for matrices that are not finite.
        RuntimeError: for vectors and integers.
    """
    _check_driver(driver)
    with _convergence():
        return ops._linalg_svdvals(A, out=out)


@contextlib.contextmanager
def _convergence():
    """Makes LinAlgError of the engine's error about an iteration that has no end."""
    try:
        yield
    except RuntimeError as error:
        if "failed to converge" not in str(error):
            raise
        raise LinAlgError(str(error)) from None


def _check_driver(driver):
    if driver is not None:
        raise RuntimeError(
            "linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )


def vander(x, *, N=None):
    """The Vandermonde matrices ``(*, n, N)`` of vectors ``(*, n)``: powers 0 to N − 1 of every element.

    Raises:
        RuntimeError: where N is less than 2.
    """
    if x.dtype in (_core.bool, _core.float16, _core.bfloat16):
        raise RuntimeError(
            f"linalg.vander supports floating point, complex, and integer tensors, but got {scalar_name(x)}"
        )
    x = x if x.dim() else x.unsqueeze(0)
    count = x.size(-1) if N is None else N
    if count < 2:
        raise RuntimeError("N must be greater than 1.")
    if x.is_complex():
        # Powers by products, which are exact where those by logarithms are not.
        repeated = x.unsqueeze(-1).expand(*x.shape, count - 1).cumprod(-1)
        return ops.cat([ops.ones_like(x).unsqueeze(-1), repeated], -1)
    if not x.is_floating_point():
        x = x.to(_core.int64)
    return x.unsqueeze(-1) ** ops.arange(count, device=x.device)


@typed("linalg_vecdot")
def vecdot(x, y, *, dim=-1, out=None):
    """The inner products of vectors along ``dim``, the first ones conjugated; the other dims broadcast.

    Raises:
        RuntimeError: for integers and for different dtypes.
    """
    _check_floating("vecdot", x)
    if x.dtype != y.dtype:
        raise RuntimeError(
            "linalg.vecdot: Expected x and y to have the same dtype, but found x of type "
            f"{scalar_name(x)} and y of type {scalar_name(y)} instead"
        )
    return exact((x.conj() * y).sum(dim), out)


def multi_dot(tensors, *, out=None):
    """The product of several matrices in the cheapest order; the first and the last may be vectors.

    Raises:
        RuntimeError: for fewer than two tensors, or shapes that do not fit.
    """
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    _check_chain(tensors)
    row, column = tensors[0].dim() == 1, tensors[-1].dim() == 1
    shape = tensors[0].shape[:-1] + tensors[-1].shape[1:]
    if row:
        tensors[0] = tensors[0].unsqueeze(0)
    if column:
        tensors[-1] = tensors[-1].unsqueeze(1)
    return exact(product_of(*tensors).reshape(shape), out)


def _check_chain(tensors):
    last = len(tensors) - 1
    for i, x in enumerate(tensors):
        if i in (0, last) and x.dim() not in (1, 2):
            end = "last" if i else "first"
            raise RuntimeError(f"multi_dot(): the {end} tensor must be 1D or 2D but got {x.dim()}D")
        if i not in (0, last) and x.dim() != 2:
            raise RuntimeError(f"multi_dot(): tensor {i} must be 2D but got {x.dim()}D")
        if x.dtype != tensors[0].dtype:
            raise RuntimeError(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{scalar_name(tensors[0]).lower()} and tensor {i} {scalar_name(x).lower()}"
            )
    for i, (left, right) in enumerate(itertools.pairwise(tensors)):
        if left.size(-1) != right.size(0):
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(left.shape)} and {list(right.shape)} cannot "
                "be multiplied"
            )


@typed("linalg_vector_norm")
def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """The norm of order ``ord`` of the vectors along ``dim``, or of all elements.

    Args:
        ord: any number; 0 counts what is not zero, infinities take the largest and the smallest magnitude.
        dtype: computed in this dtype, which must hold every value of the input's.

    Raises:
        RuntimeError: for integers, and for an empty vector where the order has no identity.
    """
    if isinstance(ord, str):
        raise TypeError("linalg_vector_norm(): argument 'ord' (position 2) must be Number, not str")
    if isinstance(dim, bool):
        raise TypeError("linalg_vector_norm(): argument 'dim' (position 3) must be tuple of ints, not bool")
    x = _converted("vector_norm", x, dtype)
    dims = [dim] if isinstance(dim, int) else dim
    order = float(ord)
    if x.numel() == 0 and (order < 0 or order == float("inf")):
        _check_identity(x, ord, dims)
    return exact(ops._vector_norm(x, order, dims, keepdim), out)


def _check_identity(x, ord, dims):
    if not dims:
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have "
            "an identity"
        )
    for d in dims:
        if x.size(d) == 0:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on the dimension {d}because this dimension is empty "
                "and the operation does not have an identity"
            )


@typed("linalg_matrix_norm")
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """The norm of matrices ``(*, m, n)``.

    Args:
        ord: ``"fro"``, 1 and −1 for the largest and smallest sum of a column's magnitudes, ``inf`` and ``-inf`` for
            those of rows, 2 and −2 for the largest and smallest singular value, ``"nuc"`` for their sum.

    Raises:
        RuntimeError: for integers, vectors, and unknown orders; for the orders of singular values also for half types
            and matrices that are not finite.
    """
    if isinstance(dim, int):
        raise TypeError("linalg_matrix_norm(): argument 'dim' (position 3) must be tuple of ints, not int")
    _check_floating("matrix_norm", A)
    if A.dim() < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    dim = tuple(dim)
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim))}")
    rows, columns = (wrapped(d, A.dim()) for d in dim)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return vector_norm(_converted("matrix_norm", A, dtype), 2, dim, keepdim, out=out)
    if ord in ("nuc", 2, -2):
        return exact(_spectral_norm(_converted("matrix_norm", A, dtype), ord, (rows, columns), keepdim), out)
    if isinstance(ord, str) or abs(ord) not in (1, float("inf")):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, chosen = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(_converted("matrix_norm", A, dtype), 1, summed, True)
    best = _extremum(sums, ord > 0, chosen, True)
    return exact(best if keepdim else best.squeeze((rows, columns)), out)


def _extremum(magnitudes, largest, dim, keepdim):
    if largest and magnitudes.size(dim) == 0:
        return ops.zeros_like(magnitudes).sum(dim, keepdim)
    return (magnitudes.amax if largest else magnitudes.amin)(dim, keepdim)


def _spectral_norm(A, ord, dims, keepdim):
    if A.dtype in (_core.float16, _core.bfloat16):
        raise RuntimeError(f"linalg.matrix_norm: Low precision dtypes not supported. Got {scalar_name(A)}")
    values = svdvals(A.movedim(dims, (-2, -1)))
    if ord == "nuc":
        norm = values.sum(-1)
    else:
        norm = _extremum(values, ord > 0, -1, False)
    if keepdim:
        for d in sorted(dims):
            norm = norm.unsqueeze(d)
    return norm


@typed("linalg_norm")
def norm(A, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """A norm of vectors or matrices: which one follows from ``ord`` and the number of dims.

    Without ``ord`` the 2-norm over ``dim`` or over everything; with ``ord`` a vector norm for one dim, a matrix norm
    for two.
    """
    if dim is not None:
        dim = (dim,) if isinstance(dim, int) else tuple(dim)
    if ord is None:
        _check_floating("norm", A)
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)
    if dim is None and A.dim() not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.dim()}D."
        )
    if dim is not None and len(dim) not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got [{', '.join(map(str, dim))}]"
        )
    matrices = isinstance(ord, str) or (len(dim) == 2 if dim is not None else A.dim() == 2)
    if matrices:
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype, out=out)


# Nobody asks about the arguments of these where they are checked.
for _name in ("diagonal", "ldl_solve", "lu_solve", "matmul", "multi_dot", "vander"):
    globals()[_name] = handed_over(globals()[_name])


def __getattr__(name):
    from ._missing import missing

    raise missing(__name__, name)
