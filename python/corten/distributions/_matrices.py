"""Cholesky factors and what is solved with them, of batches of matrices ``(*, n, n)``.

The factor is made of two decompositions that the engine has: with ``A = V diag(s) Vᵀ``, the triangle R of the QR
decomposition of ``diag(√s) Vᵀ`` has ``Rᵀ R = A``.
"""

import corten
from corten.autograd import Function


def _wide(x):
    """float64 where the device has it: validity and factors of float32 matrices lose nothing to rounding then."""
    return x.double() if x.device.type == "cpu" else x


def _scaled_spectrum(A):
    """Scales d, and U, s and Vh of ``A / (d dᵀ)``, whose diagonal is 1: rounding then is relative to A's entries."""
    lower = _wide(A.tril())
    symmetric = lower + lower.tril(-1).mT
    diagonal = symmetric.diagonal(dim1=-2, dim2=-1)
    d = corten.where(diagonal > 0, diagonal, 1.0).sqrt()
    scaled = symmetric / (d.unsqueeze(-1) * d.unsqueeze(-2))
    finite = scaled.isfinite().all(-1).all(-1)
    scaled = corten.where(finite[..., None, None], scaled, corten.zeros_like(scaled))
    U, s, Vh = corten.linalg.svd(scaled)
    return d, U, s, Vh, (diagonal > 0).all(-1) & finite


def _has_positive_spectrum(A, spectrum):
    _, U, s, Vh, possible = spectrum
    # U Vh has the eigenvalues' signs: its trace is n when none is negative. Equal singular values may mix vectors of
    # both signs, but never change the trace.
    n = A.shape[-1]
    signs = (U * Vh.mT).sum((-2, -1))
    smallest = n * corten.finfo(s.dtype).eps
    return possible & (signs > n - 0.5) & (s[..., -1] > smallest)


def is_positive_definite(A):
    """For every symmetric matrix whether it has a Cholesky factor."""
    with corten.no_grad():
        if A.numel() == 0:
            return corten.ones(A.shape[:-2], dtype=corten.bool, device=A.device)
        return _has_positive_spectrum(A, _scaled_spectrum(A))


def is_positive_semidefinite(A):
    """For every symmetric matrix whether no eigenvalue is negative, up to rounding."""
    with corten.no_grad():
        if A.numel() == 0:
            return corten.ones(A.shape[:-2], dtype=corten.bool, device=A.device)
        _U, s, Vh = corten.linalg.svd(_wide(A))
        # The eigenvalue to a singular value s is s u·v; of mixed vectors u·v is smaller, and counts as negative.
        off = (_wide(A) - Vh.mT @ (s.unsqueeze(-1) * Vh)).abs().amax((-2, -1))
        return off <= 100 * A.shape[-1] * corten.finfo(A.dtype).eps * s[..., 0]


class _Cholesky(Function):
    @staticmethod
    def forward(ctx, A):
        spectrum = _scaled_spectrum(A)
        if not _has_positive_spectrum(A, spectrum).all():
            raise RuntimeError(
                f"cholesky: a matrix of the input of shape {tuple(A.shape)} is not positive-definite, so it has no "
                "Cholesky factor"
            )
        d, _, s, Vh, _ = spectrum
        R = corten.linalg.qr(s.sqrt().unsqueeze(-1) * Vh, mode="r")[1]
        signs = R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-1)
        L = ((signs * R).mT * d.unsqueeze(-1)).tril().to(A.dtype)
        ctx.save_for_backward(L)
        return L

    @staticmethod
    def backward(ctx, grad):
        # Murray, "Differentiation of the Cholesky decomposition" (2016): L⁻ᵀ Φ(Lᵀ grad) L⁻¹, made symmetric, with Φ
        # the lower triangle whose diagonal is halved.
        (L,) = ctx.saved_tensors
        inner = (L.mT @ grad).tril()
        inner = inner - 0.5 * inner.diagonal(dim1=-2, dim2=-1).diag_embed()
        half = corten.linalg.solve_triangular(L.mT, inner, upper=True)
        full = corten.linalg.solve_triangular(L, half, upper=False, left=False)
        return 0.5 * (full + full.mT)


def cholesky(A):
    """The lower triangle L with ``L @ L.mT == A`` and a positive diagonal; A's upper triangle is not read.

    Raises:
        RuntimeError: where a matrix is not positive definite.
    """
    if A.dtype in (corten.float16, corten.bfloat16):
        A = A.float()  # autocast makes such products, and decomposes them in float32
    return A.clone() if A.numel() == 0 else _Cholesky.apply(A)


def half_log_det(L):
    """Half the logarithm of ``det(L @ L.mT)``."""
    return L.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def inverse_of_product(L):
    """The inverse of ``L @ L.mT``."""
    inverse = solve(L, corten.eye(L.shape[-1], dtype=L.dtype, device=L.device))
    return inverse.mT @ inverse


def solve(L, B):
    """X in ``L @ X = B`` for lower triangles L; the dims before the last two broadcast."""
    batch = corten.broadcast_shapes(L.shape[:-2], B.shape[:-2])
    L, B = L.expand(batch + L.shape[-2:]), B.to(L.dtype).expand(batch + B.shape[-2:])
    return corten.linalg.solve_triangular(L, B, upper=False)


def matvec(A, x):
    """The product of matrices ``(*, m, n)`` and vectors ``(*, n)``, broadcast."""
    return (A @ x.unsqueeze(-1)).squeeze(-1)


def squared_distance(L, x):
    """``xᵀ (L Lᵀ)⁻¹ x`` of vectors ``(*, n)``, where the dims before L's batch are draws that share L.

    They become columns of one system for each matrix instead of a matrix repeated for every draw.
    """
    draws = x.dim() - (L.dim() - 1)
    shared = draws > 0 and x.shape[draws:-1] == L.shape[:-2]
    if not shared:
        return solve(L, x.unsqueeze(-1)).square().sum((-2, -1))
    columns = x.flatten(0, draws - 1).movedim(0, -1)
    return solve(L, columns).square().sum(-2).movedim(-1, 0).reshape(x.shape[:-1])


def precision_to_scale_tril(P):
    """The Cholesky factor of the inverse of P, without the inverse.

    With both orders of rows and columns reversed, a Cholesky factor of P becomes an upper triangle U with
    ``U @ U.mT == P``, and ``U⁻ᵀ`` is the factor of the inverse.
    """
    reversed_factor = cholesky(P.flip((-2, -1))).flip((-2, -1))
    return solve(reversed_factor.mT, corten.eye(P.shape[-1], dtype=P.dtype, device=P.device))
