"""Factors of square matrices ``(*, n, n)`` under PyTorch's names: Cholesky, LU, LDL and eigenvalues."""

import builtins
import functools

from .. import _core
from ._arguments import typed
from ._common import (
    Tensor,
    by_columns,
    everywhere,
    exact,
    inexact,
    ops,
    part_dtype,
    result,
    scalar_name,
    tell_deprecated,
    whole,
)
from .lookup import _named


class _LinAlgError(RuntimeError):
    """Raised where a matrix has no such factor or inverse; the text names the element of the batch."""


LinAlgError = _LinAlgError


def check_infos(name, info, text, error=LinAlgError):
    """Raises ``text`` of the first number in ``info`` that is not zero, with the place of its matrix."""
    info = whole(info)
    if info.numel() == 0 or everywhere(info == 0):
        return
    flat = info.reshape(-1)
    at = int((flat != 0).int().argmax())
    place = f"(Batch element {at}): " if info.dim() else ""
    raise error(f"{name}: {place}{text.format(int(flat[at]))}")


def check_square(name, A, argument="A"):
    """Raises where A is no batch of square matrices."""
    if A.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")
    if A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"{name}: {argument} must be batches of square matrices, but they are "
            f"{A.shape[-2]} by {A.shape[-1]} matrices"
        )


def check_alike(name, A, B, names=("A", "B")):
    """Raises where the dtypes differ."""
    if A.dtype != B.dtype:
        raise RuntimeError(
            f"{name}: Expected {names[0]} and {names[1]} to have the same dtype, but found {names[0]} of type "
            f"{scalar_name(A)} and {names[1]} of type {scalar_name(B)} instead"
        )


def check_fit(name, A, B, left):
    """Raises where the sizes of ``A @ X = B``, or of ``X @ A = B`` unless ``left``, do not fit."""
    if A.shape[-1] != B.shape[-2 if left else -1]:
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {equation} ({A.shape[-2]}x{A.shape[-1]} and "
            f"{B.shape[-2]}x{B.shape[-1]})"
        )


_NOT_POSITIVE = (
    "The factorization could not be completed because the input is not positive-definite (the leading minor of order "
    "{} is not positive-definite)."
)


SINGULAR_INVERSE = (
    "The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular."
)


@typed("linalg_cholesky_ex", A="Tensor", upper="bool", check_errors="bool")
def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """The Cholesky factors of :func:`corten.linalg.cholesky`, and for each matrix a number, int32 ``(*)``.

    The number is the order of the first leading minor that is not positive, or 0; where it is not 0 the factor means
    nothing.

    Args:
        check_errors: raise LinAlgError where a number is not 0.
    """
    L, info = ops._linalg_cholesky_ex(A, "linalg.cholesky", upper)
    if check_errors:
        check_infos("linalg.cholesky_ex", info, _NOT_POSITIVE)
    return _named("linalg_cholesky_ex", ("L", "info"), (L, info), out)


@typed("linalg_cholesky", A="Tensor", upper="bool")
def linalg_cholesky(A, *, upper=False, out=None):
    """The lower triangle L with ``L @ L.mH == A``, or its adjoint where ``upper``, of positive definite matrices.

    Args:
        A: ``(*, n, n)``; only the lower triangle is read, the upper one where ``upper``.

    Raises:
        LinAlgError: where a matrix is not positive definite.
        RuntimeError: for integers and for matrices that are not square.
    """
    return exact(_cholesky("linalg.cholesky", A, upper), out)


def _cholesky(name, A, upper):
    L, info = ops._linalg_cholesky_ex(A, name, upper)
    check_infos(name, info, _NOT_POSITIVE)
    return L


@typed("cholesky", input="Tensor", upper="bool")
def cholesky(input, upper=False, *, out=None):
    """Deprecated: :func:`corten.linalg.cholesky`, and ``.mH`` of its result where ``upper``."""
    tell_deprecated("cholesky", "corten.linalg.cholesky, whose .mH is the upper factor")
    return result(_cholesky("cholesky", input, upper), out)


@typed("cholesky_solve", B="Tensor", L="Tensor", upper="bool")
def cholesky_solve(B, L, upper=False, *, out=None):
    """X in ``A @ X = B``, where L is A's Cholesky factor, or its adjoint where ``upper``.

    Args:
        B: ``(*, n, k)``.
        L: ``(*, n, n)``; the dims before the last two broadcast.

    Raises:
        RuntimeError: for shapes and dtypes that do not fit.
    """
    for name, x in (("b", B), ("u", L)):
        if x.dim() < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {x.dim()} dimensions instead")
    check_square("cholesky_solve", L)
    if L.shape[-1] != B.shape[-2]:
        raise RuntimeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {L.shape[-1]} by {L.shape[-1]} but each b "
            f"matrix is {B.shape[-2]} by {B.shape[-1]}"
        )
    check_alike("cholesky_solve", B, L, ("b", "A"))
    lower = L.mH if upper else L
    if _core.is_grad_enabled() and L.requires_grad:
        return result(_cholesky_solve_class().apply(B, lower), out)
    return result(_solve_twice(B, lower), out)


def _solve_twice(B, lower):
    half = ops._linalg_solve_triangular(lower, B, upper=False)
    return ops._linalg_solve_triangular(lower.mH, half, upper=True)


@functools.cache
def _cholesky_solve_class():
    from ..autograd import Function

    class CholeskySolve(Function):
        """The gradient of L is that of ``L @ L.mH`` in all elements, as PyTorch's; only the triangle is read."""

        @staticmethod
        def forward(ctx, B, lower):
            X = _solve_twice(B, lower)
            ctx.save_for_backward(lower, X)
            ctx.shapes = B.shape, lower.shape
            return X

        @staticmethod
        def backward(ctx, grad):
            lower, X = ctx.saved_tensors
            for_b = cholesky_solve(grad, lower)
            outer = for_b @ X.mH
            for_l = -(outer + outer.mH) @ lower
            return for_b.sum_to_size(ctx.shapes[0]), for_l.sum_to_size(ctx.shapes[1])

    return CholeskySolve


@typed("cholesky_inverse", L="Tensor", upper="bool")
def cholesky_inverse(L, upper=False, *, out=None):
    """The inverse of A from its Cholesky factor, or from the adjoint where ``upper``.

    Raises:
        LinAlgError: where the factor's diagonal has a zero.
        RuntimeError: for matrices that are not square.
    """
    check_square("cholesky_inverse", L)
    zeros = L.detach().diagonal(dim1=-2, dim2=-1) == 0
    if not everywhere(~zeros):
        first = ops.where(zeros.any(-1), zeros.int().argmax(-1) + 1, 0)
        check_infos("cholesky_inverse", first, SINGULAR_INVERSE)
    return result(cholesky_solve(ops.eye(L.shape[-1], dtype=L.dtype, device=L.device), L, upper), out)


_ZERO_PIVOT = (
    "U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the "
    "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
)
_LU_FACTOR_EX = ("LU", "pivots", "info")


def _lu(A, pivot):
    if A.dim() < 2:
        raise RuntimeError(
            f"torch.lu_factor: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead"
        )
    if not pivot:
        where = "GPU" if A.is_cuda else "CPU"
        raise RuntimeError(f"linalg.lu_factor: LU without pivoting is not implemented on the {where}")
    return ops._linalg_lu_factor_ex(A, "linalg.lu_factor")


@typed("linalg_lu_factor_ex", A="Tensor", pivot="bool", check_errors="bool")
def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """``LU`` and ``pivots`` of :func:`lu_factor`, and for each matrix the number of the first zero pivot, or 0.

    Args:
        check_errors: raise RuntimeError where a number is not 0.
    """
    values = _lu(A, pivot)
    if check_errors:
        check_infos("torch.linalg.lu_factor_ex", values[2], _ZERO_PIVOT, RuntimeError)
    return _named("linalg_lu_factor_ex", _LU_FACTOR_EX, values, out)


@typed("linalg_lu_factor", A="Tensor", pivot="bool")
def lu_factor(A, *, pivot=True, out=None):
    """The LU decomposition of matrices ``(*, m, n)`` with rows exchanged, in the compact form of :func:`lu_solve`.

    Returns:
        ``LU`` ``(*, m, n)``, U on and above the diagonal and L, whose diagonal is 1, below; and ``pivots``
        ``(*, min(m, n))``, int32: row i was exchanged with row ``pivots[i] - 1``.

    Raises:
        RuntimeError: where a pivot is zero, for vectors and integers, and without ``pivot``.
    """
    LU, pivots, info = _lu(A, pivot)
    check_infos("torch.linalg.lu_factor", info, _ZERO_PIVOT, RuntimeError)
    return _named("linalg_lu_factor", ("LU", "pivots"), (LU, pivots), out)


def _permutation_matrix(pivots, m, dtype):
    order = ops._lu_permutation(pivots, m)
    return (order.unsqueeze(-2) == ops.arange(m, device=pivots.device).unsqueeze(-1)).to(dtype)


def _triangles(LU):
    m, n = LU.shape[-2:]
    k = min(m, n)
    lower = LU[..., :k].tril(-1) + ops.eye(m, k, dtype=LU.dtype, device=LU.device)
    return lower, LU[..., :k, :].triu()


@typed("linalg_lu", A="Tensor", pivot="bool")
def linalg_lu(A, *, pivot=True, out=None):
    """``P``, ``L`` and ``U`` with ``A = P @ L @ U`` of matrices ``(*, m, n)``.

    Returns:
        A permutation matrix ``(*, m, m)``, L ``(*, m, k)`` with ones on its diagonal, and U ``(*, k, n)``, with
        ``k = min(m, n)``.

    Raises:
        RuntimeError: for vectors and integers, and without ``pivot``.
    """
    LU, pivots, _ = _lu(A, pivot)
    values = (_permutation_matrix(pivots, A.shape[-2], A.dtype), *_triangles(LU))
    return _named("linalg_lu", ("P", "L", "U"), values, out)


@typed("lu_unpack", LU_data="Tensor", LU_pivots="Tensor", unpack_data="bool", unpack_pivots="bool")
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """``P``, ``L`` and ``U`` of the compact form of :func:`corten.linalg.lu_factor`.

    Args:
        unpack_data: where false, L and U are empty.
        unpack_pivots: where false, P is empty.

    Raises:
        RuntimeError: for pivots that are not int32, or outside 1 to m.
    """
    if LU_data.dim() < 2:
        raise RuntimeError(
            f"torch.lu_unpack: Expected tensor with 2 or more dimensions. Got size: {list(LU_data.shape)} instead"
        )
    if unpack_pivots and LU_pivots.dtype != _core.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
            "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    m = LU_data.shape[-2]
    P = L = U = LU_data.new_empty(0)
    if unpack_data:
        L, U = _triangles(LU_data)
    if unpack_pivots:
        if LU_pivots.numel() and not everywhere((LU_pivots >= 1) & (LU_pivots <= m)):
            raise RuntimeError(
                "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive."
                "Did you properly pass the result of lu_factor?"
            )
        P = _permutation_matrix(LU_pivots, m, LU_data.dtype)
    return _named("lu_unpack", ("P", "L", "U"), (P, L, U), out)


def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """X in ``A @ X = B`` of the decomposition by :func:`lu_factor`.

    Args:
        B: ``(*, n, k)``, ``(*, k, n)`` unless ``left``; the dims before the last two broadcast.
        left: solve ``X @ A = B`` where false.
        adjoint: with ``A.mH`` for ``A``.

    Raises:
        RuntimeError: for shapes and dtypes that do not fit.
    """
    check_square("linalg.lu_solve", LU, "LU")
    check_alike("linalg.lu_solve", LU, B, ("LU", "B"))
    if pivots.dtype != _core.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    if B.dim() < 2:
        raise RuntimeError("linalg.lu_solve: The input tensor B must have at least 2 dimensions.")
    check_fit("linalg.lu_solve", LU, B, left)
    if pivots.shape[-1:] != LU.shape[-1:]:
        raise RuntimeError("linalg.lu_solve: Number of pivots per batch should be same as the dimension of the matrix")
    if pivots.shape[:-1] != LU.shape[:-2]:
        raise RuntimeError("linalg.lu_solve: Expected LU.shape[:-1] and pivots.shape to be the same")
    return exact(ops._linalg_lu_solve(LU, pivots, B, left, adjoint), out)


def lu_solve(b, LU_data, LU_pivots, *, out=None):
    """Deprecated: :func:`corten.linalg.lu_solve`, whose arguments are in another order."""
    tell_deprecated("lu_solve", "corten.linalg.lu_solve(LU, pivots, B)")
    return linalg_lu_solve(LU_data, LU_pivots, b, out=out)


def lu(A, pivot=True, get_infos=False, out=None):
    """The compact LU decomposition and its pivots, and infos where ``get_infos``.

    Deprecated: :func:`corten.linalg.lu_factor` and :func:`corten.linalg.lu_factor_ex`.

    Raises:
        RuntimeError: for vectors and integers, and without ``pivot``.
    """
    tell_deprecated("lu", "corten.linalg.lu_factor and corten.linalg.lu_factor_ex")
    values = list(_lu(A, pivot))[: 3 if get_infos else 2]
    if out is not None:
        if not isinstance(out, (tuple, builtins.list)) or len(out) != len(values):
            raise TypeError(f"lu: out must be a tuple of {len(values)} tensors")
        values = [result(value, place) for value, place in zip(values, out, strict=True)]
    return tuple(values)


_UNKNOWN_LDL = "the matrix has a pivot that is zero, number {}: the decomposition cannot be used to solve"


def _ldl(A, hermitian, check_errors, name):
    values = ops._linalg_ldl_factor_ex(A, "torch.linalg.ldl_factor_ex", hermitian)
    if check_errors:
        check_infos(name, values[2], _UNKNOWN_LDL, RuntimeError)
    return values


@typed("linalg_ldl_factor_ex", A="Tensor", hermitian="bool", check_errors="bool")
def ldl_factor_ex(A, *, hermitian=False, check_errors=False, out=None):
    """``LD`` and ``pivots`` of :func:`ldl_factor`, and for each matrix the number of the first zero pivot, or 0."""
    values = _ldl(A, hermitian, check_errors, "torch.linalg.ldl_factor_ex")
    return _named("linalg_ldl_factor_ex", ("LD", "pivots", "info"), values, out)


@typed("linalg_ldl_factor", A="Tensor", hermitian="bool")
def ldl_factor(A, *, hermitian=False, out=None):
    """The LDL decomposition of symmetric matrices ``(*, n, n)`` in the compact form of LAPACK's ``sytrf``.

    Only the lower triangle is read; it has no gradient.

    Args:
        hermitian: complex matrices are Hermitian, with ``A = L @ D @ L.mH``; it makes no difference to real ones.

    Raises:
        RuntimeError: where a pivot is zero, for integers and for matrices that are not square.
    """
    LD, pivots, _ = _ldl(A, hermitian, True, "torch.linalg.ldl_factor")
    return _named("linalg_ldl_factor", ("LD", "pivots"), (LD, pivots), out)


def ldl_solve(LD, pivots, B, *, hermitian=False, out=None):
    """X in ``A @ X = B`` of the decomposition by :func:`ldl_factor`; ``B`` is ``(*, n, k)``.

    Args:
        hermitian: what :func:`ldl_factor` was given.

    Raises:
        RuntimeError: for shapes and dtypes that do not fit.
    """
    name = "torch.linalg.ldl_solve"
    check_square(name, LD, "LD")
    if pivots.dtype not in (_core.int32, _core.int64):
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {scalar_name(pivots)}")
    if pivots.shape != LD.shape[:-1]:
        raise RuntimeError(f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same")
    check_alike(name, LD, B, ("LD", "B"))
    return exact(ops._linalg_ldl_solve(LD, pivots.to(_core.int32), B, hermitian), out)


_NO_CONVERGENCE = (
    "The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated eigenvalues "
    "(error code: {})."
)


def _eigh(A, UPLO, vectors):
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    check_square("linalg.eigh", A)
    if not inexact(A):
        raise NotImplementedError(f"\"linalg_eigh_cpu\" not implemented for '{scalar_name(A)}'")
    values = ops._linalg_eigh(A, "linalg.eigh", UPLO.upper() == "U", vectors)
    if A.numel():
        check_infos("linalg.eigh", values[-1], _NO_CONVERGENCE)
    return values


@typed("linalg_eigh", A="Tensor", UPLO="str")
def eigh(A, UPLO="L", *, out=None):
    """``A = V @ diag(w) @ V.mH`` of symmetric or Hermitian matrices ``(*, n, n)``: real ``w`` ``(*, n)``, and ``V``.

    The eigenvalues ascend. The signs of the vectors, or their phases, are arbitrary, and gradients through them are
    finite only where the eigenvalues differ; where the loss depends on the phases of complex vectors, the backward pass
    raises RuntimeError.
    A matrix with NaN or infinities has results of NaN.

    Args:
        UPLO: ``"L"`` where the lower triangle is read, ``"U"`` for the upper.

    Raises:
        RuntimeError: for matrices that are not square.
    """
    w, V, _ = _eigh(A, UPLO, True)
    return _named("linalg_eigh", ("eigenvalues", "eigenvectors"), (w, V), out)


@typed("linalg_eigvalsh", A="Tensor", UPLO="str")
def eigvalsh(A, UPLO="L", *, out=None):
    """The eigenvalues of :func:`eigh` alone, ``(*, n)``, ascending."""
    return exact(_eigh(A, UPLO, False)[0], out)


def _check_eig(name, A):
    check_square(f"linalg.{name}", A)
    if not inexact(A):
        raise RuntimeError(f"Unknown Complex ScalarType for {scalar_name(A)}")


def _check_complex_out(name, argument, A, place):
    if place is not None and not place.is_complex():
        wanted = "ComplexDouble" if part_dtype(A) == _core.float64 else "ComplexFloat"
        raise RuntimeError(
            f"torch.linalg.{name}: Expected {argument} to be safely castable from {wanted} dtype, but got {argument} "
            f"with dtype {scalar_name(place)}"
        )


@typed("linalg_eig", A="Tensor")
def eig(A, *, out=None):
    """``A @ V = V @ diag(w)`` of square matrices ``(*, n, n)``: complex ``w`` ``(*, n)`` and ``V`` ``(*, n, n)``.

    The eigenvalues have no order. The vectors have norm 1; their phases are arbitrary, here such that the element of
    the greatest magnitude is real. Gradients are finite where the eigenvalues differ, and the backward pass raises
    RuntimeError where the loss depends on the phases.

    Raises:
        LinAlgError: where the iteration does not converge.
        NotImplementedError: for half types, and on a GPU.
        RuntimeError: for integers, for matrices that are not square, and for NaN and infinities.
    """
    _check_eig("eig", A)
    if out is not None:
        for argument, place in zip(("eigenvalues", "eigenvectors"), out, strict=True):
            _check_complex_out("eig", argument, A, place)
    w, V, info = ops._linalg_eig(A, True)
    check_infos("torch.linalg.eig", info, _NO_CONVERGENCE)
    return _named("linalg_eig", ("eigenvalues", "eigenvectors"), (w, V), out)


@typed("linalg_eigvals", A="Tensor")
def eigvals(A, *, out=None):
    """The eigenvalues of :func:`eig` alone, complex ``(*, n)``, in no order."""
    _check_eig("eigvals", A)
    _check_complex_out("eigvals", "eigenvalues", A, out)
    values = ops._linalg_eig(A, False)
    check_infos("torch.linalg.eigvals", values[-1], _NO_CONVERGENCE)
    return result(values[0], out)


@typed("triangular_solve", b="Tensor", A="Tensor", upper="bool", transpose="bool", unitriangular="bool")
def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False, *, out=None):
    """X in ``A @ X = b`` of triangular A, and a copy of A.

    Deprecated: :func:`corten.linalg.solve_triangular`.

    Args:
        transpose: with ``A.mT``, also of complex matrices, for ``A``; ``upper`` is said of A itself.
    """
    tell_deprecated("triangular_solve", "corten.linalg.solve_triangular(A, B, upper=...)")
    for name, x in (("b", b), ("A", A)):
        if not isinstance(x, Tensor) or x.dim() < 2:
            raise RuntimeError(f"torch.triangular_solve: Expected {name} to have at least 2 dimensions")
    matrix = A.mT if transpose else A
    x = ops._linalg_solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular)
    coefficient = by_columns(A.expand(*x.shape[:-2], *A.shape[-2:])).clone()
    return _named("triangular_solve", ("solution", "cloned_coefficient"), (x, coefficient), out)
