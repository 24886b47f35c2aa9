"""Views and what rearranges elements: dims move by one, sizes get the batch's in front."""

from .... import _core
from ...._composites._common import wrapped
from ..batched import innermost, ops
from ..dispatch import rule
from .reductions import shifted


def _sizes(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


@rule("view", "reshape")
def view(call):
    x, level = call.first, call.level
    if "dtype" in call.given:
        value = x.value.unsqueeze(-1) if x.dim() == 0 else x.value
        seen = call.run_first(value)
        return level.wrap(seen.squeeze(-1) if x.dim() == 0 else seen)
    name = "size" if call.name == "view" else "shape"
    return level.wrap(call.run_first(x.value, **{name: (level.size, *_sizes(call.get(name) or ()))}))


@rule("view_as", "reshape_as")
def view_as(call):
    shape = tuple(call.given["other"].shape)
    return (
        getattr(call.first, call.name.removesuffix("_as"))(shape)
        if call.level.holds(call.first)
        else _expanded(call).reshape(shape)
    )


def _expanded(call):
    return call.level.wrap(call.level.physical(call.first))


@rule("flatten")
def flatten(call):
    x = call.first
    if x.dim() == 0:
        return x.reshape(1)
    start, end = (wrapped(call.get(n), x.dim()) for n in ("start_dim", "end_dim"))
    return call.level.wrap(call.run_first(x.value, start_dim=start + 1, end_dim=end + 1))


@rule("ravel")
def ravel(call):
    return call.level.wrap(call.first.value.reshape(call.level.size, -1).contiguous())


@rule("unflatten", "unbind", "chunk", "split", "split_with_sizes", "tensor_split", "narrow", "select")
def one_dim(call):
    x = call.first
    if call.name == "narrow" and call.level.holds(call.given["start"]):
        return _narrow(call)
    places = call.given.get("tensor_indices_or_sections")
    if call.level.holds(places):
        raise RuntimeError(
            "vmap: It looks like you're attempting to use tensor_split() with indices of each example: the results "
            "would have different shapes."
        )
    if x.dim() == 0:
        call.run_first(ops.empty(()))  # raises what a tensor without dims raises
    result = call.run_first(x.value, dim=shifted(call.get("dim"), x.dim()))
    return call.level.wrap(result)


def _narrow(call):
    """A stretch that begins elsewhere in each example: a copy."""
    x, dim, start, length = (call.get(n) for n in ("self", "dim", "start", "length"))
    size = x.size(dim)
    inner = innermost(start)
    if not bool(((inner >= -size) & (inner <= size)).all()):
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}])")
    start = ops.where(start < 0, start + size, start)
    if not bool((innermost(start) + length <= size).all()):
        raise RuntimeError(f"narrow: a start of an example and length ({length}) exceed dimension size ({size}).")
    return x.index_select(dim, start + ops.arange(length, device=start.device))


@rule("unfold")
def unfold(call):
    x = call.first
    if x.dim() == 0:
        return x.unsqueeze(0).unfold(0, call.get("size"), call.get("step")).squeeze(0)
    return call.level.wrap(call.run_first(x.value, dimension=shifted(call.get("dimension"), x.dim())))


@rule("permute")
def permute(call):
    x, dims = call.first, _sizes(call.get("dims") or ())
    if len(dims) != x.dim():
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {x.dim()} is not equal to len(dims) = {len(dims)}"
        )
    return call.level.wrap(x.value.permute([0, *shifted(dims, x.dim())]))


@rule("transpose", "swapaxes", "swapdims")
def transpose(call):
    x = call.first
    first, second = (call.given[p.name] for p in call.parameters[1:3])
    if x.dim() == 0:
        return call.level.wrap(x.value.view_as(x.value))
    return call.level.wrap(x.value.transpose(shifted(first, x.dim()), shifted(second, x.dim())))


@rule("as_strided")
def as_strided(call):
    # Strides are those of an example, which begins where the batch's first one does.
    x, offset = call.first.value, call.get("storage_offset") or 0
    if x.stride(0) == 0 and x.requires_grad:
        # Gradients are written into the tensor, which must not share memory with itself.
        x = x.contiguous()
    size, stride = ((count, *call.get(name)) for count, name in ((call.level.size, "size"), (x.stride(0), "stride")))
    return call.level.wrap(x.as_strided(size, stride, x.storage_offset() + offset))


@rule("t")
def t(call):
    x = call.first
    if x.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.dim()}D")
    return x.transpose(0, 1) if x.dim() == 2 else call.level.wrap(x.value.view_as(x.value))


@rule("movedim", "moveaxis")
def movedim(call):
    rank = call.first.dim()
    moves = {n: shifted(_sizes(call.get(n)), rank) for n in ("source", "destination")}
    return call.level.wrap(call.run_first(call.first.value, **moves))


@rule("squeeze")
def squeeze(call):
    x = call.first
    dims = range(x.dim()) if "dim" not in call.given else _sizes(call.get("dim"))
    dims = [d for d in shifted(tuple(dims), x.dim()) if x.dim() and x.shape[d - 1] == 1]
    return call.level.wrap(x.value.squeeze(dims) if dims else x.value.view_as(x.value))


@rule("unsqueeze")
def unsqueeze(call):
    return call.level.wrap(call.first.value.unsqueeze(shifted(call.get("dim"), call.first.dim() + 1)))


@rule("expand", "broadcast_to")
def expand(call):
    x, size = call.first, _sizes(call.get("size") or ())
    if len(size) < x.dim():
        call.run_first(ops.empty((), dtype=x.dtype).expand(x.shape))  # raises what an example raises
    return call.level.wrap(call.level.padded(x, len(size)).expand((call.level.size, *size)))


@rule("expand_as")
def expand_as(call):
    shape = call.given["other"].shape
    return call.first.expand(shape) if call.level.holds(call.first) else _expanded(call).expand(shape)


@rule("diagonal")
def diagonal(call):
    rank = call.first.dim()
    dims = {n: shifted(call.get(n), rank) for n in ("dim1", "dim2")}
    return call.level.wrap(call.run_first(call.first.value, **dims))


@rule("diag_embed")
def diag_embed(call):
    rank = call.first.dim() + 1
    dims = {n: shifted(call.get(n), rank) for n in ("dim1", "dim2")}
    return call.level.wrap(call.run_first(call.first.value, **dims))


@rule("diag")
def diag(call):
    offset = call.get("diagonal")
    if call.first.dim() == 1:
        return call.first.diag_embed(offset)
    if call.first.dim() == 2:
        return call.first.diagonal(offset).clone()
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {call.first.dim()}D")


@rule("tril", "triu")
def triangle(call):
    if call.first.dim() < 2:
        raise RuntimeError(f"{call.name}: input tensor must have at least 2 dimensions")
    return call.level.wrap(call.run_first(call.first.value))


@rule("repeat")
def repeat(call):
    x, repeats = call.first, _sizes(call.get("repeats") or ())
    if len(repeats) < x.dim():
        call.run_first(ops.empty((), dtype=x.dtype).expand(x.shape))  # raises what an example raises
    return call.level.wrap(call.level.padded(x, len(repeats)).repeat(1, *repeats))


@rule("tile")
def tile(call):
    dims = _sizes(call.get("dims") or ())
    return call.first.repeat((1,) * (call.first.dim() - len(dims)) + dims)


@rule("repeat_interleave")
def repeat_interleave(call):
    x, level, repeats = call.first, call.level, call.given.get("repeats")
    if "self" not in call.given:
        return _numbers_repeated(call, repeats)
    dim = call.get("dim")
    if dim is None:
        x, dim = x.flatten(), 0
    if x.dim() == 0:
        x = x.unsqueeze(0)
    if level.holds(repeats):
        return x.index_select(dim, _numbers_repeated(call, repeats.expand(x.shape[dim])))
    return level.wrap(call.run(self=x.value, dim=shifted(dim, x.dim())))


def _numbers_repeated(call, repeats):
    """Every position as often as ``repeats`` says, which all examples must add up to the same number."""
    rows = repeats.value
    totals = rows.sum(-1)
    total = int(innermost(totals).max()) if totals.numel() else 0
    if bool((innermost(totals) != total).any()):
        raise RuntimeError(
            f"vmap: It looks like you're attempting to use {call.name}() with repeats that add up to different numbers "
            "in each example: the results would have different shapes."
        )
    places = ops.arange(total, device=rows.device).expand(*rows.shape[:-1], total).contiguous()
    return call.level.wrap(ops.searchsorted(rows.cumsum(-1), places, right=True))


@rule("flip")
def flip(call):
    x = call.first
    dims = shifted(_sizes(call.get("dims")), x.dim())
    return call.level.wrap(x.value.flip(dims) if x.dim() else x.value.clone())


@rule("fliplr", "flipud")
def flip_named(call):
    dim = int(call.name == "fliplr")
    if call.first.dim() <= dim:
        raise RuntimeError(f"{call.name}(): Input must be >= {dim + 1}-d.")
    return call.first.flip(dim)


@rule("roll")
def roll(call):
    x, dims = call.first, _sizes(call.get("dims") or ())
    if not dims:
        return call.level.wrap(x.value.reshape(call.level.size, -1).roll(call.get("shifts"), 1)).reshape(x.shape)
    return call.level.wrap(call.run_first(x.value, dims=shifted(dims, x.dim())))


@rule("rot90")
def rot90(call):
    return call.level.wrap(call.run_first(call.first.value, dims=shifted(call.get("dims"), call.first.dim())))


@rule("contiguous", "clone")
def copied(call):
    kept = call.get("memory_format")
    if kept in (_core.channels_last, _core.channels_last_3d):
        x = call.first.value
        return call.level.wrap(x.movedim(2, -1).clone(memory_format=_core.contiguous_format).movedim(-1, 2))
    return call.level.wrap(call.run_first(call.first.value))


@rule("_alias", "_result")
def alias(call):
    return call.level.wrap(call.run_first(call.first.value))


@rule("_snapshot")
def snapshot(call):
    return call.level.wrap(call.first.value._snapshot())


@rule("_replace")
def replace(call):
    from ..dispatch import write

    write(call.level, call.first, call.given["value"], call.get("name") + "_")
    return call.first


@rule("cat", "concat", "concatenate")
def cat(call):
    level, tensors = call.level, list(call.given["tensors"])
    # An empty vector joins anything.
    rest = [x for x in tensors if x.dim() != 1 or x.numel()] or tensors[:1]
    dim = shifted(call.get("dim"), rest[0].dim())
    return level.wrap(ops.cat([level.physical(x) for x in rest], dim))


@rule("stack")
def stack(call):
    level, tensors = call.level, call.given["tensors"]
    dim = shifted(call.get("dim"), tensors[0].dim() + 1)
    return level.wrap(ops.stack([level.physical(x) for x in tensors], dim))


@rule("select_scatter", "slice_scatter")
def scattered(call):
    level, x = call.level, call.first
    src = level.physical(call.given["src"])
    return level.wrap(call.run(self=level.physical(x), src=src, dim=shifted(call.get("dim"), x.dim())))


@rule("diagonal_scatter")
def diagonal_scatter(call):
    level, x = call.level, call.first
    dims = {n: shifted(call.get(n), x.dim()) for n in ("dim1", "dim2")}
    return level.wrap(call.run(self=level.physical(x), src=level.physical(call.given["src"]), **dims))
