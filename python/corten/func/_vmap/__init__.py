"""``vmap``: a function of one example becomes a function of a batch, without a loop.

The function runs once, on tensors that stand for an example and hold all of them (`batched`). Operators find rules by
their names (`dispatch`, `rules`); functions written in other operators need none.
"""

import functools

import corten

from ... import _core
from ...utils._pytree import _broadcast_to_and_flatten, tree_flatten, tree_unflatten
from . import rules
from .batched import Batched, Level, Tensor, active


def _sizes(in_dims, flat, name):
    sizes = {x.shape[d] for d, x in zip(in_dims, flat, strict=True) if d is not None}
    if not sizes:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): at least one argument needs a dim to map over"
        )
    if len(sizes) > 1:
        found = [x.shape[d] for d, x in zip(in_dims, flat, strict=True) if d is not None]
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {found} for the "
            "mapped dimension"
        )
    return sizes.pop()


def _flat_in_dims(in_dims, args, name):
    """The arguments' leaves, their structure, and the dim of each, counted from 0, or None."""
    where = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"{where}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
            f"got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"{where}: got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function with "
            "no inputs. The latter is unsupported."
        )
    flat, spec = tree_flatten(args)
    flat_dims = _broadcast_to_and_flatten(in_dims, spec, is_leaf=lambda x: x is None)
    if flat_dims is None:
        raise ValueError(
            f"{where}: in_dims is not compatible with the structure of inputs. in_dims has structure "
            f"{tree_flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    found = []
    for x, dim in zip(flat, flat_dims, strict=True):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(
                f"{where}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None."
            )
        if isinstance(dim, int) and not isinstance(x, Tensor):
            raise ValueError(
                f"{where}: Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot vmap over "
                f"non-Tensor arguments, please use None as the respective in_dim"
            )
        if dim is not None and not -x.dim() <= dim < x.dim():
            raise ValueError(
                f"{where}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {x.dim()} so "
                f"expected in_dim to satisfy -{x.dim()} <= in_dim < {x.dim()}."
            )
        found.append(dim if dim is None else dim % x.dim())
    return flat, spec, found


class _Running:
    """A ``vmap`` while its function runs."""

    def __init__(self, size, randomness, copies=False):
        self.level = Level(len(active.levels) + 1, size, randomness, copies)

    def __enter__(self):
        active.levels = (*active.levels, self.level)
        _core.push_function_mode(rules.randomness.Randomness(self.level), rules.randomness.NAMES)
        return self.level

    def __exit__(self, *exception):
        _core.pop_function_mode()
        active.levels = active.levels[:-1]
        self.level.alive = False


def _whole(level, output, dim, name):
    """An output with its batch dim in the place that ``out_dims`` says."""
    if not isinstance(output, Tensor):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(output)}. Did you mean to set "
            "out_dims= to None for output?"
        )
    if dim is None:
        if level.holds(output):
            raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
        return output
    value, rank = level.physical(output), output.dim() + 1
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    return value.movedim(0, dim) if dim % rank else value


def _flat_out_dims(out_dims, spec, name):
    if not isinstance(out_dims, (int, tuple, list, dict)) and out_dims is not None:
        raise ValueError(f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int or a tree of int and None")
    if isinstance(out_dims, int) or out_dims is None:
        return [out_dims] * spec.num_leaves
    dims = tuple(out_dims) if isinstance(out_dims, list) and spec.type is not list else out_dims
    if isinstance(dims, tuple) and len(dims) == 1 and spec.is_leaf():
        dims = dims[0]
    flat = _broadcast_to_and_flatten(dims, spec, is_leaf=lambda x: x is None)
    if flat is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): out_dims is not compatible with the structure of outputs. "
            f"out_dims has structure {tree_flatten(out_dims)[1]} but outputs has structure {spec}."
        )
    return flat


def _run(func, size, dims, flat, spec, out_dims, randomness, kwargs, name):
    with _Running(size, randomness) as level:
        examples = [
            x if d is None else level.wrap(x.movedim(d, 0) if d else x) for d, x in zip(dims, flat, strict=True)
        ]
        outputs, out_spec = tree_flatten(func(*tree_unflatten(examples, spec), **kwargs))
        flat_out = _flat_out_dims(out_dims, out_spec, name)
        whole = [_whole(level, x, d, name) for x, d in zip(outputs, flat_out, strict=True)]
    return whole, out_spec, flat_out


def _chunks(flat, dims, size, step):
    for start in range(0, size, step):
        stop = min(start + step, size)
        pieces = [x if d is None else x.narrow(d, start, stop - start) for x, d in zip(flat, dims, strict=True)]
        yield stop - start, pieces


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """A function that does for every example of a batch what ``func`` does for one, without a loop.

    Args:
        func: a function of tensors, or trees of them, that returns tensors or a tree of them.
        in_dims: the dim of the batch in every argument: a number for all, or a tree of numbers, and of None where an
            argument is the same for all examples.
        out_dims: where the batch is in the results, likewise.
        randomness: ``"error"`` refuses random operators, ``"same"`` draws once for all examples, ``"different"`` for
            each.
        chunk_size: at most so many examples at a time, to save memory; all by default.

    Raises:
        ValueError: the dims do not fit the arguments or the results, or batches have different sizes.
        RuntimeError: ``func`` reads a value, or makes a shape that depends on one; or draws numbers unasked.
        NotImplementedError: an operator has no rule, by its name.

    >>> import corten
    >>> dot = corten.vmap(corten.dot)
    >>> dot(corten.ones(3, 5), corten.ones(3, 5))
    tensor([5., 5., 5.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        flat, spec, dims = _flat_in_dims(in_dims, args, name)
        size = _sizes(dims, flat, name)
        if chunk_size is None or chunk_size >= size:
            whole, out_spec, _ = _run(func, size, dims, flat, spec, out_dims, randomness, kwargs, name)
            return tree_unflatten(whole, out_spec)
        state = _core.get_rng_state() if randomness == "same" else None
        parts = []
        for count, pieces in _chunks(flat, dims, size, chunk_size):
            if state is not None:
                _core.set_rng_state(state)
            parts.append(_run(func, count, dims, pieces, spec, out_dims, randomness, kwargs, name))
        columns = zip(*[part[0] for part in parts], strict=True)
        joined = [
            column[0] if d is None else corten.cat(list(column), d)
            for column, d in zip(columns, parts[0][2], strict=True)
        ]
        return tree_unflatten(joined, parts[0][1])

    return wrapped


__all__ = ["Batched", "Level", "active", "vmap"]
