"""Indices and histograms: from flat indices to coordinates, the places of non-zeros, counts in bins."""

import math

from .. import _core
from ._arguments import typed
from ._common import Tensor, everywhere, exact, ops, result, scalar_name

_counting = range  # arguments of that name hide it


def unravel_index(indices, shape):
    """The coordinates, a tensor for each dim of ``shape``, of the elements at flat ``indices``.

    Raises:
        TypeError: ``indices`` are not integers, or ``shape`` is not of ints.
        ValueError: a size is negative.
    """
    if not isinstance(indices, Tensor):
        raise TypeError(f"unravel_index(): argument 'indices' must be Tensor, not {type(indices).__name__}")
    if indices.dtype.is_floating_point or indices.dtype == _core.bool:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = [shape] if isinstance(shape, int) else list(shape)
    for size in sizes:
        if not isinstance(size, int):
            raise TypeError(f"expected 'shape' sequence to be of ints, but got an element of {type(size)}")
        if size < 0:
            raise ValueError(f"'shape' cannot have negative values, but got {tuple(sizes)}")
    # Small integers would not hold them.
    below = indices.new_tensor([math.prod(sizes[dim + 1 :]) for dim in _counting(len(sizes))], dtype=_core.int64)
    wrap = indices.new_tensor(sizes, dtype=_core.int64)
    coordinates = indices.unsqueeze(-1).div(below, rounding_mode="floor").remainder(wrap)
    return coordinates.unbind(-1)


@typed("nonzero_static", input="Tensor", size="int", fill_value="int")
def nonzero_static(input, *, size, fill_value=-1, out=None):
    """The coordinates of the first ``size`` non-zero elements ``(size, dims)``, rows that are missing filled."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    if hasattr(input, "_run_backward"):
        return result(_first_places(input, size, fill_value), out)
    places = input.nonzero()[:size]
    rows = places.new_full((size - places.shape[0], input.dim()), fill_value)
    return result(ops.cat([places, rows]), out)


def _first_places(input, size, fill_value):
    """As :func:`nonzero_static`, without a shape that depends on the data."""
    flat = input.flatten() != 0
    order = ops.where(flat, 0, 1).argsort(stable=True)[:size]
    order = ops.cat([order, order.new_zeros(size - order.shape[0])])
    missing = ops.arange(size, device=input.device) >= flat.sum()
    coordinates = []
    for count in reversed(input.shape):
        coordinates.insert(0, order % count)
        order = order // count
    if not coordinates:
        return order.new_zeros((size, 0))
    return ops.where(missing.unsqueeze(1), fill_value, ops.stack(coordinates, 1))


@typed("frexp", input="Tensor")
def frexp(input, *, out=None):
    """Mantissas in [0.5, 1) and exponents, int32, with ``input = mantissa * 2**exponent``; exact.

    Zeros, infinities and NaN are their own mantissas, with the exponent 0.

    Raises:
        RuntimeError: for integers.
    """
    if not input.dtype.is_floating_point:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    # float32 holds float16 and bfloat16.
    wide = input if input.dtype in (_core.float32, _core.float64) else input.float()
    fraction, bias, whole = (52, 1022, _core.int64) if wide.dtype == _core.float64 else (23, 126, _core.int32)
    plain = wide.detach()
    # Numbers below the normal range are scaled into it, so that their exponent can be read.
    tiny = plain.abs() < 2.0 ** (1 - bias)
    raw = ops.where(tiny, plain * 2.0**fraction, plain).view(whole)
    exponent = (raw >> fraction) & (2 * bias + 3)
    exponent = exponent - bias - tiny.to(whole) * fraction
    exponent = ops.where(plain.isfinite().logical_and(plain != 0), exponent, 0)

    def power_of_two(k):
        return ((k + bias + 1) << fraction).view(wide.dtype)

    # In two steps: the reciprocal of the smallest numbers' power is out of range.
    half = (-exponent) >> 1
    mantissa = (wide * power_of_two(half) * power_of_two(-exponent - half)).to(input.dtype)
    return _named("frexp", ("mantissa", "exponent"), (mantissa, exponent.to(_core.int32)), out)


def _named(name, fields, values, out=None, write=exact):
    """The values as a tuple with named fields, each in its tensor of ``out`` where that is given, by ``write``."""
    if out is not None:
        values = [write(value, place) for value, place in zip(values, out, strict=True)]
    if name not in _named_classes:
        from .._surface import NAMED_RESULTS, result_class

        _named_classes[name] = NAMED_RESULTS[name] = result_class(name, fields)
    return _named_classes[name](values)


_named_classes: dict[str, type] = {}
_HISTOGRAM = ("hist", "bin_edges")


@typed("histogram", input="Tensor", weight="Tensor?", density="bool")
def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """How many elements lie in each bin, or the sum of their weights, and the bins' edges.

    Args:
        bins: the number of bins of equal width, or their edges in ascending order. Every bin holds its left edge, the
            last one its right edge too; elements outside are left out.
        range: the first and last edge where ``bins`` is a number; the extremes of ``input`` where it is not given.
        weight: weights of ``input``'s shape.
        density: divide by the total and by the width of each bin.

    Raises:
        NotImplementedError: for dtypes other than float32 and float64.
        RuntimeError: for bins, ranges and weights that do not fit.
    """
    flat = input.reshape(-1, 1)
    weight = None if weight is None else weight.reshape(-1)
    hist, edges = _histogram(flat, [bins], range, weight, density, "histogram")
    return _named("histogram", _HISTOGRAM, (hist, edges[0]), out)


@typed("histogramdd", input="Tensor", weight="Tensor?", density="bool")
def histogramdd(input, bins, *, range=None, weight=None, density=False, out=None):
    """Counts of points ``(*, N)`` in the cells of a grid of N dims, and the edges of the cells in each dim.

    Args:
        bins: a number of bins for each dim or one for all, or a tensor of edges for each dim.
        range: the first and last edge of every dim, 2·N numbers.
        weight: weights ``(*)``.
        density: divide by the total and by the volume of each cell.

    Raises:
        NotImplementedError, RuntimeError: as :func:`histogram`.
    """
    if input.dim() < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    dims = input.shape[-1]
    bins = [bins] * dims if isinstance(bins, int) else list(bins)
    if len(bins) != dims:
        raise RuntimeError("histogramdd: The size of bins must be equal to the innermost dimension of the input.")
    if weight is not None and weight.shape != input.shape[:-1]:
        raise _weight_error(input, weight)
    weight = None if weight is None else weight.reshape(-1)
    hist, edges = _histogram(input.reshape(-1, dims), bins, range, weight, density, "histogramdd")
    return _named("histogramdd", _HISTOGRAM, (hist, edges), out)


def _weight_error(input, weight):
    return RuntimeError(
        "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor excluding "
        f"its innermost dimension, but got input with shape {list(input.shape)} and weight with shape "
        f"{list(weight.shape)}"
    )


def _histogram(points, bins, range, weight, density, name):
    """Counts of points ``(M, N)``, shaped as the grid, and the edges of every dim."""
    if points.dtype not in (_core.float32, _core.float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{scalar_name(points)}'")
    if weight is not None and weight.shape[0] != points.shape[0]:
        raise _weight_error(points, weight)
    edges = _edges(points, bins, range, name)
    sizes = [edge.shape[0] - 1 for edge in edges]
    cell = ops.zeros(points.shape[0], dtype=_core.int64, device=points.device)
    inside = ops.ones_like(cell, dtype=_core.bool)
    for column, edge, size in zip(points.detach().unbind(1), edges, sizes, strict=True):
        inside = inside & (column >= edge[0]) & (column <= edge[-1])
        # Every bin holds its left edge; the last edge belongs to the bin before it.
        place = ops.searchsorted(edge, column.contiguous(), right=True) - 1
        cell = cell * size + place.clamp(0, size - 1)
    amounts = ops.ones_like(cell, dtype=points.dtype) if weight is None else weight.to(points.dtype)
    amounts = ops.where(inside, amounts, 0)
    hist = ops.zeros(math.prod(sizes), dtype=points.dtype, device=points.device).index_add(0, cell, amounts)
    hist = hist.reshape(sizes)
    if density:
        hist = hist / hist.sum()
        for dim, edge in enumerate(edges):
            widths = edge[1:] - edge[:-1]
            hist = hist / widths.reshape([-1 if d == dim else 1 for d in _counting(len(sizes))])
    return hist, edges


def _edges(points, bins, range, name):
    if range is not None and len(range) != 2 * len(bins):
        raise RuntimeError(
            f"torch.histogramdd: for a {len(bins)}-dimensional histogram range should have {2 * len(bins)} elements, "
            f"but got {len(range)}"
        )
    edges = []
    for dim, count in enumerate(bins):
        if isinstance(count, Tensor):
            edges.append(_checked_edges(points, count, dim, name))
            continue
        if count <= 0:
            raise RuntimeError(f"torch.{name}(): bins must be > 0, but got {count} for dimension {dim}")
        if range is None and hasattr(points, "_run_backward"):
            edges.append(_edges_of_examples(points, dim, count))
            continue
        low, high = _extremes(points, dim) if range is None else range[2 * dim : 2 * dim + 2]
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {dim}'s range [{low:g}, {high:g}] is not finite")
        if low > high:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} for dimension {dim}"
            )
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(ops.linspace(low, high, count + 1, dtype=points.dtype, device=points.device))
    return tuple(edges)


def _edges_of_examples(points, dim, count):
    """Edges between the extremes of each example inside ``vmap``."""
    low, high = points[:, dim].aminmax() if points.shape[0] else (points.new_zeros(()), points.new_ones(()))
    if not everywhere(low.isfinite() & high.isfinite()):
        raise RuntimeError(f"torch.histogramdd: dimension {dim}'s range is not finite in an example")
    widening = ops.where(low == high, 0.5, 0.0).to(points.dtype)
    return ops.linspace(low - widening, high + widening, count + 1, dtype=points.dtype, device=points.device)


def _extremes(points, dim):
    if not points.shape[0]:
        return 0.0, 1.0
    low, high = points[:, dim].aminmax()
    return low.item(), high.item()


def _checked_edges(points, edges, dim, name):
    if edges.dim() != 1:
        raise RuntimeError(
            f"torch.histogramdd: bins tensor should have one dimension, but got {edges.dim()} dimensions in the bins "
            f"tensor for dimension {dim}"
        )
    if edges.shape[0] < 2:
        raise RuntimeError(f"torch.{name}(): bins must be > 0, but got {edges.shape[0] - 1} for dimension {dim}")
    if edges.dtype != points.dtype:
        raise RuntimeError(
            "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype "
            f"{points.dtype} and bins for dimension {dim} with dtype {edges.dtype}"
        )
    return edges.contiguous()
