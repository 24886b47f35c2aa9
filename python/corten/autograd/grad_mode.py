"""The modes of recording gradients, under the name that `torch.autograd.grad_mode` has."""

from .modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from .policies import enforce_grad_layout_policy, set_multithreading_enabled

__all__ = [
    "enable_grad",
    "enforce_grad_layout_policy",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]
