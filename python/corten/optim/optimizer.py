"""The base class of all optimizers: parameter groups, state, state_dict, hooks, and the wrapper around ``step``."""

import functools
import struct
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable

import corten

__all__ = ["Optimizer", "register_optimizer_step_pre_hook", "register_optimizer_step_post_hook"]

_global_step_pre_hooks: OrderedDict = OrderedDict()
_global_step_post_hooks: OrderedDict = OrderedDict()

_HOOK_TABLES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


# What `Optimizer` takes, for annotations.
ParamsT = Iterable[corten.Tensor] | Iterable[dict] | Iterable[tuple[str, corten.Tensor]]


class _Required:
    """Marks an option that every parameter group has to give itself."""

    def __repr__(self):
        return "<required parameter>"


required = _Required()


def _register(table, hook, prepend=False):
    from corten.utils.hooks import RemovableHandle

    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook):
    """Runs ``hook(optimizer, args, kwargs)`` before every step of every optimizer.

    A result of ``(args, kwargs)`` replaces the arguments of the step. Returns a removable handle.
    """
    return _register(_global_step_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """Runs ``hook(optimizer, args, kwargs)`` after every step of every optimizer. Returns a removable handle."""
    return _register(_global_step_post_hooks, hook)


def type_name(value):
    """The dotted name of a value's type, for error messages."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def scalar_dtype():
    """The dtype of ``state['step']``: float32, or float64 where that is the default dtype."""
    return corten.float64 if corten.get_default_dtype() == corten.float64 else corten.float32


def new_step(param, group):
    """A fresh ``state['step']``: on the parameter's device where the group is capturable or fused, else on the CPU."""
    on_device = group.get("capturable") or group.get("fused")
    dtype = corten.float32 if group.get("fused") else scalar_dtype()
    return corten.zeros((), dtype=dtype, device=param.device if on_device else "cpu")


def zeros_like(param):
    return corten.zeros_like(param, memory_format=corten.preserve_format)


def check_lr(lr):
    """Raises ValueError unless ``lr`` is a number, or a tensor with one element, that is not negative."""
    if isinstance(lr, corten.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= lr:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_not_negative(**options):
    """Raises ValueError for the first option below zero; keys are the words the message uses for it."""
    for name, value in options.items():
        if not 0.0 <= value:
            label = "epsilon" if name == "eps" else name
            raise ValueError(f"Invalid {label} value: {value}")


def check_betas(betas):
    for index in (0, 1):
        if not 0.0 <= betas[index] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {betas[index]}")


def _check_recorded(group):
    """Raises AssertionError for an update of all parameters at once that autograd should record."""
    if group.get("foreach") and group.get("differentiable") and any(p.grad is not None for p in group["params"]):
        raise AssertionError("_foreach ops don't support autograd")


def check_fused(fused, foreach, differentiable):
    """Raises RuntimeError for flags that exclude each other; every update is fused by the engine anyway."""
    if not fused:
        return
    if differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def to_scalar(value):
    """Turns a tensor with one element into a 0-d tensor; leaves numbers alone."""
    if isinstance(value, corten.Tensor) and value.dim() != 0:
        return value.squeeze()
    return value


def _hooked_step(step):
    """Wraps a class's ``step``: hooks before and after, and one flush at the end that runs all updates together."""

    @functools.wraps(step)
    def wrapper(self, *args, **kwargs):
        if corten._core.capturing():
            if args or kwargs:
                corten._core.capture_refuse("an optimizer's step is given a closure")
            # Options and counts may change from call to call, so a replay runs the step itself.
            return corten._core.capture_host(functools.partial(wrapper, self, *args, **kwargs))
        if _global_step_pre_hooks or self._optimizer_step_pre_hooks:
            for hook in (*_global_step_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()):
                # Hooks see the optimizer as the first positional argument, as the wrapped function does.
                changed = hook(self, (self, *args), kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                (self, *args), kwargs = changed
        result = step(self, *args, **kwargs)
        if _global_step_post_hooks or self._optimizer_step_post_hooks:
            for hook in (*self._optimizer_step_post_hooks.values(), *_global_step_post_hooks.values()):
                hook(self, (self, *args), kwargs)
        corten._core.flush()
        return result

    wrapper.hooked = True
    return wrapper


class Optimizer:
    """Holds the parameters to optimize, their options and their state.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dictionaries that describe parameter groups. The order must be
            the same in every run, so sets are refused.
        defaults: the options of groups that do not give their own.

    Raises:
        TypeError: for something that is not a tensor, and for one bare tensor.
        ValueError: for an empty list, a tensor that is not a leaf, or a parameter in two groups.
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        for table in _HOOK_TABLES:
            setattr(self, table, OrderedDict())
        self._mirror = Mirror()
        self._patch_step_function()
        if isinstance(params, corten.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type_name(params)}"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _patch_step_function(self):
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = _hooked_step(cls.step)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for table in _HOOK_TABLES:
            if table not in self.__dict__:
                setattr(self, table, OrderedDict())
        self._mirror = Mirror()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)
        self._fill_old_state()

    def _fill_old_state(self):
        """Completes groups and state written by older versions: missing options, steps kept as plain numbers."""
        for group in self.param_groups:
            for name, value in self._group_defaults.items():
                group.setdefault(name, value)
            for param in group["params"]:
                state = self.state.get(param)
                if state and "step" in state and not isinstance(state["step"], corten.Tensor):
                    step = new_step(param, group)
                    state["step"] = step.fill_(float(state["step"]))

    # Options that a checkpoint of an older version may lack; each optimizer names its own.
    _group_defaults: dict = {}

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines += [""] * (index > 0) + [f"Parameter Group {index}"]
            lines.extend(f"    {key}: {group[key]}" for key in sorted(group) if key != "params")
        return "\n".join(lines) + "\n)"

    # -- hooks ---------------------------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook):
        """Runs ``hook(optimizer, args, kwargs)`` before each step; a result of ``(args, kwargs)`` replaces them."""
        return _register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """Runs ``hook(optimizer, args, kwargs)`` after each step."""
        return _register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """Runs ``hook(optimizer)`` before :meth:`state_dict` collects anything."""
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """Runs ``hook(optimizer, state_dict)`` on the finished dictionary; a result replaces it."""
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """Runs ``hook(optimizer, state_dict)`` on a shallow copy before loading; a result replaces it."""
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """Runs ``hook(optimizer)`` after loading."""
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # -- state ---------------------------------------------------------------------------------------------------

    def state_dict(self):
        """Returns ``{'state': ..., 'param_groups': ...}`` with parameters replaced by their running numbers.

        Tensors in it are the optimizer's own, not copies. The layout is PyTorch's, so files interchange.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers = {}
        packed_groups = []
        first = 0
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            for number, param in enumerate(group["params"], first):
                numbers.setdefault(id(param), number)
            packed["params"] = [numbers[id(param)] for param in group["params"]]
            first += len(group["params"])
            packed_groups.append(packed)
        packed_state = {
            numbers[id(key)] if isinstance(key, corten.Tensor) else key: value for key, value in self.state.items()
        }
        result = {"state": packed_state, "param_groups": packed_groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict):
        """Takes over options and state from ``state_dict``; state tensors go to each parameter's dtype and device.

        Raises:
            ValueError: when the number of groups, or of parameters in a group, differs.
        """
        from copy import deepcopy

        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(self.param_groups) != len(saved_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(own["params"]) != len(saved["params"]) for own, saved in zip(self.param_groups, saved_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        params = {}
        for own, saved in zip(self.param_groups, saved_groups):
            for number, param in zip(saved["params"], own["params"]):
                params[number] = (param, saved)
        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                param, group = params[key]
                state[param] = _fit_state(param, value, group)
            else:
                state[key] = value
        for own, saved in zip(self.param_groups, saved_groups):
            saved["params"] = own["params"]
            if "param_names" in own:
                saved.setdefault("param_names", own["param_names"])
        self.__setstate__({"state": state, "param_groups": saved_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def zero_grad(self, set_to_none=True):
        """Drops the gradients of all parameters, or sets them to zero in place where ``set_to_none`` is False."""
        for group in self.param_groups:
            if set_to_none:
                corten._core.drop_gradients(group["params"])
                continue
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if grad.grad_fn is not None:
                    grad.detach_()
                else:
                    grad.requires_grad_(False)
                grad.zero_()

    def step(self, closure=None):
        """Updates the parameters once. ``closure`` reevaluates the model and returns the loss."""
        raise NotImplementedError

    def add_param_group(self, param_group):
        """Adds a dictionary with ``params`` and options; missing options take the optimizer's defaults.

        Raises:
            TypeError: for a group that is not a dictionary, sets, and members that are not tensors.
            ValueError: for tensors that are not leaves, missing required options, mixed named and unnamed
                parameters, and parameters that another group holds already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, corten.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but "
                "the ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [param[0] for param in params if isinstance(param, tuple)]
        param_group["params"] = params = [param[1] if isinstance(param, tuple) else param for param in params]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        if names:
            param_group["param_names"] = names
        self._check_leaves(params)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        own = {id(param) for param in params}
        if len(own) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                words = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {words} to the optimizer"
                )
        if any(id(param) in own for group in self.param_groups for param in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def _check_leaves(self, params):
        for param in params:
            if not isinstance(param, corten.Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type_name(param)}")
            if not self.defaults.get("differentiable") and not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")


def loss_of(closure):
    """What the closure of a step returns, with gradients recorded; None without one."""
    if closure is None:
        return None
    with corten.enable_grad():
        return closure()


class GroupOptimizer(Optimizer):
    """An optimizer whose step is one update of each parameter group, written by the subclass as ``_update``."""

    # Whether ``foreach`` and ``differentiable`` go together.
    _records_foreach = False

    def step(self, closure=None):
        """Updates all parameters that have a gradient.

        Args:
            closure: reevaluates the model and returns the loss, which is then the result of the step.
        """
        with corten.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            loss = loss_of(closure)
            for group in self.param_groups:
                if not self._records_foreach:
                    _check_recorded(group)
                if any(param.is_complex() for param in group["params"]):
                    self._update_parts(group)
                else:
                    self._update(group)
        return loss

    def _update_parts(self, group):
        """One update with complex parameters, each taken as real ones: the parts count by themselves, as in PyTorch."""
        shadows = [self._shadow(param, group) for param in group["params"]]
        try:
            self._update({**group, "params": shadows})
        finally:
            for param, shadow in zip(group["params"], shadows):
                if shadow is param:
                    continue
                state = self.state.pop(shadow, None)
                own = self.state[param] if state else {}
                for name, value in (state or {}).items():
                    if name not in own:
                        whole = isinstance(value, corten.Tensor) and value.shape == shadow.shape
                        own[name] = corten.view_as_complex(value) if whole else value

    def _shadow(self, param, group):
        """The parts of a complex parameter with those of its gradient and state; a real parameter itself."""
        if not param.is_complex():
            return param
        shadow = corten.view_as_real(param if group.get("differentiable") else param.detach())
        shadow.grad = None if param.grad is None else corten.view_as_real(param.grad)
        if self.state.get(param):
            self.state[shadow] = {
                name: corten.view_as_real(value) if isinstance(value, corten.Tensor) and value.is_complex() else value
                for name, value in self.state[param].items()
            }
        return shadow

    def _update(self, group):
        raise NotImplementedError

    def _option(self, group, name):
        """An option as a Python number, or as a 0-d tensor where the update has to stay inside the graph."""
        value = group[name]
        if not isinstance(value, corten.Tensor):
            return value
        if group.get("differentiable") or group.get("capturable"):
            return to_scalar(value)
        return self._mirror.read(value)


# -- what optimizers written for PyTorch import beside the base class -------------------------------------------------

_params_doc = "params (iterable): parameters, pairs of name and parameter, or dictionaries of parameter groups"
_foreach_doc = "foreach (bool, optional): accepted; the engine fuses every update of a step anyway"
_fused_doc = "fused (bool, optional): accepted; the engine fuses every update of a step anyway"
_maximize_doc = "maximize (bool, optional): climbs instead of descending"
_capturable_doc = "capturable (bool, optional): keeps the step count on the parameter's device"
_differentiable_doc = "differentiable (bool, optional): records the update for autograd"


def _use_grad_for_differentiable(func):
    """Decorates a ``step``: gradients are recorded inside only where the optimizer has ``differentiable``."""

    @functools.wraps(func)
    def wrapped(self, *args, **kwargs):
        with corten.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            return func(self, *args, **kwargs)

    return wrapped


def _default_to_fused_or_foreach(params, differentiable, use_fused=False):
    """``(fused, foreach)`` where neither was chosen: none, since the engine fuses every update."""
    return False, False


def _get_value(x):
    """The number in a tensor with one element; a number itself."""
    return x.item() if isinstance(x, corten.Tensor) else x


def _stack_if_compiling(x):
    """The list itself."""
    return x


def _view_as_real(params, *state_and_grads):
    """Puts the parts of complex tensors, as views, in their place in all lists."""
    for index, param in enumerate(params):
        if param.is_complex():
            for values in (params, *state_and_grads):
                values[index] = corten.view_as_real(values[index])


class Mirror:
    """Python-side values of 0-d tensors (step counts, running products), so that the hot path reads no tensor.

    An entry holds only while the tensor is at the version the mirror left it in: whatever the user loads, replaces
    or writes is read again, once.
    """

    def __init__(self):
        self._known = {}

    def read(self, tensor):
        """The number in ``tensor``."""
        known = self._known.get(id(tensor))
        if known is not None and known[0] is tensor and known[1] == tensor._version:
            return known[2]
        value = tensor.item()
        self.wrote(tensor, value)
        return value

    def wrote(self, tensor, value):
        """Notes that ``tensor`` now holds ``value``."""
        self._known[id(tensor)] = (tensor, tensor._version, value)

    def advance(self, step):
        """Adds one to the tensor ``step`` and returns the new count."""
        count = self.read(step) + 1.0
        step.add_(1)
        self.wrote(step, count)
        return count

    def multiply(self, tensor, factor):
        """Multiplies ``tensor`` in place and returns the new value, rounded as the tensor's dtype rounds it."""
        old = self.read(tensor)
        tensor.mul_(factor)
        if tensor.dtype == corten.float32:
            # The product of two float32 numbers is exact in double, so this rounds once, as the tensor does.
            value = round_to_float32(old * round_to_float32(factor))
        else:
            value = old * factor
        self.wrote(tensor, value)
        return value

    def fill(self, tensor, value):
        """Sets ``tensor`` to ``value``."""
        tensor.fill_(value)
        self.wrote(tensor, round_to_float32(value) if tensor.dtype == corten.float32 else value)


def round_to_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def _fit_state(param, value, group, key=None):
    """Copies the structure of loaded state, with floating tensors in the parameter's dtype and on its device.

    ``step`` keeps its own dtype, and its device unless the group is capturable or fused.
    """
    if isinstance(value, corten.Tensor):
        if key == "step":
            if group.get("capturable") or group.get("fused"):
                return value.to(dtype=corten.float32, device=param.device)
            return value
        if param.is_floating_point() or param.is_complex():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)
    if isinstance(value, dict):
        return {name: _fit_state(param, item, group, name) for name, item in value.items()}
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return value
    return type(value)(_fit_state(param, item, group) for item in value)
