"""Adamax, Adam with an infinity norm."""

import corten

from ._functional import adamax
from .optimizer import GroupOptimizer, check_betas, check_lr, check_not_negative, new_step, zeros_like

__all__ = ["Adamax", "adamax"]


class Adamax(GroupOptimizer):
    r"""Adamax: Adam with the running maximum :math:`u \leftarrow \max(\beta_2 u, |g| + \epsilon)` as denominator.

    :math:`\theta \leftarrow \theta - \gamma m / ((1-\beta_1^t) u)` (Kingma and Ba, arXiv:1412.6980, section 7.1).

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        betas: decay of the mean gradient and of the running maximum.
        eps: added to the absolute gradient.
        weight_decay: L2 penalty, added to the gradient.
        foreach: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        differentiable: records the update for autograd.
        capturable: keeps the step count on the parameter's device and computes with it there.

    Raises:
        ValueError: for options outside their range.
    """

    _group_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        capturable=False,
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
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group):
        lr = self._option(group, "lr")
        beta1, beta2 = group["betas"]
        eps, weight_decay, differentiable = group["eps"], group["weight_decay"], group["differentiable"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                state["step"] = new_step(param, group)
                state["exp_avg"] = zeros_like(param)
                state["exp_inf"] = zeros_like(param)
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                grad = grad.add(param, alpha=weight_decay)
            exp_avg = state["exp_avg"].lerp_(grad, 1 - beta1)
            exp_inf = state["exp_inf"]
            bound = grad.abs().add_(eps)
            if differentiable:
                exp_inf.copy_(corten.maximum(exp_inf.mul(beta2), bound))
                # Autograd keeps both sides of the division, which the next step overwrites.
                exp_avg, exp_inf = exp_avg.clone(), exp_inf.clone()
            else:
                corten.maximum(exp_inf.mul_(beta2), bound, out=exp_inf)
            if group["capturable"]:
                state["step"].add_(1)
                negative_correction = (beta1 ** state["step"] - 1).div_(lr)
                param.addcdiv_(exp_avg, exp_inf * negative_correction)
                continue
            step_size = lr / (1 - beta1 ** self._mirror.advance(state["step"]))
            if isinstance(step_size, corten.Tensor):
                param.addcmul_(exp_avg / exp_inf, step_size, value=-1)
            else:
                param.addcdiv_(exp_avg, exp_inf, value=-step_size)
