"""Module: the base class of every network part, with its registries, hooks, conversions and state."""

from collections import OrderedDict

import corten

from ..parameter import Buffer, Parameter, is_lazy
from . import hooks as _hooks
from . import state_dict as _state
from .hooks import (  # noqa: F401  (the process-wide registration functions belong to this module's interface)
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from .state_dict import _EXTRA_STATE_KEY_SUFFIX, _IncompatibleKeys  # noqa: F401
from .utils import add_indent, parse_to

_addindent = add_indent  # what subclasses written for PyTorch import for their __repr__

_HOOK_REGISTRIES = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_GLOBAL = _hooks.GLOBAL


class Module:
    """Base class of all network parts.

    Assigning a :class:`Parameter`, a :class:`Buffer` or another ``Module`` to an attribute registers it, so that
    ``parameters()``, ``to()`` and ``state_dict()`` reach it. A subclass calls ``super().__init__()`` first and
    defines ``forward``.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = nn.Linear(4, 2)
        ...     def forward(self, x):
        ...         return self.layer(x).relu()
    """

    dump_patches = False
    _version = 1
    training: bool
    call_super_init = False
    _compiled_call_impl = None

    def __init__(self, *args, **kwargs):
        if not self.call_super_init:
            if kwargs:
                unexpected = next(iter(kwargs))
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument '{unexpected}'")
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
                )
        attributes = self.__dict__
        attributes["training"] = True
        attributes["_parameters"] = {}
        attributes["_buffers"] = {}
        attributes["_non_persistent_buffers_set"] = set()
        attributes["_backward_pre_hooks"] = OrderedDict()
        attributes["_backward_hooks"] = OrderedDict()
        attributes["_is_full_backward_hook"] = None
        for registry in _HOOK_REGISTRIES:
            attributes[registry] = OrderedDict()
        attributes["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input):
        """Computes the module's output; every subclass defines its own."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # Registration

    def register_buffer(self, name, tensor, persistent=True):
        """Adds a tensor that is state but not a parameter, such as a running mean.

        Args:
            name: the attribute under which it is found.
            tensor: the buffer, or ``None`` for a buffer that is absent from ``state_dict``.
            persistent: whether it is part of ``state_dict``.
        """
        self._check_registration("buffer", "_buffers", name)
        if tensor is not None and not isinstance(tensor, corten.Tensor):
            raise TypeError(
                f"cannot assign '{corten.typename(tensor)}' object to buffer '{name}' (corten Tensor or None required)"
            )
        if _GLOBAL.buffer_registration:
            tensor = _hooks.run_registration_hooks(_GLOBAL.buffer_registration, self, name, tensor)
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Adds a parameter under the attribute ``name``; ``None`` marks an absent one.

        Raises:
            KeyError: the name is empty, holds a dot or is taken.
            TypeError: ``param`` is not a :class:`Parameter`.
            ValueError: ``param`` is not a leaf of the autograd graph.
        """
        self._check_registration("parameter", "_parameters", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{corten.typename(param)}' object to parameter '{name}' "
                "(corten.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. "
                f"To express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        if _GLOBAL.parameter_registration:
            param = _hooks.run_registration_hooks(_GLOBAL.parameter_registration, self, name, param)
        self._parameters[name] = param

    def add_module(self, name, module):
        """Adds a child module under the attribute ``name``.

        Raises:
            KeyError: the name is empty, holds a dot or is taken.
            TypeError: ``module`` is not a Module.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{corten.typename(module)} is not a Module subclass")
        self._check_registration("module", "_modules", name)
        if _GLOBAL.module_registration:
            module = _hooks.run_registration_hooks(_GLOBAL.module_registration, self, name, module)
        self._modules[name] = module

    def register_module(self, name, module):
        """Alias of :meth:`add_module`."""
        self.add_module(name, module)

    def _check_registration(self, kind, registry, name):
        corten._core.bump_rebinds()
        if registry not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {corten.typename(name)}")
        if hasattr(self, name) and name not in self.__dict__[registry]:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    # Attributes

    def __getattr__(self, name):
        # Reached only when the ordinary lookup fails.
        attributes = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            members = attributes.get(registry)
            if members is not None and name in members:
                return members[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name, value):
        attributes = self.__dict__
        if attributes.get(name, self) is not value:
            corten._core.bump_rebinds()
        parameters = attributes.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, attributes, self._buffers, self._modules)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{corten.typename(value)}' as parameter '{name}' "
                    "(corten.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._set_child(name, value)
        elif parameters is not None and name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{corten.typename(value)}' as child module '{name}' "
                    "(corten.nn.Module or None expected)"
                )
            self._set_child(name, value)
        elif isinstance(value, Buffer) or (parameters is not None and name in self._buffers):
            self._set_buffer(name, value)
        else:
            object.__setattr__(self, name, value)

    def _set_child(self, name, module):
        attributes = self.__dict__
        if attributes.get("_modules") is None:
            raise AttributeError("cannot assign module before Module.__init__() call")
        if module is not None:
            self._forget(name, attributes, self._parameters, self._buffers)
        if _GLOBAL.module_registration:
            module = _hooks.run_registration_hooks(_GLOBAL.module_registration, self, name, module)
        self._modules[name] = module

    def _set_buffer(self, name, value):
        attributes = self.__dict__
        if attributes.get("_buffers") is None:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        if value is not None and not isinstance(value, corten.Tensor):
            raise TypeError(
                f"cannot assign '{corten.typename(value)}' as buffer '{name}' "
                "(corten.nn.Buffer, corten.Tensor or None expected)"
            )
        if isinstance(value, Buffer):
            self._forget(name, attributes, self._parameters, self._modules)
            self.register_buffer(name, value, value.persistent)
            return
        if _GLOBAL.buffer_registration:
            value = _hooks.run_registration_hooks(_GLOBAL.buffer_registration, self, name, value)
        self._buffers[name] = value

    def _forget(self, name, *registries):
        for registry in registries:
            registry.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name):
        corten._core.bump_rebinds()
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self):
        names = [*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers]
        return sorted(name for name in names if not name[:1].isdigit())

    # Calling

    def __call__(self, *args, **kwargs):
        if self._compiled_call_impl is not None:
            return self._compiled_call_impl(*args, **kwargs)
        return self._call_impl(*args, **kwargs)

    def _call_impl(self, *args, **kwargs):
        # Without hooks, the usual case, this check is all that a call costs.
        if not (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or _GLOBAL.forward
            or _GLOBAL.forward_pre
            or _GLOBAL.backward
            or _GLOBAL.backward_pre
        ):
            return self.forward(*args, **kwargs)
        called = set()
        try:
            return self._call_with_hooks(args, kwargs, called)
        except Exception:
            _hooks.run_always_called(self, args, kwargs, called)
            raise

    def _call_with_hooks(self, args, kwargs, called):
        args, kwargs = self._run_forward_pre_hooks(args, kwargs)
        full_hooks, legacy_hooks = self._get_backward_hooks()
        pre_hooks = self._get_backward_pre_hooks()
        gates = _hooks.BackwardGates(self, full_hooks, pre_hooks) if full_hooks or pre_hooks else None
        if gates is not None:
            args = gates.gate_inputs(args)
        result = self.forward(*args, **kwargs)
        for hook_id, hook, with_kwargs in self._all_forward_hooks():
            called.add(hook_id)
            replaced = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
            if replaced is not None:
                result = replaced
        if gates is not None:
            result = gates.gate_outputs(result)
        if legacy_hooks:
            _hooks.attach_legacy_hooks(self, legacy_hooks, args, result)
        return result

    def _all_forward_hooks(self):
        for hook_id, hook in list(_GLOBAL.forward.items()):
            yield hook_id, hook, hook_id in _GLOBAL.forward_with_kwargs
        for hook_id, hook in list(self._forward_hooks.items()):
            yield hook_id, hook, hook_id in self._forward_hooks_with_kwargs

    def _run_forward_pre_hooks(self, args, kwargs):
        for hook in list(_GLOBAL.forward_pre.values()):
            replaced = hook(self, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
        for hook_id, hook in list(self._forward_pre_hooks.items()):
            if hook_id in self._forward_pre_hooks_with_kwargs:
                replaced = hook(self, args, kwargs)
                if replaced is None:
                    continue
                if not (isinstance(replaced, tuple) and len(replaced) == 2):
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {replaced}."
                    )
                args, kwargs = replaced
            else:
                replaced = hook(self, args)
                if replaced is not None:
                    args = replaced if isinstance(replaced, tuple) else (replaced,)
        return args, kwargs

    # Hooks

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """Runs ``hook(module, args)`` before ``forward``; a result that is not None replaces the arguments.

        Args:
            hook: the function; with ``with_kwargs`` it is ``hook(module, args, kwargs)`` and returns both.
            prepend: run it before the hooks registered so far.
            with_kwargs: pass the keyword arguments too.
        """
        flags = [self._forward_pre_hooks_with_kwargs] if with_kwargs else []
        return _hooks.add_hook(self._forward_pre_hooks, hook, prepend=prepend, flags=flags)

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """Runs ``hook(module, args, output)`` after ``forward``; a result that is not None replaces the output.

        Args:
            hook: the function; with ``with_kwargs`` it is ``hook(module, args, kwargs, output)``.
            prepend: run it before the hooks registered so far.
            with_kwargs: pass the keyword arguments too.
            always_call: run it even when the call raised.
        """
        flags = [self._forward_hooks_with_kwargs] if with_kwargs else []
        flags += [self._forward_hooks_always_called] if always_call else []
        return _hooks.add_hook(self._forward_hooks, hook, prepend=prepend, flags=flags)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """Runs ``hook(module, grad_output)`` before the module's backward; a result replaces ``grad_output``."""
        return _hooks.add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        """Runs ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known.

        Both are tuples over the positional arguments and outputs, ``None`` where there is no tensor; a result that
        is not None replaces ``grad_input``.
        """
        self._claim_backward_hook_kind(full=True)
        return _hooks.add_hook(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook):
        """Runs the legacy ``hook(module, grad_input, grad_output)`` of the last autograd node.

        Use :meth:`register_full_backward_hook`, which sees the module's own inputs and outputs.
        """
        self._claim_backward_hook_kind(full=False)
        return _hooks.add_hook(self._backward_hooks, hook)

    def _claim_backward_hook_kind(self, full):
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. "
                "Please use only one of them."
            )
        self._is_full_backward_hook = full

    def _get_backward_hooks(self):
        full, legacy = [], []
        if _GLOBAL.backward:
            (full if _GLOBAL.backward_is_full else legacy).extend(_GLOBAL.backward.values())
        if self._backward_hooks:
            (full if self._is_full_backward_hook else legacy).extend(self._backward_hooks.values())
        return full, legacy

    def _get_backward_pre_hooks(self):
        return [*_GLOBAL.backward_pre.values(), *self._backward_pre_hooks.values()]

    def register_state_dict_pre_hook(self, hook):
        """Runs ``hook(module, prefix, keep_vars)`` before the module's part of ``state_dict`` is collected."""
        return _hooks.add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook):
        """Runs ``hook(module, state_dict, prefix, local_metadata)`` after collection; it may edit in place."""
        hook._from_public_api = True
        return _hooks.add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook):
        # Unlike the public post-hook, a result that is not None replaces the dictionary.
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously registered via "
                "register_state_dict_post_hook"
            )
        return _hooks.add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook):
        """Runs ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)`` before the module's part of a state_dict is loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return _hooks.add_hook(self._load_state_dict_pre_hooks, (hook, with_module))

    def register_load_state_dict_post_hook(self, hook):
        """Runs ``hook(module, incompatible_keys)`` after loading; it may edit the key lists in place."""
        return _hooks.add_hook(self._load_state_dict_post_hooks, hook)

    # State

    def get_extra_state(self):
        """Returns picklable state beside tensors; a subclass that defines it defines :meth:`set_extra_state` too."""
        raise RuntimeError(
            f"{type(self).__name__}.get_extra_state() was called, but the class keeps no extra state: "
            "define get_extra_state and set_extra_state together."
        )

    def set_extra_state(self, state):
        """Restores what :meth:`get_extra_state` returned."""
        raise RuntimeError(
            f"{type(self).__name__}.set_extra_state() was called, but the class keeps no extra state: "
            "define get_extra_state and set_extra_state together."
        )

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if keep_vars else param.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if _state.has_extra_state(self, Module):
            destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = self.get_extra_state()

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """Returns an ordered dictionary of all parameters and persistent buffers, sharing their memory.

        Args:
            destination: a dictionary to fill instead of a new one.
            prefix: put before every key.
            keep_vars: keep the parameters themselves instead of detached tensors.
        """
        if args:
            # Positional arguments are deprecated but accepted in the order destination, prefix, keep_vars.
            import warnings

            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to Module.state_dict for details.",
                FutureWarning,
                stacklevel=2,
            )
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        return _state.collect(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        _state.load_one(
            self, Module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copies parameters and buffers from ``state_dict`` into this module and its children.

        Args:
            state_dict: a dictionary as returned by :meth:`state_dict`.
            strict: raise when keys are missing or left over.
            assign: make the dictionary's tensors the module's own instead of copying their values.

        Returns:
            A named tuple ``(missing_keys, unexpected_keys)``.

        Raises:
            TypeError: ``state_dict`` is not a mapping.
            RuntimeError: keys or shapes do not fit; the message lists every difference.
        """
        from collections.abc import Mapping

        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        return _state.load_tree(self, state_dict, strict, assign)

    def __getstate__(self):
        state = self.__dict__.copy()
        state.pop("_compiled_call_impl", None)
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        # Registries that an older pickle does not have.
        for registry in (*_HOOK_REGISTRIES, "_backward_pre_hooks"):
            self.__dict__.setdefault(registry, OrderedDict())
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    # Walking the tree

    def _named_members(self, get_members_fn, prefix="", recurse=True, remove_duplicate=True):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for module_prefix, module in modules:
            for name, member in get_members_fn(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield module_prefix + ("." if module_prefix else "") + name, member

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """Yields ``(dotted name, parameter)`` of this module and, with ``recurse``, of its children."""
        return self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        """Yields the parameters, each once."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """Yields ``(dotted name, buffer)`` of this module and, with ``recurse``, of its children."""
        return self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """Yields the buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self):
        """Yields ``(name, module)`` of the direct children, each module once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self):
        """Yields the direct children, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """Yields ``(dotted name, module)`` of this module and all below it, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, prefix + ("." if prefix else "") + name, remove_duplicate)

    def modules(self, remove_duplicate=True):
        """Yields this module and all below it, each once unless ``remove_duplicate`` is False."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def get_submodule(self, target):
        """Returns the module at the dotted path ``target``; the empty string is this module itself.

        Raises:
            AttributeError: a step of the path is missing or is not a module.
        """
        module = self
        for step in target.split(".") if target else ():
            if not hasattr(module, step):
                raise AttributeError(f"{module._get_name()} has no attribute `{step}`")
            module = getattr(module, step)
            if not isinstance(module, Module):
                raise AttributeError(f"`{step}` is not an nn.Module")
        return module

    def set_submodule(self, target, module, strict=False):
        """Puts ``module`` at the dotted path ``target``.

        Args:
            target: the path.
            module: the new module.
            strict: require that the path leads to a module already.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def _get_member(self, target):
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        return module, name, getattr(module, name)

    def get_parameter(self, target):
        """Returns the parameter at the dotted path ``target`` or raises AttributeError."""
        _, name, param = self._get_member(target)
        if not isinstance(param, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return param

    def get_buffer(self, target):
        """Returns the buffer at the dotted path ``target`` or raises AttributeError."""
        module, name, buffer = self._get_member(target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return buffer

    def apply(self, fn):
        """Calls ``fn`` on every child, then on this module, depth first; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # Modes and gradients

    def train(self, mode=True):
        """Sets training mode, which Dropout and BatchNorm heed, here and below; returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Sets evaluation mode: the same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Sets ``requires_grad`` of every parameter; returns self."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Drops the gradients of all parameters, or with ``set_to_none=False`` sets them to zero."""
        if set_to_none:
            corten._core.drop_gradients(self.parameters())
            return
        for param in self.parameters():
            grad = param.grad
            if grad is None:
                continue
            if grad.grad_fn is not None:
                grad.detach_()
            else:
                grad.requires_grad_(False)
            grad.zero_()

    # Conversions

    def _apply(self, fn, recurse=True):
        if recurse:
            for module in self.children():
                module._apply(fn)
        for param in self._parameters.values():
            if param is None:
                continue
            grad = param.grad
            with corten.no_grad():
                # The parameter stays the same object, so optimizers that hold it see the new values.
                param.data = fn(param)
                if grad is not None:
                    param.grad = fn(grad).requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                applied = fn(buffer)
                self._buffers[name] = buffer.moved(applied) if is_lazy(buffer) else applied
        return self

    def _convert_floating(self, dtype):
        return self._apply(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)

    def float(self):
        """Casts floating-point parameters and buffers to float32; returns self."""
        return self._convert_floating(corten.float32)

    def double(self):
        """Casts floating-point parameters and buffers to float64; returns self."""
        return self._convert_floating(corten.float64)

    def half(self):
        """Casts floating-point parameters and buffers to float16; returns self."""
        return self._convert_floating(corten.float16)

    def bfloat16(self):
        """Casts floating-point parameters and buffers to bfloat16; returns self."""
        return self._convert_floating(corten.bfloat16)

    def type(self, dst_type):
        """Casts all parameters and buffers to ``dst_type``; returns self."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def cpu(self):
        """Moves all parameters and buffers to the CPU; returns self."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device=None):
        """Moves all parameters and buffers to the GPU; returns self."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def to(self, *args, **kwargs):
        """Moves and casts all parameters and buffers in place; returns self.

        Called as ``to(device)``, ``to(dtype)``, ``to(device, dtype, non_blocking)``, ``to(tensor)`` or with
        ``memory_format=`` for 4-d and 5-d tensors. Only floating-point and complex tensors are cast.

        Raises:
            TypeError: the dtype is neither floating point nor complex.
            NotImplementedError: a parameter or buffer on the device ``meta`` would have to be moved off it.
        """
        device, dtype, non_blocking, memory_format = parse_to(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(tensor):
            options = {"non_blocking": non_blocking}
            if device is not None:
                options["device"] = device
            if dtype is not None and (tensor.is_floating_point() or tensor.is_complex()):
                options["dtype"] = dtype
            if memory_format is not None and tensor.dim() in (4, 5):
                options["memory_format"] = memory_format
            if tensor.is_meta and device is not None and device.type != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                )
            return tensor.to(**options)

        return self._apply(convert)

    def _replicate_for_data_parallel(self):
        """A module with the same attributes, whose tables of parameters, buffers and modules are its own."""
        replica = self.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        for table in ("_parameters", "_buffers", "_modules"):
            replica.__dict__[table] = self.__dict__[table].copy()
        return replica

    def to_empty(self, *, device, recurse=True):
        """Moves all parameters and buffers to ``device`` without copying their values; returns self."""
        return self._apply(lambda tensor: corten.empty_like(tensor, device=device), recurse=recurse)

    def share_memory(self):
        """Moves all parameters and buffers into memory shared between processes; returns self."""
        return self._apply(lambda tensor: tensor.share_memory_())

    def compile(self, *args, **kwargs):
        """Makes calls of this module run through ``corten.compile``, in place."""
        self._compiled_call_impl = corten.compile(self._call_impl, *args, **kwargs)

    # Printing

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """Returns what stands between the parentheses of ``repr``; subclasses override it."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [f"({name}): {add_indent(repr(module), 2)}" for name, module in self._modules.items()]
        if len(extra_lines) == 1 and not child_lines:
            return f"{self._get_name()}({extra_lines[0]})"
        lines = extra_lines + child_lines
        if not lines:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"
