"""Transformations of functions, with the names of ``torch.func``: gradients, Jacobians, stateless calls."""

from ._derivatives import grad, grad_and_value, jvp, linearize, vjp
from ._jacobians import hessian, jacfwd, jacrev
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
    "vmap",
]


def debug_unwrap(tensor, *, recurse=True):
    """The tensor itself, or the whole batch behind an example inside ``vmap``; of all levels with ``recurse``."""
    while hasattr(tensor, "_run_backward"):
        tensor = tensor.value
        if not recurse:
            break
    return tensor


def __getattr__(name):
    if name == "vmap":
        # Operators look at their arguments' classes from its import on.
        from ._vmap import vmap

        globals()["vmap"] = vmap
        return vmap
    from .._missing import missing

    raise missing(__name__, name)
