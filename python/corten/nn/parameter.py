"""Parameter and Buffer: the tensors that a module registers when they are assigned to it."""

import copy
from collections import OrderedDict

import corten

from ..overrides import _begin_class, _disabled_torch_function_impl


class _ParameterMeta(type(corten.Tensor)):  # type: ignore[misc]
    # A tensor of a class of its own, marked by ``_is_param``, counts as a Parameter.
    def __instancecheck__(self, instance):
        if type.__instancecheck__(self, instance):
            return True
        return self is Parameter and isinstance(instance, corten.Tensor) and getattr(instance, "_is_param", False)


class Parameter(corten.Tensor, metaclass=_ParameterMeta):
    """A tensor that becomes a parameter of the module it is assigned to.

    It shares storage with ``data``, is a leaf of the autograd graph and requires grad unless told otherwise.
    Operators on it return plain tensors. Of a subclass of ``Tensor`` it keeps the class, and operators do what they do
    with that class; ``isinstance(result, Parameter)`` holds.

    Args:
        data: the values; an empty tensor when omitted.
        requires_grad: whether gradients flow into it.

    Raises:
        RuntimeError: ``requires_grad`` with an integer or boolean dtype.
    """

    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = corten.empty(0)
        tensor = data.detach()
        if requires_grad and not (tensor.is_floating_point() or tensor.is_complex()):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        if cls is Parameter and type(data) not in (corten.Tensor, Parameter):
            if type(tensor) is not type(data):
                raise RuntimeError(
                    f"Creating a Parameter from an instance of type {type(data).__name__} requires that detach() "
                    "returns an instance of the same type, but return type "
                    f"{type(tensor).__name__} was found instead. To use the type as a Parameter, please correct the "
                    "detach() semantics defined by its __torch_function__."
                )
            tensor.requires_grad_(requires_grad)._is_param = True
            return tensor
        return corten.Tensor._make_subclass(cls, tensor, requires_grad)

    def __init__(self, data=None, requires_grad=True):
        # Everything is set in __new__; this keeps subclasses' super().__init__(data, requires_grad) legal.
        pass

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        # The gradient stays behind, as in PyTorch: a copied module starts without.
        result = type(self)(self.data.clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __repr__(self):
        return "Parameter containing:\n" + corten.Tensor.__repr__(self)

    def __str__(self):
        return repr(self)

    def __reduce_ex__(self, proto):
        state = self.__dict__
        if not state:
            return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())
        return _rebuild_parameter_with_state, (self.data, self.requires_grad, OrderedDict(), dict(state))


class _BufferMeta(type(corten.Tensor)):  # type: ignore[misc]
    # A tensor marked by ``_is_buffer`` counts as a Buffer although its type is the plain Tensor.
    def __instancecheck__(self, instance):
        if self is Buffer:
            return isinstance(instance, corten.Tensor) and getattr(instance, "_is_buffer", False)
        return super().__instancecheck__(instance)


class Buffer(corten.Tensor, metaclass=_BufferMeta):
    """Makes a tensor that becomes a buffer of the module it is assigned to.

    The result is a plain tensor sharing storage with ``data``; ``isinstance(result, Buffer)`` holds.

    Args:
        data: the values; an empty tensor when omitted.
        persistent: whether the buffer is part of the module's ``state_dict``.
    """

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = corten.empty(0)
        tensor = data.detach().requires_grad_(data.requires_grad)
        tensor._is_buffer = True
        tensor.persistent = persistent
        return tensor


def _rebuild_parameter(data, requires_grad, backward_hooks):
    parameter = Parameter(data, requires_grad)
    if backward_hooks:
        parameter._backward_hooks = backward_hooks
    return parameter


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    parameter = _rebuild_parameter(data, requires_grad, backward_hooks)
    parameter.__dict__.update(state)
    return parameter


_UNINITIALIZED = (
    "of an uninitialized parameter or buffer. This error usually happens in `load_state_dict` when trying to load an "
    "uninitialized parameter into an initialized one. Call `forward` to initialize the parameters before accessing "
    "their attributes."
)


# What needs no shape: facts, conversions that keep the tensor uninitialized, and what state_dicts are loaded with.
_NEED_NO_SHAPE_NAMES = """
    is_floating_point is_complex size copy_ char short int long half float double to cpu cuda get_device
"""
_NEED_NO_SHAPE = frozenset(_NEED_NO_SHAPE_NAMES.split())


class UninitializedTensorMixin:
    """A parameter or buffer whose shape is decided by the first input of its module.

    Until then it has a dtype, a device and conversions between them; any other operator raises ValueError.
    """

    is_uninitialized_tensor = True
    _materialized_class: type
    # Operators look at the classes of their arguments from the first uninitialized tensor on, not before: most
    # programs make none.
    __torch_function__ = _disabled_torch_function_impl

    @classmethod
    def _begin(cls):
        if "_refuses" not in vars(cls):
            UninitializedTensorMixin.__torch_function__ = classmethod(_refuse)
            _begin_class(cls)
            cls._refuses = True

    def materialize(self, shape, device=None, dtype=None):
        """Gives the tensor its shape; from then on it is an ordinary parameter or buffer."""
        self.data = corten.empty(shape, device=device or self.data.device, dtype=dtype or self.data.dtype)
        self.__class__ = self._materialized_class

    @property
    def shape(self):
        """The shape, which is not known yet: raises RuntimeError."""
        raise RuntimeError("Can't access the shape " + _UNINITIALIZED)

    def share_memory_(self):
        """Raises RuntimeError: there is no memory yet."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def __str__(self):
        return repr(self)

    def __reduce_ex__(self, proto):
        return type(self), (self.requires_grad, self.device, self.dtype)

    def __copy__(self):
        return copy.deepcopy(self)


def _refuse(cls, func, types, args=(), kwargs=None):
    # Attributes are read and written by the methods of their descriptors.
    if type(func).__name__ == "method-wrapper" or getattr(func, "__name__", "") in _NEED_NO_SHAPE:
        return super(UninitializedTensorMixin, cls).__torch_function__(func, types, args, kwargs)
    raise ValueError(
        f"Attempted to use an uninitialized parameter in {func}. Its shape is not known before the first input of its "
        f"lazy module: call `forward` with a batch first, or materialize() of the {cls.__name__}."
    )


def is_lazy(param):
    """Whether ``param`` is a parameter or buffer that has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter without a shape; :meth:`materialize` gives it one."""

    _materialized_class = cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        cls._begin()
        return corten.Tensor._make_subclass(cls, corten.empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad=True, device=None, dtype=None):
        pass

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        return memo[id(self)]


class UninitializedBuffer(UninitializedTensorMixin, corten.Tensor):  # type: ignore[misc]
    """A buffer without a shape; :meth:`materialize` gives it one."""

    _materialized_class = cls_to_become = corten.Tensor

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        cls._begin()
        tensor = corten.Tensor._make_subclass(cls, corten.empty(0, device=device, dtype=dtype), requires_grad)
        tensor.persistent = persistent
        tensor._is_buffer = True
        return tensor

    def __init__(self, requires_grad=False, device=None, dtype=None, persistent=True):
        pass

    def moved(self, like):
        """A buffer without a shape that will have the dtype and the device of another tensor."""
        return type(self)(self.requires_grad, like.device, like.dtype, self.persistent)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copied = type(self)(self.requires_grad, self.data.device, self.data.dtype, self.persistent)
            memo[id(self)] = copied
        return memo[id(self)]
