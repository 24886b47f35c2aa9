"""Weight normalisation (Salimans & Kingma 2016): a weight as a direction and a length."""

import warnings

from ..parameter import Parameter


def _norm_except(tensor, dim):
    """The 2-norms of the slices along ``dim``, shaped to broadcast; ``dim=None`` takes one norm of all."""
    if dim is None:
        return tensor.norm()
    dim %= tensor.dim()
    others = [d for d in range(tensor.dim()) if d != dim]
    return tensor.norm(2, others, keepdim=True) if others else tensor.abs()


class WeightNorm:
    """The forward pre-hook that computes the weight from ``<name>_g`` and ``<name>_v``."""

    def __init__(self, name, dim):
        self.name = name
        self.dim = dim

    def compute_weight(self, module):
        """Returns ``g v / |v|``."""
        length, direction = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return direction * (length / _norm_except(direction, self.dim))

    def __call__(self, module, inputs):
        setattr(module, self.name, self.compute_weight(module))


def _find(module, name):
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            return key, hook
    return None, None


def weight_norm(module, name="weight", dim=0):
    """Replaces the parameter ``name`` by ``<name>_g`` and ``<name>_v``, from which each call computes it.

    Args:
        dim: the dimension whose slices have a length each; None for one length in all.
    """
    warnings.warn(
        "`nn.utils.weight_norm` is deprecated in favor of `nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    if _find(module, name)[1] is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    hook = WeightNorm(name, dim)
    weight = getattr(module, name)
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(_norm_except(weight.data, dim)))
    module.register_parameter(name + "_v", Parameter(weight.data))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module, name="weight"):
    """Makes ``name`` an ordinary parameter again; returns the module."""
    key, hook = _find(module, name)
    if hook is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    weight = hook.compute_weight(module).detach()
    delattr(module, name)
    del module._parameters[name + "_g"]
    del module._parameters[name + "_v"]
    setattr(module, name, Parameter(weight))
    del module._forward_pre_hooks[key]
    return module
