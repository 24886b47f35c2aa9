"""Ready parametrizations: orthogonal matrices, weights of spectral norm 1, weights as a length and a direction."""

import corten

from ..._composites.low_rank import householder_product, matrix_exp
from .. import functional as F
from ..modules.conv import _ConvTransposeNd
from ..modules.module import Module
from . import parametrize

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

_MAPS = ("matrix_exp", "cayley", "householder")


def _tensor_of(module, name):
    tensor = getattr(module, name, None)
    if not isinstance(tensor, corten.Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return tensor


# -- orthogonal -------------------------------------------------------------------------------------------------------


def _solve(a, b):
    """X in ``a @ X = b`` for regular square matrices, by QR."""
    q, r = corten.linalg.qr(a)
    return corten.linalg.solve_triangular(r, q.mT @ b, upper=True)


def _is_orthogonal(q):
    k = q.shape[-1]
    identity = corten.eye(k, dtype=q.dtype, device=q.device)
    # A product of n numbers errs by at most n units in the last place.
    tolerance = 10 * q.shape[-2] * corten.finfo(q.dtype).eps
    return corten.allclose(q.mT @ q, identity, atol=tolerance, rtol=0)


def _make_orthogonal(a):
    """The Q of a QR decomposition whose R has a positive diagonal."""
    q, r = corten.linalg.qr(a)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _reflections(q):
    """The vectors of Householder reflections, below the diagonal, and on it the signs, that give orthonormal columns.

    With the signs s, ``q @ diag(s) = I - V S`` where S is an upper triangle, so V and S are the factors of an
    elimination in ``I - q @ diag(s)``. Column by column the sign is chosen that makes the pivot at least 1 (Ballard et
    al. 2014); the loop runs over the columns of one matrix, when a value is assigned.
    """
    k = q.shape[-1]
    left = -q.clone()
    vectors = corten.zeros_like(q)
    for i in range(k):
        column = left[..., i].clone()
        sign = corten.where(column[..., i] > 0, 1.0, -1.0).to(q.dtype).unsqueeze(-1)
        column = column * sign
        column[..., i] += 1
        vectors[..., i + 1 :, i] = column[..., i + 1 :] / column[..., i : i + 1]
        vectors[..., i, i] = sign[..., 0]
        if i + 1 < k:
            below = vectors[..., i + 1 :, i : i + 1]
            left[..., i + 1 :, i + 1 :] -= below * left[..., i : i + 1, i + 1 :]
    return vectors


class _Orthogonal(Module):
    """Maps any matrix to one with orthonormal columns, or rows where it is wider than high."""

    def __init__(self, weight, orthogonal_map, *, use_trivialization=True):
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def _map(self, x):
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            below = x.tril(-1)
            tau = 2.0 / (1.0 + (below * below).sum(-2))
            signs = x.detach().diagonal(dim1=-2, dim2=-1).to(corten.int32)
            return householder_product(below, tau) * signs.unsqueeze(-2)
        lower = x.tril()
        if n != k:
            lower = corten.cat([lower, lower.new_zeros((*x.shape[:-2], n, n - k))], -1)
        skew = lower - lower.mT
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(skew)[..., :k]
        identity = corten.eye(n, dtype=x.dtype, device=x.device)
        return _solve(identity - skew / 2, identity + skew / 2)[..., :k]

    def forward(self, x):
        """The orthogonal matrix ``(*, m, n)`` of any matrix ``(*, m, n)``."""
        wide = x.shape[-2] < x.shape[-1]
        q = self._map(x.mT if wide else x)
        if getattr(self, "base", None) is not None:
            q = self.base @ q
        return q.mT if wide else q

    def right_inverse(self, value):
        """What ``forward`` maps to the given matrix; one that is not orthogonal is first replaced by its Q.

        Raises:
            ValueError: for another shape than the weight's.
            NotImplementedError: without trivialization, for the exponential and Cayley's map.
        """
        if value.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {value.shape}."
            )
        wide = value.shape[-2] < value.shape[-1]
        q = value.mT if wide else value
        n, k = q.shape[-2:]
        if "base" not in self._buffers:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False."
                )
            vectors = _reflections(q if _is_orthogonal(q) else _make_orthogonal(q))
            return vectors.mT if wide else vectors
        if n != k:
            drawn = corten.randn((*q.shape[:-2], n, n - k), dtype=q.dtype, device=q.device)
            q = _make_orthogonal(corten.cat([q, drawn], -1))
        else:
            q = q.clone() if _is_orthogonal(q) else _make_orthogonal(q)
        self.base = q
        # Mapped to the identity by every map; the householder's signs are on the diagonal.
        start = corten.zeros_like(value)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return start


def orthogonal(module, name="weight", orthogonal_map=None, *, use_trivialization=True):
    """Keeps the matrices ``(*, m, n)`` of a module orthogonal: ``QᵀQ = I`` where ``m >= n``, else ``QQᵀ = I``.

    Args:
        name: the parameter or buffer.
        orthogonal_map: from any matrix to an orthogonal one: ``"matrix_exp"`` of a skew-symmetric matrix, the map of
            it named ``"cayley"``, or ``"householder"`` reflections. The default is the first for square matrices, else
            the last.
        use_trivialization: multiply by a constant matrix, which is set where the attribute is assigned
            (Lezcano-Casado 2019).

    Raises:
        ValueError: there is no such tensor, it is not a matrix, or no such map.
    """
    weight = _tensor_of(module, name)
    if weight.dim() < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    function = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    parametrize.register_parametrization(module, name, function, unsafe=True)
    return module


# -- spectral_norm ----------------------------------------------------------------------------------------------------


class _SpectralNorm(Module):
    """Divides a weight by its greatest singular value, which power iteration follows."""

    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        rank = weight.dim()
        if not -rank <= dim < rank:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{rank}, {rank - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + rank
        self.eps = eps
        if rank > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._as_matrix(weight.detach())
            u, v = (matrix.new_empty(size).normal_(0, 1) for size in matrix.shape)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _as_matrix(self, weight):
        if self.dim != 0:
            weight = weight.permute(self.dim, *(d for d in range(weight.dim()) if d != self.dim))
        return weight.flatten(1)

    def _iterate(self, matrix, count):
        with corten.no_grad():
            for _ in range(count):
                self._u.copy_(F.normalize(corten.mv(matrix, self._v), dim=0, eps=self.eps))
                self._v.copy_(F.normalize(corten.mv(matrix.mT, self._u), dim=0, eps=self.eps))

    def forward(self, weight):
        """The weight, of spectral norm 1; in training the singular vectors are refined first."""
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._as_matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        # The graph keeps these values when a later call refines them again.
        u, v = self._u.clone(), self._v.clone()
        return weight / corten.dot(u, corten.mv(matrix, v))

    def right_inverse(self, value):
        """The value itself, whose norm ``forward`` takes away."""
        return value


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Keeps a weight's greatest singular value, as a matrix ``(dim, others)``, at 1 (Miyato et al. 2018).

    Args:
        n_power_iterations: refinements of the singular vectors in each training call.
        eps: keeps the vectors' normalisation finite.
        dim: the rows' dimension; 1 for transposed convolutions, else 0.

    Raises:
        ValueError: there is no such tensor, or ``n_power_iterations`` is not above 0.
    """
    weight = _tensor_of(module, name)
    if dim is None:
        dim = 1 if isinstance(module, _ConvTransposeNd) else 0
    function = _SpectralNorm(weight, n_power_iterations, dim, eps)
    parametrize.register_parametrization(module, name, function)
    return module


# -- weight_norm ------------------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    """``g v / |v|``, the norms being those of the slices along ``dim``."""

    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def _norm(self, v):
        return v.norm() if self.dim == -1 else corten.norm_except_dim(v, 2, self.dim)

    def forward(self, weight_g, weight_v):
        """The weight of a length and a direction."""
        return weight_v * (weight_g / self._norm(weight_v))

    def right_inverse(self, weight):
        """The weight's length and the weight."""
        return self._norm(weight), weight


def weight_norm(module, name="weight", dim=0):
    """Trains a weight's length and direction apart (Salimans & Kingma 2016).

    The originals are ``parametrizations.<name>.original0``, the length, and ``original1``, the direction. States that
    ``corten.nn.utils.weight_norm`` has saved are read too.

    Args:
        dim: the dimension whose slices have a length each; None for one length in all.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def read_old_names(state_dict, prefix, *_):
        old = [f"{prefix}{name}_{part}" for part in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(read_old_names)
    return module
