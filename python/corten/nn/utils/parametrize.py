"""Parametrizations: a tensor of a module as a function of what is trained, computed whenever it is read."""

import contextlib
import copy

import corten

from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """How many blocks of :func:`cached` are open, and what was computed in them by module and name."""

    depth = 0
    values: dict = {}


@contextlib.contextmanager
def cached():
    """Computes every parametrized tensor at most once inside the block, and keeps it until the outermost one ends."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values = {}


def _register(module, name, tensor):
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _set(target, value):
    """Puts the value in a parameter's place; the optimizer keeps the parameter."""
    with corten.no_grad():
        target.set_(value.detach())


class ParametrizationList(ModuleList):
    """The functions of one tensor, in order, and what they start from: ``original``, or ``original0``, ``original1`` …

    Several originals come from a ``right_inverse`` of the first function that returns a sequence.

    Args:
        modules: the functions.
        original: the parameter or buffer that they replace.
        unsafe: leave out the checks that shape and dtype stay.

    Raises:
        ValueError: no functions, or they change shape or dtype, or a ``right_inverse`` returns something else than
            tensors.
    """

    def __init__(self, modules, original, unsafe=False):
        modules = list(modules)
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with corten.no_grad():
            start = original
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    # One that cannot invert leaves the value as it is.
                    with contextlib.suppress(NotImplementedError):
                        start = module.right_inverse(start)
        if not isinstance(start, corten.Tensor) and not isinstance(start, (list, tuple)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(start).__name__}"
            )
        self.is_tensor = isinstance(start, corten.Tensor)
        self.ntensors = 1 if self.is_tensor else len(start)
        if self.is_tensor:
            self._keep_one(original, start)
        else:
            self._keep_several(original, start)
        if not unsafe:
            self._check_result(shape, dtype)

    def _keep_one(self, original, start):
        if original.dtype != start.dtype:
            raise ValueError(
                "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {start.dtype}"
            )
        if start is not original:
            if original.device != start.device:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the device.\n"
                    f"original.device: {original.device}\nright_inverse(original).device: {start.device}"
                )
            _set(original, start)
        _register(self, "original", original)

    def _keep_several(self, original, starts):
        for i, start in enumerate(starts):
            if not isinstance(start, corten.Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                    f"Got element {i} of the sequence with type {type(start).__name__}."
                )
            if isinstance(original, Parameter):
                start = Parameter(start, original.requires_grad and start.is_floating_point())
            start.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", start)

    def _check_result(self, shape, dtype):
        value = self()
        if not isinstance(value, corten.Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}.")
        if value.dtype != dtype:
            raise ValueError(
                "Registering a parametrization may not change the dtype of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized dtype: {dtype}\nparametrized dtype: {value.dtype}"
            )
        if value.shape != shape:
            raise ValueError(
                "Registering a parametrization may not change the shape of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized shape: {shape}\nparametrized shape: {value.shape}"
            )

    def right_inverse(self, value):
        """Sets the originals so that the functions give ``value``, by the functions' own ``right_inverse`` in turn.

        Raises:
            RuntimeError: a function has none.
            ValueError: what they return does not have the originals' dtype, or is not as many tensors.
        """
        with corten.no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            values = [value] if self.is_tensor else value
            if self.is_tensor and not isinstance(value, corten.Tensor):
                raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
            if not self.is_tensor and not isinstance(value, (list, tuple)):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
            if len(values) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of "
                    f"length {len(values)}."
                )
            for i, new in enumerate(values):
                self._set_original(i, new)

    def _set_original(self, i, new):
        name = "original" if self.is_tensor else f"original{i}"
        if not isinstance(new, corten.Tensor):
            raise ValueError(f"`right_inverse` must return a sequence of tensors. Got element {i} of type {type(new)}")
        old = getattr(self, name)
        if old.dtype != new.dtype:
            raise ValueError(
                f"The tensor returned by `right_inverse` has dtype {new.dtype} while `{name}` has dtype {old.dtype}"
            )
        _set(old, new)

    def forward(self):
        """The tensor: the functions, one after the other, of the originals."""
        functions = iter(self)
        if self.is_tensor:
            value = next(functions)(self.original)
        else:
            value = next(functions)(*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        for function in functions:
            value = function(value)
        return value


def _become_parametrized(module):
    """Gives the module a class of its own, which can hold properties for it alone."""
    base = type(module)

    def __getstate__(self):
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See:\n"
            "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
            "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
        )

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        copied = memo[id(self)] = self.__new__(self.__class__)
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    own = {"__getstate__": __getstate__}
    if not hasattr(base, "__deepcopy__"):
        own["__deepcopy__"] = __deepcopy__
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), own)


def _add_property(module, tensor_name):
    def value(self):
        functions = self.parametrizations[tensor_name]
        if not _Cache.depth:
            return functions()
        key = (id(self), tensor_name)
        found = _Cache.values.get(key)
        if found is None:
            found = _Cache.values[key] = functions()
        return found

    def assign(self, value):
        self.parametrizations[tensor_name].right_inverse(value)

    setattr(type(module), tensor_name, property(value, assign, doc=f"The parametrized `{tensor_name}`."))


def _check_appended(module, tensor_name, parametrization):
    """Another function of a parametrized tensor keeps its shape and dtype, and so does its inverse."""
    old = getattr(module, tensor_name)
    new = parametrization(old)
    if not isinstance(new, corten.Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(new).__name__}.")
    checks = [(new, "parametrization")]
    if hasattr(parametrization, "right_inverse"):
        inverse = parametrization.right_inverse(new)
        if not isinstance(inverse, corten.Tensor):
            raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(inverse).__name__}")
        checks.append((inverse, "parametrization.right_inverse"))
    for value, what in checks:
        for fact in ("dtype", "shape"):
            if getattr(value, fact) != getattr(old, fact):
                raise ValueError(
                    f"Registering a parametrization may not change the {fact} of the tensor, unless the `unsafe` flag "
                    f"is enabled.\nmodule.{tensor_name}.{fact}: {getattr(old, fact)}\n"
                    f"{what}(module.{tensor_name}).{fact}: {getattr(value, fact)}"
                )


def register_parametrization(module, tensor_name, parametrization, *, unsafe=False):
    """Makes ``module.<tensor_name>`` what ``parametrization`` computes from the parameter or buffer of that name.

    The parameter moves to ``module.parametrizations.<tensor_name>.original``. Assigning to the attribute sets it by the
    function's ``right_inverse``. Another function for the same tensor is applied after those that are there.

    Args:
        parametrization: a module that maps the original to the tensor.
        unsafe: leave out the checks that shape and dtype stay.

    Raises:
        ValueError: the module has no such parameter or buffer, or a check fails.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_appended(module, tensor_name, parametrization)
        functions = module.parametrizations[tensor_name]
        functions.append(parametrization)
        functions.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        functions = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _become_parametrized(module)
            module.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        module.parametrizations[tensor_name] = functions
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def is_parametrized(module, tensor_name=None):
    """Whether the module has a parametrized tensor, or the one of that name is."""
    parametrizations = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(module, tensor_name, leave_parametrized=True):
    """Makes ``<tensor_name>`` an ordinary parameter or buffer again; returns the module.

    Args:
        leave_parametrized: it keeps the value that the functions give; otherwise that of ``original``.

    Raises:
        ValueError: it is not parametrized, or there are several originals to go back to.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    functions = module.parametrizations[tensor_name]
    if functions.is_tensor:
        original = functions.original
        if leave_parametrized:
            with corten.no_grad():
                value = getattr(module, tensor_name)
            # The parameter itself stays, so that an optimizer that holds it goes on with it.
            _set(original, value)
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module):
    """The module's class, without what parametrizations made of it."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module, to_module, tensor_name=None):
    """Gives ``to_module`` the functions and originals of ``from_module``, of all tensors or of one; returns it.

    Raises:
        AssertionError: ``from_module`` has none.
    """
    assert isinstance(from_module, Module) and is_parametrized(from_module), (
        "transfer_parametrizations_and_params: the module to take from is not parametrized"
    )
    for name in [tensor_name] if tensor_name is not None else list(from_module.parametrizations):
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        for function in source:
            register_parametrization(to_module, name, function)
        target = to_module.parametrizations[name]
        names = ["original"] if source.is_tensor else [f"original{i}" for i in range(source.ntensors)]
        for original in names:
            if hasattr(source, original):
                setattr(target, original, getattr(source, original))
    return to_module
