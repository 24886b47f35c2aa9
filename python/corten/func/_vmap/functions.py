"""`autograd.Function` inside ``vmap``: its own rule, or one made from its ``forward`` and ``backward``."""

import contextlib
from typing import NamedTuple

from ...autograd.function import Function, _backward_rule
from ...utils._pytree import _broadcast_to_and_flatten, tree_flatten, tree_unflatten
from .batched import Tensor
from .dispatch import level_of


class VmapInfo(NamedTuple):
    """What a function's own rule is told."""

    batch_size: int
    randomness: str


def apply(function, args, kwargs):
    """The results of ``function.apply`` on tensors that stand for examples."""
    level = level_of(args, kwargs)
    made = function.generate_vmap_rule or function.__module__.split(".")[0] == "corten"
    own = function.vmap is not Function.vmap
    if own and function.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {function.__name__}, but it has both generate_vmap_rule=True and an overridden "
            "vmap staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to "
            "avoid ambiguity."
        )
    if kwargs and not own:
        raise NotImplementedError(f"vmap: there is no rule for {function.__name__}.apply() with keyword arguments")
    if made:
        return _generated(function, level, args)
    if not own:
        raise RuntimeError(
            f"You tried to vmap over {function.__name__}, but it does not have vmap support. Please override and "
            "implement the vmap staticmethod or set generate_vmap_rule=True."
        )
    dims = tuple(0 if level.holds(x) else None for x in args)
    plain = [x.value if level.holds(x) else x for x in args]
    returned = function.vmap(VmapInfo(level.size, level.randomness), dims, *plain)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise RuntimeError(
            "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure "
            f"compatible with the output. Got a {type(returned)} instead"
        )
    return _wrapped(function, level, *returned)


def _wrapped(function, level, outputs, out_dims):
    """The results of a function's own rule, whose batch dims stand where it says."""
    flat, spec = tree_flatten(outputs)
    flat_dims = _broadcast_to_and_flatten(out_dims, spec, is_leaf=lambda x: x is None)
    if flat_dims is None or not all(d is None or isinstance(d, int) for d in flat_dims):
        raise RuntimeError(
            f"{function.__name__}: the vmap staticmethod returned an incompatible (output, out_dims) tuple. Expected "
            f"out_dims={out_dims} to be an int or None, or a tree of them with the structure of the output, {spec}"
        )
    wrapped = [
        x if d is None or not isinstance(x, Tensor) else level.wrap(x.movedim(d, 0))
        for x, d in zip(flat, flat_dims, strict=True)
    ]
    return tree_unflatten(wrapped, spec)


class _Context:
    """The context of the function on examples; what it keeps is kept by that of the function on whole batches."""

    materialize_grads = True
    saved_tensors: tuple = ()
    _kept: tuple = ()
    _non_differentiable: tuple = ()

    def __init__(self, needs_input_grad):
        self.needs_input_grad = needs_input_grad

    def save_for_backward(self, *tensors):
        self._kept = tensors

    def save_for_forward(self, *tensors):
        """Accepted: in forward mode the backward rule is differentiated."""

    def mark_non_differentiable(self, *tensors):
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors):
        raise NotImplementedError("vmap: there is no rule for a function that marks its inputs as changed")

    def set_materialize_grads(self, value):
        self.materialize_grads = value

    def hand_over(self, outer, level, parts, wholes):
        """Has the context of the function on batches keep what this one was told to; results are kept as themselves,
        so that gradients of gradients go through them."""
        whole_of = {id(part): whole for part, whole in zip(parts, wholes, strict=True)}
        self.of_batch = [id(t) in whole_of or level.holds(t) for t in self._kept]
        outer.save_for_backward(*[whole_of.get(id(t), t.value if level.holds(t) else t) for t in self._kept])
        outer.mark_non_differentiable(*[whole_of[id(t)] for t in self._non_differentiable if id(t) in whole_of])
        outer.set_materialize_grads(self.materialize_grads)
        self._kept = self._non_differentiable = ()

    def take_back(self, outer, level):
        """The tensors as the function saved them."""
        pairs = zip(outer.saved_tensors, self.of_batch, strict=True)
        self.saved_tensors = tuple(level.wrap(t) if b else t for t, b in pairs)


@contextlib.contextmanager
def _running_again(level):
    """Inside, examples of a level may be used, which a backward pass may outlive."""
    before, level.alive = level.alive, True
    try:
        yield
    finally:
        level.alive = before


def _generated(function, level, args):
    batched = [level.holds(x) for x in args]
    single = False

    class OfBatch(Function):
        @staticmethod
        def forward(ctx, *values):
            nonlocal single
            ctx.inner = _Context(ctx.needs_input_grad)
            examples = [level.wrap(v) if b else v for v, b in zip(values, batched, strict=True)]
            if function.setup_context is not Function.setup_context:
                result = function.forward(*examples)
                function.setup_context(ctx.inner, tuple(examples), result)
            else:
                result = function.forward(ctx.inner, *examples)
            single = not isinstance(result, tuple)
            parts = (result,) if single else result
            wholes = tuple(level.physical(x) if isinstance(x, Tensor) else x for x in parts)
            ctx.inner.hand_over(ctx, level, parts, wholes)
            return wholes

        @staticmethod
        def backward(ctx, *grads):
            with _running_again(level):
                ctx.inner.take_back(ctx, level)
                found = _backward_rule(function)(ctx.inner, *[None if g is None else level.wrap(g) for g in grads])
                found = found if isinstance(found, tuple) else (found,)
                wholes = [None if grad is None else level.physical(grad) for grad in found]
            return tuple(w if w is None or b else w.sum(0) for w, b in zip(wholes, batched, strict=False))

    OfBatch.__name__ = function.__name__
    outputs = OfBatch.apply(*[x.value if b else x for x, b in zip(args, batched, strict=True)])
    outputs = level.wrap(tuple(outputs))
    return outputs[0] if single else outputs
