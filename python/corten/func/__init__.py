"""Transformations of functions, with the names of ``torch.func``: gradients, Jacobians, stateless calls."""

from ._derivatives import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp
from ._modules import functional_call, functionalize, replace_all_batch_norm_modules_, stack_module_state
from ._rearrange import rearrange

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
]


def debug_unwrap(tensor, *, recurse=True):
    """The tensor itself: inside a transformation tensors are tensors, with a history of their own."""
    return tensor


def __getattr__(name):
    from .._missing import missing

    raise missing(__name__, name)
