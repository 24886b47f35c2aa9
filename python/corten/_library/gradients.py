"""Gradients of operators that programs define: an `autograd.Function` around the kernel."""

from .. import _core
from ..autograd.function import Function
from .schema import Tensor


class _Layout:
    """Where tensors lie among arguments, so that they can be handed over one by one and put back."""

    def __init__(self, args, by_name):
        self.names = tuple(by_name)
        self.values, self.places, self.tensors = [], [], []
        for place, value in enumerate((*args, *by_name.values())):
            self.values.append(list(value) if isinstance(value, list) else value)
            if isinstance(value, Tensor):
                self._note((place, None), value)
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, Tensor):
                        self._note((place, i), item)
        self.count = len(args)
        # The tensors are handed over and not kept: the graph would keep them for its whole life.
        for place, i in self.places:
            if i is None:
                self.values[place] = None
            else:
                self.values[place][i] = None

    def _note(self, place, tensor):
        self.places.append(place)
        self.tensors.append(tensor)

    def filled(self, items, default=None):
        """The arguments by position and by name with an item in every tensor's place; others as they are or default."""
        values = [list(v) if isinstance(v, list) else v for v in self.values]
        if default is not None:
            values = [[default] * len(v) if isinstance(v, list) else default for v in values]
        for (place, i), item in zip(self.places, items, strict=True):
            if i is None:
                values[place] = item
            else:
                values[place][i] = item
        return tuple(values[: self.count]), dict(zip(self.names, values[self.count :], strict=True))


def _class_of(op):
    """The function class of an operator, named as PyTorch names the step."""
    schema = op._schema
    name = f"GeneratedBackwardFor_{schema._namespace}_{schema._operator}_{schema.overload_name or 'default'}"
    return type(name, (_Generated,), {})


class _Generated(Function):
    @staticmethod
    def forward(ctx, op, layout, shape, *tensors):
        args, by_name = layout.filled(tensors)
        result = op.run(args, by_name)
        outputs = result if isinstance(result, tuple) else (result,)
        shape[:] = [len(o) if isinstance(o, list) else None for o in outputs], isinstance(result, tuple)
        if op.setup_context is not None:
            ctx.needs_input_grad = _nested_needs(layout, ctx.needs_input_grad[3:])
            if op._schema._keyword_only:
                op.setup_context(ctx=ctx, inputs=args, keyword_only_inputs=by_name, output=result)
            else:
                op.setup_context(ctx=ctx, inputs=args, output=result)
        ctx.op, ctx.places, ctx.sizes = (
            op,
            (layout.places, layout.count),
            [len(v) if isinstance(v, list) else None for v in layout.values[: layout.count]],
        )
        ctx.output_sizes = shape[0]
        layout.tensors = ()
        flat = [item for o in outputs for item in (o if isinstance(o, list) else (o,))]
        return tuple(flat)

    @staticmethod
    def backward(ctx, *grads):
        op = ctx.op
        if op.backward is None:
            raise RuntimeError(
                f"Trying to backward through {op} but no autograd formula was registered. Please use register_autograd "
                "to add one."
            )
        rest = iter(grads)
        nested = [[next(rest) for _ in range(n)] if n is not None else next(rest) for n in ctx.output_sizes]
        found = op.backward(ctx, *nested)
        found = found if isinstance(found, tuple) else (found,)
        places, count = ctx.places
        if len(found) != count:
            raise RuntimeError(
                f"{op}: the backward of register_autograd returned {len(found)} gradient(s) for {count} positional "
                "argument(s); return None for those without one"
            )
        for place, (value, size) in enumerate(zip(found, ctx.sizes, strict=True)):
            if size is not None and value is not None and (not isinstance(value, (list, tuple)) or len(value) != size):
                raise RuntimeError(
                    f"{op}: the backward of register_autograd must return for argument {place}, a list, None or a list "
                    f"of {size} gradients, got {type(value).__name__}"
                )
        flat = [None if place >= count else _item(found[place], i) for place, i in places]
        return (None, None, None, *flat)


def _item(value, i):
    return value if i is None or value is None else value[i]


def _nested_needs(layout, needs):
    return layout.filled(needs, default=False)[0]


def with_gradients(op, args, by_name):
    """The results of an operator, with the step of the gradient graph that its registered formula is."""
    layout = _Layout(args, by_name)
    shape: list = []
    made = op.__dict__.get("_function") or op.__dict__.setdefault("_function", _class_of(op))
    # A result that is an argument by the schema is that tensor, which was written, and begins no step.
    if any(r.alias_info is not None for r in op._schema.returns) or not op._schema.returns:
        before = _core.set_grad_enabled(False)
        try:
            return op.run(args, by_name)
        finally:
            _core.set_grad_enabled(before)
    flat = iter(made.apply(op, layout, shape, *layout.tensors))
    sizes, several = shape
    outputs = tuple([next(flat) for _ in range(n)] if n is not None else next(flat) for n in sizes)
    return outputs if several else outputs[0]
