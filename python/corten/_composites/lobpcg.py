"""A few eigenpairs of large symmetric matrices (Knyazev, "Toward the optimal preconditioned eigensolver: locally
optimal block preconditioned conjugate gradient method", 2001), on orthonormal bases (Duersch et al., "A robust and
efficient implementation of LOBPCG", 2018)."""

import functools

from .. import _core
from .._dtype_info import finfo
from ._common import inexact, ops, scalar_name
from .factors import check_square


class Iteration:
    """What a ``tracker`` is shown: the arguments, and the state after a step."""

    def __init__(self, A, B, X, iK, iparams, fparams, bparams, method):
        self.A, self.B, self.X, self.iK, self.method = A, B, X, iK, method
        self.iparams, self.fparams, self.bparams = iparams, fparams, bparams
        self.E = self.R = self.S = self.direction = None
        self.ivars = {"istep": 0, "converged_end": 0, "converged_count": 0, "iterations_left": iparams["niter"]}
        self.fvars, self.bvars, self.tvars = {}, {"force_stop": False}, {}

    def in_b(self, x):
        """The vectors times B."""
        return x if self.B is None else self.B @ x

    def start(self):
        """Makes the first vectors orthonormal, and takes the norms that residuals are measured by."""
        size = self.X.norm()
        self.fvars["A_norm"] = ((self.A @ self.X).norm() / size).item()
        self.fvars["B_norm"] = (self.in_b(self.X).norm() / size).item()
        S, spare = self.orthonormal(self.X)
        self.choose(S, spare)

    def orthonormal(self, x):
        """A basis of what the vectors span in the inner product of B; zeros, which are marked, in place of some."""
        spare = None
        for _ in range(2):
            gram = x.mT @ self.in_b(x)
            scale = gram.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
            scale = ops.where(scale > 0, 1 / ops.where(scale > 0, scale, 1.0), 0.0)
            gram = scale.unsqueeze(-1) * gram * scale.unsqueeze(-2)
            w, V, _ = ops._linalg_eigh((gram + gram.mT) / 2, "lobpcg", False, True)
            kept = w > finfo(x.dtype).eps * 10 * max(x.shape[-1], 1)
            factor = ops.where(kept, ops.where(kept, w, 1.0).rsqrt(), 0.0)
            x = (x * scale.unsqueeze(-2)) @ (V * factor.unsqueeze(-2))
            spare = ~kept
        return x, spare

    def choose(self, S, spare):
        """The wanted Ritz pairs of a basis."""
        n, largest = self.iparams["n"], self.bparams["largest"]
        inner = S.mT @ (self.A @ S)
        bound = 2 * inner.abs().sum(-1).amax(-1, keepdim=True) + 1
        # What stands for no vector comes last.
        inner = (inner + inner.mT) / 2 + (spare * (-bound if largest else bound)).diag_embed()
        w, Z, _ = ops._linalg_eigh(inner, "lobpcg", False, True)
        if largest:
            w, Z = w.flip(-1), Z.flip(-1)
        self.S, self.E, Z = S, w[..., :n], Z[..., :n]
        self.X = S @ Z
        # The part of the step outside of the old vectors.
        self.direction = S[..., n:] @ Z[..., n:, :] if S.shape[-1] > n else None
        self.R = self.A @ self.X - self.in_b(self.X) * self.E.unsqueeze(-2)

    def step(self):
        """One step along the residuals and the last step."""
        W = self.R if self.iK is None else self.iK @ self.R
        if self.direction is not None:
            W = ops.cat([W, self.direction], -1)
        for _ in range(2):
            W = W - self.X @ (self.X.mT @ self.in_b(W))
        W, spare = self.orthonormal(W)
        S = ops.cat([self.X, W], -1)
        whole = ops.zeros(self.X.shape[:-2] + self.X.shape[-1:], dtype=_core.bool, device=S.device)
        self.choose(S, ops.cat([whole, spare], -1))
        self.ivars["istep"] += 1
        self.ivars["iterations_left"] -= 1

    def converged(self):
        """Counts the leading pairs of every matrix whose residuals are small, and says whether all wanted ones are."""
        size = self.X.norm(dim=-2)
        scale = size * (self.fvars["A_norm"] + self.E.abs() * self.fvars["B_norm"])
        error = self.R.norm(dim=-2) / scale
        self.tvars["rerr"] = error
        done = (error < self.fparams["tol"]).int().cumprod(-1).sum(-1)
        self.ivars["converged_count"] = self.ivars["converged_end"] = int(done.amin().item()) if done.numel() else 0
        return self.ivars["converged_count"] >= self.iparams["k"]

    def run(self, tracker):
        """Steps until enough pairs have converged, the tracker stops it, or no steps are left."""
        self.start()
        while True:
            finished = self.converged()
            if tracker is not None:
                tracker(self)
            if finished or self.bvars["force_stop"] or self.ivars["iterations_left"] == 0:
                return
            self.step()


def _arguments(A, k, B, X, n, method):
    if not inexact(A):
        A = A.to(_core.get_default_dtype())
    if A.is_complex() or A.dtype in (_core.float16, _core.bfloat16):
        raise NotImplementedError(f"lobpcg: not implemented for '{scalar_name(A)}', only for real float32 and float64")
    check_square("lobpcg", A)
    m = A.shape[-1]
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = (k if n is None else n) if X is None else X.shape[-1]
    if m < 3 * n:
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the number of "
            f"requested eigenpairs (={n})"
        )
    if not 0 < k <= n:
        raise ValueError(f"lobpcg: k must be between 1 and the number of vectors, {n}, but got {k}")
    if method not in ("ortho", "basic"):
        raise ValueError(f"lobpcg: method must be 'ortho' or 'basic', but got {method!r}")
    if X is None:
        X = ops.randn(*A.shape[:-2], m, n, dtype=A.dtype, device=A.device)
    if X.shape != (*A.shape[:-2], m, n) or (B is not None and B.shape[-2:] != A.shape[-2:]):
        other = X if B is None or B.shape[-2:] == A.shape[-2:] else B
        raise ValueError(f"lobpcg: {list(other.shape)} does not fit A, which is {list(A.shape)}")
    return A, k, X, n


@functools.cache
def _lobpcg_class():
    from ..autograd import Function

    class Lobpcg(Function):
        @staticmethod
        def forward(ctx, A, largest, find):
            E, V = find(A)
            ctx.save_for_backward(A, E, V)
            ctx.largest = largest
            return E, V

        @staticmethod
        def backward(ctx, for_values, for_vectors):
            A, E, V = ctx.saved_tensors
            grad = (V * for_values.unsqueeze(-2)) @ V.mT
            # The other vectors, of which no iteration has found any: with them it is the gradient of eigh.
            w, Q, _ = ops._linalg_eigh(A, "lobpcg", False, True)
            if ctx.largest:
                w, Q = w.flip(-1), Q.flip(-1)
            k = E.shape[-1]
            # E's pairs are the first, in the same order; in their place their own signs.
            Q = ops.cat([V, Q[..., k:]], -1)
            gaps = w[..., :k].unsqueeze(-2) - w.unsqueeze(-1)
            same = ops.eye(w.shape[-1], k, dtype=_core.bool, device=w.device)
            turned = (Q.mT @ for_vectors) / ops.where(same, 1.0, gaps)
            grad = grad + (Q @ ops.where(same, 0.0, turned)) @ V.mT
            return (grad + grad.mT) / 2, None, None

    return Lobpcg


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
    """The ``k`` largest eigenvalues ``(*, k)`` of symmetric matrices ``(*, m, m)``, and vectors ``(*, m, k)``.

    Every step multiplies by A once, and finds the best vectors among the last ones, their residuals and the last step.

    Args:
        k: how many pairs; by default as many as X has vectors, or 1.
        B: symmetric positive definite ``(*, m, m)`` of the generalized problem ``A @ x = e * B @ x``.
        X: vectors ``(*, m, n)`` to start from, ``n >= k``; random ones by default.
        n: how many random vectors, by default ``k``.
        iK: a preconditioner ``(*, m, m)``, close to the inverse of A.
        niter: steps at most, by default 1000; -1 for any number.
        tol: a pair has converged where its residual, relative to A's norm, is below; by default the root of ``eps``.
        largest: where false, the smallest eigenvalues.
        method: ``"ortho"`` or ``"basic"``; both keep the basis orthonormal here.
        tracker: called after every step with an object that shows the iteration's state as PyTorch's does; its
            ``bvars["force_stop"]`` set to True ends the iteration.
        ortho_iparams, ortho_fparams, ortho_bparams: PyTorch's bounds on its orthogonalization, which takes none here.

    Raises:
        NotImplementedError: for complex and half types, and in the backward pass where B is given.
        ValueError: where ``m < 3 * n``, and for arguments that do not fit.
    """
    method = method or "ortho"
    A, k, X, n = _arguments(A, k, B, X, n, method)
    largest = True if largest is None else largest
    iparams = {"m": A.shape[-1], "n": n, "k": k, "niter": 1000 if niter is None else niter, **(ortho_iparams or {})}
    fparams = {"tol": finfo(A.dtype).eps ** 0.5 if tol is None else tol, **(ortho_fparams or {})}
    bparams = {"largest": largest, **(ortho_bparams or {})}

    def find(A):
        state = Iteration(A, B, X, iK, iparams, fparams, bparams, method)
        state.run(tracker)
        return state.E[..., :k].contiguous(), state.X[..., :k].contiguous()

    if not (_core.is_grad_enabled() and A.requires_grad):
        return find(A)
    if B is not None:
        raise NotImplementedError("lobpcg: no gradient where B is given")
    return _lobpcg_class().apply((A + A.mT) / 2, largest, find)
