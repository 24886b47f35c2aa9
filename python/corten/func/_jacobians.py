"""Whole Jacobians, by one pass for all of their rows or columns.

The engine's rules of gradients take one vector at a time. So the function runs on a batch of copies of its arguments,
as inside ``vmap``, and a single pass through that graph takes a batch of vectors, one for each copy. The copies are
equal: what reads a value reads that of the first, so that control flow may depend on it.
"""

import contextlib
import functools

import corten

from .. import _core
from ..utils._pytree import tree_flatten, tree_map, tree_unflatten
from ._derivatives import (
    _argnums,
    _cut,
    _flat_outputs,
    _gradients,
    _Level,
    _levels,
    _Linearized,
    _split_aux,
    _with_copies,
)


def _copies(count, randomness):
    """A ``vmap`` whose examples are copies of one, and not yet told apart."""
    from ._vmap import _Running

    return _Running(count, randomness, copies=randomness != "different")


class _Draws:
    """The random generators before a function draws from them for the first time, to run it again."""

    _is_partial = True

    def __init__(self, args):
        self.args, self.state = args, None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if self.state is None:
            from ..utils.checkpoint import get_device_states

            self.state = corten.get_rng_state()
            self.devices, self.states = get_device_states(self.args)
        return func(*args, **(kwargs or {}))

    @contextlib.contextmanager
    def noted(self):
        """Inside, the first draw is noticed."""
        from ._vmap.rules.randomness import NAMES

        _core.push_function_mode(self, NAMES)
        try:
            yield
        finally:
            _core.pop_function_mode()

    @contextlib.contextmanager
    def again(self):
        """Inside, the function draws what it drew."""
        if self.state is None:
            yield
            return
        from ..utils.checkpoint import set_device_states

        with corten.random.fork_rng(self.devices):
            corten.set_rng_state(self.state)
            set_device_states(self.devices, self.states)
            yield


def _units(like, first, count):
    """For each tensor ``(count, *shape)``: rows of the identity matrix of all of their elements, from row ``first`` on;
    zeros past its end."""
    parts, offset = [], first
    for tensor in like:
        rows = corten.arange(offset, offset + count, device=tensor.device)
        places = corten.arange(tensor.numel(), device=tensor.device)
        parts.append((rows[:, None] == places).to(tensor.dtype).reshape((count, *tensor.shape)))
        offset -= tensor.numel()
    return parts


def _split_rows(rows, outputs, other):
    """``(*output, *other)`` of each output, out of ``(elements of all outputs, *other)``."""
    pieces = rows.split([o.numel() for o in outputs])
    return [piece.reshape((*o.shape, *other.shape)) for piece, o in zip(pieces, outputs, strict=True)]


def _alone(outputs, inputs, keep):
    """The rows of all outputs for every input, by a pass for each row through the graph of one example."""
    count = sum(o.numel() for o in outputs)
    rows = [_gradients(outputs, inputs, [u[0] for u in _units(outputs, i, 1)], keep) for i in range(count)]
    if not rows:
        return [corten.zeros((0, *t.shape), dtype=t.dtype, device=t.device) for t in inputs]
    return [corten.stack(list(column)) for column in zip(*rows, strict=True)]


def _together(run, outputs, keep, size):
    """The rows of all outputs for every input, by a pass for ``size`` of them at a time."""
    count = sum(o.numel() for o in outputs)
    with _copies(size, "same") as level:
        ends, inputs = run()
        if [tuple(e.shape) for e in ends] != [tuple(o.shape) for o in outputs]:
            raise RuntimeError("jacrev: the function's results change from run to run")
        level.copies = False
        chunks = []
        for first in range(0, count, size):
            seeds = [level.wrap(unit) for unit in _units(outputs, first, size)]
            found = _gradients(ends, inputs, seeds, keep)
            chunks.append([level.physical(g)[: count - first] for g in found])
    return [column[0] if len(column) == 1 else corten.cat(column) for column in zip(*chunks, strict=True)]


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """A function that gives the Jacobian of ``func``, by a backward pass for all elements of its result together.

    ``func`` runs twice: on the arguments, and on as many copies of them as the pass takes rows. Where that cannot be,
    because an operator has no rule for ``vmap``, there is a pass for each row.

    Args:
        argnums: the positional argument, or a tuple of them, for which derivatives are taken.
        has_aux: ``func`` returns a pair, whose second part is handed on: the result is ``(Jacobian, aux)``.
        chunk_size: at most so many rows at a time, to save memory; with 1 there are no copies.

    Returns:
        A function whose result is shaped as ``func``'s, with a tree of the arguments' shape in each place, whose
        tensors are ``(*output, *input)``.

    Raises:
        ValueError: ``chunk_size`` is not positive.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        def run():
            filled, inputs, spec = _with_copies(level, args, argnums, "jacrev")
            output, aux = _split_aux(func(*filled, **kwargs), has_aux, "jacrev(f)(*args)")
            outputs, output_spec = _flat_outputs(output, "jacrev(f)(*args)")
            return outputs, inputs, output_spec, spec, aux

        with _Level() as level:
            draws = _Draws((args, kwargs))
            with draws.noted():
                outputs, inputs, output_spec, spec, aux = run()
            keep = level.keeps(outputs, inputs)
            rows = None
            count = sum(o.numel() for o in outputs)
            size = min(count, chunk_size or count)
            if size > 1 and any(o.requires_grad for o in outputs):
                # Whatever is wrong with the function itself has shown in the first run.
                with contextlib.suppress(Exception), draws.again():
                    rows = _together(lambda: run()[:2], outputs, keep, size)
            if rows is None:
                rows = _alone(outputs, inputs, keep)
            columns = [_split_rows(row, outputs, t) for row, t in zip(rows, inputs, strict=True)]
            blocks = [tree_unflatten(list(block), spec) for block in zip(*columns, strict=True)]
            result, aux = _cut((tree_unflatten(blocks, output_spec), aux), keep)
        return (result, aux) if has_aux else result

    return wrapped


def _columns_together(linearized, like, randomness):
    """The function at a point, and how each of its results moves with each element, ``(elements, *output)``."""
    count = sum(t.numel() for t in like)
    with _copies(count, randomness) as level:
        at = linearized()
        level.copies = False
        record = _core.is_grad_enabled() and (at.keep or _levels.depth > 0)
        moves = at.push([level.wrap(unit) for unit in _units(like, 0, count)], record)
        moved = [level.physical(move) for move in tree_flatten(moves)[0]]
        at.aux = tree_map(lambda x: x.value[0] if level.holds(x) else x, at.aux)
    return at, moved, record


def _columns_alone(linearized, like):
    """What :func:`_columns_together` gives, by a pass for each element."""
    at = linearized()
    record = _core.is_grad_enabled() and (at.keep or _levels.depth > 0)
    columns = []
    for i in range(sum(t.numel() for t in like)):
        moves = at.push([unit[0] for unit in _units(like, i, 1)], record)
        columns.append(tree_flatten(moves)[0])
    if not columns:
        return at, [corten.zeros((0, *o.shape), dtype=o.dtype, device=o.device) for o in at.outputs], record
    return at, [corten.stack(list(column)) for column in zip(*columns, strict=True)], record


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """A function that gives the Jacobian of ``func``, by products with the directions of all elements of its arguments.

    ``func`` runs once, on as many copies of its arguments as they have elements. Where that cannot be, because an
    operator has no rule for ``vmap``, it runs on the arguments, and there is a product for each element.

    Args:
        argnums, has_aux: as in :func:`jacrev`, whose result this is, faster where results are larger than arguments.
        randomness: as in :func:`corten.vmap`, for the copies.
    """

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        positions, single = _argnums(argnums, len(args), "jacfwd")
        primals = tuple(args[p] for p in positions)

        def of_chosen(*values):
            filled = list(args)
            for position, value in zip(positions, values, strict=True):
                filled[position] = value
            return func(*filled, **kwargs)

        def linearized():
            return _Linearized(of_chosen, primals, has_aux, False, "jacfwd(f)(*args)")

        like = [t for t in tree_flatten(primals)[0] if isinstance(t, corten.Tensor)]
        found = None
        if sum(t.numel() for t in like) > 1:
            try:
                found = _columns_together(linearized, like, randomness)
            except Exception as error:
                # Whatever is wrong with the function itself shows again below.
                if "in randomness error mode" in str(error):
                    raise
        at, moved, record = found or _columns_alone(linearized, like)
        trees = []
        for move, output in zip(moved, at.outputs, strict=True):
            pieces = move.movedim(0, -1).split([t.numel() for t in like], -1)
            shaped = [piece.reshape((*output.shape, *t.shape)) for piece, t in zip(pieces, like, strict=True)]
            trees.append(tree_unflatten(shaped, at.spec))
        trees = [tree[0] for tree in trees] if single else trees
        result, aux = _cut((tree_unflatten(trees, at.output_spec), at.aux), record)
        return (result, aux) if has_aux else result

    return wrapped


def hessian(func, argnums=0):
    """A function that gives the second derivatives of ``func``, ``jacfwd(jacrev(func))``.

    Args:
        argnums: the positional argument, or a tuple of them, for which derivatives are taken.
    """
    return jacfwd(jacrev(func, argnums), argnums)
