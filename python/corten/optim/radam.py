"""RAdam, Adam with a rectified adaptive learning rate."""

import corten

from ._functional import radam
from .optimizer import GroupOptimizer, check_betas, check_lr, check_not_negative, new_step, zeros_like

__all__ = ["RAdam", "radam"]


class RAdam(GroupOptimizer):
    r"""RAdam: Adam that takes plain momentum steps until the variance of its denominator is known well enough.

    With :math:`\rho_\infty = 2/(1-\beta_2) - 1` and :math:`\rho_t = \rho_\infty - 2t\beta_2^t/(1-\beta_2^t)` the
    adaptive step is used where :math:`\rho_t > 5`, scaled by
    :math:`\sqrt{(\rho_t-4)(\rho_t-2)\rho_\infty / ((\rho_\infty-4)(\rho_\infty-2)\rho_t)}` (Liu et al., "On the
    Variance of the Adaptive Learning Rate and Beyond", arXiv:1908.03265).

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        betas: decay of the two means.
        eps: added to the denominator.
        weight_decay: L2 penalty, or decay of the weights where ``decoupled_weight_decay``.
        decoupled_weight_decay: as in AdamW.
        foreach: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        capturable: keeps the step count on the parameter's device and computes with it there.
        differentiable: records the update for autograd.

    Raises:
        ValueError: for options outside their range.
    """

    _group_defaults = {
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
        "capturable": False,
    }

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
    ):
        check_lr(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group):
        lr = self._option(group, "lr")
        beta1, beta2 = group["betas"]
        weight_decay, capturable = group["weight_decay"], group["capturable"]
        rho_inf = 2 / (1 - beta2) - 1
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                state["step"] = new_step(param, group)
                state["exp_avg"] = zeros_like(param)
                state["exp_avg_sq"] = zeros_like(param)
            count = state["step"].add_(1) if capturable else self._mirror.advance(state["step"])
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                if group["decoupled_weight_decay"]:
                    param.mul_(1 - lr * weight_decay)
                else:
                    grad = grad.add(param, alpha=weight_decay)
            exp_avg = state["exp_avg"].lerp_(grad, 1 - beta1)
            exp_avg_sq = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            correction2 = 1 - beta2**count
            rho = rho_inf - 2 * count * (beta2**count) / correction2
            direction = exp_avg / (1 - beta1**count) * lr
            if capturable:
                adaptive = _rectification(rho, rho_inf) * (correction2**0.5 / exp_avg_sq.sqrt().add(group["eps"]))
                direction = direction * corten.where(rho > 5.0, adaptive, 1.0)
            elif rho > 5.0:
                root = exp_avg_sq.sqrt()
                root = root.add(group["eps"]) if group["differentiable"] else root.add_(group["eps"])
                direction = direction * (correction2**0.5 / root) * _rectification(rho, rho_inf)
            param.add_(direction, alpha=-1.0)


def _rectification(rho, rho_inf):
    return ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
