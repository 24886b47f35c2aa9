"""NAdam, Adam with Nesterov momentum."""

import corten

from ._functional import nadam
from .optimizer import GroupOptimizer, check_betas, check_lr, check_not_negative, new_step, zeros_like

__all__ = ["NAdam", "nadam"]


class NAdam(GroupOptimizer):
    r"""NAdam: Adam whose momentum looks one step ahead.

    With :math:`\mu_t = \beta_1 (1 - \frac12 0.96^{t\psi})` the mean is replaced by
    :math:`\mu_{t+1} m / (1 - \prod_{i\le t+1}\mu_i) + (1-\mu_t) g / (1 - \prod_{i\le t}\mu_i)` (Dozat, "Incorporating
    Nesterov Momentum into Adam", 2016).

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        betas: decay of the two means.
        eps: added to the denominator.
        weight_decay: L2 penalty, or decay of the weights where ``decoupled_weight_decay``.
        momentum_decay: :math:`\psi`.
        decoupled_weight_decay: as in AdamW.
        foreach: accepted; the engine fuses every update of a step anyway.
        maximize: climbs instead of descending.
        capturable: keeps step count and momentum product on the parameter's device and computes with them there.
        differentiable: records the update for autograd.

    Raises:
        ValueError: for options outside their range.
    """

    _group_defaults = {
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "decoupled_weight_decay": False,
    }

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
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
        check_not_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fill_old_state(self):
        super()._fill_old_state()
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state.get(param)
                if state and not isinstance(state["mu_product"], corten.Tensor):
                    state["mu_product"] = new_step(param, group).fill_(float(state["mu_product"]))

    def _update(self, group):
        lr = self._option(group, "lr")
        beta1, beta2 = group["betas"]
        weight_decay = group["weight_decay"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                state["step"] = new_step(param, group)
                state["mu_product"] = new_step(param, group).fill_(1.0)
                state["exp_avg"] = zeros_like(param)
                state["exp_avg_sq"] = zeros_like(param)
            if group["maximize"]:
                grad = -grad
            if weight_decay != 0:
                if group["decoupled_weight_decay"]:
                    param.mul_(1 - lr * weight_decay)
                else:
                    grad = grad.add(param, alpha=weight_decay)
            exp_avg = state["exp_avg"].lerp_(grad, 1 - beta1)
            exp_avg_sq = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            if group["capturable"]:
                count = state["step"].add_(1)
            else:
                count = self._mirror.advance(state["step"])
            mu, mu_next = (beta1 * (1.0 - 0.5 * (0.96 ** (t * group["momentum_decay"]))) for t in (count, count + 1))
            denominator = exp_avg_sq.div(1 - beta2**count).sqrt()
            if group["capturable"] or group["differentiable"]:
                product = state["mu_product"].mul_(mu)
                denominator = denominator.add(group["eps"])
                param.addcdiv_(grad * (-lr * (1.0 - mu) / (1.0 - product)), denominator)
                param.addcdiv_(exp_avg * (-lr * mu_next / (1.0 - product * mu_next)), denominator)
            else:
                product = self._mirror.multiply(state["mu_product"], mu)
                denominator.add_(group["eps"])
                param.addcdiv_(grad, denominator, value=-lr * (1.0 - mu) / (1.0 - product))
                param.addcdiv_(exp_avg, denominator, value=(-lr * mu_next) / (1.0 - product * mu_next))
