"""Statistics and calculus on samples: norms, quantiles, covariance, differences, integrals."""

from .. import _core
from ._arguments import typed
from ._common import Tensor, everywhere, exact, floating, ops, result, scalar_name, wrapped


@typed("norm", spelled=True)
def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The p-norm of a tensor, or over dims.

    Args:
        p: the order, ``"fro"`` for the Frobenius norm (order 2 over all dims), ``"nuc"`` for the nuclear norm.

    Raises:
        RuntimeError: for integers and unknown orders, for an empty tensor where the order has no identity, and for a
            ``dtype`` that does not hold every value of the input's.
    """
    # Imported late: the module builds on this one.
    from ..linalg import matrix_norm, vector_norm

    if not isinstance(p, str):
        return vector_norm(input, 2.0 if p is None else p, dim, keepdim, dtype=dtype, out=out)
    matrices = isinstance(dim, (tuple, list)) and len(dim) > 2
    if p == "fro" and not matrices:
        return vector_norm(input, 2, dim, keepdim, dtype=dtype, out=out)
    if p not in ("fro", "nuc"):
        raise RuntimeError(f"only valid string values are 'fro' and 'nuc', found {p}")
    if dim is None and input.dim() != 2:
        raise RuntimeError(f"norm: the nuclear norm over all dims needs a matrix, got a tensor with {input.dim()} dims")
    return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)


@typed("nansum", input="Tensor", keepdim="bool", dtype="dtype?")
def nansum(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The sum of the elements that are not NaN."""
    x = ops.where(input.isnan(), 0, input) if input.is_floating_point() else input
    if dim is None and not keepdim:
        return result(x.sum(dtype=dtype), out)
    return result(x.sum(dim, keepdim, dtype=dtype), out)


@typed("nanmean", input="Tensor", keepdim="bool", dtype="dtype?")
def nanmean(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The mean of the elements that are not NaN."""
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(
            "nanmean(): could not infer output dtype. Optional dtype must be either a floating point or complex dtype. "
            f"Got: {scalar_name(ops.empty(0, dtype=dtype))}"
        )
    if not input.is_floating_point():
        raise RuntimeError(
            f"nanmean(): expected input to have floating point or complex dtype but got {scalar_name(input)}"
        )
    present = input.isnan().logical_not()
    count = present.sum(dim, keepdim) if dim is not None or keepdim else present.sum()
    return result(nansum(input, dim, keepdim, dtype=dtype) / count, out)


@typed("quantile", input="Tensor", dim="int?", keepdim="bool", interpolation="str")
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """The q-quantiles of a tensor, or along a dim; a vector ``q`` gives the result a first dim.

    Args:
        q: numbers in [0, 1].
        interpolation: between the two nearest elements: ``linear``, ``lower``, ``higher``, ``midpoint``, ``nearest``.
    """
    return exact(_quantile("quantile", input, q, dim, keepdim, interpolation, False), out)


@typed("nanquantile", input="Tensor", dim="int?", keepdim="bool", interpolation="str")
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """The quantiles of the elements that are not NaN; NaN where there is none."""
    return exact(_quantile("nanquantile", input, q, dim, keepdim, interpolation, True), out)


def _quantile(name, input, q, dim, keepdim, interpolation, ignore_nan):
    if input.numel() == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype not in (_core.float32, _core.float64):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    q = _check_q(name, input, q)
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if dim is None:
        lines, kept = input.flatten(), [1] * input.dim() if keepdim else []
    else:
        at = wrapped(dim, input.dim())
        lines = input.movedim(at, -1) if input.dim() else input.reshape(1)
        kept = [1 if d == at else n for d, n in enumerate(input.shape) if keepdim or d != at]
    ordered = lines.sort(-1)[0]
    value = _interpolate(ordered, q.reshape(-1), interpolation, ignore_nan)
    value = value.movedim(-1, 0)
    return value.reshape([q.numel(), *kept] if q.dim() else kept)


def _check_q(name, input, q):
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        return _core.tensor(float(q), dtype=input.dtype, device=input.device)
    if q.dim() > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if q.dtype != input.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    if not everywhere((q >= 0) & (q <= 1)):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    return q


def _interpolate(ordered, q, interpolation, ignore_nan):
    """Values at the ranks ``q`` of sorted lines, ``(*, N)`` and ``(Q,)`` to ``(*, Q)``."""
    last = ordered.size(-1) - 1
    missing = ordered.isnan()
    if ignore_nan:
        count = missing.logical_not().sum(-1, keepdim=True)
        ranks = q * (count - 1).clamp(min=0).to(q.dtype)
    else:
        # A line with a NaN has it at its end, and only that.
        ranks = (q * last).expand([*ordered.shape[:-1], q.numel()])
        ranks = ops.where(missing.any(-1, True), last, ranks)
    if interpolation == "lower":
        ranks = ranks.floor()
    elif interpolation == "higher":
        ranks = ranks.ceil()
    elif interpolation == "nearest":
        ranks = ranks.round()
    below = ranks.to(_core.int64)
    value = ordered.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        weight = ops.full_like(ranks, 0.5) if interpolation == "midpoint" else ranks - below
        above = ranks.ceil().to(_core.int64)
        value = value.lerp(ordered.gather(-1, above), weight)
    return value


@typed("cov", input="Tensor", correction="int", fweights="Tensor?", aweights="Tensor?")
def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariance matrix of variables in rows and observations in columns.

    Args:
        correction: subtracted from the number of observations.
        fweights: how often each observation is counted, integers.
        aweights: the importance of each observation.
    """
    if input.dim() > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions"
        )
    if input.dtype == _core.bool:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input.dim() < 2 else input
    count = x.size(1)
    weights = _observation_weights(count, fweights, aweights)
    total = count if weights is None else weights.sum()
    if weights is not None and not everywhere(total != 0):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    mean = (x.sum(1) / total) if weights is None else (x * weights).sum(1) / total
    if weights is not None and aweights is not None and correction != 0:
        norm_factor = total - correction * (weights * aweights).sum() / total
    else:
        norm_factor = total - correction
    negative = not isinstance(norm_factor, Tensor) and norm_factor <= 0
    if negative or (isinstance(norm_factor, Tensor) and not everywhere(~(norm_factor <= 0))):
        import warnings

        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            stacklevel=2,
        )
        norm_factor = norm_factor * 0
    centred = x - mean.unsqueeze(1)
    weighted = centred if weights is None else centred * weights
    return (centred.matmul(weighted.to(centred.dtype).mH) / norm_factor).squeeze()


def _observation_weights(count, fweights, aweights):
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            continue
        if weights.dim() > 1:
            raise RuntimeError(
                f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights.dim()} dimensions"
            )
        if (name == "fweights") == weights.is_floating_point():
            kind = "integral" if name == "fweights" else "floating point"
            raise RuntimeError(
                f"cov(): expected {name} to have {kind} dtype but got {name} with {scalar_name(weights)} dtype"
            )
        if weights.numel() != count:
            raise RuntimeError(
                f"cov(): expected {name} to have the same numel as there are observations in the input but got "
                f"{weights.numel()} != {count}"
            )
        if count and not everywhere(~(weights < 0)):
            raise RuntimeError(f"cov(): {name} cannot be negative")
    if fweights is None or aweights is None:
        return aweights if fweights is None else fweights
    return fweights * aweights


@typed("corrcoef", input="Tensor")
def corrcoef(input):
    """The matrix of Pearson correlation coefficients of variables in rows."""
    if input.dim() > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions"
        )
    matrix = cov(input)
    if matrix.dim() == 0:
        return matrix / matrix
    variances = matrix.diagonal()
    deviation = (variances.real if matrix.is_complex() else variances).sqrt()
    ratio = matrix / deviation.unsqueeze(1) / deviation.unsqueeze(0)
    if matrix.is_complex():
        return ops.complex(ratio.real.clamp(-1, 1), ratio.imag.clamp(-1, 1))
    return ratio.clamp(-1, 1)


@typed("diff", input="Tensor", n="int", dim="int", prepend="Tensor?", append="Tensor?")
def diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    """The ``n``-th differences of neighbours along a dim, between what is prepended and appended."""
    if input.dim() == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if isinstance(n, bool):
        raise TypeError("diff(): argument 'n' (position 2) must be int, not bool")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    parts = [x for x in (prepend, input, append) if x is not None]
    x = ops.cat(parts, dim) if len(parts) > 1 and n > 0 else input
    at = wrapped(dim, x.dim())
    if n == 0:
        return result(x.clone(), out)
    n = min(n, x.size(at))
    for _ in range(n):
        length = max(x.size(at) - 1, 0)
        later, earlier = x.narrow(at, x.size(at) - length, length), x.narrow(at, 0, length)
        x = later.logical_xor(earlier) if x.dtype == _core.bool else later - earlier
    return result(x, out)


@typed("gradient", input="Tensor", edge_order="int")
def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """The derivative along dims by second-order central differences, a tensor for each dim.

    Args:
        spacing: the distance of samples, one for all or each dim, or the samples' coordinates as vectors.
        dim: the dims; all when omitted.
        edge_order: 1 or 2, the order of the one-sided differences at both ends.
    """
    if input.dtype == _core.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    if input.dtype == _core.bool:
        raise RuntimeError("torch.gradient: differences of bool tensors are not supported")
    spacing = 1 if spacing is None else spacing
    dims = range(input.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    dims = [wrapped(d, input.dim()) for d in dims]
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"gradient: dim {d} appears multiple times in the list of dims")
    single = isinstance(spacing, (int, float)) or (isinstance(spacing, Tensor) and spacing.dim() == 0)
    if isinstance(spacing, Tensor) and not single:
        spacing = [spacing]
    steps = [spacing] * len(dims) if single else list(spacing)
    if len(steps) != len(dims):
        length = "self.dim()" if dim is None else "dim"
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to '{length} = "
            f"{len(dims)}', since dim argument was {'not ' if dim is None else ''}given, but got a list of length "
            f"{len(steps)}"
        )
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    for d in dims:
        if input.size(d) < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
    x = floating(input)
    return tuple(_derivative(x, d, step, edge_order) for d, step in zip(dims, steps, strict=True))


def _derivative(x, dim, step, edge_order):
    n = x.size(dim)

    def part(start, length):
        return x.narrow(dim, start, length)

    if isinstance(step, Tensor) and step.dim() == 1:
        if step.numel() != n:
            raise RuntimeError(
                f"torch.gradient expected each element of spacing to have the same length as the corresponding dimension of 'self', but got {step.numel()} and {n}"  # noqa: E501
            )
        distance = diff(step).reshape([-1 if d == dim else 1 for d in range(x.dim())])

        def gap(i):
            return distance.narrow(dim, i, 1)

        before, after = distance.narrow(dim, 0, max(n - 2, 0)), distance.narrow(dim, min(1, n - 1), max(n - 2, 0))
    else:

        def gap(i):
            return step

        before = after = step
    pieces = []
    if n > 2:
        a = -after / (before * (before + after))
        b = (after - before) / (before * after)
        c = before / (after * (before + after))
        pieces.append(part(0, n - 2) * a + part(1, n - 2) * b + part(2, n - 2) * c)
    if edge_order == 1:
        first = (part(1, 1) - part(0, 1)) / gap(0)
        last = (part(n - 1, 1) - part(n - 2, 1)) / gap(n - 2)
    else:
        h, k = gap(0), gap(1)
        first = part(0, 1) * (-(2 * h + k) / (h * (h + k))) + part(1, 1) * ((h + k) / (h * k))
        first = first + part(2, 1) * (-h / (k * (h + k)))
        h, k = gap(n - 3), gap(n - 2)
        last = part(n - 3, 1) * (k / (h * (h + k))) + part(n - 2, 1) * (-(k + h) / (h * k))
        last = last + part(n - 1, 1) * ((2 * k + h) / (k * (h + k)))
    return ops.cat([first, *pieces, last], dim)


def _panels(name, y, x, dx, dim):
    """Twice the area between neighbouring samples."""
    for points in (y, x):
        if points is not None and points.dtype == _core.bool:
            which = "`y`" if x is None else "`x` or `y`"
            raise RuntimeError(f"{name}: received a bool input for {which}, but bool is not supported")
    if x is not None and dx is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments: either x or dx can be given")
    if y.dim() == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    at = wrapped(dim, y.dim())
    n = y.size(at)
    if n == 0:
        return None, at
    sums = y.narrow(at, 1, n - 1) + y.narrow(at, 0, n - 1)
    if x is None:
        return sums * (1 if dx is None else dx), at
    if x.dim() == 1:
        if x.size(0) != n:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        gaps = diff(x).reshape([-1 if d == at else 1 for d in range(y.dim())])
    else:
        wide = x if x.dim() == y.dim() else x.reshape([1] * (y.dim() - x.dim()) + list(x.shape))
        gaps = diff(wide, dim=at)
    return sums * gaps, at


@typed("trapezoid", y="Tensor", x="Tensor?", dim="int")
def trapezoid(y, x=None, *, dx=None, dim=-1):
    """The integral along a dim by the trapezoidal rule, over points ``x`` or with spacing ``dx``."""
    panels, at = _panels("trapezoid", y, x, dx, dim)
    if panels is None:
        return y.sum(at) * 0
    if x is None:
        # The sum of two neighbours may exceed what small integers hold.
        ends = y.select(at, 0) + y.select(at, -1)
        return (y.sum(at) - ends * 0.5) * (1 if dx is None else dx)
    return panels.sum(at) / 2


trapz = trapezoid


@typed("cumulative_trapezoid", y="Tensor", x="Tensor?", dim="int")
def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    """The running integral along a dim by the trapezoidal rule."""
    panels, at = _panels("cumulative_trapezoid", y, x, dx, dim)
    if panels is None:
        return y.clone()
    return panels.cumsum(at) / 2
