"""Adadelta."""

import corten

from ._functional import adadelta
from .optimizer import GroupOptimizer, check_lr, check_not_negative, new_step, zeros_like

__all__ = ["Adadelta", "adadelta"]


class Adadelta(GroupOptimizer):
    r"""Adadelta: steps in the unit of the parameters, from running means of squared gradients and squared steps.

    :math:`v \leftarrow \rho v + (1-\rho) g^2`, :math:`\Delta = \sqrt{u+\epsilon}\, g / \sqrt{v+\epsilon}`,
    :math:`u \leftarrow \rho u + (1-\rho) \Delta^2`, :math:`\theta \leftarrow \theta - \gamma\Delta` (Zeiler,
    "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701).

    Args:
        params: parameters or parameter groups.
        lr: scales the step before it is taken.
        rho: decay of both means.
        eps: added under both roots.
        weight_decay: L2 penalty, added to the gradient.
        foreach: accepted; the engine fuses every update of a step anyway.
        capturable: keeps the step count on the parameter's device.
        maximize: climbs instead of descending.
        differentiable: records the update for autograd.

    Raises:
        ValueError: for negative options and for ``rho`` outside [0, 1].
    """

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        *,
        capturable=False,
        maximize=False,
        differentiable=False,
    ):
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative(eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group):
        lr = self._option(group, "lr")
        rho, eps, weight_decay = group["rho"], group["eps"], group["weight_decay"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                state["step"] = new_step(param, group)
                state["square_avg"] = zeros_like(param)
                state["acc_delta"] = zeros_like(param)
            state["step"].add_(1)
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                grad = grad.add(param, alpha=weight_decay)
            square_avg, acc_delta = state["square_avg"], state["acc_delta"]
            square_avg.mul_(rho).addcmul_(grad, grad, value=1 - rho)
            root = square_avg.add(eps).sqrt_()
            delta = acc_delta.add(eps).sqrt_()
            if group["differentiable"]:
                delta = delta.clone()
            delta.div_(root).mul_(grad)
            acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
            if isinstance(lr, corten.Tensor):
                param.addcmul_(delta, lr, value=-1)
            else:
                param.add_(delta, alpha=-lr)
