"""What follows from the factors of matrices: solutions, inverses, determinants, least squares, ranks."""

import functools
import math

from .. import _core
from .._dtype_info import finfo
from ._arguments import typed
from ._common import Tensor, by_columns, everywhere, exact, inexact, ops, part_dtype, result, scalar_name
from .factors import SINGULAR_INVERSE, check_alike, check_fit, check_infos, check_square
from .lookup import _named

_SINGULAR = "The solver failed because the input matrix is singular."


def _solve(A, B, left):
    name = "linalg.solve"
    check_square(name, A)
    if not inexact(A):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(A)}")
    check_alike(name, A, B)
    vector = B.dim() == 1 or (A.dim() - 1 == B.dim() and B.shape == A.shape[:-1])
    matrix = B.unsqueeze(-1) if vector else B
    if matrix.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor B must have at least 2 dimensions.")
    check_fit(name, A, matrix, left)
    if vector and not left:
        raise RuntimeError(
            f"{name}: Vector broadcasting of the left hand side is not supported for left=False. In this case "
            "linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    x, _, _, info = ops._linalg_solve_ex(A, matrix, name, left)
    return (x.squeeze(-1) if vector else x), info


@typed("linalg_solve", A="Tensor", B="Tensor", left="bool")
def solve(A, B, *, left=True, out=None):
    """X in ``A @ X = B``, or in ``X @ A = B`` unless ``left``, by an LU decomposition with rows exchanged.

    Args:
        A: ``(*, n, n)``.
        B: ``(*, n, k)``, or vectors ``(n,)`` or ``(*, n)`` with A's own dims; the dims before the last two broadcast.

    Raises:
        LinAlgError: where a matrix is singular.
        RuntimeError: for shapes and dtypes that do not fit.
    """
    x, info = _solve(A, B, left)
    check_infos("torch.linalg.solve", info, _SINGULAR)
    return exact(x, out)


@typed("linalg_solve_ex", A="Tensor", B="Tensor", left="bool", check_errors="bool")
def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """The solution of :func:`solve`, and for each matrix the number of its first zero pivot, int32, or 0.

    Args:
        check_errors: raise LinAlgError where a number is not 0.
    """
    x, info = _solve(A, B, left)
    if check_errors:
        check_infos("torch.linalg.solve_ex", info, _SINGULAR)
    return _named("linalg_solve_ex", ("result", "info"), (x, info), out)


def _inverse(A):
    check_square("linalg.inv", A)
    identity = ops.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    x, _, _, info = ops._linalg_solve_ex(A, identity, "linalg.inv")
    return x, info


@typed("linalg_inv", A="Tensor")
def inv(A, *, out=None):
    """The inverses of square matrices ``(*, n, n)``.

    Raises:
        LinAlgError: where a matrix is singular.
        RuntimeError: for integers and for matrices that are not square.
    """
    x, info = _inverse(A)
    check_infos("linalg.inv", info, SINGULAR_INVERSE)
    return exact(x, out)


@typed("linalg_inv_ex", A="Tensor", check_errors="bool")
def inv_ex(A, *, check_errors=False, out=None):
    """The inverses of :func:`inv`, and for each matrix the number of its first zero pivot, int32, or 0.

    Args:
        check_errors: raise LinAlgError where a number is not 0.
    """
    x, info = _inverse(A)
    if check_errors:
        check_infos("linalg.inv_ex", info, SINGULAR_INVERSE)
    return _named("linalg_inv_ex", ("inverse", "info"), (x, info), out)


@typed("inverse", input="Tensor")
def inverse(input, *, out=None):
    """As :func:`corten.linalg.inv`."""
    return inv(input, out=out)


def _factors(name, A):
    """LU's diagonal, the sign of its permutation and the infos."""
    check_square(name, A)
    LU, pivots, info = ops._linalg_lu_factor_ex(A, name)
    exchanged = pivots != ops.arange(1, A.shape[-1] + 1, dtype=pivots.dtype, device=A.device)
    sign = 1 - 2 * (exchanged.sum(-1) % 2).to(A.dtype)
    return LU.diagonal(dim1=-2, dim2=-1), sign, info


@typed("linalg_det", A="Tensor")
def det(A, *, out=None):
    """The determinants ``(*)`` of square matrices ``(*, n, n)``; singular ones have gradients too.

    Raises:
        RuntimeError: for integers and for matrices that are not square.
    """
    diagonal, sign, info = _factors("linalg.det", A)
    # An LU decomposition has no gradient where it has a zero pivot, but the determinant has: of singular values.
    if diagonal.requires_grad and not everywhere(info == 0):
        if A.is_complex():
            return result(_singular_det_class().apply(A, (sign * diagonal.prod(-1)).detach()), out)
        U, S, Vh = ops._linalg_svd(A, False)
        turns = [f * s.prod(-1) for s, f, _ in (_factors("linalg.det", x.detach()) for x in (U, Vh))]
        return exact((turns[0] * turns[1]).round() * S.prod(-1), out)
    return exact(sign * diagonal.prod(-1), out)


@functools.cache
def _singular_det_class():
    from ..autograd import Function

    class SingularDet(Function):
        """Determinants whose gradient is the adjugate's adjoint, of a singular value decomposition."""

        @staticmethod
        def forward(ctx, A, value):
            ctx.save_for_backward(A)
            return value.clone()

        @staticmethod
        def backward(ctx, grad):
            (A,) = ctx.saved_tensors
            U, S, Vh = ops._linalg_svd(A, False)
            phase = 1.0
            for x in (U, Vh):
                diagonal, sign, _ = _factors("linalg.det", x)
                phase = phase * sign * diagonal.prod(-1)
            n = S.shape[-1]
            # The products of all singular values but one.
            rest = ops.where(ops.eye(n, dtype=_core.bool, device=S.device), 1.0, S.unsqueeze(-2)).prod(-1)
            scale = (phase.conj() * grad)[..., None, None]
            return scale * ((U * rest.unsqueeze(-2)) @ Vh), None

    return SingularDet


def _slogdet(name, A):
    diagonal, sign, _ = _factors(name, A)
    return sign * diagonal.sgn().prod(-1), diagonal.abs().log().sum(-1)


@typed("linalg_slogdet", A="Tensor")
def slogdet(A, *, out=None):
    """The sign of the determinants of matrices ``(*, n, n)`` and the logarithms of their magnitudes, both ``(*)``.

    The sign of a complex number is the number divided by its magnitude.

    Raises:
        RuntimeError: for integers and for matrices that are not square.
    """
    return _named("linalg_slogdet", ("sign", "logabsdet"), _slogdet("linalg.slogdet", A), out)


@typed("logdet", input="Tensor")
def logdet(input):
    """The logarithms ``(*)`` of the determinants of matrices ``(*, n, n)``: NaN for negative ones.

    Raises:
        RuntimeError: for integers and for matrices that are not square.
    """
    sign, value = _slogdet("logdet", input)
    if input.is_complex():
        return sign.log() + value
    return ops.where(sign == -1, math.nan, value)


def _tolerances(name, A, atol, rtol):
    """Absolute and relative tolerance; the relative one is 0 where only a positive absolute one is given."""
    for label, t in (("atol", atol), ("rtol", rtol)):
        if isinstance(t, Tensor) and t.is_complex():
            raise RuntimeError(f"{name}: {label} tensor of complex type is not supported.")
    default = finfo(part_dtype(A)).eps * max(A.shape[-2:])
    if rtol is None:
        if atol is None:
            rtol = default
        elif isinstance(atol, Tensor):
            rtol = ops.where(atol > 0, 0.0, default)
        else:
            rtol = 0.0 if atol > 0 else default
    return (0.0 if atol is None else atol), rtol


def _threshold(greatest, atol, rtol):
    """The greater of both tolerances for matrices whose greatest singular values are ``(*)``."""
    relative = rtol * greatest
    return ops.maximum(relative, atol) if isinstance(atol, Tensor) else relative.clamp(min=atol)


def _check_matrix(name, A):
    if not inexact(A):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(A)}")


@typed("linalg_matrix_rank", A="Tensor", hermitian="bool")
def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """How many singular values of matrices ``(*, m, n)`` are above the tolerance: int64 ``(*)``.

    Args:
        tol: absolute tolerance alone, a number or a tensor that broadcasts.
        hermitian: the matrices are symmetric or Hermitian; magnitudes of eigenvalues are counted.
        atol, rtol: absolute tolerance, and one relative to the greatest singular value: by default 0 and
            ``eps * max(m, n)``; the latter is 0 where ``atol`` is positive.

    Raises:
        RuntimeError: for vectors and integers.
    """
    name = "torch.linalg.matrix_rank"
    if A.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor input must have at least 2 dimensions.")
    _check_matrix("linalg.matrix_rank", A)
    if tol is not None:
        atol, rtol = tol, 0.0
    if A.numel() == 0:
        return result(ops.zeros(A.shape[:-2], dtype=_core.int64, device=A.device), out)
    plain = A.detach()
    if hermitian:
        check_square("linalg.matrix_rank", A)
        values = ops._linalg_eigh(plain, "linalg.eigh", False, False)[0].abs()
    else:
        values = ops._linalg_svdvals(plain)
    threshold = _threshold(values.amax(-1), *_tolerances(name, A, atol, rtol))
    return result((values > threshold.unsqueeze(-1)).sum(-1), out)


def _inverted(values, threshold):
    kept = values.abs() > threshold.unsqueeze(-1)
    return ops.where(kept, 1 / ops.where(kept, values, 1.0), 0.0)


def _pseudoinverse(A, hermitian, atol, rtol):
    """The pseudoinverse and what became of the singular values: 0 where they were taken as such."""
    if hermitian:
        w, V, _ = ops._linalg_eigh(A, "linalg.eigh", False, True)
        scaled = _inverted(w, _threshold(w.abs().amax(-1), atol, rtol))
        return (V * scaled.unsqueeze(-2)) @ V.mH, scaled
    U, S, Vh = ops._linalg_svd(A, False)
    scaled = _inverted(S, _threshold(S.amax(-1), atol, rtol))
    return (Vh.mH * scaled.unsqueeze(-2)) @ U.mH, scaled


@functools.cache
def _pinv_class():
    from ..autograd import Function

    class Pinv(Function):
        @staticmethod
        def forward(ctx, A, hermitian, atol, rtol):
            X, values = _pseudoinverse(A, hermitian, atol, rtol)
            ctx.save_for_backward(A, X)
            # A symmetric matrix may hold anything in the triangle that is not read: its terms do not vanish.
            ctx.full = not hermitian and everywhere(values != 0)
            return X

        @staticmethod
        def backward(ctx, g):
            # Golub & Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
            # variables separate" (1973): of constant rank.
            A, X = ctx.saved_tensors
            m, n = A.shape[-2:]
            grad = -(X.mH @ g @ X.mH)
            # The parts outside of A's columns and rows; where a matrix of full rank leaves none, what rounding makes of
            # them would be multiplied by the square of the inverse.
            if m > n or not ctx.full:
                left = g.mH @ X @ X.mH
                grad = grad + left - A @ (X @ left)
            if n > m or not ctx.full:
                right = X.mH @ X @ g.mH
                grad = grad + right - (right @ X) @ A
            return grad, None, None, None

    return Pinv


@typed("linalg_pinv", A="Tensor", hermitian="bool")
def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The pseudoinverses (Moore & Penrose) ``(*, n, m)`` of matrices ``(*, m, n)``.

    Args:
        rcond: an older name of ``rtol``.
        hermitian: the matrices are symmetric or Hermitian; only their lower triangle is read.
        atol, rtol: singular values below these are taken as zero, as in :func:`matrix_rank`.

    Raises:
        RuntimeError: for vectors and integers.
    """
    if A.dim() < 2 or not inexact(A):
        raise RuntimeError(
            f"linalg.pinv({scalar_name(A)}{{{list(A.shape)}}}): expected a tensor with 2 or more dimensions of float, "
            "double, cfloat or cdouble types"
        )
    if A.numel() == 0:
        return result(A.mH.clone(), out)
    if hermitian:
        check_square("linalg.pinv", A)
    tolerances = _tolerances("linalg.pinv", A, atol, rcond if rtol is None else rtol)
    if A.requires_grad and _core.is_grad_enabled():
        return result(_pinv_class().apply(A, hermitian, *tolerances), out)
    return result(_pseudoinverse(A, hermitian, *tolerances)[0], out)


def pinverse(input, rcond=1e-15):
    """As :func:`corten.linalg.pinv` with ``rtol=rcond``."""
    return pinv(input, rtol=rcond)


_LSTSQ = ("solution", "residuals", "rank", "singular_values")
_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _check_lstsq(A, B, driver):
    name = "torch.linalg.lstsq"
    if A.dim() < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if B.dim() < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    _check_matrix(name, A)
    if A.dtype != B.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype {scalar_name(A)} and "
            f"other's dtype {scalar_name(B)}"
        )
    vector = A.dim() - 1 == B.dim() and A.shape[:-1] == B.shape
    if not vector and (B.dim() < 2 or A.dim() - 1 > B.dim()):
        where = "size(-1)" if A.dim() - 1 == B.dim() else "size(-2)"
        raise RuntimeError(f"{name}: input.size(-2) should match other.{where}")
    if not vector and A.shape[-2] != B.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-2)")
    if driver not in _DRIVERS:
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    return vector


@typed("linalg_lstsq", A="Tensor", B="Tensor", rcond="float?", driver="str?")
def lstsq(A, B, rcond=None, *, driver=None, out=None):
    """X that makes ``‖A @ X - B‖`` least, and of these the one of least norm.

    Args:
        A: ``(*, m, n)``.
        B: ``(*, m, k)``, or vectors ``(*, m)`` with A's own dims; the dims before the last two broadcast.
        rcond: singular values below this share of the greatest are taken as zero; by default ``eps * max(m, n)``.
        driver: the LAPACK driver whose results are given: ``"gelsy"`` (the default) finds no residuals and singular
            values, ``"gels"`` no rank either and takes A to have full rank, ``"gelsd"`` and ``"gelss"`` give all.

    Returns:
        ``solution``; ``residuals``, squared, of matrices of full rank with ``m > n``; ``rank``; ``singular_values``;
        what a driver does not find is empty.

    Raises:
        RuntimeError: for shapes and dtypes that do not fit, and unknown drivers.
    """
    driver = driver or "gelsy"
    vector = _check_lstsq(A, B, driver)
    m, n = A.shape[-2:]
    right = B.unsqueeze(-1) if vector else B
    if driver == "gels":
        rtol = 0.0
    else:
        rtol = finfo(part_dtype(A)).eps * max(m, n) if rcond is None else rcond
    inverse = pinv(A, atol=0.0, rtol=rtol)
    solution = by_columns(inverse @ right)
    real = part_dtype(A)
    # Empty, and of the solution's history.
    residuals = solution.flatten()[:0].abs() if A.is_complex() else solution.flatten()[:0]
    rank, values = ops.empty(0, dtype=_core.int64, device=A.device), A.new_empty(0, dtype=real)
    if driver != "gels":
        plain = A.detach()
        found = ops._linalg_svdvals(plain) if A.numel() else plain.new_empty((*A.shape[:-2], min(m, n)), dtype=real)
        rank = matrix_rank(plain, atol=0.0, rtol=rtol)
        if driver != "gelsy":
            values = found
    full = driver == "gels" or (driver != "gelsy" and everywhere(rank == n))
    if m > n and full:
        residuals = (A @ solution - right).abs().square().sum(-2)
        residuals = residuals.squeeze(-1) if vector else residuals
    solution = solution.squeeze(-1) if vector else solution
    return _named("linalg_lstsq", _LSTSQ, (solution, residuals, rank, values), out, result)


@typed("linalg_cond", A="Tensor")
def cond(A, p=None, *, out=None):
    """The condition numbers ``(*)`` of matrices in a norm of :func:`corten.linalg.matrix_norm`; the 2-norm by default.

    Args:
        A: ``(*, m, n)`` for the 2-norm and its inverse, -2; ``(*, n, n)`` for the others.

    Raises:
        RuntimeError: for vectors, integers, unknown norms, and matrices that must be square and are not.
    """
    from ..linalg import matrix_norm, svdvals

    if A.dim() < 2:
        raise RuntimeError("linalg.cond: The input tensor A must have at least 2 dimensions.")
    _check_matrix("linalg.cond", A)
    known = p in ("fro", "nuc") if isinstance(p, str) else p is None or abs(p) in (1, 2, math.inf)
    if not known:
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p is not None and (isinstance(p, str) or abs(p) != 2):
        check_square(f"linalg.cond(ord={p})", A)
    if A.numel() == 0:
        return result(ops.zeros(A.shape[:-2], dtype=part_dtype(A), device=A.device), out)
    if p is None or p in (2, -2):
        values = svdvals(A)
        greatest, least = values[..., 0], values[..., -1]
        return result(least / greatest if p == -2 else greatest / least, out)
    inverse, info = _inverse(A)
    product = matrix_norm(A, p) * _norm_of_inverse(matrix_norm, inverse, info, p)
    return result(ops.where(info == 0, product, math.inf), out)


def _norm_of_inverse(norm, inverse, info, p):
    """The norms of inverses, 0 in the place of those that are not there: singular values need finite matrices."""
    return norm(ops.where((info == 0)[..., None, None], inverse, 0.0), p)


@typed("linalg_tensorsolve", A="Tensor", B="Tensor")
def tensorsolve(A, B, dims=None, *, out=None):
    """X in ``tensordot(A, X, X.dim()) = B``: A's first dims are B's, the product of its other sizes is theirs.

    Args:
        dims: dims of A that are moved to its end first.

    Raises:
        RuntimeError: where the sizes do not fit, or A is singular as a matrix.
    """
    if dims is not None:
        dims = [dims] if isinstance(dims, int) else list(dims)
        A = A.movedim(dims, list(range(A.dim() - len(dims), A.dim())))
    shape = A.shape[B.dim() :]
    size, rows = math.prod(shape), math.prod(A.shape[: B.dim()])
    if size != rows:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {size} != {rows}"
        )
    return result(solve(A.reshape(rows, size), B.flatten()).reshape(shape), out)


@typed("linalg_tensorinv", A="Tensor", ind="int")
def tensorinv(A, ind=2, *, out=None):
    """The inverse of A as a map from its dims after ``ind`` to the first ``ind``: ``A.shape[ind:] + A.shape[:ind]``.

    Raises:
        RuntimeError: where the products of sizes differ, ``ind`` is not positive, or A is singular as a matrix.
    """
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    first, last = A.shape[:ind], A.shape[ind:]
    if math.prod(first) != math.prod(last):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{math.prod(last)} != {math.prod(first)}"
        )
    size = math.prod(first)
    return result(inv(A.reshape(size, size)).reshape(last + first), out)
