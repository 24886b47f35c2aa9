"""Resilient backpropagation."""

import corten

from ._functional import rprop
from .optimizer import GroupOptimizer, check_lr, new_step, to_scalar, zeros_like

__all__ = ["Rprop", "rprop"]


class Rprop(GroupOptimizer):
    r"""Rprop: each weight has its own step size, which grows while its gradient keeps its sign.

    Where the sign flips, the step size shrinks and the weight stays (Riedmiller and Braun, "A Direct Adaptive Method
    for Faster Backpropagation Learning: The RPROP Algorithm", 1993). Meant for full-batch training.

    Args:
        params: parameters or parameter groups.
        lr: first step size of every weight.
        etas: factors after a flip and after an agreement.
        step_sizes: smallest and largest step size.
        capturable: keeps the step count on the parameter's device.
        foreach: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        differentiable: records the update for autograd.

    Raises:
        ValueError: for a negative learning rate, and unless ``0 < etas[0] < 1 < etas[1]``.
    """

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=1e-2,
        etas=(0.5, 1.2),
        step_sizes=(1e-6, 50),
        *,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _start(self, param, state, group):
        state["step"] = new_step(param, group)
        state["prev"] = zeros_like(param)
        lr = to_scalar(group["lr"])
        lr = lr.item() if isinstance(lr, corten.Tensor) else lr
        state["step_size"] = corten.full_like(param.grad, lr)

    def _update(self, group):
        shrink, grow = group["etas"]
        smallest, largest = group["step_sizes"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                self._start(param, state, group)
            state["step"].add_(1)
            previous, step_size = state["prev"], state["step_size"]
            if group["maximize"]:
                grad = -grad
            factor = grad.mul(previous.clone() if group["differentiable"] else previous).sign()
            flipped = factor.lt(0)
            factor.masked_fill_(factor.gt(0), grow)
            factor.masked_fill_(flipped, shrink)
            factor.masked_fill_(factor.eq(0), 1)
            step_size.mul_(factor).clamp_(smallest, largest)
            grad = grad.masked_fill(flipped, 0)
            param.addcmul_(grad.sign(), step_size, value=-1)
            previous.copy_(grad)
