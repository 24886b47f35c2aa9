"""Spectral normalisation (Miyato et al. 2018): a weight divided by its greatest singular value."""

import corten

from .. import functional as F
from ..modules.conv import _ConvTransposeNd
from ..parameter import Parameter


class SpectralNorm:
    """The forward pre-hook that divides the weight by its spectral norm, found by power iteration."""

    # 1: the buffers u and v are part of the state.
    _version = 1

    def __init__(self, name="weight", n_power_iterations=1, dim=0, eps=1e-12):
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def as_matrix(self, weight):
        """The weight with ``dim`` first and the rest flattened: ``(rows, columns)``."""
        if self.dim != 0:
            weight = weight.permute(self.dim, *[d for d in range(weight.dim()) if d != self.dim])
        return weight.reshape(weight.shape[0], -1)

    def compute_weight(self, module, do_power_iteration):
        """Returns the normalised weight; in training the singular vectors are refined in place first."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self.as_matrix(weight)
        if do_power_iteration:
            with corten.no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(F.normalize(corten.mv(matrix.t(), u), dim=0, eps=self.eps))
                    u.copy_(F.normalize(corten.mv(matrix, v), dim=0, eps=self.eps))
                # The graph must keep these values when a second call refines them again.
                u, v = u.clone(), v.clone()
        return weight / corten.dot(u, corten.mv(matrix, v))

    def __call__(self, module, inputs):
        setattr(module, self.name, self.compute_weight(module, module.training))


def _find(module, name):
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            return key, hook
    return None, None


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Makes each call of ``module`` use ``name`` divided by its greatest singular value; returns the module.

    Args:
        n_power_iterations: refinements of the singular vectors in each training call.
        eps: keeps the vectors' normalisation finite.
        dim: the rows' dimension; 1 for transposed convolutions, else 0.
    """
    if dim is None:
        dim = 1 if isinstance(module, _ConvTransposeNd) else 0
    if _find(module, name)[1] is not None:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    with corten.no_grad():
        rows, columns = hook.as_matrix(weight).shape
        u = F.normalize(weight.new_empty(rows).normal_(0, 1), dim=0, eps=eps)
        v = F.normalize(weight.new_empty(columns).normal_(0, 1), dim=0, eps=eps)
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    # The attribute stays readable before the first call.
    setattr(module, name, weight.data)
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module, name="weight"):
    """Makes ``name``, normalised, an ordinary parameter again; returns the module."""
    key, hook = _find(module, name)
    if hook is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    with corten.no_grad():
        weight = hook.compute_weight(module, do_power_iteration=False)
    delattr(module, name)
    delattr(module, name + "_u")
    delattr(module, name + "_v")
    delattr(module, name + "_orig")
    module.register_parameter(name, Parameter(weight.detach()))
    del module._forward_pre_hooks[key]
    return module
