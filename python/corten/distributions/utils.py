"""What distributions share: broadcast parameters, probabilities and log odds, attributes computed once read."""

from functools import update_wrapper
from numbers import Number

import corten

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.57721566490153286060


def broadcast_all(*values):
    """Numbers and tensors as tensors of one shape.

    Numbers take the dtype and device of the first tensor, or the default dtype where there is none.

    Raises:
        ValueError: for anything else than numbers and tensors.
    """
    if not all(isinstance(value, (corten.Tensor, Number)) for value in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    first = next((value for value in values if isinstance(value, corten.Tensor)), None)
    if first is None:
        options = {"dtype": corten.get_default_dtype()}
    else:
        options = {"dtype": first.dtype, "device": first.device}
    tensors = [v if isinstance(v, corten.Tensor) else corten.tensor(v, **options) for v in values]
    return tuple(corten.broadcast_tensors(*tensors))


def one_of(probs, logits):
    """Which of two parameters is given, as ``("probs", value)`` or ``("logits", value)``."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return ("logits", logits) if probs is None else ("probs", probs)


def _standard_normal(shape, dtype, device):
    """Standard normal numbers of a shape."""
    return corten.empty(shape, dtype=dtype, device=device).normal_()


def _uniform(shape, like):
    """Uniform numbers in [0, 1) of a shape, with the dtype and device of ``like``."""
    return corten.rand(shape, dtype=like.dtype, device=like.device)


def _sum_rightmost(value, dims):
    """The sum over the last ``dims`` dims."""
    return value.sum(tuple(range(-dims, 0))) if dims else value


def logits_to_probs(logits, is_binary=False):
    """Probabilities of log odds (``is_binary``), or of unnormalised log probabilities along the last dim."""
    return corten.sigmoid(logits) if is_binary else corten.softmax(logits, dim=-1)


def clamp_probs(probs):
    """Probabilities moved into ``[eps, 1 - eps]``, ``eps`` the dtype's spacing at 1."""
    eps = corten.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs, is_binary=False):
    """Log odds of probabilities (``is_binary``), or their logarithms; finite for 0 and 1 too."""
    probs = clamp_probs(probs)
    return probs.log() - (-probs).log1p() if is_binary else probs.log()


class lazy_property:
    """An attribute computed when it is first read, with gradients recorded, and kept from then on."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return _LazyAndProperty(self.wrapped)
        with corten.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _LazyAndProperty(lazy_property, property):
    """What the class itself shows: a lazy property that documentation takes for a property."""

    def __init__(self, wrapped):
        property.__init__(self, wrapped)


def triangle_places(n, diag, device):
    """Where the elements on and below a diagonal lie in a matrix ``(n, n)``, counted row by row."""
    return corten.ones((n, n), device=device).tril(diag).flatten().nonzero().flatten()


def tril_matrix_to_vec(mat, diag=0):
    """The elements on and below a diagonal of matrices ``(*, n, n)``, row by row, as vectors.

    Raises:
        ValueError: where the diagonal lies outside of the matrix.
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat.flatten(-2).index_select(-1, triangle_places(n, diag, mat.device))


def vec_to_tril_matrix(vec, diag=0):
    """Matrices ``(*, n, n)`` with the elements of vectors on and below a diagonal, row by row, and 0 above.

    Raises:
        ValueError: where no n fits the length of the vectors.
    """
    # With m elements: n² + (1 + 2 diag) n − |diag| (diag + 1) − 2 m = 0.
    slope = 1 + 2 * diag
    n = (-slope + (slope * slope + 8 * vec.shape[-1] + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if abs(round(n) - n) > corten.finfo(vec.dtype).eps:
        raise ValueError(
            f"The size of last dimension is {vec.shape[-1]} which cannot be expressed as "
            "the lower triangular part of a square D x D matrix."
        )
    n = round(n)
    flat = vec.new_zeros((*vec.shape[:-1], n * n)).index_copy(-1, triangle_places(n, diag, vec.device), vec)
    return flat.unflatten(-1, (n, n))
