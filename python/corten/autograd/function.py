"""`Function`: operators with a gradient written by the user."""

from .. import _core

_Tensor = _core.Tensor


class FunctionCtx:
    """What `forward` leaves for `backward`."""

    materialize_grads = True
    needs_input_grad = ()
    _saved = None
    _to_save = ()
    _non_differentiable = ()
    _dirty = ()

    def save_for_backward(self, *tensors):
        """Keeps inputs or outputs for the backward pass; they must not be modified in place meanwhile."""
        for t in tensors:
            if t is not None and not isinstance(t, _Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(t).__name__}"
                )
        self._to_save = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self):
        """The saved tensors; raises if one was modified in place since."""
        if self._saved is None:
            return ()
        holder, places = self._saved
        unpacked = iter(holder.unpack())
        return tuple(next(unpacked) if there else None for there in places)

    saved_variables = saved_tensors

    def mark_dirty(self, *args):
        """Names inputs that `forward` modified in place."""
        self._dirty = args

    def mark_non_differentiable(self, *args):
        """Names outputs that have no gradient."""
        self._non_differentiable = args

    def set_materialize_grads(self, value):
        """Whether missing gradients reach `backward` as zeros (the default) or as `None`."""
        self.materialize_grads = value

    def _keep(self, name):
        """Moves what `forward` saved into a holder that checks versions."""
        if self._to_save:
            places = [t is not None for t in self._to_save]
            kept = [t for t in self._to_save if t is not None]
            self._saved = (_core.SavedValues(kept, name), places)
        self._to_save = ()

    # The object doubles as the graph node that `grad_fn` shows.

    def name(self):
        return type(self).__name__

    def _run_backward(self, grads):
        """Called by the engine: gradients of the outputs in, gradients of the tensor inputs out."""
        function = self._function
        if self.materialize_grads:
            zeros = _core.ops.zeros
            grads = tuple(
                zeros(shape, dtype=dtype) if g is None and dtype.is_floating_point else g
                for g, (shape, dtype) in zip(grads, self._output_metas, strict=True)
            )
        results = function.backward(self, *grads)
        if not isinstance(results, tuple):
            results = (results,)
        if len(results) > len(self._is_tensor):
            extra = results[len(self._is_tensor) :]
            if any(r is not None for r in extra):
                raise RuntimeError(
                    f"function {self.name()} returned an incorrect number of gradients "
                    f"(expected {len(self._is_tensor)}, got {len(results)})"
                )
        elif len(results) < len(self._is_tensor):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients "
                f"(expected {len(self._is_tensor)}, got {len(results)})"
            )
        for r, tensor in zip(results, self._is_tensor, strict=False):
            if r is not None and not tensor:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different from None for an argument that is not a Tensor"  # noqa: E501
                )
        return tuple(r for r, tensor in zip(results, self._is_tensor, strict=False) if tensor)


class _FunctionMeta(type):
    def __init__(cls, name, bases, attributes):
        super().__init__(name, bases, attributes)
        # The context's class is named as PyTorch names the node.
        cls._backward_cls = type(f"{name}Backward", (FunctionCtx,), {"_function": cls})


class Function(metaclass=_FunctionMeta):
    """A differentiable operator with static `forward(ctx, *args)` and `backward(ctx, *grads)`, called by `apply`.

    `forward(*args)` without `ctx` is used when `setup_context(ctx, inputs, output)` is defined.
    """

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."  # noqa: E501
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        """Runs `forward` and records the node."""
        ctx = cls._backward_cls()
        ctx._is_tensor = [isinstance(a, _Tensor) for a in args]
        ctx.needs_input_grad = tuple(isinstance(a, _Tensor) and a.requires_grad for a in args)
        record = _core.is_grad_enabled() and any(ctx.needs_input_grad)
        previous = _core.set_grad_enabled(False)
        try:
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args, **kwargs)
            else:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
        finally:
            _core.set_grad_enabled(previous)
        single = not isinstance(result, (tuple, list))
        outputs = [result] if single else list(result)
        if record:
            outputs = _attach(cls, ctx, args, outputs)
        else:
            ctx._to_save = ()
        return outputs[0] if single else tuple(outputs)


def _attach(cls, ctx, args, outputs):
    """Gives the outputs their gradient node."""
    inputs = [a for a in args if isinstance(a, _Tensor)]
    dirty = {id(t) for t in ctx._dirty}
    fixed = {id(t) for t in ctx._non_differentiable}
    for i, out in enumerate(outputs):
        # An output that is an input must become a tensor of its own, unless it was modified in place.
        if isinstance(out, _Tensor) and any(out is a for a in inputs) and id(out) not in dirty:
            outputs[i] = out.detach()
            if id(out) in fixed:
                fixed.add(id(outputs[i]))
            ctx._to_save = tuple(
                outputs[i] if s is out and not any(out is a for a in inputs) else s for s in ctx._to_save
            )
    tracked = [o for o in outputs if isinstance(o, _Tensor) and id(o) not in fixed]
    ctx._output_metas = [(tuple(o.shape), o.dtype) for o in tracked]
    _core.attach_function(ctx.name(), ctx, inputs, tracked)
    ctx._keep(ctx.name())
    if len(tracked) != len(outputs):
        _expand_gradients(ctx, outputs, tracked)
    return outputs


def _expand_gradients(ctx, outputs, tracked):
    """`backward` receives one gradient per output: `None` (or zeros) for outputs that are not differentiable."""
    places = [any(o is t for t in tracked) for o in outputs]
    run = ctx._run_backward
    shapes = [(tuple(o.shape), o.dtype) if isinstance(o, _Tensor) else None for o in outputs]
    ctx._output_metas = [s if s is not None else ((), _core.int64) for s in shapes]

    def spread(grads):
        remaining = iter(grads)
        return run(tuple(next(remaining) if there else None for there in places))

    ctx._run_backward = spread


def once_differentiable(backward):
    """Marks a `backward` that cannot be differentiated again: doing so raises."""
    import functools

    @functools.wraps(backward)
    def wrapped(ctx, *grads):
        previous = _core.set_grad_enabled(False)
        try:
            results = backward(ctx, *grads)
        finally:
            _core.set_grad_enabled(previous)
        if not previous or not any(isinstance(g, _Tensor) and g.requires_grad for g in grads):
            return results
        single = not isinstance(results, tuple)
        results = (results,) if single else results
        marked = tuple(_Once.apply(r, *grads) if isinstance(r, _Tensor) else r for r in results)
        return marked[0] if single else marked

    return wrapped


class _Once(Function):
    """Passes a value on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx, value, *grads):
        return value.detach()

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
