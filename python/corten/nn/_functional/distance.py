"""Distances and similarities between vectors."""

import corten

from ..._composites._arguments import handed_over


@handed_over
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """Computes ``x1·x2 / (max(|x1|, eps) max(|x2|, eps))`` along ``dim``, with broadcasting."""
    if not (x1.is_floating_point() and x2.is_floating_point()):
        raise RuntimeError(f"cosine_similarity: expected floating point inputs, got dtypes {x1.dtype} and {x2.dtype}")
    dtype = corten.promote_types(x1.dtype, x2.dtype)
    x1, x2 = corten.broadcast_tensors(x1.to(dtype), x2.to(dtype))

    def unit(x):
        norm = x.norm(2, dim, keepdim=True)
        # The clamp is a constant for the gradient, which then stays finite at zero vectors.
        return x / (norm + (norm.detach().clamp_min(eps) - norm.detach()))

    return (unit(x1) * unit(x2)).sum(dim)


@handed_over
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """Computes the ``p``-norm of ``x1 - x2 + eps`` along the last dimension."""
    if isinstance(p, str):
        raise TypeError("pairwise_distance(): argument 'p' must be float, not str")
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


@handed_over
def pdist(input, p=2.0):
    """Computes the ``p``-norm distances of all pairs of the rows of ``(N, M)`` as ``(N (N - 1) / 2,)``.

    Raises:
        RuntimeError: ``input`` is not 2-d, or ``p`` is negative.
    """
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if not input.is_floating_point():
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = corten.triu_indices(input.shape[0], input.shape[0], 1, device=input.device).unbind(0)
    return (input[first] - input[second]).norm(p, 1)
