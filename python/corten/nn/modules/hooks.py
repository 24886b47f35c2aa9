"""Hooks of modules: removable handles, the process-wide registries, and the gates that feed backward hooks."""

import itertools
import warnings
import weakref
from collections import OrderedDict

import corten

_handle_ids = itertools.count()


class RemovableHandle:
    """Removes a hook from the dictionary it was registered in; also a context manager that removes it on exit.

    Args:
        hooks_dict: the ordered dictionary that holds the hook, referenced weakly.
        extra_dict: a dictionary, or several, whose entry of the same id goes away with the hook.
    """

    next_id = property(lambda self: self.id + 1)

    def __init__(self, hooks_dict, *, extra_dict=None):
        corten._core.bump_rebinds()
        self.id = next(_handle_ids)
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        if extra_dict is None:
            extra_dict = ()
        elif not isinstance(extra_dict, (list, tuple)):
            extra_dict = (extra_dict,)
        self.extra_dict_ref = tuple(weakref.ref(extra) for extra in extra_dict)

    def remove(self):
        """Removes the hook; a second call does nothing."""
        corten._core.bump_rebinds()
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self):
        return self.hooks_dict_ref(), self.id, tuple(reference() for reference in self.extra_dict_ref)

    def __setstate__(self, state):
        hooks, self.id, extras = state
        # A dead reference is restored as a reference to a fresh dictionary, which dies at once.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if extra is None else extra) for extra in extras)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.remove()


def add_hook(hooks, hook, *, prepend=False, flags=()):
    """Puts ``hook`` into ``hooks`` and its id into every dictionary of ``flags``; returns the handle."""
    handle = RemovableHandle(hooks, extra_dict=list(flags))
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    for flag in flags:
        flag[handle.id] = True
    return handle


class GlobalHooks:
    """The hooks that apply to every module of the process."""

    def __init__(self):
        self.forward = OrderedDict()
        self.forward_with_kwargs = OrderedDict()
        self.forward_always_called = OrderedDict()
        self.forward_pre = OrderedDict()
        self.backward = OrderedDict()
        self.backward_pre = OrderedDict()
        self.backward_is_full = None
        self.parameter_registration = OrderedDict()
        self.buffer_registration = OrderedDict()
        self.module_registration = OrderedDict()


GLOBAL = GlobalHooks()


def register_module_forward_pre_hook(hook):
    """Runs ``hook(module, args)`` before every module's forward; a result replaces the arguments."""
    return add_hook(GLOBAL.forward_pre, hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """Runs ``hook(module, args[, kwargs], output)`` after every module's forward; a result replaces the output."""
    flags = [GLOBAL.forward_with_kwargs] * bool(with_kwargs) + [GLOBAL.forward_always_called] * bool(always_call)
    return add_hook(GLOBAL.forward, hook, flags=flags)


def register_module_backward_hook(hook):
    """Runs the legacy ``hook(module, grad_input, grad_output)`` of every module's last autograd node."""
    if GLOBAL.backward_is_full is True:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module hook. "
            "Please use only one of them."
        )
    GLOBAL.backward_is_full = False
    return add_hook(GLOBAL.backward, hook)


def register_module_full_backward_pre_hook(hook):
    """Runs ``hook(module, grad_output)`` before every module's backward; a result replaces ``grad_output``."""
    return add_hook(GLOBAL.backward_pre, hook)


def register_module_full_backward_hook(hook):
    """Runs ``hook(module, grad_input, grad_output)`` once every module's input gradients are known."""
    if GLOBAL.backward_is_full is False:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module hook. "
            "Please use only one of them."
        )
    GLOBAL.backward_is_full = True
    return add_hook(GLOBAL.backward, hook)


def register_module_parameter_registration_hook(hook):
    """Runs ``hook(module, name, parameter)`` whenever a parameter is registered; a result replaces it."""
    return add_hook(GLOBAL.parameter_registration, hook)


def register_module_buffer_registration_hook(hook):
    """Runs ``hook(module, name, buffer)`` whenever a buffer is registered; a result replaces it."""
    return add_hook(GLOBAL.buffer_registration, hook)


def register_module_module_registration_hook(hook):
    """Runs ``hook(module, name, submodule)`` whenever a submodule is registered; a result replaces it."""
    return add_hook(GLOBAL.module_registration, hook)


def run_registration_hooks(hooks, module, name, value):
    for hook in hooks.values():
        replaced = hook(module, name, value)
        if replaced is not None:
            value = replaced
    return value


def _gate_function():
    """The identity Function that calls ``on_grad(grads)`` in backward; made at first use, cached below."""

    class BackwardHookFunction(corten.autograd.Function):
        @staticmethod
        def forward(ctx, on_grad, *tensors):
            ctx.on_grad = on_grad
            ctx.set_materialize_grads(False)
            outputs = tuple(tensor.view_as(tensor) for tensor in tensors)
            ctx.mark_non_differentiable(
                *[output for output, tensor in zip(outputs, tensors, strict=True) if not tensor.requires_grad]
            )
            return outputs

        @staticmethod
        def backward(ctx, *grads):
            return (None, *ctx.on_grad(grads))

    return BackwardHookFunction


_gate = None


def _through_gate(values, on_grad):
    """Passes the tensors of the tuple ``values`` through a gate; returns (new values, whether one was built)."""
    global _gate
    positions = [i for i, value in enumerate(values) if isinstance(value, corten.Tensor)]
    tensors = [values[i] for i in positions]
    if not (corten.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
        return values, False
    if _gate is None:
        _gate = _gate_function()
    count = len(values)

    def spread(grads):
        full = [None] * count
        for position, grad in zip(positions, grads, strict=True):
            full[position] = grad
        changed = on_grad(tuple(full))
        return [changed[position] for position in positions]

    gated = list(values)
    for position, tensor in zip(positions, _gate.apply(spread, *tensors), strict=True):
        gated[position] = tensor
    if hasattr(values, "_fields"):
        return type(values)(*gated), True
    return tuple(gated), True


class BackwardGates:
    """Runs a module's full backward hooks from two identity gates, one on its inputs and one on its outputs.

    The output gate sees ``grad_output`` first and runs the pre-hooks; the input gate later sees ``grad_input`` and
    runs the hooks. When no input requires grad the hooks run at the output gate with ``None`` for every input.
    """

    def __init__(self, module, hooks, pre_hooks):
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs = None
        self.input_count = -1
        self.has_input_gate = False

    def gate_inputs(self, args):
        self.input_count = len(args)
        args, self.has_input_gate = _through_gate(args, self._on_grad_input)
        return args

    def gate_outputs(self, result):
        if isinstance(result, corten.Tensor):
            return _through_gate((result,), self._on_grad_output)[0][0]
        if isinstance(result, tuple):
            return _through_gate(result, self._on_grad_output)[0]
        warnings.warn(
            "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
            f"but received {type(result)}",
            stacklevel=4,
        )
        return result

    def _on_grad_output(self, grad_outputs):
        expected = len(grad_outputs)
        for hook in self.pre_hooks:
            replaced = hook(self.module, grad_outputs)
            if replaced is None:
                continue
            grad_outputs = replaced if isinstance(replaced, tuple) else (replaced,)
            if len(grad_outputs) != expected:
                raise RuntimeError(
                    "Backward pre hook returned an invalid number of grad_output, "
                    f"got {len(grad_outputs)}, but expected {expected}"
                )
        self.grad_outputs = grad_outputs
        if self.hooks and not self.has_input_gate:
            self._run_without_inputs()
        return grad_outputs

    def _run_without_inputs(self):
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since no "
            "inputs require gradients.",
            stacklevel=5,
        )
        grad_inputs = (None,) * self.input_count
        for hook in self.hooks:
            result = hook(self.module, grad_inputs, self.grad_outputs)
            if result is not None and not (isinstance(result, tuple) and all(grad is None for grad in result)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or "
                    "None for all gradients."
                )
        self.grad_outputs = None

    def _on_grad_input(self, grad_inputs):
        if self.grad_outputs is None:
            # The outputs took no part in this backward pass.
            return grad_inputs
        for hook in self.hooks:
            replaced = hook(self.module, grad_inputs, self.grad_outputs)
            if replaced is None:
                continue
            replaced = replaced if isinstance(replaced, tuple) else (replaced,)
            if len(replaced) != len(grad_inputs):
                raise RuntimeError(
                    "Backward hook returned an invalid number of grad_input, "
                    f"got {len(replaced)}, but expected {len(grad_inputs)}"
                )
            grad_inputs = replaced
        self.grad_outputs = None
        return grad_inputs


def attach_legacy_hooks(module, hooks, args, result):
    """Registers non-full backward hooks on the autograd node that produced the module's first output tensor."""
    first = result
    while not isinstance(first, corten.Tensor):
        if isinstance(first, dict):
            first = next(value for value in first.values() if isinstance(value, corten.Tensor))
        else:
            first = first[0]
    grad_fn = first.grad_fn
    if grad_fn is None:
        return
    for hook in hooks:
        grad_fn.register_hook(lambda *grads, hook=hook: hook(module, *grads))
    _warn_about_legacy_hook(args, result, grad_fn)


def _warn_about_legacy_hook(args, result, grad_fn):
    message = None
    inputs = args if isinstance(args, tuple) else (args,)
    outputs = result if isinstance(result, tuple) else (result,)
    sources = {tensor.grad_fn for tensor in inputs if isinstance(tensor, corten.Tensor)}
    if not all(isinstance(tensor, corten.Tensor) for tensor in inputs + outputs):
        message = "does not take as input a single Tensor or a tuple of Tensors"
    elif any(tensor.grad_fn is not grad_fn for tensor in outputs):
        message = "outputs are generated by different autograd Nodes"
    elif any(node not in sources for node, _ in grad_fn.next_functions if node is not None):
        message = "the forward contains multiple autograd Nodes"
    if message is not None:
        missing = "grad_output" if message.startswith("outputs") else "grad_input"
        warnings.warn(
            f"Using a non-full backward hook when {message} is deprecated and will be removed in future versions. "
            f"This hook will be missing some {missing}. Please use register_full_backward_hook to get the "
            "documented behavior.",
            FutureWarning,
            stacklevel=4,
        )


def run_always_called(module, args, kwargs, called):
    """After a failed call, runs the forward hooks that asked for it; their own failures only warn."""
    for hook_id, hook, with_kwargs in module._all_forward_hooks():
        always = hook_id in module._forward_hooks_always_called or hook_id in GLOBAL.forward_always_called
        if not always or hook_id in called:
            continue
        try:
            if with_kwargs:
                hook(module, args, kwargs, None)
            else:
                hook(module, args, None)
        except Exception as error:
            warnings.warn(
                "module forward hook with ``always_call=True`` raised an exception that was silenced as another "
                f"error was raised in forward: {error!s}",
                stacklevel=4,
            )
