"""LazyModuleMixin: modules whose sizes are taken from their first input."""

from ..parameter import is_lazy


class LazyModuleMixin:
    """Lets a module hold parameters without a shape until it is first called.

    A subclass defines ``initialize_parameters(*args, **kwargs)``, which materialises them from forward's arguments,
    and may set ``cls_to_become``, the class that the module turns into afterwards.
    """

    cls_to_become: type | None = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(_materialize_from_state, with_module=True)
        self._initialize_hook = self.register_forward_pre_hook(_infer_parameters, with_kwargs=True)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        # An uninitialized tensor is saved as itself: detach() would lose its class.
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if is_lazy(param) or keep_vars else param.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if is_lazy(buffer) or keep_vars else buffer.detach()

    def initialize_parameters(self, *args, **kwargs):
        """Materialises the parameters for the arguments of the first call."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self):
        """Whether a parameter or buffer of this module has no shape yet."""
        return any(is_lazy(tensor) for tensor in (*self._parameters.values(), *self._buffers.values()))


def _materialize_from_state(module, state_dict, prefix, *_):
    import corten

    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        key = prefix + name
        if tensor is not None and is_lazy(tensor) and key in state_dict and not is_lazy(state_dict[key]):
            with corten.no_grad():
                tensor.materialize(state_dict[key].shape)


def _infer_parameters(module, args, kwargs):
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
    module._initialize_hook.remove()
    module._load_hook.remove()
    del module._initialize_hook
    del module._load_hook
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become
