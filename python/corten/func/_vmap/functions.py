"""`autograd.Function` inside ``vmap``: its own rule, or one made from its ``forward`` and ``backward``."""

from typing import NamedTuple

from ...autograd.function import Function
from .batched import Level, Tensor
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
    outputs, out_dims = function.vmap(VmapInfo(level.size, level.randomness), dims, *plain)
    if isinstance(outputs, Tensor):
        return outputs if out_dims is None else level.wrap(outputs.movedim(out_dims, 0))
    out_dims = (out_dims,) * len(outputs) if isinstance(out_dims, int) or out_dims is None else out_dims
    pairs = zip(outputs, out_dims, strict=True)
    return tuple(x if d is None else level.wrap(x.movedim(d, 0)) for x, d in pairs)


class _Context:
    """The context of the function on examples; what it keeps is kept as whole batches."""

    def __init__(self, needs_input_grad):
        self.needs_input_grad = needs_input_grad
        self._kept, self._level = (), None
        self.materialize_grads = True

    def save_for_backward(self, *tensors):
        self._kept = tensors

    def mark_non_differentiable(self, *tensors):
        """Accepted: gradients of such results are not used."""

    def set_materialize_grads(self, value):
        self.materialize_grads = value

    @property
    def saved_tensors(self):
        return tuple(self._at(x) for x in self._kept)

    def _at(self, x):
        # A backward pass may run after the level that the forward one ran in.
        return self._level.wrap(x.value) if hasattr(x, "_run_backward") and x.level is not self._level else x


def _generated(function, level, args):
    batched = [level.holds(x) for x in args]
    shape = {}

    class OfBatch(Function):
        @staticmethod
        def forward(ctx, *values):
            ctx.inner = _Context(ctx.needs_input_grad)
            ctx.inner._level = level
            examples = [level.wrap(v) if b else v for v, b in zip(values, batched, strict=True)]
            if function.setup_context is not Function.setup_context:
                result = function.forward(*examples)
                function.setup_context(ctx.inner, tuple(examples), result)
            else:
                result = function.forward(ctx.inner, *examples)
            shape["single"] = not isinstance(result, tuple)
            parts = (result,) if shape["single"] else result
            return tuple(level.physical(x) if isinstance(x, Tensor) else x for x in parts)

        @staticmethod
        def backward(ctx, *grads):
            here = Level(level.number, level.size, level.randomness)
            ctx.inner._level = here
            found = function.backward(ctx.inner, *[None if g is None else here.wrap(g) for g in grads])
            found = found if isinstance(found, tuple) else (found,)
            results = []
            for grad, had_batch in zip(found, batched, strict=True):
                whole = None if grad is None else here.physical(grad)
                results.append(whole if whole is None or had_batch else whole.sum(0))
            return tuple(results)

    OfBatch.__name__ = function.__name__
    outputs = OfBatch.apply(*[x.value if b else x for x, b in zip(args, batched, strict=True)])
    outputs = level.wrap(tuple(outputs))
    return outputs[0] if shape["single"] else outputs
