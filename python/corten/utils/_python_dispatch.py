"""The names of ``torch.utils._python_dispatch`` that programs ask; operators are taken over by `TorchFunctionMode`."""

__all__ = ["TorchDispatchMode", "is_in_torch_dispatch_mode", "is_traceable_wrapper_subclass"]


class TorchDispatchMode:
    """A context that takes over operators below autograd; there is none."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(
            "TorchDispatchMode: operators are taken over where they are called, by corten.overrides.TorchFunctionMode"
        )


def is_traceable_wrapper_subclass(t):
    """Whether a tensor's class says of what it is made, by ``__tensor_flatten__`` and ``__tensor_unflatten__``."""
    return is_traceable_wrapper_subclass_type(type(t))


def is_traceable_wrapper_subclass_type(t):
    """Whether a class of tensors says of what its tensors are made."""
    from .. import _core

    names = "__tensor_flatten__", "__tensor_unflatten__"
    return issubclass(t, _core.Tensor) and t is not _core.Tensor and all(hasattr(t, name) for name in names)


def is_in_torch_dispatch_mode(include_infra_modes=True):
    """False: there are no such modes."""
    return False
