"""A few extreme eigenvalues of large symmetric matrices by a block method (LOBPCG, Knyazev 2001)."""

from .. import _core
from .._dtype_info import finfo
from ._common import check_tensors, ops


def lobpcg(
    A,
    k=None,
    B=None,
    X=None,
    n=None,
    iK=None,
    niter=None,
    tol=None,
    largest=None,
    method=None,
    tracker=None,
    ortho_iparams=None,
    ortho_fparams=None,
    ortho_bparams=None,
):
    """The k largest or smallest eigenvalues of ``A @ x = e * B @ x`` and their vectors: ``(*, k)`` and ``(*, m, k)``.

    The search space of every step, the vectors, their residuals and the last directions, is made orthonormal by a QR
    decomposition, so the methods ``"basic"`` and ``"ortho"`` are one here, and its ``ortho_*`` options say nothing.
    Gradients with respect to A, where B is not given, are those of :func:`corten.linalg.eigh`.

    Args:
        A: symmetric matrices ``(*, m, m)``.
        k: how many; as many as X has columns, or 1.
        B: symmetric positive definite matrices ``(*, m, m)``; the identity where not given.
        X: the first guess of vectors, ``(*, m, n)`` with ``k <= n``; normal random numbers where not given.
        n: the columns of a random guess, k where not given.
        iK: a preconditioner ``(*, m, m)``, near the inverse of A.
        niter: at most so many steps, 1000 where not given; as many as it takes where negative.
        tol: the residual, relative to the norms of the matrices, that is small enough; √eps where not given.
        largest: the largest eigenvalues first, as by default, or the smallest.

    Raises:
        ValueError: where ``m < 3 n``, and for unknown methods.
        NotImplementedError: with a tracker, and for the gradient where B is given.
        RuntimeError: for shapes and dtypes that do not fit.
    """
    n = _checked(A, k, B, X, n, method, tracker)
    k = n if k is None else k
    largest = largest is None or bool(largest)
    if _core.is_grad_enabled() and any(x is not None and x.requires_grad for x in (A, B)):
        if B is not None:
            raise NotImplementedError("lobpcg: the derivative where B is given is not implemented")
        values, vectors = ops._linalg_eigh((A + A.mT) / 2, "lobpcg")[:2]
        return _extreme(values, vectors, k, largest)
    A, B, X, iK = (None if x is None else x.detach() for x in (A, B, X, iK))
    if X is None:
        X = ops.randn(*A.shape[:-1], n, dtype=A.dtype, device=A.device)
    values, vectors = _iterated(A, B, X, iK, 1000 if niter is None else niter, tol, largest)
    return values[..., :k], vectors[..., :k]


def _checked(A, k, B, X, n, method, tracker):
    """The number of columns of the search."""
    check_tensors("lobpcg", A=A)
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"lobpcg: A must be square matrices, got a tensor of shape {list(A.shape)}")
    if not A.is_floating_point():
        raise RuntimeError(f"lobpcg: expected floating-point matrices, got {A.dtype}")
    for name, x in (("B", B), ("X", X)):
        if x is not None and (x.dtype != A.dtype or x.dim() != A.dim() or x.shape[:-1] != A.shape[:-1]):
            raise RuntimeError(
                f"lobpcg: {name} of shape {list(x.shape)} and dtype {x.dtype} does not fit A of shape {list(A.shape)} "
                f"and dtype {A.dtype}"
            )
    if method not in (None, "basic", "ortho"):
        raise ValueError(f"lobpcg: method must be 'basic' or 'ortho', got {method!r}")
    if tracker is not None:
        raise NotImplementedError("lobpcg: trackers are not called; set niter and look at the results")
    n = X.shape[-1] if X is not None else (k or 1) if n is None else n
    if not 1 <= (n if k is None else k) <= n:
        raise ValueError(f"lobpcg: k must be between 1 and the {n} columns of X, got {k}")
    if A.shape[-1] < 3 * n:
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={A.shape[-1]}) is smaller than 3 x the "
            f"number of requested eigenpairs (={n})"
        )
    return n


def _extreme(values, vectors, count, largest):
    """The eigenvalues that are wanted, the most extreme first, of all in ascending order."""
    if largest:
        return values[..., -count:].flip(-1), vectors[..., -count:].flip(-1)
    return values[..., :count], vectors[..., :count]


def _iterated(A, B, X, iK, niter, tol, largest):
    """As many pairs as X has columns. With B = L Lᵀ the problem is that of L⁻¹ A L⁻ᵀ."""
    tol = finfo(A.dtype).eps ** 0.5 if tol is None else tol
    precondition = (lambda r: r) if iK is None else (lambda r: iK @ r)
    vectors = X
    if B is None:
        apply, residual_of = A.matmul, precondition
    else:
        L = ops._linalg_cholesky_ex(B, "lobpcg")[0].tril()

        def back(x):
            return ops._linalg_solve_triangular(L.mT, x, upper=True)

        def apply(x):
            return ops._linalg_solve_triangular(L, A @ back(x), upper=False)

        def residual_of(r):
            return L.mT @ precondition(L @ r)

        vectors = L.mT @ X
    n, scale = X.shape[-1], _size(A)
    basis, done = ops._linalg_qr(vectors, "reduced")[0], 0
    while True:
        image = apply(basis)
        values, turn = ops._linalg_eigh(_symmetric(basis.mT @ image), "lobpcg")[:2]
        values, turn = _extreme(values, turn, n, largest)
        vectors = basis @ turn
        residual = image @ turn - vectors * values.unsqueeze(-2)
        if done == niter or bool((_size(residual) <= tol * scale).all()):
            return values, vectors if B is None else back(vectors)
        parts = [vectors, residual_of(residual)]
        if done:
            # The step that led here, less what it had of the last vectors.
            parts.append(basis[..., n:] @ turn[..., n:, :])
        basis, done = ops._linalg_qr(ops.cat(parts, -1), "reduced")[0], done + 1


def _size(matrices):
    return ops._vector_norm(matrices, 2, [-2, -1], False)


def _symmetric(x):
    return (x + x.mT) / 2
