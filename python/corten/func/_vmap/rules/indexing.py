"""Indexing, gathering and scattering. What the index tensors of each example mean for the whole batch is found by
positions: those of an example's elements, in the flattened example."""

import math

import corten

from ...._composites._common import wrapped
from ..batched import Tensor, ops
from ..dispatch import level_of, rule, write


def _without_dims(call, names, run):
    """Runs a rule for tensors without dims as for vectors of one element."""
    call.given = {n: v.unsqueeze(0) if n in names and v.dim() == 0 else v for n, v in call.given.items()}
    return run(call).squeeze(0)


@rule("gather", "scatter", "scatter_add", "scatter_reduce")
def gather(call):
    level, x = call.level, call.first
    names = [n for n in ("self", "index", "src") if isinstance(call.given.get(n), Tensor)]
    if x.dim() == 0:
        return _without_dims(call, names, gather)
    if any(call.given[n].dim() == 0 for n in names):
        call.given = {n: v.unsqueeze(0) if n in names and v.dim() == 0 else v for n, v in call.given.items()}
    given = {n: level.physical(call.given[n]) for n in names}
    value = call.given.get("value")
    if value is not None and level.holds(value):
        index = call.given["index"]
        given["src"] = level.physical(value.to(x.dtype).expand(index.shape))
        call.given = {n: v for n, v in call.given.items() if n != "value"}
    return level.wrap(call.run(**given, dim=wrapped(call.get("dim"), x.dim()) + 1))


@rule("take_along_dim")
def take_along_dim(call):
    level, x, indices, dim = call.level, call.first, call.given["indices"], call.get("dim")
    if dim is None:
        x, indices, dim = x.flatten(), indices.flatten(), 0
    given = {"self": level.physical(x), "indices": level.physical(indices)}
    return level.wrap(call.run(**given, dim=wrapped(dim, x.dim()) + 1))


def _along(x, dim, index):
    """Indices ``(n,)`` of a dim in the shape of ``x`` with n in that dim."""
    shape = [1] * x.dim()
    shape[dim] = index.numel()
    full = list(x.shape)
    full[dim] = index.numel()
    return index.reshape(shape).expand(full)


@rule("index_select")
def index_select(call):
    level, x, index = call.level, call.first, call.given["index"]
    if x.dim() == 0:
        return _without_dims(call, ["self"], index_select)
    dim = wrapped(call.get("dim"), x.dim())
    if not level.holds(index):
        return level.wrap(x.value.index_select(dim + 1, index))
    return x.gather(dim, _along(x, dim, index).long())


@rule("index_add", "index_copy", "index_fill", "index_reduce")
def index_write(call):
    level, x, index = call.level, call.first, call.given["index"]
    if x.dim() == 0:
        return _without_dims(call, ["self", "source"], index_write)
    dim = wrapped(call.get("dim"), x.dim())
    source, value = call.given.get("source"), call.given.get("value")
    if not level.holds(index) and not level.holds(value):
        given = {"self": level.physical(x)} | ({} if source is None else {"source": level.physical(source)})
        return level.wrap(call.run(**given, dim=dim + 1))
    places = _along(x, dim, index).long()
    if call.name == "index_fill":
        value = value.to(x.dtype).expand(places.shape) if isinstance(value, Tensor) else value
        return x.scatter(dim, places, value)
    source = source.expand(places.shape)
    if call.name == "index_copy":
        return x.scatter(dim, places, source)
    if call.name == "index_add":
        return x.scatter_add(dim, places, source if call.get("alpha") == 1 else source * call.get("alpha"))
    return x.scatter_reduce(dim, places, source, call.get("reduce"), include_self=call.get("include_self"))


@rule("embedding")
def embedding(call):
    level, weight, indices = call.level, call.given["weight"], call.given["indices"]
    if not level.holds(weight):
        return level.wrap(call.run(indices=indices.value))
    if call.get("scale_grad_by_freq"):
        raise call.unsupported("with a batch of tables and scale_grad_by_freq")
    # One table of all rows: an example's rows begin at its number times the rows of a table.
    rows = weight.shape[0]
    start = ops.arange(level.size, device=indices.device) * rows
    places = level.wrap(level.physical(indices) + start.reshape(-1, *([1] * indices.dim())))
    padding = call.get("padding_idx")
    found = ops.embedding(weight.value.flatten(0, 1), places.value)
    result = level.wrap(found)
    if padding >= 0:
        result = result.where((indices != padding).unsqueeze(-1), result.detach())
    return result


@rule("_embedding_bag_sum")
def embedding_bag_sum(call):
    weight, indices, factors = (call.given.get(name) for name in ("weight", "indices", "per_sample_weights"))
    found = corten.nn.functional.embedding(indices, weight, scale_grad_by_freq=call.get("scale_grad_by_freq"))
    return (found if factors is None else found * factors.unsqueeze(-1)).sum(-2)


@rule("one_hot")
def one_hot(call):
    if call.get("num_classes") == -1:
        raise ValueError(
            "vmap: one_hot(tensor) without num_classes looks at the values for the number of classes; give num_classes"
        )
    return call.level.wrap(call.run_first(call.first.value))


@rule("take")
def take(call):
    x, index = call.first, call.given["index"]
    return x.flatten().gather(0, index.flatten() % max(x.numel(), 1)).reshape(index.shape)


@rule("put")
def put(call):
    x, index, source = call.first, call.given["index"].flatten(), call.given["source"].flatten()
    return _written(x, index % max(x.numel(), 1), source, call.get("accumulate"))


@rule("index_put")
def index_put(call):
    x, values, indices = call.first, call.given["values"], tuple(call.given["indices"])
    level, mask = call.level, indices[0] if indices else None
    if values.dim() == 0 and len(indices) == 1 and level.holds(mask) and mask.dtype == corten.bool:
        # One value wherever the mask holds: the result's shape does not depend on the mask.
        mask = mask.reshape(tuple(mask.shape) + (1,) * (x.dim() - mask.dim()))
        return corten.where(mask, (x + values if call.get("accumulate") else values).to(x.dtype), x)
    positions = _positions(x)[indices]
    return _written(x, positions.flatten(), values.expand(positions.shape).flatten(), call.get("accumulate"))


@rule("as_strided_scatter")
def as_strided_scatter(call):
    level, x, src = call.level, call.first, call.given["src"]
    places = _positions(x).as_strided(call.get("size"), call.get("stride"), call.get("storage_offset"))
    if src.shape != places.shape:
        raise RuntimeError(
            f"as_strided_scatter: expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(places.shape)}"
        )
    return _written(level.wrap(level.physical(x)), places.flatten(), src.flatten(), False)


def _written(x, places, source, accumulate):
    flat = x.flatten()
    source = source.to(x.dtype)
    result = flat.scatter_add(0, places, source) if accumulate else flat.scatter(0, places, source)
    return result.reshape(x.shape)


@rule("masked_scatter")
def masked_scatter(call):
    x, mask = call.first, call.given["mask"]
    shape = corten.broadcast_shapes(x.shape, mask.shape)
    x, mask = x.expand(shape), mask.expand(shape)
    source = call.given["source"].flatten()
    order = mask.flatten().long().cumsum(0) - 1
    picked = source.gather(0, order.clamp(0, max(source.numel() - 1, 0))).reshape(shape)
    return picked.where(mask, x)


def _positions(x):
    """The number of every element of an example in the flattened example."""
    return ops.arange(math.prod(x.shape), device=x.device).reshape(tuple(x.shape))


def _parts(index):
    return index if isinstance(index, tuple) else (index,)


def _is_list(part):
    return isinstance(part, (list, range)) or (hasattr(part, "__array__") and getattr(part, "ndim", 0) > 0)


def _with_masks(level, index):
    """The parts of an index, whose masks are those of any example while all are equal, and refused otherwise."""
    parts = _parts(index)
    if level.copies:
        return tuple(p.value[0] if level.holds(p) and p.dtype == corten.bool else p for p in parts)
    _check_masks(level, parts)
    return parts


def _check_masks(level, parts):
    for part in parts:
        if level.holds(part) and part.dtype == corten.bool:
            raise RuntimeError(
                "vmap: It looks like you're indexing with a batched mask, the shape of whose result depends on the "
                "data. vmap does not support that; use corten.where or masked_fill instead."
            )
        if isinstance(part, slice):
            for bound in (part.start, part.stop, part.step):
                if level.holds(bound):
                    bound.item()


def getitem(level, x, index):
    """``x[index]``."""
    parts = index = _with_masks(level, index)
    tensors = [part for part in parts if isinstance(part, Tensor) or _is_list(part)]
    if not level.holds(x) and level_of(parts, {}) is not level:
        return x[index]
    if not tensors:
        return level.wrap(x.value[(slice(None), *parts)])
    if level_of(tensors, {}) is not level:
        # The dims of index tensors that stand apart come first, before the batch: only those together stay in place.
        places = [i for i, p in enumerate(parts) if isinstance(p, (Tensor, int)) or _is_list(p)]
        together = places == list(range(places[0], places[-1] + 1)) and not any(isinstance(p, bool) for p in parts)
        if together:
            return level.wrap(x.value[(slice(None), *parts)])
    places = _positions(x)
    batched = level_of(tensors, {}) is level
    places = _example_positions(level, places, parts) if batched else places[parts]
    return x.flatten().gather(0, places.flatten()).reshape(places.shape)


def _example_positions(level, places, parts):
    """Positions picked by index tensors of each example."""
    full = _filled(parts, places.dim())
    if any(isinstance(p, Tensor) and p.dtype == corten.bool for p in full):
        raise NotImplementedError("vmap: there is no rule for an index that has masks beside batched index tensors")
    view, tensors = _basic_first(places, full)
    found = [(dim, t) for dim, t in enumerate(tensors) if t is not None]
    shape = corten.broadcast_shapes(*[tuple(t.shape) for _, t in found])
    dims = [dim for dim, _ in found]
    together = dims == list(range(dims[0], dims[-1] + 1))
    at = dims[0] if together else 0
    # Index dims as one, all others after them.
    others = [d for d in range(view.dim()) if d not in dims]
    table = view.permute([*dims, *others]).reshape(-1, *[view.shape[d] for d in others])
    flat = 0
    for dim, t in found:
        t = ops.where(t < 0, t + view.shape[dim], t)
        flat = flat * view.shape[dim] + t
    flat = level.wrap(level.physical(flat)).expand(shape)
    rows = level.wrap(table[flat.value])
    kept = rows.dim() - len(shape)
    order = [*range(len(shape), len(shape) + at), *range(len(shape)), *range(len(shape) + at, len(shape) + kept)]
    return rows.permute(order)


def _filled(parts, rank):
    """The index with its dots as slices, one part for each dim."""
    parts = list(parts)
    taken = sum(p is not None and p is not Ellipsis for p in parts)
    missing = [slice(None)] * (rank - taken)
    dots = next((i for i, p in enumerate(parts) if p is Ellipsis), None)
    return [*parts, *missing] if dots is None else [*parts[:dots], *missing, *parts[dots + 1 :]]


def _basic_first(places, parts):
    """Slices, numbers and new dims applied, and the index tensors that remain by dim."""
    # Beside tensors a number is an index tensor too.
    basic = tuple(p if p is None or isinstance(p, slice) else slice(None) for p in parts)
    tensors = [
        None
        if p is None or isinstance(p, slice)
        else p.long()
        if isinstance(p, Tensor)
        else corten.tensor(p, device=places.device)
        for p in parts
    ]
    return places[basic], tensors


def setitem(level, x, index, value):
    """``x[index] = value``."""
    parts = _parts(index)
    if not level.holds(x):
        write(level, x, value if isinstance(value, Tensor) else x, "__setitem__")
    if any(level.holds(p) and p.dtype == corten.bool for p in parts):
        mask = parts[0]
        if len(parts) > 1 or (isinstance(value, Tensor) and value.dim()):
            raise NotImplementedError(
                "vmap: there is no rule for writing a tensor where a batched mask holds, nor for a mask of some dims"
            )
        mask = mask.reshape(tuple(mask.shape) + (1,) * (x.dim() - mask.dim()))
        x.value.copy_(x.masked_fill(mask, value).value)
        return
    tensors = [part for part in parts if isinstance(part, Tensor) or _is_list(part)]
    if not tensors:
        target = x.value[(slice(None), *parts)]
        if level.holds(value):
            extra = value.dim() - (target.dim() - 1)
            value = value.flatten(0, extra) if extra > 0 else value
            target.copy_(level.padded(value, target.dim() - 1))
        else:
            x.value[(slice(None), *parts)] = value
        return
    places = getitem(level, level.wrap(level.physical(_positions(x))), index)
    if not isinstance(value, Tensor):
        value = ops.full((), value, dtype=x.dtype, device=x.device)
    source = value.to(x.dtype).expand(places.shape)
    x.value.copy_(_written(x, places.flatten(), source.flatten(), False).value)


def contains(level, x, element):
    """``element in x`` reads a value."""
    bool(x.any() if level.holds(x) else element.any())
