"""`Function`: operators with a gradient written by the user."""

from .. import _core

_Tensor = _core.Tensor


class FunctionCtx:
    """What `forward` leaves for `backward`."""

    materialize_grads = True
    needs_input_grad = ()
    _node = None
    _saved = None  # per saved value whether it is a tensor, not None
    _to_save = ()
    _to_jvp = None
    _for_jvp = None  # what was saved for `jvp`, while that runs
    _non_differentiable = ()
    _dirty = ()

    def save_for_backward(self, *tensors):
        """Keeps inputs or outputs for the backward pass; they must not be modified in place meanwhile."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, _Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__}"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors):
        """Keeps inputs or outputs for `jvp`, as long as it runs."""
        self._to_jvp = tensors

    @property
    def saved_tensors(self):
        """The saved tensors; raises if one was modified in place since, or if the graph has run and was freed."""
        if self._for_jvp is not None:
            return self._for_jvp
        if self._saved is None:
            return ()
        unpacked = iter(self._node.unpack())
        return tuple(next(unpacked) if there else None for there in self._saved)

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

    # The object doubles as the graph node that `grad_fn` shows.

    def name(self):
        """The node's name."""
        return type(self).__name__

    @property
    def next_functions(self):
        """The nodes of the inputs and the number of their output, as pairs."""
        return self._node.node().next_functions

    @property
    def metadata(self):
        """A dict for whatever belongs to the node; it lives as long as the graph does."""
        return self._node.node().metadata

    def register_hook(self, hook):
        """Calls `hook(input_grads, output_grads)` after the rule; a returned tuple replaces the former."""
        return self._node.node().register_hook(hook)

    def register_prehook(self, hook):
        """Calls `hook(output_grads)` before the rule; a returned tuple replaces them."""
        return self._node.node().register_prehook(hook)

    def _run_backward(self, grads):
        """Called by the engine: gradients of the outputs in, gradients of the tensor inputs out."""
        function = self._function
        if self.materialize_grads:
            zeros = _core.ops.zeros
            grads = tuple(
                zeros(meta[0], dtype=meta[1]) if g is None and meta is not None else g
                for g, meta in zip(grads, self._output_metas, strict=True)
            )
        results = _backward_rule(function)(self, *grads)
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
        for i, (r, tensor) in enumerate(zip(results, self._is_tensor, strict=False), 1):
            if r is not None and not tensor:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different than None at position {i}, but the "
                    "corresponding forward input was not a Variable"
                )
            if r is not None and not isinstance(r, _Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(r).__name__})")
        return tuple(r for r, tensor in zip(results, self._is_tensor, strict=False) if tensor)


def _backward_rule(function):
    """The method that computes gradients: `backward`, or `vjp`, its other name."""
    if function.vjp is Function.vjp:
        return function.backward
    if function.backward is not Function.backward:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only implement "
            "one of them."
        )
    return function.vjp


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

    @staticmethod
    def vjp(ctx, *grad_outputs):
        """Another name for `backward`; a class defines one of them."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom Function.")

    generate_vmap_rule = False

    @staticmethod
    def vmap(info, in_dims, *args):
        """What `corten.vmap` calls: gives the results for a batch, and the dims of the batch in them.

        ``info`` has ``batch_size`` and ``randomness``; ``in_dims`` the dim of the batch in each argument, or None.
        """
        raise NotImplementedError("a Function needs a static method vmap, or generate_vmap_rule = True")

    @staticmethod
    def jvp(ctx, *grad_inputs):
        """The tangents of the results, for tangents of the inputs, None of those without: what `forward_ad` calls.

        Where it is not defined `backward` is differentiated instead, as `corten.func.jvp` does in any case.
        """
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        """Runs `forward` and records the node."""
        for argument in (*args, *kwargs.values()):
            if hasattr(argument, "_apply_function"):
                return argument._apply_function(cls, args, kwargs)
        ctx, outputs = cls._applied(args, kwargs)
        ctx._to_jvp = None
        return outputs

    @classmethod
    def _applied(cls, args, kwargs):
        """The context and the results of the function on tensors of the engine's own class."""
        ctx = cls._backward_cls()
        separate = cls.setup_context is not Function.setup_context
        if separate and kwargs:
            args, kwargs = _bind(cls.forward, args, kwargs), {}
        inputs = (*args, *kwargs.values())
        ctx._is_tensor = [isinstance(a, _Tensor) for a in inputs]
        ctx.needs_input_grad = tuple(isinstance(a, _Tensor) and a.requires_grad for a in inputs)
        record = _core.is_grad_enabled() and any(ctx.needs_input_grad)
        previous = _core.set_grad_enabled(False)
        try:
            if separate:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
        finally:
            _core.set_grad_enabled(previous)
        single = not isinstance(result, tuple)
        outputs = [result] if single else list(result)
        if record:
            outputs = _attach(cls, ctx, inputs, outputs)
        else:
            ctx._to_save = ()
        return ctx, outputs[0] if single else tuple(outputs)


def _bind(forward, args, kwargs):
    """All arguments of `forward` by position, defaults included: what `setup_context` is given."""
    import inspect

    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return (*bound.args, *bound.kwargs.values())


def _check_dirty(ctx, inputs, outputs):
    """Refuses in-place changes that gradients cannot follow."""
    for t in ctx._dirty:
        if not any(t is o for o in outputs):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that "
                "are modified inplace must all be outputs of the Function."
            )
        if t.requires_grad and t.is_leaf and any(t is i for i in inputs):
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")


def _attach(cls, ctx, args, outputs):
    """Gives the outputs their gradient node."""
    inputs = [a for a in args if isinstance(a, _Tensor)]
    _check_dirty(ctx, inputs, outputs)
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
    if ctx._to_save:
        ctx._saved = [t is not None for t in ctx._to_save]
    kept = [t for t in ctx._to_save if t is not None]
    ctx._to_save = ()
    ctx._node = _core.attach_function(ctx.name(), ctx, inputs, tracked, kept)
    if len(tracked) != len(outputs):
        _expand_gradients(ctx, outputs, tracked)
    return outputs


def _expand_gradients(ctx, outputs, tracked):
    """`backward` receives one gradient per output: zeros (or `None`) for outputs that are not differentiable."""
    places = [any(o is t for t in tracked) for o in outputs]
    run = ctx._run_backward
    ctx._output_metas = [(tuple(o.shape), o.dtype) if isinstance(o, _Tensor) else None for o in outputs]

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
