"""Cholesky factors and what is solved with them, of batches of matrices ``(*, n, n)``."""

import corten


def _wide(x):
    """float64 where the device has it: validity of float32 matrices loses nothing to rounding then."""
    return x.double() if x.device.type == "cpu" else x


def is_positive_definite(A):
    """For every symmetric matrix whether it has a Cholesky factor."""
    with corten.no_grad():
        return corten.linalg.cholesky_ex(A)[1] == 0


def is_positive_semidefinite(A):
    """For every symmetric matrix whether no eigenvalue is negative, up to rounding."""
    with corten.no_grad():
        if A.numel() == 0:
            return corten.ones(A.shape[:-2], dtype=corten.bool, device=A.device)
        _U, s, Vh = corten.linalg.svd(_wide(A))
        # The eigenvalue to a singular value s is s u·v; of mixed vectors u·v is smaller, and counts as negative.
        off = (_wide(A) - Vh.mT @ (s.unsqueeze(-1) * Vh)).abs().amax((-2, -1))
        return off <= 100 * A.shape[-1] * corten.finfo(A.dtype).eps * s[..., 0]


def cholesky(A):
    """The lower triangle L with ``L @ L.mT == A`` and a positive diagonal; A's upper triangle is not read.

    Raises:
        LinAlgError: where a matrix is not positive definite.
    """
    if A.dtype in (corten.float16, corten.bfloat16):
        A = A.float()  # autocast makes such products, and decomposes them in float32
    return corten.linalg.cholesky(A)


def half_log_det(L):
    """Half the logarithm of ``det(L @ L.mT)``."""
    return L.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def inverse_of_product(L):
    """The inverse of ``L @ L.mT``."""
    return corten.cholesky_inverse(L)


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
