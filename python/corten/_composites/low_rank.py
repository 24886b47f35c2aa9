"""Singular values under `torch`'s own names, and the greatest ones alone by random projections (Halko et al. 2011)."""

from .. import _core
from ._arguments import typed
from ._common import by_columns, exact, inexact, ops, result, scalar_name, whole
from .lookup import _named


@typed("svd", input="Tensor", some="bool", compute_uv="bool")
def svd(input, some=True, compute_uv=True, *, out=None):
    """``U``, ``S`` and ``V``, not its transpose, of matrices ``(*, m, n)``, with ``input = U @ diag(S) @ V.mH``.

    Args:
        some: as many vectors as there are singular values, else square matrices of them.
        compute_uv: where false, zeros take the place of ``U`` and ``V``.
    """
    if compute_uv:
        u, s, vh = ops._linalg_svd(input, not some)
        return _named("svd", ("U", "S", "V"), (u, s, vh.mH), out)
    m, n = input.shape[-2:]
    s = ops._linalg_svdvals(input)
    squares = [input.new_zeros((*input.shape[:-2], size, size)) for size in (m, n)]
    return _named("svd", ("U", "S", "V"), (squares[0], s, squares[1]), out)


def nuclear_norm(input, dim=(-2, -1), keepdim=False, *, out=None):
    """The sum of the singular values; deprecated, use ``corten.linalg.matrix_norm(input, 'nuc')``."""
    from ..linalg import matrix_norm

    return matrix_norm(input, "nuc", dim, keepdim, out=out)


def frobenius_norm(input, dim, keepdim=False, *, out=None):
    """The root of the sum of squares over one or two dims, over all for ``()``."""
    dims = [dim] if isinstance(dim, int) else list(dim)
    if len(dims) > 2:
        raise RuntimeError(f"Expected at most 2 dimensions, but got {len(dims)} dimensions instead.")
    return result(ops._vector_norm(input, 2, dims or None, keepdim), out)


def _basis(A, q, niter, M):
    """Orthonormal columns ``(*, m, q)`` whose span nearly holds what ``A - M`` does most."""

    def apply(matrix, mean, x):
        return matrix @ x if mean is None else matrix @ x - mean @ x

    turned, mean_t = A.mH, None if M is None else M.mH
    draw = ops.randn(A.shape[-1], q, dtype=A.dtype, device=A.device)
    basis = ops._linalg_qr(apply(A, M, draw), "reduced")[0]
    for _ in range(niter):
        basis = ops._linalg_qr(apply(turned, mean_t, basis), "reduced")[0]
        basis = ops._linalg_qr(apply(A, M, basis), "reduced")[0]
    return basis


def svd_lowrank(A, q=6, niter=2, M=None):
    """Nearly the ``q`` greatest singular values of ``A - M``, with vectors: ``U (*, m, q)``, ``S``, ``V (*, n, q)``.

    Args:
        q: slightly more than the rank that is looked for.
        niter: refinements of the random basis.
        M: subtracted from ``A``, broadcast.

    Raises:
        ValueError: ``q`` is not within the sizes of A, or ``niter`` is negative.
    """
    m, n = A.shape[-2:]
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    M = None if M is None else M.broadcast_to(A.shape)
    wide = m < n
    if wide:
        A, M = A.mH, None if M is None else M.mH
    basis = _basis(A, q, niter, M)
    small = basis.mH @ (A if M is None else A - M)
    u, s, vh = ops._linalg_svd(small, False)
    u, v = basis @ u, vh.mH
    return (v, s, u) if wide else (u, s, v)


def pca_lowrank(A, q=None, center=True, niter=2):
    """Principal components of ``A`` ``(*, m, n)``, rows being samples: ``U``, ``S`` and the directions ``V (*, n, q)``.

    Args:
        q: slightly more than the number of components looked for; 6 at most where it is not given.
        center: whether the columns' means are subtracted first.
        niter: as in :func:`svd_lowrank`.

    Raises:
        ValueError: as :func:`svd_lowrank`.
    """
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)


@typed("linalg_matrix_exp", A="Tensor")
def matrix_exp(A, *, out=None):
    """The exponential of square matrices ``(*, n, n)``, by a Taylor series of order 18 with scaling and squaring.

    Raises:
        RuntimeError: for integers and for matrices that are not square.
    """
    if not inexact(A):
        raise RuntimeError(
            f"linalg.matrix_exp: Expected a floating point or complex tensor as input. Got {scalar_name(A)}"
        )
    if A.dim() < 2:
        raise RuntimeError("linalg.matrix_exp: The input tensor A must have at least 2 dimensions.")
    if A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"linalg.matrix_exp: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} "
            "matrices"
        )
    if A.numel() == 0:
        return result(A.clone(), out)
    half = A.dtype in (_core.float16, _core.bfloat16)
    return result(_exponential(A.float()).to(A.dtype) if half else _exponential(A), out)


# The 1-norms up to which the series of order 18 has converged.
_CONVERGED = {_core.float32: 3.0, _core.float64: 1.0}


def _exponential(A):
    x, squarings = _scaled(A)
    identity = ops.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    # Five products: powers up to the sixth, then Horner's rule in the sixth (Paterson & Stockmeyer 1973).
    powers = [identity, x]
    while len(powers) < 7:
        half = len(powers) // 2
        powers.append(powers[half] @ powers[len(powers) - half])
    factors, factor = [], 1.0
    for k in range(19):
        factor = factor / k if k else factor
        factors.append(factor)
    total = powers[6] * factors[18]
    for block in (12, 6, 0):
        terms = sum(powers[k] * factors[block + k] for k in range(6))
        total = terms + (total if block == 12 else powers[6] @ total)
    counts = whole(squarings)
    common = int(counts.min().item())
    for done in range(int(counts.max().item())):
        square = total @ total
        total = square if done < common else ops.where(squarings > done, square, total)
    return total


def _scaled(A):
    """The matrices divided by powers of two until the series converges, and how often each is to be squared."""
    norm = A.detach().abs().sum(-2).amax(-1)[..., None, None]
    # Of what is not finite nothing comes out, and 0 needs nothing.
    norm = ops.where(norm.isfinite() & (norm > 0), norm, 1.0)
    squarings = (norm / _CONVERGED[norm.dtype]).log2().ceil().clamp(min=0)
    return A * ops.ldexp(ops.ones_like(squarings), -squarings), squarings


@typed("geqrf", input="Tensor")
def geqrf(input, *, out=None):
    """The QR decomposition of matrices ``(*, m, n)`` as LAPACK's ``geqrf`` leaves it; it has no gradient.

    Returns:
        ``a`` ``(*, m, n)``, R on and above the diagonal and the vectors of the reflections below, and their factors
        ``tau`` ``(*, min(m, n))``, for :func:`corten.linalg.householder_product` and :func:`corten.ormqr`.

    Raises:
        NotImplementedError: for integers, half types, and on a GPU.
        RuntimeError: for vectors.
    """
    return _named("geqrf", ("a", "tau"), ops._linalg_geqrf(input), out, write=result)


@typed("linalg_householder_product", input="Tensor", tau="Tensor")
def householder_product(input, tau, *, out=None):
    """The first n columns ``(*, m, n)`` of the product of reflections ``I - tau v vᴴ``.

    Args:
        input: ``(*, m, n)`` with ``m >= n``; below the diagonal of column i is what follows the 1 of vector i.
        tau: ``(*, k)`` with ``k <= n``.

    Raises:
        RuntimeError: for shapes that do not fit.
    """
    if input.dim() < 2:
        raise RuntimeError("torch.linalg.householder_product: input must have at least 2 dimensions.")
    if input.dtype != tau.dtype:
        raise RuntimeError(
            f"torch.linalg.householder_product: tau dtype {scalar_name(tau)} does not match input dtype "
            f"{scalar_name(input)}"
        )
    m, n = input.shape[-2:]
    k = tau.shape[-1]
    if m < n:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            f"input.shape[-1], got {m} and {n}"
        )
    if n < k:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to "
            f"tau.shape[-1], got {n} and {k}"
        )
    identity = ops.eye(m, n, dtype=input.dtype, device=input.device)
    if k == 0 or m == 0:
        return result(by_columns(identity.expand(input.shape)).clone(), out)
    v, small = _joined_reflections(input, tau)
    return result(by_columns(identity - v @ small[..., :n]), out)


def _joined_reflections(input, tau):
    """``v`` ``(*, m, k)`` and ``small`` ``(*, k, m)``: the identity less their product is that of all reflections."""
    m, k = input.shape[-2], tau.shape[-1]
    v = input[..., :k].tril(-1) + ops.eye(m, k, dtype=input.dtype, device=input.device)
    # All reflections at once (Joffrain et al. 2006): I - V (I + D triu(VᴴV, 1))⁻¹ D Vᴴ with D = diag(tau).
    inner = tau.unsqueeze(-1) * (v.mH @ v).triu(1)
    small = ops._linalg_solve_triangular(inner, tau.unsqueeze(-1) * v.mH, upper=True, unitriangular=True)
    return v, small


def orgqr(input, tau, *, out=None):
    """As :func:`corten.linalg.householder_product`."""
    return householder_product(input, tau, out=out)


@typed("ormqr", input="Tensor", tau="Tensor", other="Tensor", left="bool", transpose="bool")
def ormqr(input, tau, other, left=True, transpose=False, *, out=None):
    """``Q @ other``, or ``other @ Q`` unless ``left``, with Q the whole product of reflections of :func:`orgqr`.

    Args:
        input: ``(*, m, k)``; m is the size of ``other`` that Q meets.
        tau: ``(*, k)``.
        transpose: with ``Q.mH`` for Q.

    Raises:
        RuntimeError: for shapes and dtypes that do not fit.
    """
    if input.dim() < 2 or other.dim() < 2:
        raise RuntimeError("torch.ormqr: input and other must have at least 2 dimensions.")
    met = -2 if left else -1
    if other.shape[met] != input.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{met}] must be equal to input.shape[-2]")
    if other.shape[met] < tau.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{met}] must be greater than or equal to tau.shape[-1]")
    if not input.dtype == tau.dtype == other.dtype:
        raise RuntimeError(
            f"torch.ormqr: Expected input, tau and other to have the same dtype, but got {input.dtype}, {tau.dtype} "
            f"and {other.dtype}"
        )
    v, small = _joined_reflections(input, tau)
    if transpose:
        v, small = small.mH, v.mH
    return exact(by_columns(other - v @ (small @ other) if left else other - (other @ v) @ small), out)
