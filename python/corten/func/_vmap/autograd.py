"""Backward passes inside ``vmap``: one for the whole batch. An example's results depend on its own arguments only, so
the sum over the batch that the engine differentiates has each example's gradient in its place."""

from ... import _core
from .batched import levels_of, with_all_batches


def run_backward(roots, seeds, retain_graph, create_graph, inputs, capture):
    """The engine's backward pass on tensors with batch dims."""
    level = max((levels_of(x)[0] for x in (*roots, *seeds, *(inputs or ())) if levels_of(x)), key=lambda v: v.number)
    if capture and inputs is not None and not any(level.holds(x) for x in (*roots, *inputs)):
        return _of_each(level, roots, seeds, retain_graph, create_graph, inputs)
    values, starts = [], []
    for root, seed in zip(roots, seeds, strict=True):
        if seed is None and root.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if not level.holds(root):
            if level.holds(seed):
                raise NotImplementedError(
                    "vmap: there is no rule for a backward pass with a batch of gradients through a graph from "
                    "outside and one from inside; compute the output inside of the vmapped function"
                )
            values.append(root)
            starts.append(seed)
            continue
        values.append(root.value)
        starts.append(_core.ops.ones_like(root.value) if seed is None else level.physical(seed))
    if inputs is None or not capture:
        raise NotImplementedError("vmap: there is no rule for backward(); use corten.autograd.grad or corten.func.grad")
    outside = [x for x in inputs if not level.holds(x)]
    if outside and any(level.holds(root) for root in roots):
        raise NotImplementedError(
            "vmap: there is no rule for gradients of a batch with respect to a tensor from outside; "
            "use corten.func.grad inside of the vmapped function, or give the tensor as an argument"
        )
    targets = [x.value if level.holds(x) else x for x in inputs]
    found = _core.run_backward(values, starts, retain_graph, create_graph, targets, capture)
    pairs = zip(found, inputs, strict=True)
    return tuple(level.wrap(g) if g is not None and level.holds(x) else g for g, x in pairs)


def _of_each(level, roots, seeds, retain_graph, create_graph, inputs):
    """Gradients through a graph from outside for a batch of seeds: the graph runs once for each, as in `autograd.grad`
    with ``is_grads_batched``."""
    rows = []
    for i in range(level.size):
        keep = retain_graph or i < level.size - 1
        here = [seed.value[i] if level.holds(seed) else seed for seed in seeds]
        rows.append(_core.run_backward(roots, here, keep, create_graph, inputs, True))
    columns = zip(*rows, strict=True)
    return tuple(None if column[0] is None else level.wrap(_core.ops.stack(list(column))) for column in columns)


__all__ = ["run_backward", "with_all_batches"]
